//! Calendars too large for one object: what a change costs, what others do to slices, what a narrower visibility leaves.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use calendar_reader::{Calendar, Kind};
use calendar_sync::Visibility;
use cronofy_operator::store::{EventStore as _, OUTPUT, SUBSCRIPTION_UID};
use cronofy_sim::Endpoint;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use testenv::{AuditLog, eventually};

use crate::calendar::{event as stored_event, snapshot};
use crate::store::Cluster;
use crate::support::{PATIENCE, World, event};

/// Puts so many events into the account, an hour each.
fn fill(world: &World, count: i64) {
    world.sim.settings(|settings| settings.page_size = 5_000);
    for number in 0..count {
        let title = format!("Board meeting {number}");
        world.sim.put_event(&world.account, event(&title, number % 180).uid(format!("e{number:05}"))).unwrap();
    }
}

/// A world with a running operator and a copy of so many events.
async fn copied(name: &str, count: i64) -> (World, crate::support::Operator) {
    let world = World::start(name).await;
    fill(&world, count);
    let operator = world.operator().await;
    world.subscribe("all", json!({})).await;
    world.ready("all").await;
    (world, operator)
}

async fn config_maps(world: &World) -> Vec<ConfigMap> {
    let api: Api<ConfigMap> = Api::namespaced(world.client.clone(), world.ns());
    api.list(&ListParams::default()).await.unwrap().items
}

/// The names of the slices of the usual output.
async fn slices(world: &World) -> BTreeSet<String> {
    let api: Api<ConfigMap> = Api::namespaced(world.client.clone(), world.ns());
    let found = api.list(&ListParams::default().labels(&format!("{OUTPUT}=all-events"))).await.unwrap();
    found.items.into_iter().filter_map(|object| object.metadata.name).collect()
}

async fn listed(world: &World) -> BTreeSet<String> {
    let index = world.output("all-events").await.unwrap().data.unwrap().remove("index.json").unwrap();
    let index: Value = serde_json::from_str(&index).unwrap();
    index["slices"].as_array().unwrap().iter().map(|slice| slice["name"].as_str().unwrap().to_owned()).collect()
}

async fn read(world: &World) -> Calendar {
    world.reader("all-events", Kind::ConfigMap).read().await.unwrap()
}

/// Waits until a change has replaced a slice; the old one stays for those who have read the index before.
async fn old_slice_stays(world: &World) {
    let stays = || async { (slices(world).await.len() > listed(world).await.len()).then_some(()) };
    if let Err(error) = eventually("an old slice stays for readers", PATIENCE, stays).await {
        let status = world.subscriptions().get("all").await.unwrap().status;
        panic!("{error}; deliveries: {:#?}; the status is {:#}", world.sim.deliveries(), json!(status));
    }
}

/// What the operator has asked the API server for, less what goes on at all times.
fn requests(world: &World) -> AuditLog {
    let log = world.plane.audit().unwrap().service_account(world.ns(), "operator").namespace(world.ns());
    log.filter(|entry| {
        matches!(entry.resource.as_str(), "configmaps" | "calendarsubscriptions") && entry.verb != "watch"
    })
}

#[tokio::test]
async fn a_changed_event_of_ten_thousand_costs_a_slice_or_two_and_the_index() {
    let (world, operator) = copied("cost", 10_000).await;
    let output = world.ready("all").await.status.unwrap().output.unwrap();
    let before = read(&world).await;
    assert_eq!((output.events, output.bytes), (10_000, i64::try_from(before.bytes).unwrap()));
    assert_eq!((output.slices, &output.content_hash), (i64::try_from(before.slices).unwrap(), &before.content_hash));
    assert!(before.slices > 50, "{}", before.slices);
    world.sim.settle().await;
    let seen = requests(&world).len();

    world.sim.rename_event("e05000", "renamed").unwrap();
    let renamed = || async {
        let titles = read(&world).await.events;
        titles.iter().any(|event| event.summary.as_deref() == Some("renamed")).then_some(())
    };
    eventually("the change is stored", PATIENCE, renamed).await.unwrap();
    // The mark is cleared by the last write of the pass.
    world
        .until("all", "has acted on the mark", |subscription| {
            let notification = subscription.status.as_ref().and_then(|status| status.notification.as_ref());
            notification.is_some_and(|notification| notification.types.is_empty())
        })
        .await;
    let asked = requests(&world).since(seen);
    let of = |verb: &str, resource: &str| asked.verb(verb).resource(resource).len();
    let count = asked.count();
    assert!((1..=2).contains(&of("create", "configmaps")), "{count:?}");
    assert_eq!(of("update", "configmaps"), 1, "{count:?}");
    assert_eq!((of("list", "configmaps"), of("delete", "configmaps")), (0, 0), "{count:?}");
    // One look at each; a second one if the change came within the second that reads are kept apart.
    let looks = of("get", "calendarsubscriptions");
    assert!((1..=2).contains(&looks) && of("get", "configmaps") == looks, "{count:?}");
    // One by the mark, one that says what was done.
    assert_eq!(of("patch", "calendarsubscriptions"), 2, "{count:?}");
    assert!(operator.metric("cronofy_operator_store_writes_total{store=\"config_map\",kind=\"slice\"}").await > 50.0);
}

