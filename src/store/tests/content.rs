//! The documents: what they look like, and that they give back what was written.

use calendar_sync::Person;
use jiff::civil::Date;
use jiff::{Timestamp, ToSpan};
use proptest::prelude::*;

use super::super::content::{Content, sha256};
use super::*;

const UID: &str = "6f1c2f0e-0000-4000-8000-000000000001";

#[tokio::test]
async fn an_output_is_a_config_map_that_people_can_read() {
    let (server, _, _) = stored(&two_events()).await;
    let mut object = server.object(PATH).unwrap();
    object.metadata.uid = None;
    object.metadata.resource_version = None;
    insta::assert_snapshot!("config_map", serde_saphyr::to_string(&object).unwrap());
}

#[test]
fn events_are_sorted_by_start_then_id_and_stand_on_a_line_each() {
    let content = Content::encode(
        &snapshot([
            event("b", "2030-05-02T00:00:00Z"),
            event("a", "2030-05-02T00:00:00Z"),
            event("z", "2030-05-02"),
            event("late", "2030-05-02T00:00:00.5Z"),
            event("early", "2030-05-01T23:59:59Z"),
        ]),
        UID,
    )
    .unwrap();
    let ids: Vec<_> = content.events.lines().filter_map(|line| line.split('"').nth(3)).collect();
    assert_eq!(ids, ["early", "z", "a", "b", "late"]);
    assert_eq!(content.events.lines().count(), 7);
}

#[test]
fn no_events_are_an_empty_array() {
    let content = Content::encode(&snapshot([]), UID).unwrap();
    assert_eq!(content.events, "[]\n");
    assert_eq!(Content::decode(&content.events, &content.index, UID).unwrap().0, snapshot([]));
}

#[test]
fn the_content_hash_is_what_sha256sum_prints() {
    assert_eq!(sha256("[]\n"), "37517e5f3dc66819f61f5a7bb8ace1921282415f10551d2defa5c3eb0985b570");
}

#[test]
fn an_older_or_newer_format_is_told_from_damage() {
    let content = Content::encode(&two_events(), UID).unwrap();
    let newer = r#"{ "formatVersion": 2, "something": "else" }"#;
    assert_eq!(Content::decode(&content.events, newer, UID).unwrap_err(), Damage::Format);
}

#[test]
fn debug_shows_no_event() {
    let content = Content::encode(&two_events(), UID).unwrap();
    let head = Head { stored: Stored::Present(Box::new(two_events())), ..Head::default() };
    for text in [format!("{content:?}"), format!("{head:?}")] {
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
        events in proptest::collection::vec(any_event(), 0..8),
        cursor in 0..4_000_000_000_i64,
        complete: bool,
    ) {
        let snapshot = Snapshot { cursor: Timestamp::from_second(cursor).unwrap(), complete, ..snapshot(events) };
        let content = Content::encode(&snapshot, UID).unwrap();
        let (read, again) = Content::decode(&content.events, &content.index, UID).unwrap();
        prop_assert_eq!(&read, &snapshot);
        prop_assert_eq!(&again, &content);
    }

    #[test]
    fn a_single_changed_byte_is_noticed(at in any::<prop::sample::Index>(), byte in b' '..b'~', in_index: bool) {
        let content = Content::encode(&two_events(), UID).unwrap();
        let (mut events, mut index) = (content.events.clone(), content.index.clone());
        let text = if in_index { &mut index } else { &mut events };
        let at = at.index(text.len());
        text.replace_range(at..=at, std::str::from_utf8(&[byte]).unwrap());
        let changed = events != content.events || index != content.index;
        prop_assert_eq!(Content::decode(&events, &index, UID).is_err(), changed);
    }
}
