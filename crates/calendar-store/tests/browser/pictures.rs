//! The pictures of the docs, and that the page is as good to use in each of these looks.

use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use calendar_sync::Event;
use fantoccini::Locator;
use serde_json::json;

use crate::site::{Site, View};
use crate::store::event;

/// The largest picture.
const LARGEST: usize = 150_000;

fn entry(id: &str, calendar: &str, (start, end): (&str, &str), title: &str, place: Option<&str>) -> Event {
    Event {
        calendar_id: calendar.to_owned(),
        summary: Some(title.to_owned()),
        location: place.map(str::to_owned),
        ..event(id, start, end)
    }
}

/// A week of a team, in Berlin's winter.
fn week() -> Vec<Event> {
    let (shifts, rooms, changes) = ("calendar-1", "calendar-5", "calendar-3");
    let day = |day: u8, from: &'static str, to: &'static str| {
        (format!("2026-12-0{day}T{from}:00+01:00"), format!("2026-12-0{day}T{to}:00+01:00"))
    };
    let timed = |id: &str, calendar: &str, (start, end): (String, String), title: &str, place: Option<&str>| {
        entry(id, calendar, (&start, &end), title, place)
    };
    let mut events = vec![
        entry("1", shifts, ("2026-11-30", "2026-12-03"), "On call: first shift", None),
        entry("2", shifts, ("2026-12-03", "2026-12-07"), "On call: second shift", None),
        entry("3", changes, ("2026-12-04", "2026-12-14"), "Change freeze", None),
        timed(
            "4",
            rooms,
            ("2026-11-30T09:30:00+01:00".into(), "2026-11-30T10:00:00+01:00".into()),
            "Stand-up",
            Some("Room Birch"),
        ),
        timed(
            "5",
            rooms,
            ("2026-11-30T13:00:00+01:00".into(), "2026-11-30T14:30:00+01:00".into()),
            "Capacity review",
            Some("Room Oak"),
        ),
        timed("6", rooms, day(1, "09:30", "10:00"), "Stand-up", Some("Room Birch")),
        timed("7", changes, day(1, "10:30", "12:00"), "Storage upgrade", Some("Cluster north")),
        timed("8", rooms, day(1, "11:00", "12:30"), "Interview", Some("Room Elm")),
        timed("9", rooms, day(1, "15:00", "16:00"), "Release review", Some("Room Oak")),
        timed("10", rooms, day(2, "09:30", "10:00"), "Stand-up", Some("Room Birch")),
        timed("11", rooms, day(2, "10:30", "12:30"), "Incident practice", Some("Room Oak")),
        timed("12", rooms, day(2, "12:45", "13:30"), "Vendor call", None),
        timed("13", rooms, day(2, "11:15", "12:15"), "Room booked: workshop", Some("Room Elm")),
        timed("14", changes, day(2, "14:00", "15:30"), "Certificate rotation", Some("Cluster south")),
        timed("15", rooms, day(2, "16:00", "16:30"), "Handover", Some("Room Birch")),
        timed("16", rooms, day(3, "09:30", "10:00"), "Stand-up", Some("Room Birch")),
        timed("17", rooms, day(3, "13:00", "15:00"), "Planning", Some("Room Oak")),
        timed("18", rooms, day(4, "09:30", "10:00"), "Stand-up", Some("Room Birch")),
        timed("19", rooms, day(4, "14:00", "15:00"), "Retrospective", Some("Room Elm")),
        timed("20", changes, day(5, "08:00", "10:00"), "Restore exercise", Some("Cluster north")),
    ];
    let mut set =
        |id: &str, change: &dyn Fn(&mut Event)| change(events.iter_mut().find(|event| event.id == id).unwrap());
    set("8", &|event| event.status = Some("tentative".to_owned()));
    set("12", &|event| event.status = Some("cancelled".to_owned()));
    set("19", &|event| event.transparency = Some("transparent".to_owned()));
    set("11", &|event| {
        event.description = Some("Practise the loss of a zone.\nBring the runbook.".to_owned());
        event.meeting_url = Some("https://meet.example/practice".to_owned());
    });
    events
}

#[tokio::test]
async fn the_page_is_accessible_in_every_look_and_the_docs_show_it() {
    let site = Site::start().await;
    site.store.commit("team", week(), &[]).await;
    let zone = "timeZone=Europe%2FBerlin";
    let view = site.open(&site.calendar("team", zone)).await;
    for (name, scheme, size, query) in [
        ("agenda", "light", (1100, 900), "view=agenda&date=2026-12-01"),
        ("week", "light", (1400, 1200), "view=week&date=2026-12-02"),
        ("day", "dark", (1000, 1200), "view=day&date=2026-12-02"),
        ("phone", "dark", (390, 844), "view=agenda&date=2026-12-02"),
        ("agenda-dark", "dark", (1100, 900), "view=agenda&date=2026-12-01"),
        ("week-dark", "dark", (1280, 900), "view=week&date=2026-12-02"),
        ("day-light", "light", (1100, 900), "view=day&date=2026-12-02"),
        ("smallest-week", "light", (320, 640), "view=week&date=2026-12-02"),
        ("smallest-day", "light", (320, 640), "view=day&date=2026-12-02"),
        ("smallest-agenda", "light", (320, 640), "view=agenda&date=2026-12-02"),
    ] {
        view.looks(scheme, size).await;
        view.goto(&site.calendar("team", &format!("{query}&{zone}"))).await;
        view.has("#live.on").await;
        view.is_accessible(name).await;
        let wide = view.value("document.documentElement.scrollWidth > innerWidth").await;
        assert_eq!(wide, json!(false), "{name} is wider than the window");
        taken(&view, name).await;
    }
    for path in
        ["/calendars", "/calendars?namespace=rooms", "/calendars/rooms/none", "/calendars/rooms/team?date=never"]
    {
        for scheme in ["light", "dark"] {
            view.looks(scheme, (1100, 900)).await;
            view.goto(&site.url(path)).await;
            view.is_accessible(path).await;
        }
        let _refusals = view.tab.complaints().await;
    }
    let stranger = site.stranger(&site.calendar("team", "")).await;
    stranger.is_accessible("signing in").await;
    taken(&stranger, "sign-in").await;
    stranger.tab.find(Locator::Css("[name=token]")).await.unwrap().send_keys("wrong").await.unwrap();
    stranger.tab.find(Locator::Css("main button")).await.unwrap().click().await.unwrap();
    stranger.has(".alert").await;
    stranger.is_accessible("signing in once more").await;
    stranger.tab.close().await;
    view.ends_quietly().await;
}

/// With `UPDATE=1`, and for those that the docs show.
async fn taken(view: &View<'_>, name: &str) {
    let folder = match std::env::var_os("UPDATE") {
        Some(_) if ["agenda", "week", "day", "phone"].contains(&name) => "docs/images",
        Some(_) => "target/images",
        None => return,
    };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(folder);
    std::fs::create_dir_all(&folder).unwrap();
    let shot = json!({ "format": "png", "captureBeyondViewport": false, "optimizeForSpeed": false });
    let answer = view.tab.command("Page.captureScreenshot", shot).await;
    let picture = BASE64_STANDARD.decode(answer["data"].as_str().unwrap()).unwrap();
    assert!(picture.len() < LARGEST, "{name} has {} bytes", picture.len());
    std::fs::write(folder.join(format!("page-{name}.png")), picture).unwrap();
}
