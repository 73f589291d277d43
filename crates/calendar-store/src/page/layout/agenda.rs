//! Events by days. One that takes several days stands under each of them.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::{Clock, Span};

/// A list by days; a day without events is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agenda {
    /// The days and their events.
    pub days: Vec<(Date, Vec<Line>)>,
    /// The first day that is not in it though it was asked for, since the list would be too long.
    pub rest: Option<Date>,
}

/// An event on a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// Which of the events.
    pub event: usize,
    /// What it takes of the day.
    pub part: Part,
}

/// What an event takes of a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    Whole,
    /// From start to end.
    Within(Timestamp, Timestamp),
    /// From its start on.
    From(Timestamp),
    /// Up to its end.
    Until(Timestamp),
}

/// Lists events under these dates, as many lines as `most` after which a day is complete.
#[must_use]
pub fn agenda(spans: &[Span], dates: &[Date], zone: &TimeZone, most: usize) -> Agenda {
    let mut days = Vec::new();
    let mut count = 0;
    for date in dates {
        let clock = Clock::of(*date, zone);
        let on = spans.iter().enumerate().filter(|(_, span)| span.on(&clock));
        let mut lines: Vec<Line> = on.map(|(event, span)| Line { event, part: part(span, &clock) }).collect();
        if lines.is_empty() {
            continue;
        }
        if count > 0 && count + lines.len() > most {
            return Agenda { days, rest: Some(*date) };
        }
        count += lines.len();
        lines.sort_by_key(|line| (first(line.part), line.event));
        days.push((*date, lines));
    }
    Agenda { days, rest: None }
}

/// What takes the whole day comes first, then what has begun before, then the rest by start.
fn first(part: Part) -> Timestamp {
    match part {
        Part::Whole | Part::Until(_) => Timestamp::MIN,
        Part::From(start) | Part::Within(start, _) => start,
    }
}

fn part(span: &Span, clock: &Clock) -> Part {
    match (span.start < clock.start, span.end > clock.end) {
        _ if span.all_day => Part::Whole,
        (true, true) => Part::Whole,
        (true, false) if span.end == clock.end => Part::Whole,
        (true, false) => Part::Until(span.end),
        (false, true) if span.start == clock.start => Part::Whole,
        (false, true) => Part::From(span.start),
        (false, false) if (span.start, span.end) == (clock.start, clock.end) => Part::Whole,
        (false, false) => Part::Within(span.start, span.end),
    }
}
