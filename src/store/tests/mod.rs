//! Tests of the store against an API server within the test. `tests/operator/store.rs` runs it against a real one.

mod content;
mod cuts;
mod drift;
mod errors;
mod memory;
mod remote_lines;
mod slices;
mod target;
mod tidy;
mod writes;

use std::collections::BTreeMap;

use calendar_sync::{Event, EventTime, Snapshot, Visibility};

use super::fake_api_server::{FakeApiServer, Fault, status};
use super::*;

const PATH: &str = "/api/v1/namespaces/rota/configmaps/primary-events";
const GET: &str = "GET /api/v1/namespaces/rota/configmaps/primary-events";
const POST: &str = "POST /api/v1/namespaces/rota/configmaps";
const LIST: &str = "GET /api/v1/namespaces/rota/configmaps";
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
        last_full_sync: "2030-05-01T10:00:00Z".parse().unwrap(),
        complete: true,
        swept_through: "2030-11-18".parse().unwrap(),
        visibility: Visibility::Titles,
        events: events.into_iter().map(|event| (event.id.clone(), event)).collect::<BTreeMap<_, _>>(),
    }
}

/// Two events: one at a time, one all-day.
fn two_events() -> Snapshot {
    snapshot([event("evt_b", "2030-05-02T09:00:00Z"), event("evt_a", "2030-05-03")])
}

/// A store on a server, in a process of its own.
fn open(server: &FakeApiServer) -> Store {
    Store::open(StoreKind::ConfigMap, server.client(), StoreMemory::default()).unwrap()
}

/// A server, a store on it, and `snapshot` in it.
async fn stored(snapshot: &Snapshot) -> (FakeApiServer, Store, Version) {
    let server = FakeApiServer::default();
    let store = open(&server);
    let committed = store.commit(&target(), None, snapshot).await.unwrap();
    server.take_requests();
    (server, store, committed.version)
}

/// The kinds that outputs are made of, and their resource in a path.
const KINDS: [(StoreKind, &str); 2] = [(StoreKind::ConfigMap, "configmaps"), (StoreKind::Secret, "secrets")];

/// A process: a store of some kind on a server, and what it remembers.
struct Process {
    store: Store,
    memory: StoreMemory,
}

impl Process {
    /// One that removes what is replaced only after an hour.
    fn start(server: &FakeApiServer, kind: StoreKind) -> Self {
        let memory = StoreMemory::default();
        let store = Store::open(kind, server.client(), memory.clone()).unwrap();
        Self { store: store.with_grace(Duration::from_hours(1)), memory }
    }

    /// One that removes it as soon as it is asked to tidy up.
    fn hasty(server: &FakeApiServer, kind: StoreKind) -> Self {
        let Self { store, memory } = Self::start(server, kind);
        Self { store: store.with_grace(Duration::ZERO), memory }
    }

    /// Commits on what is there.
    async fn commit(&self, snapshot: &Snapshot) -> Result<Committed, StoreError> {
        let head = self.store.head(&target()).await?;
        self.store.commit(&target(), head.version.as_ref(), snapshot).await
    }

    async fn stored(&self) -> Stored {
        self.store.head(&target()).await.unwrap().stored
    }
}

fn present(snapshot: &Snapshot) -> Stored {
    Stored::Present(Box::new(snapshot.clone()))
}

/// So many events, one an hour.
fn many(count: usize) -> Snapshot {
    let start: Timestamp = "2030-05-01T00:00:00Z".parse().unwrap();
    snapshot((0..count).map(|number| {
        let hours = jiff::SignedDuration::from_hours(i64::try_from(number).unwrap());
        event(&format!("evt_{number:05}"), &(start + hours).to_string())
    }))
}

/// The same with another title for one of them.
fn renamed(before: &Snapshot, id: &str) -> Snapshot {
    let mut after = before.clone();
    after.events.get_mut(id).unwrap().summary = Some("Secret plan, renamed".to_owned());
    after
}

/// What is left of it by a lower visibility.
fn busy(before: &Snapshot) -> Snapshot {
    let events = before.events.iter().map(|(id, event)| (id.clone(), Visibility::Busy.of(event.clone())));
    Snapshot { visibility: Visibility::Busy, events: events.collect(), ..before.clone() }
}

/// The texts of an object by key, of whatever kind.
fn texts_of(object: &serde_json::Value) -> BTreeMap<String, String> {
    let secret = object["type"].is_string();
    let entries = object["data"].as_object().into_iter().flatten();
    entries
        .map(|(key, value)| {
            let value = value.as_str().unwrap();
            let text = if secret {
                use base64::Engine as _;
                String::from_utf8(base64::engine::general_purpose::STANDARD.decode(value).unwrap()).unwrap()
            } else {
                value.to_owned()
            };
            (key.clone(), text)
        })
        .collect()
}

/// All slices on a server, by path.
fn slice_paths(server: &FakeApiServer) -> Vec<String> {
    server.paths().into_iter().filter(|path| !path.ends_with("/primary-events")).collect()
}

/// The names that the index lists.
fn listed(server: &FakeApiServer, resource: &str) -> Vec<String> {
    let index = server.value(&format!("/api/v1/namespaces/rota/{resource}/primary-events")).unwrap();
    let index: serde_json::Value = serde_json::from_str(&texts_of(&index)["index.json"]).unwrap();
    index["slices"].as_array().into_iter().flatten().map(|slice| slice["name"].as_str().unwrap().to_owned()).collect()
}

/// Asserts that there is an output with exactly the slices that its index lists.
fn assert_nothing_left_over(server: &FakeApiServer, resource: &str) {
    let names: Vec<String> =
        slice_paths(server).iter().map(|path| path.rsplit('/').next().unwrap().to_owned()).collect();
    let mut listed = listed(server, resource);
    listed.sort();
    assert_eq!(names, listed);
}
