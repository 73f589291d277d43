//! Channels: exactly one, whatever is lost between asking for it and noting it.

use crate::support::{Operator, PATIENCE, World, event};
use cronofy_sim::{Answer, DuplicateCreate, Endpoint, Fault};
use serde_json::json;
use testenv::eventually;

/// Runs a test with both answers that Cronofy may give to an identical create, and checks that one working channel is left.
async fn with_both_modes(name: &str, test: impl AsyncFn(&World) -> Operator) {
    for mode in [DuplicateCreate::Existing, DuplicateCreate::Second] {
        let world = World::start(name).await;
        world.sim.settings(|settings| settings.duplicate_create = mode);
        let _operator = test(&world).await;
        world.ready("all").await;
        // What was made before the crash is closed as soon as Cronofy has reached what is there now.
        let left = eventually("one channel is left", PATIENCE, async || {
            (world.sim.open_channels(&world.account).len() == 1).then_some(())
        });
        left.await.unwrap_or_else(|error| panic!("with {mode:?}: {error}"));
        world.sim.put_event(&world.account, event("later", 1)).unwrap();
        world.titles("all", &["later"]).await;
    }
}

async fn channel_exists(world: &World) {
    let exists = || async { (!world.sim.open_channels(&world.account).is_empty()).then_some(()) };
    eventually("the channel exists", PATIENCE, exists).await.unwrap();
}

#[tokio::test]
async fn a_crash_between_creating_a_channel_and_noting_it_ends_with_one_channel() {
    with_both_modes("crash", async |world| {
        let operator = world.operator().await;
        // The create takes effect at once, but its answer is held back: the operator dies without it.
        world.sim.inject(Fault::next(1, Endpoint::CreateChannel, Answer::LateAnswer(PATIENCE)));
        world.subscribe("all", json!({})).await;
        channel_exists(world).await;
        operator.kill();
        let status = world.subscriptions().get("all").await.unwrap().status.unwrap();
        assert!(status.channel.is_some_and(|channel| channel.id.is_none()), "its id was not noted");
        world.operator().await
    })
    .await;
}

#[tokio::test]
async fn a_create_whose_answer_is_lost_ends_with_one_channel() {
    with_both_modes("lost", async |world| {
        world.sim.inject(Fault::next(1, Endpoint::CreateChannel, Answer::LostAnswer));
        let operator = world.operator().await;
        world.subscribe("all", json!({})).await;
        operator
    })
    .await;
}

#[tokio::test]
async fn a_changed_filter_gets_a_new_channel_and_closes_the_old_one() {
    let world = World::start("filter").await;
    let other = world.sim.add_calendar(&world.account, "Other");
    world.sim.put_event(&world.account, event("home", 1)).unwrap();
    world.sim.put_event(&other, event("other", 1)).unwrap();
    world.sim.add_channel(&world.account, crate::support::world::CLIENT_ID, "https://somebody.invalid/hook/else");
    let _operator = world.operator().await;
    world.subscribe("all", json!({})).await;
    world.ready("all").await;
    world.titles("all", &["home", "other"]).await;
    let before = world.subscriptions().get("all").await.unwrap().status.unwrap().channel.unwrap();

    world.subscribe("all", json!({ "calendarIds": [other] })).await;
    world.titles("all", &["other"]).await;
    let renewed = world
        .until("all", "has its new channel verified", |subscription| {
            let channel = subscription.status.as_ref().and_then(|status| status.channel.as_ref());
            channel.is_some_and(|channel| channel.verified_time.is_some() && channel.id != before.id)
        })
        .await;
    let id = renewed.status.unwrap().channel.unwrap().id.unwrap();
    eventually("the old channel is closed", PATIENCE, || async {
        (world.sim.open_channels(&world.account).len() == 2).then_some(())
    })
    .await
    .unwrap();
    let open = world.sim.open_channels(&world.account);
    assert!(open.iter().any(|channel| channel.id == id));
    assert!(open.iter().any(|channel| channel.callback_url.contains("somebody")), "a stranger's channel stays");
    world.sim.put_event(&other, event("more", 2)).unwrap();
    world.titles("all", &["other", "more"]).await;
}

#[tokio::test]
async fn an_account_with_all_its_channels_in_use_says_so_and_heals() {
    let world = World::start("full").await;
    world.sim.settings(|settings| settings.channel_limit = 128);
    for number in 0..128 {
        let url = format!("https://somebody.invalid/{number}");
        world.sim.add_channel(&world.account, crate::support::world::CLIENT_ID, &url);
    }
    let _operator = world.operator().await;
    world.subscribe("all", json!({})).await;
    let message = world.refused("all", "ChannelLimitReached").await;
    assert!(message.contains("128 channels"), "{message}");
    let first = world.sim.open_channels(&world.account)[0].id.clone();
    world.sim.close_channel_by_hand(&first);
    world.ready("all").await;
    assert_eq!(world.sim.open_channels(&world.account).len(), 128);
}
