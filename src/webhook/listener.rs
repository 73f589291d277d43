//! The listener with the operator's own limits: of the time that an answer takes, and of what a defect costs. The accept loop and
//! what a client can hold up otherwise are [`https_listener`]'s. The length of a body is bounded where it is read, see
//! [`receive`](super::receive): what is not read costs nothing here.

use std::future::Future;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{Response, StatusCode};
use prometheus_client::metrics::gauge::Gauge;
use tokio::net::TcpListener;
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::timeout::{RequestBodyTimeoutLayer, TimeoutLayer};

pub use https_listener::Transport;

/// What a client may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time; further ones wait in the kernel's queue until one ends.
    pub connections: usize,
    /// Time until the TLS handshake is done, and then again until a request's head is complete. A connection kept alive for longer than this without a request ends too.
    pub head: Duration,
    /// Bytes of a request's head.
    pub head_bytes: usize,
    /// Time between two parts of a request's body.
    pub body: Duration,
    /// Time from the end of the head to the answer; then the answer is 503.
    pub request: Duration,
    /// Time in which a client takes no byte of its answer, then the connection ends.
    pub write: Duration,
    /// Time that requests in flight have to end after the stop.
    pub grace: Duration,
}

impl Limits {
    /// The webhook's. Cronofy waits 5 s for an answer (observed), so ours comes within 4 s even at the worst.
    pub const WEBHOOK: Self = Self {
        connections: 1024,
        head: Duration::from_secs(3),
        head_bytes: 16 * 1024,
        body: Duration::from_secs(2),
        request: Duration::from_secs(4),
        write: Duration::from_secs(10),
        grace: Duration::from_secs(5),
    };

    /// The admin port's: a few probes and scrapers.
    pub const ADMIN: Self = Self {
        connections: 64,
        head: Duration::from_secs(3),
        head_bytes: 16 * 1024,
        body: Duration::from_secs(1),
        request: Duration::from_secs(10),
        write: Duration::from_secs(10),
        grace: Duration::from_secs(1),
    };
}

/// Serves `app` until `stop`, then lets the requests in flight end for at most [`Limits::grace`]. Open connections are counted
/// in `connections`.
pub async fn serve(
    listener: TcpListener,
    transport: Transport,
    app: Router,
    limits: Limits,
    connections: Gauge,
    stop: impl Future<Output = ()> + Send,
) {
    let Limits { connections: most, head, head_bytes, write, grace, body: _, request: _ } = limits;
    let of_clients = https_listener::Limits { connections: most, head, head_bytes, write, grace };
    https_listener::serve(listener, transport, bounded(app, limits), of_clients, connections, stop).await;
}

fn bounded(app: Router, limits: Limits) -> Router {
    app.layer(
        ServiceBuilder::new()
            .layer(CatchPanicLayer::custom(|_| status(StatusCode::INTERNAL_SERVER_ERROR)))
            .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, limits.request))
            .layer(RequestBodyTimeoutLayer::new(limits.body)),
    )
}

fn status(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests;
