//! What is copied: which calendars, which events, which days, and how much of each.

use std::collections::BTreeSet;

use crate::support::world::CLIENT_ID;
use crate::support::{World, event, on};
use cronofy_operator::api::CalendarSubscription;
use cronofy_sim::{Endpoint, EventDraft, RequestRecord, When};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use serde_json::{Value, json};

/// The reads of events so far.
fn reads(world: &World) -> Vec<RequestRecord> {
    world.sim.requests().into_iter().filter(|request| request.endpoint == Endpoint::Events).collect()
}

fn asked<'a>(read: &'a RequestRecord, key: &str) -> Vec<&'a str> {
    read.query.iter().filter(|(name, _)| name == key).map(|(_, value)| value.as_str()).collect()
}

/// Asks for a full sync and waits until it is made.
async fn read_all(world: &World, name: &str, value: &str) {
    world.annotate(name, "cronofy-operator.dev/requestedAt", value).await;
    let handled = |subscription: &CalendarSubscription| {
        subscription.status.as_ref().and_then(|status| status.last_handled_request.as_deref()) == Some(value)
    };
    world.until(name, "has read everything", handled).await;
}

#[tokio::test]
async fn only_the_calendars_named_are_copied_and_events_come_and_go_as_they_change_calendars() {
    let world = World::start("calendars").await;
    let team = world.sim.add_calendar(&world.account, "Team");
    let duty = world.sim.add_calendar(&world.account, "Duty");
    for (calendar, title) in [(&world.account, "home"), (&team, "team"), (&duty, "duty")] {
        world.sim.put_event(calendar, event(title, 1)).unwrap();
    }
    let _operator = world.operator().await;
    world.subscribe("all", json!({ "calendarIds": [duty, team] })).await;
    world.ready("all").await;
    world.titles("all", &["team", "duty"]).await;
    let wanted = BTreeSet::from([team.as_str(), duty.as_str()]);
    assert_eq!(asked(&reads(&world)[0], "calendar_ids[]").into_iter().collect::<BTreeSet<_>>(), wanted);
    let channel = world.channel(world.ns(), "all", &world.account).await;
    let mut sorted = vec![team.clone(), duty.clone()];
    sorted.sort();
    assert_eq!(channel.filters.calendar_ids, Some(sorted), "Cronofy tells of no other");

    world.sim.move_to_calendar("home", &team).unwrap();
    world.titles("all", &["home", "team", "duty"]).await;
    world.sim.move_to_calendar("team", &duty).unwrap();
    world
        .events_until("all", "has moved within", |events| {
            events.iter().any(|event| event["id"] == "team" && event["calendarId"] == json!(duty))
        })
        .await;
    world.sim.put_event(&world.account, event("home again", 2)).unwrap();
    world.sim.put_event(&duty, event("duty again", 2)).unwrap();
    world.titles("all", &["home", "team", "duty", "duty again"]).await;
}

/// Writes an event as the application itself, which Cronofy tells nobody of.
async fn write_as_application(world: &World, id: &str) {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let grant = json!({
        "client_id": CLIENT_ID, "client_secret": crate::support::world::CLIENT_SECRET, "grant_type": "refresh_token",
        "refresh_token": world.sim.issue_refresh_token(&world.account, CLIENT_ID),
    });
    let answer = http.post(format!("{}/oauth/token", world.sim.api_url())).json(&grant).send().await.unwrap();
    let tokens: Value = answer.json().await.unwrap();
    let calendar = &world.sim.calendars(&world.account)[0];
    let body = json!({ "event_id": id, "summary": id, "description": "", "start": on(1, 0), "end": on(1, 1) });
    let answer = http
        .post(format!("{}/v1/calendars/{calendar}/events", world.sim.api_url()))
        .bearer_auth(tokens["access_token"].as_str().unwrap())
        .json(&body)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status().as_u16(), 202);
}

