//! What the operator counts and measures.
//!
//! [`Metrics`] is one value, cheap to clone, with a small typed method for each thing that is told. The names follow two
//! conventions: `controller_runtime_`, `workqueue_`, `rest_client_` and `leader_election_` as dashboards for controllers know
//! them, and `cronofy_operator_` for all that is ours.
//!
//! - [`labels`]: the closed sets of label values. No object name, namespace, id or path is ever a label.
//! - [`work`]: reconciles and the queue before them, which the runtime does not show by itself.
//! - [`kubernetes`]: a client layer that counts requests, and everything else about the Kubernetes API.
//! - [`cronofy`]: requests to Cronofy, their budget, channels.
//! - [`webhook`]: notifications, from the socket to the durable mark.
//! - [`fleet`]: the state of all subscriptions together, and what is stored.
//! - [`mod@format`]: which of two formats a scraper gets.
//!
//! Every counter exists with all its label values from the start: one that is born at 1 has no rate. Histograms whose labels
//! hold a response code are the exception, since each of their series is a dozen lines.

pub mod cronofy;
pub mod fleet;
pub mod format;
pub mod kubernetes;
pub mod labels;
pub mod webhook;
pub mod work;

#[cfg(test)]
pub(crate) mod exposition;

use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use jiff::Timestamp;
use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

pub use format::Format;
pub use kubernetes::KubernetesLayer;
pub use labels::*;
pub use work::{Queue, ReconcileOutcome, Running};

const PREFIX: &str = "cronofy_operator";

/// Everything the operator counts and measures. Clones share the same numbers.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Families>);

#[derive(Debug)]
struct Families {
    registry: Registry,
    work: work::Families,
    kubernetes: kubernetes::Families,
    cronofy: cronofy::Families,
    webhook: webhook::Families,
    fleet: fleet::Families,
}

type FloatGauge = Gauge<f64, AtomicU64>;

impl Metrics {
    /// All metrics at zero.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::default();
        let work = work::Families::register(&mut registry);
        let kubernetes = kubernetes::Families::register(&mut registry);
        let ours = registry.sub_registry_with_prefix(PREFIX);
        ours.register("build", "The version that runs", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        let cronofy = cronofy::Families::register(ours);
        let webhook = webhook::Families::register(ours);
        let fleet = fleet::Families::register(ours);
        Self(Arc::new(Families { registry, work, kubernetes, cronofy, webhook, fleet }))
    }

    /// The exposition in the `OpenMetrics` text format, see [`Format`].
    #[must_use]
    pub fn encode(&self) -> String {
        self.0.work.observe_running();
        let mut text = String::new();
        // Writing to a String cannot fail; an encoder that refuses a value would leave the exposition without its end mark,
        // which every scraper notices.
        let _ = text::encode(&mut text, &self.0.registry);
        text
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// Registers a metric and hands it back.
fn registered<M>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M
where
    M: prometheus_client::registry::Metric + Clone,
{
    registry.register(name, help, metric.clone());
    metric
}

/// A family of counters that exist for all of these labels.
fn counters<L>(
    registry: &mut Registry,
    name: &str,
    help: &str,
    labels: impl IntoIterator<Item = L>,
) -> Family<L, Counter>
where
    L: Labels,
{
    let family = Family::<L, Counter>::default();
    labels.into_iter().for_each(|labels| drop(family.get_or_create(&labels)));
    registered(registry, name, help, family)
}

/// A family of gauges that exist for all of these labels.
fn gauges<L>(registry: &mut Registry, name: &str, help: &str, labels: impl IntoIterator<Item = L>) -> Family<L, Gauge>
where
    L: Labels,
{
    let family = Family::<L, Gauge>::default();
    labels.into_iter().for_each(|labels| drop(family.get_or_create(&labels)));
    registered(registry, name, help, family)
}

/// A family of gauges for seconds that exist for all of these labels.
fn second_gauges<L>(
    registry: &mut Registry,
    name: &str,
    help: &str,
    labels: impl IntoIterator<Item = L>,
) -> Family<L, FloatGauge>
where
    L: Labels,
{
    let family = Family::<L, FloatGauge>::default();
    labels.into_iter().for_each(|labels| drop(family.get_or_create(&labels)));
    registered(registry, name, help, family)
}

/// A family of histograms that exist for all of these labels.
fn histograms<L>(
    registry: &mut Registry,
    name: &str,
    help: &str,
    constructor: fn() -> Histogram,
    labels: impl IntoIterator<Item = L>,
) -> Family<L, Histogram>
where
    L: Labels,
{
    let family = Family::new_with_constructor(constructor);
    labels.into_iter().for_each(|labels| drop(family.get_or_create(&labels)));
    registered(registry, name, help, family)
}

trait Labels:
    Clone + Hash + Eq + prometheus_client::encoding::EncodeLabelSet + std::fmt::Debug + Send + Sync + 'static
{
}

impl<L> Labels for L where
    L: Clone + Hash + Eq + prometheus_client::encoding::EncodeLabelSet + std::fmt::Debug + Send + Sync + 'static
{
}

/// All pairs of two closed sets.
fn pairs<A: Copy, B: Copy>(first: &'static [A], second: &'static [B]) -> impl Iterator<Item = (A, B)> {
    first.iter().flat_map(move |a| second.iter().map(move |b| (*a, *b)))
}

/// Buckets for what should take milliseconds: 1 ms to 10 s.
fn latency() -> Histogram {
    Histogram::new([0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0])
}

/// Buckets for what may wait: 5 ms to an hour.
fn waiting() -> Histogram {
    Histogram::new([0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 30.0, 60.0, 300.0, 900.0, 3600.0])
}

/// Seconds since the epoch, as gauges of points in time have it.
fn epoch_seconds(time: Timestamp) -> f64 {
    time.as_duration().as_secs_f64()
}
