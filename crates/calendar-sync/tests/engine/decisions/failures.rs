//! What a failure does: who waits for how long, and what only a person ends.

use calendar_sync::{LONGEST_STORE_BACKOFF, SHORTEST_WAIT, Stop};
use jiff::SignedDuration;

use super::*;

/// A read that a notification asked for is about to begin.
fn reading() -> Case {
    let mut case = Case::settled().marked(&[NotificationType::Change]);
    case.load(stored(&[soon("a")]));
    case
}

fn wait(case: &Case) -> SignedDuration {
    match case.next() {
        Step::Wait { until: Some(until), why: Why::Retry } => until.duration_since(case.now),
        step => panic!("waits for no retry, but: {step:?}"),
    }
}

#[test]
fn waits_grow_with_each_failure_in_a_row_up_to_an_hour() {
    let mut case = reading();
    let mut waits = Vec::new();
    for count in 1..=20 {
        case.fail(Reason::CronofyUnavailable, Retry::Backoff);
        assert_eq!(case.observed.record.failures.as_ref().unwrap().count, count);
        waits.push(wait(&case));
        case.now = case.retry_at();
        case = case.again();
        case.load(stored(&[soon("a")]));
        assert!(matches!(case.next(), Step::ReadEvents(_)), "the wait is over when it says so");
    }
    assert!(waits.iter().all(|wait| *wait <= SignedDuration::try_from(LONGEST_BACKOFF).unwrap()));
    assert!(waits[..10].windows(2).all(|pair| pair[0] < pair[1]), "{waits:?}");
    assert!(waits[19] >= SignedDuration::from_mins(30), "{waits:?}");
}

#[test]
fn a_store_that_cannot_be_looked_at_is_looked_at_again_within_minutes_however_long_it_is_away() {
    let mut case = Case::settled().marked(&[NotificationType::Change]);
    let longest = SignedDuration::try_from(LONGEST_STORE_BACKOFF).unwrap();
    for _ in 0..20 {
        assert_eq!(case.next(), Step::Load);
        case.fail(Reason::StoreUnavailable, Retry::Backoff);
        assert!(wait(&case) <= longest, "{:?}", wait(&case));
        case.now = case.retry_at();
        case = case.again();
    }
    case.load(stored(&[soon("a")]));
    assert!(matches!(case.next(), Step::ReadEvents(_)), "{:?}", case.next());
    // What was read and is refused costs another read each time.
    case.page(Vec::new(), false);
    case.fail(Reason::StoreUnavailable, Retry::Backoff);
    assert!(wait(&case) > longest, "{:?}", wait(&case));
}

#[test]
fn a_wait_that_the_server_asks_for_is_kept_but_never_none_and_never_longer_than_it_makes_sense() {
    let longest = LONGEST_BACKOFF + LONGEST_BACKOFF / 10;
    for (asked, least, most) in [
        (Duration::ZERO, SHORTEST_WAIT, Duration::from_secs(2)),
        (Duration::from_secs(7), Duration::from_secs(7), Duration::from_secs(8)),
        (Duration::from_hours(1), LONGEST_BACKOFF, longest),
        (Duration::MAX, LONGEST_BACKOFF, longest),
    ] {
        let mut case = reading();
        case.fail(Reason::RateLimited, Retry::After(asked));
        let waits = Duration::try_from(wait(&case)).unwrap();
        assert!((least..=most).contains(&waits), "{asked:?} asked for, {waits:?} waited");
    }
}

#[test]
fn a_notification_does_not_cut_a_wait_short() {
    let mut case = reading();
    case.fail(Reason::CronofyUnavailable, Retry::Backoff);
    let mut marked = case.again().marked(&NotificationType::ALL[..4]);
    marked.load(stored(&[]));
    assert_eq!(wait(&marked), wait(&case));
}

