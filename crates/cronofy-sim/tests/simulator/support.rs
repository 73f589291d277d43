//! A simulator with an application and an account, a plain HTTP client, and a receiver of notifications.

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method as HttpMethod, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use cronofy_sim::{AccountDraft, EventDraft, Options, Settings, Simulator, When};
use jiff::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

pub const CLIENT_ID: &str = "client";
pub const SECRET: &str = "CRN_first";
/// What the clock shows: it stands still.
pub const NOW: &str = "2026-11-25T12:00:00Z";

/// What is never waited for longer.
const PATIENCE: Duration = Duration::from_secs(20);

pub fn at(time: &str) -> Timestamp {
    time.parse().unwrap()
}

/// An event of an hour.
pub fn event(uid: &str, start: &str) -> EventDraft {
    let start = at(start);
    EventDraft::new(uid, start, start + Duration::from_hours(1)).uid(uid)
}

/// An event of whole days.
pub fn days(uid: &str, first: &str, end: &str) -> EventDraft {
    let day = |text: &str| When::On(text.parse().unwrap());
    EventDraft::new(uid, day(first), day(end)).uid(uid)
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The ids of the events in it.
    pub fn uids(&self) -> Vec<String> {
        let events = self.json()["events"].as_array().unwrap_or_else(|| panic!("{self:?}")).clone();
        events.iter().map(|event| event["event_uid"].as_str().unwrap().to_owned()).collect()
    }

    /// The URL of the next page.
    pub fn next_page(&self) -> Option<String> {
        self.json()["pages"]["next_page"].as_str().map(ToOwned::to_owned)
    }
}

/// A simulated Cronofy whose clock stands still.
pub struct World {
    pub sim: Simulator,
    pub http: reqwest::Client,
    pub account: String,
    pub calendar: String,
    pub token: String,
}

impl World {
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// With other switches.
    pub async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings { rate_limit: None, ..Settings::default() };
        change(&mut settings);
        let options = Options { settings, control: true, now: Some(at(NOW)), ..Options::default() };
        let sim = Simulator::start(options).await.unwrap();
        sim.freeze();
        sim.set_clock(at(NOW));
        sim.add_application(CLIENT_ID, &[SECRET]);
        let account = sim.add_account(AccountDraft::default());
        let calendar = sim.calendars(&account)[0].clone();
        let http = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        let mut world = Self { sim, http, account, calendar, token: String::new() };
        world.token = world.fresh_token().await;
        world.sim.clear_journal();
        world
    }

    /// An access token, by a refresh.
    pub async fn fresh_token(&self) -> String {
        self.token_of(&self.account).await
    }

    pub async fn token_of(&self, account: &str) -> String {
        let refresh = self.sim.issue_refresh_token(account, CLIENT_ID);
        let answer = self.refresh(&refresh).await;
        answer.json()["access_token"].as_str().unwrap_or_default().to_owned()
    }

    pub async fn refresh(&self, token: &str) -> Answer {
        self.token_request(&json!({ "grant_type": "refresh_token", "refresh_token": token })).await
    }

    /// A token request with good credentials.
    pub async fn token_request(&self, fields: &Value) -> Answer {
        self.with_credentials("/oauth/token", fields).await
    }

    pub async fn with_credentials(&self, path: &str, fields: &Value) -> Answer {
        let mut body = json!({ "client_id": CLIENT_ID, "client_secret": SECRET });
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        self.anonymous(path, &body).await
    }

    /// A POST without a token.
    pub async fn anonymous(&self, path: &str, body: &Value) -> Answer {
        answer(self.http.post(format!("{}{path}", self.sim.api_url())).json(body)).await.unwrap()
    }

    /// A call with the account's access token. `path` may be a whole URL.
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let url = if path.starts_with("http") { path.to_owned() } else { format!("{}{path}", self.sim.api_url()) };
        self.http.request(method, url).bearer_auth(&self.token)
    }

    pub async fn get(&self, path: &str) -> Answer {
        answer(self.request(Method::GET, path)).await.unwrap()
    }

    pub async fn delete(&self, path: &str) -> Answer {
        answer(self.request(Method::DELETE, path)).await.unwrap()
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        answer(self.request(Method::POST, path).json(body)).await.unwrap()
    }

    /// A read with these parameters and `tzid`.
    pub async fn read(&self, query: &[(&str, &str)]) -> Answer {
        let request = self.request(Method::GET, "/v1/events").query(&[("tzid", "Etc/UTC")]).query(query);
        answer(request).await.unwrap()
    }

    pub async fn create_channel(&self, callback_url: &str) -> Answer {
        self.post("/v1/channels", &json!({ "callback_url": callback_url })).await
    }

    /// A channel that a receiver gets.
    pub async fn channel(&self, receiver: &Receiver) -> String {
        let created = self.create_channel(&receiver.url()).await;
        self.sim.settle().await;
        created.json()["channel"]["channel_id"].as_str().unwrap().to_owned()
    }

    /// Puts a new event, and waits until whatever it causes now is done.
    pub async fn change(&self, uid: &str) {
        self.sim.put_event(&self.calendar, event(uid, "2026-12-01T09:00:00Z")).unwrap();
        self.sim.settle().await;
    }

    /// The control API.
    pub async fn control(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        let request = self.http.request(method, format!("{}{path}", self.sim.control_url()));
        answer(match body {
            Some(body) => request.json(&body),
            None => request,
        })
        .await
        .unwrap()
    }
}

