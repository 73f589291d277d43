use std::convert::Infallible;
use std::net::SocketAddr;

use axum::body::Body;
use axum::routing::get;
use futures::stream;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::*;

/// Far more than anything here takes: who waits this long has found a bug.
const PATIENCE: Duration = Duration::from_secs(30);

const LIMITS: Limits = Limits {
    connections: 16,
    head: PATIENCE,
    head_bytes: 16 * 1024,
    write: Duration::from_millis(300),
    grace: PATIENCE,
};

struct Server {
    address: SocketAddr,
    connections: Gauge,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Server {
    fn start(app: Router) -> Self {
        let listener = crate::listen(SocketAddr::from(([127, 0, 0, 1], 0)), 64 * 1024).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let connections = Gauge::default();
        let stopped = async move { drop(stopped.await) };
        let task = tokio::spawn(serve(listener, Transport::Plain, app, LIMITS, connections.clone(), stopped));
        Self { address, connections, stop, task }
    }

    async fn asks(&self, path: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes()).await.unwrap();
        stream
    }

    async fn connections_are(&self, count: i64) {
        let reached = async {
            while self.connections.get() != count {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, reached).await.expect("the connections are others");
    }
}

/// More than the kernel keeps on both sides.
const LARGE: usize = 64 * 1024 * 1024;

fn app() -> Router {
    Router::new()
        .route("/large", get(async || vec![b'x'; LARGE]))
        .route(
            "/endless",
            get(async || {
                let piece = || axum::body::Bytes::from(vec![b'x'; 16 * 1024]);
                Body::from_stream(stream::repeat_with(move || Ok::<_, Infallible>(piece())))
            }),
        )
        .route(
            "/quiet",
            get(async || {
                let first = stream::iter([Ok::<_, Infallible>("first")]);
                Body::from_stream(futures::StreamExt::chain(first, stream::pending()))
            }),
        )
}

#[tokio::test]
async fn an_answer_that_nobody_takes_ends_the_connection() {
    let server = Server::start(app());
    let clients = [server.asks("/large").await, server.asks("/endless").await];
    server.connections_are(2).await;
    server.connections_are(0).await;
    for mut client in clients {
        let mut text = Vec::new();
        let taken = async { client.read_to_end(&mut text).await.map(|_| ()) };
        let _ = timeout(PATIENCE, taken).await.expect("the connection stands still");
        assert!(text.len() < LARGE, "it was cut off");
    }
    server.stop.send(()).unwrap();
    timeout(PATIENCE, server.task).await.unwrap().unwrap();
}

#[tokio::test]
async fn who_takes_slowly_but_takes_is_served_to_the_end() {
    let server = Server::start(app());
    let mut client = server.asks("/large").await;
    // Some pauses of its own longer than the limit, while the kernel still has something to send.
    let (mut part, mut taken) = (vec![0; 256 * 1024], 0);
    while taken < LARGE {
        let length = timeout(PATIENCE, client.read(&mut part)).await.unwrap().unwrap();
        assert!(length > 0, "cut off after {taken} bytes");
        taken += length;
        if taken < 2 * 1024 * 1024 {
            sleep(LIMITS.write / 8).await;
        }
    }
    drop(client);
    server.connections_are(0).await;
}

#[tokio::test]
async fn an_answer_with_nothing_to_send_is_no_slow_client() {
    let server = Server::start(app());
    let mut quiet = server.asks("/quiet").await;
    let mut part = [0; 1024];
    let length = timeout(PATIENCE, quiet.read(&mut part)).await.unwrap().unwrap();
    assert!(length > 0);
    // One that does not take its answer comes after it, and goes before it.
    let _slow = server.asks("/endless").await;
    server.connections_are(2).await;
    server.connections_are(1).await;
    drop(quiet);
    server.connections_are(0).await;
}
