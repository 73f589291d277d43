//! The API over HTTP: parses requests, asks the model, renders answers. Own accept loop, since some faults are connections that
//! end without an answer.

mod calls;
mod channels;
mod events;
mod tokens;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, DATE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::faults::{Answer, Endpoint};
use crate::{Inner, RequestRecord, State};

/// Bytes of a request's body.
const BODY_BYTES: usize = 1024 * 1024;

/// A page that is none of ours.
const FOREIGN_PAGE: &str = "https://elsewhere.invalid/v1/events/pages/1";

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
    /// The verification arrives before this does.
    pub after_verification: bool,
}

impl Reply {
    pub fn json(status: u16, body: Value) -> Self {
        Self { status, body: Some(body), retry_after: None, account: None, client_id: None, after_verification: false }
    }

    pub fn empty(status: u16) -> Self {
        Self { status, body: None, retry_after: None, account: None, client_id: None, after_verification: false }
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
        connections.spawn(serve_connection(inner.clone(), stream));
    }
}

/// Serves one connection, until it ends, is cut or the simulator is restarted.
async fn serve_connection(inner: Arc<Inner>, stream: TcpStream) {
    let mut restarts = inner.restarts.subscribe();
    let reset = Arc::new(AtomicBool::new(false));
    let service = service_fn(|request| answer(inner.clone(), reset.clone(), request));
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new());
    let mut connection = http.serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        _broken = &mut connection => {}
        _restarted = restarts.changed() => return,
    }
    if reset.load(Ordering::Relaxed) {
        let _gone = connection.into_parts().io.into_inner().set_zero_linger();
    }
}

async fn answer(
    inner: Arc<Inner>,
    reset: Arc<AtomicBool>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Abort> {
    if inner.state().down {
        return Err(Abort);
    }
    let call = match take_apart(request).await {
        Ok(call) => call,
        Err(status) => return Ok(render(&inner, Reply::empty(status), 0)),
    };
    let arrival = calls::arrive(&inner, &call);
    let account = arrival.account.clone();
    wait_at_gate(&inner, call.endpoint).await;
    let fault = inner.take_fault(call.endpoint, account.as_deref());
    match &fault {
        Some(Answer::Cut | Answer::Reset) => {
            inner.record(&call, account, None, 0);
            reset.store(fault == Some(Answer::Reset), Ordering::Relaxed);
            return Err(Abort);
        }
        Some(Answer::Status { status, content_type, body, retry_after }) => {
            inner.record(&call, account, None, *status);
            let reply = Reply { retry_after: retry_after.clone(), ..Reply::empty(*status) };
            let date_skew = inner.state().model.settings.date_skew;
            let mut response = render(&inner, reply, date_skew);
            *response.body_mut() = full(body.clone());
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
            return Ok(response);
        }
        Some(Answer::Slow(time)) => tokio::time::sleep(*time).await,
        Some(
            Answer::Truncated
            | Answer::LostAnswer
            | Answer::LateAnswer(_)
            | Answer::SlowBody(_)
            | Answer::EmptyBody
            | Answer::WrongContentType
            | Answer::ForeignPage,
        )
        | None => {}
    }
    let (mut reply, date_skew) = calls::perform(&inner, &call, &arrival);
    inner.record(&call, reply.account.clone().or(account), reply.client_id.clone(), reply.status);
    inner.wake.notify_one();
    if reply.after_verification {
        inner.settle().await;
    }
    match fault {
        Some(Answer::LostAnswer) => return Err(Abort),
        Some(Answer::LateAnswer(time)) => tokio::time::sleep(time).await,
        Some(Answer::ForeignPage) => {
            if let Some(pages) =
                reply.body.as_mut().and_then(|body| body.get_mut("pages")).and_then(Value::as_object_mut)
            {
                pages.insert("next_page".to_owned(), json!(FOREIGN_PAGE));
            }
        }
        Some(Answer::EmptyBody) => reply.body = None,
        Some(
            Answer::Truncated
            | Answer::SlowBody(_)
            | Answer::WrongContentType
            | Answer::Cut
            | Answer::Reset
            | Answer::Status { .. }
            | Answer::Slow(_),
        )
        | None => {}
    }
    let text = Bytes::from(reply.body.as_ref().map(Value::to_string).unwrap_or_default());
    let mut response = render(&inner, reply, date_skew);
    if call.endpoint == Endpoint::Token {
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    if fault == Some(Answer::Truncated) {
        *response.body_mut() = truncated(&text);
    } else if let Some(Answer::SlowBody(time)) = fault {
        *response.body_mut() = slow(&text, time);
    } else if fault == Some(Answer::WrongContentType) {
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html"));
    }
    Ok(response)
}

/// The first half of a body; then the connection ends.
fn truncated(text: &Bytes) -> Body {
    let half = text.slice(..text.len() / 2);
    let end = stream::once(async {
        tokio::task::yield_now().await; // so that what came before is sent
        Err(std::io::Error::other("cut on purpose"))
    });
    BoxBody::new(StreamBody::new(stream::iter([Ok(Frame::data(half))]).chain(end)))
}

/// A body that takes so long to arrive.
fn slow(text: &Bytes, time: Duration) -> Body {
    let pieces: Vec<Bytes> = text.chunks(text.len().div_ceil(4).max(1)).map(Bytes::copy_from_slice).collect();
    let pieces = stream::iter(pieces).then(move |piece| async move {
        tokio::time::sleep(time / 4).await;
        Ok(Frame::data(piece))
    });
    BoxBody::new(StreamBody::new(pieces))
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
        ("POST", ["v1", "profiles", _, "revoke"]) => Endpoint::RevokeProfile,
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

fn render(inner: &Inner, reply: Reply, date_skew: i64) -> Response<Body> {
    let mut response = Response::new(full(reply.body.map(|body| body.to_string()).unwrap_or_default()));
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    let now = inner.state().clock.now();
    let date = now.checked_add(jiff::SignedDuration::from_secs(date_skew)).unwrap_or(now);
    if let Ok(date) = HeaderValue::from_str(&http_date(date)) {
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
        let State { faults, model, .. } = &mut *state;
        let injected = faults.iter_mut().find(|fault| {
            fault.times > 0
                && fault.endpoint.is_none_or(|wanted| wanted == endpoint)
                && fault.account.as_deref().is_none_or(|wanted| Some(wanted) == account)
        });
        let Some(fault) = injected else {
            return model.drawing.as_mut().and_then(|drawing| drawing.call(endpoint, account));
        };
        fault.times -= 1;
        let answer = fault.answer.clone();
        faults.retain(|fault| fault.times > 0);
        Some(answer)
    }

    fn record(&self, call: &Call, account: Option<String>, client_id: Option<String>, status: u16) {
        let mut state = self.state();
        let time = state.clock.now();
        let query = call.query.clone();
        state.requests.push(RequestRecord { endpoint: call.endpoint, account, client_id, status, time, query });
    }
}
