//! Sections 8, 10 and 12 of the API: which events a read shows, and in which form.

use std::time::Duration;

use cronofy_sim::{CalendarMove, EventDraft, EventTimes, OutsideWindow, Tombstones, When};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{World, answer, at, days, event};

#[tokio::test]
async fn an_event_is_shown_as_documented() {
    let world = World::start().await;
    let draft =
        event("evt_external_1", "2026-11-26T09:00:00Z").more(json!({ "location": { "description": "Room 7" } }));
    world.sim.put_event(&world.calendar, draft).unwrap();
    let read = world.read(&[]).await;
    assert_eq!(read.status, 200);
    assert_eq!(read.json()["pages"], json!({ "current": 1, "total": 1 }));
    let shown = &read.json()["events"][0];
    for (field, value) in [
        ("calendar_id", json!(world.calendar)),
        ("event_uid", json!("evt_external_1")),
        ("summary", json!("evt_external_1")),
        ("start", json!("2026-11-26T09:00:00Z")),
        ("end", json!("2026-11-26T10:00:00Z")),
        ("deleted", json!(false)),
        ("created", json!("2026-11-25T12:00:00Z")),
        ("updated", json!("2026-11-25T12:00:00Z")),
        ("location", json!({ "description": "Room 7" })),
        ("participation_status", json!("accepted")),
        ("transparency", json!("opaque")),
        ("status", json!("confirmed")),
        ("categories", json!([])),
        ("recurring", json!(false)),
        ("options", json!({ "delete": true, "update": true, "change_participation_status": true })),
    ] {
        assert_eq!(shown[field], value, "{field}");
    }
    assert!(shown.get("event_id").is_none(), "external events have none");
    let elsewhere = World::start().await;
    assert!(elsewhere.read(&[]).await.uids().is_empty());
}

#[tokio::test]
async fn bad_reads_are_refused_with_the_field() {
    let world = World::start().await;
    for (query, field, key) in [
        ("", "tzid", "errors.required"),
        ("tzid=Nowhere%2FCity", "tzid", "errors.tzid_unrecognized"),
        ("tzid=Etc%2FUTC&from=yesterday", "from", "errors.invalid"),
        ("tzid=Etc%2FUTC&to=2026-13-01", "to", "errors.invalid"),
        ("tzid=Etc%2FUTC&last_modified=2026-11-25", "last_modified", "errors.invalid"),
    ] {
        let refused = world.get(&format!("/v1/events?{query}")).await;
        assert_eq!((refused.status, &refused.json()["errors"][field][0]["key"]), (422, &json!(key)), "{query}");
    }
}

#[tokio::test]
async fn a_range_shows_what_starts_before_its_end_and_ends_on_or_after_its_start() {
    let world = World::start().await;
    for (uid, start) in [
        ("long before", "2026-12-08T10:00:00Z"),
        ("ends at the start", "2026-12-09T23:00:00Z"),
        ("straddles the start", "2026-12-09T23:30:00Z"),
        ("inside", "2026-12-10T12:00:00Z"),
        ("straddles the end", "2026-12-11T23:30:00Z"),
        ("starts at the end", "2026-12-12T00:00:00Z"),
    ] {
        world.sim.put_event(&world.calendar, event(uid, start)).unwrap();
    }
    world.sim.put_event(&world.calendar, days("all day before", "2026-12-08", "2026-12-09")).unwrap();
    world.sim.put_event(&world.calendar, days("all day at the start", "2026-12-10", "2026-12-11")).unwrap();
    world.sim.put_event(&world.calendar, days("all day at the end", "2026-12-12", "2026-12-13")).unwrap();
    let shown = world.read(&[("from", "2026-12-10"), ("to", "2026-12-12")]).await.uids();
    let expected = ["ends at the start", "straddles the start", "all day at the start", "inside", "straddles the end"];
    assert_eq!(shown, expected, "by start");

    let in_zone = world.request(Method::GET, "/v1/events").query(&[
        ("tzid", "America/New_York"),
        ("from", "2026-12-10"),
        ("to", "2026-12-12"),
    ]);
    let shown = answer(in_zone).await.unwrap().uids();
    assert!(!shown.contains(&"straddles the start".to_owned()), "the day begins at 05:00 UTC there: {shown:?}");
    assert!(shown.contains(&"starts at the end".to_owned()), "{shown:?}");
}

