//! The request budget when another leader takes over amid load, and whose requests go first when there is more to do than it allows.

use cronofy_operator::api::CalendarSubscription;
use cronofy_sim::{AccountDraft, Endpoint, RequestRecord};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use testenv::eventually;

use crate::support::past::let_pass_here;
use crate::support::switch::switched;
use crate::support::world::CLIENT_ID;
use crate::support::{Operator, PATIENCE, World, condition};

const PER_MINUTE: usize = 60;

/// The most requests within any such time.
fn most_within(requests: &[RequestRecord], span: SignedDuration) -> usize {
    let times: Vec<Timestamp> = requests.iter().map(|request| request.time).collect();
    let from = |index: usize| times[index..].iter().take_while(|time| time.duration_since(times[index]) < span).count();
    (0..times.len()).map(from).max().unwrap_or_default()
}

/// An application on the simulator's Cronofy that may make so many requests in a minute.
async fn limited(world: &World, name: &str, per_minute: usize) {
    let spec = json!({ "endpoint": world.sim.api_url(), "credentialsSecretRef": { "name": name },
        "limits": { "requestsPerSecond": 50, "requestsPerMinute": per_minute } });
    world.apply_application_in(world.ns(), name, spec).await;
}

/// Another account, whose refresh token is in a Secret of this name.
async fn another_account(world: &World, name: &str, client_id: &str) -> String {
    let account = world.sim.add_account(AccountDraft::default());
    let token = world.sim.issue_refresh_token(&account, client_id);
    world.secret(name, &[("refresh_token", &token)]).await;
    account
}

/// Waits until so many requests have been made.
async fn requested(world: &World, what: &str, count: usize) {
    let enough = || std::future::ready((world.sim.requests().len() >= count).then_some(()));
    eventually(what, PATIENCE, enough).await.unwrap();
}

fn of_account(account: &str) -> impl Fn(&RequestRecord) -> bool {
    move |request| request.account.as_deref() == Some(account)
}

fn is_copied(found: &CalendarSubscription) -> bool {
    let sync = found.status.as_ref().and_then(|status| status.sync.as_ref());
    sync.is_some_and(|sync| sync.last_full_sync_time.is_some())
}

/// How the first leader ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// At once; another replica stands by.
    Killed,
    /// In order, its lease given back; a new process comes in its place, as of a Deployment with one replica.
    Terminated,
}

/// The first leader spends the minute's budget at once, as it may, and ends. The next one does not know how much of it is left;
/// what it knows is that somebody has spent of it.
async fn does_not_spend_what_its_predecessor_has_spent(end: End) {
    let world = World::start("spent").await;
    world.sim.settings(|settings| settings.rate_limit = None); // what is counted is what the operators hold themselves to
    limited(&world, "app", PER_MINUTE).await;
    let (switch, options) = switched(&world).await;
    let first = Operator::start(&options).await;
    switch.to(first.webhook);
    eventually("the first leads", PATIENCE, async || first.leads().await.then_some(())).await.unwrap();
    let standby = match end {
        End::Killed => Some(Operator::start(&options).await),
        End::Terminated => None,
    };
    // More than a minute's work.
    for number in 0..40 {
        world.subscribe(&format!("room-{number}"), json!({})).await;
    }
    requested(&world, "the budget is spent", PER_MINUTE).await;
    let second = if let Some(standby) = standby {
        first.kill();
        standby
    } else {
        first.terminate().await;
        Operator::start(&options).await
    };
    switch.to(second.webhook);
    eventually("the second leads", PATIENCE, async || second.leads().await.then_some(())).await.unwrap();
    let before = world.sim.requests().len();
    requested(&world, "the second goes on", before + 20).await;

    let requests = world.sim.requests();
    assert!(most_within(&requests, SignedDuration::from_mins(1)) < 2 * PER_MINUTE, "{end:?}: never twice the budget");
    // Evenly: whatever one machine holds up, no more than a third of a minute's budget comes in a sixth of a minute.
    let after = most_within(&requests[before..], SignedDuration::from_secs(10));
    assert!(after <= PER_MINUTE / 3, "{end:?}: {after} requests in ten seconds");
    assert!(
        second.metric("cronofy_operator_cronofy_budget_wait_seconds_count{lane=\"new\"}").await >= 20.0,
        "waits are visible"
    );
    let creates = world.sim.count(Endpoint::CreateChannel);
    assert_eq!(world.sim.open_channels(&world.account).len(), creates, "no channel is made twice");
    let ready = world.subscriptions().list(&kube::api::ListParams::default()).await.unwrap();
    assert!(ready.items.iter().any(|found| condition(found, "Ready").0 == "True"));
}

