#![doc = include_str!("../README.md")]

// First, since the others use its macro.
#[macro_use]
mod open_enum;

mod calendars;
mod channels;
mod client;
mod data_center;
mod error;
mod events;
mod excerpt;
mod exchange;
mod json;
mod lenient;
pub mod notification;
mod refusal;
pub mod signature;
mod tokens;
mod userinfo;

pub use calendars::Calendar;
pub use channels::{Channel, Filters, NewChannel};
pub use client::{Answer, Client, Options};
pub use data_center::{DataCenter, UnknownDataCenter};
pub use error::{Endpoint, Error, FieldError, Refusal, Retry, TransportFault};
pub use events::{
    Attendee, Conferencing, Event, EventOptions, EventStatus, EventTime, EventsPage, EventsQuery, ExtendedTransparency,
    Location, Organizer, PageUrl, ParticipationStatus, Transparency, TzId, TzIdError,
};
pub use json::{JsonFault, JsonFaultKind};
pub use tokens::{Credentials, LinkingProfile, Revocation, Token};
pub use userinfo::{AccountKind, Authorization, AuthorizationStatus, Profile, ServiceAccount, UserInfo};

// Types of these crates are part of this crate's interface, so their versions are too.
pub use jiff;
pub use secrecy;
pub use url;
