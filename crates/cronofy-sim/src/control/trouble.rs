//! Faults, holds, outages, and what goes wrong with deliveries.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::Body;
use super::{Sim, done, unknown, wrong};
use crate::faults::{Endpoint, Fault, Schedule};
use crate::model::Notification;
use crate::simulator::Restart;

pub(super) async fn faults(State(sim): Sim) -> Response {
    Json(json!({ "faults": sim.inner.state().faults })).into_response()
}

pub(super) async fn inject(State(sim): Sim, Body(fault): Body<Fault>) -> Response {
    sim.inject(fault);
    done()
}

pub(super) async fn clear_faults(State(sim): Sim) -> Response {
    sim.clear_faults();
    done()
}

pub(super) async fn schedule(State(sim): Sim) -> Response {
    let state = sim.inner.state();
    Json(json!({ "schedule": state.model.drawing.as_ref().map(|drawing| &drawing.schedule) })).into_response()
}

pub(super) async fn set_schedule(State(sim): Sim, Body(schedule): Body<Schedule>) -> Response {
    match sim.schedule(Some(schedule)) {
        Ok(()) => done(),
        Err(error) => wrong("probabilities", &error.to_string()),
    }
}

pub(super) async fn end_schedule(State(sim): Sim) -> Response {
    sim.inner.state().model.drawing = None;
    done()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewHold {
    endpoint: Endpoint,
    #[serde(default = "one")]
    count: usize,
}

fn one() -> usize {
    1
}

pub(super) async fn hold(State(sim): Sim, Body(new): Body<NewHold>) -> Response {
    let hold = sim.hold(new.endpoint, new.count);
    let mut state = sim.inner.state();
    let id = state.model.next_number();
    state.holds.insert(id, hold);
    Json(json!({ "id": id })).into_response()
}

pub(super) async fn held(State(sim): Sim, Path(id): Path<u64>) -> Response {
    match sim.inner.state().holds.get(&id) {
        Some(hold) => Json(json!({ "waiting": *hold.arrived.borrow() })).into_response(),
        None => unknown("hold", id.to_string()),
    }
}

pub(super) async fn release(State(sim): Sim, Path(id): Path<u64>) -> Response {
    let hold = sim.inner.state().holds.remove(&id);
    if hold.is_some() { done() } else { unknown("hold", id.to_string()) }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Down {
    down: bool,
}

pub(super) async fn down(State(sim): Sim, Body(body): Body<Down>) -> Response {
    sim.down(body.down);
    done()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RestartAs {
    restart: Restart,
}

pub(super) async fn restart(State(sim): Sim, Body(body): Body<RestartAs>) -> Response {
    sim.restart(body.restart);
    done()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewNotification {
    #[serde(rename = "type")]
    kind: String,
    changes_since: Option<Timestamp>,
    #[serde(default)]
    more: Value,
}

pub(super) async fn notify(State(sim): Sim, Path(id): Path<String>, Body(new): Body<NewNotification>) -> Response {
    let NewNotification { kind, changes_since, more } = new;
    if !sim.inner.state().model.channels.contains_key(&id) {
        return unknown("channel", id);
    }
    sim.notify(&id, &Notification { kind, changes_since, more });
    done()
}

pub(super) async fn close_channel(State(sim): Sim, Path(id): Path<String>) -> Response {
    if !sim.inner.state().model.channels.contains_key(&id) {
        return unknown("channel", id);
    }
    sim.close_channel_by_hand(&id);
    done()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Deliveries {
    lose: Option<usize>,
    doubled: Option<bool>,
}

pub(super) async fn deliveries(State(sim): Sim, Body(body): Body<Deliveries>) -> Response {
    if let Some(count) = body.lose {
        sim.lose_deliveries(count);
    }
    if let Some(doubled) = body.doubled {
        sim.double_deliveries(doubled);
    }
    done()
}
