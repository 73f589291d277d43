//! The accept loop: HTTP/1.1, through TLS or not, with bounds on all that a client can hold up.
//!
//! Written out because hyper keeps a timeout for headers only if it is given a timer, and neither `axum::serve` nor hyper's
//! own defaults give it one: a few hundred half-open connections would stand for ever. The length of a body is bounded where
//! it is read, see [`receive`](super::receive): what is not read costs nothing here.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{Response, StatusCode};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::timeout::{RequestBodyTimeoutLayer, TimeoutLayer};

use super::rotation::Certificates;

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
        grace: Duration::from_secs(5),
    };

    /// The admin port's: a few probes and scrapers.
    pub const ADMIN: Self = Self {
        connections: 64,
        head: Duration::from_secs(3),
        head_bytes: 16 * 1024,
        body: Duration::from_secs(1),
        request: Duration::from_secs(10),
        grace: Duration::from_secs(1),
    };
}

/// How bytes come in and go out.
#[derive(Clone, Debug)]
pub enum Transport {
    /// As they are.
    Plain,
    /// Through TLS, with the certificate that is current when a connection begins. While there is none, connections are closed
    /// at once: who calls tries again, and waits for nobody.
    Tls {
        /// The certificate.
        certificates: Certificates,
        /// Counts the handshakes that fail.
        failures: Counter,
    },
}

/// Pause after a failed accept. The usual cause, no free file descriptor, passes only when connections end.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves `app` until `stop`, then lets the requests in flight end for at most [`Limits::grace`]. Open connections are counted
/// in `connections`.
///
/// HTTP/1.1 only: a client that speaks HTTP/2 without asking is refused, and with it the attacks that HTTP/2 knows.
pub async fn serve(
    listener: TcpListener,
    transport: Transport,
    app: Router,
    limits: Limits,
    connections: Gauge,
    stop: impl Future<Output = ()> + Send,
) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(limits.head).max_buf_size(limits.head_bytes);
    let app = TowerToHyperService::new(bounded(app, limits));
    let places = Arc::new(Semaphore::new(limits.connections));
    let (open, ending) = (GracefulShutdown::new(), Arc::new(AtomicBool::new(false)));
    let mut tasks = JoinSet::new();
    let mut stop = pin!(stop);
    loop {
        let (place, stream) = tokio::select! {
            () = &mut stop => break,
            Some(_) = tasks.join_next() => continue,
            accepted = accept(&listener, &places) => accepted,
        };
        // Taken here, so that a stop also waits for handshakes that are under way.
        let (watcher, counted) = (open.watcher(), Counted::new(&connections, place));
        let (mut http, transport, app, ending) = (http.clone(), transport.clone(), app.clone(), Arc::clone(&ending));
        tasks.spawn(async move {
            // How a connection breaks is its client's affair.
            match transport {
                Transport::Plain => {
                    let _ = watcher.watch(http.serve_connection(TokioIo::new(stream), app)).await;
                }
                Transport::Tls { certificates, failures } => {
                    let Some(stream) = secured(stream, &certificates, limits.head).await else {
                        failures.inc();
                        return;
                    };
                    if ending.load(Ordering::Relaxed) {
                        // Told of the stop, hyper would close it unheard, although its client came before.
                        let _ = http.keep_alive(false).serve_connection(TokioIo::new(stream), app).await;
                        drop(watcher);
                    } else {
                        let _ = watcher.watch(http.serve_connection(TokioIo::new(stream), app)).await;
                    }
                }
            }
            drop(counted);
        });
    }
    drop(listener);
    ending.store(true, Ordering::Relaxed);
    let _ = timeout(limits.grace, open.shutdown()).await;
    tasks.shutdown().await;
}

/// The connection behind its TLS handshake, unless that fails or takes too long.
async fn secured(stream: TcpStream, certificates: &Certificates, limit: Duration) -> Option<TlsStream<TcpStream>> {
    let acceptor = TlsAcceptor::from(certificates.current()?);
    timeout(limit, acceptor.accept(stream)).await.ok()?.ok()
}

/// The next connection, once there is a place for it.
async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> (Option<OwnedSemaphorePermit>, TcpStream) {
    // Fails only if the semaphore is closed, which nobody does.
    let place = Arc::clone(places).acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Answers are one small segment each: there is nothing to gather.
                let _ = stream.set_nodelay(true);
                return (place, stream);
            }
            Err(error) => {
                tracing::warn!(%error, "connection not accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
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

/// An open connection's place, and its count.
struct Counted {
    connections: Gauge,
    _place: Option<OwnedSemaphorePermit>,
}

impl Counted {
    fn new(connections: &Gauge, place: Option<OwnedSemaphorePermit>) -> Self {
        connections.inc();
        Self { connections: connections.clone(), _place: place }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.connections.dec();
    }
}

#[cfg(test)]
mod tests;
