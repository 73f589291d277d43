//! The API of feeds: tokens for calendar programs, which can show none of Kubernetes. A token opens the `.ics` of one
//! subscription and nothing else, until it is revoked or the subscription is erased.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::routing::{delete, get};
use axum::{Json, Router};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use calendar_store_client::Reason;
use calendar_sync::hex;
use http::{HeaderName, HeaderValue, StatusCode, header};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::database::{Database, Feed};
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
struct Feeds {
    database: Database,
    access: Arc<dyn Access>,
}

/// A feed to be made.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Draft {
    /// What it is for.
    label: String,
}

/// A feed that was made. Its token is not shown again.
#[derive(Serialize)]
struct Made {
    id: String,
    token: String,
    /// What a calendar program subscribes to, below the store's address.
    path: String,
}

/// The feeds there are.
#[derive(Serialize)]
struct Listed {
    items: Vec<Item>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    id: String,
    label: String,
    created: Timestamp,
    created_by: String,
}

/// Tokens are in no cache.
const NOT_STORED: [(HeaderName, HeaderValue); 1] = [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];

async fn create(
    State(Feeds { database, access }): State<Feeds>,
    Path((namespace, name)): Path<(String, String)>,
    credentials: Credentials,
    body: axum::body::Bytes,
) -> Result<(StatusCode, [(HeaderName, HeaderValue); 1], Json<Made>), Problem> {
    let created_by = access.may_use_feeds(&credentials, FeedVerb::Create, &namespace, &name).await?;
    let Draft { label } = serde_json::from_slice(&body)
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

async fn list(
    State(Feeds { database, access }): State<Feeds>,
    Path((namespace, name)): Path<(String, String)>,
    credentials: Credentials,
) -> Result<([(HeaderName, HeaderValue); 1], Json<Listed>), Problem> {
    access.may_use_feeds(&credentials, FeedVerb::List, &namespace, &name).await?;
    let feeds = database.feeds(&namespace, &name).await?;
    let item = |Feed { id, label, created, created_by }| Item { id, label, created, created_by };
    Ok((NOT_STORED, Json(Listed { items: feeds.into_iter().map(item).collect() })))
}

async fn revoke(
    State(Feeds { database, access }): State<Feeds>,
    Path((namespace, name, id)): Path<(String, String, String)>,
    credentials: Credentials,
) -> Result<StatusCode, Problem> {
    let by = access.may_use_feeds(&credentials, FeedVerb::Delete, &namespace, &name).await?;
    let is_id = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_id || !database.remove_feed(&namespace, &name, &id).await? {
        return Err(Problem::new(Reason::NotFound, "the subscription has no feed of that id"));
    }
    tracing::info!(namespace, name, feed = id, by, "a feed was revoked");
    Ok(StatusCode::NO_CONTENT)
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
