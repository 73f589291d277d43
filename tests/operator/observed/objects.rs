//! The example for kube-state-metrics: the state of each object as metrics.

use std::process::{Child, Command, Stdio};

use k8s_openapi::api::rbac::v1::PolicyRule;
use serde_json::{Value, json};
use testenv::{Scope, Tool, Tools, eventually};

use super::piped;
use crate::support::operator::free_address;
use crate::support::{PATIENCE, World, event};

const EXAMPLE: &str = "examples/monitoring/kube-state-metrics.yaml";

/// A path in the definition of a kind leads somewhere.
fn leads(schema: &Value, path: &[Value]) -> bool {
    let schema = if schema["type"] == "array" { &schema["items"] } else { schema };
    path.split_first().is_none_or(|(first, rest)| {
        schema["properties"].get(first.as_str().unwrap()).is_some_and(|schema| leads(schema, rest))
    })
}

#[test]
fn the_example_for_kube_state_metrics_asks_for_fields_that_exist() {
    let example: Value = serde_saphyr::from_str(&std::fs::read_to_string(EXAMPLE).unwrap()).unwrap();
    let crds = json!(cronofy_operator::crds::crds());
    let path = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut paths = 0;
    for resource in example["spec"]["resources"].as_array().unwrap() {
        let kind = &resource["groupVersionKind"]["kind"];
        let definition = crds.as_array().unwrap().iter().find(|crd| crd["spec"]["names"]["kind"] == *kind).unwrap();
        let version = &definition["spec"]["versions"][0];
        assert_eq!(resource["groupVersionKind"]["version"], version["name"]);
        let schema = &version["schema"]["openAPIV3Schema"];
        for metric in resource["metrics"].as_array().unwrap() {
            let each = &metric["each"];
            let each = if each["type"] == "Info" { &each["info"] } else { &each["gauge"] };
            let (base, value) = (path(&each["path"]), path(&each["valueFrom"]));
            let labels = each["labelsFromPath"].as_object().into_iter().flat_map(|labels| labels.values().map(path));
            for end in labels.chain([value]) {
                let whole = [base.clone(), end].concat();
                assert!(leads(schema, &whole), "{kind}: {whole:?}");
                paths += 1;
            }
        }
    }
    assert!(paths > 20, "{paths}");
}

/// kube-state-metrics, which ends with this.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// With the rights that the example names.
async fn started(world: &World) -> (Running, String) {
    let rule = |group: &str, resources: &[&str]| -> PolicyRule {
        serde_json::from_value(json!({ "apiGroups": [group], "resources": resources, "verbs": ["list", "watch"] }))
            .unwrap()
    };
    let rules = [
        rule("apiextensions.k8s.io", &["customresourcedefinitions"]),
        rule("cronofy-operator.dev", &["calendarsubscriptions", "cronofyapplications"]),
    ];
    testenv::grant(&world.client, Scope::Cluster, (world.ns(), "state"), &rules).await.unwrap();
    let access = world.plane.service_account_access(world.ns(), "state").await.unwrap();
    let kubeconfig = world.write_kubeconfig(&access);
    let (own, telemetry) = (free_address(), free_address());
    let child = Command::new(Tools::find(&[Tool::KubeStateMetrics]).unwrap().path(Tool::KubeStateMetrics).unwrap())
        .arg("--custom-resource-state-only=true")
        .args(["--custom-resource-state-config-file", EXAMPLE, "--namespaces", world.ns()])
        .args(["--host", "127.0.0.1", "--port", &own.port().to_string()])
        .args(["--telemetry-host", "127.0.0.1", "--telemetry-port", &telemetry.port().to_string()])
        .arg("--kubeconfig")
        .arg(kubeconfig)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    (Running(child.unwrap()), format!("http://{own}/metrics"))
}

#[tokio::test]
async fn kube_state_metrics_tells_of_each_object_what_its_status_says() {
    let world = World::start("state").await;
    let _operator = world.operator().await;
    world.sim.put_event(&world.account, event("one", 1)).unwrap();
    world.subscribe("all", json!({})).await;
    let status = world.at_rest("all").await.status.unwrap();
    let (_running, url) = started(&world).await;
    let series = async |wanted: &str| {
        let found = eventually(wanted, PATIENCE, async || {
            let page = reqwest::get(&url).await.ok()?.text().await.ok()?;
            let line = |line: &&str| {
                let mut parts = wanted.split_whitespace();
                line.starts_with(parts.next().unwrap()) && parts.all(|part| line.contains(part))
            };
            page.lines().find(line).and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        });
        match found.await {
            Ok(value) => value,
            Err(error) => panic!("{error}: {:?}", reqwest::get(&url).await.unwrap().text().await),
        }
    };
    let object = format!("exported_namespace=\"{}\" name=\"all\"", world.ns());
    let of = async |name: &str| series(&format!("cronofy_subscription_{name}{{ {object}")).await;
    let close = |value: f64, time: Option<&cronofy_operator::api::Time>| {
        let time = time.unwrap().0.as_duration().as_secs_f64();
        assert!((value - time).abs() < 1.0, "{value} {time}");
    };
    let (sync, channel) = (status.sync.unwrap(), status.channel.unwrap());
    assert!((of("events").await - 1.0).abs() < f64::EPSILON);
    close(of("last_change_timestamp_seconds").await, sync.last_change_time.as_ref());
    close(of("last_full_sync_timestamp_seconds").await, sync.last_full_sync_time.as_ref());
    close(of("channel_verified_timestamp_seconds").await, channel.verified_time.as_ref());
    close(of("channel_last_check_timestamp_seconds").await, channel.last_check_time.as_ref());
    let next = sync.next.unwrap();
    close(
        series(&format!("cronofy_subscription_next_work_timestamp_seconds{{ {object} what=\"{}\"", next.what)).await,
        Some(&next.time),
    );
    for (condition, value) in [("Ready", 1.0), ("ChannelActive", 1.0), ("Stalled", 0.0)] {
        let found = series(&format!("cronofy_subscription_condition{{ {object} type=\"{condition}\"")).await;
        assert!((found - value).abs() < f64::EPSILON, "{condition} {found}");
    }
    series("cronofy_subscription_info{ application=\"app\" output=\"all-events\"").await;
    series("cronofy_application_condition{ name=\"app\" type=\"Ready\"").await;

    world.sim.down(true);
    world.annotate("all", "cronofy-operator.dev/requestedAt", "now").await;
    let failed = |subscription: &cronofy_operator::api::CalendarSubscription| {
        subscription.status.as_ref().is_some_and(|status| status.failure.is_some())
    };
    world.until("all", "fails", failed).await;
    assert!(of("failures").await >= 1.0);
    assert!(of("next_retry_timestamp_seconds").await > 1_700_000_000.0);

    let answer = reqwest::get(&url).await.unwrap();
    let content_type = answer.headers()["content-type"].to_str().unwrap().to_owned();
    let (taken, families, complaint) = piped(Tool::Exposition, &[&content_type], &answer.text().await.unwrap());
    assert!(taken && families.lines().count() >= 12, "{content_type}: {complaint}{families}");
}
