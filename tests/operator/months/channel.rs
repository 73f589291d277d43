//! A channel that dies in silence, that grows old, that keeps silent, or that cannot be looked at.

use std::time::Duration;

use cronofy_operator::api::CalendarSubscription;
use cronofy_sim::{Answer, Endpoint, Fault, Notifications};
use jiff::SignedDuration;
use serde_json::json;
use testenv::eventually;

use super::{begin_before, channel_id, event_reasons, never_without_channel, replaced, while_it_changes};
use crate::support::operator::free_address;
use crate::support::past::{age_field, let_pass, let_pass_here, wake};
use crate::support::switch::{Switch, switched};
use crate::support::{Operator, PATIENCE, World, condition, event};

const HOUR: Duration = Duration::from_hours(1);
/// More than `channelRenewal`.
const OLD: SignedDuration = SignedDuration::from_hours(720);

/// Aged: the operator's times by 26 hours, in which Cronofy's clock goes on by as much.
#[tokio::test]
async fn a_channel_that_cronofy_closed_in_silence_is_found_by_the_next_look_and_nothing_is_lost() {
    for by_hand in [false, true] {
        let world = World::start("closed").await;
        begin_before(&world.sim, SignedDuration::from_hours(26));
        let (switch, options) = switched(&world).await;
        let operator = Operator::start(&options).await;
        switch.to(operator.webhook);
        for title in ["stays", "goes", "is renamed"] {
            world.sim.put_event(&world.account, event(title, 1)).unwrap();
        }
        world.subscribe("all", json!({})).await;
        let first = channel_id(&world.at_rest("all").await).unwrap();

        if by_hand {
            world.sim.close_channel_by_hand(&first);
        } else {
            switch.to(free_address()); // nobody is there: after a day of failures Cronofy closes the channel
        }
        world.sim.put_event(&world.account, event("comes", 2)).unwrap();
        world.sim.advance(25 * HOUR).await;
        assert!(world.sim.open_channels(&world.account).is_empty());
        assert!(
            world.sim.deliveries().iter().all(|tried| by_hand || tried.status.is_none() || tried.status == Some(204))
        );
        switch.to(operator.webhook);
        world.sim.delete_event("goes").unwrap();
        world.sim.rename_event("is renamed", "renamed").unwrap();
        world.sim.advance(HOUR).await;
        world.titles("all", &["stays", "goes", "is renamed"]).await;

        let_pass_here(&world, "all", SignedDuration::from_hours(26)).await;
        world.titles("all", &["stays", "renamed", "comes"]).await;
        let healed = world.until("all", "has another channel", |found| replaced(found, &first)).await;
        assert_eq!(world.sim.open_channels(&world.account).len(), 1, "by hand: {by_hand}");
        assert_eq!(channel_id(&healed), Some(world.sim.open_channels(&world.account)[0].id.clone()));
        let told = eventually("an Event tells of it", PATIENCE, async || {
            event_reasons(&world, "all").await.contains(&"ChannelLost".to_owned()).then_some(())
        });
        told.await.unwrap();
        world.at_rest("all").await;
        world.sim.put_event(&world.account, event("is told again", 3)).unwrap();
        world.titles("all", &["stays", "renamed", "comes", "is told again"]).await;
    }
}

