//! Which event the demo moves.

use anyhow::{Result, ensure};
use jiff::Timestamp;
use serde_json::Value;

/// What there is to move in a copy.
#[derive(Debug, PartialEq)]
pub enum Moved<'a> {
    /// One that lies ahead.
    Ahead(&'a Value),
    /// One that has begun: none that lies ahead has a time of day.
    Past(&'a Value),
    /// None has a time of day.
    Nothing,
}

/// The event to move: with a time of day, and ahead if there is such a one.
///
/// # Errors
/// If none lies ahead in the calendar that comes with the project, which is `bundled`: then it shows nothing.
pub fn choose(events: &[Value], now: Timestamp, bundled: bool) -> Result<Moved<'_>> {
    let mut timed = events.iter().filter(|event| event["allDay"] == false);
    let ahead = timed.clone().find(|event| time(&event["start"]) > Some(now));
    ensure!(
        ahead.is_some() || !bundled,
        "none of the {} events that were copied lies ahead and has a time of day, so there is nothing to move: mend \
         hack/demo/calendar.ics",
        events.len()
    );
    Ok(match (ahead, timed.next()) {
        (Some(event), _) => Moved::Ahead(event),
        (None, Some(event)) => Moved::Past(event),
        (None, None) => Moved::Nothing,
    })
}

/// A time of day in an event.
pub fn time(value: &Value) -> Option<Timestamp> {
    value.as_str()?.parse().ok()
}
