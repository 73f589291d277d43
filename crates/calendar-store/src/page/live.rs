//! The stream of a calendar's changes, for its page: the same as that of the API, by the page's own credentials.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use http::HeaderMap;

use super::Page;
use super::visit::Visit;
use crate::Problem;
use crate::read::{Position, Query, Stream, Subject, last_event, stream};

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
    let since = match last_event(headers)? {
        Some(last) => Some(last),
        None => query.get("since").map(|text| Position::parse("since", text)).transpose()?,
    };
    Stream::open(&page.reading, subject, since, AHEAD).await
}
