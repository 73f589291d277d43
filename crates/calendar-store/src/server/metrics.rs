//! What is counted.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use jiff::Timestamp;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

/// The process's metrics. Clones share the same values.
#[derive(Clone, Debug)]
pub(super) struct Metrics {
    registry: Arc<Registry>,
    requests: Family<Answered, Counter>,
    pub(super) connections: Gauge,
    certificate_expiry: Gauge,
    certificate_refused: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    method: &'static str,
    code: u16,
}

impl Metrics {
    pub(super) fn new() -> Self {
        let mut registry = Registry::with_prefix("calendar_store");
        let (requests, connections) = (Family::default(), Gauge::default());
        let (certificate_expiry, certificate_refused) = (Gauge::default(), Gauge::default());
        registry.register("requests", "Requests that were answered", requests.clone());
        registry.register("connections", "Connections that are open", connections.clone());
        registry.register(
            "certificate_expiry_timestamp_seconds",
            "When the certificate that is served expires; 0 without TLS, and while there is none",
            certificate_expiry.clone(),
        );
        registry.register(
            "certificate_refused",
            "1 while the certificate's files hold what cannot be served; the one before goes on",
            certificate_refused.clone(),
        );
        registry.register("build", "What runs", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        Self { registry: Arc::new(registry), requests, connections, certificate_expiry, certificate_refused }
    }

    pub(super) fn certificate_expires(&self, time: Option<Timestamp>) {
        self.certificate_expiry.set(time.map_or(0, Timestamp::as_second));
    }

    pub(super) fn certificate_refused(&self, refused: bool) {
        self.certificate_refused.set(refused.into());
    }

    pub(super) fn encode(&self) -> String {
        let mut exposition = String::new();
        // Fails only if the text does, and that takes all there is.
        let _ = text::encode(&mut exposition, &self.registry);
        exposition
    }
}

/// Counts an answer.
pub(super) async fn count(State(metrics): State<Metrics>, request: Request, next: Next) -> Response {
    let method = match request.method().as_str() {
        "DELETE" => "DELETE",
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        _ => "other",
    };
    let response = next.run(request).await;
    metrics.requests.get_or_create(&Answered { method, code: response.status().as_u16() }).inc();
    response
}
