//! Outputs that others touch: what is ours is put right, what is not is left alone, and what does not fit changes nothing.

use crate::support::{PATIENCE, World, condition, event};
use cronofy_operator::api::CalendarSubscription;
use cronofy_operator::store::LARGEST_EVENTS;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{DeleteParams, ObjectMeta, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use testenv::eventually;

fn outputs(world: &World) -> Api<ConfigMap> {
    Api::namespaced(world.client.clone(), world.ns())
}

/// What others may not change: content, labels, owners.
fn essence(map: ConfigMap) -> Value {
    let events = map.data.as_ref().and_then(|data| data.get("events.json")).cloned();
    let keys: Vec<String> = map.data.into_iter().flatten().map(|(key, _)| key).collect();
    json!({
        "events": events, "keys": keys, "labels": map.metadata.labels, "owners": map.metadata.owner_references,
        "binaryData": map.binary_data, "immutable": map.immutable,
    })
}

/// Waits until an output is again as it was.
async fn repaired(world: &World, name: &str, before: &Value, after: &str) {
    let text = format!("{name} is put right after: {after}");
    let same = || async {
        let map = world.output(name).await?;
        (map.metadata.deletion_timestamp.is_none() && essence(map) == *before).then_some(())
    };
    if let Err(error) = eventually(&text, PATIENCE, same).await {
        panic!("{error}; it is {:#?}", world.output(name).await);
    }
}

#[tokio::test]
async fn what_others_do_to_an_output_is_put_right_at_once() {
    let world = World::start("drift").await;
    world.sim.put_event(&world.account, event("one", 1)).unwrap();
    let _operator = world.operator().await;
    // Each edit has a subscription of its own: two repairs of one follow each other after some seconds only.
    let relabelled = json!({ "metadata": { "labels": { "cronofy-operator.dev/subscription-uid": "other" } } });
    let edits = [
        ("edited", Some(json!({ "data": { "events.json": "[]\n" } }))),
        ("emptied", Some(json!({ "data": null }))),
        ("relabelled", Some(relabelled)),
        ("unlabelled", Some(json!({ "metadata": { "labels": null } }))),
        ("disowned", Some(json!({ "metadata": { "ownerReferences": null } }))),
        ("frozen", Some(json!({ "immutable": true }))),
        ("deleted", None),
    ];
    for (name, _) in &edits {
        for (name, policy) in [(name.to_string(), "Delete"), (format!("{name}-retained"), "Retain")] {
            world.subscribe(&name, json!({ "deletionPolicy": policy })).await;
        }
    }
    let mut before = BTreeMap::new();
    for (name, edit) in &edits {
        for name in [name.to_string(), format!("{name}-retained")] {
            world.ready(&name).await;
            let output = format!("{name}-events");
            let map = world.output(&output).await.unwrap();
            before.insert(name, (output, essence(map), edit));
        }
    }
    // Without an owner reference, the labels alone tell whose a retained output is.
    let ours = |name: &str| !matches!(name, "relabelled-retained" | "unlabelled-retained" | "disowned-retained");
    before.retain(|name, _| ours(name));
    for (output, _, edit) in before.values() {
        match edit {
            Some(edit) => {
                outputs(&world).patch(output, &PatchParams::default(), &Patch::Merge(edit)).await.unwrap();
            }
            None => drop(outputs(&world).delete(output, &DeleteParams::default()).await.unwrap()),
        }
    }
    for (name, (output, essence, _)) in &before {
        repaired(&world, output, essence, name).await;
    }
}

#[tokio::test]
async fn a_config_map_of_somebody_else_is_left_alone_and_named_in_the_condition() {
    let world = World::start("foreign").await;
    let theirs = ConfigMap {
        metadata: ObjectMeta { name: Some("all-events".to_owned()), ..ObjectMeta::default() },
        data: Some(BTreeMap::from([("settings".to_owned(), "theirs".to_owned())])),
        ..ConfigMap::default()
    };
    let theirs = outputs(&world).create(&PostParams::default(), &theirs).await.unwrap();
    world.sim.put_event(&world.account, event("one", 1)).unwrap();
    let _operator = world.operator().await;
    world.subscribe("all", json!({})).await;
    let message = world.refused("all", "Conflict").await;
    assert!(message.contains(&format!("{}/all-events", world.ns())), "{message}");
    assert!(message.contains("spec.store.name"), "the remedy: {message}");
    assert!(world.sim.requests().is_empty(), "nothing is read that cannot be stored");
    assert_eq!(world.output("all-events").await.unwrap(), theirs);

    // Deleting the subscription leaves it alone, too.
    world.subscriptions().delete("all", &DeleteParams::default()).await.unwrap();
    world.gone("all").await;
    assert_eq!(world.output("all-events").await.unwrap(), theirs);

    // The remedies: the name is given up, or another one is taken.
    world.subscribe("all", json!({})).await;
    world.refused("all", "Conflict").await;
    world.subscribe("all", json!({ "store": { "name": "other" } })).await;
    world.ready("all").await;
    world.titles_in(world.ns(), "other", &["one"]).await;
    assert_eq!(world.output("all-events").await.unwrap(), theirs);
}

#[tokio::test]
async fn a_calendar_that_does_not_fit_says_so_and_the_last_copy_stays() {
    let world = World::start("large").await;
    world.sim.put_event(&world.account, event("small", 1)).unwrap();
    let operator = world.operator().await;
    world.subscribe("all", json!({ "visibility": "Full" })).await;
    world.ready("all").await;
    world.sim.settle().await;
    let before = world.output("all-events").await.unwrap();

    // An event that no object has room for, in a page that is read.
    let text = "long ".repeat(LARGEST_EVENTS / 5 + 1);
    world.sim.put_event(&world.account, event("large", 2).more(json!({ "description": text }))).unwrap();
    let message = world.refused("all", "TooLarge").await;
    assert!(message.contains("visibility") && message.contains("the last complete copy stays"), "{message}");
    let status = world.subscriptions().get("all").await.unwrap();
    assert_eq!(condition(&status, "Synced").1, "TooLarge");
    assert!(status.status.unwrap().failure.unwrap().next_retry_time.is_some(), "calendars shrink, too");
    assert_eq!(world.output("all-events").await.unwrap().data, before.data, "content and cursor stay");
    assert!(!operator.log().join("\n").contains("long long"), "no text of an event in the log");

    // With less of each event it fits.
    world.subscribe("all", json!({ "visibility": "Titles" })).await;
    let fits = |subscription: &CalendarSubscription| {
        let output = subscription.status.as_ref().and_then(|status| status.output.as_ref());
        condition(subscription, "Ready").0 == "True" && output.is_some_and(|output| output.events == 2)
    };
    world.until("all", "fits", fits).await;
}
