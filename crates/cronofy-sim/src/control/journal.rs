//! What was called, delivered and changed.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use serde_json::json;

use super::{Sim, done};

pub(super) async fn requests(State(sim): Sim) -> Response {
    Json(json!({ "requests": sim.requests() })).into_response()
}

pub(super) async fn deliveries(State(sim): Sim) -> Response {
    Json(json!({ "deliveries": sim.deliveries() })).into_response()
}

pub(super) async fn changes(State(sim): Sim) -> Response {
    Json(json!({ "changes": sim.changes() })).into_response()
}

pub(super) async fn forget(State(sim): Sim) -> Response {
    sim.clear_journal();
    done()
}
