//! Times and events around now, in whole seconds as Cronofy has them.

use cronofy_sim::EventDraft;
use jiff::{SignedDuration, Timestamp};

/// A time some days and hours from now.
pub fn on(days: i64, hours: i64) -> Timestamp {
    let now = Timestamp::from_second(Timestamp::now().as_second()).unwrap();
    now + SignedDuration::from_hours(24 * days + hours)
}

/// An event of an hour some days from now, whose id is its title.
pub fn event(title: &str, day: i64) -> EventDraft {
    EventDraft::new(title, on(day, 0), on(day, 1)).uid(title)
}
