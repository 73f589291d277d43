//! Marks against a real API server: what its JSON patches test, refuse and leave alone.

use std::sync::Arc;
use std::time::Duration;

use calendar_sync::{NotificationType, channel};
use cronofy_operator::api::CalendarSubscription;
use cronofy_operator::metrics::Metrics;
use cronofy_operator::webhook::mark::{MarkError, MarkLimits, Marker};
use cronofy_operator::webhook::pending::Hint;
use cronofy_operator::webhook::routes::{Lookup, Route, Routes};
use futures::future::join_all;
use jiff::Timestamp;
use k8s_openapi::api::rbac::v1::PolicyRule;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::runtime::watcher::Event;
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};
use testenv::{Scope, grant, shared};
use tokio::time::Instant;

use crate::support::world::define;

const PATIENCE: Duration = Duration::from_secs(30);

/// A namespace, the webhook's client with the rights that it has in a cluster, and an administrator's view.
struct Cluster {
    webhook: Client,
    subscriptions: Api<CalendarSubscription>,
}

impl Cluster {
    async fn start() -> Self {
        let control_plane = shared().await.unwrap();
        define(control_plane).await;
        let namespace = control_plane.namespace("rooms").await.unwrap();
        let admin = control_plane.admin().unwrap();
        let access = control_plane.service_account(namespace.name(), "webhook").await.unwrap();
        let rule = |resource: &str, verb: &str| PolicyRule {
            api_groups: Some(vec!["cronofy-operator.dev".into()]),
            resources: Some(vec![resource.into()]),
            verbs: vec![verb.into()],
            ..PolicyRule::default()
        };
        let rules = [rule("calendarsubscriptions", "get"), rule("calendarsubscriptions/status", "patch")];
        grant(&admin, Scope::Namespace(namespace.name()), (namespace.name(), "webhook"), &rules).await.unwrap();
        Self { webhook: access, subscriptions: Api::namespaced(admin, namespace.name()) }
    }

    fn marker(&self) -> Marker {
        Marker::new(self.webhook.clone(), Metrics::new(), MarkLimits { write: PATIENCE, ..MarkLimits::default() })
    }

    async fn create(&self, name: &str) -> CalendarSubscription {
        let subscription = json!({
            "apiVersion": "cronofy-operator.dev/v1alpha1",
            "kind": "CalendarSubscription",
            "metadata": {"name": name},
            "spec": {"applicationRef": {"name": "app"}, "account": {"secretRef": {"name": "account"}}},
        });
        let subscription = serde_json::from_value(subscription).unwrap();
        self.subscriptions.create(&PostParams::default(), &subscription).await.unwrap()
    }

    /// Writes into the status as the reconciler does.
    async fn write(&self, name: &str, status: Value) -> CalendarSubscription {
        let patch = Patch::Merge(json!({"status": status}));
        self.subscriptions.patch_status(name, &PatchParams::default(), &patch).await.unwrap()
    }

    async fn status(&self, name: &str) -> Value {
        serde_json::to_value(self.subscriptions.get_status(name).await.unwrap().status).unwrap()
    }
}

/// The route of a subscription, as a watch that shows this version would tell it, with a channel's generation for its token.
fn route(subscription: &CalendarSubscription) -> Arc<Route> {
    let mut subscription = subscription.clone();
    let status = subscription.status.get_or_insert_default();
    status.channel.get_or_insert_default().generation = Some(1);
    let routes = Routes::new("https://hooks.example.org");
    let mut feed = routes.feed();
    feed.observe(&Event::Init);
    feed.observe(&Event::InitDone);
    routes.apply(&subscription);
    match routes.look_up(&channel::token(&subscription.uid().unwrap(), 1)) {
        Lookup::Found { route, .. } => route,
        other => panic!("{other:?}"),
    }
}

fn change(second: i64) -> Hint {
    let time = |second| Timestamp::from_second(second).unwrap();
    Hint {
        kind: NotificationType::Change,
        changes_since: Some(time(second)),
        received: time(10_000),
        generation: 1,
        trace: None,
    }
}

fn of(kind: NotificationType) -> Hint {
    Hint { kind, changes_since: None, received: Timestamp::from_second(10_000).unwrap(), generation: 1, trace: None }
}

fn patience() -> Instant {
    Instant::now() + PATIENCE
}

