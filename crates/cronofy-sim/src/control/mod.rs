//! The control API: what the handle can do, as JSON over HTTP, for those who are not written in Rust.
//!
//! `body.rs` reads what was sent and names the field that is wrong; the others answer, by subject.

mod accounts;
mod body;
mod calendars;
mod journal;
mod switches;
mod trouble;

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, get, patch, post, put};
use axum::{Json, extract};
use serde_json::json;
use tokio::net::TcpListener;

use crate::{Error, Simulator};

/// What `GET /` says.
const ROUTES: &str = "\
GET    /                          this list
GET    /settings                  all switches
PATCH  /settings                  {\"page_size\": 3, ...} changes switches for all
GET    /settings/overrides        switches that differ for some;  DELETE takes all back
POST   /settings/overrides        {\"scope\": {\"account\"?, \"channel\"?, \"endpoint\"?, \"times\"?}, \"settings\": {...}}
DELETE /settings/overrides/{id}   takes one back
GET    /faults                    faults that wait for a call;  DELETE forgets them
POST   /faults                    {\"endpoint\"?, \"account\"?, \"times\"?, \"answer\": \"cut\" | {\"status\": {\"status\": 503}} | ...}
GET    /schedule                  faults by chance;  DELETE ends them
PUT    /schedule                  {\"seed\": 7, \"probabilities\": {\"server_error\": 0.1, ...}}
POST   /holds                     {\"endpoint\", \"count\"?} makes calls wait; gives an id
GET    /holds/{id}                how many wait;  DELETE lets them go on
POST   /down                      {\"down\": true} leaves calls without an answer
POST   /restart                   {\"restart\": \"state_kept\" | \"channels_lost\"}
GET    /clock                     what it shows
POST   /clock                     {\"advance_seconds\"?, \"set\"?, \"frozen\"?}
POST   /settle                    waits until no delivery is due or under way
POST   /applications              {\"client_id\", \"secrets\": [...]} registers one, or replaces its secrets
GET    /accounts                  accounts, their calendars, profiles and channels
POST   /accounts                  {\"id\"?, \"email\"?, \"name\"?} adds an account
PATCH  /accounts/{id}             {\"scope\"?, \"refused_with\"?} what its grant allows, or a status for all its calls; null ends it
DELETE /accounts/{id}             deletes it
POST   /accounts/{id}/tokens      {\"client_id\"} issues a refresh token
POST   /accounts/{id}/codes       {\"client_id\", \"redirect_uri\"} issues a code to exchange
POST   /accounts/{id}/calendars   {\"name\"?, \"profile\"?} adds a calendar
POST   /accounts/{id}/profiles    {\"provider\"} links another calendar service
POST   /accounts/{id}/channels    {\"client_id\", \"callback_url\"} adds a channel that somebody else made
POST   /accounts/{id}/revoke      ends its grants;  /grant gives them again
POST   /accounts/{id}/profile     {\"connected\"?, \"initial_sync_required\"?, \"conferencing_connected\"?, \"profile\"?}
POST   /accounts/{id}/gdpr        the owner demands erasure
GET    /accounts/{id}/events      what a read shows
POST   /application-calendars     {\"client_id\", \"id\"} the account of an application calendar
PUT    /events/{uid}              {\"calendar\", \"summary\", \"start\", \"end\", \"zone\"?, \"more\"?} creates, changes or moves an event
DELETE /events/{uid}              deletes it
PATCH  /calendars/{id}            {\"read_only\": true};  DELETE deletes the calendar with its events
POST   /calendars/{id}/ics        an iCalendar file as the body
POST   /calendars/{id}/series     {\"summary\", \"start\", \"end\", \"count\", \"every_seconds\"} adds events that repeat
POST   /channels/{id}/notify      {\"type\", \"changes_since\"?, \"more\"?} sends a notification
POST   /channels/{id}/close       closes it in silence
POST   /deliveries                {\"lose\"?: 3, \"doubled\"?: true} loses the next ones, doubles all
PUT    /signing                   {\"header\": \"...\" | null} signs so, or not at all;  DELETE signs validly again
GET    /requests, /deliveries, /changes    the journal
DELETE /journal                   forgets it
";

/// Serves until dropped.
pub(crate) async fn serve(simulator: Simulator, listener: TcpListener) {
    let app = Router::new()
        .route("/", get(|| async { ROUTES }))
        .route("/settings", get(switches::settings).patch(switches::change_settings))
        .route(
            "/settings/overrides",
            get(switches::overrides).post(switches::add_override).delete(switches::end_overrides),
        )
        .route("/settings/overrides/{id}", delete(switches::end_override))
        .route("/faults", get(trouble::faults).post(trouble::inject).delete(trouble::clear_faults))
        .route("/schedule", get(trouble::schedule).put(trouble::set_schedule).delete(trouble::end_schedule))
        .route("/holds", post(trouble::hold))
        .route("/holds/{id}", get(trouble::held).delete(trouble::release))
        .route("/down", post(trouble::down))
        .route("/restart", post(trouble::restart))
        .route("/clock", get(switches::clock).post(switches::set_clock))
        .route("/settle", post(switches::settle))
        .route("/applications", post(accounts::add_application))
        .route("/accounts", get(accounts::accounts).post(accounts::add_account))
        .route("/accounts/{id}", patch(accounts::change_account).delete(accounts::delete_account))
        .route("/accounts/{id}/tokens", post(accounts::issue_token))
        .route("/accounts/{id}/codes", post(accounts::issue_code))
        .route("/accounts/{id}/calendars", post(calendars::add_calendar))
        .route("/accounts/{id}/profiles", post(accounts::add_profile))
        .route("/accounts/{id}/channels", post(accounts::add_channel))
        .route("/accounts/{id}/revoke", post(accounts::revoke))
        .route("/accounts/{id}/grant", post(accounts::grant))
        .route("/accounts/{id}/profile", post(accounts::change_profile))
        .route("/accounts/{id}/gdpr", post(accounts::request_gdpr))
        .route("/accounts/{id}/events", get(calendars::events))
        .route("/application-calendars", post(accounts::application_calendar))
        .route("/events/{uid}", put(calendars::put_event).delete(calendars::delete_event))
        .route("/calendars/{id}", patch(calendars::change_calendar).delete(calendars::delete_calendar))
        .route("/calendars/{id}/ics", post(calendars::import))
        .route("/calendars/{id}/series", post(calendars::put_series))
        .route("/channels/{id}/notify", post(trouble::notify))
        .route("/channels/{id}/close", post(trouble::close_channel))
        .route("/deliveries", get(journal::deliveries).post(trouble::deliveries))
        .route("/signing", put(switches::sign_with).delete(switches::sign_validly))
        .route("/requests", get(journal::requests))
        .route("/changes", get(journal::changes))
        .route("/journal", delete(journal::forget))
        .with_state(simulator);
    let _ended = axum::serve(listener, app).await;
}

type Sim = extract::State<Simulator>;

fn done() -> Response {
    StatusCode::NO_CONTENT.into_response()
}

fn wrong(field: &str, remedy: &str) -> Response {
    (StatusCode::BAD_REQUEST, Json(json!({ "field": field, "remedy": remedy }))).into_response()
}

fn unknown(kind: &'static str, id: String) -> Response {
    not_found(&Error::Unknown { kind, id })
}

fn not_found(error: &Error) -> Response {
    (StatusCode::NOT_FOUND, Json(json!({ "error": error.to_string() }))).into_response()
}