#[tokio::test]
async fn the_window_reaches_from_42_days_ago_to_201_ahead_and_moves() {
    let world = World::start().await;
    for (uid, start) in [
        ("43 days ago", "2026-10-13T09:00:00Z"),
        ("42 days ago", "2026-10-14T09:00:00Z"),
        ("200 days ahead", "2027-06-13T09:00:00Z"),
        ("201 days ahead", "2027-06-14T09:00:00Z"),
    ] {
        world.sim.put_event(&world.calendar, event(uid, start)).unwrap();
    }
    assert_eq!(world.read(&[]).await.uids(), ["42 days ago", "200 days ahead"]);
    let wide = [("from", "2026-01-01"), ("to", "2028-01-01")];
    assert_eq!(world.read(&wide).await.uids(), ["42 days ago", "200 days ahead"], "clamped");
    world.sim.settings(|settings| settings.outside_window = OutsideWindow::Refuse);
    for (query, field) in [(("from", "2026-10-13"), "from"), (("to", "2027-06-15"), "to")] {
        let refused = world.read(&[query]).await;
        assert_eq!((refused.status, refused.json()["errors"][field].is_array()), (422, true));
    }
    assert_eq!(world.read(&[("from", "2026-10-14"), ("to", "2027-06-14")]).await.status, 200);
    world.sim.settings(|settings| settings.window = (43, 202));
    assert_eq!(world.read(&[]).await.uids().len(), 4);
    world.sim.settings(|settings| {
        settings.window = (42, 201);
        settings.expires_in = None;
    });
    let mut world = world;
    world.sim.advance(Duration::from_hours(24)).await;
    world.token = world.fresh_token().await;
    assert_eq!(world.read(&[]).await.uids(), ["200 days ahead", "201 days ahead"], "a day later");
}

#[tokio::test]
async fn last_modified_is_inclusive_to_the_second() {
    let world = World::start().await;
    for uid in ["12:00:00", "12:00:10", "12:00:20"] {
        world.sim.put_event(&world.calendar, event(uid, "2026-12-01T09:00:00Z")).unwrap();
        world.sim.advance(Duration::from_secs(10)).await;
    }
    let since = async |time: &str| world.read(&[("last_modified", time)]).await.uids().len();
    assert_eq!(since("2026-11-25T12:00:10Z").await, 2);
    assert_eq!(since("2026-11-25T12:00:11Z").await, 1);
    assert_eq!(since("2026-11-25T12:00:00Z").await, 3);
    assert_eq!(since("2026-11-25T12:00:21Z").await, 0);
}

#[tokio::test]
async fn deleted_events_are_shown_only_if_asked_for_and_as_the_switches_say() {
    let mut world = World::start().await;
    world.sim.put_event(&world.calendar, event("one", "2026-12-01T09:00:00Z")).unwrap();
    world.sim.delete_event("one").unwrap();
    assert!(world.read(&[]).await.uids().is_empty());
    let deleted = [("include_deleted", "true")];
    let full = world.read(&deleted).await.json()["events"][0].clone();
    assert_eq!((&full["deleted"], &full["summary"]), (&json!(true), &json!("one")));
    world.sim.settings(|settings| settings.tombstones = Tombstones::IdsOnly);
    let ids = json!({ "calendar_id": world.calendar, "event_uid": "one", "deleted": true });
    assert_eq!(world.read(&deleted).await.json()["events"], json!([ids]));
    world.sim.settings(|settings| settings.tombstones = Tombstones::Never);
    assert!(world.read(&deleted).await.uids().is_empty());
    world.sim.settings(|settings| {
        settings.tombstones = Tombstones::Full;
        settings.tombstone_lifetime = Some(Duration::from_hours(3 * 24));
    });
    assert_eq!(world.read(&deleted).await.uids(), ["one"]);
    world.sim.advance(Duration::from_hours(3 * 24)).await;
    world.token = world.fresh_token().await;
    assert!(world.read(&deleted).await.uids().is_empty());
}

