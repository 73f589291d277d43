//! Outputs in Secrets, with the opt-in rights that they need.

use std::collections::BTreeMap;
use std::time::Duration;

use calendar_reader::{Kind, Reader};
use calendar_sync::{Event, Stored, Visibility};
use cronofy_operator::api::StoreKind;
use cronofy_operator::store::{Damage, EventStore as _, SECRET_TYPE, Store, StoreMemory};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::Api;
use kube::api::{DeleteParams, ListParams, PostParams};
use serde_json::json;
use testenv::eventually;

use crate::calendar::{event as stored_event, snapshot};
use crate::store::Cluster;
use crate::support::{PATIENCE, World, condition, event};

const VERBS: [&str; 5] = ["get", "patch", "create", "update", "delete"];

fn fill(world: &World, count: i64) {
    world.sim.settings(|settings| settings.page_size = 1_000);
    for number in 0..count {
        let title = format!("Board meeting {number}");
        world.sim.put_event(&world.account, event(&title, number % 180).uid(format!("e{number:05}"))).unwrap();
    }
}

fn secrets(world: &World) -> Api<Secret> {
    Api::namespaced(world.client.clone(), world.ns())
}

/// The names of the Secrets that hold events.
async fn outputs(world: &World) -> Vec<String> {
    let all = secrets(world).list(&ListParams::default()).await.unwrap().items;
    let ours = all.into_iter().filter(|secret| secret.type_.as_deref() == Some(SECRET_TYPE));
    ours.filter_map(|secret| secret.metadata.name).collect()
}

#[tokio::test]
async fn events_stand_in_secrets_once_the_right_is_granted_and_none_is_ever_listed() {
    let world = World::start("secrets").await;
    fill(&world, 400);
    let _operator = world.operator().await;
    world.subscribe("all", json!({ "store": { "type": "Secret" } })).await;
    let message = world.refused("all", "StoreUnavailable").await;
    assert_eq!(
        message.split(':').next(),
        Some(format!("the operator may not create secrets in namespace {}", world.ns()).as_str()),
        "{message}"
    );

    world.grant_secret_outputs().await;
    world.annotate("all", "cronofy-operator.dev/requestedAt", "now").await;
    let ready = world.ready("all").await;
    let output = ready.status.unwrap().output.unwrap();
    let calendar = world.reader("all-events", Kind::Secret).read().await.unwrap();
    assert_eq!((output.kind.as_str(), output.name.as_str()), ("Secret", "all-events"));
    assert_eq!((output.events, &output.content_hash), (400, &calendar.content_hash));
    assert_eq!(i64::try_from(calendar.slices).unwrap(), output.slices);
    assert_eq!(outputs(&world).await.len(), calendar.slices + 1);

    world.sim.rename_event("e00100", "renamed").unwrap();
    let renamed = || async {
        let calendar = world.reader("all-events", Kind::Secret).read().await.unwrap();
        calendar.events.iter().any(|event| event.summary.as_deref() == Some("renamed")).then_some(())
    };
    eventually("the change is stored", PATIENCE, renamed).await.unwrap();
    world.subscriptions().delete("all", &DeleteParams::default()).await.unwrap();
    world.gone("all").await;
    assert_eq!(outputs(&world).await, [""; 0]);

    let asked = world.plane.audit().unwrap().service_account(world.ns(), "operator").resource("secrets");
    assert!(asked.iter().all(|entry| !matches!(entry.verb.as_str(), "list" | "watch" | "deletecollection")));
    assert!(asked.verb("create").len() > 2);
}

#[tokio::test]
async fn another_kind_or_name_moves_the_events_and_the_old_output_goes_after_the_new_one_is_complete() {
    let world = World::start("moves").await;
    world.grant_secret_outputs().await;
    fill(&world, 300);
    let _operator = world.operator().await;
    world.subscribe("all", json!({})).await;
    world.ready("all").await;
    let mut from = (Kind::ConfigMap, "all-events");
    for (spec, to) in [
        (json!({ "type": "Secret" }), (Kind::Secret, "all-events")),
        (json!({ "type": "Secret", "name": "elsewhere" }), (Kind::Secret, "elsewhere")),
        (json!({ "type": "ConfigMap", "name": "elsewhere" }), (Kind::ConfigMap, "elsewhere")),
        (json!({ "type": "ConfigMap" }), (Kind::ConfigMap, "all-events")),
    ] {
        world.subscribe("all", json!({ "store": spec })).await;
        let complete = |(kind, name): (Kind, &'static str)| {
            let reader = world.reader(name, kind);
            async move { reader.read().await.is_ok_and(|calendar| calendar.events.len() == 300) }
        };
        let moved = || async {
            // The new one first: if it is not there yet, the old one still was when we looked before.
            let old = complete(from).await;
            let new = complete(to).await;
            assert!(old || new, "{from:?} to {to:?}: somebody who reads finds neither");
            (new && !old).then_some(())
        };
        eventually(&format!("moved to {to:?}"), PATIENCE, moved).await.unwrap();
        world
            .until("all", "says where the events are", |subscription| {
                let output = subscription.status.as_ref().and_then(|status| status.output.as_ref());
                let (kind, name) = (format!("{:?}", to.0), to.1);
                condition(subscription, "Ready").0 == "True"
                    && output.is_some_and(|output| output.kind == kind && output.name == name)
            })
            .await;
        let maps: Api<ConfigMap> = Api::namespaced(world.client.clone(), world.ns());
        let ours = ListParams::default().labels("app.kubernetes.io/managed-by=cronofy-operator");
        let maps = maps.list(&ours).await.unwrap().items.len();
        let secrets = outputs(&world).await.len();
        assert_eq!(
            (maps == 0, secrets == 0),
            (to.0 == Kind::Secret, to.0 == Kind::ConfigMap),
            "nothing of the old one stays"
        );
        from = to;
    }
}

