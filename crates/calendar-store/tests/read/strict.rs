//! The calendar that programs subscribe to, read by the parsers of others: `strict.py`.

use std::fs;
use std::path::{Path, PathBuf};

use calendar_sync::{Event, Person};
use jiff::{Timestamp, ToSpan as _};
use serde_json::Value;

use crate::store::{Store, event};

const PATIENCE: std::time::Duration = std::time::Duration::from_secs(120);

#[expect(clippy::unnecessary_wraps, reason = "fields have it so")]
fn word(word: &str) -> Option<String> {
    Some(word.to_owned())
}

fn person(email: &str, name: &str, status: &str) -> Person {
    Person { email: word(email), name: word(name), status: word(status) }
}

/// One of each kind.
fn kinds() -> Vec<Event> {
    let hour = |id: &str| event(id, "2026-03-02T08:00:00Z", "2026-03-02T09:00:00Z");
    let mut events = vec![
        event("day", "2026-03-01", "2026-03-02"),
        event("days", "2026-02-27", "2026-03-03"),
        event("day of no length", "2026-03-01", "2026-03-01"),
        event("day and instant", "2026-03-01", "2026-03-01T12:00:00Z"),
        event("moment", "2026-03-02T08:00:00Z", "2026-03-02T08:00:00Z"),
        event("within a second", "2026-03-02T08:00:00.25Z", "2026-03-02T08:00:00.75Z"),
        event("backwards", "2026-03-02T08:00:00Z", "2026-03-02T07:00:00Z"),
        event("long ago", "0999-12-31T08:00:00Z", "0999-12-31T09:00:00Z"),
        event("far away", "9998-12-31", "9999-01-01"),
        Event {
            time_zone: word("Europe/Berlin"),
            ..event("clocks go forward", "2026-03-29T00:30:00Z", "2026-03-29T01:30:00Z")
        },
        Event {
            time_zone: word("Pacific/Auckland"),
            updated: Some("2026-02-01T10:11:12.5Z".parse().unwrap()),
            ..hour("zone")
        },
        Event { meeting_url: word("https://meet.example.org/ä b?c=[d|e]&f=100%#%zz"), ..hour("meeting") },
        Event { meeting_url: word("javascript:alert(1)"), ..hour("no meeting") },
    ];
    let start = "2026-03-02T08:00:00Z".parse::<Timestamp>().unwrap();
    events.extend((0..10_i64).map(|week| {
        let start = start + (week * 7 * 24).hours();
        let (start, end) = (start.to_string(), (start + 1.hour()).to_string());
        Event { recurring: Some(true), series: word("series"), ..event(&format!("series_{week}"), &start, &end) }
    }));
    for (number, status) in ["confirmed", "tentative", "cancelled", "somehow"].into_iter().enumerate() {
        for transparency in [None, word("opaque"), word("transparent")] {
            let id = format!("{status} {transparency:?} {number}");
            events.push(Event { status: word(status), transparency, ..hour(&id) });
        }
    }
    let texts = [
        "",
        " leading and trailing ",
        "\ttab",
        "a,b;c:d\\e\"f\\n",
        "lines\nof\r\nall\rkinds\u{2028}there\u{85}are\n",
        "über 😀 👩‍👩‍👧‍👦 e\u{301} \u{202e}עברית العربية 日本語\u{feff}",
        "BEGIN:VEVENT\r\nEND:VCALENDAR\r\n",
        "\u{0}\u{7}\u{1b}[31m\u{7f}\u{9f}",
        "^n ^' ^^ %0A =0A &amp; \u{fffd}",
    ];
    let long = ["x".repeat(74), "ä".repeat(500), "a😀".repeat(5_000), " ".repeat(300), "wörter, ".repeat(1_000)];
    for (number, text) in texts.map(str::to_owned).into_iter().chain(long).enumerate() {
        let text = Some(text);
        events.push(Event {
            summary: text.clone(),
            location: text.clone(),
            description: text.clone(),
            organizer: Some(Person { email: word("o@example.org"), name: text.clone(), status: None }),
            attendees: vec![Person { email: word("a@example.org"), name: text, status: None }],
            ..hour(&format!("text {number}"))
        });
    }
    for id in
        ["id,with;all:of\"it\\", "control", "control\u{1}", "control\u{2}", "control\n", "😀", &"long".repeat(200)]
    {
        events.push(hour(id));
    }
    let answers = ["accepted", "declined", "tentative", "needs_action", "unknown"];
    let mut attendees = answers.map(|answer| person(&format!("{answer}@example.org"), answer, answer)).to_vec();
    attendees.push(Person { name: word("without an address"), ..Person::default() });
    attendees.push(person("odd\"?subject=x&cc=y@example.org", "odd", "accepted"));
    attendees.extend((0..300).map(|number| person(&format!("guest{number}@example.org"), "Guest", "accepted")));
    events.push(Event {
        organizer: Some(person("o@example.org", "O^P \"Q\"", "accepted")),
        attendees,
        ..hour("guests")
    });
    events
}

