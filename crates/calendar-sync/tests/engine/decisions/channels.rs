//! One channel, never a second, and none left behind.

use calendar_sync::{MOST_CHANNELS, Stop};

use super::*;

/// A pass over a subscription that lacks its channel, up to the listing.
fn without_channel(channels: Vec<RemoteChannel>) -> Case {
    let mut case = Case::settled().recorded(|record| record.channel = ChannelRecord::default());
    case.load(stored(&[])).write();
    assert_eq!(case.next(), Step::ListChannels);
    case.answer(Outcome::Channels(channels));
    case
}

fn create(generation: i64) -> Step {
    Step::CreateChannel { callback_url: channel::callback_url(BASE, UID, generation), filter: ChannelFilter::default() }
}

fn created(id: &str) -> Outcome {
    Outcome::ChannelCreated { id: id.to_owned() }
}

/// The next pass, once Cronofy has reached the present channel; up to where the store is known.
fn verified(case: &Case) -> Case {
    let mark =
        Mark { generation: Some(case.observed.record.channel.generation), ..mark(&[NotificationType::Verification]) };
    let Observed { record, memory, .. } = case.observed.clone();
    let mut verified = Case { observed: Observed::new(record, mark, memory, true), ..case.clone() };
    verified.write().load(stored(&[])).look();
    verified
}

fn loaded(mut case: Case) -> Case {
    case.load(Stored::Absent);
    case
}

fn foreign(number: usize) -> RemoteChannel {
    RemoteChannel {
        id: format!("foreign {number:03}"),
        callback_url: channel::callback_url(BASE, "another uid", i64::try_from(number).unwrap()),
        filter: ChannelFilter::default(),
    }
}

#[test]
fn the_intent_is_recorded_then_the_channels_are_listed_then_one_is_created_and_recorded() {
    let mut case = Case::settled().recorded(|record| record.channel = ChannelRecord::default());
    case.load(stored(&[]));
    let intent = case.records().channel;
    assert_eq!((intent.id, intent.generation, intent.next), (None, 0, Some(1)));
    case.write();
    assert_eq!(case.next(), Step::ListChannels);
    case.answer(Outcome::Channels(vec![foreign(1)]));
    assert_eq!(case.next(), create(1));
    case.answer(created("chn_1"));
    let record = case.records().channel;
    assert_eq!((record.id.as_deref(), record.generation, record.next), (Some("chn_1"), 1, None));
    assert_eq!(record.verified, None, "nothing has arrived yet");
    case.write();
    assert_eq!(case.reads().purpose, Purpose::Check, "what changed before it was made is announced by nobody");
    case.read_nothing();
    assert!(case.rests());
}

#[test]
fn a_channel_that_is_listed_under_the_intended_url_is_adopted_instead_of_made_again() {
    let mut case = without_channel(vec![foreign(1), remote_channel("chn_7", 1)]);
    let record = case.records().channel;
    assert_eq!((record.id.as_deref(), record.generation), (Some("chn_7"), 1));
    case.write().read_nothing();
    assert!(case.rests(), "whether something else is to be closed is not asked before it is verified");
    let mut verified = case.again().marked(&[NotificationType::Verification]);
    verified.write().load(stored(&[])).answer(Outcome::Channels(vec![foreign(1), remote_channel("chn_7", 1)]));
    assert_eq!(verified.records().channel.next, None, "nothing else is to be closed");
    verified.write();
    assert!(case.rests());
}

#[test]
fn of_two_channels_under_the_intended_url_one_is_adopted_and_the_other_closed() {
    let mut case = without_channel(vec![remote_channel("chn_8", 1), remote_channel("chn_7", 1)]);
    assert_eq!(case.records().channel.id.as_deref(), Some("chn_7"));
    let mut verified = verified(case.write().read_nothing());
    verified.answer(Outcome::Channels(vec![remote_channel("chn_8", 1), remote_channel("chn_7", 1)]));
    assert_eq!(verified.next(), Step::CloseChannel { id: "chn_8".to_owned() });
    verified.answer(Outcome::NotFound);
    assert_eq!(verified.records().channel.next, None);
}

