//! With push, without, and from one to the other.

use cronofy_operator::api::CalendarSubscription;
use cronofy_sim::Endpoint;
use jiff::SignedDuration;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::while_it_changes;
use crate::support::past::let_pass;
use crate::support::{Operator, PATIENCE, World, condition, event, observed};
use testenv::eventually;

/// More than `poll`.
const POLL: SignedDuration = SignedDuration::from_mins(16);

/// Aged: all times by the interval between two reads, the cursor with them. The operator is started anew, which takes from it
/// what it remembers of its last read.
#[tokio::test]
async fn polling_works_with_no_listener_exposed_and_push_says_what_it_lacks() {
    let world = World::start("polled").await;
    let mut options = world.operator_options().await;
    options.webhook = false;
    let operator = Operator::start(&options).await;
    assert!(TcpStream::connect(operator.webhook).await.is_err(), "nobody listens");
    world.sim.put_event(&world.account, event("one", 1)).unwrap();
    world.sim.put_event(&world.account, event("two", 1)).unwrap();
    world.subscribe("pushed", json!({})).await;
    world.subscribe("polled", json!({ "mode": "Poll" })).await;
    let ready = world.ready("polled").await;
    assert_eq!(condition(&ready, "Ready").2, "2 events, read every 15m");
    assert_eq!(condition(&ready, "ChannelActive").1, "PollMode");
    let message = world.refused("pushed", "NoCallbackUrl").await;
    assert_eq!(
        message,
        "spec.mode is Push, but the operator runs without --webhook-base-url: set it to the public URL of the webhook, or use Poll"
    );
    assert_eq!(condition(&world.subscriptions().get("pushed").await.unwrap(), "Stalled").0, "True");

    world.sim.rename_event("one", "renamed").unwrap();
    world.sim.delete_event("two").unwrap();
    world.sim.put_event(&world.account, event("three", 1)).unwrap();
    operator.kill();
    let_pass(&world, "polled", POLL).await;
    let operator = Operator::start(&options).await;
    world.titles("polled", &["renamed", "three"]).await;
    world.ready("polled").await;
    assert!(operator.metric("cronofy_operator_sweeps_total{kind=\"poll\",outcome=\"success\"}").await > 0.0);
    for endpoint in [Endpoint::ListChannels, Endpoint::CreateChannel] {
        assert_eq!(world.sim.count(endpoint), 0, "{endpoint:?}");
    }

    // Whoever is told that push cannot work has a way out.
    world.subscribe("pushed", json!({ "mode": "Poll" })).await;
    world.ready("pushed").await;
    world.titles("pushed", &["renamed", "three"]).await;
}

/// Waits until the mode is acted on: with push there is one channel that Cronofy has reached, without there is none.
async fn acted_on(world: &World, mode: &str) {
    let push = mode == "Push";
    let as_wanted = |found: &CalendarSubscription| {
        let channel = found.status.as_ref().and_then(|status| status.channel.clone()).unwrap_or_default();
        observed(found)
            && channel.next.is_none()
            && channel.id.is_some() == push
            && channel.verified_time.is_some() == push
    };
    world.until("all", mode, as_wanted).await;
    let text = format!("channels in mode {mode}");
    let open = eventually(&text, PATIENCE, async || {
        (world.sim.open_channels(&world.account).len() == usize::from(push)).then_some(())
    });
    if let Err(error) = open.await {
        let status = world.subscriptions().get("all").await.map(|found| json!(found.status));
        panic!("{error}: {:#?} {status:#?} {:#?}", world.sim.open_channels(&world.account), world.sim.requests());
    }
}

fn polls(mode: &str) -> Value {
    json!({ "mode": mode })
}

/// Aged in the end: all times by the interval between two reads, the cursor with them.
#[tokio::test]
async fn whatever_the_mode_is_switched_to_amid_changes_nothing_is_lost() {
    let world = World::start("switched").await;
    let options = world.operator_options().await;
    let operator = Operator::start(&options).await;
    world.subscribe("all", polls("Push")).await;
    world.at_rest("all").await;
    while_it_changes(&world, async {
        for mode in ["Poll", "Push", "Poll", "Push"] {
            world.subscribe("all", polls(mode)).await;
            acted_on(&world, mode).await;
        }
        // One after the other, faster than they are acted on.
        for mode in ["Poll", "Push", "Poll", "Push", "Poll", "Push"] {
            world.subscribe("all", polls(mode)).await;
        }
    })
    .await;
    acted_on(&world, "Push").await;
    world.equals_calendar("all").await;
    world.at_rest("all").await;

    while_it_changes(&world, async {
        world.subscribe("all", polls("Poll")).await;
        acted_on(&world, "Poll").await;
    })
    .await;
    operator.kill();
    let_pass(&world, "all", POLL).await;
    let _operator = Operator::start(&options).await;
    world.equals_calendar("all").await;
    world.ready("all").await;
    assert!(world.sim.open_channels(&world.account).is_empty());
}
