use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::Request;
use axum::routing::{get, post};
use futures::future::join_all;
use http_body_util::BodyExt as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::*;
use crate::webhook::receive::BODY_BYTES;

mod tls;

/// Far more than anything here takes: who waits this long has found a bug.
const PATIENCE: Duration = Duration::from_secs(30);

const QUICK: Limits = Limits {
    head: Duration::from_millis(300),
    body: Duration::from_millis(300),
    request: Duration::from_millis(900),
    ..Limits::WEBHOOK
};

struct Server {
    address: SocketAddr,
    connections: Gauge,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Server {
    async fn start(app: Router, limits: Limits) -> Self {
        Self::through(Transport::Plain, app, limits).await
    }

    async fn through(transport: Transport, app: Router, limits: Limits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let connections = Gauge::default();
        let stopped = async move { drop(stopped.await) };
        let task = tokio::spawn(serve(listener, transport, app, limits, connections.clone(), stopped));
        Self { address, connections, stop, task }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn sends(&self, text: &[u8]) -> TcpStream {
        let mut stream = self.connect().await;
        stream.write_all(text).await.unwrap();
        stream
    }

    /// Sends a good request and returns the status of its answer.
    async fn status(&self) -> u16 {
        let stream =
            self.sends(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}").await;
        status(&until_closed(stream).await)
    }

    async fn stop(self) {
        let _ = self.stop.send(());
        within(self.task).await.unwrap();
    }
}

async fn within<F: Future>(future: F) -> F::Output {
    timeout(PATIENCE, future).await.expect("nothing happened")
}

/// All that comes until the other side closes, in whatever way.
async fn until_closed(mut stream: impl AsyncRead + Unpin) -> String {
    let mut text = Vec::new();
    let read = async {
        let mut part = [0; 1024];
        while let Ok(length @ 1..) = stream.read(&mut part).await {
            text.extend_from_slice(&part[..length]);
        }
    };
    within(read).await;
    String::from_utf8_lossy(&text).into_owned()
}

fn status(answer: &str) -> u16 {
    answer.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok()).unwrap_or_default()
}

/// Reads the body as the webhook does, and answers 204, 413 or 400.
async fn reads(request: Request) -> StatusCode {
    match http_body_util::Limited::new(request.into_body(), BODY_BYTES).collect().await {
        Ok(_) => StatusCode::NO_CONTENT,
        Err(error) if error.is::<http_body_util::LengthLimitError>() => StatusCode::PAYLOAD_TOO_LARGE,
        Err(_) => StatusCode::BAD_REQUEST,
    }
}

fn app() -> Router {
    Router::new().route("/", post(reads))
}

#[tokio::test]
async fn half_a_head_is_not_waited_for() {
    let server = Server::start(app(), QUICK).await;
    for text in [&b""[..], b"PO", b"POST / HTTP/1.1\r\nHost: h\r\n", b"POST / HTTP/1.1\r\nHost: h\r\nX: 1"] {
        let answer = until_closed(server.sends(text).await).await;
        assert!(matches!(status(&answer), 0 | 408), "{answer}");
    }
    assert_eq!(server.status().await, 204);
    server.stop().await;
}

#[tokio::test]
async fn a_head_that_drips_is_not_waited_for() {
    let server = Server::start(app(), QUICK).await;
    let mut stream = server.sends(b"POST / HTTP/1.1\r\n").await;
    let drips = async {
        while stream.write_all(b"X: 1\r\n").await.is_ok() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    within(drips).await;
    server.stop().await;
}

#[tokio::test]
async fn a_body_that_stalls_or_drips_is_not_waited_for() {
    let server = Server::start(app(), QUICK).await;
    let stalled = server.sends(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 20\r\n\r\n{").await;
    assert_eq!(status(&until_closed(stalled).await), 400);
    let (mut read, mut write) = server.connect().await.into_split();
    let drips = tokio::spawn(async move {
        let _ = write.write_all(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        while write.write_all(b"1\r\nx\r\n").await.is_ok() {
            sleep(Duration::from_millis(50)).await;
        }
    });
    let mut text = [0; 12];
    within(read.read_exact(&mut text)).await.unwrap();
    assert_eq!(status(&String::from_utf8_lossy(&text)), 503);
    within(drips).await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn bodies_of_200_kb_are_refused_declared_or_chunked() {
    let server = Server::start(app(), Limits::WEBHOOK).await;
    let body = "x".repeat(200_000);
    for request in [
        format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{body}", body.len()),
        format!(
            "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
            body.len()
        ),
    ] {
        let (mut read, mut write) = server.connect().await.into_split();
        let sent = tokio::spawn(async move { write.write_all(request.as_bytes()).await });
        let mut answer = [0; 12];
        within(read.read_exact(&mut answer)).await.unwrap();
        assert_eq!(status(&String::from_utf8_lossy(&answer)), 413);
        let _ = within(sent).await.unwrap();
    }
    assert_eq!(server.status().await, 204);
    server.stop().await;
}

#[tokio::test]
async fn a_head_that_is_too_long_is_refused() {
    let server = Server::start(app(), Limits::WEBHOOK).await;
    let (mut read, mut write) = server.connect().await.into_split();
    let sent = tokio::spawn(async move {
        let _ = write.write_all(b"POST / HTTP/1.1\r\nHost: h\r\nX: ").await;
        while write.write_all(&[b'x'; 1024]).await.is_ok() {}
    });
    let mut answer = [0; 12];
    within(read.read_exact(&mut answer)).await.unwrap();
    assert_eq!(status(&String::from_utf8_lossy(&answer)), 431);
    drop(read);
    within(sent).await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn two_hundred_half_open_connections_hold_up_nobody() {
    // The bound on heads is so long that it cannot be what lets the good request pass.
    let limits = Limits { head: PATIENCE * 4, grace: Duration::ZERO, ..Limits::WEBHOOK };
    let server = Server::start(app(), limits).await;
    let silent = join_all((0..200).map(|_| server.sends(b"POST / HTTP/1.1\r\nHost: h\r\n"))).await;
    assert_eq!(within(server.status()).await, 204);
    drop(silent);
    server.stop().await;
}

#[tokio::test]
async fn connections_over_the_bound_wait_until_others_end() {
    let limits = Limits { connections: 3, ..QUICK };
    let server = Server::start(app(), limits).await;
    let silent = join_all((0..3).map(|_| server.sends(b"POST"))).await;
    within(async {
        while server.connections.get() < 3 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(within(server.status()).await, 204, "the silent ones are closed and make place");
    assert!(server.connections.get() <= 3);
    for stream in silent {
        until_closed(stream).await;
    }
    server.stop().await;
}

#[tokio::test]
async fn requests_that_are_sent_without_waiting_are_answered_in_turn() {
    let server = Server::start(app(), Limits::WEBHOOK).await;
    let one = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}";
    let last = "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    let answers = until_closed(server.sends(format!("{}{last}", one.repeat(50)).as_bytes()).await).await;
    assert_eq!(answers.matches("HTTP/1.1 204 ").count(), 50);
    assert_eq!(answers.matches("HTTP/1.1 405 ").count(), 1);
    server.stop().await;
}

#[tokio::test]
async fn an_idle_connection_that_is_kept_alive_ends() {
    let server = Server::start(app(), QUICK).await;
    let stream = server.sends(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}").await;
    assert_eq!(status(&until_closed(stream).await), 204);
    server.stop().await;
}

#[tokio::test]
async fn http_2_without_asking_and_garbage_are_refused() {
    let server = Server::start(app(), Limits::WEBHOOK).await;
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";
    for text in [&preface[..], b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"\x00\xff\x00\xff\r\n\r\n"] {
        let answer = until_closed(server.sends(text).await).await;
        assert!(matches!(status(&answer), 0 | 400), "{answer}");
    }
    assert_eq!(server.status().await, 204);
    server.stop().await;
}

#[tokio::test]
async fn a_panic_costs_one_answer_and_tells_nothing() {
    let panics = get(async || -> StatusCode { panic!("canary") });
    let server = Server::start(app().route("/panic", panics), Limits::WEBHOOK).await;
    let stream = server.sends(b"GET /panic HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await;
    let answer = until_closed(stream).await;
    assert_eq!(status(&answer), 500);
    assert!(!answer.contains("canary"));
    assert_eq!(server.status().await, 204);
    server.stop().await;
}

#[tokio::test]
async fn what_takes_too_long_is_answered_with_503() {
    let app = Router::new().route("/", post(std::future::pending::<()>));
    let server = Server::start(app, QUICK).await;
    assert_eq!(server.status().await, 503);
    server.stop().await;
}

#[tokio::test]
async fn a_stop_lets_requests_in_flight_end_and_closes_idle_connections() {
    let (begun, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let app = app().route(
        "/slow",
        get({
            let (begun, release) = (Arc::clone(&begun), Arc::clone(&release));
            || async move {
                begun.notify_one();
                release.notified().await;
                "done"
            }
        }),
    );
    let server =
        Server::start(app, Limits { request: PATIENCE, head: PATIENCE, grace: PATIENCE, ..Limits::WEBHOOK }).await;
    let in_flight = server.sends(b"GET /slow HTTP/1.1\r\nHost: h\r\n\r\n").await;
    within(begun.notified()).await;
    let idle = server.sends(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}").await;
    let (address, stopped) = (server.address, tokio::spawn(server.stop()));
    until_closed(idle).await;
    within(async { while TcpStream::connect(address).await.is_ok() {} }).await;
    assert!(!stopped.is_finished());
    release.notify_one();
    assert!(until_closed(in_flight).await.ends_with("done"));
    within(stopped).await.unwrap();
}

#[tokio::test]
async fn the_grace_after_a_stop_is_bounded_and_no_request_outlives_it() {
    struct Ends(Arc<AtomicUsize>);
    impl Drop for Ends {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let (begun, ended) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
    let never = get({
        let (begun, ended) = (Arc::clone(&begun), Arc::clone(&ended));
        || async move {
            let _ends = Ends(ended);
            begun.notify_one();
            std::future::pending::<()>().await;
        }
    });
    let limits = Limits { request: PATIENCE * 4, grace: Duration::from_millis(50), ..Limits::WEBHOOK };
    let server = Server::start(Router::new().route("/", never), limits).await;
    let connections = server.connections.clone();
    let _stream = server.sends(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    within(begun.notified()).await;
    assert_eq!(connections.get(), 1);
    server.stop().await;
    assert_eq!(ended.load(Ordering::SeqCst), 1);
    assert_eq!(connections.get(), 0);
}
