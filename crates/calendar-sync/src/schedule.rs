//! When regular work is due. Pure; all times are those of the clock that the engine is told.

use std::time::Duration;

use jiff::Timestamp;

use crate::decide::after;
use crate::{Account, ChannelRecord, Desired, Mode, Observed, Snapshot, Why, failure};

/// How long Cronofy may take to reach a new channel, and a notification to follow its change, before push is not trusted.
pub const VERIFICATION_LIMIT: Duration = Duration::from_mins(2);
/// How long changes may stay unannounced before the channel is replaced.
pub const SUSPICION: Duration = Duration::from_mins(10);
/// How long events stay that a full read does not show, when it lacks more than half of them.
pub const CONFIRM_AFTER: Duration = Duration::from_mins(10);
/// Behind midnight by this much, it is the next day at Cronofy, too.
const CLOCK_MARGIN: Duration = Duration::from_mins(2);
/// A time that lies further in the future than this was noted by a clock that was wrong.
const CLOCK_TOLERANCE: Duration = Duration::from_hours(1);

/// The regular work, each with the time at which it is due.
pub fn work(desired: &Desired, observed: &Observed, snapshot: &Snapshot, now: Timestamp) -> Vec<(Why, Timestamp)> {
    let channel = &observed.record.channel;
    let push = desired.mode == Mode::Push && channel.id.is_some();
    let incomplete = observed.record.account.as_ref().is_some_and(|account| !account.complete());
    let dues = [
        Some((Why::FullSync, full_sync(desired, snapshot, now))),
        Some((Why::HorizonSweep, horizon_sweep(desired, observed, snapshot))),
        confirmation(observed, now).map(|due| (Why::Confirmation, due)),
        incomplete.then(|| (Why::AccountCheck, account_check(desired, observed, now))),
        push.then(|| (Why::ChannelCheck, channel_check(desired, channel, now))),
        replacement(desired, channel, now).filter(|_| push).map(|due| (Why::ChannelRenewal, due)),
        poll(desired, observed, snapshot, now),
        unhealthy_from(desired, channel, now).filter(|from| *from > now).map(|from| (Why::Verification, from)),
    ];
    dues.into_iter().flatten().collect()
}

/// When everything is to be read again: up to a tenth of the interval early, so that a fleet does not read all at once.
pub fn full_sync(desired: &Desired, snapshot: &Snapshot, now: Timestamp) -> Timestamp {
    early(desired, "full sync", snapshot.last_full_sync, desired.intervals.full_sync, now)
}

/// When the far edge is to be read: some time after it has moved on, at most an interval or a day, so that a fleet does not
/// read all at once.
pub fn horizon_sweep(desired: &Desired, observed: &Observed, snapshot: &Snapshot) -> Timestamp {
    const DAY: Duration = Duration::from_hours(24);
    let interval = desired.intervals.horizon_sweep;
    let due = desired.window.sweep_due(snapshot.swept_through, &desired.time_zone, interval);
    let spread = failure::spread(&(&desired.uid, "sweep"), interval.min(DAY));
    observed.time_here(after(due, CLOCK_MARGIN.saturating_add(spread)))
}

/// When the channel is to be looked at; at once for one that was just made, since changes may have come before it.
pub fn channel_check(desired: &Desired, channel: &ChannelRecord, now: Timestamp) -> Timestamp {
    match channel.last_check {
        Some(last) => early(desired, "channel check", last, desired.intervals.channel_check, now),
        None => now,
    }
}

/// When the channel is to be replaced by its age; up to a tenth of the interval early.
#[must_use]
pub fn renewal(desired: &Desired, channel: &ChannelRecord) -> Option<Timestamp> {
    let interval = desired.intervals.channel_renewal;
    let spread = failure::spread(&(&desired.uid, "renewal", channel.generation), interval / 10);
    channel.created.map(|created| after(created, interval.saturating_sub(spread)))
}

/// When the channel is to be replaced, by its age or since it keeps silent; `None` while that is under way.
pub fn replacement(desired: &Desired, channel: &ChannelRecord, now: Timestamp) -> Option<Timestamp> {
    let silent = channel.suspect.map(|since| after(sound(since, now), SUSPICION));
    let dues = renewal(desired, channel).into_iter().chain(silent);
    dues.min().filter(|_| channel.next.is_none())
}

/// When the missing events are to be looked for a second time.
pub fn confirmation(observed: &Observed, now: Timestamp) -> Option<Timestamp> {
    observed.record.held.as_ref().map(|held| after(sound(held.time, now), CONFIRM_AFTER))
}

/// When the account is to be looked at again, while a profile needs its owner or is read for the first time.
pub fn account_check(desired: &Desired, observed: &Observed, now: Timestamp) -> Timestamp {
    observed.memory.last_account_check.map_or(now, |last| after(sound(last, now), desired.intervals.poll))
}

/// When to read what nobody announces: in poll mode, and while push is not known to work.
pub fn poll(desired: &Desired, observed: &Observed, snapshot: &Snapshot, now: Timestamp) -> Option<(Why, Timestamp)> {
    let (why, interval) = match desired.mode {
        Mode::Poll => (Why::Poll, desired.intervals.poll),
        // What is not found out about the channel may be that it is gone.
        Mode::Push if is_unhealthy(desired, observed, now) || observed.only_channel_failed() => {
            (Why::FallbackPoll, desired.intervals.fallback_poll)
        }
        Mode::Push => return None,
    };
    let last = observed.memory.last_look.unwrap_or(snapshot.cursor);
    Some((why, if is_from_another_clock(last, now) { now } else { after(last, interval) }))
}

/// Whether push is not known to work: changes have to be looked for.
#[must_use]
pub fn is_unhealthy(desired: &Desired, observed: &Observed, now: Timestamp) -> bool {
    desired.mode == Mode::Push && unhealthy_from(desired, &observed.record.channel, now).is_some_and(|from| from <= now)
}

/// From when on push is not trusted; `None` while nothing speaks against it.
fn unhealthy_from(desired: &Desired, channel: &ChannelRecord, now: Timestamp) -> Option<Timestamp> {
    if desired.mode != Mode::Push {
        return None;
    }
    if channel.id.is_none() {
        return Some(Timestamp::MIN);
    }
    let unverified = channel.created.filter(|_| channel.verified.is_none());
    [unverified, channel.suspect].into_iter().flatten().map(|since| after(sound(since, now), VERIFICATION_LIMIT)).min()
}

/// Whether an event that a complete read does not show is gone, as far as the account tells.
pub fn absence_tells(account: Option<&Account>) -> bool {
    account.is_none_or(Account::complete)
}

/// `interval` after `last`, up to a tenth of it early.
fn early(desired: &Desired, what: &str, last: Timestamp, interval: Duration, now: Timestamp) -> Timestamp {
    if is_from_another_clock(last, now) {
        return now;
    }
    after(last, interval.saturating_sub(failure::spread(&(&desired.uid, what), interval / 10)))
}

/// A time that was noted, or long ago if a clock noted it that was wrong: what waits for it must not wait for ever.
pub fn sound(time: Timestamp, now: Timestamp) -> Timestamp {
    if is_from_another_clock(time, now) { Timestamp::MIN } else { time }
}

pub fn is_from_another_clock(time: Timestamp, now: Timestamp) -> bool {
    time > after(now, CLOCK_TOLERANCE)
}
