//! Requests to the Kubernetes API, watches, Events and leadership.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response, StatusCode};
use jiff::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tokio::time::Instant;
use tower::{Layer, Service};
use tracing::Instrument as _;

use super::{
    Code, FloatGauge, LeaseName, Method, Metrics, PREFIX, Verb, Watch, WriteVerb, WrittenKind, counters, epoch_seconds,
    gauges, histograms, latency, pairs, registered, second_gauges,
};
use crate::traces;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByCode {
    code: Code,
    method: Method,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByVerb {
    verb: Verb,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByWrite {
    kind: WrittenKind,
    verb: WriteVerb,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByWatch {
    watch: Watch,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByLease {
    name: LeaseName,
}

#[derive(Debug)]
pub(super) struct Families {
    requests: Family<ByCode, Counter>,
    durations: Family<ByVerb, Histogram>,
    writes: Family<ByWrite, Counter>,
    leader: Family<ByLease, Gauge>,
    watch_errors: Family<ByWatch, Counter>,
    watch_events: Family<ByWatch, FloatGauge>,
    publish_failures: Counter,
}

impl Families {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let client = registry.sub_registry_with_prefix("rest_client");
        let codes = pairs(Code::ALL, Method::ALL).map(|(code, method)| ByCode { code, method });
        let requests = counters(client, "requests", "Requests to the Kubernetes API", codes);
        let verbs = Verb::ALL.iter().map(|&verb| ByVerb { verb });
        let until = "Time until the head of the answer";
        let durations = histograms(client, "request_duration_seconds", until, latency, verbs);
        let leases = LeaseName::ALL.iter().map(|&name| ByLease { name });
        let leads = "Whether this replica holds the lease";
        let leader = gauges(registry, "leader_election_master_status", leads, leases);

        let ours = registry.sub_registry_with_prefix(PREFIX);
        let writes = pairs(WrittenKind::ALL, WriteVerb::ALL).map(|(kind, verb)| ByWrite { kind, verb });
        let writes = counters(ours, "kubernetes_writes", "Writes that the Kubernetes API accepted", writes);
        let watches = || Watch::ALL.iter().map(|&watch| ByWatch { watch });
        let last = "When the watch last told something, in seconds since the epoch";
        Self {
            requests,
            durations,
            writes,
            leader,
            watch_errors: counters(ours, "watch_errors", "Failures of watches", watches()),
            watch_events: second_gauges(ours, "watch_last_event_timestamp_seconds", last, watches()),
            publish_failures: registered(
                ours,
                "event_publish_failures",
                "Events that could not be published",
                Counter::default(),
            ),
        }
    }
}

impl Metrics {
    /// Whether this replica holds the lease.
    pub fn leader(&self, leads: bool) {
        self.0.kubernetes.leader.get_or_create(&ByLease { name: LeaseName::Operator }).set(i64::from(leads));
    }

    /// A watch failed and is tried again.
    pub fn watch_error(&self, watch: Watch) {
        self.0.kubernetes.watch_errors.get_or_create(&ByWatch { watch }).inc();
    }

    /// A watch told something.
    pub fn watch_event(&self, watch: Watch, now: Timestamp) {
        self.0.kubernetes.watch_events.get_or_create(&ByWatch { watch }).set(epoch_seconds(now));
    }

    /// An Event could not be published. That costs visibility, not work.
    pub fn event_publish_failure(&self) {
        self.0.kubernetes.publish_failures.inc();
    }

    /// Layer for `kube::client::ClientBuilder::with_layer` that counts requests and what they write.
    #[must_use]
    pub fn kubernetes_layer(&self) -> KubernetesLayer {
        KubernetesLayer(self.clone())
    }

    fn kubernetes_request(&self, sent: Sent, status: Option<StatusCode>, duration: Duration) {
        let Sent { method, verb, written } = sent;
        let families = &self.0.kubernetes;
        let code = status.map_or(Code::NoAnswer, Code::from);
        families.requests.get_or_create(&ByCode { code, method }).inc();
        families.durations.get_or_create(&ByVerb { verb }).observe(duration.as_secs_f64());
        if let Some((kind, verb)) = written
            && status.is_some_and(|status| status.is_success())
        {
            families.writes.get_or_create(&ByWrite { kind, verb }).inc();
        }
    }
}

/// What the labels need of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sent {
    method: Method,
    verb: Verb,
    written: Option<(WrittenKind, WriteVerb)>,
}

impl Sent {
    fn of<B>(request: &Request<B>) -> Self {
        let method = Method::from(request.method());
        let watches = || {
            let mut parameters = request.uri().query().unwrap_or_default().split('&');
            parameters.any(|parameter| matches!(parameter, "watch=true" | "watch=1" | "watch"))
        };
        let (verb, write) = match method {
            Method::Get if watches() => (Verb::Watch, None),
            Method::Get => (Verb::Get, None),
            Method::Post => (Verb::Post, Some(WriteVerb::Create)),
            Method::Put => (Verb::Put, Some(WriteVerb::Update)),
            Method::Patch => (Verb::Patch, Some(WriteVerb::Patch)),
            Method::Delete => (Verb::Delete, Some(WriteVerb::Delete)),
            Method::Other => (Verb::Other, None),
        };
        Self { method, verb, written: write.map(|write| (written_kind(request.uri().path()), write)) }
    }
}

/// The kind that a path of the API names: `/api/v1/namespaces/{ns}/{plural}/…` or `/apis/{group}/{version}/…` alike.
fn written_kind(path: &str) -> WrittenKind {
    let mut segments = path.split('/').filter(|segment| !segment.is_empty()).skip_while(|s| *s != "namespaces").skip(2);
    let plural = segments.next();
    let subresource = segments.nth(1);
    match (plural, subresource) {
        (Some("calendarsubscriptions"), Some("status")) => WrittenKind::CalendarSubscriptionStatus,
        (Some("calendarsubscriptions"), _) => WrittenKind::CalendarSubscription,
        (Some("cronofyapplications"), Some("status")) => WrittenKind::CronofyApplicationStatus,
        (Some("configmaps"), _) => WrittenKind::ConfigMap,
        (Some("secrets"), _) => WrittenKind::Secret,
        (Some("events"), _) => WrittenKind::Event,
        (Some("leases"), _) => WrittenKind::Lease,
        _ => WrittenKind::Other,
    }
}

/// Counts the requests of a client. See [`Metrics::kubernetes_layer`].
#[derive(Clone, Debug)]
pub struct KubernetesLayer(Metrics);

impl<S> Layer<S> for KubernetesLayer {
    type Service = KubernetesRequests<S>;

    fn layer(&self, inner: S) -> Self::Service {
        KubernetesRequests { metrics: self.0.clone(), inner }
    }
}

/// A client's service whose requests are counted.
#[derive(Clone, Debug)]
pub struct KubernetesRequests<S> {
    metrics: Metrics,
    inner: S,
}

impl<S, B, R> Service<Request<B>> for KubernetesRequests<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let sent = Sent::of(&request);
        let started = Instant::now();
        let metrics = self.metrics.clone();
        // Here, where the client holds the caller's span, and not in what follows, which may run elsewhere.
        let span = traces::kubernetes(sent.verb.as_str(), || written_kind(request.uri().path()).as_str());
        let answer = span.in_scope(|| self.inner.call(request));
        let traced = span.clone();
        let counted = async move {
            // A request that its caller gives up counts as one without an answer.
            let unanswered = Unanswered { metrics, sent, started };
            let answer = answer.await;
            traces::kubernetes_answered(&span, answer.as_ref().ok().map(Response::status));
            if let Ok(response) = &answer {
                unanswered.answered(response.status());
            }
            answer
        };
        Box::pin(counted.instrument(traced))
    }
}

