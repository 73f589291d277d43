//! Faults that the next calls run into, and holds that make calls wait.

mod schedule;

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, watch};

pub(crate) use self::schedule::Drawing;
pub use self::schedule::{Schedule, ScheduleError, ScheduledFault};

/// The calls that are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    /// `POST /oauth/token`.
    Token,
    /// `POST /oauth/token/revoke`.
    Revoke,
    /// `POST /v1/application_calendars`.
    ApplicationCalendars,
    /// `GET /v1/userinfo`.
    UserInfo,
    /// `GET /v1/profiles`.
    Profiles,
    /// `POST /v1/profiles/{id}/revoke`.
    RevokeProfile,
    /// `GET /v1/account`.
    Account,
    /// `GET /v1/calendars`.
    Calendars,
    /// `GET /v1/channels`.
    ListChannels,
    /// `POST /v1/channels`.
    CreateChannel,
    /// `DELETE /v1/channels/{id}`.
    CloseChannel,
    /// `GET /v1/events`.
    Events,
    /// A further page of it.
    EventsPage,
    /// `POST /v1/calendars/{id}/events`.
    PutEvent,
    /// `DELETE /v1/calendars/{id}/events`.
    DeleteEvent,
    /// Anything else.
    Unknown,
}

impl Endpoint {
    /// Whether calls carry an access token.
    pub(crate) fn needs_access_token(self) -> bool {
        !matches!(self, Self::Token | Self::Revoke | Self::ApplicationCalendars | Self::Unknown)
    }
}

/// What happens to a call instead of its usual answer. As JSON, spans of time are numbers of seconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Answer {
    /// This status and body, without any effect.
    Status {
        /// The status.
        status: u16,
        /// `Content-Type`.
        #[serde(default = "json_content", deserialize_with = "known_content")]
        content_type: ContentType,
        /// The body.
        #[serde(default)]
        body: String,
        /// `Retry-After`.
        #[serde(default)]
        retry_after: Option<String>,
    },
    /// The usual answer, but only the first half of its body.
    Truncated,
    /// The effect takes place, and the connection ends without an answer.
    LostAnswer,
    /// The connection ends before anything takes place.
    Cut,
    /// The same, by a reset.
    Reset,
    /// The effect takes place at once, its usual answer comes after this long.
    LateAnswer(#[serde(with = "crate::settings::seconds")] Duration),
    /// The usual answer and effect, after this long.
    Slow(#[serde(with = "crate::settings::seconds")] Duration),
    /// The usual answer, whose body takes this long to arrive.
    SlowBody(#[serde(with = "crate::settings::seconds")] Duration),
    /// The usual answer, without its body.
    EmptyBody,
    /// The usual answer, said to be HTML.
    WrongContentType,
    /// The usual answer, with a next page on another host.
    ForeignPage,
}

/// A `Content-Type`. As JSON, one of a few.
pub type ContentType = &'static str;

const JSON: &str = "application/json; charset=utf-8";

fn json_content() -> &'static str {
    JSON
}

/// Content types that faults can have.
fn known_content<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<&'static str, D::Error> {
    const KNOWN: [&str; 4] = [JSON, "application/json", "text/plain", "text/html"];
    let asked = String::deserialize(deserializer)?;
    KNOWN.into_iter().find(|known| *known == asked).ok_or_else(|| {
        serde::de::Error::custom(format!(
            "content_type {asked:?} is not one of {}",
            KNOWN.map(|known| format!("{known:?}")).join(", ")
        ))
    })
}

/// A fault for the next calls.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// For how many calls; as JSON, one if nothing is said.
    #[serde(default = "once")]
    pub times: usize,
    /// For which calls; `None`: all.
    #[serde(default)]
    pub endpoint: Option<Endpoint>,
    /// Of which account; `None`: of all.
    #[serde(default)]
    pub account: Option<String>,
    /// What happens.
    pub answer: Answer,
}

fn once() -> usize {
    1
}

impl Fault {
    /// A fault for the next `times` calls to an endpoint.
    #[must_use]
    pub fn next(times: usize, endpoint: Endpoint, answer: Answer) -> Self {
        Self { times, endpoint: Some(endpoint), account: None, answer }
    }

    /// The same for all endpoints.
    #[must_use]
    pub fn everywhere(times: usize, answer: Answer) -> Self {
        Self { times, endpoint: None, account: None, answer }
    }
}

impl Answer {
    /// A status with an empty body.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self::Status { status, content_type: JSON, body: String::new(), retry_after: None }
    }

    /// A status with this body.
    #[must_use]
    pub fn body(status: u16, body: impl Into<String>) -> Self {
        Self::Status { status, content_type: JSON, body: body.into(), retry_after: None }
    }

    /// 422 as documented, about one field.
    #[must_use]
    pub fn invalid(field: &str, key: &str) -> Self {
        Self::body(422, serde_json::json!({ "errors": { field: [{ "key": key, "description": key }] } }).to_string())
    }

    /// A status with a body that is no JSON.
    #[must_use]
    pub fn text(status: u16, body: impl Into<String>) -> Self {
        Self::Status { status, content_type: "text/plain", body: body.into(), retry_after: None }
    }

    /// 429.
    #[must_use]
    pub fn rate_limited(retry_after: Option<&str>) -> Self {
        Self::Status {
            status: 429,
            content_type: "text/plain",
            body: String::new(),
            retry_after: retry_after.map(ToOwned::to_owned),
        }
    }
}

/// Makes the next calls to an endpoint wait, until it is released or dropped.
#[derive(Debug)]
pub struct Hold {
    pub(crate) arrived: watch::Receiver<usize>,
    pub(crate) gate: Arc<Semaphore>,
}

impl Hold {
    /// Waits until a call waits here.
    pub async fn arrived(&self) {
        self.arrived_times(1).await;
    }

    /// Waits until so many calls wait here.
    pub async fn arrived_times(&self, calls: usize) {
        let mut arrived = self.arrived.clone();
        let _gone = arrived.wait_for(|count| *count >= calls).await;
    }

    /// Lets the calls go on.
    pub fn release(self) {}
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.gate.close();
    }
}

/// The other end of a [`Hold`].
#[derive(Debug)]
pub(crate) struct Gate {
    pub endpoint: Endpoint,
    pub left: usize,
    pub arrived: watch::Sender<usize>,
    pub open: Arc<Semaphore>,
}
