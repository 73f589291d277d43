//! What each call does.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};

use super::{Call, Reply, http_date};
use crate::faults::Endpoint;
use crate::model::{Change, EventDraft, Filters, Model, ReadQuery, When};
use crate::settings::{OutsideWindow, RetryAfter, WrongClient};
use crate::{Inner, State};

/// Performs a call on the model.
pub(crate) fn perform(inner: &Inner, call: &Call) -> Reply {
    let mut state = inner.state();
    let now = state.clock.now();
    match call.endpoint {
        Endpoint::Token => token(&mut state, call, now),
        Endpoint::Revoke => revoke(&mut state, call, now),
        Endpoint::ApplicationCalendars => application_calendar(&mut state, call, now),
        Endpoint::Unknown => Reply::empty(404),
        _ => as_user(inner, &mut state, call, now),
    }
}

/// The fields of a token request, JSON or form.
fn fields(call: &Call) -> Map<String, Value> {
    if call.form {
        let pairs = url::form_urlencoded::parse(&call.body).into_owned();
        return pairs.map(|(key, value)| (key, Value::String(value))).collect();
    }
    serde_json::from_slice::<Value>(&call.body).ok().and_then(|value| value.as_object().cloned()).unwrap_or_default()
}

fn text<'a>(fields: &'a Map<String, Value>, key: &str) -> &'a str {
    fields.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// Checks client id and secret, and counts the request. Gives the client id.
fn client(state: &mut State, fields: &Map<String, Value>, now: Timestamp) -> Result<String, Reply> {
    let (id, secret) = (text(fields, "client_id"), text(fields, "client_secret"));
    let known = state
        .model
        .applications
        .get(id)
        .is_some_and(|application| application.secrets.iter().any(|known| known == secret));
    if !known {
        return Err(match state.model.settings.wrong_client {
            WrongClient::Unauthorized => Reply::empty(401),
            WrongClient::InvalidClient => Reply::json(400, json!({ "error": "invalid_client" })),
        });
    }
    if state.model.settings.rate_limit_tokens {
        count(&mut state.model, id, now)?;
    }
    Ok(id.to_owned())
}

/// Counts a request against the application's limits.
fn count(model: &mut Model, client_id: &str, now: Timestamp) -> Result<(), Reply> {
    let Some((per_second, per_minute)) = model.settings.rate_limit else { return Ok(()) };
    let retry_after = model.settings.retry_after;
    let Some(application) = model.applications.get_mut(client_id) else { return Ok(()) };
    let age = |time: &Timestamp| now.duration_since(*time).as_millis();
    application.requests.retain(|time| age(time) < 60_000);
    let last_second = application.requests.iter().filter(|time| age(time) < 1_000).count();
    let (over_second, over_minute) = (last_second >= per_second, application.requests.len() >= per_minute);
    if over_second || over_minute {
        let wait = if over_minute { 60 } else { 1 };
        let retry_after = match retry_after {
            RetryAfter::Seconds => Some(wait.to_string()),
            RetryAfter::Date => Some(http_date(crate::clock::add(now, std::time::Duration::from_secs(wait)))),
            RetryAfter::Absent => None,
        };
        return Err(Reply { retry_after, ..Reply::empty(429) });
    }
    application.requests.push_back(now);
    Ok(())
}

fn token(state: &mut State, call: &Call, now: Timestamp) -> Reply {
    let fields = fields(call);
    let client_id = match client(state, &fields, now) {
        Ok(client_id) => client_id,
        Err(reply) => return reply,
    };
    let grant = match text(&fields, "grant_type") {
        "refresh_token" => text(&fields, "refresh_token"),
        // Codes are refresh tokens that the simulator's owner hands out as codes.
        "authorization_code" => text(&fields, "code"),
        _ => return Reply::json(400, json!({ "error": "unsupported_grant_type" })),
    };
    let Some(tokens) = state.model.refresh(grant, &client_id, now) else {
        return Reply { client_id: Some(client_id), ..Reply::json(400, json!({ "error": "invalid_grant" })) };
    };
    let mut body = json!({
        "token_type": "bearer",
        "access_token": tokens.access,
        "scope": "list_calendars read_events",
        "account_id": tokens.account,
        "sub": tokens.account,
    });
    put(&mut body, "refresh_token", tokens.refresh.map(Value::from));
    put(&mut body, "expires_in", tokens.expires_in.map(Value::from));
    Reply { client_id: Some(client_id), account: Some(tokens.account), ..Reply::json(200, body) }
}

