//! The API of feeds: tokens for calendar programs, which can show none of Kubernetes. A token opens the `.ics` of one
//! subscription and nothing else, until it is revoked or the subscription is erased.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequestParts, RawPathParams, State};
use axum::routing::{delete, get};
use axum::{Json, Router};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use calendar_store_client::Reason;
use calendar_sync::hex;
use http::request::Parts;
use http::{HeaderName, HeaderValue, StatusCode, header};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;

use crate::database::{Database, Feed};
use crate::read::openapi::{Of, Refusals};
use crate::read::query::Query;
use crate::read::subject::{checked_name, checked_namespace};
use crate::{Access, Credentials, FeedVerb, Problem};

/// The longest label, in characters.
const LONGEST_LABEL: usize = 100;
/// The most feeds of one subscription.
const MOST: usize = 100;
/// Bytes of a token.
const TOKEN_BYTES: usize = 32;

/// The routes, for those who have the rights on `calendarsubscriptions/feeds`.
pub fn routes(database: Database, access: Arc<dyn Access>) -> Router {
    Router::new()
        .route("/v1/namespaces/{namespace}/calendarsubscriptions/{name}/feeds", get(list).post(create))
        .route("/v1/namespaces/{namespace}/calendarsubscriptions/{name}/feeds/{id}", delete(revoke))
        .with_state(Feeds { database, access })
}

/// What a feed's token is kept and found by.
#[must_use]
pub fn hash(token: &str) -> String {
    hex(&Sha256::digest(token))
}

#[derive(Clone)]
pub(crate) struct Feeds {
    database: Database,
    access: Arc<dyn Access>,
}

/// A subscription by its path, and who asks about its feeds.
pub(crate) struct Asked {
    namespace: String,
    name: String,
    /// Of the feed, where the path has one.
    id: String,
    credentials: Credentials,
    query: Option<String>,
}

impl Asked {
    /// Who asks, if they may do this. Only then it is looked at what else they say.
    async fn may(&self, access: &dyn Access, verb: FeedVerb) -> Result<String, Problem> {
        let by = access.may_use_feeds(&self.credentials, verb, &self.namespace, &self.name).await?;
        Query::parse(self.query.as_deref(), &[], &[])?;
        Ok(by)
    }
}

impl FromRequestParts<Feeds> for Asked {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Feeds) -> Result<Self, Problem> {
        let Ok(credentials) = Credentials::from_request_parts(parts, state).await;
        let path = RawPathParams::from_request_parts(parts, state).await.map_err(|_| {
            let detail = "the path is not UTF-8: names have letters, digits, '-' and '.' only";
            Problem::new(Reason::Invalid, detail).of("path")
        })?;
        let part = |wanted: &str| {
            path.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.to_owned()).unwrap_or_default()
        };
        let (namespace, name, id) = (part("namespace"), part("name"), part("id"));
        checked_namespace(&namespace)?;
        checked_name("name", &name)?;
        Ok(Self { namespace, name, id, credentials, query: parts.uri.query().map(str::to_owned) })
    }
}

/// A feed to be made.
#[derive(Deserialize, ToSchema)]
#[schema(as = FeedDraft)]
#[serde(deny_unknown_fields)]
pub(crate) struct Draft {
    /// What it is for, without control characters.
    #[schema(max_length = 100, pattern = r"^[^\u0000-\u001f\u007f-\u009f]*$")]
    label: String,
}

/// A feed that was made. Its token is not shown again.
#[derive(Serialize, ToSchema)]
#[schema(as = NewFeed)]
pub(crate) struct Made {
    /// What it is revoked by.
    id: String,
    /// Whoever has it reads this calendar.
    token: String,
    /// What a calendar program subscribes to, below the store's address.
    path: String,
}

/// The feeds there are.
#[derive(Serialize, ToSchema)]
#[schema(as = Feeds)]
pub(crate) struct Listed {
    /// The feeds, the oldest first, at most 100.
    items: Vec<Item>,
}

/// A feed, without its token.
#[derive(Serialize, ToSchema)]
#[schema(as = Feed)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Item {
    /// What it is revoked by.
    id: String,
    /// What it is for.
    label: String,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created: Timestamp,
    /// By whom, as Kubernetes calls them.
    created_by: String,
}

/// Tokens are in no cache.
const NOT_STORED: [(HeaderName, HeaderValue); 1] = [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];

