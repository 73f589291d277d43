//! The API over HTTP: parses requests, asks the model, renders answers. Own accept loop, since some faults are connections that
//! end without an answer.

mod calls;

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{CONTENT_TYPE, DATE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::faults::{Answer, Endpoint};
use crate::{Inner, RequestRecord};

/// Bytes of a request's body.
const BODY_BYTES: usize = 1024 * 1024;

pub(crate) type Body = BoxBody<Bytes, std::io::Error>;

/// The connection ends here.
#[derive(Debug)]
pub(crate) struct Abort;

impl std::fmt::Display for Abort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the connection is cut on purpose")
    }
}

impl std::error::Error for Abort {}

/// What a call is answered.
pub(crate) struct Reply {
    pub status: u16,
    pub body: Option<Value>,
    pub retry_after: Option<String>,
    /// Whose call it was, for the journal.
    pub account: Option<String>,
    pub client_id: Option<String>,
}

impl Reply {
    pub fn json(status: u16, body: Value) -> Self {
        Self { status, body: Some(body), retry_after: None, account: None, client_id: None }
    }

    pub fn empty(status: u16) -> Self {
        Self { status, body: None, retry_after: None, account: None, client_id: None }
    }

    /// 422 as documented.
    pub fn invalid(field: &str, key: &str, description: &str) -> Self {
        Self::json(422, json!({ "errors": { field: [{ "key": key, "description": description }] } }))
    }
}

/// A request, taken apart.
pub(crate) struct Call {
    pub endpoint: Endpoint,
    pub path: Vec<String>,
    pub query: Vec<(String, String)>,
    pub bearer: Option<String>,
    pub form: bool,
    pub body: Bytes,
}

