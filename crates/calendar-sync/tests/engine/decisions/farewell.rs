//! The two ends: deletion of the subscription, and erasure on the owner's demand.

use calendar_sync::{LONGEST_DELETION, Stop};
use jiff::SignedDuration;

use super::*;

fn deletion() -> Deletion {
    Deletion { since: at("2026-11-20T11:59:00Z"), retain: false, abandon_channel: false }
}

fn deleted(change: impl FnOnce(&mut Deletion)) -> Case {
    let mut deletion = deletion();
    change(&mut deletion);
    Case::settled().desiring(|desired| desired.deletion = Some(deletion))
}

fn close(id: &str) -> Step {
    Step::CloseChannel { id: id.to_owned() }
}

fn closed(id: &str) -> Outcome {
    Outcome::ChannelClosed { id: id.to_owned() }
}

#[test]
fn a_deletion_closes_the_channel_then_removes_the_output_then_lets_the_object_go() {
    let mut case = deleted(|_| {});
    assert_eq!(case.next(), Step::ListChannels);
    case.answer(Outcome::Channels(vec![remote_channel("chn_1", 1)]));
    assert_eq!(case.next(), close("chn_1"));
    case.answer(closed("chn_1"));
    assert_eq!(case.next(), Step::Erase);
    case.answer(Outcome::Erased);
    assert_eq!(case.next(), Step::Finish);
}

#[test]
fn a_deletion_closes_every_channel_of_the_subscription_and_no_other() {
    let mut case = deleted(|_| {}).recorded(|record| record.channel.next = Some(2));
    let foreign =
        RemoteChannel { callback_url: channel::callback_url(BASE, "another uid", 1), ..remote_channel("chn_0", 1) };
    case.answer(Outcome::Channels(vec![foreign, remote_channel("chn_1", 1), remote_channel("chn_2", 2)]));
    assert_eq!(case.next(), close("chn_1"));
    case.answer(Outcome::NotFound);
    assert_eq!(case.next(), close("chn_2"), "a channel that is gone is closed");
    case.answer(closed("chn_2"));
    assert_eq!(case.next(), Step::Erase);
}

#[test]
fn a_channel_that_was_intended_but_never_recorded_is_closed_too() {
    let mut case = deleted(|_| {}).recorded(|record| {
        record.channel = ChannelRecord { next: Some(1), ..ChannelRecord::default() };
    });
    case.answer(Outcome::Channels(vec![remote_channel("chn_9", 1)]));
    assert_eq!(case.next(), close("chn_9"));
}

#[test]
fn a_subscription_without_a_channel_is_deleted_without_asking_cronofy() {
    let case = Case::new().desiring(|desired| desired.deletion = Some(deletion()));
    assert_eq!(case.next(), Step::Erase);
}

#[test]
fn a_retained_output_stays() {
    let mut case = deleted(|deletion| deletion.retain = true);
    case.answer(Outcome::Channels(Vec::new()));
    assert_eq!(case.next(), Step::Finish);
}

#[test]
fn an_abandoned_channel_is_not_waited_for() {
    assert_eq!(deleted(|deletion| deletion.abandon_channel = true).next(), Step::Erase);
}

#[test]
fn a_deletion_is_tried_again_for_a_day_and_then_leaves_the_channel_behind() {
    let mut case = deleted(|_| {});
    let end = deletion().since.checked_add(SignedDuration::try_from(LONGEST_DELETION).unwrap()).unwrap();
    let mut tries = 0;
    while case.now <= end {
        case.fail(Reason::CronofyUnavailable, Retry::Backoff);
        let Step::Wait { until: Some(until), why: Why::Retry } = case.next() else { panic!("{:?}", case.next()) };
        assert!(until > case.now);
        case.now = until;
        case = case.again();
        tries += 1;
    }
    assert!((24..48).contains(&tries), "an hour apart at the most, and not much less: {tries}");
    assert_eq!(case.next(), Step::Erase);
}

#[test]
fn a_channel_that_nobody_can_close_any_more_is_left_behind_at_once() {
    for reason in [Reason::AuthorizationRevoked, Reason::ClientCredentialsInvalid, Reason::InsufficientScope] {
        let mut case = deleted(|_| {});
        case.fail(reason, Retry::Never);
        assert!(case.observed.leaked, "it is said so");
        assert_eq!(case.next(), Step::Erase);
    }
}

#[test]
fn failures_from_before_the_deletion_do_not_hold_it_up() {
    let mut case = Case::settled();
    case.load(Stored::Damaged).fail(Reason::CronofyUnavailable, Retry::Backoff);
    assert!(matches!(case.next(), Step::Wait { why: Why::Retry, .. }));
    let since = case.now.checked_add(SignedDuration::from_secs(1)).unwrap();
    let case = Case { now: since, ..case.again() }
        .desiring(|desired| desired.deletion = Some(Deletion { since, ..deletion() }));
    assert_eq!(case.next(), Step::ListChannels);
}

