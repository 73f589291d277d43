//! What each type of notification asks for, and when its mark goes.

use super::*;
use NotificationType::{Change, GdprRequested, ProfileDisconnected, ProfileInitialSyncCompleted, Verification};

/// A pass over a settled subscription with these notifications pending, up to where the store is known.
fn notified(kinds: &[NotificationType]) -> Case {
    let mut case = Case::settled().marked(kinds);
    case.load(stored(&[soon("a")]));
    case
}

#[test]
fn each_type_asks_for_its_own() {
    let first = |kind| {
        let mut case = Case::settled().marked(&[kind]);
        match case.next() {
            Step::Load => case.load(stored(&[soon("a")])).next(),
            step => step,
        }
    };
    assert!(matches!(first(Change), Step::ReadEvents(EventsRequest { purpose: Purpose::Delta, .. })));
    assert!(matches!(first(Verification), Step::Record(_)), "it proves that deliveries arrive");
    assert_eq!(first(ProfileDisconnected), Step::CheckAccount);
    assert_eq!(first(ProfileInitialSyncCompleted), Step::CheckAccount, "and then everything");
    assert_eq!(first(GdprRequested), Step::Erase);
}

#[test]
fn a_change_reads_from_the_smaller_of_cursor_and_changes_since() {
    let cursor = snapshot(&[]).cursor;
    for (changes_since, from) in [
        (Some("2026-11-20T11:59:00Z"), cursor.to_string()),
        (Some("2026-11-20T09:00:00Z"), "2026-11-20T09:00:00Z".to_owned()),
        (Some("2099-01-01T00:00:00Z"), cursor.to_string()),
        (None, cursor.to_string()),
    ] {
        let mut case = Case::settled().marked(&[Change]);
        case.observed.mark.changes_since = changes_since.map(at);
        case.load(stored(&[]));
        assert_eq!(case.reads().modified_since, Some(at(&from)), "{changes_since:?}");
    }
}

#[test]
fn the_mark_goes_with_the_write_after_the_read_is_stored() {
    let mut case = notified(&[Change, Verification]);
    case.page(Vec::new(), false);
    assert_eq!(case.observed.acted_on, None);
    case.commit();
    assert_eq!(case.observed.acted_on, Some(7));
    assert_eq!(case.records().channel.last_notification, case.observed.mark.received);
    case.write();
    assert!(!case.observed.mark.pending());
    assert!(case.rests());
}

#[test]
fn a_mark_that_came_during_the_read_asks_for_another_read() {
    let mut case = notified(&[Change]);
    case.page(Vec::new(), false).commit();
    let newer = Mark { sequence: 8, ..mark(&[Change]) };
    case.answer(Outcome::Recorded(newer.clone()));
    assert_eq!(case.observed.mark, newer);
    let Step::Wait { until: Some(until), why: Why::Delta } = case.next() else { panic!("{:?}", case.next()) };
    let mut later = Case { now: until, ..case.again() };
    later.load(stored(&[]));
    assert_eq!(later.reads().purpose, Purpose::Delta);
}

#[test]
fn a_mark_of_the_same_content_in_the_same_second_asks_for_another_read() {
    let mut case = notified(&[Change]);
    case.page(Vec::new(), false).commit();
    let equal = Mark { sequence: 8, ..case.observed.mark.clone() };
    case.answer(Outcome::Recorded(equal));
    assert!(matches!(case.next(), Step::Wait { why: Why::Delta, .. }));
}

#[test]
fn a_verification_costs_no_request() {
    let mut case = Case::settled().recorded(|record| record.channel.verified = None).marked(&[Verification]);
    assert_eq!(case.records().channel.verified, case.observed.mark.received);
    case.write().load(stored(&[]));
    assert!(case.rests());
}

#[test]
fn a_disconnected_profile_is_looked_at_again_at_the_poll_interval_until_it_is_back() {
    let mut case = notified(&[ProfileDisconnected]);
    case.answer(Outcome::Account(account(false, false)));
    assert_eq!(case.observed.acted_on, Some(7), "the account is what it was about");
    case.write();
    let Step::Wait { until: Some(until), why: Why::AccountCheck } = case.next() else { panic!("{:?}", case.next()) };
    assert_eq!(until.duration_since(case.now), case.desired.intervals.poll.try_into().unwrap());

    let mut later = Case { now: until, ..case.again() };
    later.load(stored(&[soon("a")]));
    assert_eq!(later.next(), Step::CheckAccount);
    later.answer(Outcome::Account(account(true, false)));
    assert!(later.rests(), "the copy is complete as it is");
}

#[test]
fn a_change_while_a_profile_is_disconnected_looks_at_the_account_first() {
    let mut case = Case::settled().recorded(|record| record.account = Some(account(false, false))).marked(&[Change]);
    case.observed.memory.last_account_check = Some(case.now);
    case.load(stored(&[]));
    assert_eq!(case.next(), Step::CheckAccount, "changes that come again may mean that it is back");
    case.answer(Outcome::Account(account(false, false)));
    assert_eq!(case.reads().purpose, Purpose::Delta);
}

#[test]
fn a_completed_initial_sync_reads_everything_even_if_the_account_says_nothing_of_it() {
    for after in [account(true, false), account(true, true)] {
        let mut case = notified(&[ProfileInitialSyncCompleted]);
        case.answer(Outcome::Account(after));
        assert_eq!((case.reads().purpose, case.reads().modified_since), (Purpose::Full, None));
    }
}

#[test]
fn an_account_that_may_not_be_asked_about_itself_is_taken_for_complete() {
    for outcome in [Outcome::NotFound, failed(Reason::InsufficientScope, Retry::Never)] {
        let mut case = Case::settled().recorded(|record| record.account = None);
        case.load(stored(&[]));
        assert_eq!(case.next(), Step::CheckAccount);
        case.answer(outcome);
        assert!(case.rests(), "{:?}", case.next());
    }
}

#[test]
fn a_suspended_subscription_keeps_its_marks_and_reads_from_the_cursor_when_it_goes_on() {
    let mut suspended = Case::settled().marked(&[Change]).desiring(|desired| desired.suspended = true);
    suspended.load(stored(&[]));
    assert_eq!(suspended.next(), Step::Wait { until: None, why: Why::Suspended });
    let mut resumed = suspended.again().desiring(|desired| desired.suspended = false);
    assert!(resumed.observed.mark.pending());
    resumed.load(stored(&[]));
    assert_eq!(resumed.reads().modified_since, Some(snapshot(&[]).cursor));
}