#[tokio::test]
async fn a_successor_does_not_spend_what_its_predecessor_has_spent() {
    does_not_spend_what_its_predecessor_has_spent(End::Killed).await;
}

#[tokio::test]
async fn nor_does_one_that_comes_after_an_orderly_stop() {
    does_not_spend_what_its_predecessor_has_spent(End::Terminated).await;
}

/// Two places, a request a second, and two minutes' regular work that is due.
#[tokio::test]
async fn however_many_sweeps_are_due_a_new_subscription_does_not_wait_for_them() {
    let world = World::start("crowd").await;
    world.sim.settings(|settings| settings.rate_limit = None);
    let (switch, mut options) = switched(&world).await;
    let first = Operator::start(&options).await;
    switch.to(first.webhook);
    let names: Vec<_> = (0..40).map(|number| format!("room-{number}")).collect();
    for name in &names {
        world.subscribe(name, json!({})).await;
    }
    for name in &names {
        world.at_rest(name).await;
    }
    first.terminate().await;
    for name in &names {
        let_pass_here(&world, name, SignedDuration::from_hours(26)).await;
    }
    limited(&world, "app", PER_MINUTE).await;
    let account = another_account(&world, "newcomer", CLIENT_ID).await;
    world.sim.clear_journal();
    options.arguments = vec!["--concurrency".to_owned(), "2".to_owned()];
    let second = Operator::start(&options).await;
    switch.to(second.webhook);
    requested(&world, "the regular work has begun", 3).await;

    let before = world.sim.requests().len();
    world.subscribe("newcomer", json!({ "account": { "secretRef": { "name": "newcomer" } } })).await;
    world.until("newcomer", "is copied", is_copied).await;
    let requests = world.sim.requests();
    let own = requests.iter().filter(|request| of_account(&account)(request)).count();
    let others = requests.len() - before - own;
    // One may go whenever the newcomer is busy with something else than waiting for its turn.
    assert!(own >= 3 && others <= 4 * own, "{own} of the newcomer, {others} of others");
    let regular = requests.iter().filter(|request| of_account(&world.account)(request)).count();
    assert!(regular < 2 * names.len(), "the regular work is still due");
}

#[tokio::test]
async fn an_application_that_is_out_of_budget_holds_up_no_other() {
    let world = World::start("poor").await;
    world.sim.settings(|settings| settings.rate_limit = None);
    limited(&world, "app", 2).await;
    world.sim.add_application("client-2", &["secret-of-client-2"]);
    world.secret("rich", &[("client_id", "client-2"), ("client_secret", "secret-of-client-2")]).await;
    world.apply_application("rich", "rich").await;
    let account = another_account(&world, "rich-account", "client-2").await;
    let mut options = world.operator_options().await;
    options.arguments = vec!["--concurrency".to_owned(), "2".to_owned()];
    let _operator = Operator::start(&options).await;
    for number in 0..8 {
        world.subscribe(&format!("poor-{number}"), json!({})).await;
    }
    requested(&world, "the poor one has spent its budget", 2).await;
    for name in ["rich-1", "rich-2"] {
        let more =
            json!({ "applicationRef": { "name": "rich" }, "account": { "secretRef": { "name": "rich-account" } } });
        world.subscribe(name, more).await;
    }
    for name in ["rich-1", "rich-2"] {
        world.ready(name).await;
    }
    let poor = world.sim.requests().iter().filter(|request| !of_account(&account)(request)).count();
    assert!(poor < 8, "the poor one still waits, after {poor} requests");
}

#[tokio::test]
async fn the_regular_work_goes_in_the_lane_of_the_regular_work() {
    let world = World::start("lanes").await;
    let operator = world.operator().await;
    world.subscribe("all", json!({})).await;
    world.at_rest("all").await;
    let spent = async |lane: &str| {
        operator.metric(&format!("cronofy_operator_cronofy_budget_requests_total{{lane=\"{lane}\"}}")).await
    };
    let (new, notified) = (spent("new").await, spent("notified").await);
    assert!(new >= 5.0, "all of a first sync: {new}");
    world.sim.clear_journal();
    let checked = |found: &CalendarSubscription| {
        found.status.as_ref().and_then(|status| status.channel.as_ref()?.last_check_time)
    };
    let before = checked(&world.subscriptions().get("all").await.unwrap());
    let_pass_here(&world, "all", SignedDuration::from_hours(26)).await;
    world.until("all", "is looked at", |found| checked(found) >= before).await;
    world.at_rest("all").await;
    assert!(world.sim.count(Endpoint::ListChannels) >= 1);
    assert_eq!((spent("new").await, spent("notified").await), (new, notified));
    assert!(spent("sweep").await >= 2.0);
}
