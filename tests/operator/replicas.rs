//! Two replicas: both receive, one acts, and either may go at any moment.

use crate::support::operator::Operator;
use crate::support::switch::Switch;
use crate::support::{PATIENCE, World, event};
use cronofy_sim::Endpoint;
use serde_json::json;
use testenv::eventually;

/// Two operators behind one address, as behind a Service.
struct Pair {
    switch: Switch,
    first: Operator,
    second: Operator,
}

async fn pair(world: &World) -> Pair {
    let switch = Switch::start().await;
    let mut options = world.operator_options().await;
    options.webhook_base_url = Some(format!("http://{}", switch.address()));
    let first = Operator::start(&options).await;
    leading(&first).await;
    let second = Operator::start(&options).await;
    switch.to(first.webhook);
    Pair { switch, first, second }
}

async fn leading(operator: &Operator) {
    eventually("the operator leads", PATIENCE, || async { operator.leads().await.then_some(()) }).await.unwrap();
}

#[tokio::test]
async fn notifications_sent_to_either_replica_are_applied_once() {
    let world = World::start("either").await;
    let Pair { switch, first, second } = pair(&world).await;
    world.subscribe("all", json!({})).await;
    world.ready("all").await;
    assert!(!second.leads().await, "one leads, the other waits");

    let mut titles = Vec::new();
    for number in 0..6 {
        switch.to(if number % 2 == 0 { second.webhook } else { first.webhook });
        let title = format!("event {number}");
        world.sim.put_event(&world.account, event(&title, number)).unwrap();
        titles.push(title);
        let wanted: Vec<&str> = titles.iter().map(String::as_str).collect();
        world.titles("all", &wanted).await;
    }
    assert!(second.metric("cronofy_operator_webhook_requests_total{result=\"marked\"}").await >= 3.0);
    assert_eq!(world.sim.open_channels(&world.account).len(), 1);
}

#[tokio::test]
async fn after_sigterm_of_the_leader_the_other_takes_over_and_nothing_is_lost() {
    let world = World::start("term").await;
    let Pair { switch, first, second } = pair(&world).await;
    world.subscribe("all", json!({})).await;
    world.ready("all").await;
    world.sim.put_event(&world.account, event("before", 1)).unwrap();

    switch.to(second.webhook);
    world.sim.put_event(&world.account, event("during", 2)).unwrap();
    assert!(first.terminate().await, "a clean exit");
    world.sim.put_event(&world.account, event("after", 3)).unwrap();
    world.titles("all", &["before", "during", "after"]).await;
    leading(&second).await;
    assert_eq!(world.sim.count(Endpoint::CreateChannel), 1, "no second channel");
    assert_eq!(world.sim.count(Endpoint::CloseChannel), 0, "a stopping pod closes no channel");
}

#[tokio::test]
async fn after_sigkill_of_the_leader_amid_changes_the_other_takes_over_and_nothing_is_lost() {
    let world = World::start("kill").await;
    let Pair { switch, first, second } = pair(&world).await;
    world.subscribe("all", json!({})).await;
    world.ready("all").await;
    let mut titles = Vec::new();
    let mut first = Some(first);
    for number in 0..20 {
        let title = format!("event {number}");
        world.sim.put_event(&world.account, event(&title, number)).unwrap();
        titles.push(title);
        if number == 10 {
            first.take().unwrap().kill();
            switch.to(second.webhook);
        }
        world.sim.settle().await;
    }
    let wanted: Vec<&str> = titles.iter().map(String::as_str).collect();
    world.titles("all", &wanted).await;
    assert_eq!(world.sim.open_channels(&world.account).len(), 1);
    assert_eq!(world.sim.count(Endpoint::CreateChannel), 1, "no second channel");
}

#[tokio::test]
async fn a_leader_that_was_held_still_does_not_act_after_it_lost_the_lease() {
    let world = World::start("paused").await;
    let Pair { switch, first, second } = pair(&world).await;
    world.subscribe("all", json!({})).await;
    world.ready("all").await;
    first.pause();
    switch.to(second.webhook);
    leading(&second).await;
    world.sim.put_event(&world.account, event("new", 1)).unwrap();
    world.titles("all", &["new"]).await;
    first.resume();
    assert!(!first.ends().await, "who lost the lease ends, and says that it is not well");
    world.titles("all", &["new"]).await;
    assert_eq!(world.sim.open_channels(&world.account).len(), 1);
}
