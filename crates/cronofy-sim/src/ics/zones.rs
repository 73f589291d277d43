//! The time zones of an iCalendar file: by their IANA names, or as the file itself defines them, as Outlook's does.

use std::collections::BTreeMap;

use icalendar::parser::Component;
use jiff::civil::{DateTime, Weekday};
use jiff::tz::TimeZone;

/// The zones that a file may name.
#[derive(Debug, Default)]
pub(super) struct Zones(BTreeMap<String, TimeZone>);

impl Zones {
    /// Those that the file defines.
    pub fn of(components: &[Component<'_>]) -> Self {
        let definitions = components.iter().filter(|component| is(component, "VTIMEZONE"));
        let zones = definitions.filter_map(|definition| {
            let name = property(definition, "TZID")?;
            Some((name.to_owned(), TimeZone::posix(&posix(definition)?).ok()?))
        });
        Self(zones.collect())
    }

    /// The zone of that name. IANA's counts before the file's, and so does one that the name ends in: some programs put
    /// themselves in front of it.
    pub fn find(&self, name: &str) -> Option<TimeZone> {
        match iana(name) {
            Some(known) => TimeZone::get(known).ok(),
            None => self.0.get(name).cloned(),
        }
    }
}

/// The IANA name that a name is, or ends in.
pub(super) fn iana(name: &str) -> Option<&str> {
    let starts = std::iter::once(0).chain(name.match_indices('/').map(|(at, _)| at + 1));
    starts.filter_map(|start| name.get(start..)).find(|name| TimeZone::get(name).is_ok())
}

/// A zone's present rules in the form of POSIX, which knows a standard time and at most one other.
fn posix(definition: &Component<'_>) -> Option<String> {
    let latest = |kind| {
        let observances = definition.components.iter().filter(|component| is(component, kind));
        observances.max_by_key(|observance| property(observance, "DTSTART").map(ToOwned::to_owned))
    };
    let Some(standard) = latest("STANDARD") else { return Some(format!("<DST>{}", offset(latest("DAYLIGHT")?)?)) };
    let name = format!("<STD>{}", offset(standard)?);
    let Some(daylight) = latest("DAYLIGHT") else { return Some(name) };
    let (Some(begins), Some(ends)) = (change(daylight), change(standard)) else { return Some(name) };
    Some(format!("{name}<DST>{},{begins},{ends}", offset(daylight)?))
}

/// The offset of an observance; POSIX counts westward.
fn offset(observance: &Component<'_>) -> Option<String> {
    let text = property(observance, "TZOFFSETTO")?;
    let (sign, digits) = match text.split_at_checked(1)? {
        ("+", digits) => ("-", digits),
        ("-", digits) => ("+", digits),
        _ => return None,
    };
    Some(format!("{sign}{}:{}", digits.get(..2)?, digits.get(2..4)?))
}

/// When an observance begins each year: `M` month, week (5 is the last), day (0 is Sunday), and the time of day.
fn change(observance: &Component<'_>) -> Option<String> {
    let begin = DateTime::strptime("%Y%m%dT%H%M%S", property(observance, "DTSTART")?.trim_end_matches('Z')).ok()?;
    let rule: BTreeMap<&str, &str> =
        property(observance, "RRULE")?.split(';').filter_map(|part| part.split_once('=')).collect();
    let month: u8 = rule.get("BYMONTH").map_or(Some(begin.month().unsigned_abs()), |month| month.parse().ok())?;
    let day = rule.get("BYDAY")?;
    let (which, weekday) = day.split_at_checked(day.len().checked_sub(2)?)?;
    let week = match (which, rule.get("BYMONTHDAY")) {
        ("", Some(days)) => {
            let first: u8 = days.split(',').filter_map(|day| day.parse().ok()).min()?;
            first.div_ceil(7)
        }
        ("", None) => return None,
        (which, _) => match which.parse::<i8>().ok()? {
            -1 => 5,
            week @ 1..=4 => week.unsigned_abs(),
            _ => return None,
        },
    };
    let weekday = match weekday {
        "SU" => Weekday::Sunday,
        "MO" => Weekday::Monday,
        "TU" => Weekday::Tuesday,
        "WE" => Weekday::Wednesday,
        "TH" => Weekday::Thursday,
        "FR" => Weekday::Friday,
        "SA" => Weekday::Saturday,
        _ => return None,
    };
    let time = begin.time().strftime("%H:%M:%S");
    Some(format!("M{month}.{week}.{}/{time}", weekday.to_sunday_zero_offset()))
}

fn is(component: &Component<'_>, name: &str) -> bool {
    component.name.as_str().eq_ignore_ascii_case(name)
}

fn property<'a>(component: &'a Component<'_>, name: &str) -> Option<&'a str> {
    let mut properties = component.properties.iter();
    properties.find(|property| property.name.as_str().eq_ignore_ascii_case(name)).map(|property| property.val.as_str())
}
