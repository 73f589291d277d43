//! Events and a snapshot of them, for tests of several binaries.

use std::collections::BTreeMap;

use calendar_sync::{Event, EventTime, Snapshot, Visibility};

/// An all-day event.
pub fn event(id: &str, summary: &str) -> Event {
    let day = EventTime::Date("2030-05-02".parse().unwrap());
    Event {
        id: id.to_owned(),
        calendar_id: "cal_1".to_owned(),
        start: day,
        end: day,
        all_day: true,
        time_zone: None,
        summary: Some(summary.to_owned()),
        status: None,
        transparency: None,
        participation: None,
        recurring: None,
        series: None,
        location: None,
        description: None,
        organizer: None,
        attendees: Vec::new(),
        meeting_url: None,
        updated: None,
    }
}

/// These events, read at one time.
pub fn snapshot(events: impl IntoIterator<Item = Event>) -> Snapshot {
    Snapshot {
        cursor: "2030-05-01T09:58:00Z".parse().unwrap(),
        fingerprint: "f".repeat(64),
        last_full_sync: "2030-05-01T10:00:00Z".parse().unwrap(),
        complete: true,
        swept_through: "2030-11-18".parse().unwrap(),
        visibility: Visibility::Titles,
        events: events.into_iter().map(|event| (event.id.clone(), event)).collect::<BTreeMap<_, _>>(),
    }
}
