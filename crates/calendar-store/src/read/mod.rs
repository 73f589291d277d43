//! The API of readers. Nothing here changes what is stored.
//!
//! In the order in which a request passes:
//! - `subject`: whom it is about, and whether who asks may read that. Nothing is looked at before.
//! - `query`, `range`, `cursor`, `position`: what it asks for, parsed into types that cannot be wrong.
//! - `subscriptions`: which there are in a namespace.
//! - `events`, `now`, `freebusy`, `changes`, `stream`, `ics`: the answers, each as of one moment of the database.
//! - `documents`: what the answers consist of; `tag`: by what a reader knows that it has one already.
//! - `taking`: what answers hold while they are taken.
//! - `openapi`: all of that as a document.
//!
//! What must hold: an answer takes a bounded part of a calendar into memory, whatever is asked, all answers together are bounded,
//! too, and no reader holds a transaction while it takes its answer.

mod bell;
mod changes;
pub(crate) mod cursor;
pub(crate) mod documents;
mod events;
mod freebusy;
mod ics;
mod lines;
mod listeners;
mod now;
pub(crate) mod openapi;
mod position;
pub(crate) mod query;
mod range;
pub(crate) mod stream;
pub(crate) mod subject;
mod subscriptions;
mod tag;
mod taking;

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use calendar_store_client::Reason;
use http::{HeaderValue, Method, header};
use tower_http::compression::CompressionLayer;

use crate::database::Database;
use crate::{Access, Problem};
use listeners::Listeners;
use taking::Places;

pub use bell::Bell;
pub(crate) use changes::last_event;
pub(crate) use documents::event;
pub(crate) use events::overlapping;
pub use openapi::document;
pub(crate) use position::Position;
pub(crate) use query::Query;
pub(crate) use range::{Range, Zone};
pub(crate) use stream::Stream;
pub use stream::Streaming;
pub(crate) use subject::{Subject, checked_name, checked_namespace};
pub(crate) use subscriptions::names;
pub(crate) use taking::bounded;

/// The routes, for those who may read. `bell` is to be rung after each commit of this process; `streaming` bounds the streams of
/// changes. To be called within a runtime: streams share a task, which ends with the last clone of the router.
pub fn routes(database: Database, access: Arc<dyn Access>, bell: &Bell, streaming: Streaming) -> Router {
    let reading = Reading::new(database, access, bell, streaming);
    let places = reading.places.clone();
    Router::new()
        .route("/v1/namespaces/{namespace}/calendarsubscriptions", get(subscriptions::subscriptions))
        .route("/v1/namespaces/{namespace}/calendarsubscriptions/{name}/events", get(events::events))
        .route("/v1/namespaces/{namespace}/calendarsubscriptions/{name}/events.ics", get(ics::ics))
        .route("/v1/namespaces/{namespace}/calendarsubscriptions/{name}/now", get(now::now))
        .route("/v1/namespaces/{namespace}/calendarsubscriptions/{name}/changes", get(changes::changes))
        .route("/v1/namespaces/{namespace}/freebusy", get(freebusy::freebusy))
        .route("/v1/openapi.json", get(openapi::openapi))
        .method_not_allowed_fallback(refuse_method)
        .with_state(reading)
        .layer(middleware::from_fn_with_state(places, taking::bounded))
        // Leaves streams of changes as they are: a change would wait in the compressor for others.
        .layer(CompressionLayer::new())
        .layer(middleware::from_fn(finish))
}

/// What answers are made from.
#[derive(Clone)]
pub(crate) struct Reading {
    pub(crate) database: Database,
    access: Arc<dyn Access>,
    listeners: Arc<Listeners>,
    pub(crate) places: Places,
}

impl Reading {
    /// With streams of its own. To be called within a runtime.
    pub(crate) fn new(database: Database, access: Arc<dyn Access>, bell: &Bell, streaming: Streaming) -> Self {
        let listeners = Listeners::new(database.clone(), bell, streaming);
        Self { database, access, listeners, places: Places::default() }
    }
}

/// Nobody but who asked may keep an answer, and that only to ask whether it still holds.
async fn finish(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("private, no-cache"));
    headers.insert(header::VARY, HeaderValue::from_static("accept, accept-encoding, authorization"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

async fn refuse_method(method: Method) -> Response {
    let problem = Problem::new(Reason::MethodNotAllowed, format!("{method} is not allowed: use GET or HEAD"));
    ([(header::ALLOW, "GET,HEAD")], problem).into_response()
}