/// Aged: all times by the 12 hours after which the channel is looked at, then the suspicion by the minutes that it takes. The list
/// shows the dead channel as if it lived, so that only what it did not tell gives it away.
#[tokio::test]
async fn a_channel_that_cronofy_closed_in_silence_and_goes_on_to_list_is_found_by_the_next_look_and_replaced() {
    let world = World::start("listed").await;
    world.sim.settings(|settings| settings.list_closed_channels = true);
    let _operator = world.operator().await;
    world.subscribe("all", json!({})).await;
    let first = channel_id(&world.at_rest("all").await).unwrap();
    world.sim.close_channel_by_hand(&first);
    world.sim.put_event(&world.account, event("not told", 1)).unwrap();

    world.sim.clear_journal();
    let_pass_here(&world, "all", SignedDuration::from_hours(13)).await;
    world.titles("all", &["not told"]).await;
    let suspect = |found: &CalendarSubscription| {
        let channel = found.status.as_ref().and_then(|status| status.channel.as_ref());
        channel.is_some_and(|channel| channel.suspect_time.is_some())
    };
    world.until("all", "is suspicious", suspect).await;
    assert!(world.sim.count(Endpoint::ListChannels) > 0, "it was looked for, and listed");
    assert_eq!(channel_id(&world.subscriptions().get("all").await.unwrap()), Some(first.clone()));

    age_field(&world, "all", "/channel/suspectTime", SignedDuration::from_mins(10)).await;
    wake(&world, "all").await;
    world.until("all", "has another channel", |found| replaced(found, &first)).await;
    let open = world.sim.open_channels(&world.account);
    assert_eq!(open.len(), 1);
    assert_eq!(channel_id(&world.at_rest("all").await), Some(open[0].id.clone()));
    world.sim.put_event(&world.account, event("told again", 2)).unwrap();
    world.titles("all", &["not told", "told again"]).await;
    // A status that is aged amid a write of its own has the look made twice.
    world.at_rest("all").await;

    // The dead one stands in every list. That costs a request a look, and no channel.
    let closes = world.sim.count(Endpoint::CloseChannel);
    let lists = world.sim.count(Endpoint::ListChannels);
    let_pass_here(&world, "all", SignedDuration::from_hours(13)).await;
    eventually("it is looked at again", PATIENCE, async || {
        (world.sim.count(Endpoint::ListChannels) > lists).then_some(())
    })
    .await
    .unwrap();
    world.at_rest("all").await;
    assert!(world.sim.count(Endpoint::CloseChannel) <= closes + 1);
    assert_eq!(world.sim.open_channels(&world.account)[0].id, open[0].id);
}

/// Aged: the time at which the channel was made, by a month.
#[tokio::test]
async fn a_channel_that_has_grown_old_is_replaced_amid_changes_and_there_is_always_one() {
    let world = World::start("old").await;
    let _operator = world.operator().await;
    world.subscribe("all", json!({})).await;
    let first = channel_id(&world.at_rest("all").await).unwrap();
    world.sim.clear_journal();
    while_it_changes(&world, async {
        age_field(&world, "all", "/channel/createdTime", OLD).await;
        world.until("all", "has another channel", |found| replaced(found, &first)).await;
    })
    .await;
    world.equals_calendar("all").await;
    never_without_channel(&world, 1);
    let open = world.sim.open_channels(&world.account);
    assert_eq!(open.len(), 1);
    assert_ne!(open[0].id, first);
    assert_eq!(world.sim.count(Endpoint::CreateChannel), 1);
    world.at_rest("all").await;
}

/// The operator comes back with another base URL while the calendar goes on changing; the old address may be gone, or not.
#[tokio::test]
async fn a_changed_base_url_replaces_the_channel_amid_changes_and_there_is_always_one() {
    for old_address_lives in [true, false] {
        let world = World::start("base").await;
        let (switch, mut options) = switched(&world).await;
        let operator = Operator::start(&options).await;
        switch.to(operator.webhook);
        world.subscribe("all", json!({})).await;
        let first = channel_id(&world.at_rest("all").await).unwrap();
        world.sim.clear_journal();
        let other = Switch::start().await;
        let _operator = while_it_changes(&world, async {
            assert!(operator.terminate().await);
            options.webhook_base_url = Some(format!("http://{}", other.address()));
            let operator = Operator::start(&options).await;
            other.to(operator.webhook);
            switch.to(if old_address_lives { operator.webhook } else { free_address() });
            world.until("all", "has another channel", |found| replaced(found, &first)).await;
            operator
        })
        .await;
        world.equals_calendar("all").await;
        never_without_channel(&world, 1);
        let open = world.sim.open_channels(&world.account);
        assert_eq!(open.len(), 1, "the old address lives: {old_address_lives}");
        assert!(open[0].callback_url.starts_with(&format!("http://{}", other.address())));
    }
}

