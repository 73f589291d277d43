//! What is done without a notification, and when.

use std::ops::ControlFlow;

use calendar_sync::{READ_SPACING, REPAIR_SPACING, upcoming};
use jiff::SignedDuration;

use super::*;

fn idle() -> Case {
    let mut case = Case::settled();
    case.load(stored(&[soon("a")]));
    case
}

fn later(time: Timestamp, span: Duration) -> Timestamp {
    time.checked_add(SignedDuration::try_from(span).unwrap()).unwrap()
}

#[test]
fn the_first_read_is_one_of_everything_and_comes_after_the_channel() {
    let mut case = Case::new();
    case.load(Stored::Absent);
    let mut order = Vec::new();
    let way = loop {
        order.push(match case.next() {
            Step::CheckAccount => {
                case.answer(Outcome::Account(account(true, false)));
                "account"
            }
            Step::Record(_) => {
                case.write();
                "record"
            }
            Step::ListChannels => {
                case.answer(Outcome::Channels(Vec::new()));
                "list"
            }
            Step::CreateChannel { .. } => {
                case.answer(Outcome::ChannelCreated { id: "chn_1".to_owned() });
                "create"
            }
            Step::ReadEvents(request) => break ControlFlow::Break(request),
            step => break ControlFlow::Continue(step),
        });
    };
    let ControlFlow::Break(request) = way else { panic!("{way:?}") };
    assert_eq!(order, ["account", "record", "list", "create", "record"], "what changes during the read is announced");
    assert_eq!((request.purpose, request.modified_since, request.page), (Purpose::Initial, None, 0));
    assert_eq!(request.range, dates("2026-10-09", "2027-06-09"));
}

#[test]
fn everything_is_read_again_at_its_interval_up_to_a_tenth_early() {
    let interval = Intervals::default().full_sync;
    let times: BTreeSet<_> = (0..50)
        .map(|number| {
            let mut case = Case::settled().desiring(|desired| {
                desired.uid = format!("uid {number}");
                desired.intervals.horizon_sweep = Duration::MAX;
                desired.intervals.channel_check = Duration::MAX;
            });
            case.load(stored(&[]));
            let Step::Wait { until: Some(until), why: Why::FullSync } = case.next() else {
                panic!("{:?}", case.next())
            };
            assert_eq!(upcoming(&case.desired, &case.observed, case.now), Some((Why::FullSync, until)));
            let last = snapshot(&[]).last_full_sync;
            assert!(until <= later(last, interval) && until >= later(last, interval * 9 / 10), "{until}");
            case.now = until;
            let mut due = case.again();
            due.load(stored(&[])).look();
            assert_eq!((due.reads().purpose, due.reads().modified_since), (Purpose::Full, None));
            until
        })
        .collect();
    assert!(times.len() > 40, "a fleet does not read all at once");
}

#[test]
fn a_request_is_answered_once_by_a_read_of_everything() {
    let mut case = Case::settled().desiring(|desired| desired.request = Some("one".to_owned()));
    case.load(stored(&[soon("a")])).look();
    assert_eq!(case.reads().modified_since, None);
    case.page(Vec::new(), false).commit();
    assert_eq!(case.records().handled_request.as_deref(), Some("one"));
    case.write();
    assert!(case.rests());
    let mut again = case.again();
    again.load(stored(&[]));
    assert!(again.rests(), "the same value asks for nothing more");
    let mut removed = case.again().desiring(|desired| desired.request = None);
    removed.load(stored(&[]));
    assert!(removed.rests(), "and none asks for nothing");
}

#[test]
fn whatever_decides_which_events_are_stored_and_how_asks_for_everything_when_it_changes() {
    let changes: [fn(&mut Desired); 6] = [
        |desired| desired.filter.calendar_ids = Some(BTreeSet::from(["cal_1".to_owned()])),
        |desired| desired.filter.only_managed = true,
        |desired| desired.filter.include_managed = true,
        |desired| desired.time_zone = TimeZone::parse("Europe/Berlin").unwrap(),
        |desired| desired.window = Window::new(1, 2),
        |desired| desired.visibility = Visibility::Busy,
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut case = Case::settled().desiring(change);
        let configuration = channel::configuration(BASE, &ChannelFilter::from(&case.desired.filter));
        case = case.recorded(|record| record.channel.configuration = Some(configuration));
        case.load(stored(&[]));
        if matches!(case.next(), Step::Commit(_)) {
            case.commit().write();
        }
        case.look();
        assert_eq!((case.reads().purpose, case.reads().modified_since), (Purpose::Full, None), "{number}");
    }
    let mut paces = Case::settled().desiring(|desired| desired.intervals.poll = Duration::from_secs(60));
    paces.load(stored(&[]));
    assert!(paces.rests(), "how often is no content");
}

