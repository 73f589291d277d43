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
fn no_time_mends_what_is_wrong_in_the_spec_or_a_secret() {
    for reason in [Reason::ClientCredentialsInvalid, Reason::InvalidRequest] {
        let mut case = reading();
        case.fail(reason, Retry::Never);
        let mut years_later = Case { now: at("2036-11-20T12:00:00Z"), ..case.again() };
        years_later.load(stored(&[]));
        assert_eq!(years_later.next(), Step::Stop(Stop::Failed(reason)));
    }
}

#[test]
fn what_a_person_mends_where_nothing_tells_of_it_is_tried_again_once_an_hour() {
    for reason in
        [Reason::AuthorizationRevoked, Reason::PlanRequired, Reason::InsufficientScope, Reason::SecretUnavailable]
    {
        let mut case = reading();
        case.fail(reason, Retry::Never);
        for hour in ["2026-11-20T13", "2026-11-20T14"] {
            let minutes = format!("{}:59:59Z", if hour.ends_with("13") { "2026-11-20T12" } else { "2026-11-20T13" });
            let mut soon = Case { now: at(&minutes), ..case.again() };
            soon.load(stored(&[]));
            assert_eq!(soon.next(), Step::Stop(Stop::Failed(reason)), "{minutes}");
            let mut later = Case { now: at(&format!("{hour}:00:00Z")), ..case.again() };
            later.load(stored(&[])).look();
            let mut later = announced(later); // a new authorization asks for a new channel
            let mut mended = later.clone();
            mended.read_nothing();
            assert_eq!(mended.observed.record.failures, None);
            later.fail(reason, Retry::Never);
            assert_eq!(later.next(), Step::Stop(Stop::Failed(reason)), "and waits again");
            case = later;
        }
    }
}

#[test]
fn a_channel_that_waits_for_another_plan_is_tried_again_once_an_hour() {
    let mut case = Case::settled().recorded(|record| record.channel = ChannelRecord::default());
    case.load(stored(&[])).write().answer(Outcome::Channels(Vec::new()));
    case.fail(Reason::PlanRequired, Retry::Never).read_nothing();
    for (time, tried) in [("2026-11-20T12:59:59Z", false), ("2026-11-20T13:00:00Z", true)] {
        let mut again = Case { now: at(time), ..case.again() };
        again.load(stored(&[]));
        assert_eq!(again.next() == Step::ListChannels, tried, "{time}: {:?}", again.next());
    }
}

#[test]
fn a_read_of_more_than_any_store_takes_is_given_up_and_changes_nothing() {
    let many = |from: usize| (from..from + 50_000).map(|number| present(soon(&format!("event {number}")))).collect();
    let mut case = reading();
    for page in 0..4 {
        case.page(many(page * 50_000), true);
        assert!(matches!(case.next(), Step::ReadEvents(_)), "{:?}", case.next());
    }
    case.page(vec![present(soon("one too many"))], false);
    let Step::Wait { until: Some(_), why: Why::Retry } = case.next() else { panic!("{:?}", case.next()) };
    assert_eq!(case.observed.record.failures.unwrap().last.reason, Reason::TooLarge);
}

#[test]
fn only_what_may_be_shown_counts_against_the_size_of_a_read() {
    let long = |id: &str| Event { description: Some("x".repeat(40_000_000)), ..soon(id) };
    for (visibility, fits) in [(Visibility::Full, false), (Visibility::Titles, true), (Visibility::Busy, true)] {
        let case = Case::settled().desiring(|desired| desired.visibility = visibility);
        let fingerprint = case.desired.content_fingerprint();
        let mut case = case.marked(&[NotificationType::Change]);
        case.load(Stored::Present(Box::new(Snapshot { visibility, fingerprint, ..snapshot(&[]) })));
        case.page(vec![present(long("a"))], true).page(vec![present(long("a"))], true);
        assert!(matches!(case.next(), Step::ReadEvents(_)), "shown again it counts once: {:?}", case.next());
        case.page(vec![present(long("b"))], false);
        assert_eq!(matches!(case.next(), Step::Commit(_)), fits, "{visibility:?}: {:?}", case.next());
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
