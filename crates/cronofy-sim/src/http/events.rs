//! The calls about events: reads, page by page, and the application's own writes.

use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::calls::{fields, put, text};
use super::{Call, FOREIGN_PAGE, Reply};
use crate::faults::Endpoint;
use crate::model::{Change, EventDraft, ReadQuery, When};
use crate::settings::{OutsideWindow, Paging};
use crate::{Inner, State};

/// The query of a read, or what is wrong with it.
fn query(call: &Call) -> Result<ReadQuery, Reply> {
    let value = |key: &str| call.query.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str());
    let flag = |key: &str| matches!(value(key), Some("true" | "1"));
    let Some(tzid) = value("tzid") else { return Err(Reply::invalid("tzid", "errors.required", "required")) };
    let Ok(zone) = TimeZone::get(tzid) else {
        return Err(Reply::invalid("tzid", "errors.tzid_unrecognized", "not recognized"));
    };
    let date = |key: &'static str| match value(key) {
        None => Ok(None),
        Some(text) => text
            .parse::<Date>()
            .or_else(|_| text.parse::<Timestamp>().map(|time| time.to_zoned(zone.clone()).date()))
            .map(Some)
            .map_err(|_| Reply::invalid(key, "errors.invalid", "not a date")),
    };
    let last_modified = match value("last_modified").map(str::parse::<Timestamp>) {
        None => None,
        Some(Ok(time)) => Some(time),
        Some(Err(_)) => return Err(Reply::invalid("last_modified", "errors.invalid", "not a time")),
    };
    let calendars = call.query.iter().filter(|(name, _)| name == "calendar_ids[]").map(|(_, id)| id.clone()).collect();
    let (from, to) = (date("from")?, date("to")?);
    Ok(ReadQuery {
        from,
        to,
        last_modified,
        include_deleted: flag("include_deleted"),
        include_moved: flag("include_moved"),
        include_managed: flag("include_managed"),
        only_managed: flag("only_managed"),
        localized: flag("localized_times"),
        calendars,
        zone,
    })
}

/// `GET /v1/events`.
pub(super) fn first_page(inner: &Inner, state: &mut State, call: &Call, account: &str, now: Timestamp) -> Reply {
    let query = match query(call) {
        Ok(query) => query,
        Err(reply) => return reply,
    };
    let window = state.model.window(now);
    if state.model.settings.outside_window == OutsideWindow::Refuse {
        if query.from.is_some_and(|from| from < window.0) {
            return Reply::invalid("from", "errors.out_of_range", "before the sync window");
        }
        if query.to.is_some_and(|to| to > window.1) {
            return Reply::invalid("to", "errors.out_of_range", "after the sync window");
        }
    }
    let events = Arc::new(state.model.read(account, &query, now));
    let id = (events.len() > state.model.settings.page_size.max(1))
        .then(|| state.model.keep_read(account, query, &events, now));
    page(inner, state, &events, 1, id.as_deref())
}

/// `GET` of a `next_page`.
pub(super) fn further_page(inner: &Inner, state: &mut State, call: &Call, account: &str, now: Timestamp) -> Reply {
    let settings = state.model.settings.clone();
    let Some((id, number)) = call.path.last().and_then(|name| name.split_once('-')) else { return Reply::empty(404) };
    let Some(number) = number.parse::<usize>().ok().filter(|number| *number > 1) else { return Reply::empty(404) };
    let read = state.model.reads.iter_mut().find(|read| read.id == id && read.account == account);
    let lives = |read: Timestamp| settings.page_lifetime.is_none_or(|lifetime| crate::clock::add(read, lifetime) > now);
    let Some(read) = read.filter(|read| lives(read.read) && settings.page_gone != Some(number)) else {
        return Reply::empty(404);
    };
    read.read = now;
    let events = match settings.paging {
        Paging::Snapshot => read.snapshot.clone(),
        Paging::Live => {
            let query = read.query.clone();
            Arc::new(state.model.read(account, &query, now))
        }
    };
    page(inner, state, &events, number, Some(id))
}

/// One page of these events. `id` is the read's, if further pages can be asked for.
fn page(inner: &Inner, state: &State, events: &[Value], number: usize, id: Option<&str>) -> Reply {
    let settings = &state.model.settings;
    let size = settings.page_size.max(1);
    let total = events.len().div_ceil(size).max(number);
    let first = number.saturating_sub(1).saturating_mul(size);
    let repeated = usize::from(settings.repeat_across_pages && number > 1);
    let shown: Vec<&Value> =
        events.iter().skip(first.saturating_sub(repeated)).take(size.saturating_add(repeated)).collect();
    let mut about = json!({ "current": number, "total": total });
    let circular = settings.circular_next_page;
    let following = if circular { 2 } else { number.saturating_add(1) };
    let own = |id| format!("{}/v1/events/pages/{id}-{following}", inner.api);
    let foreign = settings.foreign_next_page;
    let more = number < total || (circular && number == 2);
    let next = id.filter(|_| more).map(|id| if foreign { FOREIGN_PAGE.to_owned() } else { own(id) });
    let none = settings.next_page_null.then_some(Value::Null);
    put(&mut about, "next_page", next.map(Value::from).or(none));
    Reply::json(200, json!({ "pages": about, "events": shown }))
}

/// `POST` and `DELETE /v1/calendars/{calendar_id}/events`: the application writes an event itself, which notifies nobody.
pub(super) fn own_write(state: &mut State, call: &Call, account: &str, now: Timestamp) -> Reply {
    let calendar = call.path.get(2).cloned().unwrap_or_default();
    let known = state.model.account_of(&calendar).is_some_and(|owner| owner == account);
    if !known || state.model.accounts.contains_key(&calendar) {
        return Reply::empty(404);
    }
    match state.model.calendar_mut(&calendar) {
        Some(calendar) if calendar.read_only => return Reply::empty(403),
        Some(calendar) if !calendar.deleted => {}
        Some(_) | None => return Reply::empty(404),
    }
    let fields = fields(call);
    let event_id = text(&fields, "event_id").to_owned();
    let found = state.model.events.values().find(|event| {
        let is_own = !event_id.is_empty() && event.own_id.as_deref() == Some(event_id.as_str());
        event.account == account && (is_own || event.uid == text(&fields, "event_uid"))
    });
    let uid = found.map(|event| event.uid.clone());
    if call.endpoint == Endpoint::DeleteEvent {
        if let Some(uid) = uid {
            let change = Change { uid, account: account.to_owned(), calendar, draft: None, own: true, event_id: None };
            state.model.change(vec![change], now);
        }
        return Reply::empty(202);
    }
    if event_id.is_empty() {
        return Reply::invalid("event_id", "errors.required", "required");
    }
    let time = |key: &'static str| {
        When::parse(text(&fields, key)).ok_or_else(|| Reply::invalid(key, "errors.required", "required"))
    };
    let (start, end) = match (time("start"), time("end")) {
        (Ok(start), Ok(end)) => (start, end),
        (Err(reply), _) | (_, Err(reply)) => return reply,
    };
    let uid = uid.unwrap_or_else(|| state.model.id("evt_external_"));
    let more =
        ["description", "location"].into_iter().filter_map(|key| Some((key.to_owned(), fields.get(key)?.clone())));
    let draft = EventDraft::new(text(&fields, "summary"), start, end).uid(&uid).more(Value::Object(more.collect()));
    let change =
        Change { uid, account: account.to_owned(), calendar, draft: Some(draft), own: true, event_id: Some(event_id) };
    state.model.change(vec![change], now);
    Reply::empty(202)
}