/// Writes what the API gives of a calendar, in both forms.
async fn written(store: &Store, name: &str, folder: &Path) {
    let calendar = store.get(name, "events.ics").await;
    assert_eq!(calendar.status, 200);
    fs::write(folder.join(format!("{name}.ics")), &calendar.body).unwrap();
    let (mut events, mut after) = (Vec::<Value>::new(), String::new());
    loop {
        let page = store.get(name, &format!("events?limit=1000{after}")).await.json();
        events.extend(page["items"].as_array().unwrap().iter().cloned());
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    fs::write(folder.join(format!("{name}.json")), serde_json::to_vec(&events).unwrap()).unwrap();
}

/// The folder of the libraries, somewhere in what was unpacked.
fn libraries(root: &Path) -> PathBuf {
    let folders = fs::read_dir(root.join("usr/lib")).unwrap().map(|entry| entry.unwrap().path());
    folders.into_iter().find(|folder| folder.join("libical.so.3").exists()).unwrap()
}

/// What `strict.py` says to a folder.
async fn read(folder: PathBuf) -> (bool, String) {
    let output = tokio::task::spawn_blocking(move || {
        let mut command = std::process::Command::new(testenv::python().unwrap());
        command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/read/strict.py")).arg(folder);
        command.env("LD_LIBRARY_PATH", libraries(&testenv::packages("calendar").unwrap()));
        command.output().unwrap()
    });
    let output = tokio::time::timeout(PATIENCE, output).await.unwrap().unwrap();
    (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

#[tokio::test]
async fn the_parsers_of_others_read_what_the_events_say() {
    let store = Store::new().await;
    store.commit("kinds", kinds(), &[]).await;
    store.commit("empty", [], &[]).await;
    let many = (0..2000).map(|number: i64| {
        let start = "2026-01-01T08:00:00Z".parse::<Timestamp>().unwrap() + (number * 3).hours();
        let (start, end) = (start.to_string(), (start + 90.minutes()).to_string());
        Event { summary: word("Primary: payments"), ..event(&format!("evt_{number:05}"), &start, &end) }
    });
    store.commit("many", many, &[]).await;
    let folder = tempfile::tempdir().unwrap();
    for name in ["kinds", "empty", "many"] {
        written(&store, name, folder.path()).await;
    }
    let (sound, said) = read(folder.path().to_owned()).await;
    assert!(sound, "{said}");
    println!("{said}");
    assert_eq!(said.matches("by three parsers").count(), 3);
    let calendar = |name: &str| fs::read_to_string(folder.path().join(format!("{name}.ics"))).unwrap();
    let uids = |text: &str| -> Vec<String> {
        text.replace("\r\n ", "").lines().filter(|line| line.starts_with("UID:")).map(str::to_owned).collect()
    };

    // A change of an event leaves its name as it is.
    let (before, changed) =
        (calendar("kinds"), Event { summary: word("moved"), ..event("day", "2026-03-01", "2026-03-04") });
    store.commit("kinds", [changed], &[]).await;
    let after = store.get("kinds", "events.ics").await.text();
    assert_eq!(uids(&before), uids(&after));

    // It would be noticed: each of these is wrong in one place.
    let folder = tempfile::tempdir().unwrap();
    written(&store, "kinds", folder.path()).await;
    let right = fs::read_to_string(folder.path().join("kinds.ics")).unwrap();
    let wrong = [
        ("DTSTAMP:19700101T000000Z\r\n", ""),
        ("DTEND;VALUE=DATE:20260303", "DTEND;VALUE=DATE:20260302"),
        ("STATUS:CANCELLED", "STATUS:CONFIRMED"),
        ("DTSTART:20260302T080000Z", "DTSTART:20260302T080000"),
        ("VERSION:2.0\r\n", ""),
        ("\r\nBEGIN:VEVENT", "\nBEGIN:VEVENT"),
        ("SUMMARY:a\\,b", "SUMMARY:a,b"),
        ("PARTSTAT=DECLINED", "PARTSTAT=GONE"),
        ("UID:days@", "UID:day@"),
        ("END:VCALENDAR\r\n", ""),
        ("TRANSP:OPAQUE\r\n", "TRANSP:OPAQUE\r\nTRANSP:OPAQUE\r\n"),
        ("TRANSP:OPAQUE\r\n", "TRANSP:OPAQUE\r\nRRULE:FREQ=DAILY\r\n"),
    ];
    let events = fs::read_to_string(folder.path().join("kinds.json")).unwrap();
    for (number, (place, wrong)) in wrong.into_iter().enumerate() {
        assert!(right.contains(place), "{place}");
        fs::write(folder.path().join(format!("wrong-{number}.ics")), right.replacen(place, wrong, 1)).unwrap();
        fs::write(folder.path().join(format!("wrong-{number}.json")), &events).unwrap();
    }
    let (_, said) = read(folder.path().to_owned()).await;
    assert_eq!(said.matches("by three parsers").count(), 1, "{said}");
    for (number, (place, wrong)) in wrong.into_iter().enumerate() {
        assert!(said.contains(&format!("wrong-{number} is wrong:")), "{place} as {wrong} goes unnoticed: {said}");
    }
}
