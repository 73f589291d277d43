//! Reading events: [`query`] asks, [`page`] is one answer, [`event`] an entry of it and [`time`] its start and end.

mod event;
mod page;
mod query;
mod time;

pub use event::{
    Attendee, Conferencing, Event, EventOptions, EventStatus, ExtendedTransparency, Location, Organizer,
    ParticipationStatus, Transparency,
};
pub use page::{EventsPage, PageUrl};
pub use query::{EventsQuery, TzId, TzIdError};
pub use time::EventTime;
