//! What can go wrong with a call, sorted by what the caller must do about it.

use std::fmt;
use std::time::Duration;

use crate::json::JsonFault;

/// Why a call did not succeed.
///
/// The enum is exhaustive on purpose: whoever decides about each failure gets told by the compiler when there is a new one.
/// No variant holds a credential, an e-mail address or any part of a successful answer; texts of the server are cut, cleaned
/// and stripped of all of these. [`Display`](fmt::Display) is one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No complete answer came. The call may have taken effect, except after [`TransportFault::Connect`].
    #[error("{endpoint}: {fault}: {detail}")]
    Transport {
        /// The call.
        endpoint: Endpoint,
        /// How it failed.
        fault: TransportFault,
        /// The transport's own words.
        detail: String,
    },
    /// 401 from the API: the access token is not recognised, mostly because it has expired. Refresh it and try once more; a
    /// second refusal needs patience or a person.
    #[error("{0}")]
    Unauthorized(Refusal),
    /// The grant (refresh token or authorization code) is revoked, used or unknown. Only a new authorization by the user helps.
    #[error("{0}")]
    InvalidGrant(Refusal),
    /// The client id or the client secret is wrong. All accounts of the application are affected, none of their grants.
    #[error("{0}")]
    InvalidClient(Refusal),
    /// 402: the application's plan lacks the feature.
    #[error("{0}")]
    PaymentRequired(Refusal),
    /// 403: the user has not granted the scope. Needs a new authorization.
    #[error("{0}")]
    Forbidden(Refusal),
    /// 404 or 410: there is no such calendar, channel or page. A page that is gone means: start the read again. A channel
    /// that is gone needs no closing.
    #[error("{0}")]
    NotFound(Refusal),
    /// 422: the request's content is refused; the same request will be refused again.
    #[error("{refusal}")]
    Invalid {
        /// The answer.
        refusal: Refusal,
        /// What is wrong with which parameter; empty if the answer does not say.
        fields: Vec<FieldError>,
    },
    /// 423: the account or profile is locked for now.
    #[error("{refusal}")]
    Locked {
        /// The answer.
        refusal: Refusal,
        /// How long the server asks to wait.
        retry_after: Option<Duration>,
    },
    /// 429: the rate limit of the whole *application* is exceeded, not only the account's.
    #[error("{refusal}")]
    RateLimited {
        /// The answer.
        refusal: Refusal,
        /// How long the server asks to wait.
        retry_after: Option<Duration>,
    },
    /// 5xx: the server is in trouble.
    #[error("{refusal}")]
    Server {
        /// The answer.
        refusal: Refusal,
        /// How long the server asks to wait.
        retry_after: Option<Duration>,
    },
    /// Any other status, redirects included. Redirects are never followed: the token would go along.
    #[error("{0}")]
    UnexpectedStatus(Refusal),
    /// The status says success, the body does not decode.
    #[error("{endpoint}: the answer is {fault}")]
    Malformed {
        /// The call.
        endpoint: Endpoint,
        /// Where and how, without any content.
        fault: JsonFault,
    },
    /// The status says success, the body is longer than [`Options::max_body_bytes`](crate::Options::max_body_bytes).
    #[error("{endpoint}: the answer is longer than {limit} bytes")]
    TooLarge {
        /// The call.
        endpoint: Endpoint,
        /// The limit in bytes.
        limit: usize,
    },
    /// The next page is on another host than the configured API. It is not fetched: the access token would go along.
    #[error("the next page is at {origin}, which is not the configured API")]
    ForeignPage {
        /// Scheme, host and port of the page, without path or query.
        origin: String,
    },
    /// The request was not sent, since it could not be right.
    #[error("the request was not sent: {reason}")]
    InvalidRequest {
        /// What is wrong with it.
        reason: &'static str,
    },
}

/// When the same request is worth sending again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Not before something outside has changed: the grant, the credentials, the plan, the request.
    Never,
    /// After this time, which the server asked for.
    After(Duration),
    /// After a time of the caller's choosing that grows with each failure.
    Backoff,
}

impl Error {
    /// A stable name for metric labels and Kubernetes reasons: `CamelCase`, one per variant, and one per fault for
    /// [`Error::Transport`].
    #[must_use]
    pub fn category(&self) -> &'static str {
        match self {
            Self::Transport { fault, .. } => match fault {
                TransportFault::Connect => "ConnectFailed",
                TransportFault::Timeout => "TimedOut",
                TransportFault::Reset => "ConnectionReset",
                TransportFault::CutBody => "AnswerCut",
            },
            Self::Unauthorized(_) => "Unauthorized",
            Self::InvalidGrant(_) => "InvalidGrant",
            Self::InvalidClient(_) => "InvalidClient",
            Self::PaymentRequired(_) => "PaymentRequired",
            Self::Forbidden(_) => "Forbidden",
            Self::NotFound(_) => "NotFound",
            Self::Invalid { .. } => "Invalid",
            Self::Locked { .. } => "Locked",
            Self::RateLimited { .. } => "RateLimited",
            Self::Server { .. } => "ServerError",
            Self::UnexpectedStatus(_) => "UnexpectedStatus",
            Self::Malformed { .. } => "MalformedAnswer",
            Self::TooLarge { .. } => "AnswerTooLarge",
            Self::ForeignPage { .. } => "ForeignPage",
            Self::InvalidRequest { .. } => "InvalidRequest",
        }
    }

    /// When the same request, with the same credentials, is worth sending again.
    ///
    /// For [`Error::Unauthorized`] this is the answer *after* a fresh access token was refused as well; for
    /// [`Error::NotFound`] it is about the same channel or page.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            Self::InvalidGrant(_)
            | Self::InvalidClient(_)
            | Self::PaymentRequired(_)
            | Self::Forbidden(_)
            | Self::NotFound(_)
            | Self::Invalid { .. }
            | Self::InvalidRequest { .. } => Retry::Never,
            Self::Locked { retry_after, .. }
            | Self::RateLimited { retry_after, .. }
            | Self::Server { retry_after, .. } => retry_after.map_or(Retry::Backoff, Retry::After),
            Self::Transport { .. }
            | Self::Unauthorized(_)
            | Self::UnexpectedStatus(_)
            | Self::Malformed { .. }
            | Self::TooLarge { .. }
            | Self::ForeignPage { .. } => Retry::Backoff,
        }
    }
}

