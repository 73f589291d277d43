//! The same bounds behind TLS.

use prometheus_client::metrics::counter::Counter;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use testenv::{Authority, Issued};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream as Secured;

use super::*;
use crate::admin::Health;
use crate::metrics::Metrics;
use crate::webhook::fake::{files, issue};
use crate::webhook::rotation::Rotation;

const PERIOD: Duration = Duration::from_millis(10);

/// A server with TLS, whose files are looked at all the time.
struct TlsServer {
    server: Server,
    folder: tempfile::TempDir,
    authority: Authority,
    failures: Counter,
    _stop: oneshot::Sender<()>,
}

impl TlsServer {
    async fn start(app: Router, limits: Limits) -> Self {
        let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::generate().unwrap());
        issue(&authority, 2041).write(folder.path()).unwrap();
        let started = Self::without_certificate(folder, authority, app, limits).await;
        within(async {
            while started.hello(&[]).await.is_err() {
                sleep(PERIOD).await;
            }
        })
        .await;
        started
    }

    async fn without_certificate(folder: tempfile::TempDir, authority: Authority, app: Router, limits: Limits) -> Self {
        let component = Health::new().component("webhook certificate");
        let (rotation, certificates) = Rotation::new(files(folder.path()), component, Metrics::new());
        let (stop, stopped) = oneshot::channel();
        tokio::spawn(rotation.run(PERIOD, async move { drop::<Result<(), _>>(stopped.await) }));
        let failures = Counter::default();
        let transport = Transport::Tls { certificates, failures: failures.clone() };
        let server = Server::through(transport, app, limits).await;
        Self { server, folder, authority, failures, _stop: stop }
    }

    /// Shakes hands as a client that offers these protocols.
    async fn hello(&self, protocols: &[&[u8]]) -> std::io::Result<Secured<TcpStream>> {
        secured(self.server.connect().await, &self.authority, protocols).await
    }

    async fn status(&self) -> u16 {
        answered(&mut self.hello(&[]).await.unwrap()).await
    }

    /// Waits until new connections are served with this certificate.
    async fn serves(&self, issued: &Issued) {
        within(async {
            while served(&self.hello(&[]).await.unwrap()) != issued.der {
                sleep(PERIOD).await;
            }
        })
        .await;
    }
}

async fn secured(stream: TcpStream, authority: &Authority, protocols: &[&[u8]]) -> std::io::Result<Secured<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.der().into()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    let connector = TlsConnector::from(Arc::new(config));
    within(connector.connect(ServerName::try_from("localhost").unwrap(), stream)).await
}

/// Sends a good request, and gives the status of its answer. The connection stays open.
async fn answered(stream: &mut Secured<TcpStream>) -> u16 {
    stream.write_all(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}").await.unwrap();
    let mut text = Vec::new();
    within(async {
        while !text.ends_with(b"\r\n\r\n") {
            text.push(stream.read_u8().await.unwrap());
        }
    })
    .await;
    status(&String::from_utf8_lossy(&text))
}

