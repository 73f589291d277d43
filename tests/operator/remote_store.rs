//! Outputs in a calendar store.

use std::collections::BTreeMap;

use cronofy_operator::api::{ABANDON_STORE, CalendarSubscription};
use kube::ResourceExt as _;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};
use testenv::{Proxy, eventually};

use crate::served::Served;
use crate::support::{Operator, PATIENCE, World, condition, event};

/// A calendar store that can be cut off, and an operator whose own it is.
struct Remote {
    served: Served,
    proxy: Proxy,
}

impl Remote {
    async fn start() -> Self {
        let served = Served::sqlite().await;
        let proxy = Proxy::start(served.address()).unwrap();
        Self { served, proxy }
    }

    fn url(&self) -> String {
        format!("http://{}", self.proxy.address())
    }

    /// What a subscription says whose events are in this store.
    fn spec(&self) -> Value {
        json!({ "store": { "type": "Remote", "remote": { "url": self.url() } } })
    }

    /// An operator with this store and these flags.
    async fn operator(&self, world: &World, more: &[&str]) -> Operator {
        let mut options = world.operator_options().await;
        let token = self.served.token_file();
        options.arguments =
            ["--store-token", token.to_str().unwrap()].iter().chain(more).map(ToString::to_string).collect();
        Operator::start(&options).await
    }

    /// Waits until all of these titles are stored, and no other.
    async fn titles(&self, uid: &str, titles: &[&str]) {
        let stored = || async {
            let text = self.served.text(uid).await;
            let count = text.matches("\"summary\"").count();
            let all = titles.iter().all(|title| text.contains(&format!("\"summary\":\"{title}\"")));
            (all && count == titles.len()).then_some(())
        };
        let found = eventually(&format!("{titles:?} are stored"), PATIENCE, stored).await;
        assert!(found.is_ok(), "{titles:?} are not what is stored: {}", self.served.text(uid).await);
    }
}

#[tokio::test]
async fn changes_are_stored_in_a_calendar_store_and_none_is_lost_while_it_is_away() {
    let (world, remote) = (World::start("remote").await, Remote::start().await);
    world.sim.put_event(&world.account, event("Dentist", 1).uid("e1")).unwrap();
    world.sim.put_event(&world.account, event("Board meeting", 2).uid("e2")).unwrap();
    let _operator = remote.operator(&world, &["--store-url", &remote.url()]).await;
    world.subscribe("all", json!({ "store": { "type": "Remote" } })).await;
    let ready = world.ready("all").await;
    let uid = ready.uid().unwrap();
    remote.titles(&uid, &["Dentist", "Board meeting"]).await;
    let output = ready.status.clone().unwrap().output.unwrap();
    let told = (output.kind.as_str(), output.name.as_str(), output.events, output.url.as_deref());
    assert_eq!(told, ("Remote", "all", 2, Some(remote.url().as_str())));
    let says = condition(&ready, "Synced").2;
    assert!(says.starts_with(&format!("2 events in the calendar store at {}, read up to ", remote.url())), "{says}");
    assert!(world.output("all-events").await.is_none());

    world.sim.rename_event("e2", "Board meeting moved").unwrap();
    remote.titles(&uid, &["Dentist", "Board meeting moved"]).await;

    world.at_rest("all").await;
    remote.proxy.cut();
    world.sim.rename_event("e1", "Dentist moved").unwrap();
    world.sim.put_event(&world.account, event("Lunch", 3).uid("e3")).unwrap();
    let message = world.refused("all", "StoreUnavailable").await;
    assert!(message.starts_with(&format!("the calendar store at {}: it cannot be reached", remote.url())), "{message}");
    let waiting = world.subscriptions().get("all").await.unwrap().status.unwrap();
    assert!(waiting.failure.unwrap().next_retry_time.is_some(), "the next try is shown");
    remote.proxy.resume();
    remote.titles(&uid, &["Dentist moved", "Board meeting moved", "Lunch"]).await;
    world.ready("all").await;

    world.subscriptions().delete("all", &DeleteParams::default()).await.unwrap();
    world.gone("all").await;
    assert_eq!(remote.served.text(&uid).await, "");
}

