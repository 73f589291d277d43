//! What a person sees: the texts of the real kubectl, kept as snapshots. Review changes with `cargo insta review`, or accept them
//! with `INSTA_UPDATE=always cargo test --test operator describe`.

use std::collections::BTreeSet;

use crate::support::past::{age_field, wake};
use crate::support::world::CLIENT_ID;
use crate::support::{Operator, World, condition, event, pending};
use cronofy_operator::api::CalendarSubscription;
use cronofy_sim::{Answer, Endpoint, Fault, Verification};
use jiff::SignedDuration;
use serde_json::json;

/// What differs from run to run, by its form.
const VARYING: [(&str, &str); 15] = [
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "<time>"),
    (r"read up to \d{4}-\d\d-\d\d", "read up to <date>"),
    (r"Swept Through: +\d{4}-\d\d-\d\d", "Swept Through:  <date>"),
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "<uid>"),
    (r"\b[0-9a-f]{64}\b", "<hash>"),
    (r"Resource Version: +\d+", "Resource Version:  <version>"),
    (r"127\.0\.0\.1:\d+", "<address>"),
    (r"(acc_|pro_|chn_|cal_)[0-9a-f]{16}", "$1<id>"),
    (r"shown-[a-z0-9-]+", "<namespace>"),
    // What comes first depends on the hour of the day.
    (r"What: +(FullSync|HorizonSweep|ChannelCheck)\b", "What:  <work>"),
    (r"Count: +\d+", "Count:  <number>"),
    (r"Sequence: +\d+", "Sequence:  <number>"),
    // No age, but an interval.
    (r"(every|after) (\d+)m\b", "$1 $2 min"),
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
    // Events are compared by `tells`: which of them kubectl groups is a matter of timing.
    let describe = describe.split("\nEvents:").next().unwrap_or_default();
    settings.bind(|| insta::assert_snapshot!(name, format!("{get}\n{wide}\n{describe}")));
}

/// Waits until kubectl shows Events of these types and reasons of the subscription, and no others.
async fn tells(world: &World, wanted: &[&str]) {
    let events = async || -> BTreeSet<String> {
        let describe = shown(world, &["describe", "calsub", "team"]).await;
        let events = describe.split("\nEvents:").nth(1).unwrap_or_default();
        // Past the titles of the columns and the line below them.
        let rows = events.lines().skip(3).filter(|row| !row.is_empty());
        rows.map(|row| row.split_whitespace().take(2).collect::<Vec<_>>().join(" ")).collect()
    };
    let wanted: BTreeSet<String> = wanted.iter().map(ToString::to_string).collect();
    // They are written after the status.
    let told = testenv::eventually("kubectl shows the Events", crate::support::PATIENCE, || async {
        (events().await == wanted).then_some(())
    });
    if let Err(error) = told.await {
        panic!("{error}: wanted are {wanted:?}, it shows {:?}", events().await);
    }
}

#[tokio::test]
async fn a_healthy_subscription() {
    let world = World::start("shown").await;
    let _operator = world.operator().await;
    world.sim.put_event(&world.account, event("one", 1)).unwrap();
    world.subscribe("team", json!({ "timeZone": "Europe/Berlin", "mode": "Push" })).await;
    world.at_rest("team").await;
    stored(&world).await;
    compare(&world, "healthy").await;
    tells(&world, &["Normal ChannelCreated", "Normal Ready"]).await;
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
    stored(&world).await;
    compare(&world, "pending").await;
    tells(&world, &["Normal ChannelCreated"]).await;
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
    tells(&world, &["Warning SecretNotFound"]).await;
}

/// Aged: the channel, by the minutes after which Cronofy is not waited for any more.
#[tokio::test]
async fn a_subscription_whose_webhook_cronofy_never_reached() {
    let world = World::start("shown").await;
    world.sim.settings(|settings| settings.verification = Verification::Never);
    let _operator = world.operator().await;
    world.subscribe("team", json!({})).await;
    world.refused("team", "VerificationPending").await;
    stored(&world).await;
    age_field(&world, "team", "/channel/createdTime", SignedDuration::from_mins(3)).await;
    wake(&world, "team").await;
    world.refused("team", "NotReached").await;
    compare(&world, "fallback").await;
}

/// Aged: the channel, by a month.
#[tokio::test]
async fn a_subscription_whose_channel_is_being_replaced() {
    let world = World::start("shown").await;
    let _operator = world.operator().await;
    world.subscribe("team", json!({})).await;
    world.at_rest("team").await;
    world.sim.settings(|settings| settings.verification = Verification::Never);
    age_field(&world, "team", "/channel/createdTime", SignedDuration::from_hours(720)).await;
    wake(&world, "team").await;
    let made = |found: &CalendarSubscription| {
        let channel = found.status.as_ref().and_then(|status| status.channel.as_ref());
        let looked_at =
            channel.is_some_and(|channel| channel.generation == Some(2) && channel.last_check_time.is_some());
        looked_at && condition(found, "Reconciling").1 == "AtRest"
    };
    world.until("team", "has its new channel", made).await;
    compare(&world, "renewing").await;
}

