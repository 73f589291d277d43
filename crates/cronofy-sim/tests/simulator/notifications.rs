//! Section 6 of the API: what is told to whom, and what becomes of it on its way.

use std::time::Duration;

use cronofy_sim::{ChangesSince, Notification, NotificationForm, Notifications};
use jiff::SignedDuration;
use serde_json::json;

use crate::support::{NOW, Receiver, World, at, event};

#[tokio::test]
async fn bodies_are_as_documented() {
    let world = World::start().await;
    let receiver = Receiver::start().await;
    let body = json!({ "callback_url": receiver.url(), "filters": { "calendar_ids": [world.calendar] } });
    let created = world.post("/v1/channels", &body).await.json();
    world.sim.settle().await;
    world.change("one").await;
    let arrived = receiver.received();
    let channel = created["channel"].clone();
    assert_eq!(arrived[0].json(), json!({ "notification": { "type": "verification" }, "channel": channel }));
    let change = json!({ "type": "change", "changes_since": "2026-11-25T12:00:00Z" });
    assert_eq!(arrived[1].json(), json!({ "notification": change, "channel": channel }));
}

#[tokio::test]
async fn every_type_can_be_sent_also_one_that_nobody_knows() {
    let world = World::start().await;
    let receiver = Receiver::start().await;
    let id = world.channel(&receiver).await;
    receiver.take();
    let types = [
        "verification",
        "profile_disconnected",
        "profile_initial_sync_completed",
        "conferencing_profile_disconnected",
        "gdpr_requested",
        "profile_connected",
        "calendar_created",
    ];
    for kind in types {
        world.sim.notify(&id, &Notification::new(kind));
        world.sim.settle().await;
        let body = receiver.take()[0].json();
        assert_eq!(body["notification"], json!({ "type": kind }));
        assert_eq!(body["channel"]["channel_id"], id);
    }
    let more = json!({ "scheduling_conversation_id": "abc" });
    world.sim.notify(&id, &Notification { more, ..Notification::new("scheduling_conversation_joined") });
    world.sim.settle().await;
    let body = receiver.take()[0].json();
    assert_eq!(body["notification"]["scheduling_conversation_id"], "abc");
    assert_eq!(body["channel"]["scheduling_conversations"], json!({ "enabled": true }));
    assert!(body["channel"].get("filters").is_none());
}

#[tokio::test]
async fn the_form_of_a_body_is_a_switch() {
    let world = World::start().await;
    let receiver = Receiver::start().await;
    world.channel(&receiver).await;
    for form in [
        NotificationForm::Documented,
        NotificationForm::UnknownFields,
        NotificationForm::UnknownType,
        NotificationForm::NoChannel,
    ] {
        receiver.take();
        world.sim.settings(|settings| settings.notification_form = form);
        world.change(&format!("{form:?}")).await;
        let body = receiver.take()[0].json();
        assert_eq!(body["notification"]["type"] != "change", form == NotificationForm::UnknownType);
        assert_eq!(body.get("channel").is_none(), form == NotificationForm::NoChannel);
        let more = body.as_object().unwrap().len() > 2 && body["notification"].as_object().unwrap().len() > 2;
        assert_eq!(more, form == NotificationForm::UnknownFields, "{body}");
    }
}

#[tokio::test]
async fn changes_since_relates_to_the_change_as_the_switch_says() {
    let world = World::start().await;
    let receiver = Receiver::start().await;
    world.channel(&receiver).await;
    for (switch, seconds) in [
        (ChangesSince::Exact, 0),
        (ChangesSince::Earlier, -60),
        (ChangesSince::Later, 60),
        (ChangesSince::Future, 365 * 24 * 3600),
    ] {
        receiver.take();
        world.sim.settings(|settings| settings.changes_since = switch);
        world.change(&format!("{switch:?}")).await;
        assert_eq!(receiver.take()[0].changes_since(), at(NOW) + SignedDuration::from_secs(seconds), "{switch:?}");
    }
}

