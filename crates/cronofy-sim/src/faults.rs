//! Faults that the next calls run into, and holds that make calls wait.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};

/// The calls that are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
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

/// What happens to a call instead of its usual answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// This status and body, without any effect.
    Status {
        /// The status.
        status: u16,
        /// `Content-Type`.
        content_type: &'static str,
        /// The body.
        body: String,
        /// `Retry-After`.
        retry_after: Option<String>,
    },
    /// The usual answer, but only the first half of its body.
    Truncated,
    /// The effect takes place, and the connection ends without an answer.
    LostAnswer,
    /// The connection ends before anything takes place.
    Cut,
    /// The effect takes place at once, its usual answer comes after this long.
    LateAnswer(Duration),
    /// The usual answer and effect, after this long.
    Slow(Duration),
    /// The usual answer, with a next page on another host.
    ForeignPage,
}

/// A fault for the next calls.
#[derive(Clone, Debug)]
pub struct Fault {
    /// For how many calls.
    pub times: usize,
    /// For which calls; `None`: all.
    pub endpoint: Option<Endpoint>,
    /// Of which account; `None`: of all.
    pub account: Option<String>,
    /// What happens.
    pub answer: Answer,
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
        Self::Status { status, content_type: "application/json; charset=utf-8", body: String::new(), retry_after: None }
    }

    /// A status with this body.
    #[must_use]
    pub fn body(status: u16, body: impl Into<String>) -> Self {
        Self::Status { status, content_type: "application/json; charset=utf-8", body: body.into(), retry_after: None }
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
        let mut arrived = self.arrived.clone();
        let _gone = arrived.wait_for(|count| *count > 0).await;
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