#[tokio::test]
async fn the_first_mark_is_set_beside_the_default_status() {
    let cluster = Cluster::start().await;
    let fresh = cluster.create("maple").await;
    cluster.marker().mark(&route(&fresh), change(1_000), patience()).await.unwrap();
    let expected = json!({
        "observedGeneration": -1,
        "notification": {
            "sequence": 1,
            "receivedTime": "1970-01-01T02:46:40Z",
            "changesSince": "1970-01-01T00:16:40Z",
            "types": ["change"],
            "generation": 1,
        },
    });
    assert_eq!(cluster.status("maple").await, expected);
}

#[tokio::test]
async fn marks_of_two_replicas_keep_the_smallest_time_and_all_types() {
    let cluster = Cluster::start().await;
    let fresh = route(&cluster.create("maple").await);
    let replicas = [cluster.marker(), cluster.marker()];
    let one = async |index: usize| {
        let hint = match index % 10 {
            7 => of(NotificationType::GdprRequested),
            8 => of(NotificationType::ProfileDisconnected),
            _ => change(5_000 - i64::try_from(index).unwrap()),
        };
        replicas[index % 2].mark(&fresh, hint, patience()).await
    };
    let writes = async |index: i64| {
        cluster.write("maple", json!({"failure": null, "lastHandledRequest": index.to_string()})).await
    };
    let (marks, _) = tokio::join!(join_all((0..200).map(one)), join_all((0..20).map(writes)));
    assert!(marks.iter().all(Result::is_ok), "{marks:?}");
    let status = cluster.status("maple").await;
    assert_eq!(status["notification"]["changesSince"], "1970-01-01T01:20:01Z");
    assert_eq!(status["notification"]["types"], json!(["change", "gdpr_requested", "profile_disconnected"]));
    let sequence = status["notification"]["sequence"].as_i64().unwrap();
    assert!((2..100).contains(&sequence), "{sequence} writes for 200 notifications");
    assert_eq!(status["lastHandledRequest"].as_str().map(|text| text.parse::<i64>().is_ok()), Some(true));
}

#[tokio::test]
async fn a_mark_onto_one_that_was_cleared_meanwhile_brings_nothing_back() {
    let cluster = Cluster::start().await;
    let fresh = cluster.create("maple").await;
    let marker = cluster.marker();
    marker.mark(&route(&fresh), change(1), patience()).await.unwrap();
    let pending = cluster.subscriptions.get("maple").await.unwrap();
    cluster
        .write(
            "maple",
            json!({"notification": {"sequence": 1, "receivedTime": null, "changesSince": null, "types": null, "generation": null}}),
        )
        .await;
    for (marker, sequence) in [(marker, 2), (cluster.marker(), 3)] {
        marker.mark(&route(&pending), of(NotificationType::Verification), patience()).await.unwrap();
        let expected = json!({"sequence": sequence, "receivedTime": "1970-01-01T02:46:40Z", "types": ["verification"], "generation": 1});
        assert_eq!(cluster.status("maple").await["notification"], expected);
    }
}

#[tokio::test]
async fn a_clearing_that_has_seen_an_older_version_fails_after_a_mark_with_equal_content() {
    let cluster = Cluster::start().await;
    let fresh = route(&cluster.create("maple").await);
    let marker = cluster.marker();
    marker.mark(&fresh, change(1), patience()).await.unwrap();
    let seen = cluster.subscriptions.get("maple").await.unwrap().resource_version();
    marker.mark(&fresh, change(1), patience()).await.unwrap();
    let clear = Patch::Merge(
        json!({"metadata": {"resourceVersion": seen}, "status": {"notification": {"sequence": 1, "types": null}}}),
    );
    let refused = cluster.subscriptions.patch_status("maple", &PatchParams::default(), &clear).await;
    assert!(matches!(refused, Err(kube::Error::Api(status)) if status.code == 409));
    assert_eq!(cluster.status("maple").await["notification"]["sequence"], 2);
}

#[tokio::test]
async fn a_subscription_that_was_deleted_and_made_again_is_not_marked_for_the_old_one() {
    let cluster = Cluster::start().await;
    let old = route(&cluster.create("maple").await);
    cluster.subscriptions.delete("maple", &DeleteParams::default()).await.unwrap();
    assert_eq!(cluster.marker().mark(&old, change(1), patience()).await, Err(MarkError::Gone));
    cluster.create("maple").await;
    assert_eq!(cluster.marker().mark(&old, change(1), patience()).await, Err(MarkError::Gone));
    assert_eq!(cluster.status("maple").await, json!({"observedGeneration": -1}));
}
