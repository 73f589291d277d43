//! Reconciles, and the queue before them.
//!
//! The runtime shows no queue. So an object's first trigger is noted as it passes the streams ([`Queue::queued`]) and the note
//! is taken when its reconcile starts ([`Queue::started`]): depth, adds and waiting time follow, and whether the whole stands
//! still ([`Queue::stalled_for`]).

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tokio::time::Instant;

use super::{
    Controller, FloatGauge, Metrics, ReconcileResult, counters, gauges, histograms, latency, pairs, second_gauges,
    waiting,
};

/// How a reconcile ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReconcileOutcome {
    /// Done; waits for a change.
    Success,
    /// Done; comes again at once.
    Requeue,
    /// Done; comes again at a set time.
    RequeueAfter,
    /// Failed; tried again.
    Error,
    /// Failed; not tried again before something changes.
    TerminalError,
    /// Panicked.
    Panic,
    /// Ran into the time limit.
    Timeout,
}

impl ReconcileOutcome {
    fn result(self) -> ReconcileResult {
        match self {
            Self::Success => ReconcileResult::Success,
            Self::Requeue => ReconcileResult::Requeue,
            Self::RequeueAfter => ReconcileResult::RequeueAfter,
            Self::Error | Self::TerminalError | Self::Panic | Self::Timeout => ReconcileResult::Error,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByController {
    controller: Controller,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByResult {
    controller: Controller,
    result: ReconcileResult,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByQueue {
    name: Controller,
    controller: Controller,
}

#[derive(Debug)]
pub(super) struct Families {
    reconciles: Family<ByResult, Counter>,
    errors: Family<ByController, Counter>,
    terminal_errors: Family<ByController, Counter>,
    panics: Family<ByController, Counter>,
    timeouts: Family<ByController, Counter>,
    time: Family<ByController, Histogram>,
    max_concurrent: Family<ByController, Gauge>,
    active: Family<ByController, Gauge>,
    depth: Family<ByQueue, Gauge>,
    adds: Family<ByQueue, Counter>,
    queue_duration: Family<ByQueue, Histogram>,
    work_duration: Family<ByQueue, Histogram>,
    unfinished: Family<ByQueue, FloatGauge>,
    longest: Family<ByQueue, FloatGauge>,
    retries: Family<ByQueue, Counter>,
    queues: Mutex<BTreeMap<Controller, Arc<Mutex<Notes>>>>,
}

impl Families {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let all = || Controller::ALL.iter().map(|&controller| ByController { controller });
        let queues = || Controller::ALL.iter().map(|&name| ByQueue { name, controller: name });
        let runtime = registry.sub_registry_with_prefix("controller_runtime");
        let results = pairs(Controller::ALL, ReconcileResult::ALL);
        let results = results.map(|(controller, result)| ByResult { controller, result });
        let reconciles = counters(runtime, "reconcile", "Reconciles by result", results);
        let errors = counters(runtime, "reconcile_errors", "Reconciles that failed", all());
        let terminal = "Reconciles that failed and are not tried again before something changes";
        let terminal_errors = counters(runtime, "terminal_reconcile_errors", terminal, all());
        let panics = counters(runtime, "reconcile_panics", "Reconciles that panicked", all());
        let timeouts = counters(runtime, "reconcile_timeouts", "Reconciles that ran into the time limit", all());
        let time = histograms(runtime, "reconcile_time_seconds", "Duration of reconciles", waiting, all());
        let most = "The most reconciles that run at a time";
        let max_concurrent = gauges(runtime, "max_concurrent_reconciles", most, all());
        let active = gauges(runtime, "active_workers", "Reconciles that run", all());
        let work = registry.sub_registry_with_prefix("workqueue");
        Self {
            reconciles,
            errors,
            terminal_errors,
            panics,
            timeouts,
            time,
            max_concurrent,
            active,
            depth: gauges(work, "depth", "Objects that wait for a reconcile", queues()),
            adds: counters(work, "adds", "Objects that began to wait for a reconcile", queues()),
            queue_duration: histograms(work, "queue_duration_seconds", "Time from trigger to start", waiting, queues()),
            work_duration: histograms(work, "work_duration_seconds", "Time from start to end", latency, queues()),
            unfinished: second_gauges(work, "unfinished_work_seconds", "Age of all that runs, summed up", queues()),
            longest: second_gauges(work, "longest_running_processor_seconds", "Age of what runs longest", queues()),
            retries: counters(work, "retries", "Reconciles that are tried again", queues()),
            queues: Mutex::default(),
        }
    }

    /// Brings the gauges up to date whose value is a time that passes.
    pub(super) fn observe_running(&self) {
        let queues = locked(&self.queues).clone();
        for (controller, notes) in queues {
            let now = Instant::now();
            let notes = locked(&notes);
            let ages = notes.running.values().map(|started| now.saturating_duration_since(*started).as_secs_f64());
            let (sum, longest) = ages.fold((0.0, 0.0), |(sum, longest), age| (sum + age, f64::max(longest, age)));
            let labels = ByQueue { name: controller, controller };
            self.unfinished.get_or_create(&labels).set(sum);
            self.longest.get_or_create(&labels).set(longest);
        }
    }
}

impl Metrics {
    /// A reconcile ended. [`Running::finish`] calls this.
    pub fn reconcile(&self, controller: Controller, outcome: ReconcileOutcome, duration: Duration) {
        let families = &self.0.work;
        let labels = ByController { controller };
        let queue = ByQueue { name: controller, controller };
        families.reconciles.get_or_create(&ByResult { controller, result: outcome.result() }).inc();
        families.time.get_or_create(&labels).observe(duration.as_secs_f64());
        families.work_duration.get_or_create(&queue).observe(duration.as_secs_f64());
        match outcome {
            ReconcileOutcome::Success | ReconcileOutcome::Requeue | ReconcileOutcome::RequeueAfter => return,
            ReconcileOutcome::Error => {}
            ReconcileOutcome::TerminalError => drop(families.terminal_errors.get_or_create(&labels).inc()),
            ReconcileOutcome::Panic => drop(families.panics.get_or_create(&labels).inc()),
            ReconcileOutcome::Timeout => drop(families.timeouts.get_or_create(&labels).inc()),
        }
        families.errors.get_or_create(&labels).inc();
        if outcome != ReconcileOutcome::TerminalError {
            families.retries.get_or_create(&queue).inc();
        }
    }

    /// Tells how many reconciles of a controller may run at a time.
    pub fn max_concurrent_reconciles(&self, controller: Controller, most: u16) {
        self.0.work.max_concurrent.get_or_create(&ByController { controller }).set(i64::from(most));
    }

    /// The queue of a controller; the same one each time.
    #[must_use]
    pub fn queue(&self, controller: Controller) -> Queue {
        let notes = Arc::clone(locked(&self.0.work.queues).entry(controller).or_default());
        Queue { metrics: self.clone(), controller, notes }
    }
}

/// What waits and what runs, in one controller. Clones are the same queue.
#[derive(Clone, Debug)]
pub struct Queue {
    metrics: Metrics,
    controller: Controller,
    notes: Arc<Mutex<Notes>>,
}

#[derive(Debug, Default)]
struct Notes {
    /// Since when each object waits.
    waiting: HashMap<String, Instant>,
    /// When each reconcile started, by a number of its own.
    running: BTreeMap<u64, Instant>,
    next: u64,
    finished: Option<Instant>,
}

impl Queue {
    /// An object was triggered. Further triggers before its reconcile starts count as this one.
    pub fn queued(&self, object: &str) {
        let mut notes = locked(&self.notes);
        if notes.waiting.contains_key(object) {
            return;
        }
        notes.waiting.insert(object.to_owned(), Instant::now());
        let labels = self.labels();
        self.metrics.0.work.adds.get_or_create(&labels).inc();
        self.metrics.0.work.depth.get_or_create(&labels).inc();
    }

    /// The object's reconcile starts.
    #[must_use = "the reconcile counts as cut off when this is dropped"]
    pub fn started(&self, object: &str) -> Running {
        let now = Instant::now();
        let mut notes = locked(&self.notes);
        let waited = notes.waiting.remove(object).map(|since| now.saturating_duration_since(since));
        let number = notes.next;
        notes.next += 1;
        notes.running.insert(number, now);
        drop(notes);
        let families = &self.metrics.0.work;
        if let Some(waited) = waited {
            families.depth.get_or_create(&self.labels()).dec();
            families.queue_duration.get_or_create(&self.labels()).observe(waited.as_secs_f64());
        }
        families.active.get_or_create(&ByController { controller: self.controller }).inc();
        Running { queue: self.clone(), number, started: now }
    }

    /// The object is gone and its reconcile will not start. Without this call a trigger of an object that was deleted
    /// meanwhile would count as waiting for ever.
    pub fn forget(&self, object: &str) {
        if locked(&self.notes).waiting.remove(object).is_some() {
            self.metrics.0.work.depth.get_or_create(&self.labels()).dec();
        }
    }

    /// For how long something has been waiting or running while nothing ended; `None` when there is nothing to do.
    #[must_use]
    pub fn stalled_for(&self) -> Option<Duration> {
        let notes = locked(&self.notes);
        let oldest = notes.waiting.values().chain(notes.running.values()).min()?;
        let since = notes.finished.map_or(*oldest, |finished| finished.max(*oldest));
        Some(Instant::now().saturating_duration_since(since))
    }

    fn labels(&self) -> ByQueue {
        ByQueue { name: self.controller, controller: self.controller }
    }
}

/// A reconcile that runs. Dropped without [`finish`](Running::finish), it was cut off: it counts neither as a success nor as a
/// failure, only as no longer running.
#[derive(Debug)]
pub struct Running {
    queue: Queue,
    number: u64,
    started: Instant,
}

impl Running {
    /// The reconcile ended.
    pub fn finish(self, outcome: ReconcileOutcome) {
        self.queue.metrics.reconcile(self.queue.controller, outcome, self.started.elapsed());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut notes = locked(&self.queue.notes);
        notes.running.remove(&self.number);
        notes.finished = Some(Instant::now());
        drop(notes);
        let controller = self.queue.controller;
        self.queue.metrics.0.work.active.get_or_create(&ByController { controller }).dec();
    }
}

/// The lists are sound after each statement, so a panic elsewhere does not spoil them.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "counts and whole seconds are exact")]
mod tests {
    use super::*;
    use crate::metrics::exposition::sample;

    #[tokio::test(start_paused = true)]
    async fn triggers_before_the_start_count_once_and_the_wait_is_measured() {
        let metrics = Metrics::new();
        let queue = metrics.queue(Controller::CalendarSubscription);
        queue.queued("a");
        queue.queued("a");
        queue.queued("b");
        assert_eq!(sample(&metrics, "workqueue_depth", &[("name", "calendarsubscription")]), 2.0);
        tokio::time::advance(Duration::from_secs(20)).await;
        let running = queue.started("a");
        tokio::time::advance(Duration::from_secs(3)).await;
        assert_eq!(sample(&metrics, "workqueue_depth", &[("name", "calendarsubscription")]), 1.0);
        assert_eq!(sample(&metrics, "workqueue_adds_total", &[("name", "calendarsubscription")]), 2.0);
        assert_eq!(sample(&metrics, "workqueue_queue_duration_seconds_sum", &[("name", "calendarsubscription")]), 20.0);
        assert_eq!(sample(&metrics, "workqueue_unfinished_work_seconds", &[("name", "calendarsubscription")]), 3.0);
        assert_eq!(
            sample(&metrics, "workqueue_longest_running_processor_seconds", &[("name", "calendarsubscription")]),
            3.0
        );
        assert_eq!(
            sample(&metrics, "controller_runtime_active_workers", &[("controller", "calendarsubscription")]),
            1.0
        );
        running.finish(ReconcileOutcome::Error);
        queue.forget("b");
        queue.forget("b");
        assert_eq!(sample(&metrics, "workqueue_depth", &[("name", "calendarsubscription")]), 0.0);
        assert_eq!(sample(&metrics, "workqueue_unfinished_work_seconds", &[("name", "calendarsubscription")]), 0.0);
        assert_eq!(
            sample(&metrics, "controller_runtime_active_workers", &[("controller", "calendarsubscription")]),
            0.0
        );
        assert_eq!(sample(&metrics, "workqueue_retries_total", &[("name", "calendarsubscription")]), 1.0);
        assert_eq!(sample(&metrics, "workqueue_adds_total", &[("name", "cronofyapplication")]), 0.0);
    }

    #[test]
    fn each_outcome_is_counted_in_its_places() {
        let table = [
            (ReconcileOutcome::Success, "success", [0.0, 0.0, 0.0, 0.0]),
            (ReconcileOutcome::Requeue, "requeue", [0.0, 0.0, 0.0, 0.0]),
            (ReconcileOutcome::RequeueAfter, "requeue_after", [0.0, 0.0, 0.0, 0.0]),
            (ReconcileOutcome::Error, "error", [1.0, 0.0, 0.0, 0.0]),
            (ReconcileOutcome::TerminalError, "error", [1.0, 1.0, 0.0, 0.0]),
            (ReconcileOutcome::Panic, "error", [1.0, 0.0, 1.0, 0.0]),
            (ReconcileOutcome::Timeout, "error", [1.0, 0.0, 0.0, 1.0]),
        ];
        for (outcome, result, counts) in table {
            let metrics = Metrics::new();
            metrics.reconcile(Controller::CronofyApplication, outcome, Duration::from_millis(7));
            let of = |name: &str| sample(&metrics, name, &[("controller", "cronofyapplication")]);
            let labels = [("controller", "cronofyapplication"), ("result", result)];
            assert_eq!(sample(&metrics, "controller_runtime_reconcile_total", &labels), 1.0, "{outcome:?}");
            let names = ["reconcile_errors", "terminal_reconcile_errors", "reconcile_panics", "reconcile_timeouts"];
            assert_eq!(names.map(|name| of(&format!("controller_runtime_{name}_total"))), counts, "{outcome:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_queue_stands_still_only_while_something_waits_and_nothing_ends() {
        let queue = Metrics::new().queue(Controller::CalendarSubscription);
        assert_eq!(queue.stalled_for(), None);
        queue.queued("a");
        tokio::time::advance(Duration::from_mins(1)).await;
        assert_eq!(queue.stalled_for(), Some(Duration::from_mins(1)));
        let running = queue.started("b");
        tokio::time::advance(Duration::from_secs(5)).await;
        running.finish(ReconcileOutcome::Success);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(queue.stalled_for(), Some(Duration::from_secs(1)), "another object's end is a sign of life");
        drop(queue.started("a"));
        assert_eq!(queue.stalled_for(), None);
    }
}
