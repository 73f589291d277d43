//! Servers for the tests: one that answers properly and remembers what it was asked, one that speaks raw bytes.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Method, Response, StatusCode, Uri};
use cronofy::url::Url;
use cronofy::{Client, Options};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A request as the server saw it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: Method,
    pub uri: Uri,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub fn line(&self) -> String {
        format!("{} {}", self.method, self.uri)
    }
}

/// Gives the same answer to each request; goes away when dropped.
pub struct Server {
    pub api: Url,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: JoinHandle<()>,
}

impl Server {
    pub async fn start(answer: impl Fn(&Seen) -> Response<Body> + Clone + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let api = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        let app = Router::new().fallback(move |method, uri, headers, body| {
            let request = Seen { method, uri, headers, body };
            let answer = answer(&request);
            log.lock().unwrap().push(request);
            async move { answer }
        });
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { api, seen, task }
    }

    pub async fn answering(status: u16, body: impl Into<Bytes>) -> Self {
        Self::with_headers(status, &[], body).await
    }

    pub async fn with_headers(status: u16, headers: &[(&'static str, &str)], body: impl Into<Bytes>) -> Self {
        let body = body.into();
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        Self::start(move |_| answer(status, &headers, body.clone())).await
    }

    pub fn client(&self) -> Client {
        Client::new(Options::new(self.api.clone())).unwrap()
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub fn only_request(&self) -> Seen {
        let seen = self.seen();
        assert_eq!(seen.len(), 1, "{seen:?}");
        seen.into_iter().next().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub fn answer(status: u16, headers: &[(&'static str, String)], body: Bytes) -> Response<Body> {
    let mut answer = Response::new(Body::from(body));
    *answer.status_mut() = StatusCode::from_u16(status).unwrap();
    for (name, value) in headers {
        answer.headers_mut().insert(*name, value.parse().unwrap());
    }
    answer
}

/// What a [`RawServer`] does to a connection once it has sent its bytes.
#[derive(Clone, Copy, Debug)]
pub enum Then {
    Close,
    Reset,
    Hang,
    /// Sends the bytes again and again until nobody listens.
    Repeat(&'static [u8]),
}

/// Reads a request and sends fixed bytes; goes away when dropped.
pub struct RawServer {
    pub api: Url,
    task: JoinHandle<()>,
}

impl RawServer {
    pub async fn start(bytes: impl Into<Vec<u8>>, then: Then) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let api = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let bytes = bytes.into();
        let task = tokio::spawn(async move {
            let mut open = Vec::new();
            loop {
                let (connection, _) = listener.accept().await.unwrap();
                open.extend(serve(connection, &bytes, then).await);
            }
        });
        Self { api, task }
    }
}

impl Drop for RawServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Returns the connection if it is to stay open.
async fn serve(mut connection: TcpStream, bytes: &[u8], then: Then) -> Option<TcpStream> {
    let mut request = Vec::new();
    while !is_complete(&request) {
        if connection.read_buf(&mut request).await.unwrap_or(0) == 0 {
            return None;
        }
    }
    // A client that has given up is no fault of the server.
    let _ = connection.write_all(bytes).await;
    match then {
        Then::Close => {
            let _ = connection.shutdown().await;
            None
        }
        Then::Reset => {
            connection.set_zero_linger().unwrap();
            None
        }
        Then::Hang => Some(connection),
        Then::Repeat(more) => {
            while connection.write_all(more).await.is_ok() {}
            None
        }
    }
}

/// A request that is left unread would turn the end of the connection into a reset, which can overtake the answer.
fn is_complete(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().filter_map(|line| line.split_once(": ")).find(|(name, _)| *name == "content-length");
    body.len() >= length.map_or(0, |(_, length)| length.parse().unwrap())
}
