//! Notifications, from the socket to the durable mark and on to the store.

use std::time::Duration;

use jiff::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::{
    FloatGauge, MarkOutcome, Metrics, SecretSlot, WebhookResult, counters, epoch_seconds, latency, registered, waiting,
};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByResult {
    result: WebhookResult,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BySecret {
    secret: SecretSlot,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByOutcome {
    outcome: MarkOutcome,
}

#[derive(Debug)]
pub(super) struct Families {
    requests: Family<ByResult, Counter>,
    duration: Histogram,
    connections: Gauge,
    handshake_failures: Counter,
    certificate_expiry: FloatGauge,
    certificate_refused: Gauge,
    secret_matches: Family<BySecret, Counter>,
    mark_writes: Family<ByOutcome, Counter>,
    notification_to_stored: Histogram,
}

impl Families {
    pub(super) fn register(ours: &mut Registry) -> Self {
        let results = WebhookResult::ALL.iter().map(|&result| ByResult { result });
        let secrets = SecretSlot::ALL.iter().map(|&secret| BySecret { secret });
        let outcomes = MarkOutcome::ALL.iter().map(|&outcome| ByOutcome { outcome });
        let answered = "Time from a request's head to its answer";
        let handshakes = "TLS handshakes that failed or took too long";
        let expiry = "When the served certificate expires, in seconds since the epoch; 0 if none is served";
        let refused =
            "Whether the files of the certificate hold something else than what is served, which cannot be served";
        let stored = "Time from a notification's arrival to the stored change";
        Self {
            requests: counters(ours, "webhook_requests", "Requests to the webhook", results),
            duration: registered(ours, "webhook_request_duration_seconds", answered, latency()),
            connections: registered(ours, "webhook_connections", "Open connections", Gauge::default()),
            handshake_failures: registered(ours, "webhook_tls_handshake_failures", handshakes, Counter::default()),
            certificate_expiry: registered(
                ours,
                "webhook_certificate_expiry_timestamp_seconds",
                expiry,
                FloatGauge::default(),
            ),
            certificate_refused: registered(ours, "webhook_certificate_refused", refused, Gauge::default()),
            secret_matches: counters(ours, "webhook_secret_matches", "Signatures by client secret", secrets),
            mark_writes: counters(ours, "mark_writes", "Attempts to write marks", outcomes),
            notification_to_stored: registered(ours, "notification_to_stored_seconds", stored, waiting()),
        }
    }
}

impl Metrics {
    /// A request to the webhook was answered after this time.
    pub fn webhook_request(&self, result: WebhookResult, duration: Duration) {
        self.0.webhook.requests.get_or_create(&ByResult { result }).inc();
        self.0.webhook.duration.observe(duration.as_secs_f64());
    }

    /// The gauge of the webhook's open connections, for its listener.
    #[must_use]
    pub fn webhook_connections(&self) -> Gauge {
        self.0.webhook.connections.clone()
    }

    /// The counter of TLS handshakes that failed, for the webhook's listener.
    #[must_use]
    pub fn webhook_handshake_failures(&self) -> Counter {
        self.0.webhook.handshake_failures.clone()
    }

    /// A certificate is served from now on, which expires then.
    pub fn webhook_certificate(&self, expires: Option<Timestamp>) {
        self.0.webhook.certificate_expiry.set(expires.map_or(0.0, epoch_seconds));
    }

    /// Whether the files of the certificate hold what cannot be served.
    pub fn webhook_certificate_refused(&self, refused: bool) {
        self.0.webhook.certificate_refused.set(i64::from(refused));
    }

    /// A signature was made with this client secret.
    pub fn secret_match(&self, secret: SecretSlot) {
        self.0.webhook.secret_matches.get_or_create(&BySecret { secret }).inc();
    }

    /// An attempt to write a mark ended.
    pub fn mark_write(&self, outcome: MarkOutcome) {
        self.0.webhook.mark_writes.get_or_create(&ByOutcome { outcome }).inc();
    }

    /// A change is stored, this long after the first notification of it arrived: what users wait for.
    pub fn notification_to_stored(&self, elapsed: Duration) {
        self.0.webhook.notification_to_stored.observe(elapsed.as_secs_f64());
    }
}
