//! The process: puts the parts together, and takes them apart in the order that loses nothing.

mod health;
mod metrics;
mod refusals;
mod tls;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use calendar_store_client::Reason;
use http::StatusCode;
use https_listener::{Limits as Connections, PairFiles, Transport};
use jiff::Timestamp;
use kube::{Client, Config};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::timeout::{RequestBodyTimeoutLayer, TimeoutLayer};

use crate::authority::{self, Authority, ReviewError};
use crate::database::Database;
use crate::read::{self, Bell, Streaming};
use crate::{Access, Limits, Problem, feeds, page, write};
use health::Health;
use metrics::Metrics;

/// Time after the process says it is not ready in which requests still come in: endpoints are removed in parallel.
const DRAIN: Duration = Duration::from_secs(2);
/// Time that the database has to end what is under way.
const LAST_QUERIES: Duration = Duration::from_secs(5);
/// Time from the end of a request's head to the beginning of its answer.
const ANSWER: Duration = Duration::from_secs(30);
/// The same for a commit, which is received as a whole before that.
const COMMIT: Duration = Duration::from_secs(300);
/// Time between two parts of a body.
const BODY: Duration = Duration::from_secs(15);
/// Bytes of a body that is no commit.
const SMALL_BODY: usize = 16 * 1024;
/// Between two looks for deletions that are old enough to be forgotten.
const FORGETTING: Duration = Duration::from_hours(1);
/// Between two looks at whether reviews are answered, until they are.
const REVIEWS_CHECK: Duration = Duration::from_secs(2);

/// Bytes of an answer that the kernel keeps for a client that does not take it.
const SEND_BUFFER: u32 = 256 * 1024;

/// Room for all streams of changes and as many other connections.
const PUBLIC: Connections = Connections {
    connections: 4096,
    head: Duration::from_secs(10),
    head_bytes: 32 * 1024,
    write: Duration::from_secs(30),
    grace: Duration::from_secs(10),
};
const ADMIN: Connections = Connections {
    connections: 64,
    head: Duration::from_secs(3),
    head_bytes: 32 * 1024,
    write: Duration::from_secs(10),
    grace: Duration::from_secs(1),
};

/// How to serve.
#[derive(Clone, Debug)]
pub struct Options {
    /// URL of the database.
    pub database: SecretString,
    /// Address of the API.
    pub listen: SocketAddr,
    /// Files of the certificate and of its key; without them the API speaks plain HTTP.
    pub tls: Option<PairFiles>,
    /// Address of probes and metrics.
    pub admin_listen: SocketAddr,
    /// Audience that tokens have to be for.
    pub audience: String,
    /// Users that may write.
    pub writers: BTreeSet<String>,
    /// How long deletions are told.
    pub tombstones: Duration,
    /// Bytes of the largest commit.
    pub max_body: usize,
}

/// Why the store ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The database cannot be used.
    #[error("{0}")]
    Database(String),
    /// No access to Kubernetes.
    #[error("no access to Kubernetes: {0}; set KUBECONFIG, or run inside a cluster")]
    NoAccess(String),
    /// An address cannot be listened on.
    #[error("--{flag} {address}: {error}")]
    Listen {
        /// The flag.
        flag: &'static str,
        /// The address.
        address: SocketAddr,
        /// The cause.
        error: std::io::Error,
    },
    /// A defect: a part that runs until the end has ended.
    #[error("{0} ended")]
    Ended(&'static str),
}

