//! A store to ask: a database, the router over it, and whoever decides who may read.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use axum::body::{Body, Bytes};
use axum::{Router, response::Response};
use calendar_store::database::Database;
use calendar_store::read::{self, Bell, Streaming};
use calendar_store::{Access, Credentials, Limits, Problem, Spooled};
use calendar_store_client::{CommitHeader, Head, Line, Reason, Scope, State};
use calendar_sync::{Event, EventTime, Visibility};
use futures::future::BoxFuture;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use jiff::Timestamp;
use serde_json::Value;
use tower::ServiceExt as _;

/// Namespace of all subscriptions.
pub const NAMESPACE: &str = "rooms";

/// Lets read who shows the token `reader`, as long as it is not told otherwise; a feed's token is `feed`.
#[derive(Default)]
pub struct Doorkeeper {
    pub refuses: AtomicBool,
    pub asked: AtomicUsize,
    known: std::sync::Mutex<Option<String>>,
}

impl Doorkeeper {
    /// Who shows this is known by name, too, and may nothing.
    #[allow(dead_code)] // for the tests of the page
    pub fn also_known(&self, token: &str) {
        *self.known.lock().unwrap() = Some(token.to_owned());
    }

    fn decide(&self, admitted: bool) -> Result<(), Problem> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if self.refuses.load(Ordering::SeqCst) {
            return Err(Problem::new(Reason::Forbidden, "not you"));
        }
        if admitted { Ok(()) } else { Err(Problem::new(Reason::Unauthorized, "who are you")) }
    }
}

impl Access for Doorkeeper {
    fn may_read<'a>(
        &'a self,
        credentials: &'a Credentials,
        _: &'a str,
        name: &'a str,
    ) -> BoxFuture<'a, Result<(), Problem>> {
        Box::pin(async move {
            if name == "secret" {
                return Err(Problem::new(Reason::Forbidden, "not that one"));
            }
            self.decide(credentials.bearer.as_deref() == Some("reader"))
        })
    }

    fn who<'a>(&'a self, credentials: &'a Credentials) -> BoxFuture<'a, Result<String, Problem>> {
        let shown = credentials.bearer.as_deref();
        let known = shown.is_some() && (shown == Some("reader") || shown == self.known.lock().unwrap().as_deref());
        Box::pin(async move { self.decide(known).map(|()| "system:serviceaccount:rooms:reader".to_owned()) })
    }

    fn may_list<'a>(&'a self, credentials: &'a Credentials, namespace: &'a str) -> BoxFuture<'a, Result<(), Problem>> {
        Box::pin(async move {
            if namespace != NAMESPACE {
                return Err(Problem::new(Reason::Forbidden, "grant list in that namespace"));
            }
            self.decide(credentials.bearer.as_deref() == Some("reader"))
        })
    }

    fn may_subscribe<'a>(
        &'a self,
        credentials: &'a Credentials,
        _: &'a str,
        _: &'a str,
    ) -> BoxFuture<'a, Result<(), Problem>> {
        let known = credentials.feed.as_deref() == Some("feed") || credentials.bearer.as_deref() == Some("reader");
        Box::pin(async move { self.decide(known) })
    }

    fn may_write<'a>(&'a self, _: &'a Credentials) -> BoxFuture<'a, Result<(), Problem>> {
        Box::pin(async { Err(Problem::new(Reason::Forbidden, "nobody writes here")) })
    }
}

pub struct Store {
    pub database: Database,
    pub doorkeeper: Arc<Doorkeeper>,
    pub bell: Bell,
    router: Router,
    heads: std::sync::Mutex<BTreeMap<String, (Head, u64)>>,
    _directory: tempfile::TempDir,
}

impl Store {
    pub async fn new() -> Self {
        Self::with(Streaming::default()).await
    }

    pub async fn with(streaming: Streaming) -> Self {
        let (database, directory) = crate::database().await;
        let (doorkeeper, bell) = (Arc::<Doorkeeper>::default(), Bell::new());
        let router = read::routes(database.clone(), Arc::clone(&doorkeeper) as _, &bell, streaming);
        Self { database, doorkeeper, bell, router, heads: std::sync::Mutex::default(), _directory: directory }
    }

