//! Faults by chance: the same seed, the same faults.

use std::collections::BTreeMap;

use cronofy_sim::{AccountDraft, Answer, Endpoint, Fault, Schedule, ScheduledFault};
use reqwest::Method;

use crate::support::{Receiver, World, answer};

fn schedule(seed: u64, probabilities: &[(ScheduledFault, f64)]) -> Schedule {
    Schedule { seed, probabilities: probabilities.iter().copied().collect() }
}

fn often(seed: u64) -> Schedule {
    use ScheduledFault::{Cut, RateLimited, ServerError, Truncated, Unauthorized, Unavailable};
    schedule(
        seed,
        &[
            (ServerError, 0.1),
            (Unavailable, 0.1),
            (RateLimited, 0.1),
            (Unauthorized, 0.1),
            (Cut, 0.1),
            (Truncated, 0.1),
        ],
    )
}

/// What 60 calls of the account come to; 0 for none or half an answer. Others call `between`.
async fn outcomes(world: &World, between: usize) -> Vec<u16> {
    let mut outcomes = Vec::new();
    for _ in 0..60 {
        for _ in 0..between {
            let _whatever = answer(world.request(Method::GET, "/v1/profiles")).await;
        }
        let outcome = answer(world.request(Method::GET, "/v1/userinfo")).await;
        outcomes.push(outcome.map_or(0, |answer| answer.status));
    }
    outcomes
}

async fn world(schedule: Schedule) -> World {
    let world = World::start().await;
    let account = world.sim.add_account(AccountDraft { id: Some("acc_fixed".to_owned()), ..AccountDraft::default() });
    let token = world.token_of(&account).await;
    world.sim.schedule(Some(schedule)).unwrap();
    World { account, token, ..world }
}

#[tokio::test]
async fn a_seed_gives_the_same_faults_whatever_else_is_called() {
    let first = outcomes(&world(often(7)).await, 0).await;
    assert_eq!(outcomes(&world(often(7)).await, 0).await, first);
    assert_eq!(outcomes(&world(often(7)).await, 2).await, first, "with other calls between");
    assert_ne!(outcomes(&world(often(8)).await, 0).await, first, "another seed");
    let kinds: BTreeMap<u16, usize> = first.iter().fold(BTreeMap::new(), |mut kinds, outcome| {
        *kinds.entry(*outcome).or_default() += 1;
        kinds
    });
    assert_eq!(kinds.keys().copied().collect::<Vec<_>>(), [0, 200, 401, 429, 500, 503], "of each kind: {kinds:?}");
    assert!((10..=38).contains(&kinds[&200]), "two in five go well: {kinds:?}");

    let again = world(often(7)).await;
    assert_eq!(outcomes(&again, 0).await, first);
    again.sim.schedule(Some(often(7))).unwrap();
    assert_eq!(outcomes(&again, 0).await, first, "it begins anew");
    again.sim.schedule(None).unwrap();
    assert_eq!(outcomes(&again, 0).await, [200; 60]);
}

#[tokio::test]
async fn each_kind_of_call_fault_does_what_it_says() {
    use ScheduledFault::{Cut, LostAnswer, RateLimited, ServerError, Slow, Truncated, Unauthorized, Unavailable};
    // the status, 0 for no whole answer, and whether the call took place
    for (kind, status, takes_place) in [
        (ServerError, 500, false),
        (Unavailable, 503, false),
        (RateLimited, 429, false),
        (Unauthorized, 401, false),
        (Cut, 0, false),
        (LostAnswer, 0, true),
        (Truncated, 0, true),
        (Slow, 200, true),
    ] {
        let world = world(schedule(1, &[(kind, 1.0)])).await;
        let body = serde_json::json!({ "callback_url": "http://127.0.0.1:1/hook" });
        let outcome = answer(world.request(Method::POST, "/v1/channels").json(&body)).await;
        assert_eq!(outcome.map_or(0, |answer| answer.status), status, "{kind:?}");
        assert_eq!(world.sim.open_channels(&world.account).len(), usize::from(takes_place), "{kind:?}");
    }
}

