//! The port for the cluster's own eyes: `/livez`, `/readyz`, `/metrics`.
//!
//! Ready means that the database is open, the listener is up, its certificate is there, and the API server has once answered the
//! store's reviews. That the database or the API server does not answer later has no say: requests are told so, and feeds need no
//! API server.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::{StatusCode, header};

use super::metrics::Metrics;

/// What the process waits for. Clones share the same state.
#[derive(Clone, Debug, Default)]
pub(super) struct Health(Arc<Mutex<BTreeMap<&'static str, String>>>);

impl Health {
    /// The process is not ready until this is; `why` is one line with the remedy. Gives whether that is news.
    pub(super) fn waits(&self, what: &'static str, why: impl Into<String>) -> bool {
        let why = why.into();
        self.pending().insert(what, why.clone()) != Some(why)
    }

    pub(super) fn ready(&self, what: &'static str) {
        self.pending().remove(what);
    }

    /// Each statement leaves the table sound, so a panic elsewhere does not spoil it.
    fn pending(&self) -> MutexGuard<'_, BTreeMap<&'static str, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The admin port's routes.
pub(super) fn router(health: Health, metrics: Metrics) -> Router {
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .with_state(health)
        .merge(Router::new().route("/metrics", get(exposition)).with_state(metrics))
}

async fn readyz(State(health): State<Health>) -> Response {
    let pending: Vec<_> = health.pending().iter().map(|(what, why)| format!("{what}: {why}\n")).collect();
    if pending.is_empty() {
        "ok\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, pending.concat()).into_response()
    }
}

async fn exposition(State(metrics): State<Metrics>) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")];
    (headers, metrics.encode()).into_response()
}
