//! Whether push can be trusted, what is done while it cannot, and mode `Poll`, which does without.

use calendar_sync::{SUSPICION, VERIFICATION_LIMIT, is_unhealthy};
use jiff::SignedDuration;

use super::*;

fn ago(span: Duration) -> Timestamp {
    at(NOW).checked_sub(SignedDuration::try_from(span).unwrap()).unwrap()
}

fn settled_with(change: impl FnOnce(&mut ChannelRecord)) -> Case {
    let mut case = Case::settled().recorded(|record| change(&mut record.channel));
    case.load(stored(&[soon("a")]));
    case
}

fn unhealthy(case: &Case) -> bool {
    is_unhealthy(&case.desired, &case.observed, case.now)
}

#[test]
fn a_channel_that_cronofy_has_not_reached_is_trusted_for_two_minutes() {
    for (age, trusted) in [(Duration::from_secs(119), true), (VERIFICATION_LIMIT, false)] {
        let case = settled_with(|channel| (channel.created, channel.verified) = (Some(ago(age)), None));
        assert_eq!(unhealthy(&case), !trusted, "{age:?}");
        assert_eq!(matches!(case.next(), Step::ReadEvents(EventsRequest { purpose: Purpose::Poll, .. })), !trusted);
    }
}

#[test]
fn a_channel_made_by_a_clock_that_was_far_ahead_is_not_trusted_for_ever() {
    let case = settled_with(|channel| {
        (channel.created, channel.verified) = (Some(at("2026-12-30T00:00:00Z")), None);
    });
    assert!(unhealthy(&case));
}

#[test]
fn a_channel_made_by_a_clock_that_was_far_ahead_is_missed_when_it_is_not_listed() {
    let mut case = settled_with(|channel| {
        (channel.created, channel.last_check) = (Some(at("2026-12-30T00:00:00Z")), None);
    });
    assert_eq!(case.next(), Step::ListChannels);
    case.answer(Outcome::Channels(Vec::new()));
    assert_eq!(case.records().channel.id, None);
}

/// A look at the channel that shows `event`.
fn checked(shown: Event, managed: bool) -> Case {
    let mut case = settled_with(|channel| channel.last_check = Some(ago(Duration::from_hours(13))));
    case.answer(Outcome::Channels(vec![remote_channel("chn_1", 1)]));
    assert_eq!(case.reads().purpose, Purpose::Check);
    let managed = if managed { BTreeSet::from([shown.id.clone()]) } else { BTreeSet::new() };
    let (events, server_time) = (vec![present(shown)], Some(case.now));
    case.answer(Outcome::Page { events, managed, more: false, server_time });
    case.commit();
    case
}

#[test]
fn a_look_that_finds_what_nobody_announced_makes_the_channel_suspect() {
    assert_eq!(checked(soon("new"), false).observed.record.channel.suspect, Some(at(NOW)));
    assert_eq!(checked(soon("new"), true).observed.record.channel.suspect, None, "own changes are announced to nobody");
    assert_eq!(checked(soon("a"), false).observed.record.channel.suspect, None, "that is stored already");
}

#[test]
fn a_suspect_channel_is_read_around_and_then_replaced() {
    let fresh = settled_with(|channel| channel.suspect = Some(ago(Duration::from_secs(60))));
    assert!(!unhealthy(&fresh), "a notification may still be on its way");
    let suspect = settled_with(|channel| channel.suspect = Some(ago(VERIFICATION_LIMIT)));
    assert!(matches!(suspect.next(), Step::ReadEvents(EventsRequest { purpose: Purpose::Poll, .. })));
    let silent = settled_with(|channel| channel.suspect = Some(ago(SUSPICION)));
    let intent = silent.records().channel;
    assert_eq!(
        (intent.id.as_deref(), intent.next),
        (Some("chn_1"), Some(2)),
        "the old one stays until the new one works"
    );
}

#[test]
fn any_notification_through_the_present_channel_clears_the_suspicion_a_late_one_of_the_former_does_not() {
    for (generation, cleared) in [(None, true), (Some(1), true), (Some(0), false)] {
        let record = Case::settled().recorded(|record| record.channel.suspect = Some(ago(SUSPICION))).observed.record;
        let mark = Mark { generation, ..mark(&[NotificationType::Change]) };
        let case = Case::of(desired(), record, mark, Memory::default());
        assert_eq!(case.observed.record.channel.suspect.is_none(), cleared, "{generation:?}");
    }
}

