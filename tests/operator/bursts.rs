//! Many notifications, and notifications at the worst moment: none is lost, and a crowd costs little more than one.

use futures::stream::{self, StreamExt as _};

use crate::support::hook::{self, post_signed};
use crate::support::switch::Switch;
use crate::support::world::CLIENT_SECRET;
use crate::support::{Operator, PATIENCE, World, event, pending};
use cronofy_sim::{Channel, Endpoint};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use testenv::eventually;

/// Notifications of a burst.
const BURST: usize = 1_000;
/// Of which so many are on their way at a time.
const AT_A_TIME: usize = 250;

/// Waits until the subscription rests; gives its channel.
async fn at_rest(world: &World) -> Channel {
    world.at_rest("all").await;
    world.channel(world.ns(), "all", &world.account).await
}

#[tokio::test]
async fn a_notification_that_arrives_while_a_read_is_under_way_is_not_lost() {
    let world = World::start("during").await;
    world.sim.settings(|settings| settings.page_size = 1);
    for title in ["one", "two"] {
        world.sim.put_event(&world.account, event(title, 1)).unwrap();
    }
    let _operator = world.operator().await;
    world.subscribe("all", json!({})).await;
    at_rest(&world).await;

    // What the pages show is settled with the first one; the read is held before its second.
    let hold = world.sim.hold(Endpoint::EventsPage, 1);
    for title in ["one", "two"] {
        world.sim.rename_event(title, &format!("{title} again")).unwrap();
    }
    hold.arrived().await;
    world.sim.settle().await;
    let reads = world.sim.count(Endpoint::Events);
    world.sim.rename_event("one", "one at last").unwrap();
    world.sim.put_event(&world.account, event("three", 2)).unwrap();
    world.sim.settle().await;
    let answers: Vec<_> = world.sim.deliveries().iter().map(|delivery| delivery.status).collect();
    assert!(answers.iter().all(|status| *status == Some(204)), "answered while the read goes on: {answers:?}");
    assert_eq!(world.sim.count(Endpoint::Events), reads, "and the read does go on");
    assert!(pending(&world.subscriptions().get("all").await.unwrap()), "what came meanwhile is noted");
    hold.release();

    world.titles("all", &["one at last", "two again", "three"]).await;
    at_rest(&world).await;
}

/// Sends a burst to these addresses in turn: each notification tells another time, one of them the smallest. Gives that time.
async fn burst(channel: &Channel, urls: &[String]) -> Timestamp {
    let latest = hook::minutes_ago(30);
    let smallest = latest - SignedDuration::from_secs(BURST.try_into().unwrap());
    let client = hook::client();
    let answers = stream::iter(0..BURST)
        .map(|number| {
            // The smallest is neither the first nor the last.
            let back = if number == BURST / 2 { BURST } else { number };
            let since = latest - SignedDuration::from_secs(back.try_into().unwrap());
            let (client, url) = (&client, &urls[number % urls.len()]);
            let body = hook::change(channel, since);
            async move {
                // What could not be noted in time, on a machine that is busy, is told again, as by Cronofy.
                let answered = eventually("a notification is taken", PATIENCE, async || {
                    let status = post_signed(client, url, CLIENT_SECRET, &body).await.bare();
                    (status != 503).then_some(status)
                });
                answered.await.unwrap()
            }
        })
        .buffer_unordered(AT_A_TIME)
        .collect::<Vec<u16>>()
        .await;
    assert_eq!(answers.len(), BURST);
    let others: Vec<_> = answers.iter().filter(|status| **status != 204).collect();
    assert!(others.is_empty(), "{} were not answered with 204: {others:?}", others.len());
    smallest
}

/// The right state after a burst: what changed is there, everything is acted on, and it was read from the smallest time on.
async fn right_state(world: &World, smallest: Timestamp) {
    world.titles("all", &["changed unheard"]).await;
    at_rest(world).await;
    let from = smallest.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let requests = world.sim.requests();
    let read = requests.iter().any(|request| {
        let since = request.query.iter().find(|(key, _)| key == "last_modified").map(|(_, value)| value);
        request.endpoint == Endpoint::Events && since == Some(&from)
    });
    assert!(read, "no read from {from} on, the smallest time that was told");
}

#[tokio::test]
async fn a_thousand_notifications_for_one_subscription_cost_few_writes_and_lose_nothing() {
    let world = World::start("burst").await;
    let _operator = world.operator().await;
    world.subscribe("all", json!({})).await;
    let channel = at_rest(&world).await;
    // The change's own notification does not arrive: only the burst tells of it.
    world.sim.lose_deliveries(1);
    world.sim.put_event(&world.account, event("changed unheard", 1)).unwrap();
    world.sim.settle().await;
    world.sim.clear_journal();

    let before = world.requests_so_far();
    let smallest = burst(&channel, std::slice::from_ref(&channel.callback_url)).await;
    right_state(&world, smallest).await;
    let writes = world.status_writes(before).len();
    assert!((1..50).contains(&writes), "{writes} status writes");
    let reads = world.sim.count(Endpoint::Events);
    assert!(reads < 50, "{reads} reads");
}

#[tokio::test]
async fn a_thousand_notifications_over_two_replicas_cost_few_writes_and_lose_nothing() {
    let world = World::start("bursts").await;
    let switch = Switch::start().await;
    let mut options = world.operator_options().await;
    options.webhook_base_url = Some(format!("http://{}", switch.address()));
    let first = Operator::start(&options).await;
    let second = Operator::start(&options).await;
    switch.to(first.webhook);
    world.subscribe("all", json!({})).await;
    let channel = at_rest(&world).await;
    let path = channel.callback_url.strip_prefix(&format!("http://{}", switch.address())).unwrap();
    let urls = [&first, &second].map(|replica| format!("{}{path}", replica.base()));
    known_to(&channel, &urls).await;
    at_rest(&world).await;
    world.sim.lose_deliveries(1);
    world.sim.put_event(&world.account, event("changed unheard", 1)).unwrap();
    world.sim.settle().await;
    world.sim.clear_journal();

    let before = world.requests_so_far();
    let smallest = burst(&channel, &urls).await;
    right_state(&world, smallest).await;
    let writes = world.status_writes(before);
    let written = writes.filter(|entry| entry.code == 200).len();
    assert!((1..50).contains(&written), "{written} status writes of {} tries", writes.len());
    for replica in [&first, &second] {
        let marked = replica.metric("cronofy_operator_webhook_requests_total{result=\"marked\"}").await;
        #[expect(clippy::cast_precision_loss, reason = "a small count")]
        let half = (BURST / 2) as f64;
        assert!(marked >= half, "each took its half: {marked}");
    }
    assert_eq!(world.sim.open_channels(&world.account).len(), 1);
}

/// Waits until each replica has seen the channel: a watch may lag behind the other's.
async fn known_to(channel: &Channel, urls: &[String]) {
    let client = hook::client();
    let body = hook::change(channel, hook::minutes_ago(1));
    for url in urls {
        eventually("the replica knows the channel", PATIENCE, || async {
            (post_signed(&client, url, CLIENT_SECRET, &body).await.bare() == 204).then_some(())
        })
        .await
        .unwrap();
    }
}