#[tokio::test]
async fn each_kind_of_notification_fault_does_what_it_says() {
    use ScheduledFault::{
        NotificationDelayed, NotificationDuplicated, NotificationLost, NotificationReordered, NotificationReplayed,
    };
    // how many come at once, and how many in eight days
    for (kind, at_once, in_all) in [
        (NotificationLost, 0, 0),
        (NotificationDuplicated, 2, 2),
        (NotificationDelayed, 0, 1),
        (NotificationReordered, 0, 1),
        (NotificationReplayed, 1, 2),
    ] {
        let world = world(schedule(1, &[(kind, 1.0)])).await;
        let receiver = Receiver::start().await;
        world.channel(&receiver).await;
        receiver.take();
        let calendar = world.sim.calendars(&world.account)[0].clone();
        world.sim.put_event(&calendar, crate::support::event("one", "2026-12-01T09:00:00Z")).unwrap();
        world.sim.settle().await;
        assert_eq!(receiver.kinds().len(), at_once, "{kind:?}");
        world.sim.advance(std::time::Duration::from_hours(8 * 24)).await;
        assert_eq!(receiver.kinds().len(), in_all, "{kind:?}");
    }
}

#[tokio::test]
async fn notifications_are_lost_and_doubled_by_the_same_chance() {
    let count = async |seed: u64| {
        let faults = [(ScheduledFault::NotificationLost, 0.4), (ScheduledFault::NotificationDuplicated, 0.3)];
        let world = world(schedule(seed, &faults)).await;
        let receiver = Receiver::start().await;
        world.channel(&receiver).await;
        receiver.take();
        let calendar = world.sim.calendars(&world.account)[0].clone();
        let mut counts = Vec::new();
        for number in 0..30 {
            let draft = crate::support::event(&number.to_string(), "2026-12-01T09:00:00Z");
            world.sim.put_event(&calendar, draft).unwrap();
            world.sim.settle().await;
            counts.push(receiver.take().len());
        }
        counts
    };
    let first = count(3).await;
    assert_eq!(count(3).await, first);
    assert_ne!(count(4).await, first);
    assert!([0, 1, 2].iter().all(|times| first.contains(times)), "{first:?}");
}

#[tokio::test]
async fn what_was_injected_comes_first_and_token_requests_are_never_401_by_chance() {
    let world = world(schedule(1, &[(ScheduledFault::Unauthorized, 1.0)])).await;
    world.sim.inject(Fault::next(1, Endpoint::UserInfo, Answer::status(503)));
    assert_eq!(world.get("/v1/userinfo").await.status, 503);
    assert_eq!(world.get("/v1/userinfo").await.status, 401);
    assert!(!world.fresh_token().await.is_empty());
}

#[tokio::test]
async fn impossible_probabilities_are_refused() {
    let world = World::start().await;
    for (wrong, said) in [
        (vec![(ScheduledFault::Cut, -0.1)], "Cut is -0.1: give a probability from 0 to 1"),
        (vec![(ScheduledFault::Cut, f64::NAN)], "give a probability from 0 to 1"),
        (vec![(ScheduledFault::Cut, 0.6), (ScheduledFault::Slow, 0.6)], "for calls add up to 1.2"),
        (
            vec![(ScheduledFault::NotificationLost, 0.6), (ScheduledFault::NotificationReplayed, 0.6)],
            "for notifications add up to 1.2",
        ),
    ] {
        let error = world.sim.schedule(Some(schedule(0, &wrong))).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
    let apart = [(ScheduledFault::Cut, 0.6), (ScheduledFault::NotificationLost, 0.6)];
    world.sim.schedule(Some(schedule(0, &apart))).unwrap();
}