#[tokio::test]
async fn a_damaged_secret_is_found_and_repaired() {
    let cluster = Cluster::of_kind(StoreKind::Secret, &VERBS).await;
    let target = cluster.target();
    let large = snapshot((0..400).map(|number| stored_event(&format!("evt_{number:05}"), "Board meeting")));
    cluster.store.commit(&target, None, &large).await.unwrap();
    let secrets: Api<Secret> = Api::namespaced(cluster.admin.clone(), cluster.namespace.name());
    let reader = Reader::new(cluster.admin.clone(), cluster.namespace.name(), target.name(), Kind::Secret);
    let before = reader.read().await.unwrap();
    let names = || async {
        let all = secrets.list(&ListParams::default()).await.unwrap().items;
        let ours = all.into_iter().filter(|secret| secret.type_.as_deref() == Some(SECRET_TYPE));
        ours.filter_map(|secret| secret.metadata.name).collect::<Vec<_>>()
    };
    let all = names().await;
    for (name, damage) in
        [(all[1].as_str(), Damage::SliceMissing), (target.name(), Damage::Keys), (all[2].as_str(), Damage::Slice)]
    {
        let mut object = secrets.get(name).await.unwrap();
        secrets.delete(name, &DeleteParams::default()).await.unwrap();
        if damage != Damage::SliceMissing {
            // Nobody can change the type of a Secret: it has to go.
            object.type_ = Some("Opaque".to_owned());
            object.metadata.resource_version = None;
            object.metadata.uid = None;
            secrets.create(&PostParams::default(), &object).await.unwrap();
        }
        let client = cluster.store_client().await;
        let restarted = Store::open(StoreKind::Secret, client, StoreMemory::default()).unwrap();
        let head = restarted.head(&target).await.unwrap();
        assert_eq!((head.stored, head.damage), (Stored::Damaged, Some(damage)), "{name}");
        restarted.commit(&target, head.version.as_ref(), &large).await.unwrap();
        assert_eq!(reader.read().await.unwrap(), before, "{name}");
        assert_eq!(names().await, all, "{name}");
    }
}

#[tokio::test]
async fn a_narrower_visibility_leaves_no_title_in_any_secret() {
    let cluster = Cluster::of_kind(StoreKind::Secret, &VERBS).await;
    let store = cluster.store.clone().with_grace(Duration::from_hours(1));
    let target = cluster.target();
    let events = |title: &str| -> BTreeMap<String, Event> {
        snapshot((0..400).map(|number| stored_event(&format!("evt_{number:05}"), title))).events
    };
    let first = snapshot(events("Board meeting").into_values());
    let committed = store.commit(&target, None, &first).await.unwrap();
    let second = snapshot(events("Board meeting again").into_values());
    let committed = store.commit(&target, Some(&committed.version), &second).await.unwrap();
    let mut busy = snapshot(events("").into_values().map(|event| Visibility::Busy.of(event)));
    busy.visibility = Visibility::Busy;
    store.commit(&target, Some(&committed.version), &busy).await.unwrap();
    let secrets: Api<Secret> = Api::namespaced(cluster.admin.clone(), cluster.namespace.name());
    let all = secrets.list(&ListParams::default()).await.unwrap().items;
    let texts =
        all.iter().flat_map(|secret| secret.data.iter().flatten()).map(|(_, bytes)| String::from_utf8_lossy(&bytes.0));
    let mut count = 0;
    for text in texts {
        assert!(!text.contains("Board meeting"));
        count += 1;
    }
    assert!(count > 3, "{count}");
}

#[tokio::test]
async fn what_stood_in_slices_of_an_index_that_somebody_destroyed_goes_with_the_next_commit() {
    let cluster = Cluster::of_kind(StoreKind::Secret, &VERBS).await;
    let store = cluster.store.clone().with_grace(Duration::from_hours(1));
    let target = cluster.target();
    let calendar = |title: &str| snapshot((0..400).map(|number| stored_event(&format!("evt_{number:05}"), title)));
    let mut busy = snapshot(calendar("").events.into_values().map(|event| Visibility::Busy.of(event)));
    busy.visibility = Visibility::Busy;
    let secrets: Api<Secret> = Api::namespaced(cluster.admin.clone(), cluster.namespace.name());
    let titles = || async {
        let all = secrets.list(&ListParams::default()).await.unwrap().items;
        let ours = all.into_iter().filter(|secret| secret.type_.as_deref() == Some(SECRET_TYPE));
        let texts = ours.flat_map(|secret| secret.data.into_iter().flatten());
        texts.filter(|(_, bytes)| String::from_utf8_lossy(&bytes.0).contains("Board meeting")).count()
    };
    let destroyed = || async {
        store.commit(&target, None, &calendar("Board meeting")).await.unwrap();
        assert!(titles().await > 1, "in several slices");
        secrets.delete(target.name(), &DeleteParams::default()).await.unwrap();
    };

    destroyed().await;
    let committed = store.commit(&target, None, &busy).await.unwrap();
    assert_eq!(titles().await, 0, "what is to be seen no more is gone at once");
    store.erase(&target).await.unwrap();
    drop(committed);

    destroyed().await;
    store.erase(&target).await.unwrap();
    assert_eq!(titles().await, 0, "an erasure leaves nothing");
}
