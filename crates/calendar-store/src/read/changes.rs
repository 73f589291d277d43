//! Changes after a sequence.

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use calendar_store_client::Reason;
use http::{HeaderMap, header};

use super::Reading;
use super::documents::{self, Item, event};
use super::events::MOST;
use super::position::Position;
use super::query::Query;
use super::range::Zone;
use super::stream::{self, Stream};
use super::subject::Subject;
use super::tag::Tag;
use crate::Problem;
use crate::database::{Change, Database, PAGE_BYTES, Subscription};

/// Changes of a page if it is not said how many.
const USUAL: usize = 100;
/// How a stream's reader says what it has.
const LAST_EVENT_ID: &str = "last-event-id";

/// Some changes, and where to go on.
pub struct Told {
    /// The changes, oldest first.
    pub items: Vec<documents::Change>,
    /// After them.
    pub position: Position,
    /// Whether there are more.
    pub more: bool,
}

/// Tells what has changed.
///
/// The changes after `since`, oldest first, each event once in its last state, from one moment. Without `since`: all events that there
/// are. Go on with `sequence` of the answer. If what was deleted since then is no longer known, the answer is 410: read the
/// events anew, and go on from the sequence given there.
///
/// With `Accept: text/event-stream` it is a stream of Server-Sent Events that goes on with the changes to come: `id` is the
/// sequence, `event` is `change`, `data` a change as in the other form. A reader that connects again says `Last-Event-ID`. An `event` of
/// name `gone` takes the place of 410 and is the last one: then close it, since a browser would connect again. A comment comes every 15 s.
/// The stream ends when who reads may no longer do so.
#[utoipa::path(
    get,
    path = "/v1/namespaces/{namespace}/calendarsubscriptions/{name}/changes",
    tag = "changes",
    params(
        super::openapi::Of,
        ("since" = Option<String>, Query, format = "sequence", description = "A sequence from an earlier answer as it is; by default all events are told", max_length = 96),
        ("limit" = Option<i32>, Query, description = "The most changes of an answer, by default 100; of a stream, the most that are read ahead", minimum = 1, maximum = 1000),
        ("Accept" = Option<String>, Header, nullable = false, description = "`text/event-stream` for a stream"),
        ("Last-Event-ID" = Option<String>, Header, nullable = false, format = "sequence", description = "Of a stream: the last sequence that came; goes before `since`", max_length = 96),
        super::openapi::Known,
    ),
    responses(
        (
            status = 200,
            description = "Changes",
            content((documents::Changes = "application/json"), (String = "text/event-stream")),
            headers(("ETag" = String, description = "Names this answer; not of a stream"))
        ),
        (status = 304, description = "The answer is the one that is known"),
        (status = 410, description = "What changed since then is no longer told", body = documents::Refusal, content_type = "application/problem+json"),
        super::openapi::Refusals,
    ),
    security(("token" = []))
)]
pub async fn changes(
    State(reading): State<Reading>,
    subject: Subject,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let query = Query::parse(query.as_deref(), &["since", "limit"], &[])?;
    let limit = query.limit(USUAL, MOST)?;
    let mut since = query.get("since").map(|text| Position::parse("since", text)).transpose()?;
    // Of no use without a stream, but a mistake there, too.
    let last = last_event(&headers)?;
    if wants_stream(&headers) {
        since = last.or(since);
        let stream = Stream::open(&reading, subject, since, limit).await?;
        return Ok(stream::answer(stream));
    }
    let mut moment = reading.database.now().await?;
    let subscription = subject.at(&mut moment).await?;
    let position = since.unwrap_or_else(|| Position::first(&subscription));
    position.told("since", &subscription)?;
    let tag = Tag::new(&subscription.head, &(query.get("since"), limit));
    if let Some(known) = tag.known(&headers) {
        return Ok(known);
    }
    let Told { items, position, more } = told(&mut moment, &subscription, &position, (limit, PAGE_BYTES)).await?;
    let answer = documents::Changes { items, sequence: position.to_string(), more };
    Ok(tag.on(Json(answer).into_response()))
}

/// What the reader of a stream has, by its header.
pub fn last_event(headers: &HeaderMap) -> Result<Option<Position>, Problem> {
    let last = headers.get(LAST_EVENT_ID).filter(|value| !value.is_empty());
    last.map(|value| Position::parse("Last-Event-ID", value.to_str().unwrap_or_default())).transpose()
}

/// The changes after a position, so many of so many bytes, all as of one moment; without a position, from the beginning.
pub async fn read(
    database: &Database,
    subject: &Subject,
    since: Option<&Position>,
    limits: (usize, usize),
) -> Result<Told, Problem> {
    let mut moment = database.now().await?;
    let subscription = subject.at(&mut moment).await?;
    let first = Position::first(&subscription);
    let position = since.unwrap_or(&first);
    position.told("since", &subscription)?;
    told(&mut moment, &subscription, position, limits).await
}

async fn told(
    moment: &mut crate::database::Moment,
    subscription: &Subscription,
    since: &Position,
    limits: (usize, usize),
) -> Result<Told, Problem> {
    let page = moment.changes(&subscription.uid, since.number(), since.deletions(), limits).await?;
    let mut position = since.clone();
    let mut items = Vec::with_capacity(page.rows.len());
    for Change { sequence, key, body } in page.rows {
        position = position.after(sequence);
        let event = body.as_deref().map(event).transpose()?.map(|event| Item::of(event, &Zone::utc()));
        items.push(documents::Change { sequence: position.to_string(), id: key, deleted: event.is_none(), event });
    }
    if !page.more {
        position = Position::last(subscription);
    }
    Ok(Told { items, position, more: page.more })
}

/// Whether a refusal means that the reader has to begin anew.
pub fn is_gone(problem: &Problem) -> bool {
    matches!(problem.reason(), Reason::Gone | Reason::NotFound)
}

fn wants_stream(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut types =
        accepted.flat_map(|value| value.split(',')).map(|range| range.split(';').next().unwrap_or_default());
    types.any(|media_type| media_type.trim().eq_ignore_ascii_case("text/event-stream"))
}
