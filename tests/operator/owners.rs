//! What an account's owner and its calendar services do: disconnect, connect again, come in for the first time, demand erasure.

use std::fmt::Write as _;

use crate::support::{Operator, PATIENCE, World, condition, event, observed};
use cronofy_operator::api::CalendarSubscription;
use cronofy_sim::{AccountDraft, Endpoint};
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::{ListParams, ObjectMeta, PostParams};
use serde_json::json;
use testenv::eventually;

const REQUESTED_AT: &str = "cronofy-operator.dev/requestedAt";

async fn told(world: &World, reason: &str) -> CalendarSubscription {
    let says = |subscription: &CalendarSubscription| {
        condition(subscription, "Ready").1 == reason && condition(subscription, "Synced").1 == reason
    };
    world.until("all", reason, says).await
}

/// Everything that the operator tells anybody but in the field that is meant for the relink URL.
async fn told_elsewhere(world: &World, operator: &Operator) -> String {
    let mut object = json!(world.subscriptions().get("all").await.unwrap());
    for profile in object["status"]["account"]["profiles"].as_array_mut().unwrap() {
        profile.as_object_mut().unwrap().remove("relinkURL");
    }
    object["metadata"]["managedFields"].take();
    let mut text = object.to_string();
    let events: Api<Event> = Api::namespaced(world.client.clone(), world.ns());
    for event in events.list(&ListParams::default()).await.unwrap() {
        write!(text, "{}", json!(event)).unwrap();
    }
    text + &operator.log().join("\n") + &operator.metrics().await
}

#[tokio::test]
async fn a_disconnected_profile_is_told_with_the_way_to_connect_it_again() {
    let world = World::start("profile").await;
    let operator = world.operator().await;
    world.sim.put_event(&world.account, event("before", 1)).unwrap();
    world.subscribe("all", json!({})).await;
    world.ready("all").await;
    world.sim.settle().await;

    world.sim.connect_profile(&world.account, false);
    let object = told(&world, "ProfileDisconnected").await;
    let message = condition(&object, "Synced").2;
    assert!(message.contains("relinkURL in status.account.profiles"), "{message}");
    let profile = object.status.unwrap().account.unwrap().profiles.remove(0);
    assert!(!profile.connected);
    let url = profile.relink_url.expect("where the owner connects it again");
    assert!(url.contains("owner@example.org"), "this one names the owner: {url}");
    let is_told = || async {
        let events: Api<Event> = Api::namespaced(world.client.clone(), world.ns());
        let events = events.list(&ListParams::default()).await.unwrap();
        events.items.iter().any(|event| event.reason.as_deref() == Some("ProfileDisconnected")).then_some(())
    };
    eventually("an Event tells of it", PATIENCE, is_told).await.unwrap();
    let elsewhere = told_elsewhere(&world, &operator).await;
    assert!(!elsewhere.contains("owner@") && !elsewhere.contains(&url), "the URL and the address stand there only");
    world.titles("all", &["before"]).await;

    // That it is connected again is not told: the next change is.
    world.sim.connect_profile(&world.account, true);
    world.sim.put_event(&world.account, event("after", 2)).unwrap();
    let object = world.ready("all").await;
    world.titles("all", &["before", "after"]).await;
    let profile = object.status.unwrap().account.unwrap().profiles.remove(0);
    assert!(profile.connected && profile.relink_url.is_none(), "the old URL is of no use any more");
}

#[tokio::test]
async fn a_copy_is_not_called_complete_while_cronofy_still_reads_the_calendar_for_the_first_time() {
    let world = World::start("initial").await;
    world.sim.initial_sync(&world.account, true);
    world.sim.put_event(&world.account, event("already there", 1)).unwrap();
    let _operator = world.operator().await;
    world.subscribe("all", json!({})).await;
    told(&world, "InitialSyncPending").await;
    world.titles("all", &["already there"]).await;
    world.sim.settle().await;

    // What comes in during the first read is not told one by one, and something goes.
    world
        .unheard(|sim| {
            sim.put_event(&world.account, event("came in", 2)).unwrap();
            sim.delete_event("already there").unwrap();
        })
        .await;
    world.sim.clear_journal();
    world.sim.initial_sync(&world.account, false);
    let object = world.ready("all").await;
    world.titles("all", &["came in"]).await;
    assert_eq!(object.status.unwrap().account.unwrap().profiles[0].initial_sync_required, Some(false));
    let requests = world.sim.requests();
    let reads: Vec<_> = requests.iter().filter(|request| request.endpoint == Endpoint::Events).collect();
    assert_eq!(reads.len(), 1);
    assert!(reads[0].query.iter().all(|(key, _)| key != "last_modified"), "everything is read once more");
}

