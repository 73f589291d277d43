//! Turns an answer whose status is not 2xx into the error that says what to do.

use std::time::Duration;

use serde_json::Value;

use crate::error::{Endpoint, Error, FieldError, Refusal};
use crate::excerpt::{FIELD_CHARS, Redactor};

/// The most entries of a 422 answer that are kept.
const MAX_FIELDS: usize = 16;

/// An answer whose status is not 2xx. The body may be incomplete: the status alone decides, wherever it can.
pub(crate) struct Refused<'a> {
    pub(crate) endpoint: Endpoint,
    pub(crate) status: u16,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) body: &'a [u8],
}

impl Refused<'_> {
    pub(crate) fn into_error(self, redactor: &Redactor) -> Error {
        let Self { endpoint, status, retry_after, body } = self;
        let refusal = Refusal { endpoint, status, excerpt: redactor.body(body) };
        if endpoint.takes_client_credentials() && matches!(status, 400 | 401) {
            return match oauth_reason(body) {
                Some(OauthReason::Grant) => Error::InvalidGrant(refusal),
                Some(OauthReason::Client) => Error::InvalidClient(refusal),
                // Which status and body answer a wrong client secret is not documented; 401 is by RFC 6749.
                None if status == 401 => Error::InvalidClient(refusal),
                None => Error::UnexpectedStatus(refusal),
            };
        }
        match status {
            401 => Error::Unauthorized(refusal),
            402 => Error::PaymentRequired(refusal),
            403 => Error::Forbidden(refusal),
            404 | 410 => Error::NotFound(refusal),
            422 => Error::Invalid { fields: field_errors(body, redactor), refusal },
            423 => Error::Locked { refusal, retry_after },
            429 => Error::RateLimited { refusal, retry_after },
            500..=599 => Error::Server { refusal, retry_after },
            _ => Error::UnexpectedStatus(refusal),
        }
    }
}

enum OauthReason {
    Grant,
    Client,
}

/// `{"error": "invalid_grant"}` and its kin, RFC 6749 section 5.2. Cronofy's documentation also names
/// `errors.unknown_or_used` for an authorization code, without saying where in the answer it stands.
fn oauth_reason(body: &[u8]) -> Option<OauthReason> {
    let value: Value = serde_json::from_slice(body).ok()?;
    match value.get("error").and_then(Value::as_str) {
        Some("invalid_grant") => Some(OauthReason::Grant),
        Some("invalid_client") => Some(OauthReason::Client),
        _ if value.to_string().contains("\"errors.unknown_or_used\"") => Some(OauthReason::Grant),
        _ => None,
    }
}

