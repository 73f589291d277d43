//! When calendars are busy.

use std::collections::HashSet;

use axum::Json;
use axum::extract::{RawQuery, State};
use calendar_store_client::Reason;
use calendar_sync::Event;
use jiff::{SignedDuration, Timestamp};

use super::Reading;
use super::documents::{Busy, FreeBusy, event};
use super::query::Query;
use super::range::{Range, Zone};
use super::subject::{Namespace, checked_name, found};
use crate::database::Moment;
use crate::{Credentials, Problem};

/// The most calendars of an answer.
const MOST: usize = 50;
/// The longest range, and an hour for those whose clocks change in it.
const LONGEST: SignedDuration = SignedDuration::from_hours(366 * 24 + 1);
/// Rows that are looked at together.
const AT_A_TIME: usize = 500;
/// The most busy times of an answer.
const MOST_TIMES: usize = 10_000;
/// Intervals that are kept before they are merged.
const UNMERGED: usize = 2 * MOST_TIMES;

/// Tells when any of several calendars is busy.
///
/// What is cancelled, transparent or declined takes no time. An all-day event takes its dates in `timeZone`.
#[utoipa::path(
    get,
    path = "/v1/namespaces/{namespace}/freebusy",
    tag = "events",
    params(
        ("namespace" = String, Path, description = "Namespace of the subscriptions", max_length = 63, pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"),
        ("subscription" = HashSet<super::openapi::SubscriptionName>, Query, description = "Name of a subscription; once for each, all of which have to be readable", min_items = 1, max_items = 50),
        ("from" = String, Query, format = "instant-or-date", description = "An instant as RFC 3339, or a date in `timeZone`, of the years 1900 to 2200"),
        ("to" = String, Query, format = "instant-or-date", description = "The first moment after the range, in the same form, at most 366 days later"),
        ("timeZone" = Option<String>, Query, format = "time-zone", description = "IANA zone in which dates and all-day events are meant, by default UTC; if it is given, instants are answered with its offset", max_length = 64),
    ),
    responses((status = 200, description = "The busy times", body = FreeBusy), super::openapi::Refusals),
    security(("token" = []))
)]
pub async fn freebusy(
    State(reading): State<Reading>,
    Namespace(namespace): Namespace,
    credentials: Credentials,
    RawQuery(query): RawQuery,
) -> Result<Json<FreeBusy>, Problem> {
    let query = Query::parse(query.as_deref(), &["from", "to", "timeZone"], &["subscription"])?;
    let names = names(&query)?;
    for name in &names {
        reading.access.may_read(&credentials, &namespace, name).await?;
    }
    let zone = Zone::parse(&query)?;
    let range = Range::parse(&query, &zone)?;
    let (from, to) = (required("from", range.from)?, required("to", range.to)?);
    if to.duration_since(from) > LONGEST {
        return Err(Problem::new(Reason::Invalid, "the range has more than 366 days: ask for parts of it").of("to"));
    }
    let mut moment = reading.database.now().await?;
    let mut busy = Vec::new();
    for name in names {
        let uid = found(&mut moment, &namespace, name).await.map_err(|problem| problem.of("subscription"))?.uid;
        taken(&mut moment, &uid, range, &zone, &mut busy).await?;
    }
    drop(moment);
    let cut = |(start, end): (Timestamp, Timestamp)| (start.max(from), end.min(to));
    let written = |(start, end)| Busy { start: zone.instant(start), end: zone.instant(end) };
    let busy = few(merged(busy))?.into_iter().map(cut).map(written).collect();
    Ok(Json(FreeBusy { from: zone.instant(from), to: zone.instant(to), busy }))
}

fn names(query: &Query) -> Result<Vec<&str>, Problem> {
    let wrong = |detail: String| Problem::new(Reason::Invalid, detail).of("subscription");
    let names: Vec<&str> = query.all("subscription").collect();
    if names.is_empty() || names.len() > MOST {
        return Err(wrong(format!("name 1 to {MOST} subscriptions, each as a parameter of its own")));
    }
    names.iter().try_for_each(|name| checked_name("subscription", name))?;
    let mut seen = HashSet::new();
    match names.iter().find(|name| !seen.insert(**name)) {
        Some(name) => Err(wrong(format!("{name} is named more than once: name it once"))),
        None => Ok(names),
    }
}

fn required(field: &str, time: Option<Timestamp>) -> Result<Timestamp, Problem> {
    time.ok_or_else(|| Problem::new(Reason::Invalid, "it is missing: give an instant or a date").of(field))
}

/// Adds the times that events of the range take.
async fn taken(
    moment: &mut Moment,
    uid: &str,
    range: Range,
    zone: &Zone,
    busy: &mut Vec<(Timestamp, Timestamp)>,
) -> Result<(), Problem> {
    let mut after = None;
    loop {
        let page = moment.events(uid, range.seconds(), after.as_ref(), AT_A_TIME).await?;
        after = page.rows.last().map(|row| row.place.clone());
        for row in page.rows {
            let event = event(&row.body)?;
            let (start, end) = (event.start.instant(&zone.zone), event.end.instant(&zone.zone));
            let within = range.to.is_none_or(|to| start < to) && range.from.is_none_or(|from| end > from);
            if takes_time(&event) && start < end && within {
                busy.push((start, end));
            }
        }
        if busy.len() > UNMERGED {
            *busy = few(merged(std::mem::take(busy)))?;
        }
        if !page.more {
            return Ok(());
        }
    }
}

/// These times, if an answer can have so many.
fn few(times: Vec<(Timestamp, Timestamp)>) -> Result<Vec<(Timestamp, Timestamp)>, Problem> {
    if times.len() <= MOST_TIMES {
        return Ok(times);
    }
    let detail = format!("the range has more than {MOST_TIMES} busy times: ask for parts of it");
    Err(Problem::new(Reason::Invalid, detail).of("to"))
}

fn takes_time(event: &Event) -> bool {
    let is = |value: &Option<String>, word: &str| value.as_deref() == Some(word);
    !is(&event.transparency, "transparent") && !is(&event.status, "cancelled") && !is(&event.participation, "declined")
}

/// The same times in order, without those that overlap or touch.
fn merged(mut times: Vec<(Timestamp, Timestamp)>) -> Vec<(Timestamp, Timestamp)> {
    times.sort_unstable();
    let mut merged: Vec<(Timestamp, Timestamp)> = Vec::new();
    for (start, end) in times {
        match merged.last_mut() {
            Some((_, last)) if start <= *last => *last = end.max(*last),
            _ => merged.push((start, end)),
        }
    }
    merged
}