    /// Commits these lines for the subscription of that name, whose uid is the same with `uid-` before.
    pub async fn commit(&self, name: &str, puts: impl IntoIterator<Item = Event>, gone: &[&str]) {
        let known = self.heads.lock().unwrap().get(name).cloned();
        let puts: Vec<Event> = puts.into_iter().collect();
        let mut lines: Vec<Line> = puts.iter().cloned().map(|event| Line::Put(Box::new(event))).collect();
        lines.extend(gone.iter().map(|id| Line::Delete((*id).to_owned())));
        let uid = format!("uid-{name}");
        let mut events: std::collections::BTreeSet<String> =
            self.stored(name).await.into_iter().map(|event| event.id).collect();
        events.extend(puts.iter().map(|event| event.id.clone()));
        events.retain(|id| !gone.contains(&id.as_str()));
        let count = u64::try_from(events.len()).unwrap();
        let header = CommitHeader {
            namespace: NAMESPACE.to_owned(),
            name: name.to_owned(),
            on: known.map(|(head, _)| head),
            head: Head::of(fastrand::u128(..)),
            scope: Scope::Changes,
            state: state(count),
        };
        let mut body = serde_json::to_string(&header).unwrap() + "\n";
        let end = Line::End(u64::try_from(lines.len()).unwrap());
        for line in lines.iter().chain([&end]) {
            body += &(serde_json::to_string(line).unwrap() + "\n");
        }
        let body = futures::stream::iter([Ok::<_, std::convert::Infallible>(Bytes::from(body))]);
        let (header, mut lines) = Spooled::receive(body, Limits::default()).await.unwrap();
        self.database.commit(&uid, &header, &mut lines).await.unwrap();
        self.heads.lock().unwrap().insert(name.to_owned(), (header.head, count));
        self.bell.ring();
    }

    /// Erases a subscription.
    pub async fn erase(&self, name: &str) {
        self.database.erase(&format!("uid-{name}")).await.unwrap();
        self.heads.lock().unwrap().remove(name);
        self.bell.ring();
    }

    /// The events that are stored, in the order of the database.
    pub async fn stored(&self, name: &str) -> Vec<Event> {
        let Some(mut contents) = self.database.contents(&format!("uid-{name}")).await.unwrap() else {
            return Vec::new();
        };
        let mut events = Vec::new();
        contents
            .events(|body| {
                events.push(serde_json::from_str(&body).unwrap());
                std::future::ready(true)
            })
            .await
            .unwrap();
        events
    }

    pub async fn ask(&self, request: http::request::Builder) -> Response {
        self.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
    }

    /// The answer to a reader, below the subscription `name`.
    pub async fn get(&self, name: &str, rest: &str) -> Answer {
        self.get_with(name, rest, &[]).await
    }

    pub async fn get_with(&self, name: &str, rest: &str, headers: &[(&str, &str)]) -> Answer {
        self.get_path(&path(name, rest), headers).await
    }

    pub async fn get_path(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let request = Request::get(path).header("authorization", "Bearer reader");
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        Answer::of(self.ask(request).await).await
    }
}

/// The path of what is asked about a subscription.
pub fn path(name: &str, rest: &str) -> String {
    format!("/v1/namespaces/{NAMESPACE}/calendarsubscriptions/{name}/{rest}")
}

/// An answer that has come to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: http::HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub async fn of(response: Response) -> Self {
        let (parts, body) = response.into_parts();
        Self { status: parts.status, headers: parts.headers, body: body.collect().await.unwrap().to_bytes() }
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{}", self.text());
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.to_vec()).unwrap()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The ids of its items.
    #[track_caller]
    pub fn ids(&self) -> Vec<String> {
        ids(&self.json()["items"])
    }

    /// That it is a refusal, of this status and about this field.
    #[track_caller]
    pub fn refused(&self, status: u16, field: Option<&str>) {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.header("content-type"), "application/problem+json");
        let problem: calendar_store_client::Problem = serde_json::from_slice(&self.body).unwrap();
        assert_eq!((problem.status, problem.field.as_deref()), (status, field), "{problem:?}");
        assert!(!problem.detail.is_empty());
    }
}

pub fn ids(items: &Value) -> Vec<String> {
    items.as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

pub fn time(text: &str) -> EventTime {
    text.parse().map_or_else(|_| EventTime::Date(text.parse().unwrap()), EventTime::Instant)
}

/// An event from instants or dates.
pub fn event(id: &str, start: &str, end: &str) -> Event {
    Event {
        id: id.to_owned(),
        calendar_id: "cal_1".to_owned(),
        start: time(start),
        end: time(end),
        all_day: time(start).is_date(),
        time_zone: None,
        summary: None,
        status: None,
        transparency: None,
        participation: None,
        recurring: None,
        series: None,
        location: None,
        description: None,
        organizer: None,
        attendees: Vec::new(),
        meeting_url: None,
        updated: None,
    }
}

fn state(events: u64) -> State {
    State {
        cursor: Timestamp::UNIX_EPOCH,
        fingerprint: "f".to_owned(),
        last_full_sync: Timestamp::UNIX_EPOCH,
        complete: true,
        swept_through: "2026-12-01".parse().unwrap(),
        visibility: Visibility::Full,
        events,
        bytes: 0,
        content_hash: "h".to_owned(),
        retain: false,
    }
}