#[test]
fn what_only_a_person_can_mend_waits_for_another_input_and_then_goes_on_at_once() {
    for reason in [
        Reason::AuthorizationRevoked,
        Reason::ClientCredentialsInvalid,
        Reason::PlanRequired,
        Reason::InsufficientScope,
        Reason::InvalidRequest,
    ] {
        let mut case = reading();
        case.fail(reason, Retry::Never);
        assert_eq!(case.next(), Step::Stop(Stop::Failed(reason)));
        let mut years_later = Case { now: at("2036-11-20T12:00:00Z"), ..case.again() };
        years_later.load(stored(&[]));
        assert_eq!(years_later.next(), Step::Stop(Stop::Failed(reason)), "no time mends it");
        let mut notified = case.again().marked(&NotificationType::ALL[..4]);
        notified.load(stored(&[]));
        assert!(
            matches!(notified.next(), Step::Stop(_) | Step::Record(_)),
            "no notification mends it: {:?}",
            notified.next()
        );
        let mended = case.again().desiring(|desired| desired.inputs = "mended".to_owned());
        let mut mended = mended;
        mended.load(stored(&[]));
        mended.look();
        // With a new authorization another channel is made, which is written down first.
        let goes_on = match mended.next() {
            Step::Record(record) => reason == Reason::AuthorizationRevoked && record.channel.next == Some(2),
            step => matches!(step, Step::ReadEvents(_)),
        };
        assert!(goes_on, "{reason:?}: {:?}", mended.next());
    }
}

#[test]
fn failures_end_with_the_first_success() {
    let mut case = reading();
    case.fail(Reason::CronofyUnavailable, Retry::Backoff);
    case.now = case.retry_at();
    case = case.again();
    case.load(stored(&[soon("a")])).page(Vec::new(), false).commit();
    assert_eq!(case.records().failures, None);
}

#[test]
fn a_failure_of_work_that_is_not_needed_any_more_ends_too() {
    let mut case = Case::settled().recorded(|record| record.channel = ChannelRecord::default());
    case.load(stored(&[])).write().answer(Outcome::Channels(Vec::new()));
    case.fail(Reason::CronofyUnavailable, Retry::Backoff);
    let failures = case.observed.record.failures.clone();
    let mut mended = Case::of(desired(), Record { failures, ..settled() }, Mark::default(), Memory::default());
    mended.now = case.retry_at();
    mended.load(stored(&[])).read_nothing();
    assert_eq!(mended.records().failures, None);
    mended.write();
    assert!(mended.rests());
}

#[test]
fn a_failed_page_throws_the_read_away_and_the_next_one_begins_anew() {
    let mut case = reading();
    case.page(vec![present(soon("b"))], true).fail(Reason::CronofyUnreachable, Retry::Backoff);
    case.now = case.retry_at();
    case = case.again();
    case.load(stored(&[soon("a")]));
    assert_eq!(case.reads().page, 0);
    case.page(Vec::new(), false);
    assert!(!case.commits().events.contains_key("b"), "nothing of the failed read is left");
}

#[test]
fn a_read_whose_pages_vanish_is_begun_anew_three_times_and_then_counts_as_failed() {
    let mut case = reading();
    for _ in 0..=3 {
        assert_eq!(case.reads().page, 0);
        case.page(vec![present(soon("b"))], true).answer(Outcome::NotFound);
    }
    wait(&case);
    assert_eq!(case.observed.record.failures.as_ref().unwrap().last.reason, Reason::NotFound);
}

#[test]
fn a_list_of_pages_without_end_is_given_up() {
    let mut case = reading();
    let mut pages = 0;
    while let Step::ReadEvents(_) = case.next() {
        case.page(Vec::new(), true);
        pages += 1;
    }
    assert_eq!(pages, calendar_sync::MOST_PAGES);
    wait(&case);
    assert_eq!(case.observed.record.failures.as_ref().unwrap().last.reason, Reason::MalformedAnswer);
}

#[test]
fn a_store_that_has_moved_on_is_read_again_before_anything_is_computed() {
    let mut case = reading();
    case.page(vec![present(soon("b"))], false);
    case.answer(Outcome::HeadMoved).load(stored(&[soon("c")]));
    assert_eq!(case.reads().page, 0, "the events, too: what was read may be older than what is stored");
    case.page(Vec::new(), false);
    assert_eq!(case.commits().events.into_keys().collect::<Vec<_>>(), ["c"]);
}

#[test]
fn a_store_that_moves_on_all_the_time_is_given_up_for_a_while() {
    let mut case = reading();
    for _ in 0..=3 {
        case.page(Vec::new(), false).answer(Outcome::HeadMoved);
        if case.next() == Step::Load {
            case.load(stored(&[]));
        }
    }
    wait(&case);
    assert_eq!(case.observed.record.failures.as_ref().unwrap().last.reason, Reason::StoreUnavailable);
}

#[test]
fn a_calendar_that_is_not_found_is_asked_for_again_with_patience() {
    let mut case = reading();
    case.answer(Outcome::NotFound);
    wait(&case);
    assert_eq!(case.observed.record.failures.as_ref().unwrap().last.reason, Reason::NotFound);
}
