//! Keeps the served certificate as its files are: reads them again and again, and takes up what can be served.
//!
//! The files are compared by content, since the volume of a Secret is replaced by moving a link that no watch on the file sees.
//! A pair that cannot be served changes nothing: the one before goes on, and a metric and one line of the log say why.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use https_listener::{Certificates, Fingerprint, Pair, PairFiles, PairProblem};
use rustls::ServerConfig;
use tokio::sync::watch;

use crate::admin::Component;
use crate::metrics::Metrics;

/// Takes up what the files hold.
#[derive(Debug)]
pub struct Rotation {
    files: PairFiles,
    component: Component,
    metrics: Metrics,
    served: watch::Sender<Option<Arc<ServerConfig>>>,
    fingerprint: Option<Fingerprint>,
    /// What is wrong with the files, as it was told last.
    told: Option<PairProblem>,
}

impl Rotation {
    /// For these files. The component is ready from the first pair on that can be served.
    #[must_use]
    pub fn new(files: PairFiles, component: Component, metrics: Metrics) -> (Self, Certificates) {
        let (served, certificates) = Certificates::none();
        (Self { files, component, metrics, served, fingerprint: None, told: None }, certificates)
    }

    /// Looks at the files every `period`, at once for the first time, until `stop`.
    pub async fn run(mut self, period: Duration, stop: impl Future<Output = ()>) {
        let mut stop = pin!(stop);
        loop {
            self.look().await;
            tokio::select! {
                () = &mut stop => break,
                () = tokio::time::sleep(period) => {}
            }
        }
    }

    async fn look(&mut self) {
        let found = self.files.read().await.and_then(|text| {
            let fingerprint = text.fingerprint();
            if self.fingerprint == Some(fingerprint) {
                return Ok(None);
            }
            Ok(Some((fingerprint, self.files.check(&text)?)))
        });
        match found {
            Ok(new) => {
                if let Some((fingerprint, pair)) = new {
                    self.serve(fingerprint, &pair);
                } else if self.told.is_some() {
                    tracing::info!("the files of the webhook's certificate hold again what is served");
                }
                self.told = None;
                self.metrics.webhook_certificate_refused(false);
            }
            Err(problem) => self.refuse(problem),
        }
    }

    fn serve(&mut self, fingerprint: Fingerprint, pair: &Pair) {
        let Pair { config, expires } = pair;
        self.served.send_replace(Some(Arc::clone(config)));
        self.fingerprint = Some(fingerprint);
        self.component.ready(true);
        self.metrics.webhook_certificate(*expires);
        tracing::info!(expires = expires.map(tracing::field::display), "the webhook's certificate is taken up");
    }

    fn refuse(&mut self, problem: PairProblem) {
        self.metrics.webhook_certificate_refused(true);
        let former = self.fingerprint.is_some();
        if !former {
            self.component.waits(problem.to_string());
        }
        if self.told.as_ref() == Some(&problem) {
            return;
        }
        if former {
            tracing::warn!(cause = %problem, "the webhook's certificate is not replaced, the former one goes on");
        } else {
            tracing::warn!(cause = %problem, "the webhook has no certificate yet");
        }
        self.told = Some(problem);
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "counts and whole seconds are exact")]
mod tests;
