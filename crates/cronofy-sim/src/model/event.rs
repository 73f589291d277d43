//! Events, and which of them a read shows.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

/// Start or end of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// A point in time.
    At(Timestamp),
    /// A whole day; as an end, exclusive.
    On(Date),
}

impl When {
    /// The point meant; a day begins in `zone`.
    #[must_use]
    pub fn instant(self, zone: &TimeZone) -> Timestamp {
        match self {
            When::At(time) => time,
            When::On(date) => start_of(date, zone),
        }
    }

    fn render(self, localized: Option<&str>) -> Value {
        match (self, localized) {
            (When::At(time), None) => json!(utc(time)),
            (When::On(date), None) => json!(date.to_string()),
            (When::On(date), Some(zone)) => json!({ "time": date.to_string(), "tzid": zone }),
            (When::At(time), Some(name)) => match TimeZone::get(name) {
                Ok(zone) => {
                    json!({ "time": time.to_zoned(zone).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(), "tzid": name })
                }
                Err(_) => json!({ "time": utc(time), "tzid": "Etc/UTC" }),
            },
        }
    }
}

impl From<Timestamp> for When {
    fn from(time: Timestamp) -> Self {
        When::At(time)
    }
}

impl From<Date> for When {
    fn from(date: Date) -> Self {
        When::On(date)
    }
}

/// The first moment of a day.
pub(crate) fn start_of(date: Date, zone: &TimeZone) -> Timestamp {
    zone.to_ambiguous_timestamp(date.at(0, 0, 0, 0)).compatible().unwrap_or(Timestamp::MAX)
}

/// RFC 3339 in UTC and whole seconds, as Cronofy writes it.
pub(crate) fn utc(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// What an event is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct EventDraft {
    /// Its id; `None` makes one.
    pub uid: Option<String>,
    /// Title.
    pub summary: String,
    /// Start.
    pub start: When,
    /// End.
    pub end: When,
    /// IANA zone it was written in.
    pub zone: Option<String>,
    /// Further fields, as Cronofy shows them: they are put over the usual ones.
    pub more: Value,
}

impl EventDraft {
    /// An event with the usual fields.
    #[must_use]
    pub fn new(summary: impl Into<String>, start: impl Into<When>, end: impl Into<When>) -> Self {
        let (start, end) = (start.into(), end.into());
        Self { uid: None, summary: summary.into(), start, end, zone: None, more: json!({}) }
    }

    /// With this id.
    #[must_use]
    pub fn uid(self, uid: impl Into<String>) -> Self {
        Self { uid: Some(uid.into()), ..self }
    }

    /// With further fields.
    #[must_use]
    pub fn more(self, more: Value) -> Self {
        Self { more, ..self }
    }
}

/// An event in a calendar.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub uid: String,
    pub account: String,
    pub calendar: String,
    pub draft: EventDraft,
    pub created: Timestamp,
    /// When it was changed last, on our own clock: what `last_modified` compares with.
    pub modified: Timestamp,
    pub deleted: Option<Timestamp>,
    /// Made by the application.
    pub managed: bool,
    /// The application's own id.
    pub own_id: Option<String>,
    /// Where it has been before.
    pub former: Vec<(When, When)>,
}

/// What a read asks for.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "these are the API's switches")]
pub struct ReadQuery {
    /// Zone of the dates.
    pub zone: TimeZone,
    /// Events end on or after this day.
    pub from: Option<Date>,
    /// Events start before this day.
    pub to: Option<Date>,
    /// Changed at or after this time.
    pub last_modified: Option<Timestamp>,
    /// Also deleted ones.
    pub include_deleted: bool,
    /// Also those that were in the range once.
    pub include_moved: bool,
    /// Also managed ones.
    pub include_managed: bool,
    /// Only managed ones.
    pub only_managed: bool,
    /// Times with their zone.
    pub localized: bool,
    /// Only these calendars.
    pub calendars: Vec<String>,
}

impl Default for ReadQuery {
    fn default() -> Self {
        Self {
            zone: TimeZone::UTC,
            from: None,
            to: None,
            last_modified: None,
            include_deleted: false,
            include_moved: false,
            include_managed: false,
            only_managed: false,
            localized: false,
            calendars: Vec::new(),
        }
    }
}

impl Event {
    fn within(start: When, end: When, range: (Timestamp, Timestamp), zone: &TimeZone) -> bool {
        start.instant(zone) < range.1 && end.instant(zone) >= range.0
    }

    /// Whether a read shows it. `window` is the sync window, in which external events live.
    pub fn shown(&self, query: &ReadQuery, window: (Date, Date)) -> bool {
        let zone = &query.zone;
        let bounded = query.from.is_some() || query.to.is_some() || !self.managed;
        let range = (start_of(query.from.unwrap_or(window.0), zone), start_of(query.to.unwrap_or(window.1), zone));
        let inside = Self::within(self.draft.start, self.draft.end, range, zone)
            || (query.include_moved && self.former.iter().any(|(start, end)| Self::within(*start, *end, range, zone)));
        let wanted = if query.only_managed { self.managed } else { query.include_managed || !self.managed };
        let second = |time: Timestamp| time.as_second();
        wanted
            && (!bounded || inside)
            && (self.deleted.is_none() || query.include_deleted)
            && query.last_modified.is_none_or(|since| second(self.modified) >= second(since))
            && (query.calendars.is_empty() || query.calendars.contains(&self.calendar))
    }

    /// As Cronofy shows it.
    pub fn render(&self, localized: bool, ids_only: bool, year_zero: bool) -> Value {
        if self.deleted.is_some() && ids_only {
            return json!({ "calendar_id": self.calendar, "event_uid": self.uid, "deleted": true });
        }
        let zone = localized.then(|| self.draft.zone.as_deref().unwrap_or("Etc/UTC"));
        let stamp = |time| if year_zero { "0000-12-29T00:00:00Z".to_owned() } else { utc(time) };
        let mut shown = json!({
            "calendar_id": self.calendar,
            "event_uid": self.uid,
            "summary": self.draft.summary,
            "description": "",
            "start": self.draft.start.render(zone),
            "end": self.draft.end.render(zone),
            "deleted": self.deleted.is_some(),
            "created": stamp(self.created),
            "updated": stamp(self.modified),
            "participation_status": "accepted",
            "attendees": [],
            "transparency": "opaque",
            "status": "confirmed",
            "categories": [],
            "recurring": false,
            "event_private": false,
            "options": { "delete": true, "update": true, "change_participation_status": true },
        });
        if let (Some(fields), Some(more)) = (shown.as_object_mut(), self.draft.more.as_object()) {
            fields.extend(more.iter().map(|(key, value)| (key.clone(), value.clone())));
            if let Some(id) = &self.own_id {
                fields.insert("event_id".to_owned(), json!(id));
            }
        }
        shown
    }
}
