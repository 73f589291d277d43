//! The guard against mass deletion: a full read that lacks more than half of many events may be a provider's hiccup. Its
//! deletions are held back until a second one, later, with the account's profiles known to be connected, agrees.

use jiff::Timestamp;

use crate::decide::after;
use crate::reading::Reading;
use crate::schedule::{self, CONFIRM_AFTER};
use crate::{Desired, Held, Observed, Output, Stored};

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
    /// The filter lets less through than the one that the stored events were read for, which may be all there is to it: the
    /// second look is taken at once.
    pub filtered: bool,
}

impl Absence {
    /// It says nothing about what is stored.
    fn keeps(told: bool, held: Option<Held>) -> Self {
        Self { deletes: false, told, held, filtered: false }
    }

    /// What is not there is gone.
    fn deletes() -> Self {
        Self { deletes: true, told: true, held: None, filtered: false }
    }
}

/// Judges a complete read.
pub(crate) fn judge(desired: &Desired, observed: &Observed, reading: &Reading, now: Timestamp) -> Absence {
    let told = schedule::absence_tells(observed.record.account.as_ref());
    if !reading.is_full() {
        return Absence::keeps(told, observed.record.held.clone());
    }
    if !told {
        return Absence::keeps(told, None);
    }
    let (missing, of) = missing(desired, observed, reading);
    if of <= FEW || missing * 2 <= of {
        return Absence::deletes();
    }
    let filtered = observed.stored.snapshot().is_some_and(|before| desired.filters_more_than(&before.fingerprint));
    match &observed.record.held {
        Some(held) if filtered || (is_over(held, now) && !account_unsure(observed, now)) => Absence::deletes(),
        held => {
            let time = held.as_ref().map_or(now, |held| held.time);
            Absence { filtered, ..Absence::keeps(told, Some(Held { missing, of, time })) }
        }
    }
}

/// How many events a full read does not show, and of how many. Where the output is lost, only their number is known.
fn missing(desired: &Desired, observed: &Observed, reading: &Reading) -> (usize, usize) {
    match (&observed.stored, &observed.record.output) {
        (Stored::Absent | Stored::Damaged, Some(Output { events, .. })) => {
            (events.saturating_sub(reading.present()), *events)
        }
        (stored, _) => reading.missing(desired, stored),
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