/// Waits until the events are erased, the channel is closed and nothing goes on by itself.
async fn erased(world: &World) -> CalendarSubscription {
    told(world, "Erased").await;
    let rests = |subscription: &CalendarSubscription| condition(subscription, "Stalled").0 == "True";
    let object = world.until("all", "rests", rests).await;
    eventually("the events are gone and the channel is closed", PATIENCE, || async {
        let gone = world.output("all-events").await.is_none() && world.sim.open_channels(&world.account).is_empty();
        gone.then_some(())
    })
    .await
    .unwrap();
    object
}

#[tokio::test]
async fn what_the_owner_demands_to_be_erased_is_erased_and_stays_so_until_a_person_asks_anew() {
    let world = World::start("erase").await;
    let operator = world.operator().await;
    // Somebody else's copy of the same calendar service, and another account.
    let other = world.sim.add_account(AccountDraft::default());
    let token = world.sim.issue_refresh_token(&other, crate::support::world::CLIENT_ID);
    world.secret("other", &[("refresh_token", &token)]).await;
    world.subscribe("other", json!({ "account": { "secretRef": { "name": "other" } } })).await;
    world.sim.put_event(&other, event("of another", 1)).unwrap();
    world.sim.put_event(&world.account, event("private", 1)).unwrap();
    world.subscribe("all", json!({})).await;
    world.annotate("all", REQUESTED_AT, "before").await;
    world.ready("all").await;
    world.titles("all", &["private"]).await;
    world.titles("other", &["of another"]).await;
    world.sim.settle().await;

    // An output that was left behind under another name is no place to survive in.
    let maps: Api<ConfigMap> = Api::namespaced(world.client.clone(), world.ns());
    let output = maps.get("all-events").await.unwrap();
    let metadata =
        ObjectMeta { name: Some("former".to_owned()), labels: output.metadata.labels, ..ObjectMeta::default() };
    maps.create(&PostParams::default(), &ConfigMap { metadata, data: output.data, ..ConfigMap::default() })
        .await
        .unwrap();

    // Among changes: a demand is not coalesced away.
    world.sim.put_event(&world.account, event("more", 2)).unwrap();
    world.sim.request_gdpr(&world.account);
    world.sim.rename_event("more", "and more").unwrap();
    let object = erased(&world).await;
    assert!(world.output("former").await.is_none());
    let message = condition(&object, "Synced").2;
    assert!(message.contains(REQUESTED_AT), "the way back: {message}");
    let status = object.status.unwrap();
    assert!(status.account.is_none() && status.output.is_none());
    assert!(status.sync.unwrap().erased_time.is_some());

    // Neither changes, nor an edit, nor another process begin it anew.
    assert!(operator.terminate().await);
    world.sim.settle().await;
    world.sim.clear_journal();
    let _operator = world.operator().await;
    world.sim.put_event(&world.account, event("later", 3)).unwrap();
    world.subscribe("all", json!({ "visibility": "Full" })).await;
    world.until("all", "has looked at the edit", observed).await;
    erased(&world).await;
    world.sim.put_event(&other, event("more of another", 2)).unwrap();
    world.titles("other", &["of another", "more of another"]).await;
    let requests = world.sim.requests();
    assert!(requests.iter().all(|request| request.account.as_ref() != Some(&world.account)), "{requests:?}");

    // A person asks anew.
    world.annotate("all", REQUESTED_AT, "after").await;
    let object = world.ready("all").await;
    world.titles("all", &["private", "and more", "later"]).await;
    assert_eq!(object.status.unwrap().last_handled_request.as_deref(), Some("after"));
    assert_eq!(world.sim.open_channels(&world.account).len(), 1);
    world.sim.delete_event("private").unwrap();
    world.titles("all", &["and more", "later"]).await;
}