#[tokio::test]
async fn include_moved_shows_what_was_in_the_range_once() {
    let world = World::start().await;
    world.sim.put_event(&world.calendar, event("moved", "2026-12-01T09:00:00Z")).unwrap();
    world.sim.move_event("moved", at("2026-12-20T09:00:00Z"), at("2026-12-20T10:00:00Z")).unwrap();
    world.sim.move_event("moved", at("2028-01-01T09:00:00Z"), at("2028-01-01T10:00:00Z")).unwrap();
    let range = |from, to, moved| [("from", from), ("to", to), ("include_moved", moved)];
    for (from, to, shown) in
        [("2026-12-01", "2026-12-02", 1), ("2026-12-20", "2026-12-21", 1), ("2026-12-05", "2026-12-06", 0)]
    {
        assert_eq!(world.read(&range(from, to, "true")).await.uids().len(), shown, "{from}");
        assert!(world.read(&range(from, to, "false")).await.uids().is_empty(), "{from}");
    }
    let shown = world.read(&[("include_moved", "true")]).await.json()["events"][0].clone();
    assert_eq!(
        (&shown["start"], &shown["deleted"]),
        (&json!("2028-01-01T09:00:00Z"), &json!(false)),
        "where it is now"
    );
}

#[tokio::test]
async fn managed_events_are_written_read_and_deleted_by_the_application() {
    let world = World::start().await;
    let path = format!("/v1/calendars/{}/events", world.calendar);
    let own = |start: &str| json!({ "event_id": "op-4711", "summary": "Freeze", "start": start, "end": "2031-12-24T18:00:00Z" });
    let written = world.post(&path, &own("2031-12-24T08:00:00Z")).await;
    assert_eq!((written.status, written.text.as_str()), (202, ""));
    world.sim.put_event(&world.calendar, event("external", "2026-12-01T09:00:00Z")).unwrap();
    assert_eq!(world.read(&[]).await.uids(), ["external"], "by default they are left out");
    let all = world.read(&[("include_managed", "true")]).await;
    assert_eq!(all.json()["events"][1]["event_id"], "op-4711", "years ahead, since no dates bound them");
    assert_eq!(all.uids().len(), 2);
    let bounded = [("include_managed", "true"), ("from", "2026-11-25")];
    assert_eq!(world.read(&bounded).await.uids(), ["external"]);
    let only = world.read(&[("only_managed", "true")]).await;
    assert_eq!(only.uids().len(), 1);

    world.post(&path, &own("2031-12-24T09:00:00Z")).await;
    let again = world.read(&[("only_managed", "true")]).await;
    assert_eq!(again.uids(), only.uids(), "the same id is the same event");
    assert_eq!(again.json()["events"][0]["start"], "2031-12-24T09:00:00Z");
    let removed = world.request(Method::DELETE, &path).json(&json!({ "event_id": "op-4711" }));
    assert_eq!(answer(removed).await.unwrap().status, 202);
    let external = world.request(Method::DELETE, &path).json(&json!({ "event_uid": "external" }));
    assert_eq!(answer(external).await.unwrap().status, 202);
    assert!(world.read(&[("include_managed", "true")]).await.uids().is_empty());

    let missing = world.post(&path, &json!({ "event_id": "x", "summary": "", "start": "2026-12-01" })).await;
    assert_eq!((missing.status, missing.json()["errors"]["end"].is_array()), (422, true));
    assert_eq!(world.post("/v1/calendars/cal_unknown/events", &own("2031-12-24T08:00:00Z")).await.status, 404);
}

