//! What of a calendar is asked for: parsed from the address, and written into the links to the others.

use calendar_store_client::Reason;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::Problem;
use crate::read::{Query, Zone};

/// Years that can be shown: those that the API takes, but for their ends.
const YEARS: std::ops::RangeInclusive<i16> = 1901..=2199;
/// Days of an agenda.
const AGENDA_DAYS: i32 = 14;

/// How events are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// As a list by days.
    Agenda,
    /// One day by hours.
    Day,
    /// Seven days by hours, from Monday on.
    Week,
}

impl View {
    /// All of them, in the order in which they are offered.
    pub const ALL: [View; 3] = [View::Agenda, View::Day, View::Week];

    /// As addresses have it.
    pub fn as_str(self) -> &'static str {
        match self {
            View::Agenda => "agenda",
            View::Day => "day",
            View::Week => "week",
        }
    }

    /// As people read it.
    pub fn title(self) -> &'static str {
        match self {
            View::Agenda => "Agenda",
            View::Day => "Day",
            View::Week => "Week",
        }
    }
}

/// What is asked for of one calendar.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Its path.
    pub path: String,
    /// How it is shown.
    pub view: View,
    /// A day that is to be shown.
    pub date: Date,
    /// The date of the present in the zone.
    pub today: Date,
    /// The zone's name, if one is given.
    pub zone_name: Option<String>,
    /// The zone by its rules.
    pub zone: TimeZone,
    /// The same for the moments at which dates begin.
    pub moments: calendar_sync::TimeZone,
    /// Where a day's events go on that are too many for one page.
    pub after: Option<String>,
}

impl Asked {
    /// What the query of a calendar's address asks for.
    pub fn parse(path: String, query: Option<&str>, now: Timestamp) -> Result<Self, Problem> {
        let query = Query::parse(query, &["view", "date", "timeZone", "after"], &[])?;
        // A form sends what is empty, too.
        let given = |field: &str| query.get(field).filter(|value| !value.is_empty());
        let view = match given("view") {
            None => View::Agenda,
            Some(word) => View::ALL.into_iter().find(|view| view.as_str() == word).ok_or_else(|| {
                Problem::new(Reason::Invalid, "there is no such view: use agenda, day or week").of("view")
            })?,
        };
        let zone_name = given("timeZone").map(str::to_owned);
        let (moments, zone) = match &zone_name {
            Some(_) => {
                let zone = Zone::parse(&query)?;
                (zone.zone.clone(), zone.rules())
            }
            None => (calendar_sync::TimeZone::utc(), TimeZone::UTC),
        };
        let today = now.to_zoned(zone.clone()).date();
        let date = given("date").map(date).transpose()?.unwrap_or(today);
        Ok(Self { path, view, date, today, zone_name, zone, moments, after: given("after").map(str::to_owned) })
    }

    /// The dates that are shown.
    pub fn dates(&self) -> Vec<Date> {
        let (first, count) = match self.view {
            View::Agenda if self.after.is_some() => (self.date, 1),
            View::Agenda => (self.date, AGENDA_DAYS),
            View::Day => (self.date, 1),
            View::Week => (shifted(self.date, -i32::from(self.date.weekday().to_monday_zero_offset())), 7),
        };
        (0..count).map(|days| shifted(first, days)).collect()
    }

    /// A day so many pages later.
    pub fn pages_on(&self, pages: i32) -> Date {
        let days = match self.view {
            View::Agenda => AGENDA_DAYS,
            View::Day => 1,
            View::Week => 7,
        };
        shifted(self.date, days * pages)
    }

    /// The day after.
    pub fn next_day(&self) -> Date {
        shifted(self.date, 1)
    }

    /// The address of another view, or of another day.
    pub fn link(&self, view: View, date: Date) -> String {
        let Self { path, .. } = self;
        let zone = self.zone_name.as_deref().map(|name| format!("&timeZone={}", encoded(name))).unwrap_or_default();
        format!("{path}?view={}&date={date}{zone}", view.as_str())
    }

    /// The address of the rest of a day's list.
    pub fn rest(&self, date: Date, after: &str) -> String {
        format!("{}&after={}", self.link(View::Agenda, date), encoded(after))
    }

    /// The zone's name for people.
    pub fn zone_title(&self) -> &str {
        self.zone_name.as_deref().unwrap_or("UTC")
    }
}

/// A value in the query of an address.
pub fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// A date so many days later, within the years that can be shown.
fn shifted(date: Date, days: i32) -> Date {
    let shifted = date.saturating_add(days.days());
    let (first, last) = (Date::constant(*YEARS.start(), 1, 1), Date::constant(*YEARS.end(), 12, 31));
    shifted.clamp(first, last)
}

fn date(text: &str) -> Result<Date, Problem> {
    let wrong = |detail: String| Problem::new(Reason::Invalid, detail).of("date");
    let plain = text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    let parsed = text.parse::<Date>().ok().filter(|_| plain);
    let date = parsed.ok_or_else(|| wrong("it is not a date: use one such as 2026-03-01".to_owned()))?;
    if YEARS.contains(&date.year()) {
        return Ok(date);
    }
    Err(wrong(format!("use a date in the years {} to {}", YEARS.start(), YEARS.end())))
}
