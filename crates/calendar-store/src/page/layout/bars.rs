//! What takes whole days stands above them, over as many as it takes, in rows.

use super::Span;
use super::ruler::Clock;

/// An event above the days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bar {
    /// Which of the events.
    pub event: usize,
    /// Its first day that is shown.
    pub day: usize,
    /// Over so many days.
    pub days: usize,
    /// Which row, from the top.
    pub row: usize,
    /// Whether it began before.
    pub continues: bool,
    /// Whether it goes on after.
    pub goes_on: bool,
}

/// The events that take whole days, and how many are left out.
pub fn placed(spans: &[Span], clocks: &[Clock], rows: usize) -> (Vec<Bar>, usize) {
    let mut bars: Vec<Bar> = Vec::new();
    for (event, span) in spans.iter().enumerate().filter(|(_, span)| span.whole_days()) {
        let on = |clock: &Clock| span.on(clock);
        let (Some(day), Some(last)) = (clocks.iter().position(on), clocks.iter().rposition(on)) else { continue };
        let starts = clocks.first().is_none_or(|clock| span.start >= clock.start);
        let ends = clocks.last().is_none_or(|clock| span.end <= clock.end);
        bars.push(Bar { event, day, days: last - day + 1, row: 0, continues: !starts, goes_on: !ends });
    }
    bars.sort_by_key(|bar| (bar.day, std::cmp::Reverse(bar.days), bar.event));
    let all = bars.len();
    let mut taken: Vec<usize> = Vec::new();
    bars.retain_mut(|bar| {
        let free = taken.iter().position(|to| *to <= bar.day).unwrap_or(taken.len());
        if free >= rows {
            return false;
        }
        let to = bar.day + bar.days;
        match taken.get_mut(free) {
            Some(last) => *last = to,
            None => taken.push(to),
        }
        bar.row = free;
        true
    });
    let more = all - bars.len();
    (bars, more)
}
