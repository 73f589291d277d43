//! Events as they are stored, and how much of them a visibility lets through.

use std::fmt;

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::TimeZone;

/// Start or end of an event: an instant, or a date for all-day events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(untagged)]
pub enum EventTime {
    /// An instant, stored as RFC 3339 in UTC.
    Instant(Timestamp),
    /// A date; as an end it is exclusive.
    Date(Date),
}

impl EventTime {
    /// The instant meant; a date is its first moment in `zone`.
    #[must_use]
    pub fn instant(self, zone: &TimeZone) -> Timestamp {
        match self {
            EventTime::Instant(timestamp) => timestamp,
            EventTime::Date(date) => zone.start_of(date),
        }
    }

    /// Whether it is a date.
    #[must_use]
    pub fn is_date(self) -> bool {
        matches!(self, EventTime::Date(_))
    }
}

/// An organizer or attendee.
#[derive(Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Person {
    /// E-mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Name for display.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// An attendee's answer, as Cronofy names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
}

impl Person {
    fn text_bytes(&self) -> usize {
        let Self { email, name, status } = self;
        [email, name, status].into_iter().flatten().map(String::len).fold(0, usize::saturating_add)
    }
}

/// An event as stored. A key that is not known or that the visibility does not allow is absent.
///
/// `Debug` shows the id and times only: an event's text must not reach a log by accident.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// Cronofy's `event_uid`: the key of the event.
    pub id: String,
    /// The calendar it stands in.
    pub calendar_id: String,
    /// Start.
    pub start: EventTime,
    /// End, exclusive for all-day events.
    pub end: EventTime,
    /// Whether it is given in dates.
    pub all_day: bool,
    /// IANA zone the times were given in, where Cronofy tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// Title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// `confirmed`, `tentative` or `cancelled`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// `opaque` (takes up time) or `transparent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transparency: Option<String>,
    /// The account's own answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub participation: Option<String>,
    /// Whether it is one occurrence of a series.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recurring: Option<bool>,
    /// Identifier of the series.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub series: Option<String>,
    /// Place, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// Description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Organizer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organizer: Option<Person>,
    /// Attendees.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attendees: Vec<Person>,
    /// Address of the online meeting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meeting_url: Option<String>,
    /// When the event was last changed, as its calendar service says; never compared with a cursor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated: Option<Timestamp>,
}

impl Event {
    /// Bytes of its texts: nearly all that it takes to keep it.
    pub(crate) fn text_bytes(&self) -> usize {
        let Self { id, calendar_id, time_zone, summary, status, transparency, participation, series, .. } = self;
        let Self { location, description, organizer, attendees, meeting_url, .. } = self;
        let options =
            [time_zone, summary, status, transparency, participation, series, location, description, meeting_url];
        let people = organizer.iter().chain(attendees).map(Person::text_bytes);
        let texts = options.into_iter().flatten().map(String::len);
        texts.chain(people).fold(id.len() + calendar_id.len(), usize::saturating_add)
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("id", &self.id)
            .field("start", &self.start)
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Person").finish_non_exhaustive()
    }
}

/// How much of an event is stored. The order is that of how much: a smaller one shows less.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
pub enum Visibility {
    /// Times, and whether they are taken up.
    Busy,
    /// Also summary and status.
    #[default]
    Titles,
    /// Everything.
    Full,
}

impl Visibility {
    /// The word, as in the spec.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Visibility::Busy => "Busy",
            Visibility::Titles => "Titles",
            Visibility::Full => "Full",
        }
    }

    /// What this visibility leaves of an event.
    #[must_use]
    pub fn of(self, event: Event) -> Event {
        // Destructured without `..`: a new field must be placed here on purpose.
        let Event {
            id,
            calendar_id,
            start,
            end,
            all_day,
            time_zone,
            summary,
            status,
            transparency,
            participation,
            recurring,
            series,
            location,
            description,
            organizer,
            attendees,
            meeting_url,
            updated,
        } = event;
        let titles = self != Visibility::Busy;
        let full = self == Visibility::Full;
        Event {
            id,
            calendar_id,
            start,
            end,
            all_day,
            time_zone,
            transparency,
            summary: summary.filter(|_| titles),
            status: status.filter(|_| titles),
            participation: participation.filter(|_| full),
            recurring: recurring.filter(|_| full),
            series: series.filter(|_| full),
            location: location.filter(|_| full),
            description: description.filter(|_| full),
            organizer: organizer.filter(|_| full),
            attendees: if full { attendees } else { Vec::new() },
            meeting_url: meeting_url.filter(|_| full),
            updated: updated.filter(|_| full),
        }
    }
}
