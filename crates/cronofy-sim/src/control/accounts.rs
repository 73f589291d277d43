//! Applications and accounts.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::{Body, Field};
use super::{Sim, done, not_found, unknown};
use crate::model::AccountDraft;
use crate::{Simulator, State as Everything};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewApplication {
    client_id: String,
    secrets: Vec<String>,
}

pub(super) async fn add_application(State(sim): Sim, Body(new): Body<NewApplication>) -> Response {
    let secrets: Vec<&str> = new.secrets.iter().map(String::as_str).collect();
    if sim.inner.state().model.applications.contains_key(&new.client_id) {
        sim.rotate_secrets(&new.client_id, &secrets);
    } else {
        sim.add_application(&new.client_id, &secrets);
    }
    done()
}

pub(super) async fn accounts(State(sim): Sim) -> Response {
    let state = sim.inner.state();
    let shown: Vec<Value> = state.model.accounts.keys().map(|id| account(&state, id)).collect();
    Json(json!({ "accounts": shown })).into_response()
}

fn account(state: &Everything, id: &str) -> Value {
    let Some(account) = state.model.accounts.get(id) else { return Value::Null };
    let channels: Vec<Value> = state
        .model
        .channels
        .values()
        .filter(|channel| channel.account == id)
        .map(|channel| json!({ "channel": channel.render(true), "closed": channel.closed }))
        .collect();
    let calendars: Vec<Value> = account
        .calendars
        .iter()
        .map(|calendar| {
            json!({
                "id": calendar.id, "name": calendar.name, "profile": calendar.profile,
                "read_only": calendar.read_only, "deleted": calendar.deleted,
            })
        })
        .collect();
    let profiles: Vec<Value> = account
        .profiles
        .iter()
        .map(|profile| {
            json!({
                "id": profile.id, "provider": profile.provider, "connected": profile.connected,
                "initial_sync_required": profile.initial_sync_required,
            })
        })
        .collect();
    json!({
        "id": id, "granted": account.granted, "scope": account.scope, "refused_with": account.refused_with,
        "calendars": calendars, "profiles": profiles, "channels": channels,
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewAccount {
    id: Option<String>,
    email: Option<String>,
    name: Option<String>,
}

pub(super) async fn add_account(State(sim): Sim, Body(new): Body<NewAccount>) -> Response {
    let usual = AccountDraft::default();
    let id = sim.add_account(AccountDraft {
        id: new.id,
        email: new.email.unwrap_or(usual.email),
        name: new.name.unwrap_or(usual.name),
    });
    Json(json!({ "id": id, "calendars": sim.calendars(&id) })).into_response()
}

/// Does something with an account that must exist.
fn with_account(sim: &Simulator, id: String, act: impl FnOnce(&str) -> Response) -> Response {
    if sim.inner.state().model.accounts.contains_key(&id) { act(&id) } else { unknown("account", id) }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AccountChange {
    #[serde(default)]
    scope: Field<String>,
    #[serde(default)]
    refused_with: Field<u16>,
}

pub(super) async fn change_account(
    State(sim): Sim,
    Path(id): Path<String>,
    Body(change): Body<AccountChange>,
) -> Response {
    with_account(&sim, id, |id| {
        if let Field::Is(scope) = change.scope {
            sim.limit_scope(id, scope.as_deref());
        }
        if let Field::Is(status) = change.refused_with {
            sim.refuse(id, status);
        }
        done()
    })
}

pub(super) async fn delete_account(State(sim): Sim, Path(id): Path<String>) -> Response {
    with_account(&sim, id, |id| {
        sim.delete_account(id);
        done()
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewToken {
    client_id: String,
}

pub(super) async fn issue_token(State(sim): Sim, Path(id): Path<String>, Body(new): Body<NewToken>) -> Response {
    with_account(&sim, id, |id| {
        Json(json!({ "refresh_token": sim.issue_refresh_token(id, &new.client_id) })).into_response()
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewCode {
    client_id: String,
    redirect_uri: String,
}

pub(super) async fn issue_code(State(sim): Sim, Path(id): Path<String>, Body(new): Body<NewCode>) -> Response {
    with_account(&sim, id, |id| {
        Json(json!({ "code": sim.issue_code(id, &new.client_id, &new.redirect_uri) })).into_response()
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewProfile {
    provider: String,
}

pub(super) async fn add_profile(State(sim): Sim, Path(id): Path<String>, Body(new): Body<NewProfile>) -> Response {
    match sim.add_profile(&id, &new.provider) {
        Ok(profile) => Json(json!({ "id": profile })).into_response(),
        Err(error) => not_found(&error),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewChannel {
    client_id: String,
    callback_url: String,
}

pub(super) async fn add_channel(State(sim): Sim, Path(id): Path<String>, Body(new): Body<NewChannel>) -> Response {
    with_account(&sim, id, |id| {
        sim.add_channel(id, &new.client_id, &new.callback_url);
        done()
    })
}

pub(super) async fn revoke(State(sim): Sim, Path(id): Path<String>) -> Response {
    with_account(&sim, id, |id| {
        sim.revoke(id);
        done()
    })
}

pub(super) async fn grant(State(sim): Sim, Path(id): Path<String>) -> Response {
    with_account(&sim, id, |id| {
        sim.grant(id);
        done()
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProfileChange {
    profile: Option<String>,
    connected: Option<bool>,
    initial_sync_required: Option<bool>,
    conferencing_connected: Option<bool>,
}

pub(super) async fn change_profile(
    State(sim): Sim,
    Path(id): Path<String>,
    Body(change): Body<ProfileChange>,
) -> Response {
    with_account(&sim, id, |id| {
        if let Some(connected) = change.connected {
            sim.connect_profile(change.profile.as_deref().unwrap_or(id), connected);
        }
        if let Some(required) = change.initial_sync_required {
            sim.initial_sync(id, required);
        }
        if let Some(connected) = change.conferencing_connected {
            sim.connect_conferencing(id, connected);
        }
        done()
    })
}

pub(super) async fn request_gdpr(State(sim): Sim, Path(id): Path<String>) -> Response {
    with_account(&sim, id, |id| {
        sim.request_gdpr(id);
        done()
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ApplicationCalendar {
    client_id: String,
    id: String,
}

pub(super) async fn application_calendar(State(sim): Sim, Body(new): Body<ApplicationCalendar>) -> Response {
    let account = sim.application_calendar(&new.client_id, &new.id);
    Json(json!({ "account": account })).into_response()
}
