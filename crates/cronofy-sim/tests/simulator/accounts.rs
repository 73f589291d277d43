//! Section 9 of the API: calendars, userinfo, profiles, account; and what becomes of accounts.

use std::time::Duration;

use cronofy_sim::{Answer, Endpoint, Fault, Gdpr, Restart, Scope};
use serde_json::json;

use crate::support::{CLIENT_ID, Receiver, World, answer, event};

#[tokio::test]
async fn calendars_userinfo_profiles_and_account_are_as_documented() {
    let world = World::start().await;
    let profile = world.sim.profiles(&world.account)[0].id.clone();
    let calendar = json!({
        "calendar_id": world.calendar, "calendar_name": "Home", "calendar_readonly": false, "calendar_deleted": false,
        "calendar_primary": true, "calendar_integrated_conferencing_available": false,
    });
    let mut listed = calendar.clone();
    for (field, value) in [("provider_name", "google"), ("profile_id", &profile), ("profile_name", "owner@example.org")]
    {
        listed[field] = json!(value);
    }
    assert_eq!(world.get("/v1/calendars").await.json(), json!({ "calendars": [listed] }));
    let shown = json!({
        "provider_name": "google", "provider_service": "google", "profile_id": profile,
        "profile_name": "owner@example.org", "profile_connected": true, "profile_initial_sync_required": false,
    });
    assert_eq!(world.get("/v1/profiles").await.json(), json!({ "profiles": [shown] }));
    let mut with_calendars = shown;
    with_calendars["profile_calendars"] = json!([calendar]);
    let expected = json!({
        "sub": world.account, "email": "owner@example.org", "name": "Owner", "zoneinfo": "Etc/UTC",
        "cronofy.type": "account",
        "cronofy.data": {
            "authorization": { "scope": "read_write", "status": "active" },
            "profiles": [with_calendars],
        },
    });
    assert_eq!(world.get("/v1/userinfo").await.json(), expected);
    let expected = json!({ "account": {
        "account_id": world.account, "email": "owner@example.org", "name": "Owner", "default_tzid": "Etc/UTC",
        "scope": "list_calendars read_events",
    }});
    assert_eq!(world.get("/v1/account").await.json(), expected);
}

#[tokio::test]
async fn a_broken_profile_is_flagged_told_and_read_stale_until_it_is_linked_again() {
    let world = World::start().await;
    let receiver = Receiver::start().await;
    world.channel(&receiver).await;
    world.change("before").await;
    receiver.take();
    world.sim.connect_profile(&world.account, false);
    world.sim.settle().await;
    assert_eq!(receiver.kinds(), ["profile_disconnected"]);
    let profile = world.get("/v1/profiles").await.json()["profiles"][0].clone();
    assert_eq!(profile["profile_connected"], false);
    assert!(profile["profile_relink_url"].as_str().unwrap().contains("/relink/google?email="));
    receiver.take();

    world.change("meanwhile").await;
    world.sim.rename_event("before", "renamed").unwrap();
    world.sim.rename_event("meanwhile", "renamed too").unwrap();
    world.sim.settle().await;
    let stale = world.read(&[]).await;
    assert_eq!((stale.status, stale.uids()), (200, vec!["before".to_owned()]));
    assert_eq!(stale.json()["events"][0]["summary"], "before");
    assert!(receiver.received().is_empty());

    world.sim.connect_profile(&world.account, true);
    world.sim.settle().await;
    assert_eq!(receiver.kinds(), ["change"], "nothing says that it is back, but changes come again");
    let events = world.read(&[]).await.json()["events"].clone();
    assert_eq!(events[0]["summary"], "renamed");
    assert_eq!(events[1]["summary"], "renamed too");
    assert!(world.get("/v1/profiles").await.json()["profiles"][0].get("profile_relink_url").is_none());
}

