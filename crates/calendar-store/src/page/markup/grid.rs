//! Events in days side by side. In the source each day is a list of its own, which narrow screens and screen readers get as such.

use jiff::civil::Date;
use maud::{Markup, html};

use super::{Shown, anchor, local, long, looks, state, time, title};
use crate::page::entry::Entry;
use crate::page::layout::{Bar, Block, Day, Grid};
use crate::page::view::View;

/// The days.
pub fn days(shown: &Shown<'_>, grid: &Grid, more: bool) -> Markup {
    let week = grid.days.len() > 1;
    html! {
        @if more {
            p .note { "These are too many events for this view: " a href=(agenda(shown, shown.asked.date)) { "the agenda has all of them" } "." }
        }
        div .frame.week[week] {
            (bars(shown, grid))
            div .hours.{ "h" (grid.height) } aria-hidden="true" {
                @for hour in &grid.hours {
                    span .{ "t" (hour.at) }.again[hour.again] { (format!("{:02}:00", hour.hour)) }
                }
            }
            @for (number, day) in grid.days.iter().enumerate() {
                @let now = grid.now.filter(|(today, _)| *today == number).map(|(_, at)| at);
                (column(shown, grid, day, number, now))
            }
        }
    }
}

fn agenda(shown: &Shown<'_>, date: Date) -> String {
    shown.asked.link(View::Agenda, date)
}

/// What takes whole days.
fn bars(shown: &Shown<'_>, grid: &Grid) -> Markup {
    html! {
        @if !grid.bars.is_empty() {
            div .whole {
                h3 .hidden { "All day" }
                ul role="list" {
                    @for bar in &grid.bars {
                        @if let Some(entry) = shown.entries.get(bar.event) { (whole(shown, grid, *bar, entry)) }
                    }
                }
                @if grid.more_bars > 0 {
                    p .more { a href=(agenda(shown, shown.dates.first().copied().unwrap_or(shown.asked.date))) { "and " (grid.more_bars) " more" span .hidden { " all day" } } }
                }
            }
        }
    }
}

fn whole(shown: &Shown<'_>, grid: &Grid, bar: Bar, entry: &Entry) -> Markup {
    let first = grid.days.get(bar.day).map_or(shown.asked.date, |day| day.date);
    let anchor = anchor(entry, first);
    html! {
        li .bar.(looks(entry)).{ "d" (bar.day) }.{ "s" (bar.days) }.{ "r" (bar.row) }.continues[bar.continues].goes-on[bar.goes_on] {
            a id={ "g" (anchor) } data-event=(anchor) href={ (agenda(shown, first)) "#" (anchor) } {
                (title(entry)) (state(entry))
                span .dates {
                    " " time datetime=(entry.first) { (short(entry.first)) }
                    @if entry.last != entry.first { " – " time datetime=(entry.last) { (short(entry.last)) } }
                }
            }
        }
    }
}

fn short(date: Date) -> String {
    date.strftime("%a %-d %b").to_string()
}

fn column(shown: &Shown<'_>, grid: &Grid, day: &Day, number: usize, now: Option<usize>) -> Markup {
    let today = day.date == shown.asked.today;
    html! {
        section .day.{ "d" (number) }.today[today] aria-labelledby={ "d-" (day.date) } {
            div .name {
                h3 id={ "d-" (day.date) } {
                    a href=(shown.asked.link(View::Day, day.date)) aria-current=[today.then_some("date")] {
                        time datetime=(day.date) { span .hidden { (long(day.date)) } span .weekday aria-hidden="true" { (day.date.strftime("%a")) } " " span .number aria-hidden="true" { (day.date.day()) } }
                    }
                }
                @if day.extra != 0 { p .note { (clocks(day.extra)) } }
                @if day.more > 0 {
                    p .more { a href=(agenda(shown, day.date)) { "and " (day.more) " more" span .hidden { " on " (long(day.date)) } } }
                }
            }
            div .body.{ "h" (grid.height) } {
                @for (at, count) in &day.missing { span .gap.{ "t" (at) }.{ "h" (count) } aria-hidden="true" {} }
                @if day.blocks.is_empty() { p .nothing { "Nothing at a time of day" } }
                @else {
                    ol role="list" {
                        @for item in &day.blocks {
                            @if let Some(entry) = shown.entries.get(item.event) { (block(shown, day, *item, entry)) }
                        }
                    }
                }
                @if let Some(at) = now { span .now.{ "t" (at) } aria-hidden="true" {} }
            }
        }
    }
}

/// By how much a day is longer than others.
fn clocks(extra: i64) -> String {
    let minutes = extra.unsigned_abs();
    let (how, way) = match minutes {
        60 => ("an hour".to_owned(), extra),
        _ => (format!("{minutes} minutes"), extra),
    };
    format!("Clocks go {} {how}", if way > 0 { "back" } else { "forward" })
}

fn block(shown: &Shown<'_>, day: &Day, block: Block, entry: &Entry) -> Markup {
    let anchor = anchor(entry, day.date);
    let low = block.to - block.from <= 2;
    html! {
        li .block.(looks(entry)).low[low].{ "t" (block.from) }.{ "h" (block.to - block.from) }.{ "c" (block.column) }.{ "o" (block.columns) }.continues[block.continues].goes-on[block.goes_on] {
            a id={ "g" (anchor) } data-event=(anchor) href={ (agenda(shown, day.date)) "#" (anchor) } {
                (title(entry)) " " span .when { (when(shown, entry)) } (state(entry))
                @if let Some(place) = &entry.place { " " span .where { bdi dir="auto" { (place) } } }
            }
        }
    }
}

/// From when to when, with the date where it is another than that of the day.
fn when(shown: &Shown<'_>, entry: &Entry) -> Markup {
    let zone = &shown.asked.zone;
    let (start, end) = (entry.span.start, entry.span.end);
    let across = entry.first != local(end, zone).date();
    html! {
        @if across { span .hidden { (short(entry.first)) " " } }
        (time(start, zone))
        @if start != end { "–" (time(end, zone)) }
        @if across { span .hidden { " " (short(local(end, zone).date())) } }
    }
}
