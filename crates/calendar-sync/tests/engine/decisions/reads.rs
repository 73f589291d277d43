//! What is read when, and what a read changes.

use super::*;

/// A delta read on top of `before`, with these pages: what becomes of the copy.
fn after_delta(before: &[Event], pages: Vec<Vec<RemoteEvent>>) -> Vec<String> {
    let mut case = Case::settled().marked(&[NotificationType::Change]);
    case.load(stored(before));
    let count = pages.len();
    for (number, events) in pages.into_iter().enumerate() {
        case.page(events, number + 1 < count);
    }
    case.commits().events.into_keys().collect()
}

fn deleted(id: &str, calendar_id: &str) -> RemoteEvent {
    RemoteEvent::Deleted { id: id.to_owned(), calendar_id: calendar_id.to_owned() }
}

fn moved(id: &str, calendar_id: &str) -> RemoteEvent {
    present(Event { calendar_id: calendar_id.to_owned(), ..soon(id) })
}

#[test]
fn an_event_that_moved_to_another_calendar_is_kept_in_whatever_order_that_is_shown() {
    for pages in [
        vec![vec![deleted("a", "cal_1"), moved("a", "cal_2")]],
        vec![vec![moved("a", "cal_2"), deleted("a", "cal_1")]],
        vec![vec![moved("a", "cal_2")], vec![deleted("a", "cal_1")]],
    ] {
        assert_eq!(after_delta(&[soon("a")], pages), ["a"]);
    }
}

#[test]
fn an_event_that_is_deleted_while_it_is_read_is_gone() {
    assert!(after_delta(&[soon("a")], vec![vec![moved("a", "cal_1")], vec![deleted("a", "cal_1")]]).is_empty());
    assert!(after_delta(&[soon("a")], vec![vec![deleted("a", "cal_2")]]).is_empty(), "wherever it stood last");
}

/// Something else is stored than was written last: by a commit right before a crash, or since the store was restored.
fn surprised() -> Case {
    let output = |content_hash: &str| Output { content_hash: content_hash.to_owned(), ..Output::default() };
    let mut case = Case::settled().recorded(|record| record.output = Some(output("written last")));
    case.answer(Outcome::Loaded { stored: stored(&[soon("a")]), output: Some(output("found")) });
    case
}

#[test]
fn what_may_be_missing_in_a_store_that_was_restored_is_read_at_once() {
    let mut case = surprised();
    let request = case.reads();
    let cursor = case.observed.stored.snapshot().map(|snapshot| snapshot.cursor);
    assert_eq!((request.purpose, request.modified_since), (Purpose::Delta, cursor));
    case.page(vec![present(soon("b"))], false);
    assert_eq!(case.commits().events.into_keys().collect::<Vec<_>>(), ["a", "b"]);
    case.commit();
    assert_eq!(case.observed.record.output, Some(Output::default()));
    case.write();
    assert!(case.rests(), "{:?}", case.next());
}

#[test]
fn until_it_is_read_the_status_keeps_what_was_written_last() {
    let mut case = surprised();
    case.fail(Reason::CronofyUnavailable, Retry::Backoff);
    let mut later = case.again();
    later.now = at("2026-11-20T13:00:00Z");
    let found = Output { content_hash: "found".to_owned(), ..Output::default() };
    later.answer(Outcome::Loaded { stored: stored(&[soon("a")]), output: Some(found) });
    assert_eq!(later.reads().purpose, Purpose::Delta, "a crash or a failure does not make it forgotten");
}

#[test]
fn a_change_that_was_stored_right_before_a_crash_is_told() {
    let mut case = surprised();
    case.page(Vec::new(), false);
    case.answer(Outcome::Committed { output: Output::default(), changed: false });
    assert_eq!(case.observed.record.last_change, Some(case.now), "nobody was told of the change yet");
    let same = case.again();
    assert_eq!(same.observed.record.last_change, Some(case.now));
}

#[test]
fn a_store_that_holds_what_was_written_last_is_not_read_again() {
    let mut case = Case::settled();
    case.load(stored(&[soon("a")]));
    assert!(case.rests(), "{:?}", case.next());
}

