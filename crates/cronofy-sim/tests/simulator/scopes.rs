//! Switches that differ for an account, a channel, an endpoint or the next few uses.

use std::time::Duration;

use cronofy_sim::{Endpoint, Notifications, Retries, Scope, Signature};

use crate::support::{Receiver, World, event};

#[tokio::test]
async fn one_channel_is_signed_wrongly_and_the_other_is_not() {
    let world = World::start().await;
    let (good, bad) = (Receiver::start().await, Receiver::start().await);
    world.channel(&good).await;
    let id = world.channel(&bad).await;
    let change = world.sim.settings_for(Scope::channel(&id), |settings| settings.signature = Signature::Missing);
    good.take();
    bad.take();
    world.change("one").await;
    assert!(good.take()[0].signature().is_some());
    assert!(bad.take()[0].signature().is_none());
    assert!(world.sim.end_override(change));
    assert!(!world.sim.end_override(change), "it is gone");
    world.change("two").await;
    assert!(bad.take()[0].signature().is_some());
}

#[tokio::test]
async fn a_switch_holds_for_the_next_uses_it_is_looked_up_for() {
    let world = World::start().await;
    let receiver = Receiver::start().await;
    world.channel(&receiver).await;
    receiver.take();
    world.sim.settings_for(Scope::next(2), |settings| settings.notifications = Notifications::Lost);
    world.sim.settings_for(Scope::next(1), |settings| settings.signature = Signature::Empty);
    assert_eq!(world.get("/v1/userinfo").await.status, 200, "a call is no use of either");
    for uid in ["one", "two", "three", "four"] {
        world.change(uid).await;
    }
    let arrived = receiver.take();
    assert_eq!(arrived.len(), 2, "two notifications were lost");
    assert_eq!(arrived[0].signature(), Some(""), "and the first delivery that was tried is unsigned");
    assert_ne!(arrived[1].signature(), Some(""));
}

#[tokio::test]
async fn an_endpoint_of_an_account_has_its_own_switches_a_few_times() {
    let world = World::with(|settings| settings.page_size = 10).await;
    for uid in ["one", "two", "three"] {
        world.sim.put_event(&world.calendar, event(uid, "2026-12-01T09:00:00Z")).unwrap();
    }
    let scope = Scope::account(&world.account).endpoint(Endpoint::Events).times(2);
    world.sim.settings_for(scope, |settings| settings.page_size = 1);
    world.get("/v1/userinfo").await;
    let mut sizes = Vec::new();
    for _ in 0..3 {
        sizes.push(world.read(&[]).await.uids().len());
    }
    assert_eq!(sizes, [1, 1, 3]);
    assert_eq!(world.sim.current_settings().page_size, 10, "what holds for all is untouched");
}

#[tokio::test]
async fn what_was_changed_later_wins_and_all_can_be_taken_back() {
    let world = World::start().await;
    let receiver = Receiver::start().await;
    let id = world.channel(&receiver).await;
    world.sim.settings(|settings| settings.retries = Retries::None);
    world.sim.settings_for(Scope::account(&world.account), |settings| settings.retries = Retries::Exponential);
    world.sim.settings_for(Scope::channel(&id), |settings| settings.retries = Retries::Fixed);
    receiver.answer(500);
    let tries = async |uid: &str| {
        world.sim.clear_journal();
        world.change(uid).await;
        world.sim.advance(Duration::from_secs(119)).await;
        world.sim.deliveries().iter().filter(|delivery| delivery.body.contains("change")).count()
    };
    assert_eq!(tries("one").await, 2, "every minute");
    world.sim.clear_overrides();
    let of_the_first = 1;
    assert_eq!(tries("two").await, 1 + of_the_first, "once, and the first's last retry");
    assert_eq!(tries("three").await, 1);
}
