//! The documents: what they look like, and that they give back what was written.

use calendar_sync::Person;
use jiff::civil::Date;
use jiff::{Timestamp, ToSpan};
use proptest::prelude::*;

use super::super::content::{self, Body, Content, sha256};
use super::super::index::Index;
use super::*;

fn encode(snapshot: &Snapshot) -> Content {
    Content::encode(snapshot, &target()).unwrap()
}

/// The two texts of an output without slices.
fn texts(content: &Content) -> (String, String) {
    let Body::Inline(events) = &content.body else { panic!("it has slices") };
    (events.clone(), content.index.encode().unwrap())
}

fn decode(events: &str, index: &str) -> Result<Snapshot, Damage> {
    content::snapshot(&Index::decode(index, &target())?, std::iter::once(events))
}

#[tokio::test]
async fn an_output_is_a_config_map_that_people_can_read() {
    let (server, _, _) = stored(&two_events()).await;
    let mut object = server.object(PATH).unwrap();
    object.metadata.uid = None;
    object.metadata.resource_version = None;
    object.metadata.creation_timestamp = None;
    insta::assert_snapshot!("config_map", serde_saphyr::to_string(&object).unwrap());
}

#[test]
fn events_are_sorted_by_start_then_id_and_stand_on_a_line_each() {
    let (events, _) = texts(&encode(&snapshot([
        event("b", "2030-05-02T00:00:00Z"),
        event("a", "2030-05-02T00:00:00Z"),
        event("z", "2030-05-02"),
        event("late", "2030-05-02T00:00:00.5Z"),
        event("early", "2030-05-01T23:59:59Z"),
    ])));
    let ids: Vec<_> = events.lines().filter_map(|line| line.split('"').nth(3)).collect();
    assert_eq!(ids, ["early", "z", "a", "b", "late"]);
    assert_eq!(events.lines().count(), 7);
}

#[test]
fn no_events_are_an_empty_array() {
    let (events, index) = texts(&encode(&snapshot([])));
    assert_eq!(events, "[]\n");
    assert_eq!(decode(&events, &index).unwrap(), snapshot([]));
}

#[test]
fn the_content_hash_is_what_sha256sum_prints() {
    assert_eq!(sha256("[]\n"), "37517e5f3dc66819f61f5a7bb8ace1921282415f10551d2defa5c3eb0985b570");
}

#[test]
fn an_older_or_newer_format_is_told_from_damage() {
    let newer = r#"{ "formatVersion": 2, "something": "else" }"#;
    assert_eq!(Index::decode(newer, &target()).unwrap_err(), Damage::Format);
}

#[test]
fn debug_shows_no_event() {
    let content = encode(&two_events());
    let many = encode(&snapshot((0..200).map(|number| event(&format!("evt_{number}"), "2030-05-05"))));
    let head = Head { stored: Stored::Present(Box::new(two_events())), ..Head::default() };
    for text in [format!("{content:?}"), format!("{many:?}"), format!("{head:?}")] {
        assert!(!text.contains("evt_") && !text.contains("Secret plan"), "{text}");
    }
}

fn time() -> impl Strategy<Value = EventTime> {
    let seconds = Timestamp::MIN.as_second()..=Timestamp::MAX.as_second();
    let instant = (seconds, prop_oneof![Just(0), 0..1_000_000_000])
        .prop_filter_map("beyond time", |(second, nanosecond)| Timestamp::new(second, nanosecond).ok());
    let date = (0..20_000_i32).prop_map(|days| EventTime::Date(Date::constant(2000, 1, 1).saturating_add(days.days())));
    prop_oneof![instant.prop_map(EventTime::Instant), date]
}

/// Text with everything that JSON has to escape, and more.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), "[\\x00-\\x1f\"\\\\/<>&\u{2028}\u{1F4C5}]{0,8}"]
}

fn maybe_text() -> impl Strategy<Value = Option<String>> {
    proptest::option::of(text())
}

fn person() -> impl Strategy<Value = Person> {
    (maybe_text(), maybe_text(), maybe_text()).prop_map(|(email, name, status)| Person { email, name, status })
}

fn any_event() -> impl Strategy<Value = Event> {
    let times = (time(), time(), any::<bool>(), maybe_text());
    let titles = (maybe_text(), maybe_text(), maybe_text(), maybe_text());
    let rest = (
        proptest::option::of(any::<bool>()),
        maybe_text(),
        maybe_text(),
        maybe_text(),
        proptest::option::of(person()),
        proptest::collection::vec(person(), 0..3),
        maybe_text(),
        proptest::option::of(0..2_000_000_000_i64),
    );
    (text(), text(), times, titles, rest).prop_map(|(id, calendar_id, times, titles, rest)| {
        let (start, end, all_day, time_zone) = times;
        let (summary, status, transparency, participation) = titles;
        let (recurring, series, location, description, organizer, attendees, meeting_url, updated) = rest;
        Event {
            id,
            calendar_id,
            start,
            end,
            all_day,
            time_zone,
            summary,
            status,
            transparency,
            participation,
            recurring,
            series,
            location,
            description,
            organizer,
            attendees,
            meeting_url,
            updated: updated.map(|second| Timestamp::from_second(second).unwrap()),
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_snapshot_is_read_back_as_it_was(
        events in proptest::collection::vec(any_event(), 0..80),
        cursor in 0..4_000_000_000_i64,
        complete: bool,
    ) {
        let snapshot = Snapshot { cursor: Timestamp::from_second(cursor).unwrap(), complete, ..snapshot(events) };
        let content = encode(&snapshot);
        let index = Index::decode(&content.index.encode().unwrap(), &target()).unwrap();
        prop_assert_eq!(&index, &content.index);
        let texts: Vec<&str> = content.body.texts().collect();
        let read = content::snapshot(&index, texts.iter().copied()).unwrap();
        prop_assert_eq!(&read, &snapshot);
        prop_assert_eq!(&encode(&read), &content);
        for (text, slice) in texts.iter().zip(&index.slices) {
            let events: Vec<Event> = serde_json::from_str(text).unwrap();
            prop_assert_eq!((slice.events, slice.bytes, &slice.hash), (events.len(), text.len(), &sha256(text)));
        }
    }

    #[test]
    fn a_single_changed_byte_is_noticed(at in any::<prop::sample::Index>(), byte in b' '..b'~', in_index: bool) {
        let before = texts(&encode(&two_events()));
        let (mut events, mut index) = before.clone();
        let text = if in_index { &mut index } else { &mut events };
        let at = at.index(text.len());
        text.replace_range(at..=at, std::str::from_utf8(&[byte]).unwrap());
        let changed = (events.clone(), index.clone()) != before;
        prop_assert_eq!(decode(&events, &index).is_err(), changed);
    }
}
