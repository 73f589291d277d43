//! A strict reader of the exposition, for tests: whatever it does not understand is a failure.

use std::collections::{BTreeMap, BTreeSet};

use super::Metrics;

/// One line with a value.
#[derive(Debug)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

/// All families, by name.
#[derive(Debug, Default)]
struct Exposition {
    kinds: BTreeMap<String, String>,
    helped: BTreeSet<String>,
    samples: Vec<Sample>,
}

impl Exposition {
    fn read(text: &str) -> Self {
        let body = text.strip_suffix("# EOF\n").expect("ends with the end mark");
        let mut read = Self::default();
        for line in body.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').expect(line);
                assert!(help.len() > 1 && help.ends_with('.') && !help.ends_with(".."), "{line}");
                assert!(read.helped.insert(name.to_owned()), "twice: {line}");
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect(line);
                assert!(read.kinds.insert(name.to_owned(), kind.to_owned()).is_none(), "twice: {line}");
            } else {
                read.samples.push(Self::sample(line));
            }
        }
        read
    }

    fn sample(line: &str) -> Sample {
        let (series, value) = line.rsplit_once(' ').expect(line);
        let value = if value == "+Inf" { f64::INFINITY } else { value.parse().expect(line) };
        let (name, labels) = series.split_once('{').map_or((series, ""), |(name, labels)| (name, labels));
        assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{line}");
        let labels = labels.strip_suffix('}').unwrap_or(labels);
        let labels = labels.split(',').filter(|label| !label.is_empty()).map(|label| {
            let (key, value) = label.split_once('=').expect(line);
            let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).expect(line);
            assert!(!value.contains(['"', '\\']), "{line}");
            (key.to_owned(), value.to_owned())
        });
        Sample { name: name.to_owned(), labels: labels.collect(), value }
    }

    /// The family that a sample belongs to, by the suffix that its kind allows.
    fn family(&self, sample: &Sample) -> &str {
        let suffixes = |kind: &str| match kind {
            "counter" => &["_total"][..],
            "gauge" => &[""],
            "histogram" => &["_sum", "_count", "_bucket"],
            "info" => &["_info"],
            other => panic!("unexpected type {other}"),
        };
        let mut owners = self.kinds.iter().filter(|(name, kind)| {
            sample.name.strip_prefix(name.as_str()).is_some_and(|rest| suffixes(kind).contains(&rest))
        });
        let (owner, _) = owners.next().unwrap_or_else(|| panic!("{} belongs to no family", sample.name));
        owner
    }
}

/// The value of the one series with this name and these labels.
pub(crate) fn sample(metrics: &Metrics, name: &str, labels: &[(&str, &str)]) -> f64 {
    let read = Exposition::read(&metrics.encode());
    let mut found = read.samples.iter().filter(|sample| {
        sample.name == name && labels.iter().all(|(key, value)| sample.labels.get(*key).is_some_and(|v| v == value))
    });
    let value = found.next().unwrap_or_else(|| panic!("no series {name} {labels:?}")).value;
    assert!(found.next().is_none(), "several series {name} {labels:?}");
    value
}

/// Name, type, labels and number of label combinations of every family that stands in the exposition from the start.
const FAMILIES: &[(&str, &str, &[&str], usize)] = &[
    ("controller_runtime_active_workers", "gauge", &["controller"], 2),
    ("controller_runtime_max_concurrent_reconciles", "gauge", &["controller"], 2),
    ("controller_runtime_reconcile", "counter", &["controller", "result"], 8),
    ("controller_runtime_reconcile_errors", "counter", &["controller"], 2),
    ("controller_runtime_reconcile_panics", "counter", &["controller"], 2),
    ("controller_runtime_reconcile_time_seconds", "histogram", &["controller"], 2),
    ("controller_runtime_reconcile_timeouts", "counter", &["controller"], 2),
    ("controller_runtime_terminal_reconcile_errors", "counter", &["controller"], 2),
    ("cronofy_operator_build", "info", &["version"], 1),
    ("cronofy_operator_channel_operations", "counter", &["operation", "outcome"], 10),
    ("cronofy_operator_channels", "gauge", &["state"], 4),
    ("cronofy_operator_cronofy_budget_limit", "gauge", &["window"], 2),
    ("cronofy_operator_cronofy_budget_requests", "counter", &["lane"], 3),
    ("cronofy_operator_cronofy_budget_wait_seconds", "histogram", &["lane"], 3),
    ("cronofy_operator_cronofy_request_duration_seconds", "histogram", &["code", "endpoint"], 11),
    ("cronofy_operator_cronofy_requests", "counter", &["code", "endpoint"], 231),
    ("cronofy_operator_event_publish_failures", "counter", &[], 1),
    ("cronofy_operator_events_skipped", "counter", &["reason"], 2),
    ("cronofy_operator_freshness_timestamp_seconds", "gauge", &["bound"], 2),
    ("cronofy_operator_kubernetes_writes", "counter", &["kind", "verb"], 32),
    ("cronofy_operator_mark_writes", "counter", &["outcome"], 5),
    ("cronofy_operator_notification_to_stored_seconds", "histogram", &[], 1),
    ("cronofy_operator_store_write_bytes", "counter", &["kind", "store"], 6),
    ("cronofy_operator_store_writes", "counter", &["kind", "store"], 6),
    ("cronofy_operator_subscriptions", "gauge", &["condition", "status"], 18),
    ("cronofy_operator_sweep_heartbeat_timestamp_seconds", "gauge", &["kind"], 4),
    ("cronofy_operator_sweep_lag_seconds", "gauge", &["kind"], 4),
    ("cronofy_operator_sweeps", "counter", &["kind", "outcome"], 8),
    ("cronofy_operator_watch_errors", "counter", &["watch"], 5),
    ("cronofy_operator_watch_last_event_timestamp_seconds", "gauge", &["watch"], 5),
    ("cronofy_operator_webhook_certificate_expiry_timestamp_seconds", "gauge", &[], 1),
    ("cronofy_operator_webhook_certificate_refused", "gauge", &[], 1),
    ("cronofy_operator_webhook_connections", "gauge", &[], 1),
    ("cronofy_operator_webhook_request_duration_seconds", "histogram", &[], 1),
    ("cronofy_operator_webhook_requests", "counter", &["result"], 10),
    ("cronofy_operator_webhook_secret_matches", "counter", &["secret"], 2),
    ("cronofy_operator_webhook_tls_handshake_failures", "counter", &[], 1),
    ("leader_election_master_status", "gauge", &["name"], 1),
    ("rest_client_request_duration_seconds", "histogram", &["verb"], 7),
    ("rest_client_requests", "counter", &["code", "method"], 126),
    ("workqueue_adds", "counter", &["controller", "name"], 2),
    ("workqueue_depth", "gauge", &["controller", "name"], 2),
    ("workqueue_longest_running_processor_seconds", "gauge", &["controller", "name"], 2),
    ("workqueue_queue_duration_seconds", "histogram", &["controller", "name"], 2),
    ("workqueue_retries", "counter", &["controller", "name"], 2),
    ("workqueue_unfinished_work_seconds", "gauge", &["controller", "name"], 2),
    ("workqueue_work_duration_seconds", "histogram", &["controller", "name"], 2),
];