fn revoke(state: &mut State, call: &Call, now: Timestamp) -> Reply {
    let fields = fields(call);
    if let Err(reply) = client(state, &fields, now) {
        return reply;
    }
    let token = text(&fields, "token");
    let of_refresh = state.model.refresh_tokens.get(token).map(|grant| grant.account.clone());
    let of_access = state.model.access_tokens.get(token).map(|grant| grant.account.clone());
    let subject = Some(text(&fields, "sub").to_owned()).filter(|sub| !sub.is_empty() && token.is_empty());
    if let Some(account) = of_refresh.or(of_access).or(subject) {
        state.model.revoke(&account);
    }
    Reply::empty(200)
}

fn application_calendar(state: &mut State, call: &Call, now: Timestamp) -> Reply {
    let fields = fields(call);
    let client_id = match client(state, &fields, now) {
        Ok(client_id) => client_id,
        Err(reply) => return reply,
    };
    let id = text(&fields, "application_calendar_id");
    if id.is_empty() {
        return Reply::invalid("application_calendar_id", "errors.required", "required");
    }
    let account = state.model.application_calendar(&client_id, id);
    let refresh = state.model.issue_refresh_token(&account, &client_id);
    let (access, expires_in) = state.model.access_token(&account, &client_id, now);
    let mut body = json!({
        "token_type": "bearer",
        "access_token": access,
        "refresh_token": refresh,
        "scope": "read_events create_event",
        "application_calendar_id": id,
        "sub": account,
    });
    put(&mut body, "expires_in", expires_in.map(Value::from));
    Reply { client_id: Some(client_id), account: Some(account), ..Reply::json(200, body) }
}

fn put(body: &mut Value, key: &str, value: Option<Value>) {
    if let (Some(fields), Some(value)) = (body.as_object_mut(), value) {
        fields.insert(key.to_owned(), value);
    }
}

/// Calls with an access token.
fn as_user(inner: &Inner, state: &mut State, call: &Call, now: Timestamp) -> Reply {
    let token = call.bearer.as_ref().and_then(|token| state.model.access_tokens.get(token)).cloned();
    let Some(token) = token.filter(|token| token.expires > now) else { return Reply::empty(401) };
    let (account, client_id) = (token.account, token.client_id);
    let named = |reply| Reply { account: Some(account.clone()), client_id: Some(client_id.clone()), ..reply };
    let refused = match state.model.accounts.get(&account) {
        Some(account) if account.granted => account.refused_with,
        Some(_) | None => Some(401),
    };
    if let Some(status) = refused {
        return named(Reply::empty(status));
    }
    if let Err(reply) = count(&mut state.model, &client_id, now) {
        return named(reply);
    }
    named(match call.endpoint {
        Endpoint::UserInfo => Reply::json(200, state.model.render_userinfo(&account)),
        Endpoint::Profiles => Reply::json(200, state.model.render_profiles(&account)),
        Endpoint::Account => Reply::json(200, state.model.render_account(&account)),
        Endpoint::Calendars => Reply::json(200, state.model.render_calendars(&account)),
        Endpoint::ListChannels => list_channels(&state.model, &account, &client_id),
        Endpoint::CreateChannel => create_channel(state, call, &account, &client_id, now),
        Endpoint::CloseChannel => close_channel(state, call, &account, now),
        Endpoint::Events => events(inner, state, call, &account, now),
        Endpoint::EventsPage => page(inner, state, call),
        Endpoint::PutEvent | Endpoint::DeleteEvent => own_write(state, call, &account, now),
        Endpoint::Token | Endpoint::Revoke | Endpoint::ApplicationCalendars | Endpoint::Unknown => Reply::empty(404),
    })
}

fn list_channels(model: &Model, account: &str, client_id: &str) -> Reply {
    let settings = &model.settings;
    let listed = model.channels.values().filter(|channel| {
        channel.account == account
            && channel.client_id == client_id
            && (channel.closed.is_none() || settings.list_closed_channels)
    });
    let channels: Vec<_> = listed.map(|channel| channel.render(settings.echo_default_filters)).collect();
    Reply::json(200, json!({ "channels": channels }))
}

fn create_channel(state: &mut State, call: &Call, account: &str, client_id: &str, now: Timestamp) -> Reply {
    let Ok(body) = serde_json::from_slice::<Value>(&call.body) else {
        return Reply::invalid("body", "errors.invalid", "not JSON");
    };
    let url = body.get("callback_url").and_then(Value::as_str).unwrap_or_default();
    if url.is_empty() {
        return Reply::invalid("callback_url", "errors.required", "required");
    }
    if !(url.starts_with("http://") || url.starts_with("https://")) {
        return Reply::invalid("callback_url", "errors.invalid", "must be an HTTP or HTTPS URL");
    }
    if state.model.settings.longest_callback_url.is_some_and(|longest| url.chars().count() > longest) {
        return Reply::invalid("callback_url", "errors.too_long", "is too long");
    }
    let filters = body.get("filters").cloned().unwrap_or_else(|| json!({}));
    let calendar_ids = filters
        .get("calendar_ids")
        .and_then(Value::as_array)
        .map(|ids| ids.iter().filter_map(Value::as_str).map(ToOwned::to_owned).collect::<Vec<_>>());
    if calendar_ids.as_ref().is_some_and(Vec::is_empty) {
        return Reply::invalid("filters.calendar_ids", "errors.required", "at least one calendar_id must be provided");
    }
    let only_managed = filters.get("only_managed").and_then(Value::as_bool).unwrap_or_default();
    let filters = Filters { calendar_ids, only_managed };
    match state.model.create_channel((account, client_id), url, filters, now) {
        Ok(channel) => {
            Reply::json(200, json!({ "channel": channel.render(state.model.settings.echo_default_filters) }))
        }
        Err(422) => Reply::invalid("channel", "errors.limit_reached", "too many channels"),
        Err(status) => Reply::empty(status),
    }
}

