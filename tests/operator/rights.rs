//! The chart's rights: all that the operator needs, and nothing that it does not.

use std::collections::BTreeSet;

use crate::support::world::{CLIENT_ID, Rights, rights};
use crate::support::{Operator, OwnPlane, PATIENCE, World, condition, event, observed};
use cronofy_operator::api::CalendarSubscription;
use cronofy_sim::{Answer, Endpoint, Fault};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use k8s_openapi::api::rbac::v1::PolicyRule;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use serde_json::json;
use testenv::{Options, Scope, eventually};

/// An API server that lets nobody hold back the deletion of an owner whose finalizers he may not set, as some distributions do.
async fn strict_server() -> OwnPlane {
    let arguments = vec!["--enable-admission-plugins=OwnerReferencesPermissionEnforcement".to_owned()];
    OwnPlane::start_with(Options { apiserver_arguments: arguments, ..Options::default() }).await
}

/// What a rule allows, one verb on one resource each.
fn single(rule: &PolicyRule) -> Vec<[String; 3]> {
    let of = |list: &Option<Vec<String>>| list.clone().unwrap_or_default();
    let mut all = Vec::new();
    for group in of(&rule.api_groups) {
        for resource in of(&rule.resources) {
            all.extend(rule.verbs.iter().map(|verb| [group.clone(), resource.clone(), verb.clone()]));
        }
    }
    all
}

#[tokio::test]
async fn over_all_that_it_does_the_operator_is_denied_nothing_and_has_no_right_that_it_does_not_use() {
    let plane = strict_server().await;
    let world = World::on(*plane, "rights").await;
    everything(&world).await;

    let log = world.plane.audit().unwrap().service_account(world.ns(), "operator");
    let denied: Vec<_> = log.iter().filter(|entry| matches!(entry.code, 401 | 403)).collect();
    assert!(denied.is_empty(), "{denied:#?}");
    let used: BTreeSet<[String; 3]> = log
        .iter()
        .map(|entry| {
            let resource = match entry.subresource.as_str() {
                "" => entry.resource.clone(),
                subresource => format!("{}/{subresource}", entry.resource),
            };
            [entry.group.clone(), resource, entry.verb.clone()]
        })
        .collect();
    let Rights { objects, namespaces, lease, secret_outputs: _ } = rights();
    let granted: BTreeSet<[String; 3]> = [objects, namespaces, lease].iter().flatten().flat_map(single).collect();
    let unused: Vec<_> = granted.difference(&used).collect();
    // Asked for by the API server itself, see the next test.
    let finalizers = ["cronofy-operator.dev", "calendarsubscriptions/finalizers", "update"].map(ToOwned::to_owned);
    assert_eq!(
        unused,
        [&finalizers],
        "rights that nothing uses: take them out of charts/cronofy-operator/files/rbac.yaml"
    );
}

#[tokio::test]
async fn without_the_right_to_set_finalizers_a_strict_server_takes_no_output() {
    let plane = strict_server().await;
    let world = World::on(*plane, "strict").await;
    let Rights { mut objects, namespaces, lease, secret_outputs: _ } = rights();
    objects.retain(|rule| !single(rule).iter().any(|[_, resource, _]| resource == "calendarsubscriptions/finalizers"));
    let limited = (world.ns(), "limited");
    for rules in [&objects, &lease] {
        testenv::grant(&world.client, Scope::Namespace(world.ns()), limited, rules).await.unwrap();
    }
    testenv::grant(&world.client, Scope::Cluster, limited, &namespaces).await.unwrap();
    let access = world.plane.service_account_access(limited.0, limited.1).await.unwrap();
    let mut options = world.operator_options().await;
    options.kubeconfig = world.write_kubeconfig(&access);
    let operator = Operator::start(&options).await;
    world.subscribe("all", json!({})).await;
    world.refused("all", "StoreUnavailable").await;
    assert!(world.output("all-events").await.is_none());

    // With the chart's rights the same server takes it.
    assert!(operator.terminate().await);
    let _operator = world.operator().await;
    world.ready("all").await;
    assert!(world.output("all-events").await.is_some());
}

#[tokio::test]
async fn without_the_right_to_write_events_all_else_is_done() {
    let world = World::start("untold").await;
    let Rights { mut objects, lease, .. } = rights();
    objects.retain(|rule| !single(rule).iter().any(|[group, ..]| group == "events.k8s.io"));
    let limited = (world.ns(), "limited");
    for rules in [&objects, &lease] {
        testenv::grant(&world.client, Scope::Namespace(world.ns()), limited, rules).await.unwrap();
    }
    let access = world.plane.service_account_access(limited.0, limited.1).await.unwrap();
    let mut options = world.operator_options().await;
    options.kubeconfig = world.write_kubeconfig(&access);
    let operator = Operator::start(&options).await;
    world.sim.put_event(&world.account, event("one", 1)).unwrap();
    world.subscribe("all", json!({})).await;
    world.at_rest("all").await;
    world.sim.put_event(&world.account, event("two", 2)).unwrap();
    world.titles("all", &["one", "two"]).await;

    // Those that the channel and the first copy are worth.
    eventually("Events that were not taken are counted", PATIENCE, || async {
        (operator.metric("cronofy_operator_event_publish_failures_total").await >= 2.0).then_some(())
    })
    .await
    .unwrap();
    assert!(world.event_reasons().await.is_empty());
    let complaints: Vec<_> = operator.log().into_iter().filter(|line| line.contains("reconcile failed")).collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
}

