//! iCalendar files become events, series expanded into their occurrences as Cronofy does.

use std::collections::BTreeMap;

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use rrule::RRuleSet;
use serde_json::json;

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
    let components = components(text)?;
    let mut drafts = BTreeMap::new();
    let (overrides, masters): (Vec<_>, Vec<_>) =
        components.iter().enumerate().partition(|(_, properties)| properties.contains_key("RECURRENCE-ID"));
    for (index, properties) in masters.into_iter().chain(overrides) {
        let number = index + 1;
        let uid = first(properties, "UID").map_or_else(|| format!("event-{number}"), |(value, _)| value.clone());
        let start = time(properties, "DTSTART", number)?.ok_or(IcsError::Missing { number, property: "DTSTART" })?;
        let end = end(properties, start, number)?;
        let zone = first(properties, "DTSTART").and_then(|(_, zone)| zone.clone());
        let summary = first(properties, "SUMMARY").map(|(value, _)| unescape(value)).unwrap_or_default();
        let cancelled = first(properties, "STATUS").is_some_and(|(value, _)| value == "CANCELLED");
        let draft = |uid: String, start: When, end: When, series: bool| EventDraft {
            uid: Some(uid),
            summary: summary.clone(),
            start,
            end,
            zone: zone.clone(),
            more: more(properties, series.then_some(&first(properties, "UID").cloned().unwrap_or_default().0)),
        };
        if let Some(instead) = time(properties, "RECURRENCE-ID", number)? {
            drafts.remove(&occurrence(&uid, instead));
            if !cancelled {
                let id = occurrence(&uid, instead);
                drafts.insert(id.clone(), draft(id, start, end, true));
            }
        } else if properties.contains_key("RRULE") || properties.contains_key("RDATE") {
            for (start, end) in occurrences(properties, start, end, (from, to), number)? {
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

fn components(text: &str) -> Result<Vec<Properties>, IcsError> {
    let unfolded = icalendar::parser::unfold(text);
    let calendar = icalendar::parser::read_calendar(&unfolded).map_err(IcsError::Syntax)?;
    let events = calendar.components.iter().filter(|component| component.name.as_str().eq_ignore_ascii_case("VEVENT"));
    Ok(events
        .map(|component| {
            let mut properties = Properties::new();
            for property in &component.properties {
                let tzid = property.params.iter().find(|param| param.key.as_str().eq_ignore_ascii_case("TZID"));
                let tzid =
                    tzid.and_then(|param| param.val.as_ref()).map(|zone| zone.as_str().trim_matches('"').to_owned());
                let name = property.name.as_str().to_ascii_uppercase();
                properties.entry(name).or_default().push((property.val.as_str().to_owned(), tzid));
            }
            properties
        })
        .collect())
}

fn first<'a>(properties: &'a Properties, name: &str) -> Option<&'a (String, Option<String>)> {
    properties.get(name).and_then(|values| values.first())
}

fn time(properties: &Properties, name: &'static str, number: usize) -> Result<Option<When>, IcsError> {
    let Some((value, zone)) = first(properties, name) else { return Ok(None) };
    let invalid = || IcsError::Invalid { number, property: name, value: value.clone() };
    if value.len() == 8 {
        return Date::strptime("%Y%m%d", value).map(|date| Some(When::On(date))).map_err(|_| invalid());
    }
    let (local, utc) = match value.strip_suffix('Z') {
        Some(local) => (local, true),
        None => (value.as_str(), false),
    };
    let local = DateTime::strptime("%Y%m%dT%H%M%S", local).map_err(|_| invalid())?;
    let zone = match zone {
        Some(zone) if !utc => TimeZone::get(zone).map_err(|_| {
            let value = format!("{value} in the zone {zone}");
            IcsError::Invalid { number, property: name, value }
        })?,
        Some(_) | None => TimeZone::UTC, // floating times are taken for UTC
    };
    let time = zone.to_ambiguous_timestamp(local).compatible().map_err(|_| invalid())?;
    Ok(Some(When::At(time)))
}

fn end(properties: &Properties, start: When, number: usize) -> Result<When, IcsError> {
    if let Some(end) = time(properties, "DTEND", number)? {
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

/// The occurrences of a series that touch the range.
fn occurrences(
    properties: &Properties,
    start: When,
    end: When,
    (from, to): (Timestamp, Timestamp),
    number: usize,
) -> Result<Vec<(When, When)>, IcsError> {
    let mut rules = Vec::new();
    for name in ["DTSTART", "RRULE", "RDATE", "EXDATE"] {
        for (value, zone) in properties.get(name).into_iter().flatten() {
            let zone = zone.as_ref().map(|zone| format!(";TZID={zone}")).unwrap_or_default();
            // The rule's crate knows no dates: a day is its midnight in UTC.
            let value = match name {
                "RRULE" => until_in_utc(value, properties, number)?,
                _ if zone.is_empty() => in_utc(&dates_as_times(value)),
                _ => dates_as_times(value),
            };
            rules.push(format!("{name}{zone}:{value}"));
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
        let Ok(at) = Timestamp::from_second(occurrence.timestamp()) else { continue };
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
                let day = |time: Timestamp| When::On(time.to_zoned(TimeZone::UTC).date());
                (day(at), day(until))
            }
        });
    }
    match all.next() {
        None => Ok(found),
        Some(_) => Err(invalid(format!("with more than {MOST_OCCURRENCES} occurrences"))),
    }
}

/// A rule whose end is in UTC, as the rule's crate wants it: it may be a day, which is meant to its end, or a local time.
fn until_in_utc(rule: &str, properties: &Properties, number: usize) -> Result<String, IcsError> {
    let zone = first(properties, "DTSTART").and_then(|(_, zone)| zone.clone());
    let mut parts = Vec::new();
    for part in rule.split(';') {
        let until =
            part.split_once('=').filter(|(name, value)| name.eq_ignore_ascii_case("UNTIL") && !value.ends_with('Z'));
        let Some((_, until)) = until else {
            parts.push(part.to_owned());
            continue;
        };
        let local = if until.len() == 8 { format!("{until}T235959") } else { until.to_owned() };
        let until = Properties::from([("UNTIL".to_owned(), vec![(local, zone.clone())])]);
        let Some(When::At(time)) = time(&until, "UNTIL", number)? else { continue };
        parts.push(format!("UNTIL={}", time.strftime("%Y%m%dT%H%M%SZ")));
    }
    Ok(parts.join(";"))
}

/// Floating times are taken for UTC.
fn in_utc(value: &str) -> String {
    let parts = value.split(',').map(|part| if part.ends_with('Z') { part.to_owned() } else { format!("{part}Z") });
    parts.collect::<Vec<_>>().join(",")
}

fn dates_as_times(value: &str) -> String {
    let parts = value.split(',').map(|part| if part.len() == 8 { format!("{part}T000000Z") } else { part.to_owned() });
    parts.collect::<Vec<_>>().join(",")
}

/// Id of one occurrence: the same each time the file is read.
fn occurrence(uid: &str, start: When) -> String {
    let at = match start {
        When::At(time) => time.strftime("%Y%m%dT%H%M%SZ").to_string(),
        When::On(date) => date.strftime("%Y%m%d").to_string(),
    };
    format!("evt_external_{}_{at}", slug(uid))
}

fn slug(uid: &str) -> String {
    uid.chars().map(|character| if character.is_ascii_alphanumeric() { character } else { '-' }).take(64).collect()
}

fn more(properties: &Properties, series: Option<&String>) -> serde_json::Value {
    let mut more = json!({});
    let Some(fields) = more.as_object_mut() else { return more };
    if let Some((value, _)) = first(properties, "DESCRIPTION") {
        fields.insert("description".to_owned(), json!(unescape(value)));
    }
    if let Some((value, _)) = first(properties, "LOCATION") {
        fields.insert("location".to_owned(), json!({ "description": unescape(value) }));
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

fn unescape(text: &str) -> String {
    text.replace("\\n", "\n").replace("\\N", "\n").replace("\\,", ",").replace("\\;", ";").replace("\\\\", "\\")
}
