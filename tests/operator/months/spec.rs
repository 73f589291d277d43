//! Every field of the spec can change at any time.

use cronofy_operator::api::CalendarSubscription;
use cronofy_sim::AccountDraft;
use serde_json::{Value, json};
use testenv::eventually;

use super::while_it_changes;
use crate::support::world::CLIENT_ID;
use crate::support::{PATIENCE, World, condition, event, observed};

/// A walk through all fields, each to another value and some of them back, alone and together.
fn walk(team: &str) -> Vec<Value> {
    vec![
        json!({ "calendarIds": [team] }),
        json!({ "calendarIds": [team], "onlyManaged": true }),
        json!({ "onlyManaged": false, "includeManaged": false }),
        json!({ "timeZone": "Pacific/Kiritimati", "window": { "pastDays": 1, "futureDays": 6 } }),
        json!({ "timeZone": "America/St_Johns", "window": { "pastDays": 0, "futureDays": 90 } }),
        json!({ "mode": "Poll", "intervals": { "poll": "1m" } }),
        json!({ "visibility": "Full", "store": { "name": "elsewhere" } }),
        json!({ "visibility": "Busy", "store": { "name": "elsewhere" } }),
        json!({ "deletionPolicy": "Retain", "intervals": { "fullSync": "1h", "horizonSweep": "1h" } }),
        json!({ "suspend": true, "calendarIds": [team] }),
        json!({ "applicationRef": { "name": "other" } }),
        json!({ "account": { "secretRef": { "name": "again" } } }),
        json!({ "mode": "Poll", "suspend": true, "visibility": "Busy" }),
        json!({ "intervals": { "channelCheck": "10m", "fallbackPoll": "1m", "channelRenewal": "24h", "poll": "1h" } }),
    ]
}

/// The last spec of a walk.
fn last(team: &str) -> Value {
    json!({ "calendarIds": [team], "includeManaged": true, "timeZone": "Europe/Berlin", "visibility": "Titles",
        "window": { "pastDays": 3, "futureDays": 30 }, "store": { "name": "walked" } })
}

/// The present spec is acted on. Notifications are always pending while the calendar changes.
fn settled(found: &CalendarSubscription) -> bool {
    let (status, reason, _) = condition(found, "Ready");
    let channel = found.status.as_ref().and_then(|status| status.channel.clone()).unwrap_or_default();
    observed(found) && ((status == "True" && channel.next.is_none()) || reason == "Suspended")
}

/// What a subscription comes to, apart from names, ids and times.
async fn outcome(world: &World, name: &str, output: &str) -> Value {
    let found = world.subscriptions().get(name).await.unwrap();
    let says = |kind| {
        let (status, reason, message) = condition(&found, kind);
        (status, reason, message.replace(output, "<output>"))
    };
    let conditions = ["Ready", "CredentialsValid", "ChannelActive", "Synced", "Reconciling", "Stalled"].map(says);
    let channel = world.channel(world.ns(), name, &world.account).await;
    json!({
        "events": world.events_in(world.ns(), output).await,
        "conditions": conditions,
        "filters": channel.filters.calendar_ids,
        "account": found.status.unwrap().account,
    })
}

#[tokio::test]
async fn after_a_walk_through_all_fields_amid_changes_it_is_as_if_the_last_spec_had_been_the_first() {
    for patient in [true, false] {
        let world = World::start("walk").await;
        let team = world.sim.add_calendar(&world.account, "Team");
        // So few that the guard against mass deletion does not ask for a second look when only managed ones are wanted.
        for day in 0..20 {
            world.sim.put_event(&team, event(&format!("team {day}"), day - 5)).unwrap();
        }
        world.apply_application("other", "app").await;
        world.secret("again", &[("refresh_token", &world.sim.issue_refresh_token(&world.account, CLIENT_ID))]).await;
        let _operator = world.operator().await;
        world.subscribe("all", json!({})).await;
        world.at_rest("all").await;

        while_it_changes(&world, async {
            for spec in walk(&team) {
                world.subscribe("all", spec).await;
                if patient {
                    world.until("all", "has settled", settled).await;
                }
            }
            world.subscribe("all", last(&team)).await;
            world.until("all", "has settled", settled).await;
        })
        .await;
        let mut fresh = last(&team);
        fresh["store"]["name"] = json!("fresh");
        world.subscribe("fresh", fresh).await;
        for name in ["all", "fresh"] {
            world.at_rest(name).await;
        }
        let equal = eventually("both are alike", PATIENCE, async || {
            let (walked, fresh) = (outcome(&world, "all", "walked").await, outcome(&world, "fresh", "fresh").await);
            (walked == fresh && !walked["events"].as_array().unwrap().is_empty()).then_some(())
        });
        if let Err(error) = equal.await {
            let [walked, fresh] = [outcome(&world, "all", "walked").await, outcome(&world, "fresh", "fresh").await];
            panic!("patient: {patient}: {error}; {walked:#} {fresh:#}");
        }
        let open = eventually("each has one channel", PATIENCE, async || {
            (world.sim.open_channels(&world.account).len() == 2).then_some(())
        });
        open.await.unwrap();
        for former in ["all-events", "elsewhere"] {
            assert!(world.output(former).await.is_none(), "{former} stays behind");
        }
    }
}

/// Another account is other people's calendar: nothing of the one before may be left among it, and no guard may hold it back.
#[tokio::test]
async fn another_account_replaces_all_that_was_copied_of_the_one_before() {
    let world = World::start("another").await;
    for number in 0..30 {
        world.sim.put_event(&world.account, event(&format!("of the first {number}"), number)).unwrap();
    }
    let second = world.sim.add_account(AccountDraft::default());
    world.sim.put_event(&second, event("of the second", 1)).unwrap();
    world.secret("second", &[("refresh_token", &world.sim.issue_refresh_token(&second, CLIENT_ID))]).await;
    let _operator = world.operator().await;
    world.subscribe("all", json!({})).await;
    world.at_rest("all").await;
    world.subscribe("all", json!({ "account": { "secretRef": { "name": "second" } } })).await;
    world.titles("all", &["of the second"]).await;
    let changed = world.at_rest("all").await;
    assert_eq!(changed.status.unwrap().account.unwrap().id, Some(second.clone()));
    assert!(world.sim.open_channels(&world.account).is_empty(), "the channel of the one before is closed");
    assert_eq!(world.sim.open_channels(&second).len(), 1);
    world.sim.put_event(&second, event("told", 2)).unwrap();
    world.titles("all", &["of the second", "told"]).await;
}