async fn patched(api: &Api<ConfigMap>, name: &str, patch: serde_json::Value) {
    api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
}

/// A life of two subscriptions in which everything happens once that the operator acts on.
async fn everything(world: &World) {
    let elsewhere = world.plane.namespace("selected").await.unwrap();
    world.grant(elsewhere.name()).await;
    let mut options = world.operator_options().await;
    options.namespaces.push(elsewhere.name().to_owned());
    let operator = Operator::start(&options).await;

    // First sync with a returned refresh token, a notification, a token that is renewed, one that could not be used at first.
    world.sim.put_event(&world.account, event("one", 1)).unwrap();
    world.subscribe("all", json!({})).await;
    world.ready("all").await;
    world.sim.inject(Fault::next(1, Endpoint::Events, Answer::status(401)));
    world.sim.put_event(&world.account, event("two", 2)).unwrap();
    world.titles("all", &["one", "two"]).await;
    world.ready("all").await;

    // Drift: edited, made immutable, deleted.
    let maps: Api<ConfigMap> = Api::namespaced(world.client.clone(), world.ns());
    patched(&maps, "all-events", json!({ "data": { "events.json": "[]\n" } })).await;
    world.titles("all", &["one", "two"]).await;
    let before = maps.get("all-events").await.unwrap().uid();
    patched(&maps, "all-events", json!({ "immutable": true })).await;
    eventually("the immutable output is replaced", PATIENCE, || async {
        let now = maps.get_opt("all-events").await.unwrap();
        now.is_some_and(|now| now.uid() != before && now.immutable != Some(true)).then_some(())
    })
    .await
    .unwrap();
    world.titles("all", &["one", "two"]).await;

    // The same Event again and again becomes a series.
    for _ in 0..2 {
        for suspend in [true, false] {
            world.subscribe("all", json!({ "suspend": suspend })).await;
            let done = |subscription: &CalendarSubscription| {
                observed(subscription) && (condition(subscription, "Ready").1 == "Suspended") == suspend
            };
            world.until("all", "is suspended or goes on", done).await;
            if !suspend {
                world.ready("all").await;
            }
        }
    }

    // Another namespace, allowed by its labels; an application without its Secret.
    let selector = json!({ "from": "Selector", "selector": { "matchLabels": { "calendars": "yes" } } });
    let credentials = json!({ "name": "app" });
    let spec = json!({
        "endpoint": world.sim.api_url(), "credentialsSecretRef": credentials, "allowedNamespaces": selector,
    });
    world.apply_application_in(world.ns(), "app", spec).await;
    let namespaces: Api<Namespace> = Api::all(world.client.clone());
    let label = json!({ "metadata": { "labels": { "calendars": "yes" } } });
    namespaces.patch(elsewhere.name(), &PatchParams::default(), &Patch::Merge(label)).await.unwrap();
    let token = world.sim.issue_refresh_token(&world.account, CLIENT_ID);
    world.secret_in(elsewhere.name(), "account", &[("refresh_token", &token)]).await;
    let reference = json!({ "applicationRef": { "name": "app", "namespace": world.ns() }, "deletionPolicy": "Retain" });
    world.subscribe_in(elsewhere.name(), "kept", reference).await;
    world.until_in(elsewhere.name(), "kept", "is Ready", |kept| condition(kept, "Ready").0 == "True").await;
    world.apply_application("broken", "missing").await;

    // Another name, erasure, and the ends.
    world.subscribe("all", json!({ "store": { "name": "renamed" } })).await;
    world.titles_in(world.ns(), "renamed", &["one", "two"]).await;
    eventually("the former output is gone", PATIENCE, || async {
        world.output("all-events").await.is_none().then_some(())
    })
    .await
    .unwrap();
    world.ready("all").await;
    world.sim.settle().await;
    let kept: Api<CalendarSubscription> = Api::namespaced(world.client.clone(), elsewhere.name());
    kept.delete("kept", &DeleteParams::default()).await.unwrap();
    eventually("the one elsewhere is gone", PATIENCE, || async {
        kept.get_opt("kept").await.unwrap().is_none().then_some(())
    })
    .await
    .unwrap();
    world.sim.request_gdpr(&world.account);
    world.until("all", "is erased", |subscription| condition(subscription, "Ready").1 == "Erased").await;
    world.subscriptions().delete("all", &DeleteParams::default()).await.unwrap();
    world.gone("all").await;
    assert!(operator.terminate().await);
}
