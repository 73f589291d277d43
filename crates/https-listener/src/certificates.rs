//! What TLS is served with at the moment.

use std::fmt;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::sync::watch;

/// What is spoken through TLS: all that [`serve`](crate::serve) understands.
const PROTOCOLS: [&[u8]; 1] = [b"http/1.1"];

/// How TLS is spoken with a certificate, which its chain follows, and its key. To be made anew for each pair: with it go the
/// sessions that clients could resume, so that none of them is spared the new certificate.
///
/// # Errors
/// If they cannot be served together.
pub fn server_config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, rustls::Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = builder.with_no_client_auth().with_single_cert(chain, key)?;
    config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
    Ok(config)
}

/// The certificate that new connections are served with. Clones see the same.
#[derive(Clone)]
pub struct Certificates(watch::Receiver<Option<Arc<ServerConfig>>>);

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").field("present", &self.current().is_some()).finish_non_exhaustive()
    }
}

impl Certificates {
    /// None yet, and who sets them.
    #[must_use]
    pub fn none() -> (watch::Sender<Option<Arc<ServerConfig>>>, Self) {
        let (served, current) = watch::channel(None);
        (served, Self(current))
    }

    /// What a connection that begins now is served with; `None` until there has been a pair that can be served.
    #[must_use]
    pub fn current(&self) -> Option<Arc<ServerConfig>> {
        self.0.borrow().clone()
    }
}