struct Unanswered {
    metrics: Metrics,
    sent: Sent,
    started: Instant,
}

impl Unanswered {
    fn answered(self, status: StatusCode) {
        self.metrics.kubernetes_request(self.sent, Some(status), self.started.elapsed());
        std::mem::forget(self);
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        self.metrics.kubernetes_request(self.sent, None, self.started.elapsed());
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "counts are exact")]
mod tests {
    use std::convert::Infallible;

    use tower::{ServiceExt as _, service_fn};

    use super::*;
    use crate::metrics::exposition::sample;

    fn sent(method: &str, uri: &str) -> Sent {
        Sent::of(&Request::builder().method(method).uri(uri).body(()).unwrap())
    }

    #[test]
    fn requests_are_told_apart_by_verb_and_by_kind_never_by_name() {
        const OURS: &str = "/apis/cronofy-operator.dev/v1alpha1/namespaces/status/calendarsubscriptions/secrets";
        let written = |method: &str, uri: &str| sent(method, uri).written;
        assert_eq!(written("PATCH", OURS), Some((WrittenKind::CalendarSubscription, WriteVerb::Patch)));
        let status = format!("{OURS}/status?fieldManager=x");
        assert_eq!(written("PATCH", &status), Some((WrittenKind::CalendarSubscriptionStatus, WriteVerb::Patch)));
        let events = "/apis/events.k8s.io/v1/namespaces/default/events?";
        assert_eq!(written("POST", events), Some((WrittenKind::Event, WriteVerb::Create)));
        let map = "https://10.0.0.1/api/v1/namespaces/namespaces/configmaps/room-7";
        assert_eq!(written("DELETE", map), Some((WrittenKind::ConfigMap, WriteVerb::Delete)));
        let lease = "/apis/coordination.k8s.io/v1/namespaces/ops/leases/cronofy-operator";
        assert_eq!(written("PUT", lease), Some((WrittenKind::Lease, WriteVerb::Update)));
        assert_eq!(written("POST", "/api/v1/namespaces"), Some((WrittenKind::Other, WriteVerb::Create)));
        assert_eq!(sent("GET", "/api/v1/configmaps?limit=50&watch=true").verb, Verb::Watch);
        assert_eq!(sent("GET", "/api/v1/configmaps?limit=50").verb, Verb::Get);
        assert_eq!(sent("OPTIONS", "/").verb, Verb::Other);
    }