/// Puts two events a minute apart, and tells which of them each notification of the next eight days was for, in the order in
/// which they came.
async fn way(switch: Notifications) -> Vec<u8> {
    let world = World::start().await;
    let receiver = Receiver::start().await;
    world.channel(&receiver).await;
    receiver.take();
    world.sim.settings(|settings| settings.notifications = switch);
    world.change("one").await;
    world.sim.advance(Duration::from_mins(1)).await;
    world.change("two").await;
    world.sim.advance(Duration::from_hours(8 * 24)).await;
    let first = at(NOW);
    receiver.take().iter().map(|arrived| if arrived.changes_since() == first { 1 } else { 2 }).collect()
}

#[tokio::test]
async fn what_becomes_of_notifications_is_a_switch() {
    assert_eq!(way(Notifications::Normal).await, [1, 2]);
    assert_eq!(way(Notifications::Duplicated).await, [1, 1, 2, 2]);
    assert_eq!(way(Notifications::Reordered).await, [2, 1]);
    assert_eq!(way(Notifications::Delayed).await, [1, 2]);
    assert!(way(Notifications::Lost).await.is_empty());
    assert_eq!(way(Notifications::Coalesced).await, [1], "one stands for both, from the earlier on");
    assert_eq!(way(Notifications::Replayed).await, [1, 2, 1, 2]);
}

#[tokio::test]
async fn delays_of_notifications_are_switches() {
    let world = World::with(|settings| {
        settings.notification_delay = Duration::from_mins(3);
        settings.replay_after = Duration::from_hours(23);
    })
    .await;
    let receiver = Receiver::start().await;
    world.channel(&receiver).await;
    for switch in [Notifications::Delayed, Notifications::Reordered, Notifications::Coalesced] {
        receiver.take();
        world.sim.settings(|settings| settings.notifications = switch);
        world.change(&format!("{switch:?}")).await;
        world.sim.advance(Duration::from_secs(179)).await;
        assert!(receiver.take().is_empty(), "{switch:?}");
        world.sim.advance(Duration::from_secs(1)).await;
        assert_eq!(receiver.take().len(), 1, "{switch:?}");
    }
    world.sim.settings(|settings| settings.notifications = Notifications::Replayed);
    world.change("replayed").await;
    let first = receiver.take();
    world.sim.advance(Duration::from_hours(23)).await;
    let again = receiver.take();
    assert_eq!((first.len(), again.len(), &first[0].body), (1, 1, &again[0].body));
    assert_eq!(first[0].signature(), again[0].signature(), "a replay is signed as validly");
}

