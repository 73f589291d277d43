//! What the regular work shows at `/metrics`.

use cronofy_sim::{AccountDraft, Scope, Verification};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use testenv::eventually;

use crate::support::past::{age_field, channel_made, let_pass_here, wake};
use crate::support::world::CLIENT_ID;
use crate::support::{Operator, PATIENCE, World};

/// Waits until a metric has this value.
async fn shows(operator: &Operator, name: &str, value: f64) {
    let text = format!("{name} is {value}");
    let shown =
        eventually(&text, PATIENCE, async || (operator.metric(name).await.total_cmp(&value).is_eq()).then_some(()));
    if let Err(error) = shown.await {
        panic!("{error}: {}", operator.metrics().await);
    }
}

/// Another account, and a subscription of the same name for it.
async fn subscribe_another(world: &World, name: &str, tune: impl FnOnce(&mut cronofy_sim::Settings)) {
    let account = world.sim.add_account(AccountDraft::default());
    world.sim.settings_for(Scope::account(&account), tune);
    world.secret(name, &[("refresh_token", &world.sim.issue_refresh_token(&account, CLIENT_ID))]).await;
    world.subscribe(name, json!({ "account": { "secretRef": { "name": name } } })).await;
}

/// Aged: the channel that waits for Cronofy by the minutes after which it is not trusted; the times of another subscription by 12
/// hours; in the end the time at which its next work is due.
#[tokio::test]
async fn channels_by_state_sweeps_by_kind_lag_and_heartbeat_are_told() {
    let world = World::start("told").await;
    let operator = world.operator().await;
    world.subscribe("all", json!({})).await;
    world.at_rest("all").await;
    world.subscribe("polled", json!({ "mode": "Poll" })).await;
    world.ready("polled").await;
    subscribe_another(&world, "unreached", |settings| settings.verification = Verification::Never).await;
    subscribe_another(&world, "crowded", |settings| settings.channel_limit = 0).await;
    let channels = |state: &str| format!("cronofy_operator_channels{{state=\"{state}\"}}");
    for (state, count) in [("verified", 1.0), ("pending", 1.0), ("suspect", 0.0), ("missing", 1.0)] {
        shows(&operator, &channels(state), count).await;
    }
    channel_made(&world, "unreached").await;
    age_field(&world, "unreached", "/channel/createdTime", SignedDuration::from_mins(3)).await;
    wake(&world, "unreached").await;
    for (state, count) in [("verified", 1.0), ("pending", 0.0), ("suspect", 1.0), ("missing", 1.0)] {
        shows(&operator, &channels(state), count).await;
    }

    let sweeps = |kind: &str| format!("cronofy_operator_sweeps_total{{kind=\"{kind}\",outcome=\"success\"}}");
    let [looks, full] = [operator.metric(&sweeps("channel_check")).await, operator.metric(&sweeps("full_sync")).await];
    let_pass_here(&world, "all", SignedDuration::from_hours(12)).await;
    shows(&operator, &sweeps("channel_check"), looks + 1.0).await;
    world.annotate("all", "cronofy-operator.dev/requestedAt", "now").await;
    shows(&operator, &sweeps("full_sync"), full + 1.0).await;
    world.at_rest("all").await;

    // The work that comes next is overdue, and nobody does it.
    let next = world.subscriptions().get("all").await.unwrap().status.unwrap().sync.unwrap().next.unwrap();
    let (late, other) = match next.what.as_str() {
        "ChannelCheck" => ("channel_check", "full_sync"),
        "HorizonSweep" => ("horizon_sweep", "full_sync"),
        other => panic!("{other} comes next"),
    };
    let due = next.time.0.duration_since(Timestamp::now());
    age_field(&world, "all", "/sync/next/time", due + SignedDuration::from_hours(2)).await;
    let lag = |kind: &str| format!("cronofy_operator_sweep_lag_seconds{{kind=\"{kind}\"}}");
    let behind =
        eventually("the lag is told", PATIENCE, async || (operator.metric(&lag(late)).await >= 7_200.0).then_some(()));
    behind.await.unwrap();
    shows(&operator, &lag(other), 0.0).await;
    let heartbeat = |kind: &str| format!("cronofy_operator_sweep_heartbeat_timestamp_seconds{{kind=\"{kind}\"}}");
    let stopped = operator.metric(&heartbeat(late)).await;
    let beats = operator.metric(&heartbeat(other)).await;
    assert!(stopped > 0.0 && beats > 0.0);
    let goes_on = eventually("the other heart beats", PATIENCE, async || {
        (operator.metric(&heartbeat(other)).await > beats).then_some(())
    });
    goes_on.await.unwrap();
    assert_eq!(operator.metric(&heartbeat(late)).await.total_cmp(&stopped), std::cmp::Ordering::Equal);
}