#[tokio::test]
async fn events_move_into_a_calendar_store_and_back_and_are_complete_in_one_of_both() {
    let (world, remote) = (World::start("moves-remote").await, Remote::start().await);
    for number in 0..300 {
        world.sim.put_event(&world.account, event(&format!("event {number}"), number % 180)).unwrap();
    }
    let _operator = remote.operator(&world, &["--allow-remote-store", &remote.url()]).await;
    world.subscribe("all", json!({})).await;
    let uid = world.ready("all").await.uid().unwrap();
    let in_store = || async { remote.served.text(&uid).await.matches("\"put\"").count() };
    let in_cluster = || async { world.events("all").await.len() };
    for (spec, kind) in [
        (json!({ "type": "Remote", "remote": { "url": remote.url() } }), "Remote"),
        (json!({ "type": "ConfigMap" }), "ConfigMap"),
    ] {
        world.subscribe("all", json!({ "store": spec })).await;
        let moved = || async {
            // The new one first goes in, then the old one out: whoever looks at the old and then at the new finds one of them.
            let (old, new) = match kind {
                "Remote" => (in_cluster().await, in_store().await),
                _ => (in_store().await, in_cluster().await),
            };
            assert!(old == 300 || new == 300, "to {kind}: {old} in the old one, {new} in the new one");
            (old == 0 && new == 300).then_some(())
        };
        eventually(&format!("moved to {kind}"), PATIENCE, moved).await.unwrap();
        let is_told = |subscription: &CalendarSubscription| {
            let output = subscription.status.as_ref().and_then(|status| status.output.as_ref());
            condition(subscription, "Ready").0 == "True" && output.is_some_and(|output| output.kind == kind)
        };
        world.until("all", "says where the events are", is_told).await;
    }
}

#[tokio::test]
async fn a_deletion_waits_for_a_store_that_is_away_and_says_so_and_with_retain_the_events_stay() {
    let (world, remote) = (World::start("delete-remote").await, Remote::start().await);
    world.sim.put_event(&world.account, event("Dentist", 1)).unwrap();
    let _operator = remote.operator(&world, &["--store-url", &remote.url()]).await;
    for (policy, left) in [("Delete", false), ("Retain", true)] {
        world.subscribe("all", json!({ "store": { "type": "Remote" }, "deletionPolicy": policy })).await;
        let uid = world.ready("all").await.uid().unwrap();
        world.at_rest("all").await;
        remote.proxy.cut();
        world.subscriptions().delete("all", &DeleteParams::default()).await.unwrap();
        world
            .until("all", "says what the deletion waits for", |subscription| {
                condition(subscription, "Ready").2.contains("it cannot be reached")
            })
            .await;
        remote.proxy.resume();
        world.gone("all").await;
        assert_eq!(remote.served.text(&uid).await.contains("Dentist"), left, "{policy}");
    }
    // The next of that name takes the place of what was retained.
    world.subscribe("all", json!({ "store": { "type": "Remote" } })).await;
    let uid = world.ready("all").await.uid().unwrap();
    remote.titles(&uid, &["Dentist"]).await;
}

#[tokio::test]
async fn a_store_that_nobody_allowed_is_not_called() {
    let (world, remote) = (World::start("not-allowed").await, Remote::start().await);
    world.sim.put_event(&world.account, event("Dentist", 1)).unwrap();
    let operator = remote.operator(&world, &[]).await;
    let spec = remote.spec();
    world.subscribe("all", spec.clone()).await;
    let message = world.refused("all", "NotSupported").await;
    assert!(message.contains("spec.store.remote.url") && message.contains("--allow-remote-store"), "{message}");
    world.subscribe("all", json!({ "store": { "type": "Remote" } })).await;
    let of_none =
        |subscription: &CalendarSubscription| condition(subscription, "Stalled").2.contains("runs without --store-url");
    world.until("all", "says what to set", of_none).await;
    assert!(operator.terminate().await);
    assert_eq!(remote.proxy.accepted(), 0);

    // Once it was allowed, and is not any more, what stands there cannot be removed: that is said until it is allowed.
    let operator = remote.operator(&world, &["--allow-remote-store", &remote.url()]).await;
    world.subscribe("all", spec).await;
    let uid = world.ready("all").await.uid().unwrap();
    assert!(operator.terminate().await);
    let operator = remote.operator(&world, &[]).await;
    world.subscribe("all", json!({ "store": { "type": "ConfigMap" } })).await;
    world.titles("all", &["Dentist"]).await;
    world.until("all", "says what is left", |subscription| left_at(subscription, &remote)).await;
    assert!(remote.served.text(&uid).await.contains("Dentist"));
    assert!(operator.terminate().await);
    let _operator = remote.operator(&world, &["--allow-remote-store", &remote.url()]).await;
    world.until("all", "has nothing elsewhere", has_nothing_elsewhere).await;
    assert_eq!(remote.served.text(&uid).await, "");
}