/// Aged: all times by the 12 hours after which the channel is looked at, then the suspicion by the minutes that it takes.
#[tokio::test]
async fn push_that_goes_silent_is_noticed_read_around_replaced_and_healed() {
    let world = World::start("silent").await;
    let (switch, options) = switched(&world).await;
    let operator = Operator::start(&options).await;
    switch.to(operator.webhook);
    world.subscribe("all", json!({})).await;
    let first = channel_id(&world.at_rest("all").await).unwrap();
    // Cronofy takes every change for told.
    world.sim.settings(|settings| settings.notifications = Notifications::Lost);
    world.sim.put_event(&world.account, event("not told", 1)).unwrap();

    // The next look is followed by a read, which shows what nobody announced.
    let_pass_here(&world, "all", SignedDuration::from_hours(12)).await;
    world.titles("all", &["not told"]).await;
    let suspect = |found: &CalendarSubscription| {
        found.status.as_ref().and_then(|status| status.channel.as_ref()).is_some_and(|it| it.suspect_time.is_some())
    };
    world.until("all", "is suspicious", suspect).await;

    // Two minutes later a late notification is not waited for any more. Within the interval is read what changed meanwhile.
    world.sim.put_event(&world.account, event("not told either", 2)).unwrap();
    operator.kill();
    let_pass(&world, "all", SignedDuration::from_mins(6)).await;
    let operator = Operator::start(&options).await;
    switch.to(operator.webhook);
    let message = world.refused("all", "NotificationsMissing").await;
    assert!(
        message.contains(&switch.address().to_string()) && message.ends_with("reading every 5m meanwhile"),
        "{message}"
    );
    world.titles("all", &["not told", "not told either"]).await;
    assert_eq!(channel_id(&world.subscriptions().get("all").await.unwrap()), Some(first.clone()));

    // After ten minutes another channel is tried.
    world.sim.settings(|settings| settings.notifications = Notifications::Normal);
    world.sim.clear_journal();
    age_field(&world, "all", "/channel/suspectTime", SignedDuration::from_mins(10)).await;
    wake(&world, "all").await;
    world.until("all", "has another channel", |found| replaced(found, &first)).await;
    never_without_channel(&world, 1);
    assert_eq!(world.sim.open_channels(&world.account).len(), 1);
    world.at_rest("all").await;
    world.sim.put_event(&world.account, event("told", 3)).unwrap();
    world.titles("all", &["not told", "not told either", "told"]).await;
}

/// Aged: the time of the last look by 12 hours, or the channel by a month.
#[tokio::test]
async fn a_look_or_a_replacement_that_fails_stops_neither_push_nor_reads() {
    let cases = [
        (Endpoint::ListChannels, 503, "/channel/lastCheckTime", SignedDuration::from_hours(12)),
        (Endpoint::CreateChannel, 422, "/channel/createdTime", OLD),
    ];
    for (endpoint, status, field, time) in cases {
        let world = World::start("trouble").await;
        let _operator = world.operator().await;
        world.subscribe("all", json!({})).await;
        let first = channel_id(&world.at_rest("all").await).unwrap();
        world.sim.inject(Fault::next(usize::MAX, endpoint, Answer::status(status)));
        age_field(&world, "all", field, time).await;
        wake(&world, "all").await;
        let only_channel = |found: &CalendarSubscription| {
            let failure = found.status.as_ref().and_then(|status| status.failure.as_ref());
            failure.is_some_and(|failure| failure.channel_only == Some(true))
        };
        world.until("all", "says that the channel is in trouble", only_channel).await;
        // More than once: what is known of it by then is what the status says.
        for title in ["one", "two"] {
            world.sim.put_event(&world.account, event(title, 1)).unwrap();
            world.events_until("all", title, |events| events.iter().any(|event| event["summary"] == title)).await;
        }
        let found = world.at_rest("all").await;
        assert!(only_channel(&found), "{endpoint:?}");
        let (state, _, message) = condition(&found, "ChannelActive");
        assert_eq!(state, "True", "{message}");
        assert!(
            message.contains(&status.to_string()) && message.ends_with("the present channel delivers meanwhile"),
            "{message}"
        );
        let stalled = condition(&found, "Stalled").0;
        assert_eq!(stalled, if status == 422 { "True" } else { "False" });
        assert_eq!(channel_id(&found), Some(first.clone()));

        world.sim.clear_faults();
        world.annotate("all", "cronofy-operator.dev/requestedAt", "mended").await;
        let well = |found: &CalendarSubscription| found.status.as_ref().is_some_and(|status| status.failure.is_none());
        world.until("all", "is well", well).await;
        if endpoint == Endpoint::CreateChannel {
            world.until("all", "has another channel", |found| replaced(found, &first)).await;
        }
        assert_eq!(world.sim.open_channels(&world.account).len(), 1);
    }
}
