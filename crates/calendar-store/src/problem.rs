//! How a request is refused: RFC 9457, with a word for programs and, where there is one, the field that is wrong.

use axum::Json;
use axum::response::{IntoResponse, Response};
use calendar_store_client::Reason;
use http::{HeaderValue, StatusCode, header};

use crate::database;
use crate::spool::LineError;

/// A refusal.
#[derive(Debug)]
pub struct Problem(calendar_store_client::Problem);

impl Problem {
    /// A refusal for this reason.
    #[must_use]
    pub fn new(reason: Reason, detail: impl Into<String>) -> Self {
        let (status, title) = match reason {
            Reason::Invalid => (StatusCode::BAD_REQUEST, "The request is not as documented"),
            Reason::Unauthorized => (StatusCode::UNAUTHORIZED, "Who asks is not known"),
            Reason::Forbidden => (StatusCode::FORBIDDEN, "Who asks may not do that"),
            Reason::NotFound => (StatusCode::NOT_FOUND, "There is nothing of that name"),
            Reason::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "That is not done here"),
            Reason::HeadMoved => (StatusCode::CONFLICT, "Something else is stored by now"),
            Reason::Conflict => (StatusCode::CONFLICT, "The name is taken"),
            Reason::Inconsistent => (StatusCode::CONFLICT, "The lines do not make up the state"),
            Reason::Gone => (StatusCode::GONE, "What is asked for is no longer told"),
            Reason::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "The request is too large"),
            Reason::Busy => (StatusCode::TOO_MANY_REQUESTS, "Too many requests at a time"),
            Reason::Defect => (StatusCode::INTERNAL_SERVER_ERROR, "A defect of the store"),
            Reason::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "Something that is needed does not answer"),
        };
        Self(calendar_store_client::Problem {
            status: status.as_u16(),
            title: title.to_owned(),
            reason,
            detail: detail.into(),
            field: None,
        })
    }

    /// The same with a status that says it more exactly.
    #[must_use]
    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.0.status = status.as_u16();
        self
    }

    /// The same, about this parameter, header or line.
    #[must_use]
    pub fn of(mut self, field: impl Into<String>) -> Self {
        self.0.field = Some(field.into());
        self
    }

    /// What is sent of it.
    pub(crate) fn document(&self) -> &calendar_store_client::Problem {
        &self.0
    }

    /// Why.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.0.reason
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(&self.0)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.0.reason == Reason::Unauthorized {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if matches!(self.0.reason, Reason::Unavailable | Reason::Busy) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        }
        response
    }
}

impl From<LineError> for Problem {
    fn from(error: LineError) -> Self {
        let reason = match error {
            LineError::TooLarge { .. } | LineError::LineTooLarge { .. } => Reason::TooLarge,
            LineError::Broken(_) | LineError::Malformed { .. } | LineError::CutOff { .. } => Reason::Invalid,
            LineError::Disk(_) => Reason::Unavailable,
        };
        Self::new(reason, error.to_string())
    }
}

impl From<database::Error> for Problem {
    fn from(error: database::Error) -> Self {
        let reason = match error {
            database::Error::Line(error) => return error.into(),
            database::Error::HeadMoved { .. } => Reason::HeadMoved,
            database::Error::Conflict { .. } => Reason::Conflict,
            database::Error::Inconsistent { .. } => Reason::Inconsistent,
            database::Error::Scheme
            | database::Error::NoFile
            | database::Error::Unreachable(_)
            | database::Error::Migration(_)
            | database::Error::Damaged(_)
            | database::Error::Unavailable(_) => {
                // What a database says may hold names and addresses: it is for the log.
                tracing::error!(%error, "the database did not do what it was asked for");
                return Self::new(Reason::Unavailable, "the database did not answer: try again in a moment");
            }
        };
        Self::new(reason, error.to_string())
    }
}