#[tokio::test]
async fn fifty_thousand_events_come_from_cronofy_into_the_output_change_there_and_go() {
    let world = World::start("whole").await;
    fill(&world, 50_000);
    let _operator = world.operator().await;
    world.subscribe("all", json!({})).await;
    // Ten pages, hundreds of objects: on a busy machine that takes longer than others wait for anything.
    let written = eventually("all of them are stored", 5 * PATIENCE, async || world.output("all-events").await);
    written.await.unwrap();
    let output = world.ready("all").await.status.unwrap().output.unwrap();
    let calendar = read(&world).await;
    assert_eq!((output.events, calendar.events.len()), (50_000, 50_000));
    assert_eq!(output.content_hash, calendar.content_hash);
    let has = |title: String| calendar.events.iter().any(|event| event.summary == Some(title.clone()));
    assert!([0, 25_000, 49_999].into_iter().all(|number| has(format!("Board meeting {number}"))));
    assert_eq!(world.sim.count(Endpoint::EventsPage) % 9, 0, "ten pages a read");
    world.sim.settle().await;

    world.sim.rename_event("e25000", "renamed").unwrap();
    world.sim.delete_event("e25001").unwrap();
    let changed = eventually("the changes are stored", PATIENCE, async || {
        let events = read(&world).await.events;
        let renamed = events.iter().any(|event| event.summary.as_deref() == Some("renamed"));
        (renamed && events.len() == 49_999).then_some(())
    });
    changed.await.unwrap();
    world.subscriptions().delete("all", &DeleteParams::default()).await.unwrap();
    world.gone("all").await;
    assert!(slices(&world).await.is_empty());
}

#[tokio::test]
async fn fifty_thousand_events_are_stored_read_changed_and_erased() {
    let cluster = Cluster::new().await;
    let store = cluster.store.clone().with_grace(Duration::ZERO);
    let target = cluster.target();
    let many = |title: &str| {
        snapshot(
            (0..50_000)
                .map(|number| stored_event(&format!("evt_{number:05}"), if number == 25_000 { title } else { "x" })),
        )
    };
    let first = many("x");
    let committed = store.commit(&target, None, &first).await.unwrap();
    let reader =
        calendar_reader::Reader::new(cluster.admin.clone(), cluster.namespace.name(), target.name(), Kind::ConfigMap);
    let calendar = reader.read().await.unwrap();
    assert!(calendar.events.iter().eq(first.events.values()));
    assert_eq!((calendar.slices, calendar.bytes), (committed.output.slices, committed.output.bytes));

    let changed = many("another");
    let committed = store.commit(&target, Some(&committed.version), &changed).await.unwrap();
    assert!(committed.slices.len() <= 2, "{:?}", committed.slices);
    assert_eq!(store.tidy(&target).await.unwrap(), None);
    let calendar = reader.read().await.unwrap();
    assert!(calendar.events.iter().eq(changed.events.values()));
    let left = cluster.config_maps().list(&ListParams::default().labels(OUTPUT)).await.unwrap().items;
    assert_eq!(left.len(), calendar.slices);
    store.erase(&target).await.unwrap();
    let left = cluster.config_maps().list(&ListParams::default().labels(OUTPUT)).await.unwrap().items;
    assert_eq!(left.len(), 0);
}

/// All parts of the usual output, less what differs from write to write: versions, and the index's times.
async fn parts(world: &World) -> Vec<Value> {
    let objects = config_maps(world).await.into_iter();
    let parts =
        objects.filter(|object| object.metadata.name.as_ref().is_some_and(|name| name.starts_with("all-events")));
    let essence = |ConfigMap { metadata, data, immutable, binary_data }: ConfigMap| {
        let events = data.as_ref().and_then(|data| data.get("events.json"));
        json!([metadata.name, metadata.labels, metadata.owner_references, events, immutable, binary_data])
    };
    parts.map(essence).collect()
}

