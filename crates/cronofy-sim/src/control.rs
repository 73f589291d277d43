//! The control API: what the handle can do, as JSON over HTTP, for those who are not written in Rust.

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, body::Bytes};
use jiff::Timestamp;
use jiff::civil::Date;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::model::{EventDraft, Notification, When};
use crate::{AccountDraft, Error, Simulator};

/// What `GET /` says.
const ROUTES: &str = "\
GET    /                          this list
GET    /accounts                  accounts, their calendars, tokens, channels
POST   /accounts                  {\"email\"?, \"name\"?} adds an account
POST   /accounts/{id}/tokens      {\"client_id\"} issues a refresh token
POST   /accounts/{id}/calendars   {\"name\"} adds a calendar
POST   /accounts/{id}/revoke      ends its grants;  /grant gives them again
POST   /accounts/{id}/profile     {\"connected\"?, \"initial_sync_required\"?}
POST   /accounts/{id}/gdpr        the owner demands erasure
GET    /accounts/{id}/events      what a read shows
PUT    /events/{uid}              {\"calendar\", \"summary\", \"start\", \"end\"} creates or changes an event
DELETE /events/{uid}              deletes it
POST   /calendars/{id}/ics        an iCalendar file as the body
POST   /channels/{id}/notify      {\"type\", \"changes_since\"?} sends a notification
POST   /channels/{id}/close       closes it in silence
POST   /clock                     {\"advance_seconds\"?, \"set\"?, \"frozen\"?}
POST   /down                      {\"down\": true} leaves calls without an answer
GET    /requests, /deliveries     the journal;  DELETE /journal forgets it
";

/// Serves until dropped.
pub(crate) async fn serve(simulator: Simulator, listener: TcpListener) {
    let app = Router::new()
        .route("/", get(|| async { ROUTES }))
        .route("/accounts", get(accounts).post(add_account))
        .route("/accounts/{id}/tokens", post(issue_token))
        .route("/accounts/{id}/calendars", post(add_calendar))
        .route("/accounts/{id}/revoke", post(revoke))
        .route("/accounts/{id}/grant", post(grant))
        .route("/accounts/{id}/profile", post(profile))
        .route("/accounts/{id}/gdpr", post(gdpr))
        .route("/accounts/{id}/events", get(events))
        .route("/events/{uid}", axum::routing::put(put_event).delete(delete_event))
        .route("/calendars/{id}/ics", post(import))
        .route("/channels/{id}/notify", post(notify))
        .route("/channels/{id}/close", post(close))
        .route("/clock", post(clock))
        .route("/down", post(down))
        .route("/requests", get(requests))
        .route("/deliveries", get(deliveries))
        .route("/journal", axum::routing::delete(forget))
        .with_state(simulator);
    let _ended = axum::serve(listener, app).await;
}

type Sim = State<Simulator>;

fn done() -> Response {
    StatusCode::NO_CONTENT.into_response()
}

fn wrong(field: &str, remedy: &str) -> Response {
    (StatusCode::BAD_REQUEST, Json(json!({ "field": field, "remedy": remedy }))).into_response()
}

fn unknown(error: &Error) -> Response {
    (StatusCode::NOT_FOUND, Json(json!({ "error": error.to_string() }))).into_response()
}

fn text<'a>(body: &'a Value, field: &str) -> Option<&'a str> {
    body.get(field).and_then(Value::as_str)
}

async fn accounts(State(sim): Sim) -> Response {
    let state = sim.inner.state();
    let shown: Vec<Value> = state
        .model
        .accounts
        .iter()
        .map(|(id, account)| {
            let channels: Vec<Value> = state
                .model
                .channels
                .values()
                .filter(|channel| channel.account == *id)
                .map(|channel| json!({ "channel": channel.render(true), "closed": channel.closed }))
                .collect();
            let calendars: Vec<Value> =
                account.calendars.iter().map(|calendar| json!({ "id": calendar.id, "name": calendar.name })).collect();
            json!({ "id": id, "granted": account.granted, "calendars": calendars, "channels": channels })
        })
        .collect();
    Json(json!({ "accounts": shown })).into_response()
}

async fn add_account(State(sim): Sim, Json(body): Json<Value>) -> Response {
    let usual = AccountDraft::default();
    let id = sim.add_account(AccountDraft {
        id: None,
        email: text(&body, "email").map_or(usual.email, ToOwned::to_owned),
        name: text(&body, "name").map_or(usual.name, ToOwned::to_owned),
    });
    Json(json!({ "id": id, "calendars": sim.calendars(&id) })).into_response()
}

async fn issue_token(State(sim): Sim, Path(id): Path<String>, Json(body): Json<Value>) -> Response {
    let Some(client_id) = text(&body, "client_id") else { return wrong("client_id", "name an application") };
    if !sim.inner.state().model.accounts.contains_key(&id) {
        return unknown(&Error::Unknown { kind: "account", id });
    }
    Json(json!({ "refresh_token": sim.issue_refresh_token(&id, client_id) })).into_response()
}

async fn add_calendar(State(sim): Sim, Path(id): Path<String>, Json(body): Json<Value>) -> Response {
    match sim.add_calendar(&id, text(&body, "name").unwrap_or("Calendar")) {
        calendar if calendar.is_empty() => unknown(&Error::Unknown { kind: "account", id }),
        calendar => Json(json!({ "id": calendar })).into_response(),
    }
}

async fn revoke(State(sim): Sim, Path(id): Path<String>) -> Response {
    sim.revoke(&id);
    done()
}

async fn grant(State(sim): Sim, Path(id): Path<String>) -> Response {
    sim.grant(&id);
    done()
}

async fn profile(State(sim): Sim, Path(id): Path<String>, Json(body): Json<Value>) -> Response {
    if let Some(connected) = body.get("connected").and_then(Value::as_bool) {
        sim.connect_profile(&id, connected);
    }
    if let Some(required) = body.get("initial_sync_required").and_then(Value::as_bool) {
        sim.initial_sync(&id, required);
    }
    done()
}

async fn gdpr(State(sim): Sim, Path(id): Path<String>) -> Response {
    sim.request_gdpr(&id);
    done()
}

async fn events(State(sim): Sim, Path(id): Path<String>) -> Response {
    let query = crate::ReadQuery { include_managed: true, ..crate::ReadQuery::default() };
    Json(json!({ "events": sim.read(&id, &query) })).into_response()
}

async fn put_event(State(sim): Sim, Path(uid): Path<String>, Json(body): Json<Value>) -> Response {
    let time = |field| text(&body, field).and_then(when);
    let known = sim.inner.state().model.events.get(&uid).cloned();
    let calendar =
        text(&body, "calendar").map(ToOwned::to_owned).or(known.as_ref().map(|event| event.calendar.clone()));
    let Some(calendar) = calendar else { return wrong("calendar", "give the id of a calendar or account") };
    let before = known.map(|event| event.draft);
    let Some(start) = time("start").or(before.as_ref().map(|draft| draft.start)) else {
        return wrong("start", "give an RFC 3339 time or a date");
    };
    let Some(end) = time("end").or(before.as_ref().map(|draft| draft.end)) else {
        return wrong("end", "give an RFC 3339 time or a date");
    };
    let summary = text(&body, "summary").map(ToOwned::to_owned).or(before.as_ref().map(|draft| draft.summary.clone()));
    let usual = EventDraft::new(summary.unwrap_or_default(), start, end).uid(uid);
    let draft = match before {
        Some(before) => EventDraft { zone: before.zone, more: before.more, ..usual },
        None => usual,
    };
    match sim.put_event(&calendar, draft) {
        Ok(uid) => Json(json!({ "uid": uid })).into_response(),
        Err(error) => unknown(&error),
    }
}

async fn delete_event(State(sim): Sim, Path(uid): Path<String>) -> Response {
    sim.delete_event(&uid).map_or_else(|error| unknown(&error), |()| done())
}

async fn import(State(sim): Sim, Path(id): Path<String>, body: Bytes) -> Response {
    match sim.import_ics(&id, &String::from_utf8_lossy(&body)) {
        Ok(count) => Json(json!({ "events": count })).into_response(),
        Err(error) => wrong("body", &error.to_string()),
    }
}

async fn notify(State(sim): Sim, Path(id): Path<String>, Json(body): Json<Value>) -> Response {
    let Some(kind) = text(&body, "type") else { return wrong("type", "name a type of notification") };
    let changes_since = text(&body, "changes_since").and_then(|time| time.parse().ok());
    sim.notify(&id, &Notification { changes_since, ..Notification::new(kind) });
    done()
}

async fn close(State(sim): Sim, Path(id): Path<String>) -> Response {
    sim.close_channel_by_hand(&id);
    done()
}

async fn clock(State(sim): Sim, Json(body): Json<Value>) -> Response {
    if let Some(frozen) = body.get("frozen").and_then(Value::as_bool) {
        if frozen { sim.freeze() } else { sim.run() }
    }
    if let Some(set) = text(&body, "set") {
        let Ok(time) = set.parse::<Timestamp>() else { return wrong("set", "give an RFC 3339 time") };
        sim.inner.state().clock.set(time);
    }
    if let Some(seconds) = body.get("advance_seconds").and_then(Value::as_u64) {
        sim.advance(std::time::Duration::from_secs(seconds)).await;
    }
    Json(json!({ "now": sim.now() })).into_response()
}

async fn down(State(sim): Sim, Json(body): Json<Value>) -> Response {
    match body.get("down").and_then(Value::as_bool) {
        Some(down) => {
            sim.down(down);
            done()
        }
        None => wrong("down", "give true or false"),
    }
}

async fn requests(State(sim): Sim) -> Response {
    let requests = sim.requests();
    let shown = requests.iter().map(|request| {
        json!({
            "endpoint": request.endpoint, "account": request.account, "client_id": request.client_id,
            "status": request.status, "time": request.time, "query": request.query,
        })
    });
    Json(json!({ "requests": shown.collect::<Vec<_>>() })).into_response()
}

async fn deliveries(State(sim): Sim) -> Response {
    let deliveries = sim.deliveries();
    let shown = deliveries.iter().map(|delivery| {
        json!({
            "channel": delivery.channel, "type": delivery.kind, "attempt": delivery.attempt,
            "time": delivery.time, "status": delivery.status, "body": delivery.body,
        })
    });
    Json(json!({ "deliveries": shown.collect::<Vec<_>>() })).into_response()
}

async fn forget(State(sim): Sim) -> Response {
    sim.clear_journal();
    done()
}

fn when(text: &str) -> Option<When> {
    if text.len() == 10 {
        return text.parse::<Date>().ok().map(When::On);
    }
    text.parse::<Timestamp>().ok().map(When::At)
}
