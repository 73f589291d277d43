//! Switches, signatures and the clock.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::body::{Body, Field};
use super::{Sim, done, unknown, wrong};
use crate::settings::Scope;
use crate::{Signing, WrongSetting};

pub(super) async fn settings(State(sim): Sim) -> Response {
    Json(sim.current_settings()).into_response()
}

pub(super) async fn change_settings(State(sim): Sim, Body(patch): Body<Map<String, Value>>) -> Response {
    let mut state = sim.inner.state();
    let patched = state.model.settings.patched(&patch);
    match patched {
        Ok(settings) => {
            state.model.settings = settings.clone();
            drop(state);
            sim.inner.wake.notify_one();
            Json(settings).into_response()
        }
        Err(WrongSetting { field, remedy }) => wrong(&field, &remedy),
    }
}

pub(super) async fn overrides(State(sim): Sim) -> Response {
    Json(json!({ "overrides": sim.inner.state().model.overrides })).into_response()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewOverride {
    #[serde(default)]
    scope: Scope,
    settings: Map<String, Value>,
}

pub(super) async fn add_override(State(sim): Sim, Body(new): Body<NewOverride>) -> Response {
    let mut state = sim.inner.state();
    if let Err(WrongSetting { field, remedy }) = state.model.settings.patched(&new.settings) {
        return wrong(&format!("settings.{field}"), &remedy);
    }
    let id = sim.add_override(&mut state, new.scope, new.settings);
    Json(json!({ "id": id })).into_response()
}

pub(super) async fn end_override(State(sim): Sim, Path(id): Path<u64>) -> Response {
    if sim.end_override(id) { done() } else { unknown("override", id.to_string()) }
}

pub(super) async fn end_overrides(State(sim): Sim) -> Response {
    sim.clear_overrides();
    done()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    #[serde(default)]
    header: Field<String>,
}

pub(super) async fn sign_with(State(sim): Sim, Body(signing): Body<Header>) -> Response {
    match signing.header {
        Field::Is(header) => {
            sim.sign_with(Signing::Header(header));
            done()
        }
        Field::Absent => wrong("header", "give the header's value, or null for none"),
    }
}

pub(super) async fn sign_validly(State(sim): Sim) -> Response {
    sim.sign_with(Signing::Valid);
    done()
}

pub(super) async fn clock(State(sim): Sim) -> Response {
    Json(json!({ "now": sim.now() })).into_response()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Clock {
    frozen: Option<bool>,
    set: Option<Timestamp>,
    advance_seconds: Option<u64>,
}

pub(super) async fn set_clock(State(sim): Sim, Body(clock): Body<Clock>) -> Response {
    match clock.frozen {
        Some(true) => sim.freeze(),
        Some(false) => sim.run(),
        None => {}
    }
    if let Some(time) = clock.set {
        sim.set_clock(time);
    }
    if let Some(seconds) = clock.advance_seconds {
        sim.advance(Duration::from_secs(seconds)).await;
    }
    Json(json!({ "now": sim.now() })).into_response()
}

pub(super) async fn settle(State(sim): Sim) -> Response {
    sim.settle().await;
    done()
}
