//! What a failed call means to the engine: one word, one line for a person, and when to try again.

use calendar_sync::{Failure, Reason, Retry};
use cronofy::{Endpoint, FieldError, TransportFault};

use super::accounts::{self, AccountKey, Grant};
use super::budget::Paused;

const RATE_LIMITED: &str = "the application's request limit at Cronofy is spent (429): all its subscriptions wait; lower \
                            spec.limits of the CronofyApplication, or ask Cronofy for more";

/// A failed call to Cronofy in the name of a grant. Of 401 and 404 only those of the call for a token come here: the engine
/// decides about the others.
#[must_use]
pub fn cronofy(error: &cronofy::Error, grant: &Grant) -> Failure {
    let retry = match error.retry() {
        // A proxy that has lost its way answers 404, too.
        cronofy::Retry::Never if matches!(error, cronofy::Error::NotFound(_)) => Retry::Backoff,
        cronofy::Retry::Never => Retry::Never,
        cronofy::Retry::After(time) => Retry::After(time),
        cronofy::Retry::Backoff => Retry::Backoff,
    };
    let (reason, message) = said(error, grant);
    Failure { reason, message, retry }
}

fn said(error: &cronofy::Error, grant: &Grant) -> (Reason, String) {
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
            format!("the account's authorization is revoked or unknown to Cronofy: {}", authorize_again(grant, "")),
        ),
        Error::InvalidClient(_) => (
            Reason::ClientCredentialsInvalid,
            format!(
                "Cronofy refuses the application's credentials: correct client_id and client_secret in Secret {}, and check \
                 spec.dataCenter of the CronofyApplication",
                grant.credentials
            ),
        ),
        Error::PaymentRequired(refusal) => (
            Reason::PlanRequired,
            format!(
                "{}: the application's plan at Cronofy lacks this feature (402): change the plan; it is tried \
                 again each hour",
                refusal.endpoint
            ),
        ),
        Error::Forbidden(refusal) => (
            Reason::InsufficientScope,
            format!(
                "{}: the account's authorization lacks a scope (403): {}",
                refusal.endpoint,
                authorize_again(grant, " with read_events")
            ),
        ),
        Error::NotFound(refusal) => (
            Reason::NotFound,
            format!(
                "{}: there is no such call at the application's API (404): check spec.dataCenter or spec.endpoint of the \
                 CronofyApplication; it is tried again",
                refusal.endpoint
            ),
        ),
        Error::Invalid { refusal, fields } => (Reason::InvalidRequest, invalid(refusal.endpoint, fields.first())),
        Error::Locked { refusal, .. } => (
            Reason::Locked,
            format!("{}: the account is locked at Cronofy for now (423): it is tried again", refusal.endpoint),
        ),
        Error::RateLimited { .. } => (Reason::RateLimited, RATE_LIMITED.to_owned()),
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
            format!(
                "{endpoint}: the answer is not JSON as Cronofy documents it: check for a proxy in between; it is tried again"
            ),
        ),
        Error::TooLarge { endpoint, limit } => (
            Reason::MalformedAnswer,
            format!(
                "{endpoint}: the answer is longer than {limit} bytes: {}",
                match endpoint {
                    Endpoint::Events | Endpoint::EventsPage => "narrow spec.window or spec.calendarIds",
                    _ => "check for a proxy in between; it is tried again",
                }
            ),
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

/// A 422: which setting is wrong, if Cronofy tells.
fn invalid(endpoint: Endpoint, field: Option<&FieldError>) -> String {
    let Some(FieldError { field, key, description: _ }) = field else {
        return format!("{endpoint}: Cronofy refuses the request (422): correct the spec");
    };
    let key = key.as_deref().unwrap_or("invalid");
    match setting(field) {
        Some(setting) => format!("{endpoint}: Cronofy refuses {setting} (422, {key}): correct it"),
        None => format!("{endpoint}: Cronofy refuses the request (422), {field}: {key}; correct the spec"),
    }
}

/// Another request of the application was answered with 429.
#[must_use]
pub fn paused(Paused(rest): Paused) -> Failure {
    Failure { reason: Reason::RateLimited, message: RATE_LIMITED.to_owned(), retry: Retry::After(rest) }
}

/// A list of events that leads to a page of it anew.
#[must_use]
pub fn circular_pages() -> Failure {
    let message = "Cronofy's list of events leads in a circle: the read was given up and is tried again".to_owned();
    Failure { reason: Reason::MalformedAnswer, message, retry: Retry::Backoff }
}

/// What brings a grant back that is not enough.
fn authorize_again(grant: &Grant, with: &str) -> String {
    match &grant.account {
        AccountKey::Secret(secret) => {
            format!("let the owner authorize again{with}, and put the new refresh_token into Secret {secret}")
        }
        AccountKey::ApplicationCalendar(_) => {
            "check at Cronofy what the application may do, and spec.account.applicationCalendarId; it is tried again each hour"
                .to_owned()
        }
    }
}

/// Where that stands which we send as a parameter of Cronofy's.
fn setting(parameter: &str) -> Option<&'static str> {
    Some(match parameter.strip_prefix("filters.").unwrap_or(parameter) {
        "tzid" => "spec.timeZone",
        "from" | "to" => "spec.window",
        "calendar_ids" | "calendar_ids[]" => "spec.calendarIds",
        "only_managed" => "spec.onlyManaged",
        "include_managed" => "spec.includeManaged",
        "application_calendar_id" => "spec.account.applicationCalendarId",
        "callback_url" => "the operator's --webhook-base-url",
        _ => return None,
    })
}

/// No access token.
#[must_use]
pub fn account(error: &accounts::Error, grant: &Grant) -> Failure {
    match error {
        accounts::Error::Cronofy(error) => cronofy(error, grant),
        accounts::Error::Paused(pause) => paused(*pause),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::context::ApplicationKey;
    use crate::controller::secrets::SecretKey;

    #[test]
    fn the_remedy_for_a_long_answer_is_one_that_makes_it_shorter() {
        let key = |name: &str| SecretKey { namespace: "rooms".to_owned(), name: name.to_owned() };
        let grant = Grant {
            application: ApplicationKey { namespace: "rooms".to_owned(), name: "app".to_owned() },
            credentials: key("app"),
            api: "https://example.org".to_owned(),
            account: AccountKey::Secret(key("account")),
        };
        for (endpoint, remedy) in [
            (Endpoint::Events, "narrow spec.window or spec.calendarIds"),
            (Endpoint::EventsPage, "narrow spec.window or spec.calendarIds"),
            (Endpoint::UserInfo, "check for a proxy in between; it is tried again"),
        ] {
            let Failure { message, .. } = cronofy(&cronofy::Error::TooLarge { endpoint, limit: 7 }, &grant);
            assert_eq!(message, format!("{endpoint}: the answer is longer than 7 bytes: {remedy}"));
        }
    }
}