#[tokio::test]
async fn what_others_do_to_slices_and_index_is_put_right_by_itself() {
    let (world, _operator) = copied("meddle", 400).await;
    let api: Api<ConfigMap> = Api::namespaced(world.client.clone(), world.ns());
    let before = read(&world).await;
    let names: Vec<String> = slices(&world).await.into_iter().collect();
    let wanted = parts(&world).await;
    let merge = |name: &str, patch: Value| {
        let (api, name) = (api.clone(), name.to_owned());
        async move { api.patch(&name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap() }
    };
    for what in ["slice disowned", "slice relabelled", "slices deleted and made anew", "index edited", "index deleted"]
    {
        match what {
            "slice disowned" => {
                let patch = json!({ "metadata": { "ownerReferences": null, "labels": { OUTPUT: "x" } } });
                merge(&names[0], patch).await;
            }
            "slice relabelled" => {
                let component = "app.kubernetes.io/component";
                let labels = json!({ component: "events", SUBSCRIPTION_UID: "other" });
                merge(&names[0], json!({ "metadata": { "labels": labels } })).await;
            }
            "slices deleted and made anew" => {
                for (number, name) in names.iter().take(2).enumerate() {
                    let mut forged = api.get(name).await.unwrap();
                    api.delete(name, &DeleteParams::default()).await.unwrap();
                    if number == 0 {
                        continue;
                    }
                    forged.metadata.resource_version = None;
                    forged.metadata.uid = None;
                    forged.data = Some(BTreeMap::from([("events.json".to_owned(), "[]\n".to_owned())]));
                    api.create(&PostParams::default(), &forged).await.unwrap();
                }
            }
            "index edited" => drop(merge("all-events", json!({ "data": { "index.json": "{}" } })).await),
            _ => drop(api.delete("all-events", &DeleteParams::default()).await.unwrap()),
        }
        let mended = || async {
            let found = world.reader("all-events", Kind::ConfigMap).read().await;
            let read = found.is_ok_and(|calendar| calendar.content_hash == before.content_hash);
            (read && parts(&world).await == wanted).then_some(())
        };
        let found = eventually(&format!("{what}: it is put right"), PATIENCE, mended).await;
        assert!(found.is_ok(), "{what}: {:#?}", parts(&world).await);
    }
}

#[tokio::test]
async fn a_narrower_visibility_leaves_no_title_in_any_object_of_the_namespace() {
    let (world, _operator) = copied("narrow", 1_000).await;
    world.sim.rename_event("e00500", "Board meeting, renamed").unwrap();
    old_slice_stays(&world).await;

    world.subscribe("all", json!({ "visibility": "Busy" })).await;
    // Once the status says what is stored, that reconcile is over.
    let stored = || async {
        let calendar = read(&world).await;
        let output = world.subscriptions().get("all").await.unwrap().status.unwrap().output.unwrap();
        (calendar.visibility == Visibility::Busy && output.content_hash == calendar.content_hash).then_some(calendar)
    };
    let calendar = eventually("it is narrower, and the status says so", PATIENCE, stored).await.unwrap();
    assert_eq!(calendar.events.len(), 1_000);
    for object in config_maps(&world).await {
        assert!(!json!(object).to_string().contains("Board meeting"), "{:?}", object.metadata.name);
    }
    assert_eq!(slices(&world).await, listed(&world).await);
}

#[tokio::test]
async fn an_operator_that_starts_removes_what_the_one_before_left() {
    let (world, operator) = copied("restart", 1_000).await;
    operator.kill();
    let before = slices(&world).await;
    world.subscribe("all", json!({ "visibility": "Busy" })).await;
    // As after a crash between index and removal: one that may not delete writes the narrower calendar.
    let cluster = Cluster::within(&world, &["get", "list", "create", "update"]).await;
    let uid = world.subscriptions().get("all").await.unwrap().metadata.uid.unwrap();
    let owner = cronofy_operator::store::Owner { name: "all".to_owned(), uid };
    let target = cronofy_operator::store::Target::new(world.ns(), "all-events", owner).unwrap();
    let head = cluster.head(&target).await.unwrap();
    let calendar_sync::Stored::Present(stored) = head.stored else { panic!("it is there") };
    let events = stored.events.into_iter().map(|(id, event)| (id, Visibility::Busy.of(event))).collect();
    let busy = calendar_sync::Snapshot { visibility: Visibility::Busy, events, ..*stored };
    let error = cluster.commit(&target, head.version.as_ref(), &busy).await.unwrap_err();
    assert_eq!(error.category(), "Forbidden", "{error}");
    assert!(slices(&world).await.is_superset(&before), "nothing is removed yet");

    let _operator = world.operator().await;
    let tidied = || async {
        let (found, listed) = (slices(&world).await, listed(&world).await);
        (found == listed && found.is_disjoint(&before)).then_some(())
    };
    eventually("only what the index lists is left", PATIENCE, tidied).await.unwrap();
}

#[tokio::test]
async fn a_deleted_subscription_leaves_no_slice_and_a_retained_one_all_that_its_index_lists() {
    for (policy, stay) in [("Delete", false), ("Retain", true)] {
        let world = World::start("goes").await;
        fill(&world, 400);
        let operator = world.operator().await;
        world.subscribe("all", json!({ "deletionPolicy": policy })).await;
        world.ready("all").await;
        world.sim.rename_event("e00200", "renamed").unwrap();
        old_slice_stays(&world).await;
        world.subscriptions().delete("all", &DeleteParams::default()).await.unwrap();
        world.gone("all").await;
        if stay {
            assert_eq!(slices(&world).await, listed(&world).await);
            assert_eq!(read(&world).await.events.len(), 400);
            assert!(config_maps(&world).await.iter().all(|object| object.metadata.owner_references.is_none()));
        } else {
            assert!(slices(&world).await.is_empty());
            assert!(world.output("all-events").await.is_none());
        }
        drop(operator);
    }
}
