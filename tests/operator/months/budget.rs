//! The request budget when another replica takes over amid load.

use cronofy_sim::{Endpoint, RequestRecord};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use testenv::eventually;

use crate::support::switch::switched;
use crate::support::{Operator, PATIENCE, World, condition};

const PER_MINUTE: usize = 60;

/// The most requests within any such time.
fn most_within(requests: &[RequestRecord], span: SignedDuration) -> usize {
    let times: Vec<Timestamp> = requests.iter().map(|request| request.time).collect();
    let from = |index: usize| times[index..].iter().take_while(|time| time.duration_since(times[index]) < span).count();
    (0..times.len()).map(from).max().unwrap_or_default()
}

/// The first leader spends the minute's budget at once, as it may, and is killed. The other one does not know how much of it is
/// left; what it knows is that somebody has spent of it.
#[tokio::test]
async fn a_successor_does_not_spend_what_its_predecessor_has_spent() {
    let world = World::start("spent").await;
    world.sim.settings(|settings| settings.rate_limit = None); // what is counted is what the operators hold themselves to
    let spec = json!({ "endpoint": world.sim.api_url(), "credentialsSecretRef": { "name": "app" },
        "limits": { "requestsPerSecond": 50, "requestsPerMinute": PER_MINUTE } });
    world.apply_application_in(world.ns(), "app", spec).await;
    let (switch, options) = switched(&world).await;
    let first = Operator::start(&options).await;
    switch.to(first.webhook);
    eventually("the first leads", PATIENCE, async || first.leads().await.then_some(())).await.unwrap();
    let second = Operator::start(&options).await;
    // More than a minute's work.
    for number in 0..40 {
        world.subscribe(&format!("room-{number}"), json!({})).await;
    }
    let spent = || std::future::ready((world.sim.requests().len() >= PER_MINUTE).then_some(()));
    eventually("the budget is spent", PATIENCE, spent).await.unwrap();
    first.kill();
    switch.to(second.webhook);
    eventually("the second leads", PATIENCE, async || second.leads().await.then_some(())).await.unwrap();
    let before = world.sim.requests().len();
    let goes_on = || std::future::ready((world.sim.requests().len() >= before + 20).then_some(()));
    eventually("the second goes on", PATIENCE, goes_on).await.unwrap();

    let requests = world.sim.requests();
    assert!(most_within(&requests, SignedDuration::from_mins(1)) < 2 * PER_MINUTE, "never twice the budget");
    // Evenly: whatever one machine holds up, no more than a third of a minute's budget comes in a sixth of a minute.
    let after = most_within(&requests[before..], SignedDuration::from_secs(10));
    assert!(after <= PER_MINUTE / 3, "{after} requests in ten seconds");
    assert!(
        second.metric("cronofy_operator_cronofy_budget_wait_seconds_count{lane=\"new\"}").await >= 20.0,
        "waits are visible"
    );
    let creates = world.sim.count(Endpoint::CreateChannel);
    assert_eq!(world.sim.open_channels(&world.account).len(), creates, "no channel is made twice");
    let ready = world.subscriptions().list(&kube::api::ListParams::default()).await.unwrap();
    assert!(ready.items.iter().any(|found| condition(found, "Ready").0 == "True"));
}
