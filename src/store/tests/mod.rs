//! Tests of the store against an API server within the test. `tests/store.rs` runs it against a real one.

mod content;
mod drift;
mod errors;
mod target;
mod writes;

use std::collections::BTreeMap;

use calendar_sync::{Event, EventTime, Snapshot};

use super::fake_api_server::{FakeApiServer, Fault, status};
use super::*;

const PATH: &str = "/api/v1/namespaces/rota/configmaps/primary-events";
const GET: &str = "GET /api/v1/namespaces/rota/configmaps/primary-events";
const POST: &str = "POST /api/v1/namespaces/rota/configmaps";
const PUT: &str = "PUT /api/v1/namespaces/rota/configmaps/primary-events";
const DELETE: &str = "DELETE /api/v1/namespaces/rota/configmaps/primary-events";

fn owner() -> Owner {
    Owner { name: "primary".to_owned(), uid: "6f1c2f0e-0000-4000-8000-000000000001".to_owned() }
}

fn target() -> Target {
    Target::new("rota", "primary-events", owner()).unwrap()
}

fn event(id: &str, start: &str) -> Event {
    let time = |text: &str| match text.parse() {
        Ok(timestamp) => EventTime::Instant(timestamp),
        Err(_) => EventTime::Date(text.parse().unwrap()),
    };
    Event {
        id: id.to_owned(),
        calendar_id: "cal_1".to_owned(),
        start: time(start),
        end: time(start),
        all_day: time(start).is_date(),
        time_zone: None,
        summary: Some(format!("Secret plan {id}")),
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

fn snapshot(events: impl IntoIterator<Item = Event>) -> Snapshot {
    Snapshot {
        cursor: "2030-05-01T09:58:00Z".parse().unwrap(),
        fingerprint: "f".repeat(64),
        visibility: calendar_sync::Visibility::Full,
        last_full_sync: "2030-05-01T10:00:00Z".parse().unwrap(),
        complete: true,
        swept_through: "2030-11-18".parse().unwrap(),
        events: events.into_iter().map(|event| (event.id.clone(), event)).collect::<BTreeMap<_, _>>(),
    }
}

/// Two events: one at a time, one all-day.
fn two_events() -> Snapshot {
    snapshot([event("evt_b", "2030-05-02T09:00:00Z"), event("evt_a", "2030-05-03")])
}

/// A server, a store on it, and `snapshot` in it.
async fn stored(snapshot: &Snapshot) -> (FakeApiServer, Store, Version) {
    let server = FakeApiServer::default();
    let store = Store::open(StoreKind::ConfigMap, server.client()).unwrap();
    let committed = store.commit(&target(), None, snapshot).await.unwrap();
    server.take_requests();
    (server, store, committed.version)
}