#[tokio::test]
async fn a_subscription_that_holds_back_deletions() {
    let world = World::start("shown").await;
    let _operator = world.operator().await;
    let drafts = (0..40).map(|number| event(&format!("event {number}"), number)).collect();
    world.sim.put_events(&world.account, drafts).unwrap();
    world.subscribe("team", json!({})).await;
    world.at_rest("team").await;
    let nothing = json!({ "pages": { "current": 1, "total": 1 }, "events": [] }).to_string();
    world.sim.inject(Fault::next(usize::MAX, Endpoint::Events, Answer::body(200, nothing)));
    world.annotate("team", "cronofy-operator.dev/requestedAt", "now").await;
    let held = |found: &CalendarSubscription| {
        let next = found.status.as_ref().and_then(|status| status.sync.as_ref()?.next.clone());
        condition(found, "Ready").1 == "DeletionsHeld" && next.is_some_and(|next| next.what == "Confirmation")
    };
    world.until("team", "holds back deletions", held).await;
    compare(&world, "held").await;
}

#[tokio::test]
async fn a_subscription_of_an_account_that_is_full_of_channels() {
    let world = World::start("shown").await;
    for number in 0..128 {
        world.sim.add_channel(&world.account, CLIENT_ID, &format!("https://somebody.invalid/{number}"));
    }
    let _operator = world.operator().await;
    world.subscribe("team", json!({})).await;
    world.refused("team", "ChannelLimitReached").await;
    stored(&world).await;
    compare(&world, "full").await;
}

#[tokio::test]
async fn a_subscription_with_a_disconnected_profile() {
    let world = World::start("shown").await;
    let _operator = world.operator().await;
    world.sim.put_event(&world.account, event("one", 1)).unwrap();
    world.subscribe("team", json!({})).await;
    world.at_rest("team").await;
    world.sim.connect_profile(&world.account, false);
    world.refused("team", "ProfileDisconnected").await;
    let told = |found: &CalendarSubscription| {
        let next = found.status.as_ref().and_then(|status| status.sync.as_ref()?.next.clone());
        !pending(found) && next.is_some_and(|next| next.what == "AccountCheck")
    };
    world.until("team", "has nothing pending", told).await;
    compare(&world, "disconnected").await;
}

#[tokio::test]
async fn a_subscription_whose_events_were_erased() {
    let world = World::start("shown").await;
    let _operator = world.operator().await;
    world.sim.put_event(&world.account, event("one", 1)).unwrap();
    world.subscribe("team", json!({})).await;
    world.at_rest("team").await;
    world.sim.request_gdpr(&world.account);
    world.refused("team", "Erased").await;
    let stopped = |found: &CalendarSubscription| {
        let channel = found.status.as_ref().and_then(|status| status.channel.as_ref());
        condition(found, "Stalled").1 == "Erased" && channel.is_none_or(|channel| channel.id.is_none())
    };
    world.until("team", "has stopped", stopped).await;
    compare(&world, "erased").await;
}

#[tokio::test]
async fn a_subscription_that_is_suspended() {
    let world = World::start("shown").await;
    let _operator = world.operator().await;
    world.sim.put_event(&world.account, event("one", 1)).unwrap();
    world.subscribe("team", json!({})).await;
    world.at_rest("team").await;
    world.subscribe("team", json!({ "suspend": true })).await;
    world.refused("team", "Suspended").await;
    compare(&world, "suspended").await;
}

#[tokio::test]
async fn a_subscription_that_is_polled() {
    let world = World::start("shown").await;
    let mut options = world.operator_options().await;
    options.webhook = false;
    let _operator = Operator::start(&options).await;
    world.sim.put_event(&world.account, event("one", 1)).unwrap();
    world.subscribe("team", json!({ "mode": "Poll" })).await;
    let ready = world.ready("team").await;
    assert!(ready.status.is_some());
    world
        .until("team", "rests", |found| {
            found
                .status
                .as_ref()
                .and_then(|status| status.sync.as_ref()?.next.clone())
                .is_some_and(|next| next.what == "Poll")
        })
        .await;
    compare(&world, "polled").await;
}

/// Waits until there is a copy, and what comes next is known.
async fn stored(world: &World) {
    let is_stored = |found: &CalendarSubscription| {
        found.status.as_ref().is_some_and(|status| {
            status.output.is_some() && status.sync.as_ref().is_some_and(|sync| sync.next.is_some()) && !pending(found)
        })
    };
    world.until("team", "has a copy", is_stored).await;
}

#[tokio::test]
async fn a_subscription_that_asks_for_a_calendar_store_where_there_is_none() {
    for (spec, text) in [(
        json!({ "store": { "type": "Remote" } }),
        "spec.store.type is Remote, but no calendar store is named: the operator runs without --store-url; set it, or \
         spec.store.remote.url to one that --allow-remote-store names, or use ConfigMap or Secret",
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
