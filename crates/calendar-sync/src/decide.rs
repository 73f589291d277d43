//! What to do next. Pure: the same desire, knowledge and time always give the same step.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::{
    Account, Desired, EventsRequest, Failures, LONGEST_BACKOFF, Mode, NotificationType, Observed, Purpose, Reason,
    Record, SHORTEST_WAIT, Snapshot, Step, Stop, Stored, Why, channel, guard, life, reading, schedule,
};

/// The longest callback URL that Cronofy is known to take (an older page of its documentation).
pub const LONGEST_CALLBACK_URL: usize = 128;
/// Between the ends of two reads that notifications ask for.
pub const READ_SPACING: Duration = Duration::from_secs(1);
/// Between two full reads that mend a damaged output: somebody who keeps damaging it shall not spend the request budget.
pub const REPAIR_SPACING: Duration = Duration::from_secs(10);

/// How long a look at the account counts for a read that waits for its turn.
const ACCOUNT_FRESH: Duration = Duration::from_mins(5);

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
    if let Some(step) = narrow(desired, observed, now) {
        return step;
    }
    if let Some(stop) = blocked(desired, observed, now) {
        return stop;
    }
    if desired.suspended {
        // What must not be shown any more goes nevertheless, as soon as the store can be reached.
        let retry = waiting_for_retry(observed, now).filter(|_| observed.store_failed());
        if let Some(wait) = retry {
            return wait;
        }
        return Step::Wait { until: None, why: Why::Suspended };
    }
    if let Some(wait) = waiting_for_retry(observed, now).filter(|_| !observed.only_channel_failed()) {
        return wait;
    }
    match work(desired, observed, now) {
        Work::Step(step) => with_token(observed, step),
        Work::Wait { until, why } if observed.record.failures.is_none() || channel_rests(desired, observed, now) => {
            let retry = observed.record.failures.as_ref().and_then(|failures| failures.next_retry);
            match retry {
                Some(retry) if retry < until => Step::Wait { until: Some(retry), why: Why::Retry },
                Some(_) | None => Step::Wait { until: Some(until), why },
            }
        }
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
    if let Some(failures) = &observed.record.failures
        && !failures.about_channel
    {
        return failures.next_retry.map(|time| (Why::Retry, time));
    }
    earliest(desired, observed, observed.stored.snapshot()?, now)
}

enum Work {
    Step(Step),
    Wait { until: Timestamp, why: Why },
}

