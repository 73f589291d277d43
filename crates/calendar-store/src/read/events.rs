//! Events of a range, page by page.

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use calendar_sync::TimeZone;
use http::HeaderMap;

use super::Reading;
use super::cursor;
use super::documents::{Events, event, items};
use super::position::Position;
use super::query::Query;
use super::range::{Range, Zone};
use super::subject::Subject;
use super::tag::Tag;
use crate::Problem;
use crate::database::{Error, Moment, Page, Place, Row};

/// Events of a page if it is not said how many.
const USUAL: usize = 100;
/// The most events of a page.
pub const MOST: usize = 1000;

/// Lists events.
///
/// The events that overlap `from` to `to`, by start and then id; an all-day event stands where its first date's midnight in UTC is,
/// and takes its time in `timeZone`. Pages stay in order while events change: each event that is there all the time comes
/// once. For a copy, take `sequence` of the first page and read the changes from there on.
#[utoipa::path(
    get,
    path = "/v1/namespaces/{namespace}/calendarsubscriptions/{name}/events",
    tag = "events",
    params(
        super::openapi::Of,
        ("from" = Option<String>, Query, format = "instant-or-date", description = "An instant as RFC 3339, or a date in `timeZone`, of the years 1900 to 2200; by default all from the first event on"),
        ("to" = Option<String>, Query, format = "instant-or-date", description = "The first moment after the range, in the same form; by default all up to the last event"),
        ("timeZone" = Option<String>, Query, format = "time-zone", description = "IANA zone in which dates and all-day events are meant, by default UTC; if it is given, instants are answered with its offset", max_length = 64),
        ("limit" = Option<i32>, Query, description = "The most events of a page, by default 100; large events make smaller pages", minimum = 1, maximum = 1000),
        ("after" = Option<String>, Query, description = "`next` of the page before, which came from the same query", max_length = 1024),
        super::openapi::Known,
    ),
    responses(
        (status = 200, description = "A page", body = Events, headers(("ETag" = String, description = "Names this answer"))),
        (status = 304, description = "The answer is the one that is known"),
        super::openapi::Refusals,
    ),
    security(("token" = []))
)]
pub async fn events(
    State(reading): State<Reading>,
    subject: Subject,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let query = Query::parse(query.as_deref(), &["from", "to", "timeZone", "limit", "after"], &[])?;
    let zone = Zone::parse(&query)?;
    let range = Range::parse(&query, &zone)?;
    let limit = query.limit(USUAL, MOST)?;
    let asked = (&subject.namespace, &subject.name, range.from, range.to, zone.asked());
    let mark = cursor::mark(&asked);
    let after = query.get("after").map(|text| cursor::parse(&mark, text)).transpose()?;

    let mut moment = reading.database.now().await?;
    let subscription = subject.at(&mut moment).await?;
    let tag = Tag::new(&subscription.head, &(asked, limit, query.get("after")));
    if let Some(known) = tag.known(&headers) {
        return Ok(known);
    }
    let page = overlapping(&mut moment, &subscription.uid, range, &zone.zone, after, limit).await?;
    let last = page.rows.last().filter(|_| page.more);
    let answer = Events {
        next: last.map(|row| cursor::written(&mark, &row.place)),
        items: items(&page.rows, &zone)?,
        head: subscription.head.clone(),
        sequence: Position::last(&subscription).to_string(),
    };
    Ok(tag.on(Json(answer).into_response()))
}

/// Up to `limit` events that overlap the range. The database knows no zones, so it gives a few too many: the page is filled up,
/// within the bounds of a page. What comes after it may be among the few.
pub async fn overlapping(
    moment: &mut Moment,
    uid: &str,
    range: Range,
    zone: &TimeZone,
    mut after: Option<Place>,
    limit: usize,
) -> Result<Page<Row>, Error> {
    let mut rows = Vec::new();
    loop {
        let room = limit.saturating_sub(rows.len());
        let page = moment.events(uid, range.seconds(), after.as_ref(), room).await?;
        let large = page.rows.len() < room;
        after = page.rows.last().map(|row| row.place.clone());
        for row in page.rows {
            if range.overlaps(&event(&row.body)?, zone) {
                rows.push(row);
            }
        }
        if !page.more || rows.len() >= limit || (large && !rows.is_empty()) {
            return Ok(Page { rows, more: page.more });
        }
    }
}
