//! Deletion always ends: the channel is closed if anybody can close it, the output goes or stays as wanted.

use crate::support::past::age_field;
use crate::support::{OwnPlane, PATIENCE, World, condition, event};
use cronofy_operator::api::FINALIZER;
use cronofy_sim::Endpoint;
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::DeleteParams;
use serde_json::json;
use testenv::{Options, eventually};

async fn deleted(world: &World, name: &str) {
    world.subscriptions().delete(name, &DeleteParams::default()).await.unwrap();
}

async fn copied(world: &World, spec: serde_json::Value) {
    world.sim.put_event(&world.account, event("one", 1)).unwrap();
    world.subscribe("all", spec).await;
    world.ready("all").await;
    world.titles("all", &["one"]).await;
}

#[tokio::test]
async fn deleting_a_subscription_closes_the_channel_and_removes_the_output() {
    let world = World::start("delete").await;
    let _operator = world.operator().await;
    copied(&world, json!({})).await;
    deleted(&world, "all").await;
    world.gone("all").await;
    assert_eq!(world.sim.open_channels(&world.account).len(), 0);
    assert!(world.output("all-events").await.is_none());
}

/// What holds back the deletion stands before there is anything to close or to remove.
#[tokio::test]
async fn the_finalizer_is_written_before_cronofy_is_asked_for_anything_and_before_there_is_an_output() {
    let world = World::start("finalizer").await;
    let _operator = world.operator().await;
    copied(&world, json!({})).await;
    assert_eq!(world.ready("all").await.metadata.finalizers, Some(vec![FINALIZER.to_owned()]));
    // The first request of this sort that was not refused. Its line in the audit log may come a moment later.
    let first = async |resource: &str, verb: &str| {
        let what = format!("{verb} of {resource} is logged");
        let found = eventually(&what, PATIENCE, || async {
            let log =
                world.plane.audit().unwrap().service_account(world.ns(), "operator").resource(resource).verb(verb);
            log.iter().find(|entry| entry.subresource.is_empty() && entry.code < 300).map(|entry| entry.time)
        });
        found.await.unwrap()
    };
    let held = first("calendarsubscriptions", "patch").await;
    let asked = world.sim.requests().first().expect("Cronofy is asked").time;
    assert!(held < asked, "the finalizer is written at {held}, Cronofy is asked at {asked}");
    let stored = first("configmaps", "create").await;
    assert!(held < stored, "the finalizer is written at {held}, the output at {stored}");
}

#[tokio::test]
async fn with_retain_the_output_stays_and_belongs_to_nobody() {
    let world = World::start("retain").await;
    let _operator = world.operator().await;
    copied(&world, json!({ "deletionPolicy": "Retain" })).await;
    deleted(&world, "all").await;
    world.gone("all").await;
    assert_eq!(world.sim.open_channels(&world.account).len(), 0, "the channel is always closed");
    let output: ConfigMap = world.output("all-events").await.expect("the output stays");
    assert!(output.metadata.owner_references.is_none(), "nothing may collect it");
    world.titles("all", &["one"]).await;
}

#[tokio::test]
async fn while_cronofy_is_away_a_deletion_waits_says_so_and_ends_when_it_is_back() {
    let world = World::start("away").await;
    let _operator = world.operator().await;
    copied(&world, json!({})).await;
    world.sim.down(true);
    deleted(&world, "all").await;
    let waiting = world
        .until("all", "says what it waits for", |subscription| {
            condition(subscription, "Ready").1 == "CronofyUnreachable"
        })
        .await;
    assert!(waiting.status.unwrap().failure.unwrap().next_retry_time.is_some(), "the next try is shown");
    assert!(world.output("all-events").await.is_some(), "the output goes after the channel");
    world.sim.down(false);
    world.gone("all").await;
    assert_eq!(world.sim.open_channels(&world.account).len(), 0);
}

