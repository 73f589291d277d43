//! The accept loop: HTTP/1.1, through TLS or not, with bounds on all that a client can hold up.
//!
//! Written out because hyper keeps a timeout for heads only if it is given a timer, and neither `axum::serve` nor hyper's
//! own defaults give it one: a few hundred half-open connections would stand for ever. Nor has either a limit for answers that
//! nobody takes.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
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
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::Certificates;

/// What a client may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time; further ones wait in the kernel's queue until one ends.
    pub connections: usize,
    /// Time until the TLS handshake is done, and then again until a request's head is complete. A connection kept alive for longer
    /// than this without a request ends too.
    pub head: Duration,
    /// Bytes of a request's head, and of an answer that are gathered before they are sent.
    pub head_bytes: usize,
    /// Time in which a client takes no byte of its answer, then the connection ends. A stream with nothing to send is not concerned.
    pub write: Duration,
    /// Time that requests in flight have to end after the stop.
    pub grace: Duration,
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

/// A connection whose client has to take what it is sent.
type Stream = std::pin::Pin<Box<TimeoutStream<TcpStream>>>;

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
    stop: impl Future<Output = ()>,
) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(limits.head).max_buf_size(limits.head_bytes);
    let app = TowerToHyperService::new(app);
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
        let mut stream = Box::pin(TimeoutStream::new(stream));
        stream.as_mut().set_write_timeout_pinned(Some(limits.write));
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
async fn secured(stream: Stream, certificates: &Certificates, limit: Duration) -> Option<TlsStream<Stream>> {
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
                // What an answer consists of is gathered already.
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

#[cfg(test)]
mod tests;
