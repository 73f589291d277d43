//! iCalendar files become events, series expanded into their occurrences as Cronofy does.

mod zones;

use std::collections::BTreeMap;

use icalendar::parser::Component;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use rrule::RRuleSet;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use self::zones::Zones;
use crate::model::{EventDraft, When};

/// Occurrences of one series that are looked at, at most.
const MOST_OCCURRENCES: usize = 20_000;

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum IcsError {
    /// No iCalendar at all.
    #[error("not an iCalendar file: {0}")]
    Syntax(String),
    /// A component lacks a property.
    #[error("VEVENT {number} has no {property}")]
    Missing {
        /// Which, from 1.
        number: usize,
        /// The property.
        property: &'static str,
    },
    /// A property does not parse.
    #[error("VEVENT {number}: {property} {value:?} is not understood")]
    Invalid {
        /// Which, from 1.
        number: usize,
        /// The property.
        property: &'static str,
        /// Its value.
        value: String,
    },
    /// No such calendar.
    #[error("there is no calendar {0}")]
    NoCalendar(String),
}

/// One VEVENT's properties: name → values with their TZID.
type Properties = BTreeMap<String, Vec<(String, Option<String>)>>;

/// The events of a file whose occurrences lie between `from` and `to`.
pub(crate) fn parse(text: &str, from: Timestamp, to: Timestamp) -> Result<Vec<EventDraft>, IcsError> {
    let file = File::read(text)?;
    let mut drafts = BTreeMap::new();
    let (overrides, masters): (Vec<_>, Vec<_>) =
        file.events.iter().enumerate().partition(|(_, properties)| properties.contains_key("RECURRENCE-ID"));
    for (index, properties) in masters.into_iter().chain(overrides) {
        let number = index + 1;
        let uid = first(properties, "UID").map_or_else(|| format!("event-{number}"), |(value, _)| value.clone());
        let start =
            file.time(number, properties, "DTSTART")?.ok_or(IcsError::Missing { number, property: "DTSTART" })?;
        let end = end(&file, number, properties, start)?;
        let zone =
            first(properties, "DTSTART").and_then(|(_, zone)| zones::iana(zone.as_deref()?).map(ToOwned::to_owned));
        let summary = first(properties, "SUMMARY").map(|(value, _)| value.clone()).unwrap_or_default();
        let cancelled = first(properties, "STATUS").is_some_and(|(value, _)| value == "CANCELLED");
        let draft = |uid: String, start: When, end: When, series: bool| EventDraft {
            uid: Some(uid),
            summary: summary.clone(),
            start,
            end,
            zone: zone.clone(),
            more: more(properties, series.then_some(&first(properties, "UID").cloned().unwrap_or_default().0)),
        };
        if let Some(instead) = file.time(number, properties, "RECURRENCE-ID")? {
            drafts.remove(&occurrence(&uid, instead));
            if !cancelled {
                let id = occurrence(&uid, instead);
                drafts.insert(id.clone(), draft(id, start, end, true));
            }
        } else if properties.contains_key("RRULE") || properties.contains_key("RDATE") {
            for (start, end) in occurrences(&file, number, properties, (start, end), (from, to))? {
                let id = occurrence(&uid, start);
                drafts.insert(id.clone(), draft(id, start, end, true));
            }
        } else if !cancelled {
            let id = format!("evt_external_{}", slug(&uid));
            drafts.insert(id.clone(), draft(id, start, end, false));
        }
    }
    Ok(drafts.into_values().collect())
}

/// What a file holds.
struct File {
    zones: Zones,
    events: Vec<Properties>,
}

impl File {
    fn read(text: &str) -> Result<Self, IcsError> {
        if !text.trim_start_matches('\u{feff}').trim_start().to_ascii_uppercase().starts_with("BEGIN:VCALENDAR") {
            return Err(IcsError::Syntax("it does not begin with BEGIN:VCALENDAR".to_owned()));
        }
        let unfolded = icalendar::parser::unfold(text);
        let calendar = icalendar::parser::read_calendar(&unfolded).map_err(|error| IcsError::Syntax(broken(&error)))?;
        let events =
            calendar.components.iter().filter(|component| component.name.as_str().eq_ignore_ascii_case("VEVENT"));
        Ok(Self { zones: Zones::of(&calendar.components), events: events.map(properties).collect() })
    }
}

