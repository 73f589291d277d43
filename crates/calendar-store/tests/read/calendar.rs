//! The calendar that programs subscribe to.

use calendar_sync::{Event, Person};
use http::Request;
use icalendar::parser::{Component, read_calendar, unfold};
use jiff::Timestamp;

use crate::store::{Answer, Store, event, path};

/// Texts that would like to be more than texts.
const HOSTILE: [&str; 8] = [
    "plain",
    "a,b;c:d\\e\"f",
    "x\r\nEND:VEVENT\r\nBEGIN:VEVENT\r\nUID:evil",
    "x\nATTENDEE:mailto:evil@example.org",
    "x\rLOCATION:evil",
    "\u{0}\u{7}\u{1b}[31m\u{85}X:1\u{2028}Y:2",
    "\\n\\\\n\\,",
    "über 😀 und eine Zeile, die so lang ist, dass sie gefaltet wird: ääääääääääääääääääääääääääääääääääääää",
];

/// The value of a property, which the parser gives as its text.
fn value(component: &Component<'_>, name: &str) -> Option<String> {
    let property = component.properties.iter().find(|property| property.name == name)?;
    Some(property.val.as_ref().to_owned())
}

/// What is left of a text: its characters, and its lines.
fn left(text: &str) -> String {
    let lines = text.replace("\r\n", "\n").replace(['\r', '\u{85}', '\u{2028}', '\u{2029}'], "\n");
    lines.chars().filter(|character| *character == '\n' || !character.is_control()).collect()
}

#[tokio::test]
async fn hostile_texts_stay_what_they_are() {
    let store = Store::new().await;
    let events: Vec<Event> = HOSTILE
        .iter()
        .enumerate()
        .map(|(number, text)| {
            let text = Some((*text).to_owned());
            let person =
                || Person { email: text.clone().map(|text| text + "@x"), name: text.clone(), status: text.clone() };
            Event {
                summary: text.clone(),
                location: text.clone(),
                description: text.clone(),
                status: text.clone(),
                transparency: text.clone(),
                meeting_url: text.clone().map(|text| format!("https://example.org/{text}")),
                organizer: Some(person()),
                attendees: vec![person(), person()],
                ..event(text.as_ref().unwrap(), &format!("2026-03-01T{number:02}:00:00Z"), "2026-03-01T09:00:00Z")
            }
        })
        .collect();
    store.commit("berlin", events, &[]).await;
    let answer = store.get("berlin", "events.ics").await;
    assert_eq!(answer.header("content-type"), "text/calendar; charset=utf-8");
    let text = answer.text();
    assert!(text.ends_with("END:VCALENDAR\r\n"));
    for line in text.split("\r\n") {
        assert!(line.len() <= 75, "{line}");
        assert!(!line.contains(|character: char| character.is_control() && character != '\t'), "{line:?}");
    }
    let unfolded = unfold(&text);
    let calendar = read_calendar(&unfolded).unwrap();
    assert_eq!(calendar.components.len(), HOSTILE.len());
    for (component, hostile) in calendar.components.iter().zip(HOSTILE) {
        assert_eq!(component.name, "VEVENT");
        for name in ["SUMMARY", "LOCATION", "DESCRIPTION"] {
            assert_eq!(value(component, name).unwrap(), left(hostile), "{name}");
        }
        let names: Vec<&str> = component.properties.iter().map(|property| property.name.as_str()).collect();
        let expected = [
            "UID",
            "DTSTAMP",
            "DTSTART",
            "DTEND",
            "TRANSP",
            "SUMMARY",
            "LOCATION",
            "DESCRIPTION",
            "URL",
            "ORGANIZER",
            "ATTENDEE",
            "ATTENDEE",
        ];
        assert_eq!(names, expected, "{hostile}");
    }
}

