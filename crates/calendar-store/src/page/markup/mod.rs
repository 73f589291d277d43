//! The pages as HTML. All text comes through maud, which escapes it; titles and places are set apart from the text around them,
//! so that one written from right to left turns nothing else around.

mod agenda;
mod grid;
mod outside;

use std::sync::LazyLock;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use maud::{DOCTYPE, Markup, html};

use super::CALENDARS;
use super::entry::Entry;
use super::layout::{Agenda, Grid};
use super::view::{Asked, View};
use super::visit::{Proof, Visit};

pub use outside::{Choice, again, not_so, picker, refusal, sign_in};

/// Zones that are offered: one for each place, without the names that are kept for old programs.
static ZONES: LazyLock<Vec<String>> = LazyLock::new(|| {
    const AREAS: [&str; 10] = [
        "Africa/",
        "America/",
        "Antarctica/",
        "Arctic/",
        "Asia/",
        "Atlantic/",
        "Australia/",
        "Europe/",
        "Indian/",
        "Pacific/",
    ];
    let names = jiff::tz::db().available().map(|name| name.as_str().to_owned());
    let mut names: Vec<String> = names.filter(|name| AREAS.iter().any(|area| name.starts_with(area))).collect();
    names.push("Etc/UTC".to_owned());
    names.sort();
    names.dedup();
    names
});

/// A calendar as it is to be shown.
pub struct Shown<'a> {
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Who looks.
    pub user: &'a str,
    /// What was asked for.
    pub asked: &'a Asked,
    /// The dates that are shown.
    pub dates: &'a [Date],
    /// Its events in these dates.
    pub entries: &'a [Entry],
    /// Changes after this are not in it.
    pub sequence: String,
    /// Where the events stand.
    pub content: Content,
}

/// Where events stand.
pub enum Content {
    /// In a list, which goes on there.
    Agenda(Agenda, Option<String>),
    /// In days side by side, and whether there are more than were looked at.
    Grid(Grid, bool),
}

/// What all pages have around them.
fn page(title: &str, visit: Option<(&Visit, &str)>, main: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                link rel="icon" type="image/svg+xml" href={ (CALENDARS) "/-/icon.svg" };
                link rel="stylesheet" href={ (CALENDARS) "/-/page.css" };
                script type="module" src={ (CALENDARS) "/-/page.js" } {}
            }
            body {
                a .skip href="#main" { "Skip to the content" }
                header .top {
                    a .brand href=(CALENDARS) { "Calendars" }
                    @if let Some((visit, user)) = visit {
                        p .who { span .hidden { "Signed in as " } bdi { (user) } }
                        @if visit.proof == Proof::Cookie {
                            form method="post" action={ (CALENDARS) "/-/sign-out" } { button .plain type="submit" { "Sign out" } }
                        }
                    }
                }
                main #main tabindex="-1" { (main) }
            }
        }
    }
}

/// A calendar.
pub fn calendar(visit: &Visit, shown: &Shown<'_>) -> Markup {
    let Shown { namespace, name, user, asked, dates, .. } = shown;
    let range = range(dates);
    let main = html! {
        div .head {
            h1 { a .namespace href={ (CALENDARS) "?namespace=" (namespace) } { (namespace) } " " span .slash aria-hidden="true" { "/" } " " (name) }
            (views(asked))
        }
        div .tools {
            (steps(asked))
            (choices(asked))
        }
        (events(shown, &range))
        div .foot {
            p { "Times in " strong { (asked.zone_title()) } ". " span #live hidden { } }
            (shortcuts())
        }
        p #news .hidden role="status" aria-live="polite" {}
    };
    page(&format!("{name} · {range}"), Some((visit, user)), &main)
}

fn views(asked: &Asked) -> Markup {
    html! {
        nav .views aria-label="Views" {
            ul role="list" {
                @for view in View::ALL {
                    @let current = (view == asked.view).then_some("page");
                    li { a href=(asked.link(view, asked.date)) aria-current=[current] data-key=(key(view)) { (view.title()) } }
                }
            }
        }
    }
}

fn key(view: View) -> &'static str {
    match view {
        View::Agenda => "a",
        View::Day => "d",
        View::Week => "w",
    }
}

fn steps(asked: &Asked) -> Markup {
    let (one, before, after) = match asked.view {
        View::Agenda => ("fortnight", asked.pages_on(-1), asked.pages_on(1)),
        View::Day => ("day", asked.pages_on(-1), asked.pages_on(1)),
        View::Week => ("week", asked.pages_on(-1), asked.pages_on(1)),
    };
    let link = |date| asked.link(asked.view, date);
    html! {
        nav .steps aria-label="Dates" {
            a href=(link(before)) data-key="p" { span aria-hidden="true" { "‹" } span .hidden { "Previous " (one) } }
            a href=(link(asked.today)) data-key="t" { "Today" }
            a href=(link(after)) data-key="n" { span aria-hidden="true" { "›" } span .hidden { "Next " (one) } }
        }
    }
}

