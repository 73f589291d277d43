//! What a person sees: the texts of the real kubectl, kept as snapshots. Review changes with `cargo insta review`, or accept them
//! with `INSTA_UPDATE=always cargo test --test operator describe`.

use crate::support::{World, condition, event};
use cronofy_sim::Verification;
use serde_json::json;

/// What differs from run to run, by its form.
const VARYING: [(&str, &str); 11] = [
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "<time>"),
    (r"read up to \d{4}-\d\d-\d\d", "read up to <date>"),
    (r"Swept Through:  \d{4}-\d\d-\d\d", "Swept Through:  <date>"),
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "<uid>"),
    (r"\b[0-9a-f]{64}\b", "<hash>"),
    (r"Resource Version:  \d+", "Resource Version:  <version>"),
    (r"127\.0\.0\.1:\d+", "<address>"),
    (r"(acc_|pro_|chn_|cal_)[0-9a-f]{16}", "$1<id>"),
    (r"shown-[a-z0-9-]+", "<namespace>"),
    // Ages, and the width of their columns.
    (r"(?m)\b\d+(ms|s|m)( \(x\d+ over \d+s\))?\b", "<age>"),
    (r"(\S) {2,}", "$1  "),
];

async fn shown(world: &World, arguments: &[&str]) -> String {
    let mut arguments = arguments.to_vec();
    arguments.extend(["--namespace", world.ns()]);
    let output = world.plane.kubectl(arguments).await.unwrap();
    assert!(output.status.success(), "{}", output.stderr);
    output.stdout
}

/// Compares what kubectl shows of the subscription with the snapshot of this name.
async fn compare(world: &World, name: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    for (form, text) in VARYING {
        settings.add_filter(form, text);
    }
    let get = shown(world, &["get", "calsub", "team"]).await;
    let wide = shown(world, &["get", "calsub", "team", "-o", "wide"]).await;
    let describe = shown(world, &["describe", "calsub", "team"]).await;
    // Events are told by their own tests: which of them kubectl groups is a matter of timing.
    let describe = describe.split("\nEvents:").next().unwrap_or_default();
    settings.bind(|| insta::assert_snapshot!(name, format!("{get}\n{wide}\n{describe}")));
}

#[tokio::test]
async fn a_healthy_subscription() {
    let world = World::start("shown").await;
    let _operator = world.operator().await;
    world.sim.put_event(&world.account, event("one", 1)).unwrap();
    world.subscribe("team", json!({ "timeZone": "Europe/Berlin", "mode": "Push" })).await;
    world.ready("team").await;
    world.sim.settle().await;
    compare(&world, "healthy").await;
}

#[tokio::test]
async fn a_subscription_that_cronofy_has_not_reached_yet() {
    let world = World::start("shown").await;
    world.sim.settings(|settings| settings.verification = Verification::Never);
    let _operator = world.operator().await;
    world.subscribe("team", json!({})).await;
    world
        .until("team", "waits for its verification", |subscription| {
            condition(subscription, "Ready").1 == "VerificationPending"
                && subscription.status.as_ref().is_some_and(|status| status.output.is_some())
        })
        .await;
    compare(&world, "pending").await;
}

#[tokio::test]
async fn a_subscription_whose_authorization_is_revoked() {
    let world = World::start("shown").await;
    world.sim.revoke(&world.account);
    let _operator = world.operator().await;
    world.subscribe("team", json!({})).await;
    world.refused("team", "AuthorizationRevoked").await;
    compare(&world, "revoked").await;
}

#[tokio::test]
async fn a_subscription_without_its_secret() {
    let world = World::start("shown").await;
    let _operator = world.operator().await;
    world.subscribe("team", json!({ "account": { "secretRef": { "name": "missing" } } })).await;
    world.refused("team", "SecretNotFound").await;
    compare(&world, "broken").await;
}

#[tokio::test]
async fn a_subscription_that_asks_for_what_is_not_built_yet() {
    for (spec, text) in [(
        json!({ "store": { "type": "Remote" } }),
        "spec.store.type Remote is not acted on by this version of the operator: use ConfigMap or Secret",
    )] {
        let world = World::start("notyet").await;
        let _operator = world.operator().await;
        world.subscribe("team", spec).await;
        assert_eq!(world.refused("team", "NotSupported").await, text);
        assert!(world.sim.requests().is_empty(), "nothing is done");
    }
}

#[tokio::test]
async fn an_application_without_its_secret() {
    let world = World::start("shown").await;
    let _operator = world.operator().await;
    world.apply_application("broken", "missing").await;
    testenv::eventually("the application says so", crate::support::PATIENCE, || async {
        let text = shown(&world, &["get", "cronofyapp", "broken"]).await;
        text.contains("Secret").then_some(text)
    })
    .await
    .unwrap();
    let text = shown(
        &world,
        &["get", "cronofyapp", "broken", "-o", "jsonpath={.status.conditions[?(@.type=='Ready')].message}"],
    )
    .await;
    assert_eq!(text, format!("Secret {}/missing does not exist: create it, or correct the reference", world.ns()));
}
