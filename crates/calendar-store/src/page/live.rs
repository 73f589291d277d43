//! The stream of a calendar's changes, for its page: the same as that of the API, by the page's own credentials.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use http::HeaderMap;

use super::Page;
use super::visit::Visit;
use crate::Problem;
use crate::read::{LAST_EVENT_ID, Position, Query, Stream, Subject, stream};

/// Changes that are read ahead.
const AHEAD: usize = 100;

/// Tells changes after `since`, or after what the browser has, as they come.
pub async fn live(
    State(page): State<Page>,
    visit: Visit,
    path: Result<Path<(String, String)>, PathRejection>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    match opened(&page, &visit, path, query.as_deref(), &headers).await {
        Ok(stream) => stream::answer(stream),
        Err(problem) => visit.answer(&*page.access, Err(problem)),
    }
}

async fn opened(
    page: &Page,
    visit: &Visit,
    path: Result<Path<(String, String)>, PathRejection>,
    query: Option<&str>,
    headers: &HeaderMap,
) -> Result<Stream, Problem> {
    let subject = Subject::admitted(path, visit.credentials.clone(), &*page.access).await?;
    let query = Query::parse(query, &["since"], &[])?;
    let last = headers.get(LAST_EVENT_ID).and_then(|value| value.to_str().ok()).filter(|text| !text.is_empty());
    let since = match (last, query.get("since")) {
        (Some(text), _) => Some(Position::parse("Last-Event-ID", text)?),
        (None, Some(text)) => Some(Position::parse("since", text)?),
        (None, None) => None,
    };
    Stream::open(&page.reading, subject, since, AHEAD).await
}