#[tokio::test]
async fn an_annotation_lets_a_person_give_the_channel_up() {
    let world = World::start("abandon").await;
    let _operator = world.operator().await;
    copied(&world, json!({})).await;
    world.sim.down(true);
    deleted(&world, "all").await;
    world.until("all", "waits", |subscription| condition(subscription, "Ready").1 == "CronofyUnreachable").await;
    world.annotate("all", "cronofy-operator.dev/abandonChannel", "true").await;
    world.gone("all").await;
    assert!(world.output("all-events").await.is_none());
    let told = || async { world.event_reasons().await.contains(&"ChannelLeaked".to_owned()).then_some(()) };
    eventually("an Event names what is left behind", PATIENCE, told).await.unwrap();
}

#[tokio::test]
async fn a_deletion_ends_when_nobody_can_close_the_channel_any_more() {
    for cause in ["account Secret", "application Secret", "application", "grant", "channel"] {
        let world = World::start("orphan").await;
        let operator = world.operator().await;
        copied(&world, json!({})).await;
        // A new process has no token at hand.
        operator.kill();
        match cause {
            "account Secret" => world.delete_secret("account").await,
            "application Secret" => world.delete_secret("app").await,
            "application" => world.delete_application("app").await,
            "grant" => world.sim.revoke(&world.account),
            _ => {
                let id = world.sim.open_channels(&world.account)[0].id.clone();
                world.sim.close_channel_by_hand(&id);
            }
        }
        deleted(&world, "all").await;
        let _operator = world.operator().await;
        world.gone("all").await;
        assert!(world.output("all-events").await.is_none(), "{cause}");
        let leaked = world.event_reasons().await.contains(&"ChannelLeaked".to_owned());
        assert_eq!(leaked, cause != "channel", "{cause}");
    }
}

#[tokio::test]
async fn an_application_that_went_first_does_not_leave_the_channel_behind_while_a_token_is_at_hand() {
    let world = World::start("first").await;
    let _operator = world.operator().await;
    copied(&world, json!({})).await;
    world.delete_application("app").await;
    world.refused("all", "ApplicationNotFound").await;
    // Noted in the very second of the deletion, or by a clock that is ahead.
    age_field(&world, "all", "/failure/lastTime", SignedDuration::from_mins(-1)).await;
    deleted(&world, "all").await;
    world.gone("all").await;
    assert_eq!(world.sim.open_channels(&world.account).len(), 0);
    assert!(!world.event_reasons().await.contains(&"ChannelLeaked".to_owned()));
}

#[tokio::test]
async fn a_subscription_that_never_worked_is_deleted_without_a_request() {
    let world = World::start("never").await;
    let _operator = world.operator().await;
    world.subscribe("all", json!({ "account": { "secretRef": { "name": "missing" } } })).await;
    world.refused("all", "SecretNotFound").await;
    deleted(&world, "all").await;
    world.gone("all").await;
    assert!(world.sim.requests().is_empty());
}

#[tokio::test]
async fn deleting_the_namespace_ends_also_while_cronofy_is_away() {
    let plane = OwnPlane::start_with(Options { controller_manager: true, ..Options::default() }).await;
    for away in [false, true] {
        let world = World::on(*plane, "dying").await;
        // Outside of the namespace that goes, as an operator for the whole cluster is.
        let options = world.operator_elsewhere().await;
        let _operator = crate::support::Operator::start(&options).await;
        copied(&world, json!({})).await;
        world.sim.down(away);
        world.namespace.delete().await.unwrap();
        let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(world.client.clone());
        let gone = || async { namespaces.get_opt(world.ns()).await.unwrap().is_none().then_some(()) };
        let ended = eventually("the namespace is gone", PATIENCE * 2, gone).await;
        assert!(
            ended.is_ok(),
            "away: {away}; left: {:?}",
            world.subscriptions().get("all").await.map(|left| json!(left))
        );
        if !away {
            assert!(world.sim.count(Endpoint::CloseChannel) >= 1, "the channel was closed first");
        }
    }
}