/// Serves until `stop`.
///
/// # Errors
/// If it cannot start, or cannot go on. The process should end then and be started anew.
pub async fn run(options: Options, stop: impl Future<Output = ()>) -> Result<(), RunError> {
    let (metrics, health) = (Metrics::new(), Health::default());
    health.waits("reviews", "not asked yet");
    health.waits("database", "not opened yet");
    let client = client().await?;
    let admin_listener = listen("admin-listen", options.admin_listen)?;
    let admin_address = bound(&admin_listener, options.admin_listen);
    let (closing, closed) = watch::channel(false);
    let admin = health::router(health.clone(), metrics.clone());
    let admin = https_listener::serve(admin_listener, Transport::Plain, admin, ADMIN, Gauge::default(), told(closed));
    let (mut admin, mut stop) = (Box::pin(admin), Box::pin(stop));
    tracing::info!(admin = %admin_address, "starting");
    let database = tokio::select! {
        opened = open(&options.database, &health) => opened?,
        () = &mut admin => return Err(RunError::Ended("the admin server")),
        () = &mut stop => {
            tracing::info!("stopped before the database was open");
            return Ok(());
        }
    };
    let listener = listen("listen", options.listen)?;
    let address = bound(&listener, options.listen);
    let (rotation, transport) = match options.tls {
        Some(files) => {
            let (rotation, certificates) = tls::Rotation::new(files, health.clone(), metrics.clone());
            (Some(rotation), Transport::Tls { certificates, failures: Counter::default() })
        }
        None => (None, Transport::Plain),
    };
    let settings = authority::Settings { audience: options.audience, writers: options.writers };
    let authority = Arc::new(Authority::new(client, settings, database.clone()));

    let (stop_serving, stopped) = watch::channel(false);
    let limits = Limits { bytes: options.max_body, ..Limits::default() };
    let bell = Bell::new();
    let app = app(&database, &(authority.clone() as Arc<dyn Access>), &bell, limits);
    let connections = metrics.connections.clone();
    let app = bounded(app, metrics);
    let served = https_listener::serve(listener, transport, app, PUBLIC, connections, told(stopped));
    let chores = async {
        let rotated = async {
            if let Some(rotation) = rotation {
                rotation.run().await;
            }
        };
        let checked = checked(&authority, &health);
        tokio::join!(rotated, checked, forget(&database, options.tombstones), database.keep_log_empty());
    };
    tracing::info!(listen = %address, admin = %admin_address, "serving");

    let (mut served, mut chores) = (Box::pin(served), Box::pin(chores));
    tokio::select! {
        () = &mut served => return Err(RunError::Ended("the server")),
        () = &mut admin => return Err(RunError::Ended("the admin server")),
        () = &mut chores => return Err(RunError::Ended("the chores")),
        () = &mut stop => {}
    }
    tracing::info!("stopping");
    health.waits("process", "shutting down");
    let drained = async {
        // Everything goes on while this pod's endpoint is taken out of the Service.
        sleep(DRAIN).await;
        bell.end();
        let _nobody = stop_serving.send(true);
    };
    let last = async { tokio::join!(drained, &mut served) };
    tokio::select! {
        _ = last => {}
        () = &mut admin => return Err(RunError::Ended("the admin server")),
        () = &mut chores => return Err(RunError::Ended("the chores")),
    }
    // It may hold a connection, and nobody goes on with it.
    drop(chores);
    if timeout(LAST_QUERIES, database.close()).await.is_err() {
        tracing::warn!("the database is left with queries under way");
    }
    let _nobody = closing.send(true);
    admin.await;
    tracing::info!("stopped");
    Ok(())
}

/// All routes, each with the time that its answer may take. An answer that has begun may go on for as long as it likes.
fn app(database: &Database, access: &Arc<dyn Access>, bell: &Bell, limits: Limits) -> Router {
    let late = |limit| TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, limit);
    let feeds = feeds::routes(database.clone(), Arc::clone(access)).layer(DefaultBodyLimit::max(SMALL_BODY));
    let reads = read::routes(database.clone(), Arc::clone(access), bell, Streaming::default());
    let writes = write::routes(database.clone(), Arc::clone(access), limits);
    let writes = writes.layer(middleware::from_fn_with_state(bell.clone(), ring)).layer(late(COMMIT));
    let pages = page::routes(database.clone(), Arc::clone(access), bell);
    feeds.merge(reads).merge(pages).layer(late(ANSWER)).merge(writes).fallback(nowhere)
}

async fn nowhere() -> Problem {
    Problem::new(Reason::NotFound, "the store has no such path")
}

fn bounded(app: Router, metrics: Metrics) -> Router {
    let panicked = |_| StatusCode::INTERNAL_SERVER_ERROR.into_response();
    app.layer(
        ServiceBuilder::new()
            .layer(middleware::from_fn_with_state(metrics, metrics::count))
            .layer(middleware::from_fn(refusals::documented))
            .layer(CatchPanicLayer::custom(panicked))
            .layer(RequestBodyTimeoutLayer::new(BODY)),
    )
}

/// Tells those who wait for changes that there may be some.
async fn ring(State(bell): State<Bell>, request: Request, next: Next) -> Response {
    let changes = !request.method().is_safe();
    let response = next.run(request).await;
    if changes && response.status().is_success() {
        bell.ring();
    }
    response
}

