//! The main job: a subscription becomes a copy that follows the calendar and what its owner asks for.

use crate::support::hook::{self, post_signed};
use crate::support::world::CLIENT_SECRET;
use crate::support::{PATIENCE, World, condition, event, observed, on, pending};
use cronofy_operator::api::CalendarSubscription;
use cronofy_sim::{Endpoint, RequestRecord};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use testenv::eventually;

const REQUESTED_AT: &str = "cronofy-operator.dev/requestedAt";

/// The reads of events so far, each with the time that it asks for changes since; `None` asks for everything.
fn reads(world: &World) -> Vec<Option<Timestamp>> {
    let since = |request: RequestRecord| {
        let value = request.query.into_iter().find(|(key, _)| key == "last_modified").map(|(_, value)| value);
        value.map(|value| value.parse().unwrap())
    };
    let requests = world.sim.requests().into_iter();
    requests.filter(|request| request.endpoint == Endpoint::Events).map(since).collect()
}

#[tokio::test]
async fn a_subscription_becomes_a_copy_that_follows_every_kind_of_change() {
    let world = World::start("follows").await;
    world.sim.settings(|settings| settings.page_size = 3);
    for number in 0..10 {
        world
            .sim
            .put_event(&world.account, event(&format!("event {number}"), number).uid(format!("e{number}")))
            .unwrap();
    }
    let _operator = world.operator().await;
    world.subscribe("all", json!({})).await;
    let ready = world.ready("all").await;
    assert_eq!(world.events("all").await.len(), 10, "all events of all pages");
    assert_eq!(ready.status.unwrap().output.unwrap().events, 10);

    world.sim.put_event(&world.account, event("new", 3).uid("new")).unwrap();
    world.events_until("all", "has the new one", |events| events.len() == 11).await;

    world.sim.rename_event("new", "renamed").unwrap();
    world.events_until("all", "is renamed", |events| events.iter().any(|event| event["summary"] == "renamed")).await;

    let later = on(5, 0);
    world.sim.move_event("e1", later, later + SignedDuration::from_hours(1)).unwrap();
    world
        .events_until("all", "is moved", |events| {
            events.iter().any(|event| event["id"] == "e1" && event["start"] == json!(later))
        })
        .await;

    world.sim.move_event("e2", on(300, 0), on(300, 1)).unwrap();
    world.events_until("all", "is moved out", |events| events.iter().all(|event| event["id"] != "e2")).await;

    world.sim.delete_event("e3").unwrap();
    world.events_until("all", "is deleted", |events| events.iter().all(|event| event["id"] != "e3")).await;

    assert_eq!(world.sim.open_channels(&world.account).len(), 1);
    world.ready("all").await;
}

#[tokio::test]
async fn an_annotation_asks_for_a_full_sync_and_the_status_echoes_it() {
    let world = World::start("asked").await;
    world.sim.put_event(&world.account, event("one", 1)).unwrap();
    let _operator = world.operator().await;
    world.subscribe("all", json!({})).await;
    world.at_rest("all").await;
    world
        .unheard(|sim| {
            sim.put_event(&world.account, event("unheard", 2)).unwrap();
            sim.delete_event("one").unwrap();
        })
        .await;

    for value in ["first", "second"] {
        world.sim.clear_journal();
        world.annotate("all", REQUESTED_AT, value).await;
        let handled = |subscription: &CalendarSubscription| {
            subscription.status.as_ref().and_then(|status| status.last_handled_request.as_deref()) == Some(value)
        };
        world.until("all", "has handled the request", handled).await;
        world.titles("all", &["unheard"]).await;
        world.at_rest("all").await;
        assert_eq!(reads(&world), [None], "one read, of everything");
    }

    // The same value again, and other annotations, ask for nothing: the next read is that of a notification.
    world.sim.clear_journal();
    world.annotate("all", "example.org/note", "mine").await;
    world.annotate("all", REQUESTED_AT, "second").await;
    world.sim.put_event(&world.account, event("heard", 3)).unwrap();
    world.titles("all", &["unheard", "heard"]).await;
    world.at_rest("all").await;
    assert!(reads(&world).iter().all(Option::is_some), "{:?}", reads(&world));
}

