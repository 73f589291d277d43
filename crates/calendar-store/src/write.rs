//! The API of the writer: read a head, commit on it, erase, release; and what there is at all.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, Query, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use calendar_store_client::{Committed, Head, LINES, Line, Reason, STORED_AT_A_TIME, StoredPage};
use futures::stream;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::database::Database;
use crate::{Access, Credentials, Limits, Problem, Spooled};

/// Bytes of a piece of an answer.
const PIECE: usize = 64 * 1024;
/// Pieces that wait for their reader.
const AHEAD: usize = 4;
/// A reader that takes nothing for so long is given up: it holds a transaction.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest uid.
const LONGEST_UID: usize = 128;

/// The routes, for those who may write.
pub fn routes(database: Database, access: Arc<dyn Access>, limits: Limits) -> Router {
    Router::new()
        .route("/write/v1/subscriptions", get(stored))
        .route("/write/v1/subscriptions/{uid}", get(head).put(commit).delete(erase))
        .route("/write/v1/subscriptions/{uid}/release", post(release))
        .layer(middleware::from_fn_with_state(access, admit))
        .with_state(Writing { database, limits })
}

async fn admit(
    State(access): State<Arc<dyn Access>>,
    credentials: Credentials,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    access.may_write(&credentials).await?;
    Ok(next.run(request).await)
}

#[derive(Clone)]
struct Writing {
    database: Database,
    limits: Limits,
}

/// After which uid to go on.
#[derive(Deserialize)]
struct After {
    #[serde(default)]
    after: String,
}

async fn stored(
    State(writing): State<Writing>,
    Query(After { after }): Query<After>,
) -> Result<Json<StoredPage>, Problem> {
    if !after.is_empty() {
        checked(&after)?;
    }
    Ok(Json(writing.database.stored(&after, STORED_AT_A_TIME).await?))
}

async fn head(
    State(writing): State<Writing>,
    Path(uid): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    checked(&uid)?;
    let Some(mut contents) = writing.database.contents(&uid).await? else {
        return Err(Problem::new(Reason::NotFound, "nothing is stored of that subscription"));
    };
    let tag = tag(&contents.header.head);
    if headers.get(header::IF_NONE_MATCH) == Some(&tag) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response());
    }
    let (pieces, reader) = mpsc::channel::<Bytes>(AHEAD);
    let first = line(&contents.header);
    tokio::spawn(async move {
        let mut piece = first;
        let mut lines = 0_u64;
        let read = contents
            .events(|body| {
                lines += 1;
                // As `Line::Put` is written.
                piece.extend_from_slice(b"{\"put\":");
                piece.extend_from_slice(body.as_bytes());
                piece.extend_from_slice(b"}\n");
                let full = (piece.len() >= PIECE).then(|| Bytes::from(std::mem::take(&mut piece)));
                let pieces = pieces.clone();
                async move {
                    match full {
                        Some(full) => matches!(timeout(PATIENCE, pieces.send(full)).await, Ok(Ok(()))),
                        None => true,
                    }
                }
            })
            .await;
        match read {
            // A body without its last line is of no use to anybody, so one that lacks a piece must not have it.
            Ok(false) => {}
            Ok(true) => {
                piece.extend(line(&Line::End(lines)));
                let _ = timeout(PATIENCE, pieces.send(piece.into())).await;
            }
            Err(error) => tracing::error!(%error, "a calendar could not be read to its end"),
        }
    });
    let body = stream::unfold(reader, async |mut reader| {
        reader.recv().await.map(|piece| (Ok::<_, Infallible>(piece), reader))
    });
    let headers = [(header::CONTENT_TYPE, HeaderValue::from_static(LINES)), (header::ETAG, tag)];
    Ok((headers, Body::from_stream(body)).into_response())
}

async fn commit(
    State(writing): State<Writing>,
    Path(uid): Path<String>,
    body: Body,
) -> Result<Json<Committed>, Problem> {
    checked(&uid)?;
    let (header, mut lines) = Spooled::receive(body.into_data_stream(), writing.limits).await?;
    let outcome = writing.database.commit(&uid, &header, &mut lines).await?;
    Ok(Json(Committed { head: header.head, changes: outcome.changes }))
}

async fn erase(State(writing): State<Writing>, Path(uid): Path<String>) -> Result<StatusCode, Problem> {
    checked(&uid)?;
    writing.database.erase(&uid).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn release(State(writing): State<Writing>, Path(uid): Path<String>) -> Result<StatusCode, Problem> {
    checked(&uid)?;
    writing.database.release(&uid).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A uid of Kubernetes is a short word.
fn checked(uid: &str) -> Result<(), Problem> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if !uid.is_empty() && uid.len() <= LONGEST_UID && uid.bytes().all(allowed) {
        return Ok(());
    }
    let detail = format!("a uid has 1 to {LONGEST_UID} letters, digits and '-'");
    Err(Problem::new(Reason::Invalid, detail).of("uid"))
}

fn tag(head: &Head) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{head}\"")).unwrap_or(HeaderValue::from_static("\"\""))
}

fn line<T: serde::Serialize>(document: &T) -> Vec<u8> {
    let mut line = serde_json::to_vec(document).unwrap_or_default();
    line.push(b'\n');
    line
}
