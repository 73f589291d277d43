//! The ends of a copy: deletion of the subscription, and erasure on the owner's demand.

use std::time::Duration;

use jiff::Timestamp;

use crate::decide::{after, record, waiting_for_retry, with_token};
use crate::{Deletion, Desired, Observed, Step, Stop, Stored, life};

/// How long a deletion waits for the channel to be closed. After that the channel is left to Cronofy, which closes it by
/// itself once its deliveries have failed for 24 hours.
pub const LONGEST_DELETION: Duration = Duration::from_hours(24);

/// The next step of a deletion: close the channel, remove the output, let the object go.
pub(crate) fn delete(desired: &Desired, observed: &Observed, deletion: Deletion, now: Timestamp) -> Step {
    let given_up = deletion.abandon_channel || observed.leaked || after(deletion.since, LONGEST_DELETION) < now;
    if !given_up {
        // Failures from before the deletion were failures of something else.
        let failed = observed.record.failures.as_ref().is_some_and(|failures| failures.time >= deletion.since);
        if failed && let Some(wait) = waiting_for_retry(observed, now) {
            return wait;
        }
        if let Some(step) = life::close_all(desired, observed) {
            return with_token(observed, step);
        }
    }
    if deletion.retain || observed.output_removed { Step::Finish } else { remove_output(observed, now) }
}

/// The next step of an erasure: remove the output first, then close the channel, then stop.
pub(crate) fn erase(desired: &Desired, observed: &Observed, now: Timestamp) -> Step {
    let something_stored = match observed.stored {
        Stored::Present(_) | Stored::Damaged => true,
        Stored::Unread | Stored::Absent => false,
    };
    if observed.record.erased.is_none() || observed.erasure_demanded() || something_stored {
        return remove_output(observed, now);
    }
    if observed.unrecorded {
        return record(observed, |_| {});
    }
    if let Some(wait) = waiting_for_retry(observed, now) {
        return wait;
    }
    if observed.stored == Stored::Unread {
        // A writer that was overtaken by the erasure may have stored events after it.
        return Step::Load;
    }
    if !observed.leaked
        && let Some(step) = life::close_all(desired, observed)
    {
        return with_token(observed, step);
    }
    if observed.record.channel.may_exist() || observed.record.failures.is_some() {
        return record(observed, |record| {
            record.channel = record.channel.closed();
            record.failures = None;
        });
    }
    Step::Stop(Stop::Erased)
}

/// Removes the output: at once, unless it is the store that failed to.
fn remove_output(observed: &Observed, now: Timestamp) -> Step {
    waiting_for_retry(observed, now).filter(|_| observed.store_failed()).unwrap_or(Step::Erase)
}