#[test]
fn a_crash_before_the_strays_are_closed_is_made_good() {
    let mut case = without_channel(vec![remote_channel("chn_8", 1), remote_channel("chn_7", 1)]);
    let mut restarted = verified(case.write());
    assert_eq!(restarted.next(), Step::ListChannels);
    restarted.answer(Outcome::Channels(vec![remote_channel("chn_7", 1), remote_channel("chn_8", 1)]));
    assert_eq!(restarted.next(), Step::CloseChannel { id: "chn_8".to_owned() });
}

#[test]
fn another_filter_or_base_url_makes_a_new_channel_before_the_old_one_is_closed() {
    let filtered: fn(&mut Desired) =
        |desired| desired.filter.calendar_ids = Some(BTreeSet::from(["cal_2".to_owned(), "cal_1".to_owned()]));
    let managed: fn(&mut Desired) = |desired| desired.filter.only_managed = true;
    let moved: fn(&mut Desired) = |desired| desired.callback_base = Some("https://other.example.org/in".to_owned());
    for change in [filtered, managed, moved] {
        let mut case = Case::settled().desiring(change);
        case.load(stored(&[])).look().write();
        assert_eq!(case.observed.record.channel.id.as_deref(), Some("chn_1"), "the old one still counts");
        case.answer(Outcome::Channels(vec![remote_channel("chn_1", 1)]));
        let Step::CreateChannel { callback_url, filter } = case.next() else { panic!("{:?}", case.next()) };
        assert_eq!(callback_url, channel::callback_url(case.desired.callback_base.as_ref().unwrap(), UID, 2));
        assert_eq!(filter, ChannelFilter::from(&case.desired.filter));
        case.answer(created("chn_2"));
        assert_eq!(case.records().channel.next, Some(2), "there is something left to close");
        case.write().read_nothing();
        assert!(case.rests(), "the old one stays until Cronofy has reached the new one");
        let late = Mark { generation: Some(1), ..mark(&[NotificationType::Change]) };
        let mut unproven = Case {
            observed: Observed::new(case.observed.record.clone(), late, case.observed.memory.clone(), true),
            ..case.clone()
        };
        unproven.load(stored(&[])).read_nothing();
        assert_eq!(unproven.observed.record.channel.verified, None, "a late delivery of the old one proves nothing");
        let mut case = verified(&case);
        case.answer(Outcome::Channels(vec![remote_channel("chn_1", 1), remote_channel("chn_2", 2)]));
        assert_eq!(case.next(), Step::CloseChannel { id: "chn_1".to_owned() });
        case.answer(Outcome::ChannelClosed { id: "chn_1".to_owned() });
        let record = case.records().channel;
        assert_eq!((record.id.as_deref(), record.generation, record.next), (Some("chn_2"), 2, None));
    }
}

#[test]
fn calendars_named_twice_or_in_another_order_are_the_same_filter() {
    let ids = |ids: &[&str]| Filter {
        calendar_ids: Some(ids.iter().map(|&id| id.to_owned()).collect()),
        ..Filter::default()
    };
    assert_eq!(ChannelFilter::from(&ids(&["b", "a", "b"])), ChannelFilter::from(&ids(&["a", "b"])));
    let calendar_ids = Some(vec!["a".to_owned(), "b".to_owned()]);
    assert_eq!(ChannelFilter::from(&ids(&["b", "a"])).calendar_ids, calendar_ids);
}

#[test]
fn a_create_that_gives_a_channel_we_have_makes_no_second_one() {
    let mut case = without_channel(vec![RemoteChannel {
        // Listed in a form that does not compare equal.
        filter: ChannelFilter { calendar_ids: Some(vec!["cal_9".to_owned()]), only_managed: false },
        ..remote_channel("chn_7", 1)
    }]);
    assert_eq!(case.next(), create(1));
    case.answer(created("chn_7"));
    let record = case.records().channel;
    assert_eq!((record.id.as_deref(), record.next), (Some("chn_7"), None));
}

