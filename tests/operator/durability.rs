//! Acknowledged means durable: what was answered with 204 is applied whatever dies next, and what could not be written down was
//! not acknowledged. The API server of these tests is their own, since they take it away.

use std::collections::BTreeSet;
use std::time::Duration;

use cronofy_sim::Endpoint;
use futures::future::join_all;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;
use testenv::eventually;

use crate::support::operator::OperatorOptions;
use crate::support::switch::{Switch, switched};
use crate::support::{Operator, OwnPlane, PATIENCE, World, condition, event};

/// How long the sender of a notification waits for an answer here, less than Cronofy does.
const SENDER_WAITS: Duration = Duration::from_secs(4);
/// An API server that starts takes its time on a busy machine.
const LONG: Duration = Duration::from_mins(3);

async fn start(options: &OperatorOptions, switch: &Switch) -> Operator {
    let operator = Operator::start(options).await;
    switch.to(operator.webhook);
    operator
}

async fn healthy(world: &World) {
    world.sim.settings(|settings| settings.delivery_timeout = SENDER_WAITS);
    world.subscribe("all", json!({})).await;
    world.ready("all").await;
    world.sim.settle().await;
}

/// Puts an event into the calendar and waits until Cronofy has told of it. Gives what was answered.
async fn told(world: &World, title: &str) -> Option<u16> {
    let before = world.sim.deliveries().len();
    world.sim.put_event(&world.account, event(title, 1)).unwrap();
    world.sim.settle().await;
    let deliveries = world.sim.deliveries();
    assert_eq!(deliveries.len(), before + 1, "one notification: {deliveries:?}");
    deliveries.last().unwrap().status
}

/// One channel, made once, and never another.
fn one_channel(world: &World) {
    assert_eq!(world.sim.open_channels(&world.account).len(), 1);
    assert_eq!(world.sim.count(Endpoint::CreateChannel), 1, "no second channel");
    assert_eq!(world.sim.count(Endpoint::CloseChannel), 0);
}

/// Whichever way the API server is away, and also to a replica that has read no Secret yet.
#[tokio::test]
async fn what_cannot_be_written_down_is_refused_in_time_and_applied_when_it_is_told_again() {
    let plane = OwnPlane::start().await;
    let world = World::on(*plane, "apiserver-refused").await;
    let (switch, mut options) = switched(&world).await;
    options.arguments = vec!["--leader-election=false".to_owned()]; // a lost lease is another test
    let operator = start(&options, &switch).await;
    healthy(&world).await;
    let refused = async |fault: &str| assert_eq!(told(&world, fault).await, Some(503), "{fault}");

    plane.pause().unwrap();
    refused("paused").await;
    plane.resume().unwrap();
    again(&world, &["paused"]).await;

    plane.stop_apiserver();
    refused("stopped").await;
    plane.start_apiserver().await.unwrap();
    again(&world, &["paused", "stopped"]).await;

    plane.stop_etcd();
    refused("without etcd").await;
    plane.start_etcd().await.unwrap();
    again(&world, &["paused", "stopped", "without etcd"]).await;

    let fresh = start(&options, &switch).await;
    plane.pause().unwrap();
    refused("to a fresh replica").await;
    plane.resume().unwrap();
    drop(fresh);
    switch.to(operator.webhook);
    again(&world, &["paused", "stopped", "without etcd", "to a fresh replica"]).await;
    one_channel(&world);
}

/// Cronofy tells again what was refused: that is taken, and the copy follows.
async fn again(world: &World, titles: &[&str]) {
    let wanted: BTreeSet<&str> = titles.iter().copied().collect();
    let follows = eventually("the copy follows what is told again", LONG, async || {
        // To the next try. On a busy machine it has come by itself, while a server was being started.
        world.sim.advance(Duration::from_secs(20)).await;
        let events = world.events("all").await;
        let found: BTreeSet<&str> = events.iter().filter_map(|event| event["summary"].as_str()).collect();
        (found == wanted && events.len() == wanted.len()).then_some(())
    });
    if let Err(error) = follows.await {
        panic!("{error}: {titles:?}, {:?}", world.sim.deliveries());
    }
    world.sim.settle().await;
    assert_eq!(world.sim.deliveries().last().unwrap().status, Some(204));
    world.ready("all").await;
}

#[tokio::test]
async fn a_receiver_that_is_killed_right_after_its_204_has_lost_nothing() {
    let world = World::start("killed").await;
    let (switch, options) = switched(&world).await;
    let operator = start(&options, &switch).await;
    healthy(&world).await;
    // It may begin to act on the notification, but does not get to the end.
    let hold = world.sim.hold(Endpoint::Events, usize::MAX);
    assert_eq!(told(&world, "new").await, Some(204));
    operator.kill();
    hold.release();
    assert_eq!(world.events("all").await.len(), 0, "nothing was applied");
    let deliveries = world.sim.deliveries().len();

    let _operator = start(&options, &switch).await;
    world.titles("all", &["new"]).await;
    world.ready("all").await;
    assert_eq!(world.sim.deliveries().len(), deliveries, "nobody told it again");
    one_channel(&world);
}

