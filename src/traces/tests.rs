use std::sync::{Arc, Mutex};

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider, SpanData, SpanExporter};
use serde_json::json;
use tracing_subscriber::layer::SubscriberExt as _;

use super::*;

/// Keeps what would be exported.
#[derive(Clone, Debug, Default)]
struct Kept(Arc<Mutex<Vec<SpanData>>>);

impl SpanExporter for Kept {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.lock().unwrap().extend(batch);
        Ok(())
    }
}

/// What is exported of this.
fn exported(sampler: Sampler, traced: impl FnOnce()) -> Vec<SpanData> {
    let kept = Kept::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(kept.clone()).with_sampler(sampler).build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), traced);
    kept.0.lock().unwrap().clone()
}

fn parent(digit: &str) -> TraceParent {
    format!("00-{}-{}-01", digit.repeat(32), digit.repeat(16)).parse().unwrap()
}

fn marked(parent: Option<TraceParent>) -> CalendarSubscription {
    let traceparent = parent.map(|parent| parent.to_string());
    let object = json!({
        "apiVersion": "cronofy-operator.dev/v1alpha1",
        "kind": "CalendarSubscription",
        "metadata": { "name": "maple", "namespace": "rooms" },
        "spec": { "applicationRef": { "name": "app" }, "account": { "secretRef": { "name": "account" } } },
        "status": { "notification": { "sequence": 1, "types": ["change"], "traceparent": traceparent } },
    });
    serde_json::from_value(object).unwrap()
}

#[test]
fn a_reconcile_goes_on_from_its_notification_and_is_linked_to_those_that_come_later() {
    let spans = exported(Sampler::AlwaysOn, || {
        let origin = origin(&marked(Some(parent("1"))));
        reconcile(origin, "subscription", "rooms", "maple").in_scope(|| {
            let same = also_for_what_came(origin, &marked(origin));
            let cleared = also_for_what_came(same, &marked(None));
            let later = also_for_what_came(cleared, &marked(Some(parent("2"))));
            assert_eq!((same, cleared, later), (origin, origin, Some(parent("2"))));
        });
    });
    let [reconcile] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!(reconcile.span_context.trace_id(), parent("1").span_context().trace_id());
    assert_eq!(reconcile.parent_span_id, parent("1").span_context().span_id());
    let links: Vec<_> = reconcile.links.iter().map(|link| link.span_context.trace_id()).collect();
    assert_eq!(links, [parent("2").span_context().trace_id()]);
}

#[test]
fn what_belongs_to_nothing_traced_makes_no_span() {
    let spans = exported(Sampler::AlwaysOn, || {
        assert!(kubernetes("GET", || panic!("nobody asks for it")).is_none());
        assert!(mark(None, "rooms", "maple", 1).is_none());
        assert_eq!((current(), trace_id()), (None, None));
    });
    assert!(spans.is_empty(), "{spans:?}");
}

#[test]
fn a_trace_that_is_not_recorded_leaves_nothing_in_a_mark() {
    let spans = exported(Sampler::AlwaysOff, || {
        webhook("rooms", "maple").in_scope(|| assert_eq!(current(), None));
    });
    assert!(spans.is_empty(), "{spans:?}");
}

#[test]
fn only_what_nobody_could_expect_of_the_api_server_is_an_error() {
    let spans = exported(Sampler::AlwaysOn, || {
        webhook("rooms", "maple").in_scope(|| {
            for status in [Some(200), Some(404), Some(409), Some(422), Some(403), Some(500), None] {
                let span = kubernetes("GET", || "secret");
                kubernetes_answered(&span, status.map(|status| StatusCode::from_u16(status).unwrap()));
            }
        });
    });
    let failed = |span: &SpanData| matches!(span.status, opentelemetry::trace::Status::Error { .. });
    let failed: Vec<_> = spans.iter().filter(|span| span.name == "kubernetes").map(failed).collect();
    assert_eq!(failed, [false, false, false, false, true, true, true]);
}
