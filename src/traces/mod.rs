//! Spans: what was done for a notification or a reconcile, step by step, for those who collect traces.
//!
//! One trace leads from a notification to the stored change: the request to the webhook, the mark it leaves, the reconcile that
//! acts on it, whichever replica that is, its steps, and their requests to Cronofy and Kubernetes. What ties a reconcile to its
//! notification is the [`TraceParent`] in the mark.
//!
//! All spans are made here, with a target of their own: without an exporter nobody listens to it, and a span costs a look at
//! a flag. What libraries say of themselves is never exported, nor is any line of the log.
//!
//! Never in a span: a body, a signature, a token, a path of the webhook, the text of an event, an address, data of an object.
//! Names of objects and of their namespaces may stand there.

mod export;
mod parent;

pub use export::{ExportError, Exporter, Settings};
pub use parent::TraceParent;

use calendar_sync::Step;
use http::StatusCode;
use opentelemetry::Context;
use opentelemetry::trace::TraceContextExt as _;
use tracing::field::Empty;
use tracing::{Level, Span, info_span, span_enabled};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::api::CalendarSubscription;

/// Target of all spans that are exported, and of nothing else.
pub(crate) const TARGET: &str = "cronofy_operator_traces";

/// The span that is under way here, if it is recorded.
#[must_use]
pub fn current() -> Option<TraceParent> {
    TraceParent::of(Context::current().span().span_context())
}

/// The id of the trace that is under way here, recorded or not.
pub(crate) fn trace_id() -> Option<String> {
    let context = Context::current();
    let span = context.span();
    let span = span.span_context();
    span.is_valid().then(|| span.trace_id().to_string())
}

/// A request to the webhook whose path leads to a subscription. Strangers know no such path, so they make no spans.
pub(crate) fn webhook(namespace: &str, name: &str) -> Span {
    info_span!(
        target: TARGET, parent: None, "webhook",
        otel.kind = "server", otel.status_code = Empty, k8s.namespace.name = namespace, subscription = name, result = Empty,
    )
}

/// The write of a mark, for the last of the notifications that it is written for.
pub(crate) fn mark(parent: Option<TraceParent>, namespace: &str, name: &str, notifications: usize) -> Span {
    let Some(parent) = parent else { return Span::none() };
    let span = info_span!(
        target: TARGET, parent: None, "mark",
        otel.status_code = Empty, k8s.namespace.name = namespace, subscription = name, notifications = notifications,
    );
    continues(&span, parent);
    span
}

/// A reconcile, of the trace that it was woken by.
pub(crate) fn reconcile(parent: Option<TraceParent>, kind: &'static str, namespace: &str, name: &str) -> Span {
    let span = info_span!(
        target: TARGET, parent: None, "reconcile",
        otel.kind = "consumer", otel.status_code = Empty, kind, k8s.namespace.name = namespace, name, category = Empty,
    );
    if let Some(parent) = parent {
        continues(&span, parent);
    }
    span
}

/// One step of the engine.
pub(crate) fn step(step: &Step) -> Span {
    let name = match step {
        Step::Load => "load",
        Step::RefreshToken => "refresh token",
        Step::CheckAccount => "check account",
        Step::ListChannels => "list channels",
        Step::CreateChannel { .. } => "create channel",
        Step::CloseChannel { .. } => "close channel",
        Step::ReadEvents(_) => "read events",
        Step::Commit(_) => "commit",
        Step::Erase => "erase",
        Step::Record(_) => "record",
        Step::Wait { .. } | Step::Stop(_) | Step::Finish => "rest",
    };
    info_span!(target: TARGET, "step", otel.name = name)
}

/// A request to Cronofy, by the endpoint and never by its address.
pub(crate) fn cronofy(endpoint: cronofy::Endpoint) -> Span {
    info_span!(
        target: TARGET, "cronofy",
        otel.name = endpoint.template(), otel.kind = "client", otel.status_code = Empty,
        endpoint = endpoint.as_str(), http.response.status_code = Empty,
    )
}

/// A request to the Kubernetes API, if it is made for something that is traced; watches and leases are not.
pub(crate) fn kubernetes(verb: &'static str, kind: impl FnOnce() -> &'static str) -> Span {
    if !span_enabled!(target: TARGET, Level::INFO) || !Context::current().has_active_span() {
        return Span::none();
    }
    info_span!(
        target: TARGET, "kubernetes",
        otel.kind = "client", otel.status_code = Empty, verb, kind = kind(), http.response.status_code = Empty,
    )
}

/// Notes the status of an answer of the Kubernetes API, or that there was none. That an object is not there, or was changed by
/// somebody else, is an answer like any other.
pub(crate) fn kubernetes_answered(span: &Span, status: Option<StatusCode>) {
    match status {
        Some(status @ (StatusCode::NOT_FOUND | StatusCode::CONFLICT | StatusCode::UNPROCESSABLE_ENTITY)) => {
            span.record("http.response.status_code", status.as_u16());
        }
        status => cronofy_answered(span, status.map(|status| status.as_u16())),
    }
}

/// Notes the status of an answer of Cronofy, or that there was none.
pub(crate) fn cronofy_answered(span: &Span, status: Option<u16>) {
    if let Some(status) = status {
        span.record("http.response.status_code", status);
    }
    if status.is_none_or(|status| status >= 400) {
        failed(span);
    }
}

/// Notes that it did not do what it was to do.
pub(crate) fn failed(span: &Span) {
    span.record("otel.status_code", "ERROR");
}

/// The trace of the notification that is pending last.
pub(crate) fn origin(subscription: &CalendarSubscription) -> Option<TraceParent> {
    let mark = subscription.status.as_ref()?.notification.as_ref()?;
    mark.traceparent.as_ref()?.parse().ok()
}

/// Links the span that is under way to the notification that is pending last, if that came after the one it knew `before`. Gives
/// the one it knows now.
pub(crate) fn also_for_what_came(before: Option<TraceParent>, now: &CalendarSubscription) -> Option<TraceParent> {
    match origin(now) {
        Some(later) if before != Some(later) => {
            Span::current().add_link(later.span_context());
            Some(later)
        }
        Some(_) | None => before,
    }
}

fn continues(span: &Span, parent: TraceParent) {
    // Fails only where nobody listens.
    let _ = span.set_parent(Context::new().with_remote_span_context(parent.span_context()));
}

#[cfg(test)]
mod tests;