/// Where the parser stopped, without what it thought of it: that speaks of its own grammar.
fn broken(error: &str) -> String {
    let line = error.split_once("at line ").map_or("", |(_, rest)| rest);
    let line = line.split(|character: char| !character.is_ascii_digit()).next().filter(|line| !line.is_empty());
    let place = line.map_or_else(String::new, |line| format!(" at line {line}"));
    format!("it is broken or cut off{place}: one VCALENDAR is expected, in which each BEGIN has its END")
}

fn properties(component: &Component<'_>) -> Properties {
    let mut properties = Properties::new();
    for property in &component.properties {
        let tzid = property.params.iter().find(|param| param.key.as_str().eq_ignore_ascii_case("TZID"));
        let tzid = tzid.and_then(|param| param.val.as_ref()).map(|zone| zone.as_str().trim_matches('"').to_owned());
        let name = property.name.as_str().to_ascii_uppercase();
        properties.entry(name).or_default().push((property.val.as_str().to_owned(), tzid));
    }
    properties
}

fn first<'a>(properties: &'a Properties, name: &str) -> Option<&'a (String, Option<String>)> {
    properties.get(name).and_then(|values| values.first())
}

impl File {
    fn time(&self, number: usize, properties: &Properties, name: &'static str) -> Result<Option<When>, IcsError> {
        match first(properties, name) {
            Some((value, zone)) => self.when(number, name, value, zone.as_deref()).map(Some),
            None => Ok(None),
        }
    }

    fn when(&self, number: usize, property: &'static str, value: &str, zone: Option<&str>) -> Result<When, IcsError> {
        let invalid = || IcsError::Invalid { number, property, value: value.to_owned() };
        if value.len() == 8 {
            return Date::strptime("%Y%m%d", value).map(When::On).map_err(|_| invalid());
        }
        let wall = DateTime::strptime("%Y%m%dT%H%M%S", value.trim_end_matches('Z')).map_err(|_| invalid())?;
        let zone = self.zone(number, property, value, zone)?;
        zone.to_ambiguous_timestamp(wall).compatible().map(When::At).map_err(|_| invalid())
    }

    /// The zone of a time. Floating times are taken for UTC.
    fn zone(
        &self,
        number: usize,
        property: &'static str,
        value: &str,
        name: Option<&str>,
    ) -> Result<TimeZone, IcsError> {
        let Some(name) = name.filter(|_| !value.ends_with('Z')) else { return Ok(TimeZone::UTC) };
        let value = format!("{value} in the zone {name}, which the file does not define");
        self.zones.find(name).ok_or(IcsError::Invalid { number, property, value })
    }
}

fn end(file: &File, number: usize, properties: &Properties, start: When) -> Result<When, IcsError> {
    if let Some(end) = file.time(number, properties, "DTEND")? {
        return Ok(end);
    }
    if let Some((value, _)) = first(properties, "DURATION") {
        let invalid = || IcsError::Invalid { number, property: "DURATION", value: value.clone() };
        let span: jiff::Span = value.parse().map_err(|_| invalid())?;
        return Ok(match start {
            When::At(time) => {
                let zoned = time.to_zoned(TimeZone::UTC).checked_add(span).map_err(|_| invalid())?;
                When::At(zoned.timestamp())
            }
            When::On(date) => When::On(date.checked_add(span).map_err(|_| invalid())?),
        });
    }
    Ok(match start {
        When::At(time) => When::At(time),
        When::On(date) => When::On(date.saturating_add(1.day())),
    })
}

