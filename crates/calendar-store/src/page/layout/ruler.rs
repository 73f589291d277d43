//! The hours beside the days. All days of a grid have one ruler: that of the day with most hours. So when clocks are set back, the
//! hour that comes twice has two places on that day; on the others the second one is empty. When they are set forward, the hour
//! that does not come is empty on that day.

use std::ops::Range;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// Seconds of a quarter of an hour.
const QUARTER: i64 = 15 * 60;
/// Quarters of a day whose clock does not change.
const DAY: i16 = 96;
/// What is shown though nothing is there, in quarters since midnight.
const USUAL: Range<i16> = 7 * 4..20 * 4;

/// A quarter of an hour as a clock shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slot {
    /// Since midnight, by the clock.
    quarter: i16,
    /// Whether the clock has shown it before on that day.
    again: bool,
}

/// A day as its clock goes.
#[derive(Clone, Debug)]
pub struct Clock {
    /// Its date.
    pub date: Date,
    /// Its first moment.
    pub start: Timestamp,
    /// The first moment after it.
    pub end: Timestamp,
    slots: Vec<Slot>,
}

/// A full hour beside the days.
#[allow(clippy::struct_field_names, reason = "it is the number of the hour")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hour {
    /// Quarters from the top.
    pub at: usize,
    /// What the clock shows.
    pub hour: i16,
    /// Whether it shows that for the second time.
    pub again: bool,
}

/// The quarters that a grid has room for.
#[derive(Clone, Debug)]
pub struct Ruler(Vec<Slot>);

impl Clock {
    /// The day of a date in a zone.
    #[must_use]
    pub fn of(date: Date, zone: &TimeZone) -> Self {
        let (start, end) =
            (first_moment(date, zone), date.tomorrow().map_or(Timestamp::MAX, |date| first_moment(date, zone)));
        let mut slots: Vec<Slot> = Vec::with_capacity(104);
        let mut at = start;
        while at < end {
            let time = zone.to_datetime(at);
            let quarter = i16::from(time.hour()) * 4 + i16::from(time.minute()) / 15;
            slots.push(Slot { quarter, again: slots.iter().any(|slot| slot.quarter == quarter) });
            let Ok(next) = at.checked_add(SignedDuration::from_secs(QUARTER)) else { break };
            at = next;
        }
        Self { date, start, end, slots }
    }

    /// Minutes that it is longer than 24 hours.
    pub fn extra(&self) -> i64 {
        self.end.duration_since(self.start).as_secs() / 60 - 24 * 60
    }
}

fn first_moment(date: Date, zone: &TimeZone) -> Timestamp {
    let start = date.to_zoned(zone.clone()).map(|midnight| midnight.timestamp());
    // Only at the ends of time.
    start.unwrap_or(if date.year() < 0 { Timestamp::MIN } else { Timestamp::MAX })
}

impl Ruler {
    /// The ruler of these days.
    pub fn of(clocks: &[Clock]) -> Self {
        let longest = clocks.iter().map(|clock| &clock.slots).max_by_key(|slots| slots.len());
        let usual = || (0..DAY).map(|quarter| Slot { quarter, again: false }).collect();
        // A date that a zone has left out has no hours.
        Self(longest.filter(|slots| !slots.is_empty()).cloned().unwrap_or_else(usual))
    }

    /// The place of the quarter in which a moment of a day is.
    pub fn first(&self, clock: &Clock, at: Timestamp) -> usize {
        let since = at.max(clock.start).duration_since(clock.start).as_secs();
        self.place(clock, usize::try_from(since / QUARTER).unwrap_or_default())
    }

    /// The place of the first quarter after what ends then.
    pub fn after(&self, clock: &Clock, end: Timestamp) -> usize {
        if end >= clock.end {
            return self.0.len();
        }
        let since = end.max(clock.start).duration_since(clock.start).as_secs();
        let part = i64::from(since % QUARTER > 0 || end.subsec_nanosecond() > 0);
        self.place(clock, usize::try_from(since / QUARTER + part).unwrap_or_default())
    }

    /// Of a day's quarter of this number.
    fn place(&self, clock: &Clock, number: usize) -> usize {
        let Some(slot) = clock.slots.get(number) else { return self.0.len() };
        let same = self.0.iter().position(|other| other == slot);
        let like = || self.0.iter().position(|other| other.quarter >= slot.quarter);
        same.or_else(like).unwrap_or(self.0.len())
    }

    /// The part that is shown: the usual hours, and whole hours around all of these.
    pub fn shown(&self, blocks: impl Iterator<Item = (usize, usize)>) -> Range<usize> {
        let place = |quarter| self.0.iter().position(|slot| slot.quarter >= quarter).unwrap_or(self.0.len());
        let (mut first, mut after) = (place(USUAL.start), place(USUAL.end));
        for (from, to) in blocks {
            (first, after) = (first.min(from), after.max(to));
        }
        let full = |place: &usize| self.0.get(*place).is_none_or(|slot| slot.quarter % 4 == 0);
        let first = (0..=first).rev().find(full).unwrap_or_default();
        first..(after..self.0.len()).find(full).unwrap_or(self.0.len())
    }

    /// The full hours of the part that is shown.
    pub fn hours(&self, shown: &Range<usize>) -> Vec<Hour> {
        let slots = self.0.iter().enumerate().filter(|(place, slot)| shown.contains(place) && slot.quarter % 4 == 0);
        slots.map(|(place, slot)| Hour { at: place - shown.start, hour: slot.quarter / 4, again: slot.again }).collect()
    }

    /// What of the part that is shown does not come on a day: where from the top, and how much.
    pub fn missing(&self, clock: &Clock, shown: &Range<usize>) -> Vec<(usize, usize)> {
        let mut runs: Vec<(usize, usize)> = Vec::new();
        for (place, slot) in self.0.iter().enumerate().filter(|(place, _)| shown.contains(place)) {
            if clock.slots.contains(slot) {
                continue;
            }
            let at = place - shown.start;
            match runs.last_mut() {
                Some((first, count)) if *first + *count == at => *count += 1,
                _ => runs.push((at, 1)),
            }
        }
        runs
    }
}