#[tokio::test]
async fn the_notice_of_a_broken_profile_comes_when_the_switch_says_or_never() {
    for (notice, after_9_minutes, after_10) in
        [(Some(Duration::ZERO), 1, 1), (Some(Duration::from_mins(10)), 0, 1), (None, 0, 0)]
    {
        let world = World::with(|settings| settings.disconnect_notice = notice).await;
        let receiver = Receiver::start().await;
        world.channel(&receiver).await;
        receiver.take();
        world.sim.connect_profile(&world.account, false);
        world.sim.advance(Duration::from_mins(9)).await;
        assert_eq!(receiver.received().len(), after_9_minutes, "{notice:?}");
        world.sim.advance(Duration::from_mins(1)).await;
        assert_eq!(receiver.received().len(), after_10, "{notice:?}");
    }
    let world = World::with(|settings| settings.stale_while_disconnected = false).await;
    world.sim.connect_profile(&world.account, false);
    world.change("one").await;
    assert_eq!(world.read(&[]).await.uids(), ["one"], "not stale, if the switch says so");
}

#[tokio::test]
async fn one_of_two_linked_profiles_breaks_alone_and_by_a_call() {
    let world = World::start().await;
    let apple = world.sim.add_profile(&world.account, "apple").unwrap();
    let calendar = world.sim.add_calendar(&apple, "Family");
    assert_eq!(world.sim.calendars(&world.account).len(), 2);
    let revoked = world.post(&format!("/v1/profiles/{apple}/revoke"), &json!({})).await;
    assert_eq!((revoked.status, revoked.text.as_str()), (202, ""));
    assert_eq!(world.post("/v1/profiles/pro_unknown/revoke", &json!({})).await.status, 404);
    let profiles = world.get("/v1/userinfo").await.json()["cronofy.data"]["profiles"].clone();
    assert_eq!((&profiles[0]["profile_connected"], &profiles[1]["profile_connected"]), (&json!(true), &json!(false)));
    assert_eq!(profiles[1]["profile_calendars"][0]["calendar_id"], calendar);
    world.sim.put_event(&calendar, event("stale", "2026-12-01T09:00:00Z")).unwrap();
    world.change("fresh").await;
    assert_eq!(world.read(&[]).await.uids(), ["fresh"]);
    world.sim.connect_profile(&apple, true);
    assert_eq!(world.read(&[]).await.uids(), ["fresh", "stale"]);
    let first = world.sim.issue_refresh_token(&world.account, CLIENT_ID);
    let second = world.sim.issue_refresh_token(&world.account, CLIENT_ID);
    for token in [first, second] {
        assert_eq!(world.refresh(&token).await.json()["sub"], world.account, "two users of one linked account");
    }
}

#[tokio::test]
async fn an_initial_sync_shows_half_and_its_end_is_told_to_channels_that_exist() {
    let world = World::start().await;
    let receiver = Receiver::start().await;
    for day in 1..=6 {
        world.sim.put_event(&world.calendar, event(&day.to_string(), &format!("2026-12-0{day}T09:00:00Z"))).unwrap();
    }
    world.sim.initial_sync(&world.account, true);
    assert_eq!(world.get("/v1/profiles").await.json()["profiles"][0]["profile_initial_sync_required"], true);
    assert_eq!(world.read(&[]).await.uids().len(), 3);
    world.sim.settings(|settings| settings.partial_initial_sync = false);
    assert_eq!(world.read(&[]).await.uids().len(), 6);
    world.sim.initial_sync(&world.account, false);
    world.channel(&receiver).await;
    assert_eq!(receiver.kinds(), ["verification"], "it ended before the channel existed");
    world.sim.initial_sync(&world.account, true);
    world.sim.initial_sync(&world.account, false);
    world.sim.settle().await;
    assert_eq!(receiver.kinds(), ["verification", "profile_initial_sync_completed"]);
    assert_eq!(world.read(&[]).await.uids().len(), 6);
}