#[test]
fn a_restored_store_is_narrowed_before_it_is_read() {
    let mut case = surprised().desiring(|desired| desired.visibility = Visibility::Busy);
    assert_eq!(case.commits().visibility, Visibility::Busy);
    case.commit();
    case.write();
    case.look();
    assert_eq!(case.reads().purpose, Purpose::Full);
}

#[test]
fn an_output_that_is_still_to_be_removed_is_not_forgotten() {
    let named = |name: &str| Output { name: name.to_owned(), ..Output::default() };
    let mut case = Case::settled().recorded(|record| record.output = Some(named("former")));
    case.answer(Outcome::Loaded { stored: stored(&[]), output: Some(named("present")) });
    assert_eq!(case.observed.record.output, Some(named("former")));
}

#[test]
fn while_a_profile_is_disconnected_a_full_read_removes_nothing_and_a_delta_tells_what_is_gone() {
    let mut case = Case::settled()
        .recorded(|record| record.account = Some(account(false, false)))
        .marked(&[NotificationType::Change])
        .desiring(|desired| desired.request = Some("now".to_owned()));
    let before = snapshot(&[soon("of a profile that is gone"), soon("deleted")]);
    case.load(Stored::Present(Box::new(before.clone())));
    case.answer(Outcome::Account(account(false, false)));
    assert_eq!(case.reads().modified_since, None);
    case.page(vec![present(soon("new"))], false);
    let full = case.commits();
    assert_eq!((full.events.len(), full.complete), (3, false));
    assert_eq!(full.cursor, before.cursor, "deletions since then are not read yet");
    case.commit();
    assert_eq!(case.records().handled_request.as_deref(), Some("now"));
    case.write();
    assert!(case.observed.mark.pending(), "the notification may have been about a deletion");
    assert_eq!(case.reads().modified_since, Some(before.cursor));
    case.page(vec![deleted("deleted", "cal_1")], false);
    assert_eq!(case.commits().events.into_keys().collect::<Vec<_>>(), ["new", "of a profile that is gone"]);
    case.commit().write();
    assert!(!case.observed.mark.pending());
    assert!(matches!(case.next(), Step::Wait { why: Why::AccountCheck, .. }));
}

/// A change that nobody announced, deleted while a profile was broken, would otherwise stay until the next look at the channel.
#[test]
fn what_is_gone_is_asked_for_again_where_the_delta_failed_that_was_to_tell_it_and_after_a_crash() {
    let incomplete = Snapshot { complete: false, ..snapshot(&[soon("deleted")]) };
    let mut case = Case::settled().recorded(|record| record.account = Some(account(false, false)));
    case.observed.memory.last_account_check = Some(case.now);
    case.load(Stored::Present(Box::new(incomplete.clone())));
    assert_eq!(case.reads().modified_since, Some(incomplete.cursor), "nothing is remembered after a crash");
    case.fail(Reason::CronofyUnavailable, Retry::Backoff);
    case.now = case.retry_at();
    let mut case = case.again();
    case.load(Stored::Present(Box::new(incomplete.clone())));
    assert_eq!(case.reads().modified_since, Some(incomplete.cursor), "nor was it told by what failed");
    case.page(vec![deleted("deleted", "cal_1")], false);
    assert!(case.commits().events.is_empty());
    case.commit().write();
    assert!(matches!(case.next(), Step::Wait { why: Why::AccountCheck, .. }), "{:?}", case.next());
}

#[test]
fn absence_means_deletion_again_once_every_profile_is_complete() {
    let mut case = Case::settled().recorded(|record| record.account = Some(account(true, true)));
    case.load(Stored::Present(Box::new(Snapshot { complete: false, ..snapshot(&[soon("a"), soon("b")]) })));
    case.answer(Outcome::Account(account(true, false)));
    assert_eq!((case.reads().purpose, case.reads().modified_since), (Purpose::Full, None));
    case.page(vec![present(soon("b"))], false);
    let snapshot = case.commits();
    assert!(snapshot.complete);
    assert_eq!(snapshot.events.into_keys().collect::<Vec<_>>(), ["b"]);
}