fn close_channel(state: &mut State, call: &Call, account: &str, now: Timestamp) -> Reply {
    let id = call.path.last().cloned().unwrap_or_default();
    let own = state.model.channels.get(&id).is_some_and(|channel| channel.account == account);
    if own && state.model.close_channel(&id, now) {
        Reply::empty(202)
    } else {
        Reply::empty(state.model.settings.close_unknown_status)
    }
}

/// The query of a read, or what is wrong with it.
fn query(call: &Call) -> Result<ReadQuery, Reply> {
    let value = |key: &str| call.query.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str());
    let flag = |key: &str| value(key) == Some("true");
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

fn events(inner: &Inner, state: &mut State, call: &Call, account: &str, now: Timestamp) -> Reply {
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
    let shown = state.model.read(account, &query, now);
    first_of(inner, state, shown, 1)
}

/// The first page of these events; the others are kept for later calls.
fn first_of(inner: &Inner, state: &mut State, events: Vec<Value>, current: usize) -> Reply {
    let size = state.model.settings.page_size.max(1);
    let pages = events.len().div_ceil(size).max(1);
    let mut events = events;
    let rest = if events.len() > size { events.split_off(size) } else { Vec::new() };
    let mut about = json!({ "current": current, "total": current + pages - 1 });
    if !rest.is_empty() {
        let id = state.model.id("");
        state.model.pages.insert(format!("{id}:{}", current + 1), rest);
        let next = format!("{}/v1/events/pages/{id}:{}", inner.api, current + 1);
        put(&mut about, "next_page", Some(json!(next)));
    }
    Reply::json(200, json!({ "pages": about, "events": events }))
}

fn page(inner: &Inner, state: &mut State, call: &Call) -> Reply {
    let id = call.path.last().cloned().unwrap_or_default();
    let number = id.rsplit(':').next().and_then(|number| number.parse().ok()).unwrap_or(1);
    match state.model.pages.get(&id).cloned() {
        Some(events) => first_of(inner, state, events, number),
        None => Reply::empty(404),
    }
}

/// The application writes an event itself: that notifies nobody.
fn own_write(state: &mut State, call: &Call, account: &str, now: Timestamp) -> Reply {
    let calendar = call.path.get(2).cloned().unwrap_or_default();
    let known = state.model.account_of(&calendar).is_some_and(|owner| owner == account);
    if !known || state.model.accounts.contains_key(&calendar) {
        return Reply::empty(404);
    }
    let fields = fields(call);
    let event_id = text(&fields, "event_id").to_owned();
    let found = state.model.events.values().find(|event| {
        event.account == account
            && (event.own_id.as_deref() == Some(event_id.as_str()) || event.uid == text(&fields, "event_uid"))
    });
    let uid = found.map(|event| event.uid.clone());
    if call.endpoint == Endpoint::DeleteEvent {
        if let Some(uid) = uid {
            let change =
                Change { uid, account: account.to_owned(), calendar, draft: None, managed: Some(true), event_id: None };
            state.model.change(change, now);
        }
        return Reply::empty(202);
    }
    if event_id.is_empty() {
        return Reply::invalid("event_id", "errors.required", "required");
    }
    let time =
        |key: &'static str| when(text(&fields, key)).ok_or_else(|| Reply::invalid(key, "errors.required", "required"));
    let (start, end) = match (time("start"), time("end")) {
        (Ok(start), Ok(end)) => (start, end),
        (Err(reply), _) | (_, Err(reply)) => return reply,
    };
    let uid = uid.unwrap_or_else(|| state.model.id("evt_external_"));
    let draft = EventDraft::new(text(&fields, "summary"), start, end).uid(&uid);
    let change = Change {
        uid,
        account: account.to_owned(),
        calendar,
        draft: Some(draft),
        managed: Some(true),
        event_id: Some(event_id),
    };
    state.model.change(change, now);
    Reply::empty(202)
}

fn when(text: &str) -> Option<When> {
    if text.len() == 10 {
        return text.parse().ok().map(When::On);
    }
    text.parse().ok().map(When::At)
}
