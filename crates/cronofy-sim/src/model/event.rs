//! Events, and which of them a read shows.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use crate::settings::{EventTimes, Settings, Tombstones};

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

    /// A date, or an RFC 3339 time.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text.len() == 10 {
            return text.parse().ok().map(Self::On);
        }
        text.parse().ok().map(Self::At)
    }

    /// As Cronofy shows it. `zone` is the event's own, if it is known.
    fn render(self, form: TimeForm, zone: Option<&str>) -> Value {
        let known = zone.and_then(|name| TimeZone::get(name).ok().map(|zone| (name, zone)));
        match (form, self, known) {
            (TimeForm::Plain, When::At(time), _) => json!(utc(time)),
            (TimeForm::Plain, When::On(date), _) => json!(date.to_string()),
            (TimeForm::Localized, When::At(time), Some((name, zone))) => {
                json!({ "time": time.to_zoned(zone).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(), "tzid": name })
            }
            (TimeForm::Localized, When::On(date), Some((name, _))) => json!({ "time": date.to_string(), "tzid": name }),
            (TimeForm::Localized | TimeForm::ZoneUnknown, When::At(time), _) => {
                json!({ "time": utc(time), "tzid": "Etc/UTC" })
            }
            (TimeForm::Localized | TimeForm::ZoneUnknown, When::On(date), _) => {
                json!({ "time": date.to_string(), "tzid": "Etc/UTC" })
            }
        }
    }
}

/// How a time is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TimeForm {
    /// A string.
    Plain,
    /// With the event's zone.
    Localized,
    /// In UTC, as if the zone were not known.
    ZoneUnknown,
}

impl TimeForm {
    /// The form that the `index`th event of a read has.
    fn of(settings: &Settings, localized: bool, index: usize) -> Self {
        let asked = if localized { Self::Localized } else { Self::Plain };
        match settings.event_times {
            EventTimes::AsAsked => asked,
            EventTimes::Plain => Self::Plain,
            EventTimes::Localized => Self::Localized,
            EventTimes::ZoneUnknown => Self::ZoneUnknown,
            EventTimes::Mixed => match index % 3 {
                0 => Self::Plain,
                1 => Self::Localized,
                _ => Self::ZoneUnknown,
            },
        }
    }
}

impl<'de> serde::Deserialize<'de> for When {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("expected an RFC 3339 time or a date"))
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

    /// Written in this IANA zone.
    #[must_use]
    pub fn zone(self, zone: impl Into<String>) -> Self {
        Self { zone: Some(zone.into()), ..self }
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
    /// When it has been before.
    pub former: Vec<(When, When)>,
    /// In which calendars it has been before.
    pub former_calendars: Vec<String>,
}

/// An event as one read sees it.
pub(crate) struct View<'a> {
    pub event: &'a Event,
    /// The calendar that it is shown in.
    pub calendar: &'a str,
    pub deleted: bool,
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

    /// How a read sees it, if at all. `window` is the sync window, in which external events live.
    pub fn seen(&self, query: &ReadQuery, window: (Date, Date)) -> Option<View<'_>> {
        let zone = &query.zone;
        let is_asked_for = |calendar: &&String| query.calendars.is_empty() || query.calendars.contains(calendar);
        let left = || self.former_calendars.iter().rev().find(is_asked_for);
        let (calendar, deleted) = match Some(&self.calendar).filter(is_asked_for) {
            Some(calendar) => (calendar, self.deleted.is_some()),
            None => (left()?, true),
        };
        let bounded = query.from.is_some() || query.to.is_some() || !self.managed;
        let range = (start_of(query.from.unwrap_or(window.0), zone), start_of(query.to.unwrap_or(window.1), zone));
        let inside = Self::within(self.draft.start, self.draft.end, range, zone)
            || (query.include_moved && self.former.iter().any(|(start, end)| Self::within(*start, *end, range, zone)));
        let wanted = if query.only_managed { self.managed } else { query.include_managed || !self.managed };
        let second = |time: Timestamp| time.as_second();
        let shown = wanted
            && (!bounded || inside)
            && (!deleted || query.include_deleted)
            && query.last_modified.is_none_or(|since| second(self.modified) >= second(since));
        shown.then_some(View { event: self, calendar, deleted })
    }
}

impl View<'_> {
    /// When it began to be shown as deleted, if it is.
    pub fn deleted_at(&self) -> Option<Timestamp> {
        self.deleted.then(|| self.event.deleted.unwrap_or(self.event.modified))
    }

    /// As Cronofy shows it, as the `index`th event of a read.
    pub fn render(&self, settings: &Settings, localized: bool, index: usize) -> Value {
        let Event { uid, draft, created, modified, own_id, .. } = self.event;
        let mut shown = json!({ "calendar_id": self.calendar, "event_uid": uid });
        if self.deleted && settings.tombstones == Tombstones::IdsOnly {
            return with(shown, json!({ "deleted": true }));
        }
        let form = TimeForm::of(settings, localized, index);
        let time = |when: When| when.render(form, draft.zone.as_deref());
        shown = with(shown, json!({ "start": time(draft.start), "end": time(draft.end), "deleted": self.deleted }));
        if settings.optional_fields {
            let stamp = |time| if settings.year_zero { "0000-12-29T00:00:00Z".to_owned() } else { utc(time) };
            shown = with(
                shown,
                json!({
                    "summary": draft.summary,
                    "description": "",
                    "created": stamp(*created),
                    "updated": stamp(*modified),
                    "participation_status": "accepted",
                    "attendees": [],
                    "transparency": "opaque",
                    "extended_transparency": "opaque",
                    "status": "confirmed",
                    "categories": [],
                    "recurring": false,
                    "event_private": false,
                    "options": { "delete": true, "update": true, "change_participation_status": true },
                }),
            );
            shown = with(shown, draft.more.clone());
            if let Some(id) = own_id {
                shown = with(shown, json!({ "event_id": id }));
            }
        }
        if let Some(bytes) = settings.description_bytes {
            shown = with(shown, json!({ "description": "x".repeat(bytes) }));
        }
        if settings.unknown_event_fields {
            shown = with(shown, json!({ "colour": "blue", "weather": { "sky": ["clear", null] } }));
        }
        if settings.unknown_event_values {
            let odd = json!({
                "status": "postponed", "participation_status": "undecided", "transparency": "frosted",
                "extended_transparency": "frosted",
            });
            shown = with(shown, odd);
        }
        shown
    }
}

/// An object with further fields, which win.
fn with(mut object: Value, more: Value) -> Value {
    if let (Some(fields), Value::Object(more)) = (object.as_object_mut(), more) {
        fields.extend(more);
    }
    object
}