async fn told(mut stop: watch::Receiver<bool>) {
    // An error means that whoever could tell is gone.
    let _ = stop.wait_for(|stopping| *stopping).await;
}

async fn client() -> Result<Client, RunError> {
    // Without the excerpt of a kubeconfig that follows in further lines.
    let no_access = |error: &dyn std::error::Error| {
        RunError::NoAccess(error.to_string().lines().next().unwrap_or_default().to_owned())
    };
    let config = Config::infer().await.map_err(|error| no_access(&error))?;
    Client::try_from(config).map_err(|error| no_access(&error))
}

/// The database, once it is open. What is waited for is told meanwhile.
async fn open(url: &SecretString, health: &Health) -> Result<Database, RunError> {
    let url = url.expose_secret();
    let waits = |what| {
        if health.waits("database", what) {
            tracing::info!(what, "the database is not open yet");
        }
    };
    let opened = Database::open_telling(url, waits).await;
    let database = opened.map_err(|error| RunError::Database(redacted(&error.to_string(), url)))?;
    health.ready("database");
    Ok(database)
}

fn listen(flag: &'static str, address: SocketAddr) -> Result<TcpListener, RunError> {
    https_listener::listen(address, SEND_BUFFER).map_err(|error| RunError::Listen { flag, address, error })
}

/// Where it listens, should the port have been left open.
fn bound(listener: &TcpListener, asked: SocketAddr) -> SocketAddr {
    listener.local_addr().unwrap_or(asked)
}

/// Ready once the API server answers. That it may stop to answer is for each request to tell.
async fn checked(authority: &Authority, health: &Health) {
    let mut told: Option<ReviewError> = None;
    while let Err(error) = authority.check().await {
        health.waits("reviews", error.to_string());
        if told.as_ref() != Some(&error) {
            tracing::warn!(%error, "nobody can be let in yet");
        }
        told = Some(error);
        sleep(REVIEWS_CHECK).await;
    }
    health.ready("reviews");
    std::future::pending::<()>().await;
}

async fn forget(database: &Database, tombstones: Duration) {
    loop {
        let before = Timestamp::now().checked_sub(tombstones).unwrap_or(Timestamp::MIN);
        match database.forget_deletions(before).await {
            Ok(0) => {}
            Ok(forgotten) => tracing::info!(forgotten, "old deletions are forgotten"),
            Err(error) => tracing::warn!(%error, "old deletions are not forgotten yet"),
        }
        sleep(FORGETTING).await;
    }
}

/// A message without the database's URL and its password, should they stand in it.
pub(crate) fn redacted(message: &str, url: &str) -> String {
    let message = message.replace(url, "***");
    let authority = url.split_once("://").map(|(_, rest)| rest);
    let login = authority.and_then(|rest| rest.rsplit_once('@')).map(|(login, _)| login);
    let parameters = url.split_once('?').map(|(_, query)| query).unwrap_or_default().split('&');
    let parameter = parameters.filter_map(|pair| pair.strip_prefix("password="));
    let password = login.and_then(|login| login.split_once(':')).map(|(_, password)| password);
    password.into_iter().chain(parameter).filter(|password| !password.is_empty()).fold(message, |message, password| {
        let plain = percent_decoded(password);
        message.replace(password, "***").replace(&plain, "***")
    })
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, others)) = rest.split_first() {
        let code = (*first == b'%').then(|| others.split_at_checked(2)).flatten();
        let code = code.and_then(|(digits, after)| {
            let digits = std::str::from_utf8(digits).ok()?;
            Some((u8::from_str_radix(digits, 16).ok()?, after))
        });
        let (byte, after) = code.unwrap_or((*first, others));
        bytes.push(byte);
        rest = after;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_in_no_message() {
        let table = [
            (
                "postgres://store:pa%20ss@host/db",
                "user store: pa ss or pa%20ss is wrong",
                "user store: *** or *** is wrong",
            ),
            ("postgres://store:a@b@host/db", "no host b@host for a@b", "no host b@host for ***"),
            ("postgres://host/db?user=store&password=canary", "canary", "***"),
            ("postgres://store:canary@[host", "cannot parse postgres://store:canary@[host", "cannot parse ***"),
            ("postgres://store@host/db", "user store is unknown", "user store is unknown"),
            ("sqlite:/data/calendars.db", "unable to open database file", "unable to open database file"),
        ];
        for (url, message, expected) in table {
            assert_eq!(redacted(message, url), expected, "{url}");
        }
    }
}
