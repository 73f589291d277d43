//! Decides about each request: method, path, length, raw bytes, signature, JSON, channel, mark, answer.
//!
//! | situation | answer |
//! | --- | --- |
//! | marked, of a type that is not acted on | 204 |
//! | signature bad or missing | 401 |
//! | path unknown, channel of another subscription, application gone or not allowed | 404 |
//! | caches not filled yet, secret not readable, mark not written within 3 s | 503 |
//! | too long, signed but not JSON, wrong method | 413, 400, 405 |
//!
//! Every answer has an empty body and the same headers: it tells no more than its status does. Never 410 and never a redirect,
//! since senders stop at the one and may follow the other. Only the body is signed, so whoever captured a request can send it
//! again for ever, to any path: it does nothing but repeat a mark, and only at the path of the channel that it was made for.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use calendar_sync::NotificationType;
use calendar_sync::channel::HOOK_PATH;
use cronofy::notification::{Notification, NotifiedChannel};
use cronofy::signature;
use http::{HeaderMap, Method, StatusCode, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use jiff::Timestamp;
use tokio::time::{Instant, timeout_at};
use tracing::Instrument as _;

use super::mark::{MarkError, Marker};
use super::pending::Hint;
use super::routes::{Lookup, Route, Routes};
use super::secrets::{Applications, ClientSecrets, SecretReader};
use crate::metrics::{Metrics, WebhookResult};
use crate::traces;

/// Bytes of a body. Notifications have a few hundred; filters with a hundred calendars make some thousand.
pub const BODY_BYTES: usize = 64 * 1024;

/// Time for a mark.
const MARK: Duration = Duration::from_secs(3);

/// Time for all of it, well below the 5 s that Cronofy waits.
const ANSWER: Duration = Duration::from_millis(3_800);

/// What requests are decided with.
#[derive(Clone)]
pub struct Receiver {
    /// Where paths lead.
    pub routes: Routes,
    /// What is known of applications.
    pub applications: Arc<dyn Applications>,
    /// Reads client secrets.
    pub secrets: SecretReader,
    /// Writes marks.
    pub marker: Marker,
    /// Counts.
    pub metrics: Metrics,
}

impl std::fmt::Debug for Receiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}

/// The webhook: `POST {any prefix}/hook/{token}`. Serve it with [`serve`](super::listener::serve).
///
/// The prefix is not looked at, since a proxy in front may or may not cut off the path of the base URL.
pub fn router(receiver: Receiver) -> Router {
    let nobody = ClientSecrets::nobodys();
    Router::new().fallback(answer).with_state(Arc::new(Webhook { receiver, nobody }))
}

/// Where a path leads.
struct Place {
    route: Arc<Route>,
    generation: i64,
    /// The Secret to check signatures with.
    secret: String,
}

struct Webhook {
    receiver: Receiver,
    nobody: ClientSecrets,
}

async fn answer(State(webhook): State<Arc<Webhook>>, request: Request) -> Response {
    let arrived = Instant::now();
    let deadline = arrived + ANSWER;
    let result = timeout_at(deadline, webhook.judge(request, deadline)).await.unwrap_or(WebhookResult::MarkFailed);
    webhook.receiver.metrics.webhook_request(result, arrived.elapsed());
    match result {
        WebhookResult::Marked | WebhookResult::Ignored => StatusCode::NO_CONTENT.into_response(),
        WebhookResult::UnknownPath | WebhookResult::OtherChannel => StatusCode::NOT_FOUND.into_response(),
        WebhookResult::BadSignature => StatusCode::UNAUTHORIZED.into_response(),
        WebhookResult::BadBody => StatusCode::BAD_REQUEST.into_response(),
        WebhookResult::TooLarge => StatusCode::PAYLOAD_TOO_LARGE.into_response(),
        WebhookResult::WrongMethod => (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "POST")]).into_response(),
        WebhookResult::NotSynced | WebhookResult::MarkFailed => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

impl Webhook {
    async fn judge(&self, request: Request, deadline: Instant) -> WebhookResult {
        self.accepted(request, deadline).await.unwrap_or_else(|refusal| refusal)
    }

    async fn accepted(&self, request: Request, deadline: Instant) -> Result<WebhookResult, WebhookResult> {
        let received = Timestamp::now();
        let (head, body) = request.into_parts();
        if head.method != Method::POST {
            return Err(WebhookResult::WrongMethod);
        }
        let token = token(head.uri.path());
        let place = match self.receiver.routes.look_up(token) {
            Lookup::NotSynced => return Err(WebhookResult::NotSynced),
            Lookup::Unknown => None,
            Lookup::Found { route, generation } => {
                self.secret_of(&route).map(|secret| Place { route, generation, secret })
            }
        };
        let Some(place) = place else {
            // The same work as for a path that is known: the time of the answer tells no more than its status.
            let body = read(&head.headers, body).await?;
            let _ = self.nobody.verify(&signatures(&head.headers), &body);
            return Err(WebhookResult::UnknownPath);
        };
        let span = traces::webhook(&place.route.namespace, &place.route.name);
        let result = self.at(place, token, received, &head.headers, body, deadline).instrument(span.clone()).await;
        let (Ok(said) | Err(said)) = result;
        span.record("result", said.as_str());
        if result.is_err() {
            traces::failed(&span);
        }
        result
    }

