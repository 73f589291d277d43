//! What of an event is stored, and which events are.

use std::collections::BTreeMap;

use calendar_sync::Person;

use super::*;

/// An event in which every field is set.
fn full_event() -> Event {
    Event {
        time_zone: Some("Europe/Berlin".to_owned()),
        status: Some("confirmed".to_owned()),
        transparency: Some("opaque".to_owned()),
        participation: Some("accepted".to_owned()),
        recurring: Some(true),
        series: Some("series".to_owned()),
        location: Some("Room 7".to_owned()),
        description: Some("what for".to_owned()),
        organizer: Some(Person::default()),
        attendees: vec![Person::default()],
        meeting_url: Some("https://meet.example.org/7".to_owned()),
        updated: Some(at(NOW)),
        ..soon("a")
    }
}

/// The words of the fields that are left.
fn fields(event: Event) -> Vec<&'static str> {
    // Destructured without `..`: a new field must be placed here on purpose.
    let Event {
        id: _,
        calendar_id: _,
        start: _,
        end: _,
        all_day: _,
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
        updated,
    } = event;
    [
        ("time_zone", time_zone.is_some()),
        ("summary", summary.is_some()),
        ("status", status.is_some()),
        ("transparency", transparency.is_some()),
        ("participation", participation.is_some()),
        ("recurring", recurring.is_some()),
        ("series", series.is_some()),
        ("location", location.is_some()),
        ("description", description.is_some()),
        ("organizer", organizer.is_some()),
        ("attendees", !attendees.is_empty()),
        ("meeting_url", meeting_url.is_some()),
        ("updated", updated.is_some()),
    ]
    .into_iter()
    .filter_map(|(word, is_left)| is_left.then_some(word))
    .collect()
}

#[test]
fn a_visibility_leaves_what_it_says_and_nothing_else() {
    let busy = ["time_zone", "transparency"];
    let titles = ["time_zone", "summary", "status", "transparency"];
    assert_eq!(fields(Visibility::Busy.of(full_event())), busy);
    assert_eq!(fields(Visibility::Titles.of(full_event())), titles);
    assert_eq!(Visibility::Full.of(full_event()), full_event());
}

#[test]
fn what_was_stored_with_more_is_cut_when_the_visibility_is_narrowed_even_if_no_read_shows_it() {
    let mut case = Case::settled()
        .recorded(|record| record.account = Some(account(false, false)))
        .desiring(|desired| desired.visibility = Visibility::Busy);
    case.load(stored(&[full_event()]));
    case.answer(Outcome::Account(account(false, false)));
    case.page(Vec::new(), false);
    let kept = case.commits().events.remove("a").unwrap();
    assert_eq!(fields(kept), ["time_zone", "transparency"]);
}

#[test]
fn debug_shows_no_text_of_an_event() {
    let text = format!("{:?}", (full_event(), present(full_event()), stored(&[full_event()])));
    for secret in ["Off-site", "Room 7", "what for", "meet.example.org"] {
        assert!(!text.contains(secret), "{text}");
    }
}

/// Whether a range in that zone holds an event.
fn holds(zone: &str, from: &str, to: &str, start: &str, end: &str) -> bool {
    let range = DateRange { from: from.parse().unwrap(), to: to.parse().unwrap() };
    range.holds(&event("a", start, end), &TimeZone::parse(zone).unwrap())
}

#[test]
fn events_at_the_edges_belong_to_the_window_as_cronofy_documents() {
    let utc = |start, end| holds("Etc/UTC", "2026-11-01", "2026-11-30", start, end);
    for (start, end, held, why) in [
        ("2026-10-31T22:00:00Z", "2026-10-31T23:59:59Z", false, "ends before from"),
        ("2026-10-31T22:00:00Z", "2026-11-01T00:00:00Z", true, "ends on from"),
        ("2026-10-01T00:00:00Z", "2027-01-01T00:00:00Z", true, "begins before and ends after"),
        ("2026-11-29T23:59:59Z", "2026-11-30T08:00:00Z", true, "begins right before to"),
        ("2026-11-30T00:00:00Z", "2026-11-30T08:00:00Z", false, "begins on to"),
        ("2026-10-30", "2026-10-31", false, "days that end before from"),
        ("2026-10-31", "2026-11-01", true, "days that end on from"),
        ("2026-11-29", "2026-11-30", true, "the last day"),
        ("2026-11-30", "2026-12-01", false, "the day after it"),
    ] {
        assert_eq!(utc(start, end), held, "{why}");
    }
}

