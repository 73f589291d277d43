//! One event as Cronofy returns it.

use std::fmt;

use jiff::Timestamp;
use serde::Deserialize;

use super::time::EventTime;
use crate::lenient;

open_enum! {
    /// The user's own answer to the invitation.
    pub enum ParticipationStatus else Other {
        /// Not answered yet.
        NeedsAction = "needs_action",
        /// Accepted.
        Accepted = "accepted",
        /// Declined.
        Declined = "declined",
        /// Tentative.
        Tentative = "tentative",
        /// Cronofy does not know.
        Unknown = "unknown",
    }
}

open_enum! {
    /// Whether the event makes the user busy.
    pub enum Transparency else Other {
        /// Busy.
        Opaque = "opaque",
        /// Free.
        Transparent = "transparent",
        /// Cronofy does not know.
        Unknown = "unknown",
    }
}

open_enum! {
    /// Like [`Transparency`], in more steps.
    pub enum ExtendedTransparency else Other {
        /// Busy.
        Opaque = "opaque",
        /// Free.
        Transparent = "transparent",
        /// Working in another place.
        WorkingElsewhere = "working_elsewhere",
        /// Perhaps busy.
        Tentative = "tentative",
        /// Away.
        OutOfOffice = "out_of_office",
        /// Cronofy does not know.
        Unknown = "unknown",
    }
}

open_enum! {
    /// State of the event itself.
    pub enum EventStatus else Other {
        /// Takes place.
        Confirmed = "confirmed",
        /// May take place.
        Tentative = "tentative",
        /// Does not take place.
        Cancelled = "cancelled",
        /// Cronofy does not know.
        Unknown = "unknown",
    }
}

/// An event. Series arrive as their single occurrences.
///
/// A field that is absent, `null` or of an unknown form is `None` (or empty, or false). Only the ids are always there, and
/// start and end of an event that is not deleted. [`Debug`](fmt::Debug) shows these alone: the rest is people's private matter.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct Event {
    /// The calendar.
    #[serde(deserialize_with = "lenient::identifier")]
    pub calendar_id: String,
    /// Cronofy's id of the event, which every event has: the key to keep it under.
    #[serde(deserialize_with = "lenient::identifier")]
    pub event_uid: String,
    /// The application's own id; on events that it manages.
    #[serde(default, deserialize_with = "lenient::option")]
    pub event_id: Option<String>,
    /// Google's id; only if asked for.
    #[serde(default, deserialize_with = "lenient::option")]
    pub google_event_id: Option<String>,
    /// Title.
    #[serde(default, deserialize_with = "lenient::option")]
    pub summary: Option<String>,
    /// Text; may be empty.
    #[serde(default, deserialize_with = "lenient::option")]
    pub description: Option<String>,
    /// Start. In a page there is one unless [`deleted`](Self::deleted).
    #[serde(default, deserialize_with = "lenient::option")]
    pub start: Option<EventTime>,
    /// End, exclusive. In a page there is one unless [`deleted`](Self::deleted).
    #[serde(default, deserialize_with = "lenient::option")]
    pub end: Option<EventTime>,
    /// Whether the event is gone. What else such an entry holds is not documented.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub deleted: bool,
    /// When it was created; may lie in the year 0.
    #[serde(default, deserialize_with = "lenient::option")]
    pub created: Option<Timestamp>,
    /// When it was changed, by its calendar service's account; may lie in the year 0. Not the time that
    /// [`EventsQuery::last_modified`](crate::EventsQuery::last_modified) compares with.
    #[serde(default, deserialize_with = "lenient::option")]
    pub updated: Option<Timestamp>,
    /// Place.
    #[serde(default, deserialize_with = "lenient::option")]
    pub location: Option<Location>,
    /// The user's own answer.
    #[serde(default, deserialize_with = "lenient::option")]
    pub participation_status: Option<ParticipationStatus>,
    /// Who is invited.
    #[serde(default, deserialize_with = "lenient::list")]
    pub attendees: Vec<Attendee>,
    /// Who invites.
    #[serde(default, deserialize_with = "lenient::option")]
    pub organizer: Option<Organizer>,
    /// Whether it makes the user busy.
    #[serde(default, deserialize_with = "lenient::option")]
    pub transparency: Option<Transparency>,
    /// Whether it makes the user busy, in more steps.
    #[serde(default, deserialize_with = "lenient::option")]
    pub extended_transparency: Option<ExtendedTransparency>,
    /// State of the event.
    #[serde(default, deserialize_with = "lenient::option")]
    pub status: Option<EventStatus>,
    /// Categories.
    #[serde(default, deserialize_with = "lenient::list")]
    pub categories: Vec<String>,
    /// Whether it is an occurrence of a series.
    #[serde(default, deserialize_with = "lenient::option")]
    pub recurring: Option<bool>,
    /// The series; the same for all its occurrences.
    #[serde(default, deserialize_with = "lenient::option")]
    pub series_identifier: Option<String>,
    /// Whether the user marked it private.
    #[serde(default, deserialize_with = "lenient::option")]
    pub event_private: Option<bool>,
    /// What the application may do with it.
    #[serde(default, deserialize_with = "lenient::option")]
    pub options: Option<EventOptions>,
    /// Where to join.
    #[serde(default, deserialize_with = "lenient::option")]
    pub meeting_url: Option<String>,
    /// How to join.
    #[serde(default, deserialize_with = "lenient::option")]
    pub conferencing: Option<Conferencing>,
    /// A link; documented for writing only.
    #[serde(default, deserialize_with = "lenient::option")]
    pub url: Option<String>,
}