#[tokio::test]
async fn events_of_the_application_itself_are_copied_unless_they_are_not_wanted() {
    let world = World::start("managed").await;
    world.sim.put_event(&world.account, event("external", 1)).unwrap();
    write_as_application(&world, "managed").await;
    let _operator = world.operator().await;
    world.subscribe("both", json!({})).await;
    world.subscribe("external", json!({ "includeManaged": false })).await;
    world.subscribe("managed", json!({ "onlyManaged": true })).await;
    let expected: [(&str, &[&str]); 3] =
        [("both", &["external", "managed"]), ("external", &["external"]), ("managed", &["managed"])];
    for (name, titles) in expected {
        world.ready(name).await;
        world.titles(name, titles).await;
    }

    // An own write is not told, so it comes with the next read; what others do to it is told.
    write_as_application(&world, "written later").await;
    for (name, _) in expected {
        read_all(&world, name, "once").await;
    }
    world.titles("both", &["external", "managed", "written later"]).await;
    world.titles("external", &["external"]).await;
    world.titles("managed", &["managed", "written later"]).await;
    let events = world.events("managed").await;
    let written = events.iter().find(|event| event["summary"] == "written later").unwrap();
    world.sim.rename_event(written["id"].as_str().unwrap(), "renamed by its owner").unwrap();
    world.titles("both", &["external", "managed", "renamed by its owner"]).await;
    world.titles("managed", &["managed", "renamed by its owner"]).await;

    world.sim.settle().await;
    let channel = world.channel(world.ns(), "managed", &world.account).await;
    world.sim.clear_journal();
    world.sim.put_event(&world.account, event("nothing to it", 2)).unwrap();
    world.titles("external", &["external", "nothing to it"]).await;
    world.sim.settle().await;
    assert!(world.sim.deliveries().iter().all(|delivery| delivery.channel != channel.id));
}

#[tokio::test]
async fn no_more_of_an_event_is_stored_anywhere_in_the_output_than_the_visibility_allows() {
    let words = ["SUMMARY", "DESCRIPTION", "PLACE", "ORGANIZER", "ATTENDEE", "MEETING", "SERIES"];
    let more = json!({
        "description": "DESCRIPTION",
        "location": { "description": "PLACE", "lat": "51.5", "long": "-0.12" },
        "organizer": { "email": "organizer@example.org", "display_name": "ORGANIZER" },
        "attendees": [{ "email": "attendee@example.org", "display_name": "ATTENDEE", "status": "accepted" }],
        "meeting_url": "https://meet.example.org/MEETING",
        "recurring": true,
        "series_identifier": "SERIES",
        "categories": ["CATEGORY"],
        "unheard_of": "UNKNOWN",
    });
    let busy = ["id", "calendarId", "start", "end", "allDay", "timeZone", "transparency"];
    let titles = [&busy[..], &["summary", "status"]].concat();
    let full = [
        &titles[..],
        &["participation", "recurring", "series", "location", "description", "organizer", "attendees", "meetingUrl"],
        &["updated"],
    ]
    .concat();
    let cases: [(&str, &str, &[&str], &[&str]); 3] =
        [("busy", "Busy", &busy, &[]), ("titles", "Titles", &titles, &["SUMMARY"]), ("full", "Full", &full, &words)];

    let world = World::start("visible").await;
    let draft = EventDraft { zone: Some("Europe/Berlin".to_owned()), ..event("SUMMARY", 1).uid("one").more(more) };
    world.sim.put_event(&world.account, draft).unwrap();
    let _operator = world.operator().await;
    for (name, visibility, ..) in cases {
        world.subscribe(name, json!({ "visibility": visibility })).await;
    }
    for (name, _, keys, allowed) in cases {
        world.ready(name).await;
        exactly(&world, name, keys, allowed).await;
    }

    // Less is wanted from now on: what was stored goes.
    world.subscribe("full", json!({ "visibility": "Busy" })).await;
    world.events_until("full", "is stripped", |events| events.iter().all(|event| event.get("summary").is_none())).await;
    exactly(&world, "full", &busy, &[]).await;
}