    #[tokio::test]
    async fn a_client_with_the_layer_is_a_client() {
        let metrics = Metrics::new();
        let service = service_fn(|_: Request<kube::client::Body>| async {
            Ok::<_, Infallible>(Response::new(kube::client::Body::from(b"{}".to_vec())))
        });
        let builder = kube::client::ClientBuilder::new(service, "default").with_layer(&metrics.kubernetes_layer());
        builder
            .build()
            .request_text(Request::get("/api/v1/namespaces/a/secrets?watch=1").body(Vec::new()).unwrap())
            .await
            .unwrap();
        assert_eq!(sample(&metrics, "rest_client_request_duration_seconds_count", &[("verb", "WATCH")]), 1.0);
    }

    #[tokio::test]
    async fn answers_failures_and_requests_given_up_are_all_counted() {
        let metrics = Metrics::new();
        let service = |status: u16| {
            let answer = Response::builder().status(status).body(()).unwrap();
            metrics.kubernetes_layer().layer(service_fn(move |_: Request<()>| {
                let answer = answer.clone();
                async move { Ok::<_, Infallible>(answer) }
            }))
        };
        let request = || Request::patch("/api/v1/namespaces/a/configmaps/b").body(()).unwrap();
        service(200).oneshot(request()).await.unwrap();
        service(409).oneshot(request()).await.unwrap();
        let hangs = service_fn(|_: Request<()>| std::future::pending::<Result<Response<()>, Infallible>>());
        let mut hangs = metrics.kubernetes_layer().layer(hangs);
        let mut given_up = hangs.call(request());
        assert!(futures::poll!(&mut given_up).is_pending());
        drop(given_up);
        let fails = service_fn(|_: Request<()>| async { Err::<Response<()>, _>("connection reset") });
        assert!(metrics.kubernetes_layer().layer(fails).oneshot(request()).await.is_err());

        let requests = |code| sample(&metrics, "rest_client_requests_total", &[("code", code), ("method", "PATCH")]);
        assert_eq!([requests("200"), requests("409"), requests("<error>")], [1.0, 1.0, 2.0]);
        assert_eq!(sample(&metrics, "rest_client_request_duration_seconds_count", &[("verb", "PATCH")]), 4.0);
        let writes = [("kind", "configmap"), ("verb", "patch")];
        assert_eq!(sample(&metrics, "cronofy_operator_kubernetes_writes_total", &writes), 1.0, "accepted ones only");
    }
}
