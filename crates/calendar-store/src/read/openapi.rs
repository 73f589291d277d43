//! What is offered to readers, as a document for programs. It is checked in, so that each change of it is seen.

use axum::response::{IntoResponse as _, Response};
use http::{HeaderValue, header};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use utoipa::{IntoResponses, Modify, OpenApi};

use super::documents::Refusal;

/// The document as it is checked in.
const DOCUMENT: &str = include_str!("../../openapi.json");

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Calendar store",
        description = "Events of the calendars that CalendarSubscriptions copy. Parameters that are not known are refused."
    ),
    paths(
        super::events::events,
        super::now::now,
        super::freebusy::freebusy,
        super::changes::changes,
        super::ics::ics,
        openapi
    ),
    tags(
        (name = "events", description = "What is in a calendar"),
        (name = "changes", description = "What changes in it"),
        (name = "document", description = "This document"),
    ),
    modifiers(&Tokens)
)]
struct Document;

/// How who asks is known.
struct Tokens;

impl Modify for Tokens {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        let mut token = Http::new(HttpAuthScheme::Bearer);
        token.description = Some(
            "A token of Kubernetes. Whoever may `get` `calendarsubscriptions/events` of the name may read it."
                .to_owned(),
        );
        components.add_security_scheme("token", SecurityScheme::Http(token));
        let feed = "The token of a feed, for programs that subscribe to calendars and can send no header.";
        let feed = ApiKeyValue::with_description("token", feed);
        components.add_security_scheme("feed", SecurityScheme::ApiKey(ApiKey::Query(feed)));
    }
}

/// How requests are refused.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "it is here for its description: crate::Problem is what is sent")]
pub enum Refusals {
    /// The request is not as documented.
    #[response(status = 400, content_type = "application/problem+json")]
    Invalid(Refusal),
    /// Who asks is not known.
    #[response(status = 401, content_type = "application/problem+json")]
    Unauthorized(Refusal),
    /// Who asks may not do that.
    #[response(status = 403, content_type = "application/problem+json")]
    Forbidden(Refusal),
    /// Nothing is stored of a subscription of that name.
    #[response(status = 404, content_type = "application/problem+json")]
    NotFound(Refusal),
    /// Only GET and HEAD are allowed.
    #[response(status = 405, content_type = "application/problem+json")]
    Method(Refusal),
    /// Too many requests at a time: try again after `Retry-After`.
    #[response(status = 429, content_type = "application/problem+json")]
    Busy(Refusal),
    /// Something that is needed does not answer: try again after `Retry-After`.
    #[response(status = 503, content_type = "application/problem+json")]
    Unavailable(Refusal),
}

/// Gives this document.
#[utoipa::path(
    get,
    path = "/v1/openapi.json",
    tag = "document",
    responses((status = 200, description = "OpenAPI 3.1", content_type = "application/json", body = Object))
)]
pub async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], DOCUMENT).into_response()
}

/// The document as the code has it, to be checked in.
#[must_use]
pub fn document() -> String {
    let mut text = Document::openapi().to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}