#[tokio::test]
async fn a_broken_conferencing_profile_is_flagged_and_told() {
    let world = World::start().await;
    let receiver = Receiver::start().await;
    world.channel(&receiver).await;
    receiver.take();
    world.sim.connect_conferencing(&world.account, true);
    let shown = world.get("/v1/userinfo").await.json()["cronofy.data"]["conferencing_profiles"][0].clone();
    assert_eq!((&shown["provider_name"], &shown["profile_connected"]), (&json!("zoom"), &json!(true)));
    world.sim.connect_conferencing(&world.account, false);
    world.sim.settle().await;
    assert_eq!(receiver.kinds(), ["conferencing_profile_disconnected"]);
    let shown = world.get("/v1/userinfo").await.json()["cronofy.data"]["conferencing_profiles"][0].clone();
    assert_eq!(shown["profile_connected"], false);
    assert!(shown["profile_relink_url"].is_string());
}

#[tokio::test]
async fn a_demand_for_erasure_is_told_on_one_channel_or_all_and_may_end_the_grant() {
    for (switch, ends, told, refresh_answers) in
        [(Gdpr::OneChannel, false, 1, 200), (Gdpr::EveryChannel, false, 2, 200), (Gdpr::EveryChannel, true, 2, 400)]
    {
        let world = World::with(|settings| {
            settings.gdpr = switch;
            settings.gdpr_ends_grant = ends;
        })
        .await;
        let receivers = [Receiver::start().await, Receiver::start().await];
        for receiver in &receivers {
            world.channel(receiver).await;
            receiver.take();
        }
        let token = world.sim.issue_refresh_token(&world.account, CLIENT_ID);
        world.sim.request_gdpr(&world.account);
        world.sim.settle().await;
        let kinds: Vec<String> = receivers.iter().flat_map(Receiver::kinds).collect();
        assert_eq!(kinds, vec!["gdpr_requested"; told], "{switch:?}");
        assert_eq!(world.refresh(&token).await.status, refresh_answers, "{ends}");
    }
}

#[tokio::test]
async fn a_reduced_scope_refuses_what_needs_more() {
    let world = World::start().await;
    world.sim.limit_scope(&world.account, Some("list_calendars"));
    let statuses = async || {
        let mut statuses = Vec::new();
        for path in ["/v1/calendars", "/v1/events?tzid=Etc%2FUTC", "/v1/channels", "/v1/userinfo"] {
            statuses.push(world.get(path).await.status);
        }
        statuses
    };
    assert_eq!(statuses().await, [200, 403, 403, 200]);
    assert_eq!(world.get("/v1/account").await.json()["account"]["scope"], "list_calendars");
    let token = world.sim.issue_refresh_token(&world.account, CLIENT_ID);
    assert_eq!(world.refresh(&token).await.json()["scope"], "list_calendars");
    world.sim.limit_scope(&world.account, Some("read_events"));
    assert_eq!(statuses().await, [403, 200, 200, 200]);
    let own = json!({ "event_id": "x", "start": "2026-12-01", "end": "2026-12-02" });
    let path = format!("/v1/calendars/{}/events", world.calendar);
    assert_eq!(world.post(&path, &own).await.status, 403);
    world.sim.limit_scope(&world.account, None);
    assert_eq!(statuses().await, [200; 4]);
    assert_eq!(world.post(&path, &own).await.status, 202);
    for status in [402, 403, 423] {
        world.sim.refuse(&world.account, Some(status));
        assert_eq!(statuses().await, [status; 4]);
    }
    world.sim.refuse(&world.account, None);
    assert_eq!(statuses().await, [200; 4]);
}

#[tokio::test]
async fn a_deleted_account_is_gone_without_a_word() {
    let world = World::start().await;
    let receiver = Receiver::start().await;
    world.channel(&receiver).await;
    receiver.take();
    let token = world.sim.issue_refresh_token(&world.account, CLIENT_ID);
    world.sim.delete_account(&world.account);
    assert_eq!(world.refresh(&token).await.json(), json!({ "error": "invalid_grant" }));
    assert_eq!(world.get("/v1/userinfo").await.status, 401);
    world.sim.put_event(&world.calendar, event("one", "2026-12-01T09:00:00Z")).unwrap_err();
    world.sim.settle().await;
    assert!(receiver.take().is_empty());
}

