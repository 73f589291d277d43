//! A subscription as a calendar that programs subscribe to.

use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use calendar_store_client::Reason;
use calendar_sync::{Event, EventTime, Person, TimeZone};
use futures::stream;
use http::{HeaderMap, HeaderValue, header};
use jiff::Timestamp;
use tempfile::SpooledTempFile;

use super::Reading;
use super::documents::event;
use super::events::overlapping;
use super::lines::{instant, line, mail, parameter, text, time, uid, url};
use super::query::Query;
use super::range::{Range, Zone};
use super::subject::{Feed, Subject};
use super::tag::Tag;
use super::taking::Place;
use crate::Problem;
use crate::database::{Subscription, key};

/// Events that are written together.
const AT_A_TIME: usize = 200;
/// What is larger than this goes to a file.
const IN_MEMORY: usize = 256 * 1024;
/// Bytes of a piece of the answer.
const PIECE: usize = 64 * 1024;

/// Gives the events as a calendar.
///
/// The events that overlap `from` to `to` as iCalendar (RFC 5545), for programs that subscribe to calendars. Titles that are not shown are
/// `Busy`. The same state gives the same bytes.
#[utoipa::path(
    get,
    path = "/v1/namespaces/{namespace}/calendarsubscriptions/{name}/events.ics",
    tag = "events",
    params(
        super::openapi::Of,
        ("from" = Option<String>, Query, format = "instant-or-date", description = "An instant as RFC 3339, or a date in UTC, of the years 1900 to 2200; by default all from the first event on"),
        ("to" = Option<String>, Query, format = "instant-or-date", description = "The first moment after the range, in the same form; by default all up to the last event"),
        super::openapi::Known,
    ),
    responses(
        (status = 200, description = "The calendar", body = String, content_type = "text/calendar", headers(("ETag" = String, description = "Names this answer"))),
        (status = 304, description = "The answer is the one that is known"),
        super::openapi::Refusals,
    ),
    security(("token" = []), ("feed" = []))
)]
pub async fn ics(
    State(reading): State<Reading>,
    Feed(subject): Feed,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let query = Query::parse(query.as_deref(), &["from", "to", "token"], &[])?;
    let range = Range::parse(&query, &Zone::utc())?;
    let mut moment = reading.database.now().await?;
    let subscription = subject.at(&mut moment).await?;
    if let Some(known) = tag(&subscription, range).known(&headers) {
        return Ok(known);
    }
    drop(moment);
    let place = reading.places.calendar()?;
    let (tag, file) = calendar(&reading, &subject, range).await?;
    let pieces = stream::try_unfold((file, place), piece);
    let content_type = HeaderValue::from_static("text/calendar; charset=utf-8");
    Ok(tag.on(([(header::CONTENT_TYPE, content_type)], Body::from_stream(pieces)).into_response()))
}

fn tag(subscription: &Subscription, range: Range) -> Tag {
    Tag::new(&subscription.head, &(range.from, range.to))
}

/// The calendar as a file without a name, and its tag: whoever takes it slowly must not hold a transaction.
async fn calendar(reading: &Reading, subject: &Subject, range: Range) -> Result<(Tag, SpooledTempFile), Problem> {
    let _turn = reading.places.writing().await?;
    let mut moment = reading.database.now().await?;
    let subscription = subject.at(&mut moment).await?;
    let uid = &subscription.uid;
    let zone = TimeZone::utc();
    let mut file = SpooledTempFile::new(IN_MEMORY);
    let mut out = String::new();
    begin(&mut out, subject);
    let (mut after, mut empty) = (None, true);
    loop {
        let page = overlapping(&mut moment, uid, range, &zone, after, AT_A_TIME).await?;
        for row in &page.rows {
            entry(&mut out, &event(&row.body)?, uid);
        }
        empty &= page.rows.is_empty();
        after = page.rows.last().map(|row| row.place.clone());
        if !page.more {
            break;
        }
        file = written(file, std::mem::take(&mut out)).await?;
    }
    drop(moment);
    if empty {
        nothing(&mut out);
    }
    line(&mut out, "END:VCALENDAR");
    let file = written(file, out).await?;
    let file = blocking(move || rewound(file)).await.map_err(|error| no_room(&error))?;
    Ok((tag(&subscription, range), file))
}

fn begin(out: &mut String, subject: &Subject) {
    line(out, "BEGIN:VCALENDAR");
    line(out, "VERSION:2.0");
    line(out, "PRODID:-//cronofy-operator//calendar-store//EN");
    line(out, "CALSCALE:GREGORIAN");
    let name = text(&format!("{}/{}", subject.namespace, subject.name));
    line(out, &format!("NAME:{name}"));
    line(out, &format!("X-WR-CALNAME:{name}"));
    line(out, "REFRESH-INTERVAL;VALUE=DURATION:PT5M");
    line(out, "X-PUBLISHED-TTL:PT5M");
}

