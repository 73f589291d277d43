//! What answers consist of.

use calendar_sync::{Event, Person};
use serde::Serialize;
use utoipa::ToSchema;

use super::range::Zone;
use crate::database::{Error, Row};

/// An event as it is stored. A key that is not known, or that the subscription's visibility does not allow, is absent.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Event)]
#[serde(rename_all = "camelCase")]
pub struct Item {
    /// Cronofy's `event_uid`: the key of the event.
    id: String,
    /// The calendar it stands in.
    calendar_id: String,
    /// Start: an instant as RFC 3339, in UTC or with the offset of the zone that was asked for; of an all-day event its first date.
    start: String,
    /// End, exclusive, in the same form.
    end: String,
    /// Whether it is given in dates.
    all_day: bool,
    /// IANA zone the times were given in, where Cronofy tells it.
    #[serde(skip_serializing_if = "Option::is_none")]
    time_zone: Option<String>,
    /// Title.
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<String>,
    /// `confirmed`, `tentative` or `cancelled`.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<String>,
    /// `opaque` (takes up time) or `transparent`.
    #[serde(skip_serializing_if = "Option::is_none")]
    transparency: Option<String>,
    /// The account's own answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    participation: Option<String>,
    /// Whether it is one occurrence of a series.
    #[serde(skip_serializing_if = "Option::is_none")]
    recurring: Option<bool>,
    /// Identifier of the series.
    #[serde(skip_serializing_if = "Option::is_none")]
    series: Option<String>,
    /// Place, as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<String>,
    /// Description.
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    /// Organizer.
    #[serde(skip_serializing_if = "Option::is_none")]
    organizer: Option<Participant>,
    /// Attendees.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    attendees: Vec<Participant>,
    /// Address of the online meeting.
    #[serde(skip_serializing_if = "Option::is_none")]
    meeting_url: Option<String>,
    /// When the event was last changed, as its calendar service says.
    #[serde(skip_serializing_if = "Option::is_none")]
    updated: Option<String>,
}

/// An organizer or attendee.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Person)]
#[serde(rename_all = "camelCase")]
pub struct Participant {
    /// E-mail address.
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    /// Name for display.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// An attendee's answer, as Cronofy names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<String>,
}

/// A page of events.
#[derive(Debug, Serialize, ToSchema)]
pub struct Events {
    /// The events.
    pub items: Vec<Item>,
    /// Parameter `after` of the next page, which may be empty; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Names the state of the events that the page is from.
    pub head: String,
    /// The changes after that state come after this sequence.
    pub sequence: String,
}

/// A page of subscriptions.
#[derive(Debug, Serialize, ToSchema)]
pub struct Subscriptions {
    /// The subscriptions, by name.
    pub items: Vec<Named>,
    /// Parameter `after` of the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A subscription.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Subscription)]
pub struct Named {
    /// Its name.
    pub name: String,
}

/// What is on at a moment.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Now)]
pub struct AtMoment {
    /// The moment.
    pub at: String,
    /// The events under way, at most 1,000.
    pub now: Vec<Item>,
    /// The next events: all with the earliest start after the moment, at most 1,000.
    pub next: Vec<Item>,
}

/// When any of the calendars is busy.
#[derive(Debug, Serialize, ToSchema)]
pub struct FreeBusy {
    /// The first moment of the range.
    pub from: String,
    /// The first moment after it.
    pub to: String,
    /// The busy times in order, merged, and cut to the range.
    pub busy: Vec<Busy>,
}

/// A busy time.
#[derive(Debug, Serialize, ToSchema)]
pub struct Busy {
    /// Its first moment.
    pub start: String,
    /// The first moment after it.
    pub end: String,
}

/// A page of changes.
#[derive(Debug, Serialize, ToSchema)]
pub struct Changes {
    /// The changes, oldest first. Of each event only the last one is told.
    pub items: Vec<Change>,
    /// Where to go on: parameter `since` of the next request.
    pub sequence: String,
    /// Whether there are more already.
    pub more: bool,
}

/// A change of an event: it has `event` or `deleted`.
#[derive(Debug, Serialize, ToSchema)]
pub struct Change {
    /// What comes after this change comes after this sequence.
    pub sequence: String,
    /// The event's id, by which a deletion is matched with its event. One that has more than 512 bytes or a NUL, or begins with
    /// `sha256:`, is given as `sha256:` and its hash.
    pub id: String,
    /// The event as it is now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<Item>,
    /// Whether it is gone.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub deleted: bool,
}

/// Why a request was refused, as RFC 9457 has it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct Refusal {
    /// HTTP status.
    status: u16,
    /// What it is about, in words.
    title: String,
    /// The same for programs: `Invalid`, `Unauthorized`, `Forbidden`, `NotFound`, `MethodNotAllowed`, `Conflict`, `Gone`, `TooLarge`,
    /// `Busy`, `Defect`, `Unavailable`; more may come.
    reason: String,
    /// What exactly is wrong, and what helps.
    detail: String,
    /// The parameter, header or part of the path that is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
}

/// The event of a row.
pub fn event(body: &str) -> Result<Event, Error> {
    serde_json::from_str(body).map_err(Error::Damaged)
}

/// The events of rows, as answers have them.
pub fn items(rows: &[Row], zone: &Zone) -> Result<Vec<Item>, Error> {
    rows.iter().map(|row| Ok(Item::of(event(&row.body)?, zone))).collect()
}

impl Item {
    /// An event as answers have it.
    pub fn of(event: Event, zone: &Zone) -> Self {
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
        Self {
            id,
            calendar_id,
            start: zone.written(start),
            end: zone.written(end),
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
            organizer: organizer.map(Participant::of),
            attendees: attendees.into_iter().map(Participant::of).collect(),
            meeting_url,
            updated: updated.map(|updated| zone.instant(updated)),
        }
    }
}

impl Participant {
    fn of(Person { email, name, status }: Person) -> Self {
        Self { email, name, status }
    }
}