fn choices(asked: &Asked) -> Markup {
    html! {
        form .choices method="get" action=(asked.path) {
            input type="hidden" name="view" value=(asked.view.as_str());
            label { span { "Date" } input type="date" name="date" value=(asked.date) min="1901-01-01" max="2199-12-31" required; }
            label {
                span { "Time zone" }
                input type="text" name="timeZone" value=(asked.zone_name.as_deref().unwrap_or("Etc/UTC")) list="zones"
                    maxlength="64" autocomplete="off" autocapitalize="off" spellcheck="false";
            }
            datalist #zones { @for zone in ZONES.iter() { option value=(zone); } }
            button type="submit" { "Show" }
        }
    }
}

fn events(shown: &Shown<'_>, range: &str) -> Markup {
    let asked = shown.asked;
    let (class, more) = match &shown.content {
        Content::Agenda(_, more) => ("agenda", more.is_some()),
        Content::Grid(_, more) => ("grid", *more),
    };
    let count = shown.entries.len();
    html! {
        div #events .(class) data-sequence=(shown.sequence) data-stream={ (asked.path) "/live" } {
            div .title {
                h2 #range tabindex="-1" { (range) }
                @if asked.after.is_some() { p .count { "continued" } }
                @else if count == 0 { p .count { "No events" } }
                @else if count == 1 { p .count { "1 event" } }
                @else if more { p .count { "More than " (count) " events" } }
                @else { p .count { (count) " events" } }
            }
            @match &shown.content {
                Content::Agenda(agenda, more) => (agenda::list(shown, agenda, more.as_deref())),
                Content::Grid(grid, more) => (grid::days(shown, grid, *more)),
            }
        }
    }
}

fn shortcuts() -> Markup {
    const KEYS: [(&str, &str); 6] =
        [("a", "agenda"), ("d", "day"), ("w", "week"), ("p", "previous"), ("t", "today"), ("n", "next")];
    html! {
        details #keys hidden {
            summary { "Keyboard shortcuts" }
            label .check { input #use-keys type="checkbox"; " Use single keys" }
            dl { @for (key, what) in KEYS { div { dt { kbd { (key) } } dd { (what) } } } }
        }
    }
}

/// An event's title, apart from the text around it.
fn title(entry: &Entry) -> Markup {
    html! { bdi .what dir="auto" { (entry.title) } }
}

/// What is said of an event beside its title.
fn state(entry: &Entry) -> Markup {
    html! {
        @if let Some(word) = entry.state.word() { " " span .state { (word) } }
        @if entry.free && entry.title != "Free" { " " span .state { "free" } }
    }
}

/// Classes by which an event looks as it is.
fn looks(entry: &Entry) -> String {
    use super::entry::State;
    let state = match entry.state {
        State::Certain => "",
        State::Tentative => " tentative",
        State::Cancelled | State::Declined => " cancelled",
    };
    format!("k{}{state}{}", entry.hue, if entry.free { " free" } else { "" })
}

/// Where an event is in the list.
fn anchor(entry: &Entry, date: Date) -> String {
    format!("e-{}-{date}", entry.key)
}

fn local(at: Timestamp, zone: &TimeZone) -> Zoned {
    at.to_zoned(zone.clone())
}

/// A moment as a clock shows it.
fn time(at: Timestamp, zone: &TimeZone) -> Markup {
    let local = local(at, zone);
    html! { time datetime=(local.strftime("%Y-%m-%dT%H:%M:%S%:z")) { (local.strftime("%H:%M")) } }
}

/// A date in words, with its year.
fn long(date: Date) -> String {
    date.strftime("%A, %-d %B %Y").to_string()
}

/// Dates in words, without what they have in common.
fn range(dates: &[Date]) -> String {
    let (Some(first), Some(last)) = (dates.first().copied(), dates.last().copied()) else { return String::new() };
    let end = last.strftime("%-d %B %Y");
    if first == last {
        return long(first);
    }
    if first.year() != last.year() {
        return format!("{} – {end}", first.strftime("%-d %B %Y"));
    }
    if first.month() != last.month() {
        return format!("{} – {end}", first.strftime("%-d %B"));
    }
    format!("{} – {end}", first.strftime("%-d"))
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::range;

    #[test]
    fn a_range_says_once_what_its_ends_have_in_common() {
        for (first, last, expected) in [
            (date(2026, 12, 1), date(2026, 12, 1), "Tuesday, 1 December 2026"),
            (date(2026, 12, 7), date(2026, 12, 13), "7 – 13 December 2026"),
            (date(2026, 11, 30), date(2026, 12, 6), "30 November – 6 December 2026"),
            (date(2026, 12, 28), date(2027, 1, 3), "28 December 2026 – 3 January 2027"),
        ] {
            assert_eq!(range(&[first, last]), expected);
        }
        assert_eq!(range(&[]), "");
    }
}
