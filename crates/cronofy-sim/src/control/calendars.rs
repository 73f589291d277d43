//! Calendars and events, as their owners change them.

use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::Body;
use super::{Sim, done, not_found, unknown, wrong};
use crate::model::{EventDraft, ReadQuery, When};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewCalendar {
    name: Option<String>,
    profile: Option<String>,
}

pub(super) async fn add_calendar(State(sim): Sim, Path(id): Path<String>, Body(new): Body<NewCalendar>) -> Response {
    let owner = new.profile.unwrap_or(id);
    match sim.add_calendar(&owner, new.name.as_deref().unwrap_or("Calendar")) {
        calendar if calendar.is_empty() => unknown("account or profile", owner),
        calendar => Json(json!({ "id": calendar })).into_response(),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CalendarChange {
    read_only: bool,
}

pub(super) async fn change_calendar(
    State(sim): Sim,
    Path(id): Path<String>,
    Body(change): Body<CalendarChange>,
) -> Response {
    sim.make_read_only(&id, change.read_only).map_or_else(|error| not_found(&error), |()| done())
}

pub(super) async fn delete_calendar(State(sim): Sim, Path(id): Path<String>) -> Response {
    sim.delete_calendar(&id).map_or_else(|error| not_found(&error), |()| done())
}

pub(super) async fn events(State(sim): Sim, Path(id): Path<String>) -> Response {
    let query = ReadQuery { include_managed: true, ..ReadQuery::default() };
    Json(json!({ "events": sim.read(&id, &query) })).into_response()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewEvent {
    calendar: Option<String>,
    summary: Option<String>,
    start: Option<When>,
    end: Option<When>,
    zone: Option<String>,
    more: Option<Value>,
}

pub(super) async fn put_event(State(sim): Sim, Path(uid): Path<String>, Body(new): Body<NewEvent>) -> Response {
    let before = sim.inner.state().model.as_it_is(&uid);
    let (calendar, before) = match before {
        Some(change) => (Some(change.calendar), change.draft),
        None => (None, None),
    };
    let Some(calendar) = new.calendar.or(calendar) else {
        return wrong("calendar", "give the id of a calendar or account");
    };
    let Some(start) = new.start.or(before.as_ref().map(|draft| draft.start)) else {
        return wrong("start", "give an RFC 3339 time or a date");
    };
    let Some(end) = new.end.or(before.as_ref().map(|draft| draft.end)) else {
        return wrong("end", "give an RFC 3339 time or a date");
    };
    let before = before.unwrap_or_else(|| EventDraft::new("", start, end));
    let draft = EventDraft {
        uid: Some(uid),
        summary: new.summary.unwrap_or(before.summary),
        start,
        end,
        zone: new.zone.or(before.zone),
        more: new.more.unwrap_or(before.more),
    };
    match sim.put_event(&calendar, draft) {
        Ok(uid) => Json(json!({ "uid": uid })).into_response(),
        Err(error) => not_found(&error),
    }
}

pub(super) async fn delete_event(State(sim): Sim, Path(uid): Path<String>) -> Response {
    sim.delete_event(&uid).map_or_else(|error| not_found(&error), |()| done())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewSeries {
    #[serde(default)]
    summary: String,
    start: When,
    end: When,
    count: u32,
    every_seconds: u64,
}

pub(super) async fn put_series(State(sim): Sim, Path(id): Path<String>, Body(new): Body<NewSeries>) -> Response {
    let first = EventDraft::new(new.summary, new.start, new.end);
    match sim.put_series(&id, &first, new.count, Duration::from_secs(new.every_seconds)) {
        Ok(series) => Json(json!({ "id": series.id, "uids": series.uids })).into_response(),
        Err(error) => not_found(&error),
    }
}

pub(super) async fn import(State(sim): Sim, Path(id): Path<String>, body: Bytes) -> Response {
    match sim.import_ics(&id, &String::from_utf8_lossy(&body)) {
        Ok(count) => Json(json!({ "events": count })).into_response(),
        Err(error) => wrong("body", &error.to_string()),
    }
}
