//! A calendar store on a port of this machine, for tests of several binaries.
#![allow(dead_code)] // each of them uses a part of it

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::Method;
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::serve::Listener;
use calendar_store::database::Database;
use calendar_store::{Access, Credentials, Limits, Problem, write};
use calendar_store_client::{CommitHeader, HeadHeader, Reason, Scope};
use futures::future::BoxFuture;
use futures::stream;
use tokio::net::TcpListener;

/// Whoever shows this may write.
const TOKEN: &str = "a-token-of-the-operator";

/// A calendar store that runs until it is dropped.
pub struct Served {
    address: SocketAddr,
    seen: Arc<Seen>,
    database: Database,
    server: tokio::task::JoinHandle<()>,
    folder: tempfile::TempDir,
}

#[derive(Default)]
struct Seen {
    losing: AtomicBool,
    losing_commits: AtomicBool,
    requests: Mutex<Vec<String>>,
}

impl Served {
    /// One over SQLite in a folder of its own.
    pub async fn sqlite() -> Self {
        Self::sqlite_at(TcpListener::bind("127.0.0.1:0").await.unwrap()).await
    }

    /// The same where this listens.
    pub async fn sqlite_at(listener: impl Listener<Addr = SocketAddr>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("events.db").display());
        Self::over(&url, folder, listener).await
    }

    /// One over a PostgreSQL database of its own.
    pub async fn postgres() -> Self {
        let url = testenv::postgres().await.unwrap().database().await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::over(&url, tempfile::tempdir().unwrap(), listener).await
    }

    async fn over(url: &str, folder: tempfile::TempDir, listener: impl Listener<Addr = SocketAddr>) -> Self {
        let database = Database::open(url).await.unwrap();
        let seen = Arc::<Seen>::default();
        let routes: Router = write::routes(database.clone(), Arc::new(Writer), Limits::default())
            .layer(middleware::from_fn_with_state(seen.clone(), watch));
        let address = listener.local_addr().unwrap();
        std::fs::write(folder.path().join("token"), TOKEN).unwrap();
        let server = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { address, seen, database, server, folder }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it keeps what it is sent.
    pub fn database(&self) -> Database {
        self.database.clone()
    }

    /// The file with the token that is taken.
    pub fn token_file(&self) -> PathBuf {
        self.folder.path().join("token")
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// From now on requests are done and not answered, or answered again.
    pub fn lose_answers(&self, losing: bool) {
        self.seen.losing.store(losing, Ordering::SeqCst);
    }

    /// The same for commits alone.
    pub fn lose_commits(&self, losing: bool) {
        self.seen.losing_commits.store(losing, Ordering::SeqCst);
    }

    /// The requests since the last call, as method and status.
    pub fn take_requests(&self) -> Vec<String> {
        std::mem::take(&mut self.seen.requests.lock().unwrap())
    }

    /// Stores what is stored of one subscription as that of another one, too.
    pub async fn store_copy(&self, uid: &str, as_uid: &str, namespace: &str, name: &str) {
        let text = self.text(uid).await;
        let (header, lines) = text.split_once('\n').unwrap();
        let HeadHeader { head, state } = serde_json::from_str(header).unwrap();
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        let state = state.unwrap();
        let header = CommitHeader { namespace, name, on: None, head, scope: Scope::Everything, state };
        let body = serde_json::to_string(&header).unwrap() + "\n" + lines;
        let url = format!("{}/write/v1/subscriptions/{as_uid}", self.url());
        let answer = reqwest::Client::new().put(url).bearer_auth(TOKEN).body(body).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
    }

    /// What is stored of a subscription, as it is sent.
    pub async fn text(&self, uid: &str) -> String {
        let url = format!("{}/write/v1/subscriptions/{uid}", self.url());
        let answer = reqwest::Client::new().get(url).bearer_auth(TOKEN).send().await.unwrap();
        if answer.status() == 404 { String::new() } else { answer.text().await.unwrap() }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn watch(State(seen): State<Arc<Seen>>, request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let answer = next.run(request).await;
    seen.requests.lock().unwrap().push(format!("{method} {}", answer.status().as_u16()));
    let lost = seen.losing_commits.load(Ordering::SeqCst) && method == Method::PUT;
    if lost || seen.losing.load(Ordering::SeqCst) {
        return Response::new(Body::from_stream(stream::iter([Err::<Vec<u8>, _>("the connection breaks")])));
    }
    answer
}

/// Admits the writer, and nobody to read.
struct Writer;

impl Access for Writer {
    fn may_read<'a>(&'a self, _: &'a Credentials, _: &'a str, _: &'a str) -> BoxFuture<'a, Result<(), Problem>> {
        Box::pin(async { Err(Problem::new(Reason::Forbidden, "nobody reads here")) })
    }

    fn may_write<'a>(&'a self, credentials: &'a Credentials) -> BoxFuture<'a, Result<(), Problem>> {
        let known = credentials.bearer.as_deref() == Some(TOKEN);
        Box::pin(async move {
            if known { Ok(()) } else { Err(Problem::new(Reason::Unauthorized, "the token is not known")) }
        })
    }
}