#[tokio::test]
async fn while_suspended_nothing_is_read_and_then_it_goes_on_from_where_it_was() {
    let world = World::start("suspend").await;
    let _operator = world.operator().await;
    world.sim.put_event(&world.account, event("before", 1)).unwrap();
    world.subscribe("all", json!({})).await;
    world.at_rest("all").await;
    let channel = world.channel(world.ns(), "all", &world.account).await;

    world.subscribe("all", json!({ "suspend": true })).await;
    let suspended = |subscription: &CalendarSubscription| {
        condition(subscription, "Ready").1 == "Suspended" && observed(subscription)
    };
    world.until("all", "is suspended", suspended).await;
    world.sim.clear_journal();
    world.sim.put_event(&world.account, event("meanwhile", 2)).unwrap();
    world.sim.delete_event("before").unwrap();
    world.sim.settle().await;
    let statuses: Vec<_> = world.sim.deliveries().iter().map(|delivery| delivery.status).collect();
    assert_eq!(statuses, [Some(204), Some(204)], "else Cronofy would close the channel after a day");
    // What asks for a full sync waits, too.
    world.annotate("all", REQUESTED_AT, "meanwhile").await;
    // One more notification, of a time before all that was read.
    let since = hook::minutes_ago(60);
    let answer =
        post_signed(&hook::client(), &channel.callback_url, CLIENT_SECRET, &hook::change(&channel, since)).await;
    assert_eq!(answer.bare(), 204);
    world.until("all", "has noted it", pending).await;
    world.subscribe("all", json!({ "suspend": true, "visibility": "Full" })).await;
    world.until("all", "has looked at the edit", |subscription| suspended(subscription) && pending(subscription)).await;
    assert!(world.sim.requests().is_empty(), "nothing leaves the cluster: {:?}", world.sim.requests());
    world.titles("all", &["before"]).await;

    // Back to the former spec: nothing but what came meanwhile is to be read.
    let patch = json!({ "metadata": { "annotations": { REQUESTED_AT: null } } });
    let merge = kube::api::Patch::Merge(patch);
    world.subscriptions().patch("all", &kube::api::PatchParams::default(), &merge).await.unwrap();
    world.subscribe("all", json!({ "suspend": false })).await;
    world.titles("all", &["meanwhile"]).await;
    world.at_rest("all").await;
    assert_eq!(reads(&world), [Some(since)], "one read, from the earliest time that was told");
    let open = world.sim.open_channels(&world.account);
    assert_eq!(open.iter().map(|open| &open.id).collect::<Vec<_>>(), [&channel.id], "the channel has stayed");
}

#[tokio::test]
async fn with_another_name_for_the_output_the_former_one_goes() {
    let world = World::start("rename").await;
    let _operator = world.operator().await;
    world.sim.put_event(&world.account, event("one", 1)).unwrap();
    for policy in ["Delete", "Retain"] {
        let name = policy.to_lowercase();
        world.subscribe(&name, json!({ "deletionPolicy": policy })).await;
        world.at_rest(&name).await;
        world.titles(&name, &["one"]).await;
        let (former, now) = (format!("{name}-events"), format!("{name}-calendar"));
        world.subscribe(&name, json!({ "deletionPolicy": policy, "store": { "name": now } })).await;
        world.titles_in(world.ns(), &now, &["one"]).await;
        eventually("the former output is gone", PATIENCE, || async {
            world.output(&former).await.is_none().then_some(())
        })
        .await
        .unwrap();
        let named = |subscription: &CalendarSubscription| {
            let output = subscription.status.as_ref().and_then(|status| status.output.as_ref());
            output.is_some_and(|output| output.name == now)
        };
        world.until(&name, "names its output", named).await;
        world.at_rest(&name).await;
    }
    world.sim.put_event(&world.account, event("two", 1)).unwrap();
    for name in ["delete-calendar", "retain-calendar"] {
        world.titles_in(world.ns(), name, &["one", "two"]).await;
    }
}

#[tokio::test]
async fn a_spec_that_is_edited_during_a_read_wins() {
    let world = World::start("edited").await;
    world.sim.settings(|settings| settings.page_size = 1);
    let team = world.sim.add_calendar(&world.account, "Team");
    for (calendar, title) in [(&world.account, "home"), (&team, "team one"), (&team, "team two")] {
        world.sim.put_event(calendar, event(title, 1)).unwrap();
    }
    let _operator = world.operator().await;
    let hold = world.sim.hold(Endpoint::EventsPage, 1);
    world.subscribe("all", json!({ "visibility": "Full" })).await;
    hold.arrived().await;
    // Several edits, one after another, while the first spec is still being acted on.
    world.subscribe("all", json!({ "visibility": "Full", "suspend": true })).await;
    world.subscribe("all", json!({ "visibility": "Busy" })).await;
    world.subscribe("all", json!({ "calendarIds": [team], "store": { "name": "final" } })).await;
    hold.release();

    world.titles_in(world.ns(), "final", &["team one", "team two"]).await;
    world.at_rest("all").await;
    let events = world.events_in(world.ns(), "final").await;
    assert!(events.iter().all(|event| event.get("updated").is_none()), "Titles, the default: {events:#?}");
    eventually("only the last output is left", PATIENCE, || async {
        world.output("all-events").await.is_none().then_some(())
    })
    .await
    .unwrap();
    eventually("only the last channel is left", PATIENCE, || async {
        let open = world.sim.open_channels(&world.account);
        (open.len() == 1 && open[0].filters.calendar_ids.as_deref() == Some(std::slice::from_ref(&team))).then_some(())
    })
    .await
    .unwrap();
    world.sim.put_event(&team, event("team three", 2)).unwrap();
    world.titles_in(world.ns(), "final", &["team one", "team two", "team three"]).await;
}