#[tokio::test]
async fn calendars_are_chosen_by_bracketed_ids() {
    let world = World::start().await;
    let (second, third) = (world.sim.add_calendar(&world.account, "B"), world.sim.add_calendar(&world.account, "C"));
    for (calendar, uid) in [(&world.calendar, "a"), (&second, "b"), (&third, "c")] {
        world.sim.put_event(calendar, event(uid, "2026-12-01T09:00:00Z")).unwrap();
    }
    let chosen = [("calendar_ids[]", second.as_str()), ("calendar_ids[]", third.as_str())];
    assert_eq!(world.read(&chosen).await.uids(), ["b", "c"]);
    let encoded = format!("/v1/events?tzid=Etc%2FUTC&calendar_ids%5B%5D={}", world.calendar);
    assert_eq!(world.get(&encoded).await.uids(), ["a"]);
    assert_eq!(world.read(&[]).await.uids().len(), 3);
}

#[tokio::test]
async fn an_event_put_into_another_calendar_is_gone_from_the_old_one() {
    for (switch, same_id) in [(CalendarMove::SameId, true), (CalendarMove::NewId, false)] {
        let world = World::with(|settings| settings.calendar_move = switch).await;
        let other = world.sim.add_calendar(&world.account, "Other");
        world.sim.put_event(&world.calendar, event("one", "2026-12-01T09:00:00Z")).unwrap();
        world.sim.move_to_calendar("one", &other).unwrap();
        let old = [("calendar_ids[]", world.calendar.as_str())];
        assert!(world.read(&old).await.uids().is_empty(), "{switch:?}");
        let old = [("calendar_ids[]", world.calendar.as_str()), ("include_deleted", "true")];
        let tombstone = world.read(&old).await.json()["events"][0].clone();
        assert_eq!((&tombstone["event_uid"], &tombstone["deleted"]), (&json!("one"), &json!(true)), "{switch:?}");
        assert_eq!(tombstone["calendar_id"], world.calendar, "{switch:?}");
        let new = world.read(&[("calendar_ids[]", other.as_str()), ("include_deleted", "true")]).await;
        assert_eq!(new.json()["events"][0]["deleted"], false, "{switch:?}");
        assert_eq!(new.uids()[0] == "one", same_id, "{switch:?}");
        let all = world.read(&[("include_deleted", "true")]).await.uids();
        assert_eq!(all.len(), if same_id { 1 } else { 2 }, "{switch:?}");
    }
}

/// The starts of two events, one all day, both in Berlin, and of one whose zone is not known.
async fn starts(switch: EventTimes, localized: &str) -> Vec<Value> {
    let world = World::with(|settings| settings.event_times = switch).await;
    world.sim.put_event(&world.calendar, days("day", "2026-12-01", "2026-12-03").zone("Europe/Berlin")).unwrap();
    world.sim.put_event(&world.calendar, event("berlin", "2026-12-02T14:30:00Z").zone("Europe/Berlin")).unwrap();
    world.sim.put_event(&world.calendar, event("somewhere", "2026-12-02T16:30:00Z")).unwrap();
    let events = world.read(&[("localized_times", localized)]).await.json()["events"].clone();
    events.as_array().unwrap().iter().map(|event| event["start"].clone()).collect()
}

#[tokio::test]
async fn times_stand_in_all_five_forms() {
    let plain = [json!("2026-12-01"), json!("2026-12-02T14:30:00Z"), json!("2026-12-02T16:30:00Z")];
    let unknown = |time: &str| json!({ "time": time, "tzid": "Etc/UTC" });
    let localized = [
        json!({ "time": "2026-12-01", "tzid": "Europe/Berlin" }),
        json!({ "time": "2026-12-02T15:30:00+01:00", "tzid": "Europe/Berlin" }),
        unknown("2026-12-02T16:30:00Z"),
    ];
    let none_known = [unknown("2026-12-01"), unknown("2026-12-02T14:30:00Z"), unknown("2026-12-02T16:30:00Z")];
    assert_eq!(starts(EventTimes::AsAsked, "false").await, plain);
    assert_eq!(starts(EventTimes::AsAsked, "true").await, localized);
    assert_eq!(starts(EventTimes::Plain, "true").await, plain);
    assert_eq!(starts(EventTimes::Localized, "false").await, localized);
    assert_eq!(starts(EventTimes::ZoneUnknown, "false").await, none_known);
    let mixed = [plain[0].clone(), localized[1].clone(), none_known[2].clone()];
    assert_eq!(starts(EventTimes::Mixed, "false").await, mixed);
}

