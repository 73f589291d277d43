//! What to do next. Pure: the same desire, knowledge and time always give the same step.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::{
    ChannelFilter, Desired, EventsRequest, MOST_CHANNELS, Mode, NotificationType, Observed, Purpose, Reason, Record,
    RemoteChannel, Snapshot, Step, Stop, Stored, Why, channel, failure,
};

/// The longest callback URL that Cronofy is known to take (an older page of its documentation).
pub const LONGEST_CALLBACK_URL: usize = 128;
/// Between the ends of two reads that notifications ask for.
pub const READ_SPACING: Duration = Duration::from_secs(1);
/// Between two full reads that mend a damaged output: somebody who keeps damaging it shall not spend the request budget.
pub const REPAIR_SPACING: Duration = Duration::from_secs(10);

/// The one thing to do next.
#[must_use]
pub fn next(desired: &Desired, observed: &Observed, now: Timestamp) -> Step {
    if let Some(deletion) = desired.deletion {
        return crate::farewell::delete(desired, observed, deletion, now);
    }
    if observed.erasing(desired) {
        return crate::farewell::erase(desired, observed, now);
    }
    if observed.record.erased.is_some() {
        // Asked for anew after an erasure: begin as if nothing had been.
        return record(observed, |record| record.erased = None);
    }
    if observed.unrecorded {
        return record(observed, |_| {});
    }
    if let Some(stop) = blocked(desired, observed) {
        return stop;
    }
    if desired.suspended {
        return Step::Wait { until: None, why: Why::Suspended };
    }
    if let Some(wait) = waiting_for_retry(observed, now) {
        return wait;
    }
    match work(desired, observed, now) {
        Work::Step(step) => with_token(observed, step),
        Work::Wait { until, why } if observed.record.failures.is_none() => Step::Wait { until: Some(until), why },
        // Everything that failed has succeeded since.
        Work::Wait { .. } => record(observed, |record| record.failures = None),
    }
}

/// What comes next in the regular course, and when: for the status.
#[must_use]
pub fn upcoming(desired: &Desired, observed: &Observed, now: Timestamp) -> Option<(Why, Timestamp)> {
    if desired.deletion.is_some() || desired.suspended || observed.record.erased.is_some() {
        return None;
    }
    if let Some(failures) = &observed.record.failures {
        return failures.next_retry.map(|time| (Why::Retry, time));
    }
    let last = observed.record.last_full_sync?;
    Some(earliest(desired, observed, last, now))
}

enum Work {
    Step(Step),
    Wait { until: Timestamp, why: Why },
}

fn work(desired: &Desired, observed: &Observed, now: Timestamp) -> Work {
    if let Some(reading) = &observed.reading {
        return Work::Step(if reading.is_complete() {
            let absence_deletes = observed.record.account.as_ref().is_none_or(crate::Account::complete);
            Step::Commit(Box::new(reading.snapshot(desired, &observed.stored, absence_deletes, now)))
        } else {
            Step::ReadEvents(EventsRequest { page: reading.next_page, ..reading.request.clone() })
        });
    }
    if observed.stored == Stored::Unread {
        return Work::Step(Step::Load);
    }
    if account_check_due(desired, observed, now) {
        return Work::Step(Step::CheckAccount);
    }
    if let Some(step) = channel_step(desired, observed, now) {
        return Work::Step(step);
    }
    read(desired, observed, now)
}

/// A step that needs Cronofy needs a token first.
pub(crate) fn with_token(observed: &Observed, step: Step) -> Step {
    if step.needs_token() && !observed.token { Step::RefreshToken } else { step }
}

/// Writes the record down, changed like this.
pub(crate) fn record(observed: &Observed, change: impl FnOnce(&mut Record)) -> Step {
    let mut record = Box::new(observed.record.clone());
    change(&mut record);
    Step::Record(record)
}

/// The wait for the next try, if there is one to wait for.
pub(crate) fn waiting_for_retry(observed: &Observed, now: Timestamp) -> Option<Step> {
    let retry = observed.record.failures.as_ref()?.next_retry?;
    (retry > now).then_some(Step::Wait { until: Some(retry), why: Why::Retry })
}

fn blocked(desired: &Desired, observed: &Observed) -> Option<Step> {
    if desired.mode == Mode::Poll {
        return Some(Step::Stop(Stop::Failed(Reason::NotSupported)));
    }
    let Some(base) = &desired.callback_base else {
        return Some(Step::Stop(Stop::Failed(Reason::NoCallbackUrl)));
    };
    if channel::callback_url(base, &desired.uid, 1).len() > LONGEST_CALLBACK_URL {
        return Some(Step::Stop(Stop::Failed(Reason::CallbackUrlTooLong)));
    }
    let failures = observed.record.failures.as_ref().filter(|failures| failures.next_retry.is_none())?;
    (observed.memory.blocked_on.as_ref() == Some(&desired.inputs))
        .then_some(Step::Stop(Stop::Failed(failures.last.reason)))
}

fn account_check_due(desired: &Desired, observed: &Observed, now: Timestamp) -> bool {
    if observed.account_checked {
        return false;
    }
    let Some(account) = &observed.record.account else { return true };
    let open = |kind| observed.mark_open() && observed.mark.has(kind);
    open(NotificationType::ProfileDisconnected)
        || open(NotificationType::ProfileInitialSyncCompleted)
        || (open(NotificationType::Change) && !account.connected())
        || (!account.complete() && next_account_check(desired, observed, now) <= now)
}

fn next_account_check(desired: &Desired, observed: &Observed, now: Timestamp) -> Timestamp {
    observed.memory.last_account_check.map_or(now, |last| after(last, desired.intervals.poll))
}