/// A place.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Location {
    /// Words.
    #[serde(default, deserialize_with = "lenient::option")]
    pub description: Option<String>,
    /// Latitude in degrees, as sent; only if asked for.
    #[serde(default, deserialize_with = "lenient::text_or_number")]
    pub lat: Option<String>,
    /// Longitude in degrees, as sent; only if asked for.
    #[serde(default, deserialize_with = "lenient::text_or_number")]
    pub long: Option<String>,
}

/// Somebody who is invited.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Attendee {
    /// E-mail address.
    #[serde(default, deserialize_with = "lenient::option")]
    pub email: Option<String>,
    /// Name.
    #[serde(default, deserialize_with = "lenient::option")]
    pub display_name: Option<String>,
    /// Answer.
    #[serde(default, deserialize_with = "lenient::option")]
    pub status: Option<ParticipationStatus>,
}

/// Who invites.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Organizer {
    /// E-mail address.
    #[serde(default, deserialize_with = "lenient::option")]
    pub email: Option<String>,
    /// Name.
    #[serde(default, deserialize_with = "lenient::option")]
    pub display_name: Option<String>,
}

/// What the application may do with an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct EventOptions {
    /// Delete it.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub delete: bool,
    /// Change it.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub update: bool,
    /// Answer the invitation.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub change_participation_status: bool,
}

/// How to join a meeting.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Conferencing {
    /// For example `zoom`; any value is possible.
    #[serde(default, deserialize_with = "lenient::option")]
    pub provider_name: Option<String>,
    /// Where to join.
    #[serde(default, deserialize_with = "lenient::option")]
    pub join_url: Option<String>,
}

impl Event {
    /// Whether the event has all that its state requires.
    pub(super) fn is_complete(&self) -> bool {
        self.deleted || (self.start.is_some() && self.end.is_some())
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("calendar_id", &self.calendar_id)
            .field("event_uid", &self.event_uid)
            .field("start", &self.start)
            .field("end", &self.end)
            .field("deleted", &self.deleted)
            .finish_non_exhaustive()
    }
}

/// For types of which nothing is to be shown.
macro_rules! opaque_debug {
    ($($name:ident),+) => {
        $(impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        })+
    };
}

