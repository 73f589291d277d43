//! Calendars that seem to be empty, and one that is.

use cronofy_operator::api::CalendarSubscription;
use cronofy_sim::{Answer, Endpoint, Fault, Notifications, Tombstones};
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::DeleteParams;
use serde_json::json;

use testenv::eventually;

use super::{event_reasons, read_all};
use crate::support::operator::OperatorOptions;
use crate::support::past::{age_field, wake};
use crate::support::switch::{Switch, switched};
use crate::support::{Operator, PATIENCE, World, condition, event};

const EVENTS: usize = 30;
/// The time after which a second read decides.
const LATER: SignedDuration = SignedDuration::from_mins(10);

/// A copy of thirty events, and its operator behind an address that stays.
struct Copied {
    world: World,
    switch: Switch,
    options: OperatorOptions,
    operator: Operator,
}

async fn copied() -> Copied {
    let world = World::start("empty").await;
    let (switch, options) = switched(&world).await;
    let operator = Operator::start(&options).await;
    switch.to(operator.webhook);
    let drafts = (0..EVENTS).map(|number| event(&format!("event {number}"), i64::try_from(number).unwrap())).collect();
    world.sim.put_events(&world.account, drafts).unwrap();
    world.subscribe("all", json!({})).await;
    world.at_rest("all").await;
    assert_eq!(world.events("all").await.len(), EVENTS);
    Copied { world, switch, options, operator }
}

/// From now on every read shows an empty calendar, whatever is in it.
fn show_nothing(world: &World) {
    let nothing = json!({ "pages": { "current": 1, "total": 1 }, "events": [] }).to_string();
    world.sim.inject(Fault::next(usize::MAX, Endpoint::Events, Answer::body(200, nothing)));
}

/// Waits until the deletions are held.
async fn held(world: &World) {
    let message = world.refused("all", "DeletionsHeld").await;
    assert!(message.contains("lacked 30 of 30 events: what is stored of them stays"), "{message}");
    assert_eq!(world.events("all").await.len(), EVENTS);
}

/// Lets the time pass after which a second read decides. Aged: since when the deletions are held. The operator is started anew,
/// since it remembers when it looked at the account last, which would now be after that.
async fn confirm(copied: Copied) -> (World, Operator) {
    let Copied { world, switch, options, operator } = copied;
    operator.kill();
    age_field(&world, "all", "/sync/heldDeletions/time", LATER).await;
    world.sim.clear_journal();
    let operator = Operator::start(&options).await;
    switch.to(operator.webhook);
    let asked = || std::future::ready((world.sim.count(Endpoint::UserInfo) > 0).then_some(()));
    eventually("the profiles are looked at before the second read", PATIENCE, asked).await.unwrap();
    let asked: Vec<_> = world.sim.requests().iter().map(|request| request.endpoint).collect();
    let place = |endpoint| asked.iter().position(|asked| *asked == endpoint);
    assert!(place(Endpoint::Events).is_none_or(|read| Some(read) > place(Endpoint::UserInfo)), "{asked:?}");
    (world, operator)
}

fn is_held(found: &CalendarSubscription) -> bool {
    found.status.as_ref().and_then(|status| status.sync.as_ref()).is_some_and(|sync| sync.held_deletions.is_some())
}

#[tokio::test]
async fn a_list_that_is_empty_once_deletes_nothing_and_says_so() {
    let copied = copied().await;
    let world = &copied.world;
    show_nothing(world);
    read_all(world, "hiccup").await;
    held(world).await;
    let told = eventually("an Event tells of it", PATIENCE, async || {
        event_reasons(world, "all").await.contains(&"DeletionsHeld".to_owned()).then_some(())
    });
    told.await.unwrap();
    world.sim.clear_faults();
    let (world, _operator) = confirm(copied).await;
    world.until("all", "holds nothing any more", |found| !is_held(found)).await;
    world.at_rest("all").await;
    world.equals_calendar("all").await;
}

#[tokio::test]
async fn a_list_that_is_empty_twice_deletes_nothing_while_a_profile_is_disconnected() {
    let copied = copied().await;
    let world = &copied.world;
    world.sim.settings(|settings| settings.disconnect_notice = None);
    show_nothing(world);
    read_all(world, "hiccup").await;
    held(world).await;
    world.sim.connect_profile(&world.account, false); // and nobody is told
    let (world, _operator) = confirm(copied).await;
    world.refused("all", "ProfileDisconnected").await;
    let found = read_all(&world, "again").await;
    assert!(!is_held(&found));
    assert_eq!(condition(&found, "Synced").1, "ProfileDisconnected");
    assert_eq!(world.events("all").await.len(), EVENTS);

    world.sim.clear_faults();
    world.sim.connect_profile(&world.account, true);
    read_all(&world, "mended").await;
    wake(&world, "all").await;
    world.equals_calendar("all").await;
}

#[tokio::test]
async fn a_calendar_that_is_really_empty_empties_after_a_second_look() {
    let copied = copied().await;
    let world = &copied.world;
    // Nothing but their absence tells of the deletions.
    world.sim.settings(|settings| {
        settings.tombstones = Tombstones::Never;
        settings.notifications = Notifications::Lost;
    });
    for number in 0..EVENTS {
        world.sim.delete_event(&format!("event {number}")).unwrap();
    }
    world.sim.settle().await;
    read_all(world, "emptied").await;
    held(world).await;
    // Asking again at once decides nothing: the second read is to be later.
    read_all(world, "impatient").await;
    held(world).await;
    let (world, _operator) = confirm(copied).await;
    world.events_until("all", "is empty", <[_]>::is_empty).await;
    world.at_rest("all").await;
}

#[tokio::test]
async fn a_narrower_filter_takes_out_most_of_a_calendar_after_a_second_look_at_once() {
    let copied = copied().await;
    let world = &copied.world;
    world.subscribe("all", json!({ "onlyManaged": true })).await;
    world.events_until("all", "none of them is managed", <[_]>::is_empty).await;
    let found = world.at_rest("all").await;
    assert!(!is_held(&found));
    world.subscribe("all", json!({})).await;
    world.events_until("all", "are there again", |events| events.len() == EVENTS).await;
}

#[tokio::test]
async fn an_output_that_is_lost_while_the_list_is_empty_once_is_whole_again_after_a_second_look() {
    let copied = copied().await;
    let world = &copied.world;
    show_nothing(world);
    let outputs: Api<ConfigMap> = Api::namespaced(world.client.clone(), world.ns());
    outputs.delete("all-events", &DeleteParams::default()).await.unwrap();
    world.refused("all", "DeletionsHeld").await;
    assert!(world.events("all").await.is_empty(), "there is nothing left that could stay");
    world.sim.clear_faults();
    let (world, _operator) = confirm(copied).await;
    world.events_until("all", "are all there", |events| events.len() == EVENTS).await;
    world.equals_calendar("all").await;
}