#[tokio::test]
async fn events_move_from_one_calendar_store_to_another() {
    let (world, one, other) = (World::start("two-stores").await, Remote::start().await, Remote::start().await);
    world.sim.put_event(&world.account, event("Dentist", 1)).unwrap();
    let urls = [one.url(), other.url()].join(",");
    // Both stores of a test take the same token.
    let _operator = one.operator(&world, &["--allow-remote-store", &urls]).await;
    world.subscribe("all", one.spec()).await;
    let uid = world.ready("all").await.uid().unwrap();
    one.titles(&uid, &["Dentist"]).await;
    world.at_rest("all").await;

    // The new copy is made, and kept current, although the old one is out of reach; that it is, the condition says.
    one.proxy.cut();
    world.subscribe("all", other.spec()).await;
    other.titles(&uid, &["Dentist"]).await;
    world.until("all", "says what is left", |subscription| left_at(subscription, &one)).await;
    world.sim.put_event(&world.account, event("Lunch", 2)).unwrap();
    other.titles(&uid, &["Dentist", "Lunch"]).await;
    one.proxy.resume();
    // Looked at again after some minutes, or when the spec changes.
    let spec = |past_days| json!({ "store": { "type": "Remote", "remote": { "url": other.url() } }, "window": { "pastDays": past_days } });
    world.subscribe("all", spec(40)).await;
    let ready = world.until("all", "has nothing elsewhere", has_nothing_elsewhere).await;
    assert_eq!(ready.status.unwrap().output.unwrap().url, Some(other.url()));
    assert_eq!(one.served.text(&uid).await, "");
}

/// Says that events may still stand in this store, and is well otherwise.
fn left_at(subscription: &CalendarSubscription, remote: &Remote) -> bool {
    let says = condition(subscription, "Synced").2;
    condition(subscription, "Ready").0 == "True"
        && subscription.status.as_ref().is_some_and(|status| status.other_stores == [remote.url()])
        && says.contains(&format!("events may still stand in the calendar store at {}", remote.url()))
        && says.contains("cronofy-operator.dev/abandonStore")
}

fn has_nothing_elsewhere(subscription: &CalendarSubscription) -> bool {
    let none = subscription.status.as_ref().is_some_and(|status| status.other_stores.is_empty());
    none && condition(subscription, "Ready").0 == "True" && !condition(subscription, "Synced").2.contains("still stand")
}

#[tokio::test]
async fn a_store_that_is_gone_for_good_is_given_up_by_an_annotation() {
    let (world, one, other) = (World::start("given-up").await, Remote::start().await, Remote::start().await);
    world.sim.put_event(&world.account, event("Dentist", 1)).unwrap();
    let urls = [one.url(), other.url()].join(",");
    let _operator = one.operator(&world, &["--allow-remote-store", &urls]).await;
    world.subscribe("all", one.spec()).await;
    let uid = world.ready("all").await.uid().unwrap();
    world.at_rest("all").await;
    one.proxy.cut();
    world.subscribe("all", other.spec()).await;
    world.until("all", "says what is left", |subscription| left_at(subscription, &one)).await;

    // Another store's URL gives up nothing of this one.
    world.annotate("all", ABANDON_STORE, "https://store.calendars.svc").await;
    world.sim.put_event(&world.account, event("Lunch", 2)).unwrap();
    other.titles(&uid, &["Dentist", "Lunch"]).await;
    world.until("all", "still says what is left", |subscription| left_at(subscription, &one)).await;
    world.annotate("all", ABANDON_STORE, &format!("https://store.calendars.svc, {}/", one.url())).await;
    world.until("all", "has nothing elsewhere", has_nothing_elsewhere).await;
    let told = || async {
        let told = world.event_reasons().await;
        let is_single = |reason: &str| told.iter().filter(|told| *told == reason).count() == 1;
        ["EventsLeftElsewhere", "EventsLeftBehind"].into_iter().all(is_single).then_some(())
    };
    eventually("both are told once", PATIENCE, told).await.unwrap();

    // The same where a deletion waits for it.
    world.at_rest("all").await;
    other.proxy.cut();
    world.subscriptions().delete("all", &DeleteParams::default()).await.unwrap();
    world.until("all", "waits", |subscription| condition(subscription, "Ready").2.contains("cannot be reached")).await;
    world.annotate("all", ABANDON_STORE, &other.url()).await;
    world.gone("all").await;
    assert_eq!(world.sim.open_channels(&world.account).len(), 0);
    for (remote, title) in [(&one, "Dentist"), (&other, "Lunch")] {
        assert!(remote.served.text(&uid).await.contains(title), "nothing was removed");
    }
}

/// It dies between the commit and the status that tells of it, and then the spec wants the events elsewhere.
#[tokio::test]
async fn a_store_is_noted_before_it_has_events() {
    let (world, one, other) = (World::start("noted").await, Remote::start().await, Remote::start().await);
    world.sim.put_event(&world.account, event("Dentist", 1)).unwrap();
    let urls = [one.url(), other.url()].join(",");
    let operator = one.operator(&world, &["--allow-remote-store", &urls]).await;
    one.served.lose_commits(true);
    let uid = world.subscribe("all", one.spec()).await.uid().unwrap();
    one.titles(&uid, &["Dentist"]).await;
    operator.kill();
    let status = world.subscriptions().get("all").await.unwrap().status.unwrap();
    assert_eq!((status.output, status.other_stores), (None, vec![one.url()]));
    world.subscribe("all", other.spec()).await;
    let _operator = one.operator(&world, &["--allow-remote-store", &urls]).await;
    other.titles(&uid, &["Dentist"]).await;
    world.until("all", "has nothing elsewhere", has_nothing_elsewhere).await;
    assert_eq!(one.served.text(&uid).await, "");
}

