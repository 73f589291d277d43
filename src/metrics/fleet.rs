//! The state of all subscriptions together, regular work, and what is stored.

use std::time::Duration;

use jiff::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::{
    ConditionStatus, ConditionType, FleetBound, FloatGauge, Metrics, Outcome, SkipReason, StoreType, StoredPart,
    SweepKind, counters, epoch_seconds, gauges, pairs, second_gauges,
};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByCondition {
    condition: ConditionType,
    status: ConditionStatus,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByBound {
    bound: FleetBound,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByKind {
    kind: SweepKind,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BySweep {
    kind: SweepKind,
    outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByStore {
    store: StoreType,
    kind: StoredPart,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByReason {
    reason: SkipReason,
}

#[derive(Debug)]
pub(super) struct Families {
    subscriptions: Family<ByCondition, Gauge>,
    freshness: Family<ByBound, FloatGauge>,
    heartbeat: Family<ByKind, FloatGauge>,
    sweeps: Family<BySweep, Counter>,
    lag: Family<ByKind, FloatGauge>,
    writes: Family<ByStore, Counter>,
    written_bytes: Family<ByStore, Counter>,
    skipped: Family<ByReason, Counter>,
}

impl Families {
    pub(super) fn register(ours: &mut Registry) -> Self {
        let conditions = pairs(ConditionType::ALL, ConditionStatus::ALL);
        let conditions = conditions.map(|(condition, status)| ByCondition { condition, status });
        let bounds = FleetBound::ALL.iter().map(|&bound| ByBound { bound });
        let kinds = || SweepKind::ALL.iter().map(|&kind| ByKind { kind });
        let sweeps = pairs(SweepKind::ALL, Outcome::ALL).map(|(kind, outcome)| BySweep { kind, outcome });
        let stores = || pairs(StoreType::ALL, StoredPart::ALL).map(|(store, kind)| ByStore { store, kind });
        let reasons = SkipReason::ALL.iter().map(|&reason| ByReason { reason });
        let fresh = "When a copy was last proven current, in seconds since the epoch; 0 while none is known";
        let beat = "When the schedule was last looked at, also with nothing due, in seconds since the epoch";
        let lag = "How long the work that is longest due has been due";
        Self {
            subscriptions: gauges(ours, "subscriptions", "Subscriptions by condition", conditions),
            freshness: second_gauges(ours, "freshness_timestamp_seconds", fresh, bounds),
            heartbeat: second_gauges(ours, "sweep_heartbeat_timestamp_seconds", beat, kinds()),
            sweeps: counters(ours, "sweeps", "Regular work that was done", sweeps),
            lag: second_gauges(ours, "sweep_lag_seconds", lag, kinds()),
            writes: counters(ours, "store_writes", "Parts that were written to stores", stores()),
            written_bytes: counters(ours, "store_write_bytes", "Bytes that were written to stores", stores()),
            skipped: counters(ours, "events_skipped", "Events of reads that are not stored", reasons),
        }
    }
}

impl Metrics {
    /// How many subscriptions have a condition with this status.
    pub fn subscriptions(&self, condition: ConditionType, status: ConditionStatus, count: usize) {
        let labels = ByCondition { condition, status };
        self.0.fleet.subscriptions.get_or_create(&labels).set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// When the copy at one end of the fleet was last proven current.
    pub fn freshness(&self, bound: FleetBound, proven: Timestamp) {
        self.0.fleet.freshness.get_or_create(&ByBound { bound }).set(epoch_seconds(proven));
    }

    /// The schedule of a kind of regular work was looked at, whether or not something was due.
    pub fn sweep_heartbeat(&self, kind: SweepKind, now: Timestamp) {
        self.0.fleet.heartbeat.get_or_create(&ByKind { kind }).set(epoch_seconds(now));
    }

    /// A piece of regular work ended.
    pub fn sweep(&self, kind: SweepKind, outcome: Outcome) {
        self.0.fleet.sweeps.get_or_create(&BySweep { kind, outcome }).inc();
    }

    /// How long the work of this kind that is longest due has been due.
    pub fn sweep_lag(&self, kind: SweepKind, lag: Duration) {
        self.0.fleet.lag.get_or_create(&ByKind { kind }).set(lag.as_secs_f64());
    }

    /// A part was written to a store.
    pub fn store_write(&self, store: StoreType, kind: StoredPart, bytes: usize) {
        let labels = ByStore { store, kind };
        self.0.fleet.writes.get_or_create(&labels).inc();
        self.0.fleet.written_bytes.get_or_create(&labels).inc_by(u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    /// Events of a read are not stored.
    pub fn events_skipped(&self, reason: SkipReason, count: usize) {
        self.0.fleet.skipped.get_or_create(&ByReason { reason }).inc_by(u64::try_from(count).unwrap_or(u64::MAX));
    }
}