fn served(stream: &Secured<TcpStream>) -> Vec<u8> {
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

#[tokio::test]
async fn a_connection_keeps_its_certificate_and_the_next_one_has_the_new_one() {
    let bench = TlsServer::start(app(), Limits { head: PATIENCE, ..Limits::WEBHOOK }).await;
    let mut open = bench.hello(&[]).await.unwrap();
    assert_eq!(answered(&mut open).await, 204);
    let renewed = issue(&bench.authority, 2042);
    renewed.write(bench.folder.path()).unwrap();
    bench.serves(&renewed).await;
    assert_ne!(served(&open), renewed.der);
    assert_eq!(answered(&mut open).await, 204, "it goes on");
    bench.server.stop().await;
}

#[tokio::test]
async fn only_http_1_1_is_agreed_upon() {
    let bench = TlsServer::start(app(), Limits::WEBHOOK).await;
    let both = bench.hello(&[b"h2", b"http/1.1"]).await.unwrap();
    assert_eq!(both.get_ref().1.alpn_protocol(), Some(b"http/1.1".as_slice()));
    assert!(bench.hello(&[b"h2"]).await.is_err());
    assert_eq!(bench.status().await, 204);
    bench.server.stop().await;
}

#[tokio::test]
async fn who_speaks_no_tls_is_let_go_and_harms_nobody() {
    let bench = TlsServer::start(app(), Limits { head: PATIENCE * 4, ..Limits::WEBHOOK }).await;
    let before = bench.failures.get();
    for text in
        [&b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}"[..], b"\x16\x03\x01\x00\x05hello", &[0; 64]]
    {
        let answer = until_closed(bench.server.sends(text).await).await;
        assert!(!answer.contains("HTTP/1.1"), "{answer}");
    }
    assert_eq!(bench.failures.get() - before, 3);
    assert_eq!(bench.status().await, 204);
    bench.server.stop().await;
}

/// The first half of a client's hello: the head of a record that announces more than follows.
const HALF_A_HELLO: &[u8] = &[0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03];

#[tokio::test]
async fn half_a_handshake_is_not_waited_for() {
    let bench = TlsServer::start(app(), QUICK).await;
    for text in [&b""[..], HALF_A_HELLO] {
        until_closed(bench.server.sends(text).await).await;
    }
    // Nor is one that is whole, without a request after it.
    until_closed(bench.hello(&[]).await.unwrap()).await;
    assert_eq!(bench.status().await, 204);
    bench.server.stop().await;
}

#[tokio::test]
async fn two_hundred_half_open_handshakes_hold_up_nobody() {
    let limits = Limits { head: PATIENCE * 4, grace: Duration::ZERO, ..Limits::WEBHOOK };
    let bench = TlsServer::start(app(), limits).await;
    let silent = join_all((0..200).map(|_| bench.server.sends(HALF_A_HELLO))).await;
    assert_eq!(bench.status().await, 204);
    drop(silent);
    bench.server.stop().await;
}

#[tokio::test]
async fn handshakes_count_as_connections_and_make_place_when_their_time_is_over() {
    let bench = TlsServer::start(app(), Limits { connections: 3, ..QUICK }).await;
    let silent = join_all((0..3).map(|_| bench.server.sends(HALF_A_HELLO))).await;
    assert_eq!(bench.status().await, 204);
    assert!(bench.server.connections.get() <= 3);
    for stream in silent {
        until_closed(stream).await;
    }
    bench.server.stop().await;
}

#[tokio::test]
async fn a_stop_lets_a_handshake_and_its_request_end() {
    let bench = TlsServer::start(app(), Limits { head: PATIENCE, grace: PATIENCE, ..Limits::WEBHOOK }).await;
    let connections = bench.server.connections.clone();
    within(async {
        while connections.get() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let stream = bench.server.connect().await;
    within(async {
        while connections.get() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let Server { address, stop, task, .. } = bench.server;
    stop.send(()).unwrap();
    within(async { while TcpStream::connect(address).await.is_ok() {} }).await;
    assert!(!task.is_finished());
    let mut stream = secured(stream, &bench.authority, &[]).await.unwrap();
    assert_eq!(answered(&mut stream).await, 204);
    within(task).await.unwrap();
}

#[tokio::test]
async fn while_there_is_no_certificate_connections_are_closed_at_once() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::generate().unwrap());
    let limits = Limits { head: PATIENCE * 4, ..Limits::WEBHOOK };
    let bench = TlsServer::without_certificate(folder, authority, app(), limits).await;
    until_closed(bench.server.connect().await).await;
    let issued = issue(&bench.authority, 2041);
    issued.write(bench.folder.path()).unwrap();
    within(async {
        while bench.hello(&[]).await.is_err() {
            sleep(PERIOD).await;
        }
    })
    .await;
    assert_eq!(bench.status().await, 204);
    bench.server.stop().await;
}