/// Documented is `{"errors": {field: [{"key", "description"}]}}`; a missing level or a plain text in a level's place is
/// accepted, and whatever else yields nothing: the excerpt remains.
fn field_errors(body: &[u8], redactor: &Redactor) -> Vec<FieldError> {
    let Ok(value) = serde_json::from_slice::<Value>(body) else { return Vec::new() };
    let Some(errors) = value.get("errors").and_then(Value::as_object) else { return Vec::new() };
    let clean = |text: &str| redactor.text(text, FIELD_CHARS);
    let text_of = |reason: &Value, name: &str| reason.get(name).and_then(Value::as_str).map(clean);
    let mut fields = Vec::new();
    for (field, reasons) in errors {
        let reasons = reasons.as_array().map_or(std::slice::from_ref(reasons), Vec::as_slice);
        for reason in reasons {
            fields.push(FieldError {
                field: clean(field),
                key: text_of(reason, "key"),
                description: text_of(reason, "description").or_else(|| reason.as_str().map(clean)),
            });
        }
    }
    fields.truncate(MAX_FIELDS);
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Retry;

    fn error(endpoint: Endpoint, status: u16, body: &str) -> Error {
        let redactor = Redactor::new(&["at_5e0c41"]);
        Refused { endpoint, status, retry_after: None, body: body.as_bytes() }.into_error(&redactor)
    }

    #[test]
    fn each_status_has_its_category_and_retry() {
        let table = [
            (301, "UnexpectedStatus", Retry::Backoff),
            (400, "UnexpectedStatus", Retry::Backoff),
            (401, "Unauthorized", Retry::Backoff),
            (402, "PaymentRequired", Retry::Never),
            (403, "Forbidden", Retry::Never),
            (404, "NotFound", Retry::Never),
            (410, "NotFound", Retry::Never),
            (418, "UnexpectedStatus", Retry::Backoff),
            (422, "Invalid", Retry::Never),
            (423, "Locked", Retry::Backoff),
            (429, "RateLimited", Retry::Backoff),
            (500, "ServerError", Retry::Backoff),
            (502, "ServerError", Retry::Backoff),
            (503, "ServerError", Retry::Backoff),
            (504, "ServerError", Retry::Backoff),
        ];
        for (status, category, retry) in table {
            let error = error(Endpoint::Events, status, "");
            assert_eq!((error.category(), error.retry()), (category, retry), "{status}");
            assert_eq!(error.to_string(), format!("events: status {status}"));
        }
    }

    #[test]
    fn a_revoked_grant_and_wrong_credentials_are_told_apart() {
        let table = [
            (400, r#"{"error":"invalid_grant"}"#, "InvalidGrant"),
            (401, r#"{"error":"invalid_grant"}"#, "InvalidGrant"),
            (400, r#"{"errors":{"code":[{"key":"errors.unknown_or_used"}]}}"#, "InvalidGrant"),
            (400, r#"{"error":"invalid_client"}"#, "InvalidClient"),
            (401, "", "InvalidClient"),
            (401, "<html>", "InvalidClient"),
            (400, r#"{"error":"unsupported_grant_type"}"#, "UnexpectedStatus"),
            (400, r#"{"error":{"error":"invalid_grant"}}"#, "UnexpectedStatus"),
            (400, "invalid_grant", "UnexpectedStatus"),
            (403, r#"{"error":"invalid_grant"}"#, "Forbidden"),
        ];
        for endpoint in
            [Endpoint::RefreshToken, Endpoint::ExchangeCode, Endpoint::ApplicationCalendar, Endpoint::Revoke]
        {
            for (status, body, category) in table {
                assert_eq!(error(endpoint, status, body).category(), category, "{endpoint} {status} {body}");
            }
        }
        assert_eq!(error(Endpoint::Events, 401, r#"{"error":"invalid_grant"}"#).category(), "Unauthorized");
    }

    #[test]
    fn a_422_is_understood_as_far_as_it_goes() {
        let shown = |body: &str| match error(Endpoint::CreateChannel, 422, body) {
            Error::Invalid { fields, .. } => fields.iter().map(ToString::to_string).collect::<Vec<_>>(),
            other => panic!("{other}"),
        };
        let table: [(&str, &[&str]); 8] = [
            (
                r#"{"errors":{"callback_url":[{"key":"errors.required","description":"required"}]}}"#,
                &["callback_url: required (errors.required)"],
            ),
            (r#"{"errors":{"a":[{"key":"k"},{"description":"d"},{}],"b":"text"}}"#, &["a: k", "a: d", "a", "b: text"]),
            (r#"{"errors":{"email":{"description":"ana@example.org"}}}"#, &["email: [email]"]),
            (r#"{"errors":{"t":["at_5e0c41"]}}"#, &["t: [redacted]"]),
            (r#"{"errors":[]}"#, &[]),
            (r#"{"message":"no"}"#, &[]),
            ("", &[]),
            ("Unprocessable", &[]),
        ];
        for (body, fields) in table {
            assert_eq!(shown(body), fields, "{body}");
        }
        let many = format!(r#"{{"errors":{{"a":[{}1]}}}}"#, "1,".repeat(100));
        assert_eq!(shown(&many).len(), MAX_FIELDS);
    }
}
