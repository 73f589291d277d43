//! The guard against mass deletion: a full read that lacks more than half of many events may be a provider's hiccup. Its
//! deletions are held back until a second one, later, with the account's profiles known to be connected, agrees.

use jiff::Timestamp;

use crate::decide::after;
use crate::reading::Reading;
use crate::schedule::{self, CONFIRM_AFTER};
use crate::{Desired, Held, Observed};

/// So many stored events may vanish all at once without being suspicious.
const FEW: usize = 20;

/// What it means that a read does not show an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Absence {
    /// It is gone.
    pub deletes: bool,
    /// Every event there is was shown, as far as the account tells.
    pub told: bool,
    /// It may be gone: a second look decides.
    pub held: Option<Held>,
}

/// Judges a complete read.
pub(crate) fn judge(desired: &Desired, observed: &Observed, reading: &Reading, now: Timestamp) -> Absence {
    let told = schedule::absence_tells(observed.record.account.as_ref());
    if !reading.is_full() {
        return Absence { deletes: false, told, held: observed.record.held.clone() };
    }
    if !told {
        return Absence { deletes: false, told, held: None };
    }
    let (missing, of) = reading.missing(desired, &observed.stored);
    if of <= FEW || missing * 2 <= of {
        return Absence { deletes: true, told, held: None };
    }
    match &observed.record.held {
        Some(held) if is_over(held, now) && !account_unsure(observed, now) => {
            Absence { deletes: true, told, held: None }
        }
        Some(held) => Absence { deletes: false, told, held: Some(Held { missing, of, time: held.time }) },
        None => Absence { deletes: false, told, held: Some(Held { missing, of, time: now }) },
    }
}

/// Whether the account is to be looked at before the second look at the events.
pub(crate) fn account_unsure(observed: &Observed, now: Timestamp) -> bool {
    let Some(held) = &observed.record.held else { return false };
    is_over(held, now) && observed.memory.last_account_check.is_none_or(|last| last < schedule::sound(held.time, now))
}

/// Whether the second look may be taken.
fn is_over(held: &Held, now: Timestamp) -> bool {
    after(schedule::sound(held.time, now), CONFIRM_AFTER) <= now
}