#[tokio::test]
async fn the_end_of_an_all_day_event_is_exclusive() {
    let world = World::start().await;
    let day = |text: &str| When::On(text.parse().unwrap());
    let draft = EventDraft::new("Off-site", day("2026-12-03"), day("2026-12-05")).uid("days");
    world.sim.put_event(&world.calendar, draft).unwrap();
    let shown = world.read(&[]).await.json()["events"][0].clone();
    assert_eq!((&shown["start"], &shown["end"]), (&json!("2026-12-03"), &json!("2026-12-05")));
}

#[tokio::test]
async fn forms_of_events_are_switches() {
    let world = World::start().await;
    world.sim.put_event(&world.calendar, event("one", "2026-12-01T09:00:00Z")).unwrap();
    let shown = async || world.read(&[]).await.json()["events"][0].clone();
    let usual = shown().await;
    world.sim.settings(|settings| settings.year_zero = true);
    let zero = shown().await;
    assert_eq!((&zero["created"], &zero["updated"]), (&json!("0000-12-29T00:00:00Z"), &json!("0000-12-29T00:00:00Z")));
    let since = [("last_modified", "2026-11-25T12:00:00Z")];
    assert_eq!(world.read(&since).await.uids(), ["one"], "last_modified follows another time");
    world.sim.settings(|settings| {
        settings.year_zero = false;
        settings.optional_fields = false;
    });
    let bare = shown().await;
    let mut fields: Vec<&String> = bare.as_object().unwrap().keys().collect();
    fields.sort();
    assert_eq!(fields, ["calendar_id", "deleted", "end", "event_uid", "start"]);
    world.sim.settings(|settings| {
        settings.optional_fields = true;
        settings.unknown_event_fields = true;
    });
    assert!(shown().await.as_object().unwrap().len() > usual.as_object().unwrap().len());
    world.sim.settings(|settings| {
        settings.unknown_event_fields = false;
        settings.unknown_event_values = true;
    });
    let odd = shown().await;
    assert!(!["confirmed", "tentative", "cancelled", "unknown"].contains(&odd["status"].as_str().unwrap()));
    assert!(!["opaque", "transparent", "unknown"].contains(&odd["transparency"].as_str().unwrap()));
    world.sim.settings(|settings| {
        settings.unknown_event_values = false;
        settings.description_bytes = Some(2_000_000);
    });
    assert_eq!(shown().await["description"].as_str().unwrap().len(), 2_000_000);
}

#[tokio::test]
async fn a_series_of_500_occurrences_is_read_expanded_and_changes_as_one() {
    let world = World::start().await;
    let first = event("daily", "2026-11-01T09:00:00Z");
    let series = world.sim.put_series(&world.calendar, &first, 500, Duration::from_hours(8)).unwrap();
    assert_eq!(series.uids.len(), 500);
    let read = world.read(&[]).await.json();
    assert_eq!(read["pages"]["total"], 5);
    for shown in read["events"].as_array().unwrap() {
        assert_eq!((&shown["recurring"], &shown["series_identifier"]), (&json!(true), &json!(series.id)));
        assert!(shown.get("recurrence").is_none(), "no rule is shown");
    }
    world.sim.advance(Duration::from_secs(5)).await;
    world.sim.edit_series(&series, |draft| draft.summary = "renamed".to_owned()).unwrap();
    let delta = world.read(&[("last_modified", "2026-11-25T12:00:05Z")]).await.json();
    assert_eq!(delta["pages"]["total"], 5, "every occurrence changed");
    assert_eq!(delta["events"][0]["summary"], "renamed");
}