/// The only event has exactly these keys, and of the words that stand in it only these are anywhere in the `ConfigMap`.
async fn exactly(world: &World, name: &str, keys: &[&str], words: &[&str]) {
    let events = world.events(name).await;
    let found: BTreeSet<&str> = events[0].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(found, keys.iter().copied().collect(), "{name}");
    let text = json!(world.output(&format!("{name}-events")).await.unwrap()).to_string();
    for word in [
        "SUMMARY",
        "DESCRIPTION",
        "PLACE",
        "51.5",
        "ORGANIZER",
        "organizer@",
        "ATTENDEE",
        "attendee@",
        "MEETING",
        "SERIES",
        "CATEGORY",
        "UNKNOWN",
        "owner@example.org",
    ] {
        let of_person = matches!(word, "organizer@" | "attendee@") && words.contains(&"ORGANIZER");
        assert_eq!(text.contains(word), words.contains(&word) || of_person, "{word} in {name}: {text}");
    }
}

#[tokio::test]
async fn every_form_of_time_is_understood_and_stored_in_one() {
    let world = World::start("times").await;
    let (day, next) = (date(2), date(3));
    let noon = |zone: &str| day.at(12, 0, 0, 0).in_tz(zone).unwrap();
    let berlin = noon("Europe/Berlin");
    let utc = |time: Timestamp| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let offset = berlin.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string();
    let instant = json!(utc(berlin.timestamp()));
    let cases = [
        ("date", json!(day), json!(next), json!(day), true, Value::Null),
        ("instant", instant.clone(), json!(utc(berlin.timestamp())), instant.clone(), false, Value::Null),
        (
            "zoned",
            json!({ "time": offset, "tzid": "Europe/Berlin" }),
            json!({ "time": offset, "tzid": "Europe/Berlin" }),
            instant.clone(),
            false,
            json!("Europe/Berlin"),
        ),
        (
            "unknown zone",
            json!({ "time": instant, "tzid": "Etc/UTC" }),
            json!({ "time": instant, "tzid": "Etc/UTC" }),
            instant.clone(),
            false,
            json!("Etc/UTC"),
        ),
        (
            "zoned date",
            json!({ "time": day, "tzid": "Europe/Berlin" }),
            json!({ "time": next, "tzid": "Europe/Berlin" }),
            json!(day),
            true,
            json!("Europe/Berlin"),
        ),
    ];
    for (title, start, end, ..) in &cases {
        let draft = event(title, 2).more(json!({ "start": start, "end": end }));
        world.sim.put_event(&world.account, draft).unwrap();
    }
    let _operator = world.operator().await;
    world.subscribe("all", json!({ "timeZone": "Europe/Berlin" })).await;
    world.ready("all").await;
    let events = world.events("all").await;
    assert_eq!(events.len(), cases.len());
    for (title, _, _, start, all_day, zone) in cases {
        let stored = events.iter().find(|event| event["summary"] == title).unwrap();
        assert_eq!(stored["start"], start, "{title}");
        assert_eq!(stored["allDay"], json!(all_day), "{title}");
        assert_eq!(stored["timeZone"], zone, "{title}");
        assert_eq!(stored["end"], if all_day { json!(next) } else { start }, "{title}: a whole day ends with the next");
    }
}

/// The date some days from now, in UTC.
fn date(days: i64) -> Date {
    on(days, 0).to_zoned(TimeZone::UTC).date()
}

/// Days beyond a narrow window that are read as well: as many as pass until the next sweep, and two more.
const READ_AHEAD: i64 = 3;