    /// Decides about a request to a path that is known.
    async fn at(
        &self,
        place: Place,
        token: &str,
        received: Timestamp,
        headers: &HeaderMap,
        body: Body,
        deadline: Instant,
    ) -> Result<WebhookResult, WebhookResult> {
        let Place { route, generation, secret } = place;
        let body = read(headers, body).await?;
        let header = signatures(headers);
        self.verify(&route, &secret, &header, &body).await?;

        let Notification { kind, changes_since, channel } =
            Notification::parse(&body).map_err(|_| WebhookResult::BadBody)?;
        let kind = NotificationType::parse(kind.as_str());
        match &channel {
            Some(channel) if self.meant_for(channel, &route, token) => {}
            // What names no channel and asks for nothing does no harm; refused, it would be repeated for a day.
            None if kind.is_none() => {}
            Some(_) | None => return Err(WebhookResult::OtherChannel),
        }
        let Some(kind) = kind else { return Ok(WebhookResult::Ignored) };

        let hint = Hint { kind, changes_since, received, generation, trace: traces::current() };
        let deadline = deadline.min(Instant::now() + MARK);
        match self.receiver.marker.mark(&route, hint, deadline).await {
            Ok(()) => Ok(WebhookResult::Marked),
            Err(MarkError::Gone) => Err(WebhookResult::UnknownPath),
            Err(MarkError::Unavailable | MarkError::Overloaded) => Err(WebhookResult::MarkFailed),
        }
    }

    /// The Secret to check a subscription's notifications with, if it may use its application.
    fn secret_of(&self, route: &Route) -> Option<String> {
        let Route { namespace, application_namespace, application, .. } = route;
        let applications = &self.receiver.applications;
        if namespace != application_namespace && !applications.allows(application_namespace, application, namespace) {
            return None;
        }
        applications.credentials_secret(application_namespace, application)
    }

    async fn verify(&self, route: &Route, secret: &str, header: &[u8], body: &[u8]) -> Result<(), WebhookResult> {
        let Receiver { secrets, metrics, .. } = &self.receiver;
        let namespace = &route.application_namespace;
        let known = secrets.secrets(namespace, secret).await.map_err(|_| WebhookResult::NotSynced)?;
        let slot = match known.verify(header, body) {
            Ok(slot) => slot,
            Err(signature::SignatureError::Mismatch) => {
                let newer = secrets.newer(namespace, secret, &known).await.ok_or(WebhookResult::BadSignature)?;
                newer.verify(header, body).map_err(|_| WebhookResult::BadSignature)?
            }
            // Another secret would not make these any better.
            Err(
                signature::SignatureError::Missing
                | signature::SignatureError::TooManyValues
                | signature::SignatureError::Malformed
                | signature::SignatureError::NoSecret,
            ) => return Err(WebhookResult::BadSignature),
        };
        metrics.secret_match(slot);
        Ok(())
    }

    /// Whether a notification through this channel belongs at the path it came to. The URL counts as well as the id: the first
    /// notification of a channel can come before the answer that tells its id.
    fn meant_for(&self, channel: &NotifiedChannel, route: &Route, token: &str) -> bool {
        route.channel_id.as_ref() == Some(&channel.channel_id)
            || channel.callback_url.as_ref() == Some(&self.receiver.routes.callback_url(token))
    }
}

/// The last segment of a path, if the one before it is `hook`; else an empty text, which is nobody's token.
fn token(path: &str) -> &str {
    let (rest, token) = path.rsplit_once('/').unwrap_or_default();
    match rest.rsplit_once('/') {
        Some((_, HOOK_PATH)) => token,
        Some(_) | None => "",
    }
}

async fn read(headers: &HeaderMap, body: Body) -> Result<Bytes, WebhookResult> {
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|declared| declared > BODY_BYTES as u64) {
        return Err(WebhookResult::TooLarge);
    }
    match Limited::new(body, BODY_BYTES).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(WebhookResult::TooLarge),
        Err(_) => Err(WebhookResult::BadBody),
    }
}

/// The signatures of all headers as if they stood in one: a proxy may split a list, and must not change its meaning by that.
fn signatures(headers: &HeaderMap) -> Vec<u8> {
    let values = headers.get_all(signature::HEADER).iter().map(http::HeaderValue::as_bytes);
    values.collect::<Vec<_>>().join(b",".as_slice())
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "counts are exact")]
mod tests;