fn work(desired: &Desired, observed: &Observed, now: Timestamp) -> Work {
    if let Some(reading) = &observed.reading {
        return Work::Step(match &reading.absence {
            Some(absence) => Step::Commit(Box::new(reading.snapshot(desired, &observed.stored, absence, now))),
            None => Step::ReadEvents(EventsRequest { page: reading.next_page, ..reading.request.clone() }),
        });
    }
    if account_check_due(desired, observed, now) {
        return Work::Step(Step::CheckAccount);
    }
    if !channel_rests(desired, observed, now) {
        if let Some(step) = life::step(desired, observed, now) {
            return Work::Step(step);
        }
        if observed.channels.is_none() && life::check_due(desired, observed, now) {
            return Work::Step(Step::ListChannels);
        }
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
    // A try that lies further ahead than any wait was put there by a clock that was wrong.
    let sound = retry <= after(now, LONGEST_BACKOFF + LONGEST_BACKOFF / 4);
    (retry > now && sound).then_some(Step::Wait { until: Some(retry), why: Why::Retry })
}

/// What is stored is looked at first in each pass, and what is not allowed any more goes before anything else: also while
/// nothing is read.
fn narrow(desired: &Desired, observed: &Observed, now: Timestamp) -> Option<Step> {
    let step = match &observed.stored {
        Stored::Unread => Step::Load,
        Stored::Present(snapshot) if snapshot.visibility > desired.visibility => {
            Step::Commit(Box::new(snapshot.narrowed(desired.visibility)))
        }
        Stored::Present(_) | Stored::Absent | Stored::Damaged => return None,
    };
    let rests = observed.store_failed()
        && (waiting_for_retry(observed, now).is_some() || blocked(desired, observed, now).is_some());
    (!rests).then_some(step)
}

fn blocked(desired: &Desired, observed: &Observed, now: Timestamp) -> Option<Step> {
    if desired.mode == Mode::Push {
        let Some(base) = &desired.callback_base else {
            return Some(Step::Stop(Stop::Failed(Reason::NoCallbackUrl)));
        };
        if channel::callback_url(base, &desired.uid, 1).len() > LONGEST_CALLBACK_URL {
            return Some(Step::Stop(Stop::Failed(Reason::CallbackUrlTooLong)));
        }
    }
    let waits = |failures: &&Failures| waits_for_a_person(desired, observed, failures, now);
    let failures = observed.record.failures.as_ref().filter(waits)?;
    (!failures.about_channel).then_some(Step::Stop(Stop::Failed(failures.last.reason)))
}

/// Whether nothing has changed since that could mend it. What is mended elsewhere changes nothing here, and is tried again now
/// and then.
fn waits_for_a_person(desired: &Desired, observed: &Observed, failures: &Failures, now: Timestamp) -> bool {
    let rested = after(schedule::sound(failures.time, now), LONGEST_BACKOFF) <= now;
    failures.next_retry.is_none()
        && observed.memory.blocked_on.as_ref() == Some(&desired.inputs)
        && !(rested && failures.last.reason.is_mended_unseen())
}

/// Whether the channel failed and is not to be tried yet. Events are read meanwhile.
fn channel_rests(desired: &Desired, observed: &Observed, now: Timestamp) -> bool {
    observed.record.failures.as_ref().is_some_and(|failures| {
        failures.about_channel
            && (waiting_for_retry(observed, now).is_some() || waits_for_a_person(desired, observed, failures, now))
    })
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
        || (!account.complete() && schedule::account_check(desired, observed, now) <= now)
        || guard::account_unsure(observed, now)
        || (!account_fresh(observed, now)
            && observed.stored.snapshot().is_some_and(|snapshot| {
                // Not every broken profile is announced. What such a read lacks means something only if all are connected.
                full_sync_due(desired, observed, snapshot, now)
                    || schedule::horizon_sweep(desired, observed, snapshot) <= now
            }))
}

/// Whether the account was looked at for the read that comes next, and lately enough.
fn account_fresh(observed: &Observed, now: Timestamp) -> bool {
    let lately = |last| after(schedule::sound(last, now), ACCOUNT_FRESH) > now;
    observed.memory.account_fresh && observed.memory.last_account_check.is_some_and(lately)
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
            if observed.deletions_unknown() {
                (Purpose::Delta, Some(since), None)
            } else if full_sync_due(desired, observed, snapshot, now) {
                (Purpose::Full, None, spaced)
            } else if observed.mark_open() || observed.store_differs {
                (Purpose::Delta, Some(since), spaced)
            } else if observed.channels.is_some() && life::check_due(desired, observed, now) {
                (Purpose::Check, Some(since), spaced)
            } else if schedule::horizon_sweep(desired, observed, snapshot) <= now {
                (Purpose::Sweep, None, spaced)
            } else if schedule::poll(desired, observed, snapshot, now).is_some_and(|(_, due)| due <= now) {
                (Purpose::Poll, Some(since), spaced)
            } else {
                // There is always something to come: the next full sync.
                let (why, until) = earliest(desired, observed, snapshot, now).unwrap_or((Why::FullSync, now));
                // What has become due in this pass and is done once in each is done in the next one.
                return Work::Wait { until: until.max(after(now, SHORTEST_WAIT)), why };
            }
        }
    };
    match not_before {
        // A clock that was set back must not hold reads up for longer than the spacing.
        Some(time) if time > now && time <= after(now, REPAIR_SPACING) => Work::Wait { until: time, why: Why::Delta },
        Some(_) | None => {
            let swept_through = observed.stored.snapshot().map(|snapshot| snapshot.swept_through);
            Work::Step(Step::ReadEvents(EventsRequest {
                range: reading::range(desired, purpose, swept_through, observed.time_at_cronofy(now)),
                modified_since,
                filter: desired.filter.clone(),
                page: 0,
                purpose,
            }))
        }
    }
}

fn full_sync_due(desired: &Desired, observed: &Observed, snapshot: &Snapshot, now: Timestamp) -> bool {
    let account = observed.record.account.as_ref();
    let completed = !snapshot.complete && observed.record.held.is_none() && account.is_some_and(Account::complete);
    let there = observed.time_at_cronofy(now);
    let (window, zone) = (desired.window, &desired.time_zone);
    // Nothing of what was read is still to come, or more was read than there is, or later: by a clock that was wrong.
    let unsound = schedule::is_from_another_clock(snapshot.cursor, there)
        || snapshot.swept_through <= window.near_edge(there, zone)
        || snapshot.swept_through > window.horizon(there, zone, desired.intervals.horizon_sweep);
    completed
        || unsound
        || snapshot.fingerprint != desired.content_fingerprint()
        || snapshot.visibility < desired.visibility
        || observed.asked(desired)
        || (observed.mark_open() && observed.mark.has(NotificationType::ProfileInitialSyncCompleted))
        || schedule::full_sync(desired, snapshot, now) <= now
        || schedule::confirmation(observed, now).is_some_and(|due| due <= now)
}

fn earliest(desired: &Desired, observed: &Observed, snapshot: &Snapshot, now: Timestamp) -> Option<(Why, Timestamp)> {
    let rests = channel_rests(desired, observed, now);
    let about_channel = |why| match why {
        Why::ChannelCheck | Why::ChannelRenewal => true,
        Why::FullSync
        | Why::HorizonSweep
        | Why::Verification
        | Why::Poll
        | Why::FallbackPoll
        | Why::Confirmation
        | Why::AccountCheck
        | Why::Delta
        | Why::Retry
        | Why::Suspended => false,
    };
    let dues = schedule::work(desired, observed, snapshot, now);
    dues.into_iter().filter(|(why, _)| !(rests && about_channel(*why))).min_by_key(|(_, due)| *due)
}

/// `time` plus `span`, at the end of time at the latest.
pub(crate) fn after(time: Timestamp, span: Duration) -> Timestamp {
    let span = SignedDuration::try_from(span).unwrap_or(SignedDuration::MAX);
    time.checked_add(span).unwrap_or(Timestamp::MAX)
}
