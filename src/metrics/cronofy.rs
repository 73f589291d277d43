//! Requests to Cronofy, the budget before them, and channels.

use std::time::Duration;

use cronofy::Endpoint;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::{
    BudgetWindow, ChannelOperation, ChannelState, Code, Lane, Metrics, Outcome, counters, gauges, histograms, latency,
    pairs, waiting,
};

/// Every call, so that each is counted from zero.
const ENDPOINTS: &[Call] = &[
    Call(Endpoint::RefreshToken),
    Call(Endpoint::ExchangeCode),
    Call(Endpoint::ApplicationCalendar),
    Call(Endpoint::Revoke),
    Call(Endpoint::UserInfo),
    Call(Endpoint::Calendars),
    Call(Endpoint::CreateChannel),
    Call(Endpoint::ListChannels),
    Call(Endpoint::CloseChannel),
    Call(Endpoint::Events),
    Call(Endpoint::EventsPage),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Call(Endpoint);

impl EncodeLabelValue for Call {
    fn encode(&self, encoder: &mut LabelValueEncoder) -> std::fmt::Result {
        EncodeLabelValue::encode(&self.0.as_str(), encoder)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByCall {
    endpoint: Call,
    code: Code,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByLane {
    lane: Lane,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByWindow {
    window: BudgetWindow,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByState {
    state: ChannelState,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByOperation {
    operation: ChannelOperation,
    outcome: Outcome,
}

#[derive(Debug)]
pub(super) struct Families {
    requests: Family<ByCall, Counter>,
    durations: Family<ByCall, Histogram>,
    budget_requests: Family<ByLane, Counter>,
    budget_wait: Family<ByLane, Histogram>,
    budget_limit: Family<ByWindow, Gauge>,
    channels: Family<ByState, Gauge>,
    operations: Family<ByOperation, Counter>,
}

impl Families {
    pub(super) fn register(ours: &mut Registry) -> Self {
        let calls = pairs(ENDPOINTS, Code::ALL).map(|(endpoint, code)| ByCall { endpoint, code });
        let answered = ENDPOINTS.iter().map(|&endpoint| ByCall { endpoint, code: Code::Ok });
        let lanes = || Lane::ALL.iter().map(|&lane| ByLane { lane });
        let windows = BudgetWindow::ALL.iter().map(|&window| ByWindow { window });
        let states = ChannelState::ALL.iter().map(|&state| ByState { state });
        let operations = pairs(ChannelOperation::ALL, Outcome::ALL);
        let operations = operations.map(|(operation, outcome)| ByOperation { operation, outcome });
        let wait = "Time that requests wait for the budget";
        Self {
            requests: counters(ours, "cronofy_requests", "Requests to Cronofy", calls),
            durations: histograms(ours, "cronofy_request_duration_seconds", "Duration of requests", latency, answered),
            budget_requests: counters(ours, "cronofy_budget_requests", "Requests that the budget let pass", lanes()),
            budget_wait: histograms(ours, "cronofy_budget_wait_seconds", wait, waiting, lanes()),
            budget_limit: gauges(ours, "cronofy_budget_limit", "Requests allowed in a window, all budgets", windows),
            channels: gauges(ours, "channels", "Push channels of all subscriptions", states),
            operations: counters(ours, "channel_operations", "What was done with channels", operations),
        }
    }
}

impl Metrics {
    /// A request to Cronofy ended; `status` is `None` if no answer came.
    pub fn cronofy_request(&self, endpoint: Endpoint, status: Option<u16>, duration: Duration) {
        let labels = ByCall { endpoint: Call(endpoint), code: Code::from(status) };
        self.0.cronofy.requests.get_or_create(&labels).inc();
        self.0.cronofy.durations.get_or_create(&labels).observe(duration.as_secs_f64());
    }

    /// The budget let a request pass after this time.
    pub fn budget_wait(&self, lane: Lane, waited: Duration) {
        self.0.cronofy.budget_requests.get_or_create(&ByLane { lane }).inc();
        self.budget_turn(lane, waited);
    }

    /// Work was not begun for this time, since the budget that it needs was short.
    pub fn budget_turn(&self, lane: Lane, waited: Duration) {
        self.0.cronofy.budget_wait.get_or_create(&ByLane { lane }).observe(waited.as_secs_f64());
    }

    /// The requests that all applications' budgets together allow in a window.
    pub fn budget_limit(&self, window: BudgetWindow, requests: u32) {
        self.0.cronofy.budget_limit.get_or_create(&ByWindow { window }).set(i64::from(requests));
    }

    /// How many channels are in a state.
    pub fn channels(&self, state: ChannelState, count: usize) {
        self.0.cronofy.channels.get_or_create(&ByState { state }).set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Something was done with a channel.
    pub fn channel_operation(&self, operation: ChannelOperation, outcome: Outcome) {
        self.0.cronofy.operations.get_or_create(&ByOperation { operation, outcome }).inc();
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "counts are exact")]
mod tests {
    use super::*;
    use crate::metrics::exposition::sample;

    #[test]
    fn codes_that_are_not_told_apart_share_one_label() {
        let metrics = Metrics::new();
        metrics.cronofy_request(Endpoint::Events, Some(200), Duration::from_millis(30));
        metrics.cronofy_request(Endpoint::Events, None, Duration::from_secs(5));
        metrics.cronofy_request(Endpoint::EventsPage, Some(418), Duration::from_secs(1));
        metrics.cronofy_request(Endpoint::EventsPage, Some(7), Duration::from_secs(1));
        let requests = |endpoint, code| {
            sample(&metrics, "cronofy_operator_cronofy_requests_total", &[("endpoint", endpoint), ("code", code)])
        };
        assert_eq!(requests("events", "200"), 1.0);
        assert_eq!(requests("events", "<error>"), 1.0);
        assert_eq!(requests("events_page", "other"), 2.0);
    }
}