/// The receiver does not even lead: all that is left of the notification is its mark.
#[tokio::test]
async fn a_standby_that_is_killed_right_after_its_204_has_lost_nothing() {
    let world = World::start("standby").await;
    let (switch, options) = switched(&world).await;
    let first = start(&options, &switch).await;
    healthy(&world).await;
    assert!(first.terminate().await);
    let leases: Api<Lease> = Api::namespaced(world.client.clone(), world.ns());
    let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string();
    let elsewhere =
        json!({ "spec": { "holderIdentity": "elsewhere", "leaseDurationSeconds": 3600, "renewTime": now } });
    leases.patch("cronofy-operator", &PatchParams::default(), &Patch::Merge(elsewhere)).await.unwrap();

    let standby = start(&options, &switch).await;
    let asked = world.sim.requests().len();
    assert_eq!(told(&world, "new").await, Some(204));
    assert!(!standby.leads().await);
    standby.kill();
    assert_eq!(world.sim.requests().len(), asked, "a standby reads no calendar");
    let deliveries = world.sim.deliveries().len();

    leases.delete("cronofy-operator", &DeleteParams::default()).await.unwrap();
    let _operator = start(&options, &switch).await;
    world.titles("all", &["new"]).await;
    world.ready("all").await;
    assert_eq!(world.sim.deliveries().len(), deliveries, "nobody told it again");
    one_channel(&world);
}

#[tokio::test]
async fn an_operator_survives_an_api_server_that_restarts_and_one_that_stays_away() {
    let plane = OwnPlane::start().await;
    let world = World::on(*plane, "apiserver-away").await;
    let (switch, mut options) = switched(&world).await;
    options.arguments = vec!["--leader-election=false".to_owned()];
    let operator = start(&options, &switch).await;
    healthy(&world).await;

    plane.restart().await.unwrap();
    world.sim.put_event(&world.account, event("restarted", 1)).unwrap();
    again(&world, &["restarted"]).await;

    let errors = async || {
        let watches = ["subscriptions", "applications", "config_maps"];
        let name = |watch| format!("cronofy_operator_watch_errors_total{{watch=\"{watch}\"}}");
        join_all(watches.map(async |watch| operator.metric(&name(watch)).await)).await
    };
    let before = errors().await;
    plane.stop_apiserver();
    let noticed = eventually("each watch has failed", PATIENCE, async || {
        errors().await.iter().zip(&before).all(|(now, before)| now > before).then_some(())
    });
    noticed.await.unwrap();
    world.sim.put_event(&world.account, event("missed", 2)).unwrap();
    world.sim.settle().await;
    plane.start_apiserver().await.unwrap();
    again(&world, &["restarted", "missed"]).await;
    one_channel(&world);

    // Its watches are back as well.
    world.subscribe("more", json!({})).await;
    world.ready("more").await;
}

/// What a watch does not tell, since it was cut off for too long.
#[tokio::test]
async fn an_application_that_was_deleted_while_nobody_watched_is_not_used_any_more() {
    let plane = OwnPlane::start().await;
    let world = World::on(*plane, "apiserver-unwatched").await;
    let proxy = plane.proxy().unwrap();
    let mut options = world.operator_options().await;
    let access = plane.service_account_access(world.ns(), "operator").await.unwrap().through(&proxy);
    options.kubeconfig = world.write_kubeconfig(&access);
    options.arguments = vec!["--leader-election=false".to_owned()];
    let _operator = Operator::start(&options).await;
    healthy(&world).await;

    proxy.cut();
    world.delete_application("app").await;
    plane.restart().await.unwrap(); // its watch history is gone: a watch begins anew with a list
    proxy.resume();
    world.until("all", "has lost its application", |found| condition(found, "Ready").1 == "ApplicationNotFound").await;
    world.apply_application("app", "app").await;
    world.ready("all").await;
    one_channel(&world);
}

/// A pod that loses its lease ends, and is started again.
#[tokio::test]
async fn an_operator_that_cannot_renew_its_lease_ends_and_the_next_one_goes_on() {
    let plane = OwnPlane::start().await;
    let world = World::on(*plane, "apiserver-lease").await;
    let (switch, options) = switched(&world).await;
    let operator = start(&options, &switch).await;
    healthy(&world).await;
    plane.stop_apiserver();
    assert_ne!(told(&world, "missed").await, Some(204));
    assert!(!operator.ends().await, "it does not end as if all were well");
    plane.start_apiserver().await.unwrap();
    let _operator = start(&options, &switch).await;
    again(&world, &["missed"]).await;
    one_channel(&world);
}