/// Sends a request and reads all of the answer.
pub async fn answer(request: reqwest::RequestBuilder) -> Result<Answer, reqwest::Error> {
    let response = request.send().await?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Ok(Answer { status, headers, text: response.text().await? })
}

/// Waits until something is there.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, check: impl Fn() -> F) -> T {
    let found = tokio::time::timeout(PATIENCE, async {
        loop {
            if let Some(found) = check().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    found.await.unwrap_or_else(|_| panic!("{what} did not come"))
}

/// A request that a receiver got.
#[derive(Clone, Debug)]
pub struct Received {
    pub path: String,
    pub method: HttpMethod,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Received {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn kind(&self) -> String {
        self.json()["notification"]["type"].as_str().unwrap().to_owned()
    }

    pub fn changes_since(&self) -> Timestamp {
        self.json()["notification"]["changes_since"].as_str().unwrap().parse().unwrap()
    }

    pub fn signature(&self) -> Option<&str> {
        self.headers.get(cronofy_sim::SIGNATURE).map(|value| value.to_str().unwrap())
    }
}

#[derive(Clone)]
struct Inbox {
    received: Arc<Mutex<Vec<Received>>>,
    answer: Arc<Mutex<u16>>,
}

/// An application's own server.
pub struct Receiver {
    address: std::net::SocketAddr,
    inbox: Inbox,
    serving: JoinHandle<()>,
}

impl Receiver {
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let inbox = Inbox { received: Arc::default(), answer: Arc::new(Mutex::new(204)) };
        let app = Router::new().fallback(receive).with_state(inbox.clone());
        let serving = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { address, inbox, serving }
    }

    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// What it answers from now on. 307 sends on to another path, which is answered 204.
    pub fn answer(&self, status: u16) {
        *self.inbox.answer.lock().unwrap() = status;
    }

    pub fn received(&self) -> Vec<Received> {
        self.inbox.received.lock().unwrap().clone()
    }

    /// Takes what was received out.
    pub fn take(&self) -> Vec<Received> {
        std::mem::take(&mut self.inbox.received.lock().unwrap())
    }

    /// The types of notifications received.
    pub fn kinds(&self) -> Vec<String> {
        self.received().iter().map(Received::kind).collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn receive(
    State(inbox): State<Inbox>,
    method: HttpMethod,
    uri: axum::http::Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let path = uri.path().to_owned();
    inbox.received.lock().unwrap().push(Received { path: path.clone(), method, headers, body });
    let status = *inbox.answer.lock().unwrap();
    if path == "/moved" {
        return StatusCode::NO_CONTENT.into_response();
    }
    let status = StatusCode::from_u16(status).unwrap();
    if status.is_redirection() {
        (status, [(header::LOCATION, "/moved")]).into_response()
    } else {
        status.into_response()
    }
}
