//! What a failed call means to the engine: one word, one line for a person, and when to try again.

use calendar_sync::{Failure, Reason, Retry};
use cronofy::TransportFault;

use super::accounts;

/// A failed call to Cronofy. Neither 401 nor 404 comes here: the engine decides about those.
#[must_use]
pub fn cronofy(error: &cronofy::Error) -> Failure {
    let retry = match error.retry() {
        cronofy::Retry::Never => Retry::Never,
        cronofy::Retry::After(time) => Retry::After(time),
        cronofy::Retry::Backoff => Retry::Backoff,
    };
    let (reason, message) = said(error);
    Failure { reason, message, retry }
}

fn said(error: &cronofy::Error) -> (Reason, String) {
    use cronofy::Error;
    match error {
        Error::Transport { endpoint, fault, .. } => (
            Reason::CronofyUnreachable,
            match fault {
                TransportFault::Connect => {
                    format!("{endpoint}: no connection to Cronofy: check egress, DNS and proxies; it is tried again")
                }
                TransportFault::Timeout => format!("{endpoint}: Cronofy did not answer in time: it is tried again"),
                TransportFault::Reset | TransportFault::CutBody => {
                    format!("{endpoint}: the connection to Cronofy broke: it is tried again")
                }
            },
        ),
        Error::Unauthorized(_) => (
            Reason::Unauthorized,
            "Cronofy does not recognise the access token (401): it is tried again with a new one".to_owned(),
        ),
        Error::InvalidGrant(_) => (
            Reason::AuthorizationRevoked,
            "the account's authorization is revoked or unknown to Cronofy: let the owner authorize again, and put the new \
             refresh_token into the Secret"
                .to_owned(),
        ),
        Error::InvalidClient(_) => (
            Reason::ClientCredentialsInvalid,
            "Cronofy refuses the application's client_id or client_secret: correct the Secret that the CronofyApplication \
             names, and check spec.dataCenter"
                .to_owned(),
        ),
        Error::PaymentRequired(refusal) => (
            Reason::PlanRequired,
            format!("{}: the application's plan at Cronofy lacks this feature (402): change the plan", refusal.endpoint),
        ),
        Error::Forbidden(refusal) => (
            Reason::InsufficientScope,
            format!(
                "{}: the account's authorization lacks a scope (403): let the owner authorize again with read_events, and \
                 put the new refresh_token into the Secret",
                refusal.endpoint
            ),
        ),
        Error::NotFound(refusal) => (
            Reason::NotFound,
            format!("{}: Cronofy does not find it (404): check spec.calendarIds and spec.dataCenter", refusal.endpoint),
        ),
        Error::Invalid { refusal, fields } => (
            Reason::InvalidRequest,
            match fields.first() {
                Some(field) => format!(
                    "{}: Cronofy refuses the request (422), {}: {}; correct the spec",
                    refusal.endpoint, field.field, field.key.as_deref().unwrap_or("invalid")
                ),
                None => format!("{}: Cronofy refuses the request (422): correct the spec", refusal.endpoint),
            },
        ),
        Error::Locked { refusal, .. } => (
            Reason::Locked,
            format!("{}: the account is locked at Cronofy for now (423): it is tried again", refusal.endpoint),
        ),
        Error::RateLimited { .. } => (
            Reason::RateLimited,
            "the application's request limit at Cronofy is spent (429): all its subscriptions wait; lower spec.limits of the \
             CronofyApplication, or ask Cronofy for more"
                .to_owned(),
        ),
        Error::Server { refusal, .. } => (
            Reason::CronofyUnavailable,
            format!("{}: Cronofy is in trouble ({}): it is tried again", refusal.endpoint, refusal.status),
        ),
        Error::UnexpectedStatus(refusal) => (
            Reason::MalformedAnswer,
            format!(
                "{}: status {} is not one that Cronofy documents: check for a proxy in between; it is tried again",
                refusal.endpoint, refusal.status
            ),
        ),
        Error::Malformed { endpoint, .. } => (
            Reason::MalformedAnswer,
            format!("{endpoint}: the answer is not JSON as Cronofy documents it: check for a proxy in between; it is tried again"),
        ),
        Error::TooLarge { endpoint, limit } => (
            Reason::MalformedAnswer,
            format!("{endpoint}: the answer is longer than {limit} bytes: narrow spec.window or spec.calendarIds"),
        ),
        Error::ForeignPage { origin } => (
            Reason::ForeignPage,
            format!(
                "Cronofy's next page is at {origin}, which is not the application's API, so it was not read: check \
                 spec.dataCenter; it is tried again"
            ),
        ),
        Error::InvalidRequest { reason } => {
            (Reason::InvalidRequest, format!("the request was not sent, since {reason}: correct the spec"))
        }
    }
}

/// No access token.
#[must_use]
pub fn account(error: &accounts::Error) -> Failure {
    match error {
        accounts::Error::Cronofy(error) => cronofy(error),
        accounts::Error::Secret(error) => Failure {
            reason: Reason::SecretUnavailable,
            message: error.to_string(),
            retry: if error.waits_for_a_person() { Retry::Never } else { Retry::Backoff },
        },
    }
}

/// The HTTP status of an answer, for metrics.
#[must_use]
pub fn answered_with<T>(answer: &Result<T, cronofy::Error>) -> Option<u16> {
    answer.as_ref().map_or_else(status, |_| Some(200))
}

fn status(error: &cronofy::Error) -> Option<u16> {
    use cronofy::Error;
    match error {
        Error::Unauthorized(refusal)
        | Error::InvalidGrant(refusal)
        | Error::InvalidClient(refusal)
        | Error::PaymentRequired(refusal)
        | Error::Forbidden(refusal)
        | Error::NotFound(refusal)
        | Error::Invalid { refusal, .. }
        | Error::Locked { refusal, .. }
        | Error::RateLimited { refusal, .. }
        | Error::Server { refusal, .. }
        | Error::UnexpectedStatus(refusal) => Some(refusal.status),
        Error::Malformed { .. } | Error::TooLarge { .. } | Error::ForeignPage { .. } => Some(200),
        Error::Transport { .. } | Error::InvalidRequest { .. } => None,
    }
}

/// A time zone whose name cannot be sent.
#[must_use]
pub fn time_zone(error: cronofy::TzIdError) -> Failure {
    let message = format!("spec.timeZone cannot be sent to Cronofy ({error}): correct it");
    Failure { reason: Reason::InvalidRequest, message, retry: Retry::Never }
}