#[test]
fn days_begin_and_end_where_the_zone_says_also_when_the_clocks_change() {
    for (zone, start, end, held, why) in [
        // The clocks of Berlin go back on 25 October 2026: midnight is 22:00Z before and 23:00Z after.
        ("Europe/Berlin", "2026-10-25T22:59:59Z", "2026-10-25T23:30:00Z", true, "still the 25th in Berlin"),
        ("Europe/Berlin", "2026-10-25T23:00:00Z", "2026-10-25T23:30:00Z", false, "the 26th in Berlin"),
        ("Etc/UTC", "2026-10-25T23:00:00Z", "2026-10-25T23:30:00Z", true, "still the 25th in UTC"),
        ("Europe/Berlin", "2026-10-24T20:00:00Z", "2026-10-24T21:59:59Z", false, "the 24th in Berlin"),
        ("Europe/Berlin", "2026-10-24T20:00:00Z", "2026-10-24T22:00:00Z", true, "the 25th in Berlin"),
        ("Pacific/Kiritimati", "2026-10-25T10:00:00Z", "2026-10-25T11:00:00Z", false, "the 26th already"),
    ] {
        assert_eq!(holds(zone, "2026-10-25", "2026-10-26", start, end), held, "{zone}: {why}");
    }
    // On 6 September 2026 the clocks of Santiago go from midnight to one: the day has no midnight.
    assert!(!holds("America/Santiago", "2026-09-06", "2026-09-07", "2026-09-06T03:00:00Z", "2026-09-06T03:59:59Z"));
    assert!(holds("America/Santiago", "2026-09-06", "2026-09-07", "2026-09-06T03:00:00Z", "2026-09-06T04:00:00Z"));
    for year in ["0000", "9999"] {
        let (start, end) = (format!("{year}-01-01"), format!("{year}-01-02"));
        assert!(!holds("Asia/Tokyo", "2026-11-01", "2026-11-30", &start, &end), "{year}");
    }
}

#[test]
fn what_has_left_the_near_edge_goes_with_the_next_read_of_whatever() {
    let old = event("old", "2026-10-08T09:00:00Z", "2026-10-08T10:00:00Z");
    let mut case = Case::settled().marked(&[NotificationType::Change]);
    case.load(stored(&[old, soon("a")]));
    assert_eq!(case.reads().range.from.to_string(), "2026-10-09");
    case.page(Vec::new(), false);
    assert_eq!(case.commits().events.into_keys().collect::<Vec<_>>(), ["a"]);
}

#[test]
fn a_read_that_shows_more_than_was_asked_for_stores_no_more() {
    let mut case =
        Case::new().desiring(|desired| desired.filter.calendar_ids = Some(BTreeSet::from(["cal_1".to_owned()])));
    let configuration = channel::configuration(BASE, &ChannelFilter::from(&case.desired.filter));
    case = case.recorded(|record| {
        *record = settled();
        record.channel.configuration = Some(configuration);
    });
    case.load(Stored::Damaged);
    let elsewhere = Event { calendar_id: "cal_2".to_owned(), ..soon("elsewhere") };
    let far = event("far", "2027-06-09T09:00:00Z", "2027-06-09T10:00:00Z");
    case.page(vec![present(elsewhere), present(far), present(soon("a"))], false);
    let expected: BTreeMap<_, _> = [("a".to_owned(), soon("a"))].into();
    assert_eq!(case.commits().events, expected);
}