#[tokio::test]
async fn a_narrow_window_copies_its_days_only_and_a_wider_one_the_others_too() {
    let world = World::start("window").await;
    for (title, day) in [("long ago", -5), ("the other day", -2), ("soon", 2), ("later", 9)] {
        world.sim.put_event(&world.account, event(title, day)).unwrap();
    }
    let all_day = |title: &str, day: i64| EventDraft::new(title, date(day), date(day + 1)).uid(title);
    world.sim.put_event(&world.account, all_day("whole day soon", 2)).unwrap();
    world.sim.put_event(&world.account, all_day("whole day later", 10)).unwrap();
    let _operator = world.operator().await;
    world.subscribe("all", json!({ "window": { "pastDays": 3, "futureDays": 4 } })).await;
    world.ready("all").await;
    world.titles("all", &["the other day", "soon", "whole day soon"]).await;

    world.sim.move_event("later", on(3, 0), on(3, 1)).unwrap();
    world.sim.move_event("soon", on(30, 0), on(30, 1)).unwrap();
    world.titles("all", &["the other day", "whole day soon", "later"]).await;

    world.subscribe("all", json!({ "window": { "pastDays": 10, "futureDays": 40 } })).await;
    world.titles("all", &["long ago", "the other day", "soon", "later", "whole day soon", "whole day later"]).await;
    world.subscribe("all", json!({ "window": { "pastDays": 0, "futureDays": 4 } })).await;
    world.titles("all", &["whole day soon", "later"]).await;
}

#[tokio::test]
async fn the_days_of_the_window_begin_in_the_time_zone_of_the_subscription() {
    let world = World::start("zone").await;
    let _operator = world.operator().await;
    // The first and the last place on earth where a day begins: their dates always differ.
    for (name, zone) in [("first", "Pacific/Kiritimati"), ("last", "Pacific/Pago_Pago")] {
        let place = TimeZone::get(zone).unwrap();
        let today = || Timestamp::now().to_zoned(place.clone()).date();
        let before = today();
        world.sim.clear_journal();
        world.subscribe(name, json!({ "timeZone": zone, "window": { "pastDays": 1, "futureDays": 3 } })).await;
        world.ready(name).await;
        let read = reads(&world).remove(0);
        assert_eq!(asked(&read, "tzid"), [zone]);
        let (from, to) =
            (asked(&read, "from")[0].parse::<Date>().unwrap(), asked(&read, "to")[0].parse::<Date>().unwrap());
        // From the near edge in the zone; to the far edge where it is later today, and the days that pass until the next sweep.
        let expected = |today: Date| {
            let far = today.min(date(0)).saturating_add((3 + READ_AHEAD).days());
            (today.saturating_sub(1.day()), far)
        };
        assert!([before, today()].map(expected).contains(&(from, to)), "{zone}: {from} to {to}, today is {before}");

        // An hour before the last day ends there, and an hour after; the last whole day, and the next one.
        let edge = When::On(to).instant(&place);
        let (hour, last) = (SignedDuration::from_hours(1), to.saturating_sub(1.day()));
        world
            .sim
            .put_event(&world.account, EventDraft::new(format!("beyond the {name} hour"), edge + hour, edge + hour * 2))
            .unwrap();
        let beyond = EventDraft::new(format!("beyond the {name} day"), to, to.saturating_add(1.day()));
        world.sim.put_event(&world.account, beyond).unwrap();
        world.sim.put_event(&world.account, EventDraft::new(format!("{name} day"), last, to)).unwrap();
        let within = EventDraft::new(format!("{name} hour"), edge - hour, edge).uid(name);
        world.sim.put_event(&world.account, within).unwrap();
        let titles = [format!("{name} day"), format!("{name} hour")];
        let both = |events: &[Value]| titles.iter().all(|title| events.iter().any(|event| event["summary"] == **title));
        let events = world.events_until(name, "has both within", both).await;
        let moved_on = today() != before;
        // What lies beyond the first place's days may lie within the last one's.
        let titles = titles.map(|title| format!("beyond the {title}"));
        let beyond = events.iter().any(|event| titles.iter().any(|title| event["summary"] == **title));
        assert!(!beyond || moved_on, "{zone}: {events:#?}");
    }
}
