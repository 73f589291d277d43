//! Section 4 of the API: push channels.

use std::time::Duration;

use cronofy_sim::{DuplicateCreate, Scope, Verification};
use serde_json::{Value, json};

use crate::support::{CLIENT_ID, Receiver, World};

/// Nobody listens there.
const URL: &str = "http://127.0.0.1:1/c/k7Qd0s";

fn ids(listed: &Value) -> Vec<&str> {
    listed["channels"].as_array().unwrap().iter().map(|channel| channel["channel_id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_channel_is_created_listed_and_closed_as_documented() {
    let world = World::start().await;
    let filters = json!({ "calendar_ids": [world.calendar], "only_managed": false });
    let created = world.post("/v1/channels", &json!({ "callback_url": URL, "filters": filters })).await;
    assert_eq!(created.status, 200);
    let id = created.json()["channel"]["channel_id"].as_str().unwrap().to_owned();
    let shown = json!({ "channel_id": id, "callback_url": URL, "filters": { "calendar_ids": [world.calendar] } });
    assert_eq!(created.json(), json!({ "channel": shown }));
    assert!(id.starts_with("chn_"));
    let listed = world.get("/v1/channels").await;
    assert_eq!((listed.status, listed.json()), (200, json!({ "channels": [shown] })));

    let closed = world.delete(&format!("/v1/channels/{id}")).await;
    assert_eq!((closed.status, closed.text.as_str()), (202, ""));
    assert_eq!(world.get("/v1/channels").await.json(), json!({ "channels": [] }));
}

#[tokio::test]
async fn an_identical_create_gives_the_same_channel_or_a_second_one() {
    for (switch, channels) in [(DuplicateCreate::Existing, 1), (DuplicateCreate::Second, 2)] {
        let world = World::with(|settings| settings.duplicate_create = switch).await;
        let first = world.create_channel(URL).await.json();
        let second = world.create_channel(URL).await.json();
        assert_eq!(first == second, channels == 1, "{switch:?}");
        assert_eq!(ids(&world.get("/v1/channels").await.json()).len(), channels, "{switch:?}");
    }
    let world = World::start().await;
    let first = world.create_channel(URL).await.json();
    world.delete(&format!("/v1/channels/{}", first["channel"]["channel_id"].as_str().unwrap())).await;
    assert_ne!(world.create_channel(URL).await.json(), first, "a closed one is not taken up again");
}

#[tokio::test]
async fn the_order_of_calendars_makes_another_channel_only_if_it_matters() {
    for (matters, channels) in [(false, 1), (true, 2)] {
        let world = World::with(|settings| settings.calendar_order_matters = matters).await;
        let other = world.sim.add_calendar(&world.account, "Other");
        for calendars in [json!([world.calendar, other]), json!([other, world.calendar])] {
            let body = json!({ "callback_url": URL, "filters": { "calendar_ids": calendars } });
            assert_eq!(world.post("/v1/channels", &body).await.status, 200);
        }
        assert_eq!(ids(&world.get("/v1/channels").await.json()).len(), channels, "order matters: {matters}");
    }
}

#[tokio::test]
async fn filters_are_shown_without_or_with_their_defaults() {
    let world = World::start().await;
    let shown = world.create_channel(URL).await.json();
    assert_eq!(shown["channel"]["filters"], json!({}));
    world.sim.settings(|settings| settings.echo_default_filters = true);
    let shown = world.get("/v1/channels").await.json();
    assert_eq!(shown["channels"][0]["filters"], json!({ "only_managed": false }));
    let managed = json!({ "callback_url": URL, "filters": { "only_managed": true } });
    let shown = world.post("/v1/channels", &managed).await.json();
    assert_eq!(shown["channel"]["filters"], json!({ "only_managed": true }));
}

#[tokio::test]
async fn an_account_has_128_channels_and_more_are_refused_as_the_switch_says() {
    let world = World::start().await;
    for number in 0..128 {
        world.sim.add_channel(&world.account, CLIENT_ID, &format!("http://127.0.0.1:1/{number}"));
    }
    let refused = world.create_channel(URL).await;
    assert_eq!(refused.status, 422);
    assert!(refused.json()["errors"].is_object());
    for status in [403, 429] {
        world.sim.settings(|settings| settings.over_limit_status = status);
        assert_eq!(world.create_channel(URL).await.status, status);
    }
    assert_eq!(world.create_channel("http://127.0.0.1:1/7").await.status, 200, "that one exists");
    world.sim.settings(|settings| settings.channel_limit = 129);
    assert_eq!(world.create_channel(URL).await.status, 200);
}

#[tokio::test]
async fn bad_channels_are_refused_with_the_field() {
    let world = World::start().await;
    let long = format!("http://127.0.0.1:1/{}", "x".repeat(129 - 19));
    for (body, field, key) in [
        (json!({}), "callback_url", "errors.required"),
        (json!({ "callback_url": "ftp://h.example.org" }), "callback_url", "errors.invalid"),
        (json!({ "callback_url": "h.example.org/x" }), "callback_url", "errors.invalid"),
        (json!({ "callback_url": long }), "callback_url", "errors.too_long"),
        (json!({ "callback_url": URL, "filters": { "calendar_ids": [] } }), "filters.calendar_ids", "errors.required"),
        (json!({ "callback_url": URL, "filters": { "calendar_ids": "x" } }), "filters.calendar_ids", "errors.invalid"),
        (json!({ "callback_url": URL, "filters": { "only_managed": 1 } }), "filters.only_managed", "errors.invalid"),
    ] {
        let refused = world.post("/v1/channels", &body).await;
        assert_eq!((refused.status, &refused.json()["errors"][field][0]["key"]), (422, &json!(key)), "{body}");
    }
    assert_eq!(world.create_channel(&long[..128]).await.status, 200, "128 characters are not too long");
    world.sim.settings(|settings| {
        settings.longest_callback_url = None;
        settings.accept_empty_calendar_ids = true;
    });
    assert_eq!(world.create_channel(&long).await.status, 200);
    let empty = json!({ "callback_url": URL, "filters": { "calendar_ids": [] } });
    assert_eq!(world.post("/v1/channels", &empty).await.json()["channel"]["filters"], json!({}));
}

#[tokio::test]
async fn closed_channels_are_listed_and_unknown_ones_closed_as_the_switches_say() {
    let world = World::start().await;
    let id = world.create_channel(URL).await.json()["channel"]["channel_id"].as_str().unwrap().to_owned();
    assert_eq!(world.delete("/v1/channels/chn_unknown").await.status, 404);
    world.delete(&format!("/v1/channels/{id}")).await;
    assert_eq!(world.delete(&format!("/v1/channels/{id}")).await.status, 404, "a second time");
    assert!(ids(&world.get("/v1/channels").await.json()).is_empty());
    world.sim.settings(|settings| {
        settings.list_closed_channels = true;
        settings.close_unknown_status = 202;
    });
    assert_eq!(ids(&world.get("/v1/channels").await.json()), [id]);
    assert_eq!(world.delete("/v1/channels/chn_unknown").await.status, 202);
}

#[tokio::test]
async fn channels_of_other_accounts_and_applications_are_not_seen_or_closed() {
    let mut world = World::start().await;
    let id = world.create_channel(URL).await.json()["channel"]["channel_id"].as_str().unwrap().to_owned();
    world.sim.add_channel(&world.account, "another", "http://127.0.0.1:1/hook");
    assert_eq!(ids(&world.get("/v1/channels").await.json()), std::slice::from_ref(&id));
    let other = world.sim.add_account(cronofy_sim::AccountDraft::default());
    world.token = world.token_of(&other).await;
    assert!(ids(&world.get("/v1/channels").await.json()).is_empty());
    assert_eq!(world.delete(&format!("/v1/channels/{id}")).await.status, 404);
    assert_eq!(world.sim.open_channels(&world.account).len(), 2);
}

#[tokio::test]
async fn the_verification_comes_when_the_switch_says() {
    for switch in [Verification::AfterCreate, Verification::BeforeAnswer, Verification::Delayed, Verification::Never] {
        let world = World::with(|settings| settings.verification = switch).await;
        let receiver = Receiver::start().await;
        world.create_channel(&receiver.url()).await;
        if switch == Verification::BeforeAnswer {
            assert_eq!(receiver.kinds(), ["verification"], "it came before the answer");
        }
        world.sim.settle().await;
        let at_once = matches!(switch, Verification::AfterCreate | Verification::BeforeAnswer);
        assert_eq!(receiver.kinds().len(), usize::from(at_once), "{switch:?}");
        world.sim.advance(Duration::from_secs(29)).await;
        assert_eq!(receiver.kinds().len(), usize::from(at_once), "{switch:?}");
        world.sim.advance(Duration::from_secs(1)).await;
        assert_eq!(receiver.kinds().len(), usize::from(switch != Verification::Never), "{switch:?}");
        world.create_channel(&receiver.url()).await;
        world.sim.settle().await;
        assert!(receiver.kinds().len() < 2, "an existing channel is not verified again");
    }
}

#[tokio::test]
async fn the_delay_of_a_verification_is_a_switch() {
    let world = World::with(|settings| {
        settings.verification = Verification::Delayed;
        settings.verification_delay = Duration::from_mins(5);
    })
    .await;
    let receiver = Receiver::start().await;
    world.create_channel(&receiver.url()).await;
    world.sim.advance(Duration::from_secs(299)).await;
    assert!(receiver.kinds().is_empty());
    world.sim.advance(Duration::from_secs(1)).await;
    assert_eq!(receiver.kinds(), ["verification"]);
}

#[tokio::test]
async fn an_unreachable_callback_does_not_fail_the_create() {
    let world = World::start().await;
    let refused = Receiver::start().await.url();
    assert_eq!(world.create_channel(&refused).await.status, 200);
    world.sim.settle().await;
    assert_eq!(world.sim.deliveries()[0].status, None);
}

#[tokio::test]
async fn the_end_of_a_grant_closes_channels_only_if_it_is_said_to() {
    for closes in [false, true] {
        let world = World::with(|settings| settings.close_on_revoke = closes).await;
        world.create_channel(URL).await;
        world.sim.revoke(&world.account);
        assert_eq!(world.sim.open_channels(&world.account).is_empty(), closes);
    }
    let world = World::start().await;
    world.create_channel(URL).await;
    world.sim.settings_for(Scope::account(&world.account), |settings| settings.close_on_revoke = true);
    world.sim.revoke(&world.account);
    assert!(world.sim.open_channels(&world.account).is_empty());
}