#[test]
fn every_metric_stands_in_the_exposition_from_the_start_with_its_labels_and_no_other() {
    let read = Exposition::read(&Metrics::new().encode());
    let mut found: BTreeMap<&str, (BTreeSet<&str>, BTreeSet<String>)> = BTreeMap::new();
    for sample in &read.samples {
        let (keys, series) = found.entry(read.family(sample)).or_default();
        let own: BTreeMap<_, _> = sample.labels.iter().filter(|(key, _)| *key != "le").collect();
        keys.extend(own.keys().map(|key| key.as_str()));
        series.insert(format!("{own:?}"));
        assert!(sample.value.is_finite() && sample.value >= 0.0, "{sample:?}");
    }
    let found: Vec<_> = found
        .into_iter()
        .map(|(name, (keys, series))| {
            (name, read.kinds[name].as_str(), keys.into_iter().collect::<Vec<_>>(), series.len())
        })
        .collect();
    let expected: Vec<_> =
        FAMILIES.iter().map(|(name, kind, keys, count)| (*name, *kind, keys.to_vec(), *count)).collect();
    assert_eq!(found, expected);
    assert_eq!(read.helped, read.kinds.keys().cloned().collect());
}

#[test]
fn counters_begin_at_zero_and_histograms_end_with_all() {
    let read = Exposition::read(&Metrics::new().encode());
    assert!(read.samples.iter().filter(|sample| sample.name.ends_with("_total")).all(|sample| sample.value == 0.0));
    let buckets = read.samples.iter().filter(|sample| sample.labels.get("le").is_some_and(|le| le == "+Inf")).count();
    let counts = read.samples.iter().filter(|sample| sample.name.ends_with("_count")).count();
    assert_eq!(buckets, counts);
    assert!(counts > 0);
}

/// Name and labels.
type Series<'a> = (&'a str, &'a [(&'a str, &'a str)]);

#[test]
fn gauges_show_what_was_set_last() {
    use super::{ChannelState, ConditionStatus, ConditionType, FleetBound, StoreType, StoredPart};
    let metrics = Metrics::new();
    metrics.clone().leader(true);
    metrics.channels(ChannelState::Suspect, 7);
    metrics.channels(ChannelState::Suspect, 3);
    metrics.subscriptions(ConditionType::Ready, ConditionStatus::False, 2);
    metrics.freshness(FleetBound::Oldest, "2026-11-20T07:41:05.5Z".parse().unwrap());
    metrics.store_write(StoreType::ConfigMap, StoredPart::Slice, 20_000);
    metrics.store_write(StoreType::ConfigMap, StoredPart::Slice, 1);
    let table: [(Series, f64); 6] = [
        (("leader_election_master_status", &[("name", "cronofy-operator")]), 1.0),
        (("cronofy_operator_channels", &[("state", "suspect")]), 3.0),
        (("cronofy_operator_subscriptions", &[("condition", "Ready"), ("status", "False")]), 2.0),
        (("cronofy_operator_freshness_timestamp_seconds", &[("bound", "oldest")]), 1_795_160_465.5),
        (("cronofy_operator_store_writes_total", &[("store", "config_map"), ("kind", "slice")]), 2.0),
        (("cronofy_operator_store_write_bytes_total", &[("store", "config_map"), ("kind", "slice")]), 20_001.0),
    ];
    for ((name, labels), value) in table {
        assert!((sample(&metrics, name, labels) - value).abs() < f64::EPSILON, "{name}");
    }
}
