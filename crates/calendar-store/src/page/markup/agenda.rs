//! Events as a list by days.

use jiff::civil::Date;
use maud::{Markup, html};

use super::{Shown, anchor, looks, state, time, title};
use crate::page::entry::Entry;
use crate::page::layout::{Agenda, Line, Part};

/// The list, and a link to where it goes on.
pub fn list(shown: &Shown<'_>, agenda: &Agenda, more: Option<&str>) -> Markup {
    html! {
        @for (date, lines) in &agenda.days {
            @let today = *date == shown.asked.today;
            section .date.today[today] aria-labelledby={ "d-" (date) } {
                h3 id={ "d-" (date) } {
                    time datetime=(date) { (date.strftime("%A, %-d %B")) }
                    @if today { " " span .badge { "Today" } }
                }
                ul .lines role="list" {
                    @for Line { event, part } in lines {
                        @if let Some(entry) = shown.entries.get(*event) { (line(shown, entry, *date, *part)) }
                    }
                }
            }
        }
        @if agenda.days.is_empty() { p .nothing { "Nothing is on in these days." } }
        @if let Some(more) = more { p .more { a href=(more) { "More events" } } }
    }
}

fn line(shown: &Shown<'_>, entry: &Entry, date: Date, part: Part) -> Markup {
    let anchor = anchor(entry, date);
    html! {
        li .line.(looks(entry)) id=(anchor) data-event=(anchor) tabindex="-1" {
            p .when { (when(shown, part)) }
            div .about {
                p {
                    (title(entry)) (state(entry))
                    @if entry.days() > 1 { " " span .part { "day " (entry.day(date)) " of " (entry.days()) } }
                }
                @if let Some(place) = &entry.place { p .where { bdi dir="auto" { (place) } } }
                (details(entry, &anchor))
            }
        }
    }
}

fn when(shown: &Shown<'_>, part: Part) -> Markup {
    let zone = &shown.asked.zone;
    html! {
        @match part {
            Part::Whole => "All day",
            Part::Within(start, end) if start == end => (time(start, zone)),
            Part::Within(start, end) => { (time(start, zone)) " – " (time(end, zone)) },
            Part::From(start) => { "from " (time(start, zone)) },
            Part::Until(end) => { "until " (time(end, zone)) },
        }
    }
}

fn details(entry: &Entry, anchor: &str) -> Markup {
    if entry.description.is_none() && entry.meeting.is_none() {
        return html! {};
    }
    html! {
        details id={ "x" (anchor) } {
            summary { "Details" span .hidden { " of " (title(entry)) } }
            @if let Some(text) = &entry.description { p .text dir="auto" { (text) } }
            @if let Some(address) = &entry.meeting {
                p { a href=(address) rel="noopener noreferrer" target="_blank" { "Join the online meeting" span .hidden { " (opens a new tab)" } } }
            }
        }
    }
}