/// The occurrences of a series that touch the range. They are counted on the clock on the wall, and only then placed in the
/// zone: a weekly meeting at nine stays at nine.
fn occurrences(
    file: &File,
    number: usize,
    properties: &Properties,
    (start, end): (When, When),
    (from, to): (Timestamp, Timestamp),
) -> Result<Vec<(When, When)>, IcsError> {
    let zone = match first(properties, "DTSTART") {
        Some((value, zone)) => file.zone(number, "DTSTART", value, zone.as_deref())?,
        None => TimeZone::UTC,
    };
    let mut rules = Vec::new();
    for name in ["DTSTART", "RRULE", "RDATE", "EXDATE"] {
        for (value, tzid) in properties.get(name).into_iter().flatten() {
            let value = match name {
                "RRULE" => until_on_the_wall(file, number, value, &zone)?,
                _ => on_the_wall(file, number, name, value, tzid.as_deref(), &zone)?,
            };
            rules.push(format!("{name}:{value}"));
        }
    }
    let invalid = |value: String| IcsError::Invalid { number, property: "RRULE", value };
    let set: RRuleSet = rules.join("\n").parse().map_err(|error: rrule::RRuleError| invalid(error.to_string()))?;
    // Limited, a rule that never comes true ends.
    let mut all = set.limit().into_iter();
    let length = match (start, end) {
        (When::At(start), When::At(end)) => end.duration_since(start),
        (When::On(start), When::On(end)) => SignedDuration::from_hours(24 * i64::from((end - start).get_days())),
        (When::At(_), When::On(_)) | (When::On(_), When::At(_)) => SignedDuration::ZERO,
    };
    let mut found = Vec::new();
    for occurrence in all.by_ref().take(MOST_OCCURRENCES) {
        let Ok(wall) = Timestamp::from_second(occurrence.timestamp()) else { continue };
        let wall = TimeZone::UTC.to_datetime(wall);
        let Ok(at) = zone.to_ambiguous_timestamp(wall).compatible() else { continue };
        if at > to {
            return Ok(found);
        }
        let until = at.checked_add(length).unwrap_or(at);
        if until < from {
            continue;
        }
        found.push(match start {
            When::At(_) => (When::At(at), When::At(until)),
            When::On(_) => {
                let day = wall.date();
                (When::On(day), When::On(day.checked_add(length).unwrap_or(day)))
            }
        });
    }
    match all.next() {
        None => Ok(found),
        Some(_) => Err(invalid(format!("with more than {MOST_OCCURRENCES} occurrences"))),
    }
}

/// Times in a list as the clock on the wall shows them in `zone`, in the form of times in UTC, since the rule's crate is to
/// take them as they are. A day is its midnight.
fn on_the_wall(
    file: &File,
    number: usize,
    property: &'static str,
    list: &str,
    tzid: Option<&str>,
    zone: &TimeZone,
) -> Result<String, IcsError> {
    let mut times = Vec::new();
    for value in list.split(',') {
        let wall = match file.when(number, property, value, tzid)? {
            When::At(time) => zone.to_datetime(time),
            When::On(date) => date.at(0, 0, 0, 0),
        };
        times.push(wall.strftime("%Y%m%dT%H%M%SZ").to_string());
    }
    Ok(times.join(","))
}

/// A rule whose end is on the wall, too. It may be a day, which is meant to its end, or a time in UTC.
fn until_on_the_wall(file: &File, number: usize, rule: &str, zone: &TimeZone) -> Result<String, IcsError> {
    let mut parts = Vec::new();
    for part in rule.split(';') {
        let until = part.split_once('=').filter(|(name, _)| name.eq_ignore_ascii_case("UNTIL"));
        parts.push(match until {
            None => part.to_owned(),
            Some((_, until)) if until.len() == 8 => format!("UNTIL={until}T235959Z"),
            Some((_, until)) if until.ends_with('Z') => {
                format!("UNTIL={}", on_the_wall(file, number, "RRULE", until, None, zone)?)
            }
            Some((_, until)) => format!("UNTIL={until}Z"),
        });
    }
    Ok(parts.join(";"))
}

/// Id of one occurrence: the same each time the file is read.
fn occurrence(uid: &str, start: When) -> String {
    let at = match start {
        When::At(time) => time.strftime("%Y%m%dT%H%M%SZ").to_string(),
        When::On(date) => date.strftime("%Y%m%d").to_string(),
    };
    format!("evt_external_{}_{at}", slug(uid))
}

/// A UID as part of an id: its beginning for the reader's eye, and a hash, since many begin alike or have no letter of ASCII.
fn slug(uid: &str) -> String {
    let seen = uid.chars().take(32).map(|character| if character.is_ascii_alphanumeric() { character } else { '-' });
    let hash = Sha256::digest(uid).iter().take(6).fold(0_u64, |hash, byte| hash << 8 | u64::from(*byte));
    format!("{}-{hash:012x}", seen.collect::<String>())
}

fn more(properties: &Properties, series: Option<&String>) -> serde_json::Value {
    let mut more = json!({});
    let Some(fields) = more.as_object_mut() else { return more };
    if let Some((value, _)) = first(properties, "DESCRIPTION") {
        fields.insert("description".to_owned(), json!(value));
    }
    if let Some((value, _)) = first(properties, "LOCATION") {
        fields.insert("location".to_owned(), json!({ "description": value }));
    }
    for (property, field) in [("STATUS", "status"), ("TRANSP", "transparency")] {
        if let Some((value, _)) = first(properties, property) {
            fields.insert(field.to_owned(), json!(value.to_ascii_lowercase()));
        }
    }
    if let Some(series) = series {
        fields.insert("recurring".to_owned(), json!(true));
        fields.insert("series_identifier".to_owned(), json!(series));
    }
    more
}
