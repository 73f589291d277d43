//! Where events stand in a day, a week or a list. Pure: times in, numbers out; no text, no markup, no clock.
//!
//! - `ruler`: the hours of the days that are shown, also of those whose clocks change.
//! - `columns`: events that overlap stand side by side.
//! - `bars`: what takes whole days stands above them.
//! - `agenda`: the same as a list by days.
//!
//! What must hold: whatever the events are, what is placed is bounded, and what is left out is counted.

mod agenda;
mod bars;
mod columns;
mod ruler;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

pub use agenda::{Agenda, Line, Part, agenda};
pub use bars::Bar;
pub use columns::Block;
pub use ruler::{Clock, Hour};

use ruler::Ruler;

/// What is longer than this many seconds stands above the hours.
const WHOLE_DAY: i64 = 24 * 60 * 60;

/// When an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Its first moment.
    pub start: Timestamp,
    /// The first moment after it, not before its start.
    pub end: Timestamp,
    /// Whether it is given in dates.
    pub all_day: bool,
}

/// The most that is placed.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Events side by side.
    pub columns: usize,
    /// Events of a day.
    pub blocks: usize,
    /// Rows above the days.
    pub bars: usize,
}

/// Days side by side.
#[derive(Clone, Debug)]
pub struct Grid {
    /// The days.
    pub days: Vec<Day>,
    /// What stands above them, by rows and then days.
    pub bars: Vec<Bar>,
    /// How many stand above them that are left out.
    pub more_bars: usize,
    /// The hours beside them.
    pub hours: Vec<Hour>,
    /// Quarters of an hour from top to bottom.
    pub height: usize,
    /// The present: which day, and how many quarters from the top.
    pub now: Option<(usize, usize)>,
}

/// A day of a grid.
#[derive(Clone, Debug)]
pub struct Day {
    /// Its date.
    pub date: Date,
    /// Its events, by start.
    pub blocks: Vec<Block>,
    /// How many are left out.
    pub more: usize,
    /// Quarters that this day's clock does not show, from the top: the first one, and how many.
    pub missing: Vec<(usize, usize)>,
    /// Minutes that it is longer than 24 hours; negative if it is shorter.
    pub extra: i64,
}

impl Span {
    fn whole_days(&self) -> bool {
        self.all_day || self.end.as_second().saturating_sub(self.start.as_second()) >= WHOLE_DAY
    }

    /// Whether it takes place in a day. One without duration does so if it starts in it.
    fn on(&self, clock: &Clock) -> bool {
        self.start < clock.end && (self.end > clock.start || self.start >= clock.start)
    }
}

/// Places events in days, which follow each other. `now` is marked if it is in one of them.
#[must_use]
pub fn grid(spans: &[Span], dates: &[Date], zone: &TimeZone, limits: Limits, now: Timestamp) -> Grid {
    let clocks: Vec<Clock> = dates.iter().map(|date| Clock::of(*date, zone)).collect();
    let ruler = Ruler::of(&clocks);
    let placed: Vec<(Vec<Block>, usize)> =
        clocks.iter().map(|clock| columns::placed(spans, clock, &ruler, limits)).collect();
    let shown = ruler.shown(placed.iter().flat_map(|(blocks, _)| blocks).map(|block| (block.from, block.to)));
    let days = clocks.iter().zip(placed).map(|(clock, (blocks, more))| Day {
        date: clock.date,
        blocks: blocks.into_iter().map(|block| block.below(shown.start)).collect(),
        more,
        missing: ruler.missing(clock, &shown),
        extra: clock.extra(),
    });
    let days = days.collect();
    let (bars, more_bars) = bars::placed(spans, &clocks, limits.bars);
    let present = clocks.iter().position(|clock| clock.start <= now && now < clock.end);
    let present = present.zip(present.and_then(|day| clocks.get(day)));
    let now = present
        .map(|(day, clock)| (day, ruler.first(clock, now)))
        .filter(|(_, at)| shown.contains(at))
        .map(|(day, at)| (day, at - shown.start));
    Grid { days, bars, more_bars, hours: ruler.hours(&shown), height: shown.len(), now }
}

#[cfg(test)]
mod tests;
