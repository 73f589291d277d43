//! Time zones, and the days that are copied.

use std::fmt;
use std::time::Duration;

use jiff::civil::Date;
use jiff::{Span, Timestamp, ToSpan};
use serde::{Deserialize, Serialize};

use crate::Event;

/// Days before today that Cronofy keeps (documented default of its sync window).
pub const PAST_DAYS: i32 = 42;
/// Days after today that Cronofy keeps (documented default of its sync window).
pub const FUTURE_DAYS: i32 = 201;

/// The longest that a sweep is put off, whatever the interval: what enters at the far edge must be read long before it is due.
const LONGEST_SWEEP_DAYS: i32 = 90;

/// An IANA time zone that exists.
#[derive(Clone, PartialEq, Eq)]
pub struct TimeZone {
    name: String,
    zone: jiff::tz::TimeZone,
}

/// The name is not one of the IANA time zone database.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an IANA time zone: use a name such as Europe/Berlin or Etc/UTC")]
pub struct UnknownTimeZone(pub String);

impl TimeZone {
    /// The zone of that name.
    ///
    /// # Errors
    /// If the time zone database has no such name.
    pub fn parse(name: &str) -> Result<Self, UnknownTimeZone> {
        match jiff::tz::TimeZone::get(name) {
            Ok(zone) => Ok(Self { name: name.to_owned(), zone }),
            Err(_) => Err(UnknownTimeZone(name.chars().take(64).collect())),
        }
    }

    /// Coordinated universal time, by its IANA name.
    #[must_use]
    pub fn utc() -> Self {
        Self { name: "Etc/UTC".to_owned(), zone: jiff::tz::TimeZone::UTC }
    }

    /// The IANA name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The date in this zone at `now`.
    #[must_use]
    pub fn date(&self, now: Timestamp) -> Date {
        self.zone.to_datetime(now).date()
    }

    /// The first moment of `date` in this zone.
    #[must_use]
    pub fn start_of(&self, date: Date) -> Timestamp {
        let end_of_time = if date.year() > 0 { Timestamp::MAX } else { Timestamp::MIN };
        self.zone.to_ambiguous_timestamp(date.at(0, 0, 0, 0)).compatible().unwrap_or(end_of_time)
    }
}

impl fmt::Debug for TimeZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// How many days around today are copied, within Cronofy's own window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    past_days: i32,
    future_days: i32,
}

impl Default for Window {
    fn default() -> Self {
        Self { past_days: PAST_DAYS, future_days: FUTURE_DAYS }
    }
}

impl Window {
    /// A window; days outside Cronofy's own are cut to it.
    #[must_use]
    pub fn new(past_days: i32, future_days: i32) -> Self {
        Self { past_days: past_days.clamp(0, PAST_DAYS), future_days: future_days.clamp(1, FUTURE_DAYS) }
    }

    /// Days before and after today.
    #[must_use]
    pub fn days(self) -> (i32, i32) {
        (self.past_days, self.future_days)
    }

    /// The first date copied at `now`, as seen in `zone`.
    ///
    /// Whether Cronofy counts the edges of its own window in UTC or in the zone asked for is not documented, nor what it
    /// answers beyond them, so what is asked for stays within both.
    #[must_use]
    pub fn near_edge(self, now: Timestamp, zone: &TimeZone) -> Date {
        let (local, utc) = (zone.date(now), TimeZone::utc().date(now));
        shift(local, -self.past_days).max(shift(utc, -PAST_DAYS))
    }

    /// The date up to which a read at `now` goes: the far edge of the window, and where Cronofy's own goes further, as many
    /// days more as can pass until the next sweep has been made. So nothing enters the window unread.
    #[must_use]
    pub fn horizon(self, now: Timestamp, zone: &TimeZone, sweep: Duration) -> Date {
        shift(today(now, zone), self.days_read(sweep))
    }

    /// The first moment at which a sweep is due after everything before `swept_through` has been read: when the far edge has
    /// moved on by the interval, in whole days, since that is how it moves.
    #[must_use]
    pub fn sweep_due(self, swept_through: Date, zone: &TimeZone, sweep: Duration) -> Timestamp {
        let day = shift(swept_through, whole_days(sweep) - self.days_read(sweep));
        zone.start_of(day).max(TimeZone::utc().start_of(day))
    }

    /// How many days after today a sweep reads.
    fn days_read(self, sweep: Duration) -> i32 {
        let ahead = if self.future_days < FUTURE_DAYS { whole_days(sweep).saturating_add(2) } else { 0 };
        self.future_days.saturating_add(ahead).min(FUTURE_DAYS)
    }
}

/// Today, where it began last: in the zone or in UTC.
fn today(now: Timestamp, zone: &TimeZone) -> Date {
    zone.date(now).min(TimeZone::utc().date(now))
}

/// The end of Cronofy's own window at `now`: what is asked for must not go beyond.
pub(crate) fn cronofys_far_edge(now: Timestamp, zone: &TimeZone) -> Date {
    shift(today(now, zone), FUTURE_DAYS)
}

fn whole_days(interval: Duration) -> i32 {
    const DAY: u64 = 24 * 60 * 60;
    i32::try_from(interval.as_secs() / DAY).unwrap_or(i32::MAX).clamp(1, LONGEST_SWEEP_DAYS)
}

pub(crate) fn shift(date: Date, days: i32) -> Date {
    let span: Span = days.days();
    date.saturating_add(span)
}

/// Dates from `from` to before `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
pub struct DateRange {
    /// The first date.
    pub from: Date,
    /// The date after the last.
    pub to: Date,
}

impl DateRange {
    /// Whether an event belongs to the range: it starts before `to` and ends on or after `from` (documented).
    #[must_use]
    pub fn holds(&self, event: &Event, zone: &TimeZone) -> bool {
        event.start.instant(zone) < zone.start_of(self.to) && event.end.instant(zone) >= zone.start_of(self.from)
    }
}