/// Serves the API until dropped.
pub(crate) async fn serve(inner: Arc<Inner>, listener: TcpListener) {
    let mut connections = JoinSet::new();
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => if let Ok((stream, _)) = accepted { stream } else {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                continue;
            },
            Some(_) = connections.join_next() => continue,
        };
        let inner = inner.clone();
        connections.spawn(async move {
            let service = service_fn(move |request| answer(inner.clone(), request));
            let mut http = hyper::server::conn::http1::Builder::new();
            http.timer(TokioTimer::new());
            let _broken = http.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(inner: Arc<Inner>, request: Request<Incoming>) -> Result<Response<Body>, Abort> {
    if inner.state().down {
        return Err(Abort);
    }
    let call = match take_apart(request).await {
        Ok(call) => call,
        Err(status) => return Ok(render(&inner, Reply::empty(status), None)),
    };
    let account = call
        .bearer
        .as_ref()
        .and_then(|token| inner.state().model.access_tokens.get(token).map(|token| token.account.clone()));
    wait_at_gate(&inner, call.endpoint).await;
    let fault = inner.take_fault(call.endpoint, account.as_deref());
    match &fault {
        Some(Answer::Cut) => {
            inner.record(&call, account, None, 0);
            return Err(Abort);
        }
        Some(Answer::Status { status, content_type, body, retry_after }) => {
            inner.record(&call, account, None, *status);
            let mut response = render(&inner, Reply::empty(*status), None);
            *response.body_mut() = full(body.clone());
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
            if let Some(value) = retry_after.as_ref().and_then(|value| HeaderValue::from_str(value).ok()) {
                response.headers_mut().insert(RETRY_AFTER, value);
            }
            return Ok(response);
        }
        Some(Answer::Slow(time)) => tokio::time::sleep(*time).await,
        Some(Answer::Truncated | Answer::LostAnswer | Answer::LateAnswer(_) | Answer::ForeignPage) | None => {}
    }
    let mut reply = calls::perform(&inner, &call);
    inner.record(&call, reply.account.clone().or(account), reply.client_id.clone(), reply.status);
    inner.wake.notify_one();
    if call.endpoint == Endpoint::CreateChannel && reply.status == 200 {
        verification_first(&inner).await;
    }
    match fault {
        Some(Answer::LostAnswer) => return Err(Abort),
        Some(Answer::LateAnswer(time)) => tokio::time::sleep(time).await,
        Some(Answer::ForeignPage) => {
            if let Some(pages) =
                reply.body.as_mut().and_then(|body| body.get_mut("pages")).and_then(Value::as_object_mut)
            {
                pages.insert("next_page".to_owned(), json!("https://elsewhere.invalid/v1/events/pages/1"));
            }
        }
        Some(Answer::Truncated) => return Ok(render(&inner, reply, Some(()))),
        Some(Answer::Cut | Answer::Status { .. } | Answer::Slow(_)) | None => {}
    }
    Ok(render(&inner, reply, None))
}

/// With that switch, the verification arrives before the create is answered.
async fn verification_first(inner: &Inner) {
    if inner.state().model.settings.verification == crate::settings::Verification::BeforeAnswer {
        inner.settle().await;
    }
}

async fn wait_at_gate(inner: &Inner, endpoint: Endpoint) {
    let gate = {
        let mut state = inner.state();
        let gate =
            state.gates.iter_mut().find(|gate| gate.endpoint == endpoint && gate.left > 0 && !gate.open.is_closed());
        gate.map(|gate| {
            gate.left -= 1;
            gate.arrived.send_modify(|count| *count += 1);
            gate.open.clone()
        })
    };
    if let Some(gate) = gate {
        let _released = gate.acquire().await; // ends when the hold closes it
    }
}

async fn take_apart(request: Request<Incoming>) -> Result<Call, u16> {
    let (parts, body) = request.into_parts();
    let body = Limited::new(body, BODY_BYTES).collect().await.map_err(|_| 413_u16)?.to_bytes();
    let decoded = |text: &str| {
        url::form_urlencoded::parse(format!("x={}", text.replace('+', "%2B")).as_bytes())
            .next()
            .map(|(_, value)| value.into_owned())
            .unwrap_or_default()
    };
    let path: Vec<String> = parts.uri.path().trim_matches('/').split('/').map(decoded).collect();
    let query = parts.uri.query().unwrap_or_default();
    let query = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let bearer = header("authorization").and_then(|value| value.strip_prefix("Bearer ")).map(ToOwned::to_owned);
    let form = header("content-type").is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"));
    let endpoint = endpoint(&parts.method, &path);
    Ok(Call { endpoint, path, query, bearer, form, body })
}

fn endpoint(method: &Method, path: &[String]) -> Endpoint {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    match (method.as_str(), path.as_slice()) {
        ("POST", ["oauth", "token"]) => Endpoint::Token,
        ("POST", ["oauth", "token", "revoke"]) => Endpoint::Revoke,
        ("POST", ["v1", "application_calendars"]) => Endpoint::ApplicationCalendars,
        ("GET", ["v1", "userinfo"]) => Endpoint::UserInfo,
        ("GET", ["v1", "profiles"]) => Endpoint::Profiles,
        ("GET", ["v1", "account"]) => Endpoint::Account,
        ("GET", ["v1", "calendars"]) => Endpoint::Calendars,
        ("GET", ["v1", "channels"]) => Endpoint::ListChannels,
        ("POST", ["v1", "channels"]) => Endpoint::CreateChannel,
        ("DELETE", ["v1", "channels", _]) => Endpoint::CloseChannel,
        ("GET", ["v1", "events"]) => Endpoint::Events,
        ("GET", ["v1", "events", "pages", _]) => Endpoint::EventsPage,
        ("POST", ["v1", "calendars", _, "events"]) => Endpoint::PutEvent,
        ("DELETE", ["v1", "calendars", _, "events"]) => Endpoint::DeleteEvent,
        _ => Endpoint::Unknown,
    }
}

fn full(body: impl Into<Bytes>) -> Body {
    Full::new(body.into()).map_err(|never: Infallible| match never {}).boxed()
}

fn render(inner: &Inner, reply: Reply, truncated: Option<()>) -> Response<Body> {
    let text = reply.body.map(|body| body.to_string()).unwrap_or_default();
    let body = if truncated.is_some() {
        let half = Bytes::from(text.get(..text.len() / 2).unwrap_or_default().to_owned());
        let cut = std::io::Error::other("cut on purpose");
        StreamBody::new(stream::iter([Ok(Frame::data(half)), Err(cut)])).boxed()
    } else {
        full(text)
    };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    if let Ok(date) = HeaderValue::from_str(&http_date(inner.state().clock.now())) {
        headers.insert(DATE, date);
    }
    if reply.status == 401 {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if let Some(value) = reply.retry_after.and_then(|value| HeaderValue::from_str(&value).ok()) {
        headers.insert(RETRY_AFTER, value);
    }
    response
}

/// A time as HTTP writes it.
pub(crate) fn http_date(time: Timestamp) -> String {
    time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

impl Inner {
    fn take_fault(&self, endpoint: Endpoint, account: Option<&str>) -> Option<Answer> {
        let mut state = self.state();
        let fault = state.faults.iter_mut().find(|fault| {
            fault.times > 0
                && fault.endpoint.is_none_or(|wanted| wanted == endpoint)
                && fault.account.as_deref().is_none_or(|wanted| Some(wanted) == account)
        })?;
        fault.times -= 1;
        Some(fault.answer.clone())
    }

    fn record(&self, call: &Call, account: Option<String>, client_id: Option<String>, status: u16) {
        let mut state = self.state();
        let time = state.clock.now();
        let query = call.query.clone();
        state.requests.push(RequestRecord { endpoint: call.endpoint, account, client_id, status, time, query });
    }
}
