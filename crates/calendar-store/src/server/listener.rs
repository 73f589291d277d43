//! The accept loop: HTTP/1.1, through TLS or not, with bounds on all that a client can hold up.
//!
//! Written out because hyper keeps a timeout for heads only if it is given a timer, and `axum::serve` gives it none: a few
//! hundred half-open connections would stand for ever.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use prometheus_client::metrics::gauge::Gauge;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::tls;

/// What clients may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Connections at a time; further ones wait in the kernel's queue.
    pub(super) connections: usize,
    /// Time for the TLS handshake, and again for a request's head; also how long a connection may be idle.
    pub(super) head: Duration,
    /// Time that requests in flight have to end after the stop.
    pub(super) grace: Duration,
}

/// Bytes of a request's head.
const HEAD_BYTES: usize = 32 * 1024;
/// Pause after a failed accept. The usual cause, no free file descriptor, passes only when connections end.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves `app` until `stop`, then lets the requests in flight end. Without a certificate at the moment, connections are closed
/// at once.
pub(super) async fn serve(
    listener: TcpListener,
    certificate: Option<tls::Current>,
    app: Router,
    limits: Limits,
    connections: Gauge,
    stop: impl Future<Output = ()>,
) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(limits.head).max_buf_size(HEAD_BYTES);
    let app = TowerToHyperService::new(app);
    let places = Arc::new(Semaphore::new(limits.connections));
    let open = GracefulShutdown::new();
    let mut tasks = JoinSet::new();
    let mut stop = pin!(stop);
    loop {
        let (place, stream) = tokio::select! {
            () = &mut stop => break,
            Some(_) = tasks.join_next() => continue,
            accepted = accept(&listener, &places) => accepted,
        };
        // Taken here, so that a stop also waits for handshakes that are under way.
        let watcher = open.watcher();
        let (http, app, counted) = (http.clone(), app.clone(), Counted::new(&connections, place));
        let config = certificate.as_ref().map(|current| current.borrow().clone());
        tasks.spawn(async move {
            // How a connection breaks is its client's affair.
            match config {
                None => {
                    let _ = watcher.watch(http.serve_connection(TokioIo::new(stream), app)).await;
                }
                Some(None) => {}
                Some(Some(config)) => {
                    if let Ok(Ok(stream)) = timeout(limits.head, TlsAcceptor::from(config).accept(stream)).await {
                        let _ = watcher.watch(http.serve_connection(TokioIo::new(stream), app)).await;
                    }
                }
            }
            drop(counted);
        });
    }
    drop(listener);
    let _ = timeout(limits.grace, open.shutdown()).await;
    tasks.shutdown().await;
}

/// The next connection, once there is a place for it.
async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> (Option<OwnedSemaphorePermit>, TcpStream) {
    // Fails only if the semaphore is closed, which nobody does.
    let place = Arc::clone(places).acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
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