#[tokio::test]
async fn a_deleted_calendar_stays_listed_and_its_events_are_deleted() {
    let world = World::start().await;
    let receiver = Receiver::start().await;
    world.change("one").await;
    world.change("two").await;
    world.channel(&receiver).await;
    receiver.take();
    world.sim.delete_calendar(&world.calendar).unwrap();
    world.sim.settle().await;
    assert_eq!(receiver.kinds(), ["change"]);
    assert_eq!(world.get("/v1/calendars").await.json()["calendars"][0]["calendar_deleted"], true);
    assert!(world.read(&[]).await.uids().is_empty());
    assert_eq!(world.read(&[("include_deleted", "true")]).await.uids().len(), 2);
    let own = json!({ "event_id": "x", "start": "2026-12-01", "end": "2026-12-02" });
    assert_eq!(world.post(&format!("/v1/calendars/{}/events", world.calendar), &own).await.status, 404);
    world.sim.delete_calendar("cal_unknown").unwrap_err();
}

#[tokio::test]
async fn a_read_only_calendar_says_so_and_takes_no_writes() {
    let world = World::start().await;
    let own = json!({ "event_id": "x", "start": "2026-12-01", "end": "2026-12-02" });
    let path = format!("/v1/calendars/{}/events", world.calendar);
    world.sim.make_read_only(&world.calendar, true).unwrap();
    assert_eq!(world.get("/v1/calendars").await.json()["calendars"][0]["calendar_readonly"], true);
    assert_eq!(world.post(&path, &own).await.status, 403);
    world.sim.make_read_only(&world.calendar, false).unwrap();
    assert_eq!(world.post(&path, &own).await.status, 202);
    world.sim.make_read_only("cal_unknown", true).unwrap_err();
}

#[tokio::test]
async fn a_restart_ends_connections_and_keeps_or_loses_the_channels() {
    for (restart, channels) in [(Restart::StateKept, 1), (Restart::ChannelsLost, 0)] {
        let world = World::start().await;
        let receiver = Receiver::start().await;
        world.channel(&receiver).await;
        world.change("one").await;
        receiver.take();
        let hold = world.sim.hold(Endpoint::UserInfo, 1);
        let waiting = answer(world.request(reqwest::Method::GET, "/v1/userinfo"));
        let restarting = async {
            hold.arrived().await;
            world.sim.restart(restart);
        };
        let (waiting, ()) = tokio::join!(waiting, restarting);
        waiting.unwrap_err();
        drop(hold);
        let listed = world.get("/v1/channels").await.json();
        assert_eq!(listed["channels"].as_array().unwrap().len(), channels, "{restart:?}");
        assert_eq!(world.read(&[]).await.uids(), ["one"], "{restart:?}");
        world.change("two").await;
        assert_eq!(receiver.take().len(), channels, "{restart:?}");
    }
}

#[tokio::test]
async fn faults_and_switches_of_one_account_leave_the_others_alone() {
    let mut world = World::start().await;
    let other = world.sim.add_account(cronofy_sim::AccountDraft::default());
    let other_token = world.token_of(&other).await;
    let fault = Fault::next(5, Endpoint::UserInfo, Answer::status(503));
    world.sim.inject(Fault { account: Some(other.clone()), ..fault });
    world.sim.settings_for(Scope::account(&other), |settings| settings.year_zero = true);
    world.sim.put_event(&world.calendar, event("mine", "2026-12-01T09:00:00Z")).unwrap();
    world.sim.put_event(&other, event("theirs", "2026-12-01T09:00:00Z")).unwrap();
    assert_eq!(world.get("/v1/userinfo").await.status, 200);
    assert_eq!(world.read(&[]).await.json()["events"][0]["created"], "2026-11-25T12:00:00Z");
    world.token = other_token;
    assert_eq!(world.get("/v1/userinfo").await.status, 503);
    assert_eq!(world.read(&[]).await.json()["events"][0]["created"], "0000-12-29T00:00:00Z");
}