#[tokio::test]
async fn what_belongs_to_no_subscription_any_more_is_removed() {
    let (world, remote) = (World::start("orphans").await, Remote::start().await);
    world.sim.put_event(&world.account, event("Dentist", 1)).unwrap();
    let allowed = ["--allow-remote-store", &remote.url()];
    let operator = remote.operator(&world, &allowed).await;
    let mut uids = BTreeMap::new();
    for (name, policy) in [("stays", "Delete"), ("replaced", "Delete"), ("gone", "Delete"), ("kept", "Retain")] {
        let mut spec = remote.spec();
        spec["deletionPolicy"] = policy.into();
        world.subscribe(name, spec).await;
        uids.insert(name, world.ready(name).await.uid().unwrap());
    }
    assert!(operator.terminate().await);
    // As of a namespace that nobody works for here.
    remote.served.store_copy(&uids["gone"], "0-of-others", "elsewhere", "gone").await;

    for name in ["replaced", "gone", "kept"] {
        world.subscriptions().delete(name, &DeleteParams::default()).await.unwrap();
        let unhold = json!({ "metadata": { "finalizers": null } });
        world.subscriptions().patch(name, &PatchParams::default(), &Patch::Merge(unhold)).await.unwrap();
        world.gone(name).await;
    }
    world.subscribe("replaced", remote.spec()).await;
    let _operator = remote.operator(&world, &allowed).await;
    // The name is free again for the next one of it.
    let uid = world.ready("replaced").await.uid().unwrap();
    remote.titles(&uid, &["Dentist"]).await;
    for gone in ["replaced", "gone"] {
        remote.titles(&uids[gone], &[]).await;
    }
    for there in [uids["stays"].as_str(), &uids["kept"], "0-of-others"] {
        remote.titles(there, &["Dentist"]).await;
    }
}

#[tokio::test]
async fn a_deletion_that_may_not_call_the_store_any_more_says_what_to_allow() {
    let (world, remote) = (World::start("delete-not-allowed").await, Remote::start().await);
    world.sim.put_event(&world.account, event("Dentist", 1)).unwrap();
    let operator = remote.operator(&world, &["--allow-remote-store", &remote.url()]).await;
    world.subscribe("all", remote.spec()).await;
    let uid = world.ready("all").await.uid().unwrap();
    assert!(operator.terminate().await);
    let operator = remote.operator(&world, &[]).await;
    world.subscriptions().delete("all", &DeleteParams::default()).await.unwrap();
    let message = world.refused("all", "OutputNotRemoved").await;
    assert!(message.contains(&format!("--allow-remote-store {}", remote.url())), "{message}");
    assert!(remote.served.text(&uid).await.contains("Dentist"));
    assert!(operator.terminate().await);
    let _operator = remote.operator(&world, &["--allow-remote-store", &remote.url()]).await;
    world.gone("all").await;
    assert_eq!(remote.served.text(&uid).await, "");
    assert_eq!(world.sim.open_channels(&world.account).len(), 0);
}

#[tokio::test]
async fn a_store_that_is_reached_by_another_url_keeps_its_events() {
    let (world, remote) = (World::start("other-url").await, Remote::start().await);
    let other = Proxy::start(remote.served.address()).unwrap();
    let other_url = format!("http://{}", other.address());
    world.sim.put_event(&world.account, event("Dentist", 1).uid("e1")).unwrap();
    let allowed = ["--allow-remote-store", &remote.url(), "--allow-remote-store", &other_url];
    let _operator = remote.operator(&world, &allowed).await;
    world.subscribe("all", remote.spec()).await;
    let uid = world.ready("all").await.uid().unwrap();
    remote.titles(&uid, &["Dentist"]).await;
    remote.served.take_requests();
    world.subscribe("all", json!({ "store": { "type": "Remote", "remote": { "url": other_url } } })).await;
    world
        .until("all", "says by which URL", |subscription| {
            let output = subscription.status.as_ref().and_then(|status| status.output.as_ref());
            output.is_some_and(|output| output.url.as_deref() == Some(&other_url))
        })
        .await;
    world.sim.rename_event("e1", "Dentist moved").unwrap();
    remote.titles(&uid, &["Dentist moved"]).await;
    let requests = remote.served.take_requests();
    assert!(!requests.iter().any(|request| request.starts_with("DELETE")), "{requests:?}");
}