#[test]
fn while_the_channel_cannot_be_looked_at_changes_are_read_at_the_fallback_interval() {
    let mut case = settled_with(|channel| channel.last_check = Some(ago(Duration::from_hours(13))));
    case.fail(Reason::InsufficientScope, Retry::Never);
    assert_eq!(case.reads().purpose, Purpose::Poll);
    case.read_nothing();
    let Step::Wait { until: Some(until), why: Why::FallbackPoll } = case.next() else { panic!("{:?}", case.next()) };
    assert_eq!(until.duration_since(case.now), SignedDuration::from_mins(5));
}

#[test]
fn a_channel_is_replaced_at_its_age() {
    let case = settled_with(|channel| channel.created = Some(ago(Duration::from_secs(720 * 3_600))));
    assert_eq!(case.records().channel.next, Some(2));
}

fn polling() -> Case {
    let mut case = Case::of(
        desired(),
        Record { channel: ChannelRecord::default(), ..settled() },
        Mark::default(),
        Memory::default(),
    )
    .desiring(|desired| desired.mode = Mode::Poll);
    case.observed.memory.last_look = Some(at("2026-11-20T11:44:00Z"));
    case.load(stored(&[soon("a")]));
    case
}

#[test]
fn in_poll_mode_changes_are_read_on_schedule_without_a_channel() {
    let case = polling();
    assert_eq!((case.reads().purpose, case.reads().modified_since), (Purpose::Poll, Some(snapshot(&[]).cursor)));
}

#[test]
fn a_poll_that_shows_nothing_new_writes_nothing_until_the_cursor_is_an_hour_behind() {
    for (cursor, writes) in [("2026-11-20T11:20:00Z", false), ("2026-11-20T10:50:00Z", true)] {
        let mut case = polling();
        case.observed.stored = Stored::Present(Box::new(Snapshot { cursor: at(cursor), ..snapshot(&[soon("a")]) }));
        case.page(vec![present(soon("a"))], false);
        assert_eq!(matches!(case.next(), Step::Commit(_)), writes, "{cursor}");
    }
}

#[test]
fn a_sweep_does_not_put_off_the_next_poll() {
    let mut case = polling();
    case.observed.memory.last_read = Some(case.now);
    assert_eq!(calendar_sync::upcoming(&case.desired, &case.observed, case.now).map(|(why, _)| why), Some(Why::Poll));
    case.now = case.now.checked_add(SignedDuration::from_secs(2)).unwrap();
    assert_eq!(case.reads().purpose, Purpose::Poll);
}

#[test]
fn going_over_to_poll_mode_closes_what_there_is_and_going_back_reads_what_came_between() {
    let mut case = Case::settled().desiring(|desired| desired.mode = Mode::Poll);
    case.load(stored(&[soon("a")]));
    // It stops to count before it is closed.
    let left = ChannelRecord { generation: 1, next: Some(1), ..ChannelRecord::default() };
    assert_eq!(case.records().channel, left);
    case.write();
    assert_eq!(case.next(), Step::ListChannels);
    case.answer(Outcome::Channels(vec![remote_channel("chn_1", 1)]));
    assert_eq!(case.next(), Step::CloseChannel { id: "chn_1".to_owned() });
    case.answer(Outcome::ChannelClosed { id: "chn_1".to_owned() });
    assert_eq!(case.records().channel, ChannelRecord { generation: 1, ..ChannelRecord::default() });
    case.write();
    let mut back = case.again().desiring(|desired| desired.mode = Mode::Push);
    back.load(stored(&[soon("a")])).write().answer(Outcome::Channels(Vec::new()));
    back.answer(Outcome::ChannelCreated { id: "chn_2".to_owned() }).write();
    assert_eq!(back.reads().purpose, Purpose::Check);
}

#[test]
fn a_wait_never_ends_before_it_begins() {
    let mut case = Case::settled().recorded(|record| record.account = Some(account(false, false)));
    case.load(stored(&[soon("a")])).answer(Outcome::Account(account(false, false)));
    case.now = at("2026-11-20T13:00:00Z"); // the process was stopped for an hour
    let Step::Wait { until: Some(until), .. } = case.next() else { panic!("{:?}", case.next()) };
    assert!(until > case.now);
}
