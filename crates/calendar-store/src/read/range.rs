//! From when to when, and in which time zone.

use calendar_store_client::Reason;
use calendar_sync::{Event, EventTime, TimeZone};
use jiff::Timestamp;
use jiff::civil::Date;

use super::query::Query;
use crate::Problem;

/// Years that are taken: what is outside is a mistake.
const YEARS: std::ops::RangeInclusive<i16> = 1900..=2200;
/// The longest text of a time or a zone.
const LONGEST: usize = 64;
/// Seconds that an all-day event's first moment in any zone differs at most from midnight UTC.
pub const DAY: i64 = 24 * 60 * 60;

/// A time zone, and whether it was asked for.
#[derive(Clone, Debug)]
pub struct Zone {
    /// The zone.
    pub zone: TimeZone,
    rules: Option<jiff::tz::TimeZone>,
}

/// A range of time, open where it has no bound.
#[derive(Clone, Copy, Debug)]
pub struct Range {
    /// Its first moment.
    pub from: Option<Timestamp>,
    /// The first moment after it.
    pub to: Option<Timestamp>,
}

impl Zone {
    /// The zone in which dates are read if none is asked for.
    pub fn utc() -> Self {
        Self { zone: TimeZone::utc(), rules: None }
    }

    /// The zone of parameter `timeZone`.
    pub fn parse(query: &Query) -> Result<Self, Problem> {
        let Some(name) = query.get("timeZone") else { return Ok(Self::utc()) };
        let parsed = TimeZone::parse(name).ok().filter(|_| name.len() <= LONGEST);
        let rules = jiff::tz::TimeZone::get(name).ok();
        let (Some(zone), Some(rules)) = (parsed, rules) else {
            let detail = "it is not an IANA time zone: use a name such as Europe/Berlin or Etc/UTC";
            return Err(Problem::new(Reason::Invalid, detail).of("timeZone"));
        };
        Ok(Self { zone, rules: Some(rules) })
    }

    /// Its rules.
    pub fn rules(&self) -> jiff::tz::TimeZone {
        self.rules.clone().unwrap_or(jiff::tz::TimeZone::UTC)
    }

    /// Its name as it was asked for.
    pub fn asked(&self) -> Option<&str> {
        self.rules.as_ref().map(|_| self.zone.name())
    }

    /// A time as answers have it: in UTC, or with the offset of the zone that was asked for; a date as it is.
    pub fn written(&self, time: EventTime) -> String {
        match time {
            EventTime::Instant(instant) => self.instant(instant),
            EventTime::Date(date) => date.to_string(),
        }
    }

    /// The same for an instant.
    pub fn instant(&self, instant: Timestamp) -> String {
        match &self.rules {
            Some(rules) => instant.display_with_offset(rules.to_offset(instant)).to_string(),
            None => instant.to_string(),
        }
    }

    /// An instant, or a date's first moment, of this parameter.
    pub fn moment(&self, query: &Query, field: &'static str) -> Result<Option<Timestamp>, Problem> {
        let Some(text) = query.get(field) else { return Ok(None) };
        let wrong = |detail: &str| Problem::new(Reason::Invalid, detail).of(field);
        let what = "use an instant such as 2026-03-01T08:00:00Z (a + in an offset is written %2B) or a date such as 2026-03-01";
        if text.len() > LONGEST {
            return Err(wrong(what));
        }
        let instant = match (text.parse::<Date>(), text.parse::<Timestamp>()) {
            (_, Ok(instant)) => instant,
            (Ok(date), Err(_)) if is_date(text) => self.zone.start_of(date),
            _ => return Err(wrong(what)),
        };
        let year = TimeZone::utc().date(instant).year();
        if !YEARS.contains(&year) {
            return Err(wrong(&format!("use a time in the years {} to {}", YEARS.start(), YEARS.end())));
        }
        Ok(Some(instant))
    }
}

impl Range {
    /// The range of parameters `from` and `to`.
    pub fn parse(query: &Query, zone: &Zone) -> Result<Self, Problem> {
        let range = Self { from: zone.moment(query, "from")?, to: zone.moment(query, "to")? };
        if range.from.zip(range.to).is_some_and(|(from, to)| to < from) {
            return Err(Problem::new(Reason::Invalid, "to is before from: give the earlier time as from").of("to"));
        }
        Ok(range)
    }

    /// Whether an event overlaps it. One without duration does so if it starts in it.
    pub fn overlaps(&self, event: &Event, zone: &TimeZone) -> bool {
        let (start, end) = (event.start.instant(zone), event.end.instant(zone));
        self.to.is_none_or(|to| start < to) && self.from.is_none_or(|from| end > from || start >= from)
    }

    /// Seconds between which all events start and end that could overlap it, as the database counts.
    pub fn seconds(&self) -> (i64, i64) {
        let from = self.from.map_or(i64::MIN, |from| from.as_second() - DAY);
        (from, self.to.map_or(i64::MAX, |to| to.as_second() + DAY))
    }
}

/// Dates of ten characters: the parser takes other forms, too, and longer ones for their date alone.
fn is_date(text: &str) -> bool {
    text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-')
}