/// What the channel needs: none if it is as wanted.
fn channel_step(desired: &Desired, observed: &Observed, now: Timestamp) -> Option<Step> {
    let base = desired.callback_base.as_ref()?;
    let filter = ChannelFilter::from(&desired.filter);
    let configuration = channel::configuration(base, &filter);
    let present = &observed.record.channel;

    let as_wanted = present.id.is_some() && present.configuration.as_ref() == Some(&configuration);
    let Some(generation) = present.next else {
        // The intent is written down first, so that a crash after the create leaves a channel that we know to look for.
        return (!as_wanted)
            .then(|| record(observed, |record| record.channel.next = Some(present.generation.saturating_add(1))));
    };
    let Some(channels) = &observed.channels else { return Some(Step::ListChannels) };
    if as_wanted && present.generation == generation {
        let stray = channels.iter().find(|channel| {
            present.id.as_ref() != Some(&channel.id)
                && channel::generation_of(&channel.callback_url, &desired.uid, generation).is_some()
        });
        return Some(match stray {
            Some(stray) => Step::CloseChannel { id: stray.id.clone() },
            None => record(observed, |record| record.channel.next = None),
        });
    }
    let callback_url = channel::callback_url(base, &desired.uid, generation);
    let same = |channel: &&RemoteChannel| channel.callback_url == callback_url && channel.filter == filter;
    Some(match channels.iter().filter(same).min_by_key(|channel| &channel.id) {
        Some(found) => record(observed, |record| {
            record.channel = observed.live_channel(found.id.clone(), generation, configuration, now);
        }),
        None => match leaked_in_full_account(desired, observed, channels, generation) {
            Some(leaked) => Step::CloseChannel { id: leaked.id.clone() },
            None => Step::CreateChannel { callback_url, filter },
        },
    })
}

/// A channel of ours that nobody knows any more, where it takes the place of the one that is wanted.
fn leaked_in_full_account<'a>(
    desired: &Desired,
    observed: &Observed,
    channels: &'a [RemoteChannel],
    newest: i64,
) -> Option<&'a RemoteChannel> {
    let leaked = |channel: &&RemoteChannel| {
        observed.record.channel.id.as_ref() != Some(&channel.id)
            && channel::generation_of(&channel.callback_url, &desired.uid, newest).is_some()
    };
    channels.iter().filter(|_| channels.len() >= MOST_CHANNELS).find(leaked)
}

fn read(desired: &Desired, observed: &Observed, now: Timestamp) -> Work {
    let (purpose, modified_since, not_before) = match &observed.stored {
        Stored::Absent if observed.record.last_full_sync.is_none() => (Purpose::Initial, None, None),
        Stored::Unread | Stored::Absent | Stored::Damaged => {
            (Purpose::Full, None, observed.record.last_full_sync.map(|last| after(last, REPAIR_SPACING)))
        }
        Stored::Present(snapshot) => {
            let spaced = observed.memory.last_read.map(|last| after(last, READ_SPACING));
            let since = observed.mark.changes_since.map_or(snapshot.cursor, |since| since.min(snapshot.cursor));
            if observed.deletions_unknown {
                (Purpose::Delta, Some(since), None)
            } else if full_sync_due(desired, observed, snapshot, now) {
                (Purpose::Full, None, spaced)
            } else if observed.mark_open() {
                (Purpose::Delta, Some(since), spaced)
            } else {
                let (why, until) = earliest(desired, observed, snapshot.last_full_sync, now);
                return Work::Wait { until, why };
            }
        }
    };
    match not_before {
        // A clock that was set back must not hold reads up for longer than the spacing.
        Some(time) if time > now && time <= after(now, REPAIR_SPACING) => Work::Wait { until: time, why: Why::Delta },
        Some(_) | None => Work::Step(Step::ReadEvents(EventsRequest {
            range: desired.window.range(now, &desired.time_zone),
            modified_since,
            filter: desired.filter.clone(),
            page: 0,
            purpose,
        })),
    }
}

fn full_sync_due(desired: &Desired, observed: &Observed, snapshot: &Snapshot, now: Timestamp) -> bool {
    let completed = !snapshot.complete && observed.record.account.as_ref().is_some_and(crate::Account::complete);
    completed
        || snapshot.fingerprint != desired.content_fingerprint()
        || observed.asked(desired)
        || (observed.mark_open() && observed.mark.has(NotificationType::ProfileInitialSyncCompleted))
        || full_sync_time(desired, snapshot.last_full_sync) <= now
}

/// When everything is to be read again: up to a tenth of the interval early, so that a fleet does not read all at once.
fn full_sync_time(desired: &Desired, last: Timestamp) -> Timestamp {
    let interval = desired.intervals.full_sync;
    after(last, interval.saturating_sub(failure::spread(&(&desired.uid, "full sync"), interval / 10)))
}

fn earliest(desired: &Desired, observed: &Observed, last_full_sync: Timestamp, now: Timestamp) -> (Why, Timestamp) {
    let full_sync = (Why::FullSync, full_sync_time(desired, last_full_sync));
    let incomplete = observed.record.account.as_ref().is_some_and(|account| !account.complete());
    let account_check = incomplete.then(|| (Why::AccountCheck, next_account_check(desired, observed, now)));
    account_check.into_iter().chain([full_sync]).min_by_key(|(_, time)| *time).unwrap_or(full_sync)
}

/// `time` plus `span`, at the end of time at the latest.
pub(crate) fn after(time: Timestamp, span: Duration) -> Timestamp {
    let span = SignedDuration::try_from(span).unwrap_or(SignedDuration::MAX);
    time.checked_add(span).unwrap_or(Timestamp::MAX)
}