#[test]
fn a_store_that_does_not_remove_the_output_is_not_asked_again_at_once() {
    for retry in [Retry::Backoff, Retry::Never, Retry::After(Duration::ZERO)] {
        let mut abandoned = deleted(|deletion| deletion.abandon_channel = true);
        let mut demanded = Case::settled().marked(&[NotificationType::GdprRequested]);
        for case in [&mut abandoned, &mut demanded] {
            assert_eq!(case.next(), Step::Erase);
            case.fail(Reason::StoreUnavailable, retry);
            let Step::Wait { until: Some(until), why: Why::Retry } = case.next() else { panic!("{:?}", case.next()) };
            let mut later = Case { now: until, ..case.again() };
            assert_eq!(later.next(), Step::Erase, "a removal is never given up");
            later.answer(Outcome::Erased);
        }
    }
}

#[test]
fn an_erasure_removes_the_events_first_then_the_channel_and_then_stops() {
    let mut case = Case::settled().marked(&[NotificationType::Change, NotificationType::GdprRequested]);
    assert_eq!(case.next(), Step::Erase);
    case.answer(Outcome::Erased);
    let record = case.records();
    assert_eq!((record.erased, record.account, record.output), (Some(case.now), None, None));
    assert_eq!((record.channel.id, record.channel.next), (None, Some(1)), "it counts no more before it is closed");
    case.write();
    assert!(!case.observed.mark.pending());
    assert_eq!(case.next(), Step::ListChannels);
    case.answer(Outcome::Channels(vec![remote_channel("chn_1", 1)]));
    assert_eq!(case.next(), close("chn_1"));
    case.answer(closed("chn_1"));
    assert_eq!(case.records().channel, ChannelRecord { generation: 1, ..ChannelRecord::default() });
    case.write();
    assert_eq!(case.next(), Step::Stop(Stop::Erased));
}

#[test]
fn an_erasure_goes_before_everything_else() {
    let gdpr = &[NotificationType::GdprRequested];
    let suspended = Case::settled().marked(gdpr).desiring(|desired| desired.suspended = true);
    let polling = Case::settled().marked(gdpr).desiring(|desired| desired.mode = Mode::Poll);
    let mut stuck = Case::settled().marked(&[NotificationType::Change]);
    stuck.load(stored(&[])).fail(Reason::InsufficientScope, Retry::Never);
    let mut waiting = Case::settled().marked(&[NotificationType::Change]);
    waiting.load(stored(&[])).fail(Reason::CronofyUnavailable, Retry::After(LONGEST_BACKOFF));
    for case in [suspended, polling, stuck.again().marked(gdpr), waiting.again().marked(gdpr)] {
        assert_eq!(case.next(), Step::Erase);
    }
}

#[test]
fn a_subscription_stays_erased_until_a_person_asks_for_it_anew() {
    let erased = Record { erased: Some(at(NOW)), handled_request: Some("one".to_owned()), ..Record::default() };
    let request = |value: &str| {
        let desired = Desired { request: Some(value.to_owned()), ..desired() };
        Case::of(desired, erased.clone(), mark(&[NotificationType::Change]), Memory::default())
    };
    let mut case = request("one");
    assert!(case.records().erased.is_some(), "a late notification is put aside");
    case.write().load(Stored::Absent);
    assert_eq!(case.next(), Step::Stop(Stop::Erased));

    let mut case = request("two");
    assert_eq!(case.records().erased, None);
    case.write().load(Stored::Absent);
    assert_eq!(case.next(), Step::CheckAccount, "it begins as if nothing had been");
}

#[test]
fn a_demand_for_erasure_wins_over_a_request_made_before_it() {
    let erased = Record { erased: Some(at("2026-11-19T12:00:00Z")), ..Record::default() };
    let desired = Desired { request: Some("again".to_owned()), ..desired() };
    let mut case = Case::of(desired, erased, mark(&[NotificationType::GdprRequested]), Memory::default());
    assert_eq!(case.next(), Step::Erase);
    case.answer(Outcome::Erased);
    assert_eq!(case.records().handled_request.as_deref(), Some("again"));
    case.write();
    assert_eq!(case.next(), Step::Stop(Stop::Erased));
}

#[test]
fn events_that_an_overtaken_writer_stored_after_an_erasure_are_removed() {
    let erased = Record { erased: Some(at(NOW)), ..Record::default() };
    for left in [stored(&[soon("a")]), Stored::Damaged] {
        let mut case = Case::of(desired(), erased.clone(), Mark::default(), Memory::default());
        case.load(left);
        assert_eq!(case.next(), Step::Erase);
        case.answer(Outcome::Erased).write();
        assert_eq!(case.next(), Step::Stop(Stop::Erased));
    }
}

#[test]
fn an_erased_subscription_leaves_an_output_that_has_another_owner_alone() {
    let erased = Record { erased: Some(at(NOW)), ..Record::default() };
    let mut case = Case::of(desired(), erased, Mark::default(), Memory::default());
    assert_eq!(case.next(), Step::Load);
    case.fail(Reason::Conflict, Retry::After(Duration::from_mins(5)));
    assert_eq!(case.next(), Step::Stop(Stop::Erased));
}

#[test]
fn an_erasure_whose_channel_nobody_can_close_any_more_ends_nevertheless() {
    let mut case = Case::settled().marked(&[NotificationType::GdprRequested]);
    case.answer(Outcome::Erased).write();
    case.fail(Reason::AuthorizationRevoked, Retry::Never);
    assert!(case.observed.leaked);
    case.write();
    assert_eq!(case.next(), Step::Stop(Stop::Erased));
}
