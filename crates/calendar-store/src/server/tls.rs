//! The certificate that TLS is served with. Its files are read again and again, and compared by content: a volume of a Secret is
//! replaced by moving a link, which no watch on the file sees. What cannot be served changes nothing: the one before goes on.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use https_listener::Certificates;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;

use super::health::Health;

/// Between two looks at the files.
const PERIOD: Duration = Duration::from_secs(10);
/// What the process waits for until there is a certificate.
const CERTIFICATE: &str = "certificate";

/// A certificate, followed by its chain, and its key.
#[derive(Clone, Debug)]
pub(super) struct Files {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

/// Takes up what the files hold.
pub(super) struct Rotation {
    files: Files,
    health: Health,
    served: watch::Sender<Option<Arc<ServerConfig>>>,
    seen: Option<[u8; 32]>,
    told: Option<String>,
}

impl Rotation {
    pub(super) fn new(files: Files, health: Health) -> (Self, Certificates) {
        let (served, current) = Certificates::none();
        health.waits(CERTIFICATE, "not read yet");
        (Self { files, health, served, seen: None, told: None }, current)
    }

    /// Looks at the files again and again, at once for the first time.
    pub(super) async fn run(mut self) {
        loop {
            match self.look().await {
                Ok(()) => self.told = None,
                Err(cause) => {
                    if self.seen.is_none() {
                        self.health.waits(CERTIFICATE, &cause);
                    }
                    if self.told.as_ref() != Some(&cause) {
                        tracing::warn!(cause, former = self.seen.is_some(), "the certificate cannot be taken up");
                        self.told = Some(cause);
                    }
                }
            }
            tokio::time::sleep(PERIOD).await;
        }
    }

    /// Says nothing of what stands in the files, since one of them is a key.
    async fn look(&mut self) -> Result<(), String> {
        let Files { certificate, key } = &self.files;
        let (chain, secret) = (read("tls-cert", certificate).await?, read("tls-key", key).await?);
        let lengths = (chain.len() as u64).to_be_bytes();
        let seen: [u8; 32] =
            Sha256::new_with_prefix(lengths).chain_update(&chain).chain_update(&secret).finalize().into();
        if self.seen == Some(seen) {
            return Ok(());
        }
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&chain).collect::<Result<_, _>>().unwrap_or_default();
        if chain.is_empty() {
            return Err(format!("--tls-cert {} holds no certificate in PEM form", certificate.display()));
        }
        let secret = PrivateKeyDer::from_pem_slice(&secret)
            .map_err(|_| format!("--tls-key {} holds no private key in PEM form, not encrypted", key.display()))?;
        let config = https_listener::server_config(chain, secret).map_err(|error| {
            let (certificate, key) = (certificate.display(), key.display());
            format!("--tls-cert {certificate} and --tls-key {key} cannot be served together: {error}")
        })?;
        self.served.send_replace(Some(Arc::new(config)));
        self.seen = Some(seen);
        self.health.ready(CERTIFICATE);
        tracing::info!("the certificate is taken up");
        Ok(())
    }
}

async fn read(flag: &str, path: &Path) -> Result<Vec<u8>, String> {
    let read = tokio::fs::read(path).await;
    read.map_err(|error| {
        format!("--{flag} {} cannot be read: {error}; once it is there it is taken up", path.display())
    })
}