#[tokio::test]
async fn times_and_words_are_those_of_the_event() {
    let store = Store::new().await;
    let word = |word: &str| Some(word.to_owned());
    let updated: Timestamp = "2026-02-01T10:11:12Z".parse().unwrap();
    store
        .commit(
            "berlin",
            [
                event("day", "2026-03-01", "2026-03-03"),
                Event {
                    status: word("tentative"),
                    transparency: word("transparent"),
                    updated: Some(updated),
                    organizer: Some(Person { email: word("o@example.org"), name: word("O \"P\""), status: None }),
                    attendees: vec![
                        Person { email: word("a@example.org"), name: None, status: word("accepted") },
                        Person { email: None, name: word("nobody"), status: None },
                    ],
                    ..event("hour", "2026-03-02T08:00:00Z", "2026-03-02T09:00:00Z")
                },
                event("moment", "2026-03-04T08:00:00Z", "2026-03-04T08:00:00Z"),
            ],
            &[],
        )
        .await;
    let text = store.get("berlin", "events.ics").await.text().replace("\r\n ", "");
    let entries: Vec<Vec<&str>> = text
        .split("BEGIN:VEVENT\r\n")
        .skip(1)
        .map(|entry| entry.split("END:VEVENT").next().unwrap().lines().collect())
        .collect();
    let plain = |uid: &'static str| [uid, "DTSTAMP:19700101T000000Z"];
    let ends = ["TRANSP:OPAQUE", "SUMMARY:Busy"];
    let day = [&plain("UID:day@uid-berlin")[..], &["DTSTART;VALUE=DATE:20260301", "DTEND;VALUE=DATE:20260303"], &ends]
        .concat();
    assert_eq!(entries[0], day);
    assert_eq!(
        entries[1],
        [
            "UID:hour@uid-berlin",
            "DTSTAMP:20260201T101112Z",
            "DTSTART:20260302T080000Z",
            "DTEND:20260302T090000Z",
            "STATUS:TENTATIVE",
            "TRANSP:TRANSPARENT",
            "SUMMARY:Busy",
            "ORGANIZER;CN=\"O ^'P^'\":mailto:o@example.org",
            "ATTENDEE;PARTSTAT=ACCEPTED:mailto:a@example.org",
            "LAST-MODIFIED:20260201T101112Z",
        ]
    );
    assert_eq!(entries[2], [&plain("UID:moment@uid-berlin")[..], &["DTSTART:20260304T080000Z"], &ends].concat());
    assert!(text.contains("X-WR-CALNAME:rooms/berlin\r\n"));
    let part = store.get("berlin", "events.ics?from=2026-03-03&to=2026-03-05").await.text();
    assert_eq!(part.matches("BEGIN:VEVENT").count(), 1);
}

#[tokio::test]
async fn a_large_calendar_is_complete_and_the_same_each_time() {
    let store = Store::new().await;
    let events = (0..3000).map(|number| Event {
        description: Some("text ".repeat(50)),
        ..event(&format!("evt_{number:05}"), "2026-03-01T08:00:00Z", "2026-03-01T09:00:00Z")
    });
    store.commit("berlin", events, &[]).await;
    let (one, two) = (store.get("berlin", "events.ics").await, store.get("berlin", "events.ics").await);
    assert_eq!(one.body, two.body);
    assert_eq!(one.text().matches("BEGIN:VEVENT").count(), 3000);
}

#[tokio::test]
async fn the_token_of_a_feed_opens_the_calendar_and_nothing_else() {
    let store = Store::new().await;
    store.commit("berlin", [], &[]).await;
    let without_header = async |rest: &str| Answer::of(store.ask(Request::get(path("berlin", rest))).await).await;
    assert_eq!(without_header("events.ics?token=feed").await.status, 200);
    without_header("events.ics?token=other").await.refused(401, None);
    without_header("events.ics").await.refused(401, None);
    for rest in ["events?token=feed", "changes?token=feed", "now?token=feed"] {
        without_header(rest).await.refused(401, None);
    }
    store.get("berlin", "events?token=feed").await.refused(400, Some("token"));
}
