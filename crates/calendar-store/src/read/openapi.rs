//! What is offered to readers, as a document for programs. It is checked in, so that each change of it is seen.

use axum::response::{IntoResponse as _, Response};
use http::{HeaderValue, header};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use utoipa::{IntoParams, IntoResponses, Modify, OpenApi, ToSchema};

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
        super::subscriptions::subscriptions,
        super::events::events,
        super::now::now,
        super::freebusy::freebusy,
        super::changes::changes,
        super::ics::ics,
        crate::feeds::list,
        crate::feeds::create,
        crate::feeds::revoke,
        openapi
    ),
    tags(
        (name = "subscriptions", description = "Which calendars there are"),
        (name = "events", description = "What is in a calendar"),
        (name = "changes", description = "What changes in it"),
        (name = "feeds", description = "Addresses for calendar programs, each with a token of its own"),
        (name = "document", description = "This document"),
    ),
    components(schemas(SubscriptionName)),
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

/// Whom a request is about, in its path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "it is here for its description: super::subject::Subject is what is parsed")]
pub struct Of {
    /// Namespace of the subscription.
    #[param(max_length = 63, pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
    namespace: String,
    /// Its name.
    #[param(max_length = 253, pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")]
    name: String,
}

/// The name of a subscription.
#[derive(ToSchema)]
#[schema(
    max_length = 253,
    pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
    example = "on-call"
)]
#[expect(dead_code, reason = "it is here for its description: super::subject::checked_name is what holds")]
pub struct SubscriptionName(String);

/// What is known already.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "it is here for its description: super::tag::Tag looks at it")]
pub struct Known {
    /// `ETag` of the answer that is known; if it still holds, the answer is 304 and has no body. Not of a stream.
    #[param(rename = "If-None-Match", nullable = false)]
    tag: Option<String>,
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
    /// The method is none of this path: `Allow` names those there are.
    #[response(status = 405, content_type = "application/problem+json")]
    Method(Refusal),
    /// Too many requests at a time: try again after `Retry-After`.
    #[response(status = 429, content_type = "application/problem+json")]
    Busy(Refusal),
    /// A defect of the store: please report it.
    #[response(status = 500, content_type = "application/problem+json")]
    Defect(Refusal),
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
