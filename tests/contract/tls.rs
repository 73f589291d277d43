//! A calendar store behind TLS: whom the operator takes for it.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::serve::Listener;
use calendar_sync::Stored;
use cronofy_operator::store::{EventStore as _, RemoteSettings, Remotes, StoreMemory};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use testenv::{Authority, Issued};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::backend::target;
use crate::served::Served;

/// Shakes hands with whoever does.
struct Tls(TcpListener, TlsAcceptor);

impl Listener for Tls {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, address) = self.0.accept().await.unwrap();
            if let Ok(stream) = self.1.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.0.local_addr()
    }
}

impl Tls {
    async fn new(authority: &Authority) -> Self {
        let Issued { der, key, .. } = authority.issue(&["localhost"]).unwrap();
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        let config = ServerConfig::builder().with_no_client_auth();
        let config = config.with_single_cert(vec![der.into()], key).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self(listener, TlsAcceptor::from(Arc::new(config)))
    }
}

#[tokio::test]
async fn only_a_store_whose_authority_is_named_is_shown_the_token_and_another_one_is_taken_up() {
    testenv::install_tls_provider();
    let (authority, other) = (Authority::generate().unwrap(), Authority::generate().unwrap());
    let listener = Tls::new(&authority).await;
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let served = Served::sqlite_at(listener).await;
    let file = served.folder().join("ca.crt");
    std::fs::write(&file, other.pem()).unwrap();
    let settings = RemoteSettings {
        default: Some(url.parse().unwrap()),
        authorities: Some(file.clone()),
        token: served.token_file(),
        ..RemoteSettings::default()
    };
    let store = Remotes::new(settings).open(None, StoreMemory::default()).unwrap();
    let target = target("rota", crate::backend::UID);
    let refused = store.head(&target).await.unwrap_err();
    assert_eq!(refused.category(), "Unreachable");
    let text = refused.to_string();
    assert!(text.contains("certificate") && text.contains("--store-ca"), "{text}");
    assert!(served.take_requests().is_empty());

    std::fs::write(&file, other.pem() + &authority.pem()).unwrap();
    assert_eq!(store.head(&target).await.unwrap().stored, Stored::Absent);
    for (text, says) in [("no certificate at all", "it has no certificate"), ("", "empty")] {
        std::fs::write(&file, text).unwrap();
        let error = store.head(&target).await.unwrap_err();
        assert_eq!(error.category(), "Forbidden", "{error}");
        assert!(error.to_string().contains(says) && error.to_string().contains("ca.crt"), "{error}");
    }
}