#[test]
fn a_full_account_is_said_to_be_full_whatever_cronofy_answers() {
    for (reason, retry) in [
        (Reason::InvalidRequest, Retry::Never),
        (Reason::InsufficientScope, Retry::Never),
        (Reason::RateLimited, Retry::After(Duration::from_secs(5))),
    ] {
        let mut case = without_channel((0..MOST_CHANNELS).map(foreign).collect());
        case.fail(reason, retry);
        assert_eq!(case.reads().purpose, Purpose::Poll, "events are read meanwhile");
        case.read_nothing();
        let Step::Wait { why: Why::Retry, .. } = case.next() else {
            panic!("channels of others may go: {:?}", case.next())
        };
        assert_eq!(case.observed.record.failures.unwrap().last.reason, Reason::ChannelLimitReached);
    }
}

#[test]
fn trouble_on_the_way_is_not_taken_for_a_full_account() {
    for reason in [Reason::CronofyUnavailable, Reason::CronofyUnreachable] {
        let mut case = without_channel((0..MOST_CHANNELS).map(foreign).collect());
        case.fail(reason, Retry::Backoff);
        assert_eq!(case.observed.record.failures.unwrap().last.reason, reason);
    }
}

/// It may be closed, and listed nevertheless, or be another account's.
#[test]
fn with_a_new_authorization_another_channel_is_made_before_the_present_one_is_closed() {
    let mut case = Case::settled().marked(&[NotificationType::Change]);
    case.load(stored(&[])).fail(Reason::AuthorizationRevoked, Retry::Never);
    let mut mended = case.again().desiring(|desired| desired.inputs = "mended".to_owned());
    mended.load(stored(&[])).look();
    assert_eq!(mended.records().channel.next, Some(2));
    mended.write().answer(Outcome::Channels(vec![remote_channel("chn_1", 1)]));
    assert_eq!(mended.next(), create(2));
    mended.answer(created("chn_2")).write().read_nothing();
    let mut verified = verified(&mended);
    verified.answer(Outcome::Channels(vec![remote_channel("chn_1", 1), remote_channel("chn_2", 2)]));
    assert_eq!(verified.next(), Step::CloseChannel { id: "chn_1".to_owned() });
}

#[test]
fn in_a_full_account_a_leaked_channel_makes_room_for_the_wanted_one() {
    let mut channels: Vec<_> = (1..MOST_CHANNELS).map(foreign).collect();
    channels.push(remote_channel("leaked", 1));
    let mut case = Case::settled().recorded(|record| {
        record.channel = ChannelRecord { generation: 1, ..ChannelRecord::default() };
    });
    case.load(stored(&[])).write().answer(Outcome::Channels(channels));
    assert_eq!(case.next(), Step::CloseChannel { id: "leaked".to_owned() });
    case.answer(Outcome::ChannelClosed { id: "leaked".to_owned() });
    assert_eq!(case.next(), create(2));
}

#[test]
fn a_verification_that_arrived_before_the_channel_was_recorded_is_not_lost() {
    let mut case = Case::settled()
        .recorded(|record| record.channel = ChannelRecord::default())
        .marked(&[NotificationType::Verification]);
    case.load(stored(&[])).write().answer(Outcome::Channels(Vec::new())).answer(created("chn_1"));
    let record = case.records().channel;
    assert_eq!(record.verified, case.observed.mark.received);
    case.write();
    assert!(!case.observed.mark.pending());
    case.read_nothing();
    assert!(case.rests(), "it asks for nothing else");
}