#[tokio::test]
async fn every_change_from_outside_is_told_and_none_of_the_applications_own() {
    let world = World::start().await;
    let receiver = Receiver::start().await;
    let other = world.sim.add_calendar(&world.account, "Other");
    world.channel(&receiver).await;
    let far = at("2028-01-01T09:00:00Z");
    let series = event("series", "2026-12-02T09:00:00Z");
    let expect = async |what: &str, told: usize| {
        world.sim.settle().await;
        assert_eq!(receiver.take().len(), told, "{what}");
    };
    receiver.take();
    world.sim.put_event(&world.calendar, event("one", "2026-12-01T09:00:00Z")).unwrap();
    expect("created", 1).await;
    world.sim.rename_event("one", "other").unwrap();
    expect("changed", 1).await;
    world.sim.move_event("one", at("2026-12-03T09:00:00Z"), at("2026-12-03T10:00:00Z")).unwrap();
    expect("moved within the window", 1).await;
    world.sim.move_event("one", far, far + Duration::from_hours(1)).unwrap();
    expect("moved out of it", 1).await;
    world.sim.move_event("one", at("2026-12-03T09:00:00Z"), at("2026-12-03T10:00:00Z")).unwrap();
    expect("moved into it", 1).await;
    world.sim.move_to_calendar("one", &other).unwrap();
    expect("into another calendar", 1).await;
    world.sim.delete_event("one").unwrap();
    expect("deleted", 1).await;
    world.sim.delete_event("one").unwrap();
    expect("deleted a second time", 0).await;
    let series = world.sim.put_series(&world.calendar, &series, 20, Duration::from_hours(24)).unwrap();
    expect("a series", 1).await;
    world.sim.edit_series(&series, |draft| draft.summary = "renamed".to_owned()).unwrap();
    expect("a change of a series", 1).await;
    world.sim.delete_series(&series).unwrap();
    expect("the end of a series", 1).await;
    world.sim.put_event(&world.calendar, event("far", "2028-01-01T09:00:00Z")).unwrap();
    expect("outside of the window", 0).await;

    let path = format!("/v1/calendars/{}/events", world.calendar);
    let own = json!({
        "event_id": "own", "summary": "Freeze", "start": "2026-12-24T08:00:00Z", "end": "2026-12-24T18:00:00Z",
    });
    assert_eq!(world.post(&path, &own).await.status, 202);
    expect("the application's own event", 0).await;
    let records = world.sim.changes();
    assert_eq!(records.last().map(|record| record.own), Some(true));
    assert_eq!(records.iter().filter(|record| record.uid == "one").count(), 7, "all of it is in the journal");
}

#[tokio::test]
async fn channels_are_told_only_of_their_calendars_and_managed_events() {
    let world = World::start().await;
    let other = world.sim.add_calendar(&world.account, "Other");
    let (all, only_other, managed) = (Receiver::start().await, Receiver::start().await, Receiver::start().await);
    for (receiver, filters) in [
        (&all, json!({})),
        (&only_other, json!({ "calendar_ids": [other] })),
        (&managed, json!({ "only_managed": true })),
    ] {
        world.post("/v1/channels", &json!({ "callback_url": receiver.url(), "filters": filters })).await;
    }
    let path = format!("/v1/calendars/{}/events", world.calendar);
    let own = json!({
        "event_id": "own", "summary": "Freeze", "start": "2026-12-24T08:00:00Z", "end": "2026-12-24T18:00:00Z",
    });
    world.post(&path, &own).await;
    let own = world.read(&[("only_managed", "true")]).await.uids()[0].clone();
    world.sim.settle().await;
    let expect = async |what: &str, told: [usize; 3]| {
        world.sim.settle().await;
        assert_eq!([&all, &only_other, &managed].map(|receiver| receiver.take().len()), told, "{what}");
    };
    for receiver in [&all, &only_other, &managed] {
        receiver.take();
    }
    world.sim.put_event(&world.calendar, event("one", "2026-12-01T09:00:00Z")).unwrap();
    expect("an event of the first calendar", [1, 0, 0]).await;
    world.sim.put_event(&other, event("two", "2026-12-01T09:00:00Z")).unwrap();
    expect("an event of the other", [1, 1, 0]).await;
    world.sim.move_to_calendar("one", &other).unwrap();
    expect("from the first into the other", [1, 1, 0]).await;
    world.sim.rename_event(&own, "changed by its owner").unwrap();
    expect("a managed event changed from outside", [1, 0, 1]).await;
}

#[tokio::test]
async fn the_window_moves_without_a_word() {
    let world = World::start().await;
    let receiver = Receiver::start().await;
    world.channel(&receiver).await;
    world.sim.put_event(&world.calendar, event("later", "2027-06-20T09:00:00Z")).unwrap();
    world.sim.settle().await;
    receiver.take();
    let shown = || world.sim.read(&world.account, &cronofy_sim::ReadQuery::default()).len();
    assert_eq!(shown(), 0, "207 days ahead");
    world.sim.advance(Duration::from_hours(10 * 24)).await;
    assert_eq!(shown(), 1);
    assert!(receiver.take().is_empty());
}
