//! The agenda page: calendars for people, in a browser. All views are rendered here, so they work without JavaScript; the script
//! only fetches a page anew when something has changed.
//!
//! In the order in which a request passes:
//! - `visit`: who looks, by header or cookie; `session`: signing in and out.
//! - `view`: what is asked for, parsed from the address.
//! - `calendar`, `picker`, `live`: what is looked up, each after [`Access`] has said yes.
//! - `entry`: an event cut to what is shown; `layout`: where it stands.
//! - `markup`: the HTML. Nothing there writes text past the escaping of maud.
//! - `assets`: style, script and icon.
//!
//! What must hold: no token in an address, a log or a page; nothing is loaded from elsewhere, and no page runs or styles anything
//! that is not in `assets` (the policy below); whatever a calendar holds, a page is bounded.

mod assets;
mod calendar;
mod entry;
mod layout;
mod live;
mod markup;
mod picker;
mod session;
mod view;
mod visit;

use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{self, Next};
use axum::response::{Redirect, Response};
use axum::routing::{get, post};
use calendar_store_client::Reason;
use http::{HeaderName, HeaderValue, Method, header};
use jiff::Timestamp;
use tower_http::compression::CompressionLayer;

use crate::database::Database;
use crate::read::{Bell, Reading, Streaming, bounded};
use crate::{Access, Problem};
use visit::{Address, Visit};

/// Where the pages are. What is below `-` is no namespace.
const CALENDARS: &str = "/calendars";
/// Streams for pages at a time: they take none of those of programs.
const STREAMS: usize = 500;
/// Bytes of a form.
const FORM: usize = 16 * 1024;

/// What may be loaded and run, and from where: our own style, script and icon. No script can make markup from text.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for 'script'; \
                      trusted-types 'none'";

/// What pages are made from.
#[derive(Clone)]
pub struct Page {
    access: Arc<dyn Access>,
    reading: Reading,
    clock: fn() -> Timestamp,
}

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Page").finish_non_exhaustive()
    }
}

/// The routes, for people. `bell` is to be rung after each commit of this process. To be called within a runtime, as
/// [`read::routes`](crate::read::routes).
pub fn routes(database: Database, access: Arc<dyn Access>, bell: &Bell) -> Router {
    routes_at(Timestamp::now, database, access, bell)
}

/// The same by another clock.
pub fn routes_at(clock: fn() -> Timestamp, database: Database, access: Arc<dyn Access>, bell: &Bell) -> Router {
    let streaming = Streaming { most: STREAMS, ..Streaming::default() };
    let reading = Reading::new(database, Arc::clone(&access), bell, streaming);
    let places = reading.places.clone();
    let page = Page { access, reading, clock };
    let pages = Router::new()
        .route("/", get(picker::picker))
        .route("/{namespace}/{name}", get(calendar::calendar))
        .route("/{namespace}/{name}/live", get(live::live))
        .route("/-/sign-in", post(session::sign_in).get(picker::back))
        .route("/-/sign-out", post(session::sign_out).get(picker::back))
        .route("/-/page.css", get(assets::style))
        .route("/-/page.js", get(assets::script))
        .route("/-/icon.svg", get(assets::icon))
        .fallback(nowhere)
        .method_not_allowed_fallback(not_so)
        .with_state(page);
    Router::new()
        .route("/", get(async || Redirect::to(CALENDARS)))
        .nest(CALENDARS, pages)
        .layer(DefaultBodyLimit::max(FORM))
        .layer(middleware::from_fn_with_state(places, bounded))
        // Leaves streams as they are.
        .layer(CompressionLayer::new())
        .layer(middleware::from_fn(guard))
}

async fn nowhere(State(page): State<Page>, visit: Visit) -> Response {
    let detail = "there is no such page: a calendar's address is /calendars/NAMESPACE/NAME";
    visit.answer(&*page.access, Err(Problem::new(Reason::NotFound, detail)))
}

async fn not_so(method: Method, visit: Visit) -> Response {
    let page = markup::not_so(&visit, &method);
    visit::html(http::StatusCode::METHOD_NOT_ALLOWED, &page)
}

/// What a browser is told with everything that comes from here.
async fn guard(mut request: Request, next: Next) -> Response {
    let address = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
    request.extensions_mut().insert(Address(address));
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // With `no-referrer` forms would not say where they come from.
        (header::REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding, authorization, cookie"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}
