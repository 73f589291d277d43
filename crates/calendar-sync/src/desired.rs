//! What a subscription asks for, validated.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use crate::{TimeZone, Visibility, Window};

/// What is wanted. Made from a validated spec; nothing in it is checked again.
#[derive(Clone, Debug, PartialEq)]
pub struct Desired {
    /// Uid of the subscription: the root of its channel's identity.
    pub uid: String,
    /// Which events.
    pub filter: Filter,
    /// Zone in which dates are meant.
    pub time_zone: TimeZone,
    /// Days copied.
    pub window: Window,
    /// How changes are learned.
    pub mode: Mode,
    /// How often the regular work is done.
    pub intervals: Intervals,
    /// How much of an event is stored.
    pub visibility: Visibility,
    /// No reads and no channel changes.
    pub suspended: bool,
    /// Base URL under which Cronofy reaches the webhook; `None` if the operator has none.
    pub callback_base: Option<String>,
    /// The value of the annotation that asks for a full sync.
    pub request: Option<String>,
    /// Fingerprint of all that a person can mend (spec, Secrets, request): a failure that waits for a person waits for
    /// another value.
    pub inputs: String,
    /// The subscription is being deleted.
    pub deletion: Option<Deletion>,
}

/// How a deletion is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deletion {
    /// When it was asked for.
    pub since: Timestamp,
    /// Leave the stored events where they are.
    pub retain: bool,
    /// Do not wait for the channel to be closed.
    pub abandon_channel: bool,
}

/// Which events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only these calendars; `None` means all.
    pub calendar_ids: Option<BTreeSet<String>>,
    /// Only events that the application manages.
    pub only_managed: bool,
    /// Also events that the application manages.
    pub include_managed: bool,
}

impl Filter {
    /// Whether the calendar is one of those wanted.
    #[must_use]
    pub fn holds(&self, calendar_id: &str) -> bool {
        self.calendar_ids.as_ref().is_none_or(|ids| ids.contains(calendar_id))
    }
}

/// How changes are learned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// By notifications.
    #[default]
    Push,
    /// By reading on a schedule.
    Poll,
}

/// How often the regular work is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Intervals {
    /// Between two reads of everything.
    pub full_sync: Duration,
    /// Between two reads of what enters the window.
    pub horizon_sweep: Duration,
    /// Between two looks at the channel.
    pub channel_check: Duration,
    /// Between two reads in poll mode; also between two looks at a profile that needs its owner.
    pub poll: Duration,
    /// Between two reads while push is not known to work.
    pub fallback_poll: Duration,
    /// Age at which a channel is replaced.
    pub channel_renewal: Duration,
}

impl Default for Intervals {
    fn default() -> Self {
        const MINUTE: u64 = 60;
        const HOUR: u64 = 60 * MINUTE;
        Self {
            full_sync: Duration::from_secs(168 * HOUR),
            horizon_sweep: Duration::from_secs(24 * HOUR),
            channel_check: Duration::from_secs(12 * HOUR),
            poll: Duration::from_secs(15 * MINUTE),
            fallback_poll: Duration::from_secs(5 * MINUTE),
            channel_renewal: Duration::from_secs(720 * HOUR),
        }
    }
}

impl Desired {
    /// Fingerprint of all that decides which events are stored and how: another value asks for a full sync.
    #[must_use]
    pub fn content_fingerprint(&self) -> String {
        self.fingerprint_with(self.filter.only_managed, self.filter.include_managed)
    }

    /// Whether what was stored under that fingerprint differs only in that managed events, or all others, are left out now.
    /// Which of the stored events those are is not known.
    pub(crate) fn filters_more_than(&self, fingerprint: &str) -> bool {
        let Filter { only_managed, include_managed, .. } = self.filter;
        let present = (only_managed, include_managed);
        if present == (false, true) {
            return false; // all of them are let through
        }
        let others = [(false, true), (false, false), (true, true), (true, false)];
        let mut others = others.into_iter().filter(|other| *other != present);
        others
            .any(|(only_managed, include_managed)| self.fingerprint_with(only_managed, include_managed) == fingerprint)
    }

    fn fingerprint_with(&self, only_managed: bool, include_managed: bool) -> String {
        let calendar_ids = &self.filter.calendar_ids;
        crate::fingerprint(&(
            calendar_ids,
            only_managed,
            include_managed,
            self.time_zone.name(),
            self.window.days(),
            self.visibility.as_str(),
        ))
    }
}