#[test]
fn a_damaged_or_removed_output_is_written_anew_but_not_all_the_time() {
    for found in [Stored::Damaged, Stored::Absent] {
        let mut case = Case::settled();
        case.load(found.clone());
        assert_eq!((case.reads().purpose, case.reads().modified_since), (Purpose::Full, None));

        let just_read = case.now;
        let mut soon = Case::settled().recorded(|record| record.last_full_sync = Some(just_read));
        soon.load(found);
        let Step::Wait { until: Some(until), .. } = soon.next() else { panic!("{:?}", soon.next()) };
        assert_eq!(until, later(just_read, REPAIR_SPACING));
        soon.now = until;
        assert!(matches!(soon.next(), Step::ReadEvents(_)));
    }
}

#[test]
fn reads_that_notifications_ask_for_keep_a_distance() {
    let mut case = Case::settled().marked(&[NotificationType::Change]);
    case.observed.memory.last_read = Some(case.now);
    case.load(stored(&[]));
    assert_eq!(case.next(), Step::Wait { until: Some(later(case.now, READ_SPACING)), why: Why::Delta });
    case.now = later(case.now, READ_SPACING);
    assert!(matches!(case.next(), Step::ReadEvents(_)));
    case.now = at("2020-01-01T00:00:00Z");
    assert!(matches!(case.next(), Step::CheckAccount), "a clock that was set back holds nothing up: {:?}", case.next());
}

#[test]
fn a_new_cursor_stays_behind_the_servers_clock_and_further_behind_ours() {
    let cursor = |server_time: Option<Timestamp>| {
        let mut case = Case::settled().desiring(|desired| desired.request = Some("now".to_owned()));
        case.load(stored(&[])).look();
        case.answer(Outcome::Page { events: Vec::new(), managed: BTreeSet::new(), more: true, server_time });
        case.now = at("2026-11-20T12:10:00Z");
        case.answer(Outcome::Page {
            events: Vec::new(),
            managed: BTreeSet::new(),
            more: false,
            server_time: Some(case.now),
        });
        case.commits().cursor
    };
    assert_eq!(cursor(Some(at("2026-11-20T12:00:30Z"))), at("2026-11-20T11:58:30Z"), "as of the first page");
    assert_eq!(cursor(None), at("2026-11-20T11:00:00Z"));
}

#[test]
fn a_delta_never_moves_the_cursor_back_and_an_empty_one_moves_it_on() {
    for (server, expected) in
        [("2026-11-20T12:00:00Z", "2026-11-20T11:58:00Z"), ("2026-11-20T10:30:00Z", "2026-11-20T10:58:00Z")]
    {
        let mut case = Case::settled().marked(&[NotificationType::Change]);
        case.load(stored(&[]));
        case.answer(Outcome::Page {
            events: Vec::new(),
            managed: BTreeSet::new(),
            more: false,
            server_time: Some(at(server)),
        });
        assert_eq!(case.commits().cursor, at(expected));
    }
}

#[test]
fn nothing_is_upcoming_for_what_is_suspended_going_or_erased_and_a_retry_comes_first() {
    let upcoming = |case: &Case| upcoming(&case.desired, &case.observed, case.now);
    let case = idle();
    assert!(upcoming(&case).is_some());
    assert_eq!(upcoming(&case.clone().desiring(|desired| desired.suspended = true)), None);
    let deletion = Deletion { since: case.now, retain: false, abandon_channel: false };
    assert_eq!(upcoming(&case.clone().desiring(|desired| desired.deletion = Some(deletion))), None);
    assert_eq!(upcoming(&case.clone().recorded(|record| record.erased = Some(at(NOW)))), None);
    let mut failing = Case::settled().marked(&[NotificationType::Change]);
    failing.load(stored(&[])).fail(Reason::CronofyUnavailable, Retry::Backoff);
    assert_eq!(upcoming(&failing), Some((Why::Retry, failing.retry_at())));
}
