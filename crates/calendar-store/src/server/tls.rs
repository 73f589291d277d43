//! The certificate that TLS is served with. Its files are read again and again, and compared by content: a volume of a Secret is
//! replaced by moving a link, which no watch on the file sees. What cannot be served changes nothing: the one before goes on.

use std::sync::Arc;
use std::time::Duration;

use https_listener::{Certificates, Fingerprint, Pair, PairFiles, PairProblem};
use rustls::ServerConfig;
use tokio::sync::watch;

use super::health::Health;
use super::metrics::Metrics;

/// Between two looks at the files.
const PERIOD: Duration = Duration::from_secs(10);
/// What the process waits for until there is a certificate.
const CERTIFICATE: &str = "certificate";

/// Takes up what the files hold.
pub(super) struct Rotation {
    files: PairFiles,
    health: Health,
    metrics: Metrics,
    served: watch::Sender<Option<Arc<ServerConfig>>>,
    seen: Option<Fingerprint>,
    told: Option<PairProblem>,
}

impl Rotation {
    pub(super) fn new(files: PairFiles, health: Health, metrics: Metrics) -> (Self, Certificates) {
        let (served, current) = Certificates::none();
        health.waits(CERTIFICATE, "not read yet");
        (Self { files, health, metrics, served, seen: None, told: None }, current)
    }

    /// Looks at the files again and again, at once for the first time.
    pub(super) async fn run(mut self) {
        loop {
            let looked = self.look().await;
            self.metrics.certificate_refused(looked.is_err());
            match looked {
                Ok(()) => self.told = None,
                Err(problem) => {
                    if self.seen.is_none() {
                        self.health.waits(CERTIFICATE, problem.to_string());
                    }
                    if self.told.as_ref() != Some(&problem) {
                        tracing::warn!(cause = %problem, former = self.seen.is_some(), "the certificate cannot be taken up");
                        self.told = Some(problem);
                    }
                }
            }
            tokio::time::sleep(PERIOD).await;
        }
    }

    async fn look(&mut self) -> Result<(), PairProblem> {
        let text = self.files.read().await?;
        let seen = text.fingerprint();
        if self.seen == Some(seen) {
            return Ok(());
        }
        let Pair { config, expires } = self.files.check(&text)?;
        self.served.send_replace(Some(config));
        self.seen = Some(seen);
        self.metrics.certificate_expires(expires);
        self.health.ready(CERTIFICATE);
        tracing::info!(expires = expires.map(tracing::field::display), "the certificate is taken up");
        Ok(())
    }
}
