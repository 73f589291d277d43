//! The far edge of the window: how far it has been read, when it is read on, and by whose clock.

use super::*;

fn swept(through: &str) -> Snapshot {
    Snapshot { swept_through: through.parse().unwrap(), ..snapshot(&[soon("a")]) }
}

fn loaded(case: Case, snapshot: Snapshot) -> Case {
    let mut case = case;
    case.load(Stored::Present(Box::new(snapshot)));
    case
}

/// Answers the look at the account that comes before a sweep.
fn looked(mut case: Case) -> Case {
    assert_eq!(case.next(), Step::CheckAccount);
    case.answer(Outcome::Account(account(true, false)));
    case
}

#[test]
fn after_any_absence_a_sweep_reads_on_from_where_the_last_one_ended() {
    let case = looked(loaded(Case::settled(), swept("2027-05-01")));
    let request = case.reads();
    assert_eq!((request.purpose, request.modified_since), (Purpose::Sweep, None));
    assert_eq!(request.range, dates("2027-04-29", "2027-06-09"));
}

#[test]
fn a_sweep_moves_the_far_edge_and_never_the_cursor_and_deletes_nothing_and_acts_on_no_mark() {
    let before = swept("2027-05-01");
    let mut case = looked(loaded(Case::settled(), before.clone()));
    case.page(vec![present(event("far", "2027-05-20T09:00:00Z", "2027-05-20T10:00:00Z"))], false);
    let after = case.commits();
    assert_eq!(after.swept_through.to_string(), "2027-06-09");
    assert_eq!((after.cursor, after.last_full_sync), (before.cursor, before.last_full_sync));
    assert_eq!(after.events.keys().collect::<Vec<_>>(), ["a", "far"]);
    case.observed.mark = mark(&[NotificationType::Change]);
    case.commit();
    assert_eq!(case.observed.acted_on, None);
}

#[test]
fn a_delta_reads_no_further_than_what_was_swept() {
    let case = looked(loaded(Case::settled().marked(&[NotificationType::Change]), swept("2027-05-01")));
    assert_eq!(case.reads().range, dates("2026-10-09", "2027-05-01"));
}

#[test]
fn nothing_left_of_what_was_read_or_more_than_there_is_asks_for_everything() {
    for through in ["2026-10-09", "2026-09-01", "2027-06-10", "2028-01-01"] {
        let case = looked(loaded(Case::settled(), swept(through)));
        assert_eq!(case.reads().purpose, Purpose::Full, "{through}");
    }
}

#[test]
fn a_narrow_window_is_read_ahead_so_that_nothing_enters_it_unread() {
    let window = Window::new(7, 30);
    let (utc, day) = (TimeZone::utc(), Duration::from_hours(24));
    assert_eq!(
        window.horizon(at(NOW), &utc, day).to_string(),
        "2026-12-23",
        "30 days, one to the next sweep, two more"
    );
    let due = window.sweep_due("2026-12-23".parse().unwrap(), &utc, day);
    assert_eq!(due, at("2026-11-21T00:00:00Z"));
    assert_eq!(Window::new(0, 201).horizon(at(NOW), &utc, day).to_string(), "2027-06-09", "never beyond Cronofy's");
}

#[test]
fn the_sweeps_of_a_fleet_are_spread_over_the_day() {
    let dues: BTreeSet<_> = (0..50)
        .map(|number| {
            let case = Case::settled().desiring(|desired| {
                desired.uid = format!("uid {number}");
                desired.intervals.channel_check = Duration::MAX;
                desired.intervals.full_sync = Duration::MAX;
            });
            let case = loaded(case, swept("2027-06-09"));
            let Step::Wait { until: Some(until), why: Why::HorizonSweep } = case.next() else {
                panic!("{:?}", case.next())
            };
            assert!(until > at("2026-11-21T00:00:00Z") && until < at("2026-11-22T00:02:00Z"), "{until}");
            until
        })
        .collect();
    let quarter = |hours: i64| {
        let from = at("2026-11-21T00:02:00Z").as_second() + hours * 3600;
        dues.iter().filter(|due| (from..from + 6 * 3600).contains(&due.as_second())).count()
    };
    assert!([0, 6, 12, 18].map(quarter).into_iter().all(|dues| dues > 4), "{dues:?}");
}

#[test]
fn cronofys_clock_decides_what_may_be_said_to_be_swept() {
    let mut ahead = Case::settled().recorded(|record| {
        record.channel.created = Some(at("2027-01-19T12:00:00Z"));
        record.channel.last_check = Some(at("2027-01-20T11:00:00Z"));
    });
    ahead.now = at("2027-01-20T12:00:00Z");
    let before = Snapshot { last_full_sync: at("2027-01-19T12:00:00Z"), ..swept("2027-06-09") };
    let mut case = looked(loaded(ahead, before));
    let asked = case.reads();
    assert_eq!(asked.range.to.to_string(), "2027-08-09", "our clock is two months ahead, and nobody has told yet");
    case.answer(Outcome::Page {
        events: Vec::new(),
        managed: BTreeSet::new(),
        more: false,
        server_time: Some(at(NOW)),
    });
    match case.next() {
        Step::ReadEvents(request) => assert_eq!(request.range.to.to_string(), "2027-06-09", "asked for anew"),
        step => assert!(matches!(step, Step::Wait { .. } | Step::ListChannels), "{step:?}"),
    }
}

#[test]
fn what_was_asked_for_by_a_clock_that_was_behind_is_asked_for_anew() {
    let mut behind = Case::settled().desiring(|desired| desired.request = Some("now".to_owned()));
    behind.observed.memory.clock_difference = jiff::SignedDuration::from_hours(-24 * 40);
    behind.load(stored(&[soon("a")]));
    let mut case = looked(behind);
    assert_eq!(case.reads().range.to.to_string(), "2027-04-30");
    case.page(vec![present(soon("a"))], false);
    assert_eq!(case.reads().range, dates("2026-10-09", "2027-06-09"), "else what lies beyond would be dropped");
    case.page(vec![present(soon("a"))], false);
    assert_eq!(case.commits().swept_through.to_string(), "2027-06-09");
}

#[test]
fn what_is_swept_while_a_profile_is_broken_is_read_again_when_it_is_back() {
    let mut case = loaded(Case::settled(), swept("2027-05-01"));
    case.answer(Outcome::Account(account(false, false)));
    case.page(Vec::new(), false);
    assert!(!case.commits().complete, "what it had to show at the edge was not shown");
}
