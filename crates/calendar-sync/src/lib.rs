//! The engine of a calendar copy: a pure state machine that knows no clock, no network and no Kubernetes.
//!
//! [`next`] says the one thing to do; the driver does it and feeds what came of it back with [`Observed::observe`]. Time is
//! an argument. Everything that is a decision lives here: what a notification asks for, when to read, what a read changes,
//! what is retried and when, how a channel is made without ever leaking one.
//!
//! In the order in which data pass:
//! - [`Desired`]: what is wanted, validated.
//! - [`Observed`]: what is known; [`Record`] and [`Mark`] of it are durable, [`Memory`] is not.
//! - [`next`] → [`Step`] → the driver → [`Outcome`] → [`Observed::observe`].
//! - [`Snapshot`]: what is stored, events and cursor in one piece.
//!
//! What must hold:
//! - The cursor never passes data that is not stored: both stand in one [`Snapshot`].
//! - A read that is not complete changes nothing.
//! - A channel is asked for only after the intent to do so is recorded, and only if the list does not show it.
//! - A mark counts as acted on only if a read that began after it was known has been stored.

pub mod channel;
mod decide;
mod desired;
mod event;
mod failure;
mod farewell;
mod guard;
mod life;
mod observe;
mod observed;
mod reading;
mod schedule;
mod snapshot;
mod step;
mod window;

pub use channel::{ChannelFilter, RemoteChannel};
pub use decide::{LONGEST_CALLBACK_URL, READ_SPACING, REPAIR_SPACING, next, upcoming};
pub use desired::{Deletion, Desired, Filter, Intervals, Mode};
pub use event::{Event, EventTime, Person, Visibility};
pub use failure::{Failure, Failures, LONGEST_BACKOFF, LONGEST_STORE_BACKOFF, Reason, Retry, SHORTEST_WAIT, backoff};
pub use farewell::LONGEST_DELETION;
pub use observe::MOST_CHANNELS;
pub use observed::{Account, ChannelRecord, Held, Mark, Memory, NotificationType, Observed, Profile, Record};
pub use reading::{CURSOR_OVERLAP, CURSOR_OVERLAP_WITHOUT_SERVER_TIME, MOST_BYTES, MOST_EVENTS, MOST_PAGES};
pub use schedule::{CONFIRM_AFTER, SUSPICION, VERIFICATION_LIMIT, is_unhealthy, renewal};
pub use snapshot::{Output, Snapshot, Stored};
pub use step::{EventsRequest, Outcome, Purpose, RemoteEvent, Step, Stop, Why};
pub use window::{DateRange, FUTURE_DAYS, PAST_DAYS, TimeZone, UnknownTimeZone, Window};

use sha2::{Digest, Sha256};

/// SHA-256 of a value's JSON, in hexadecimal: stable between releases, unlike a hash of the standard library.
#[must_use]
pub fn fingerprint(value: &impl serde::Serialize) -> String {
    hex(&Sha256::digest(serde_json::to_vec(value).unwrap_or_default()))
}

/// Bytes in hexadecimal, two lower case digits each.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0x0f]);
    digits.filter_map(|digit| char::from_digit(u32::from(digit), 16)).collect()
}
