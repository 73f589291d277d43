//! What is on at a moment, and what comes next.

use axum::Json;
use axum::extract::{RawQuery, State};
use jiff::Timestamp;

use super::Reading;
use super::documents::{AtMoment, Item, event};
use super::events::MOST;
use super::query::Query;
use super::range::{DAY, Zone};
use super::subject::Subject;
use crate::Problem;
use crate::database::{Error, Moment, PAGE_BYTES};

/// Rows that are looked at together.
const AT_A_TIME: usize = 100;

/// Tells what is on now and next.
///
/// Events are given whatever their status and transparency.
#[utoipa::path(
    get,
    path = "/v1/namespaces/{namespace}/calendarsubscriptions/{name}/now",
    tag = "events",
    params(
        super::openapi::Of,
        ("timeZone" = Option<String>, Query, format = "time-zone", description = "IANA zone in which dates and all-day events are meant, by default UTC; if it is given, instants are answered with its offset", max_length = 64),
        ("at" = Option<String>, Query, format = "instant-or-date", description = "An instant as RFC 3339, or a date in `timeZone`, of the years 1900 to 2200; by default the present"),
    ),
    responses((status = 200, description = "What is on", body = AtMoment), super::openapi::Refusals),
    security(("token" = []))
)]
pub async fn now(
    State(reading): State<Reading>,
    subject: Subject,
    RawQuery(query): RawQuery,
) -> Result<Json<AtMoment>, Problem> {
    let query = Query::parse(query.as_deref(), &["timeZone", "at"], &[])?;
    let zone = Zone::parse(&query)?;
    let at = zone.moment(&query, "at")?.unwrap_or_else(Timestamp::now);
    let mut moment = reading.database.now().await?;
    let uid = subject.at(&mut moment).await?.uid;
    let now = under_way(&mut moment, &uid, at, &zone).await?;
    let next = coming(&mut moment, &uid, at, &zone).await?;
    Ok(Json(AtMoment { at: zone.instant(at), now, next }))
}

async fn under_way(moment: &mut Moment, uid: &str, at: Timestamp, zone: &Zone) -> Result<Vec<Item>, Error> {
    let around = (at.as_second() - DAY, at.as_second() + DAY);
    let (mut items, mut bytes, mut after) = (Vec::new(), 0_usize, None);
    loop {
        let page = moment.events(uid, around, after.as_ref(), AT_A_TIME).await?;
        after = page.rows.last().map(|row| row.place.clone());
        for row in page.rows {
            let event = event(&row.body)?;
            let (start, end) = (event.start.instant(&zone.zone), event.end.instant(&zone.zone));
            // One without duration is under way at its moment.
            if start <= at && (end > at || start == at) {
                bytes = bytes.saturating_add(row.body.len());
                items.push(Item::of(event, zone));
            }
            if items.len() >= MOST || bytes >= PAGE_BYTES {
                return Ok(items);
            }
        }
        if !page.more {
            return Ok(items);
        }
    }
}

async fn coming(moment: &mut Moment, uid: &str, at: Timestamp, zone: &Zone) -> Result<Vec<Item>, Error> {
    let mut earliest: Option<Timestamp> = None;
    let (mut items, mut bytes, mut after) = (Vec::new(), 0_usize, None);
    loop {
        let page = moment.events(uid, (at.as_second() - DAY, i64::MAX), after.as_ref(), AT_A_TIME).await?;
        after = page.rows.last().map(|row| row.place.clone());
        for row in page.rows {
            // What comes in the order of the database may start earlier in the zone, but not by more than this.
            if earliest.is_some_and(|earliest| row.place.starts > earliest.as_second() + DAY) {
                return Ok(items);
            }
            let event = event(&row.body)?;
            let start = event.start.instant(&zone.zone);
            if start <= at || earliest.is_some_and(|earliest| start > earliest) {
                continue;
            }
            if earliest.replace(start) != Some(start) {
                items.clear();
                bytes = 0;
            }
            bytes = bytes.saturating_add(row.body.len());
            if items.len() < MOST && (bytes < PAGE_BYTES || items.is_empty()) {
                items.push(Item::of(event, zone));
            }
        }
        if !page.more {
            return Ok(items);
        }
    }
}