/// Makes a feed.
///
/// Right: `create` on `calendarsubscriptions/feeds`. The answer is the only one that has the token. At most 100 of a subscription.
#[utoipa::path(
    post,
    path = "/v1/namespaces/{namespace}/calendarsubscriptions/{name}/feeds",
    operation_id = "createFeed",
    tag = "feeds",
    params(Of),
    request_body(content = Draft, content_type = "application/json", description = "At most 16,384 bytes"),
    responses(
        (status = 201, description = "The feed", body = Made),
        (status = 409, description = "The subscription has as many feeds as it may", body = crate::read::documents::Refusal, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large", body = crate::read::documents::Refusal, content_type = "application/problem+json"),
        Refusals,
    ),
    security(("token" = []))
)]
pub(crate) async fn create(
    State(Feeds { database, access }): State<Feeds>,
    asked: Asked,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, [(HeaderName, HeaderValue); 1], Json<Made>), Problem> {
    let created_by = asked.may(&*access, FeedVerb::Create).await?;
    let Asked { namespace, name, .. } = asked;
    let Draft { label } = serde_json::from_slice(&body.map_err(|rejection| broken(&rejection))?)
        .map_err(|error| Problem::new(Reason::Invalid, format!("the body has to be {{\"label\": \"…\"}}: {error}")))?;
    if label.chars().count() > LONGEST_LABEL || label.chars().any(char::is_control) {
        let detail = format!("a label has at most {LONGEST_LABEL} characters, and no control characters");
        return Err(Problem::new(Reason::Invalid, detail).of("label"));
    }
    if database.feeds(&namespace, &name).await?.len() >= MOST {
        let detail = format!("the subscription has {MOST} feeds already: delete one that is no longer used");
        return Err(Problem::new(Reason::Conflict, detail));
    }
    let token = token()?;
    let hash = hash(&token);
    let feed = Feed { id: Feed::id(&hash), label, created: Timestamp::now(), created_by };
    if !database.add_feed(&namespace, &name, &hash, &feed).await? {
        return Err(unknown());
    }
    tracing::info!(namespace, name, feed = feed.id, by = feed.created_by, "a feed was made");
    let path = format!("/v1/namespaces/{namespace}/calendarsubscriptions/{name}/events.ics?token={token}");
    Ok((StatusCode::CREATED, NOT_STORED, Json(Made { id: feed.id, token, path })))
}

/// Lists the feeds.
///
/// Right: `list` on `calendarsubscriptions/feeds`. Their tokens are not known to the store.
#[utoipa::path(
    get,
    path = "/v1/namespaces/{namespace}/calendarsubscriptions/{name}/feeds",
    operation_id = "listFeeds",
    tag = "feeds",
    params(Of),
    responses((status = 200, description = "The feeds; none also of a subscription of which nothing is stored", body = Listed), Refusals),
    security(("token" = []))
)]
pub(crate) async fn list(
    State(Feeds { database, access }): State<Feeds>,
    asked: Asked,
) -> Result<([(HeaderName, HeaderValue); 1], Json<Listed>), Problem> {
    asked.may(&*access, FeedVerb::List).await?;
    let feeds = database.feeds(&asked.namespace, &asked.name).await?;
    let item = |Feed { id, label, created, created_by }| Item { id, label, created, created_by };
    Ok((NOT_STORED, Json(Listed { items: feeds.into_iter().map(item).collect() })))
}

/// Revokes a feed.
///
/// Right: `delete` on `calendarsubscriptions/feeds`. Its token opens nothing from then on.
#[utoipa::path(
    delete,
    path = "/v1/namespaces/{namespace}/calendarsubscriptions/{name}/feeds/{id}",
    operation_id = "revokeFeed",
    tag = "feeds",
    params(Of, ("id" = String, Path, description = "Id of the feed", pattern = r"^[0-9a-f]{12}$")),
    responses((status = 204, description = "It is revoked"), Refusals),
    security(("token" = []))
)]
pub(crate) async fn revoke(
    State(Feeds { database, access }): State<Feeds>,
    asked: Asked,
) -> Result<StatusCode, Problem> {
    let by = asked.may(&*access, FeedVerb::Delete).await?;
    let Asked { namespace, name, id, .. } = asked;
    let is_id = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_id || !database.remove_feed(&namespace, &name, &id).await? {
        return Err(Problem::new(Reason::NotFound, "the subscription has no feed of that id"));
    }
    tracing::info!(namespace, name, feed = id, by, "a feed was revoked");
    Ok(StatusCode::NO_CONTENT)
}

fn broken(rejection: &BytesRejection) -> Problem {
    match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            Problem::new(Reason::TooLarge, "the body is too large: a label has at most 100 characters")
        }
        _ => Problem::new(Reason::Invalid, "the body did not come to its end: send it again"),
    }
}

fn unknown() -> Problem {
    Problem::new(
        Reason::NotFound,
        "nothing is stored of that subscription yet: a feed can be made after its first read",
    )
}

/// A token that nobody can guess.
fn token() -> Result<String, Problem> {
    let mut bytes = [0; TOKEN_BYTES];
    getrandom::fill(&mut bytes)
        .map_err(|error| Problem::new(Reason::Unavailable, format!("no random numbers: {error}")))?;
    Ok(format!("feed_{}", BASE64_URL_SAFE_NO_PAD.encode(bytes)))
}
