//! Events for `kubectl describe`: best effort, never a reason for a reconcile to fail, and few.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use k8s_controller::events::{Event, EventRecorder, EventType, Reporter};
use kube::{Client, Resource};

use crate::metrics::Metrics;

/// Events of one object that may come at once.
const BURST: f64 = 25.0;
/// After the burst, one in this time.
const REFILL: Duration = Duration::from_secs(300);
/// How long publishing one may take.
const LIMIT: Duration = Duration::from_secs(5);
/// Objects that are remembered; beyond it those with a full allowance are forgotten.
const MOST_OBJECTS: usize = 10_000;

/// One thing to tell.
#[derive(Clone, Debug, PartialEq)]
pub struct Note {
    warning: bool,
    reason: String,
    action: &'static str,
    text: String,
}

impl Note {
    /// Something as it should be.
    #[must_use]
    pub fn normal(reason: impl Into<String>, action: &'static str, text: impl Into<String>) -> Self {
        Self { warning: false, reason: reason.into(), action, text: text.into() }
    }

    /// Something that a person may have to look at.
    #[must_use]
    pub fn warning(reason: impl Into<String>, action: &'static str, text: impl Into<String>) -> Self {
        Self { warning: true, ..Self::normal(reason, action, text) }
    }
}

/// Publishes notes.
pub struct Events {
    recorder: EventRecorder,
    allowances: Mutex<HashMap<String, Allowance>>,
    metrics: Metrics,
}

struct Allowance {
    left: f64,
    at: Instant,
}

impl Events {
    /// A publisher that names `instance` (the pod) as where they come from.
    #[must_use]
    pub fn new(client: Client, instance: String, metrics: Metrics) -> Self {
        let reporter = Reporter { controller: "cronofy-operator.dev/operator".to_owned(), instance: Some(instance) };
        let recorder = EventRecorder::new(client, reporter).with_timeout(LIMIT);
        Self { recorder, allowances: Mutex::default(), metrics }
    }

    /// Tells what happened to an object. A failure costs visibility, not reconciliation: it is counted and logged.
    pub async fn publish<K>(&self, object: &K, notes: Vec<Note>)
    where
        K: Resource<DynamicType = ()>,
    {
        for Note { warning, reason, action, text } in notes {
            if !self.allowed(object.meta().uid.as_deref().unwrap_or_default(), Instant::now()) {
                continue;
            }
            let type_ = if warning { EventType::Warning } else { EventType::Normal };
            let event = Event { type_, reason, action: action.to_owned(), note: Some(text), related: None };
            if let Err(error) = self.recorder.publish(object, &event).await {
                self.metrics.event_publish_failure();
                tracing::debug!(error = %error, "an Event was not published");
            }
        }
    }

    /// Takes one from the allowance of an object, as client-go does.
    fn allowed(&self, uid: &str, now: Instant) -> bool {
        let mut allowances = self.allowances.lock().unwrap_or_else(PoisonError::into_inner);
        if allowances.len() >= MOST_OBJECTS {
            allowances.retain(|_, allowance| allowance.refilled(now) < BURST);
        }
        let allowance = allowances.entry(uid.to_owned()).or_insert(Allowance { left: BURST, at: now });
        let left = allowance.refilled(now);
        let allowed = left >= 1.0;
        *allowance = Allowance { left: if allowed { left - 1.0 } else { left }, at: now };
        allowed
    }
}

impl Allowance {
    fn refilled(&self, now: Instant) -> f64 {
        let since = now.saturating_duration_since(self.at);
        (self.left + since.as_secs_f64() / REFILL.as_secs_f64()).min(BURST)
    }
}