/// An answer that refuses the call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The call.
    pub endpoint: Endpoint,
    /// The HTTP status.
    pub status: u16,
    /// The beginning of the body, at most 256 characters, without credentials, e-mail addresses and control characters.
    pub excerpt: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: status {}", self.endpoint, self.status)?;
        if !self.excerpt.is_empty() {
            write!(f, ": {}", self.excerpt)?;
        }
        Ok(())
    }
}

/// One entry of a 422 answer's `errors`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// The parameter.
    pub field: String,
    /// The machine-readable reason, for example `errors.required`.
    pub key: Option<String>,
    /// The reason for people.
    pub description: Option<String>,
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.field)?;
        match (&self.key, &self.description) {
            (Some(key), Some(description)) => write!(f, ": {description} ({key})"),
            (Some(text), None) | (None, Some(text)) => write!(f, ": {text}"),
            (None, None) => Ok(()),
        }
    }
}

/// How a call failed below HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TransportFault {
    /// No connection: name not resolved, refused, not in time, certificate not accepted. Nothing was sent.
    Connect,
    /// Connected, but the complete answer did not come in time.
    Timeout,
    /// The connection ended before an answer began.
    Reset,
    /// The connection ended within the answer's body.
    CutBody,
}

impl fmt::Display for TransportFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "cannot connect",
            Self::Timeout => "timed out",
            Self::Reset => "connection lost before the answer",
            Self::CutBody => "connection lost within the answer",
        })
    }
}

/// The calls of this client, as labels for messages and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `POST /oauth/token` with a refresh token.
    RefreshToken,
    /// `POST /oauth/token` with an authorization code.
    ExchangeCode,
    /// `POST /v1/application_calendars`.
    ApplicationCalendar,
    /// `POST /oauth/token/revoke`.
    Revoke,
    /// `GET /v1/userinfo`.
    UserInfo,
    /// `GET /v1/calendars`.
    Calendars,
    /// `POST /v1/channels`.
    CreateChannel,
    /// `GET /v1/channels`.
    ListChannels,
    /// `DELETE /v1/channels/{channel_id}`.
    CloseChannel,
    /// `GET /v1/events`.
    Events,
    /// `GET` of a further page of events.
    EventsPage,
}

impl Endpoint {
    /// A stable name in `snake_case`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RefreshToken => "refresh_token",
            Self::ExchangeCode => "exchange_code",
            Self::ApplicationCalendar => "application_calendar",
            Self::Revoke => "revoke",
            Self::UserInfo => "userinfo",
            Self::Calendars => "calendars",
            Self::CreateChannel => "create_channel",
            Self::ListChannels => "list_channels",
            Self::CloseChannel => "close_channel",
            Self::Events => "events",
            Self::EventsPage => "events_page",
        }
    }

    /// Method and path, with the names of what is filled in: `DELETE /v1/channels/{channel_id}`. Never an address, which of a
    /// page of events is its own key.
    #[must_use]
    pub fn template(self) -> &'static str {
        match self {
            Self::RefreshToken | Self::ExchangeCode => "POST /oauth/token",
            Self::ApplicationCalendar => "POST /v1/application_calendars",
            Self::Revoke => "POST /oauth/token/revoke",
            Self::UserInfo => "GET /v1/userinfo",
            Self::Calendars => "GET /v1/calendars",
            Self::CreateChannel => "POST /v1/channels",
            Self::ListChannels => "GET /v1/channels",
            Self::CloseChannel => "DELETE /v1/channels/{channel_id}",
            Self::Events => "GET /v1/events",
            Self::EventsPage => "GET /v1/events/pages/{page}",
        }
    }

    /// Whether the call authenticates with the application's own credentials in the body, as OAuth's token endpoints do,
    /// so that a refusal is about them or about the grant, not about an access token.
    pub(crate) fn takes_client_credentials(self) -> bool {
        match self {
            Self::RefreshToken | Self::ExchangeCode | Self::ApplicationCalendar | Self::Revoke => true,
            Self::UserInfo
            | Self::Calendars
            | Self::CreateChannel
            | Self::ListChannels
            | Self::CloseChannel
            | Self::Events
            | Self::EventsPage => false,
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