opaque_debug!(Location, Attendee, Organizer, Conferencing);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::decode;

    fn event(fields: &str) -> Event {
        decode(format!(r#"{{"calendar_id":"cal_1","event_uid":"evt_1"{fields}}}"#).as_bytes()).unwrap()
    }

    #[test]
    fn every_documented_field_is_read() {
        let event: Event = decode(
            br#"{"calendar_id":"cal_x@Yz_1-2","event_uid":"evt_external_1","event_id":"own-1","google_event_id":"g1",
                 "summary":"Stand-up","description":"","start":"2026-11-23T09:00:00Z","end":"2026-11-23T09:15:00Z",
                 "deleted":false,"created":"2026-10-02T11:20:00Z","updated":"2026-11-20T07:41:05Z",
                 "location":{"description":"Room 7","lat":"51.5","long":-0.12},"participation_status":"accepted",
                 "attendees":[{"email":"ben@example.org","display_name":"Ben","status":"accepted"}],
                 "organizer":{"email":"ana@example.org","display_name":"Ana"},"transparency":"opaque",
                 "extended_transparency":"working_elsewhere","status":"confirmed","categories":["a","b"],
                 "recurring":true,"series_identifier":"srs-1","event_private":false,
                 "options":{"delete":true,"update":true,"change_participation_status":false},
                 "meeting_url":"https://m.example.net/a","url":"https://u.example.net",
                 "conferencing":{"provider_name":"zoom","join_url":"https://m.example.net/a"},"new_field":[{}]}"#,
        )
        .unwrap();
        assert_eq!(event.calendar_id, "cal_x@Yz_1-2");
        assert_eq!(event.event_uid, "evt_external_1");
        assert_eq!(event.event_id.as_deref(), Some("own-1"));
        assert_eq!(event.google_event_id.as_deref(), Some("g1"));
        assert_eq!(event.summary.as_deref(), Some("Stand-up"));
        assert_eq!(event.description.as_deref(), Some(""));
        assert!(event.is_complete() && !event.deleted);
        assert_eq!(event.updated, Some("2026-11-20T07:41:05Z".parse().unwrap()));
        let location = event.location.unwrap();
        assert_eq!((location.lat.as_deref(), location.long.as_deref()), (Some("51.5"), Some("-0.12")));
        assert_eq!(event.participation_status, Some(ParticipationStatus::Accepted));
        assert_eq!(event.attendees[0].status, Some(ParticipationStatus::Accepted));
        assert_eq!(event.organizer.unwrap().email.as_deref(), Some("ana@example.org"));
        assert_eq!(event.transparency, Some(Transparency::Opaque));
        assert_eq!(event.extended_transparency, Some(ExtendedTransparency::WorkingElsewhere));
        assert_eq!(event.status, Some(EventStatus::Confirmed));
        assert_eq!(event.categories, ["a", "b"]);
        assert_eq!((event.recurring, event.event_private), (Some(true), Some(false)));
        assert_eq!(event.series_identifier.as_deref(), Some("srs-1"));
        assert_eq!(
            event.options,
            Some(EventOptions { delete: true, update: true, change_participation_status: false })
        );
        assert_eq!(event.meeting_url.as_deref(), Some("https://m.example.net/a"));
        assert_eq!(event.url.as_deref(), Some("https://u.example.net"));
        assert_eq!(event.conferencing.unwrap().provider_name.as_deref(), Some("zoom"));
    }

    #[test]
    fn the_year_zero_is_a_time_and_garbage_is_none() {
        let zero = event(r#","created":"0000-12-29T00:00:00Z","updated":"0000-12-29T00:00:00Z""#);
        assert_eq!(zero.created.unwrap().to_string(), "0000-12-29T00:00:00Z");
        assert_eq!(zero.updated, zero.created);
        assert_eq!(event(r#","created":"yesterday","updated":5"#).created, None);
    }

    #[test]
    fn values_of_another_form_count_as_absent() {
        let odd = event(
            r#","summary":7,"attendees":[{"email":"ben@example.org","status":null},"ben",null],"organizer":"ana",
               "location":"Room 7","categories":"a","recurring":"yes","options":[],"status":{},"conferencing":null"#,
        );
        assert_eq!(odd.attendees.len(), 1);
        assert_eq!((odd.summary, odd.recurring, odd.status), (None, None, None));
        assert!(odd.organizer.is_none() && odd.location.is_none() && odd.categories.is_empty());
    }

    #[test]
    fn values_nobody_knows_yet_are_kept_as_they_are() {
        let event = event(r#","status":"postponed","participation_status":"unknown","transparency":"""#);
        assert_eq!(event.status.as_ref().map(EventStatus::as_str), Some("postponed"));
        assert_eq!(event.participation_status, Some(ParticipationStatus::Unknown));
        assert_eq!(event.transparency, Some(Transparency::Other(String::new())));
    }

    #[test]
    fn only_a_deleted_event_may_lack_its_times() {
        assert!(event(r#","deleted":true"#).is_complete());
        assert!(event(r#","deleted":true,"start":null,"end":"?""#).is_complete());
        assert!(!event("").is_complete());
        assert!(!event(r#","start":"2026-12-03""#).is_complete());
        assert!(event(r#","start":"2026-12-03","end":"2026-12-05""#).is_complete());
    }

    #[test]
    fn debug_output_tells_nothing_about_the_content() {
        let event = event(
            r#","start":"2026-12-03","end":"2026-12-05","summary":"canary","description":"canary","categories":["canary"],
               "location":{"description":"canary"},"attendees":[{"email":"canary"}],"organizer":{"email":"canary"},
               "meeting_url":"canary","url":"canary","conferencing":{"join_url":"canary"},"status":"canary""#,
        );
        let Event { location, attendees, organizer, conferencing, .. } = &event;
        let shown = format!("{event:?} {event:#?} {location:?} {attendees:?} {organizer:?} {conferencing:?}");
        assert!(!shown.contains("canary"), "{shown}");
        assert!(shown.contains("evt_1"), "{shown}");
    }
}