/// A calendar has to have a component. This one says nothing that anybody would see.
fn nothing(out: &mut String) {
    line(out, "BEGIN:VTIMEZONE");
    line(out, "TZID:Etc/UTC");
    line(out, "BEGIN:STANDARD");
    line(out, "DTSTART:19700101T000000");
    line(out, "TZOFFSETFROM:+0000");
    line(out, "TZOFFSETTO:+0000");
    line(out, "TZNAME:UTC");
    line(out, "END:STANDARD");
    line(out, "END:VTIMEZONE");
}

fn entry(out: &mut String, event: &Event, subscription: &str) {
    let mut property = |content: String| line(out, &content);
    property("BEGIN:VEVENT".to_owned());
    property(format!("UID:{}@{}", uid(&key(&event.id)), text(subscription)));
    // It says when this was written. The same state has to give the same bytes, so without a better one it is no time of ours.
    property(format!("DTSTAMP:{}", instant(event.updated.unwrap_or(Timestamp::UNIX_EPOCH))));
    for time in times(event) {
        property(time);
    }
    let summary = Some(event.summary.as_deref().unwrap_or("Busy"));
    if let Some(status @ ("confirmed" | "tentative" | "cancelled")) = event.status.as_deref() {
        property(format!("STATUS:{}", status.to_ascii_uppercase()));
    }
    let transparent = event.transparency.as_deref() == Some("transparent");
    property(format!("TRANSP:{}", if transparent { "TRANSPARENT" } else { "OPAQUE" }));
    let texts =
        [("SUMMARY", summary), ("LOCATION", event.location.as_deref()), ("DESCRIPTION", event.description.as_deref())];
    for (name, value) in texts {
        // Some programs take one without a value for a mistake.
        if let Some(value) = value.map(text).filter(|value| !value.trim().is_empty()) {
            property(format!("{name}:{value}"));
        }
    }
    if let Some(url) = event.meeting_url.as_deref().and_then(url) {
        property(format!("URL:{url}"));
    }
    if let Some(organizer) = event.organizer.as_ref().and_then(|person| participant("ORGANIZER", "", person)) {
        property(organizer);
    }
    for person in &event.attendees {
        let answer = match person.status.as_deref() {
            Some("accepted") => ";PARTSTAT=ACCEPTED",
            Some("declined") => ";PARTSTAT=DECLINED",
            Some("tentative") => ";PARTSTAT=TENTATIVE",
            _ => ";PARTSTAT=NEEDS-ACTION",
        };
        if let Some(attendee) = participant("ATTENDEE", answer, person) {
            property(attendee);
        }
    }
    if let Some(updated) = event.updated {
        property(format!("LAST-MODIFIED:{}", instant(updated)));
    }
    property("END:VEVENT".to_owned());
}

/// Start and end. An end that is not after the start, as far as they are written, is left out: the former must not be equal.
fn times(event: &Event) -> impl Iterator<Item = String> {
    let zone = TimeZone::utc();
    let (start, end) = match (event.start, event.end) {
        (start @ EventTime::Date(_), end @ EventTime::Date(_)) => (start, end),
        (start, end) => (EventTime::Instant(start.instant(&zone)), EventTime::Instant(end.instant(&zone))),
    };
    // All years have four digits, so that the words are in the order of the times.
    let later = time("", end) > time("", start);
    [Some(time("DTSTART", start)), later.then(|| time("DTEND", end))].into_iter().flatten()
}

fn participant(property: &str, answer: &str, person: &Person) -> Option<String> {
    let address = person.email.as_deref().and_then(mail)?;
    let name = person.name.as_deref().map(|name| format!(";CN={}", parameter(name))).unwrap_or_default();
    Some(format!("{property}{name}{answer}:{address}"))
}

async fn written(mut file: SpooledTempFile, text: String) -> Result<SpooledTempFile, Problem> {
    blocking(move || file.write_all(text.as_bytes()).map(|()| file)).await.map_err(|error| no_room(&error))
}

fn rewound(mut file: SpooledTempFile) -> io::Result<SpooledTempFile> {
    file.seek(SeekFrom::Start(0))?;
    Ok(file)
}

/// The next piece of the file, as long as its reader has time.
async fn piece((mut file, place): (SpooledTempFile, Place)) -> io::Result<Option<(Bytes, (SpooledTempFile, Place))>> {
    place.over()?;
    blocking(move || {
        let mut piece = Vec::with_capacity(PIECE);
        let most = u64::try_from(PIECE).unwrap_or(u64::MAX);
        io::Read::take(&mut file, most).read_to_end(&mut piece)?;
        Ok((!piece.is_empty()).then(|| (Bytes::from(piece), (file, place))))
    })
    .await
}

/// Does what may read or write a file.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

fn no_room(error: &io::Error) -> Problem {
    tracing::error!(%error, "a calendar could not be kept while it is sent");
    Problem::new(Reason::Unavailable, "the calendar cannot be kept while it is sent: try again in a moment")
}