#[test]
fn a_verification_that_came_before_a_channel_was_known_outlives_the_process() {
    let moved = |desired: &mut Desired| desired.callback_base = Some("https://other.example.org/in".to_owned());
    let mut case = Case::settled().desiring(moved);
    case.load(stored(&[])).look().write().answer(Outcome::Channels(vec![remote_channel("chn_1", 1)]));
    case.fail(Reason::CronofyUnreachable, Retry::Backoff); // it was made, though
    let reached = Mark { generation: Some(2), ..mark(&[NotificationType::Verification]) };
    let mut told = Case { observed: Observed::new(case.observed.record, reached, Memory::default(), true), ..case };
    let record = told.records();
    assert_eq!(record.channel.next_verified, Some(at("2026-11-20T11:59:30Z")));
    told.write();
    let mut restarted = Case::of(told.desired, record, told.observed.mark, Memory::default());
    restarted.now = at("2026-11-20T12:05:00Z");
    restarted.load(stored(&[])).look();
    let made = RemoteChannel {
        callback_url: channel::callback_url("https://other.example.org/in", UID, 2),
        ..remote_channel("chn_2", 2)
    };
    restarted.answer(Outcome::Channels(vec![remote_channel("chn_1", 1), made]));
    let record = restarted.records().channel;
    assert_eq!((record.id.as_deref(), record.verified), (Some("chn_2"), Some(restarted.now)));
    restarted.write();
    assert_eq!(restarted.next(), Step::CloseChannel { id: "chn_1".to_owned() }, "nothing more is waited for");
}

#[test]
fn in_a_full_account_the_channel_that_delivers_is_not_closed_for_one_that_is_to_be_made() {
    let changed = |desired: &mut Desired| desired.filter.only_managed = true;
    let record = |record: &mut Record| {
        let channel = &mut record.channel;
        (channel.id, channel.generation, channel.next) = (Some("chn_2".to_owned()), 2, Some(2));
        (channel.created, channel.verified) = (Some(at("2026-11-20T11:59:00Z")), None);
    };
    let mut channels: Vec<_> = (2..MOST_CHANNELS).map(foreign).collect();
    channels.extend([remote_channel("chn_1", 1), remote_channel("chn_2", 2)]);
    for (time, waits) in [("2026-11-20T12:00:00Z", true), ("2026-11-20T12:02:00Z", false)] {
        let mut case = Case::settled().desiring(changed).recorded(record);
        case.now = at(time);
        case.load(stored(&[])).look().write().answer(Outcome::Channels(channels.clone()));
        let tried = matches!(case.next(), Step::CreateChannel { .. });
        assert_eq!(tried, waits, "{:?}", case.next());
        let closed = Step::CloseChannel { id: "chn_1".to_owned() };
        assert_eq!(case.next() == closed, !waits, "nothing is known to deliver, and events are read meanwhile");
    }
}

#[test]
fn without_a_callback_url_that_cronofy_takes_nothing_is_begun() {
    let none = Case::settled().desiring(|desired| desired.callback_base = None);
    assert_eq!(none.next(), Step::Load, "what is stored is looked at whatever else is wrong");
    let none = loaded(none);
    assert_eq!(none.next(), Step::Stop(Stop::Failed(Reason::NoCallbackUrl)));
    let poll = none.desiring(|desired| desired.mode = Mode::Poll);
    assert!(!matches!(poll.next(), Step::Stop(_)), "without a channel none is needed");
    let room = calendar_sync::LONGEST_CALLBACK_URL - channel::callback_url("", UID, 1).len();
    for (length, fits) in [(room, true), (room + 1, false)] {
        let case = loaded(Case::new().desiring(|desired| desired.callback_base = Some("x".repeat(length))));
        assert_eq!(case.next() == Step::CheckAccount, fits, "{length}");
        assert_eq!(case.next() == Step::Stop(Stop::Failed(Reason::CallbackUrlTooLong)), !fits, "{length}");
    }
}

#[test]
fn after_a_create_whose_answer_is_lost_the_channels_are_listed_anew() {
    let mut case = without_channel(Vec::new());
    case.fail(Reason::CronofyUnreachable, Retry::Backoff);
    case.now = case.retry_at();
    assert_eq!(case.next(), Step::ListChannels, "even in the same pass");
    case.answer(Outcome::Channels(vec![remote_channel("chn_1", 1)]));
    assert_eq!(case.records().channel.id.as_deref(), Some("chn_1"));
}
