//! The database of a calendar store is replaced by an older copy of itself: what the copy lacks is read again, although nobody
//! announces it, and what was erased since does not stay.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use cronofy_operator::api::{ABANDON_STORE, CalendarSubscription};
use serde_json::{Value, json};
use tempfile::TempDir;
use testenv::eventually;

use crate::support::calendar_store::{Installed, reader_token};
use crate::support::{PATIENCE, World, condition, event};

/// An operator, and its store over SQLite.
struct Parts {
    installed: Installed,
    folder: TempDir,
}

impl Parts {
    async fn start(world: &World) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = format!("sqlite:{}", folder.path().join("store.db").display());
        Self { installed: Installed::start(world, &database).await, folder }
    }

    /// A copy of the database as it is now.
    async fn back_up(&self, name: &str) -> PathBuf {
        let copy = self.folder.path().join(name);
        self.installed.store_options.back_up(&copy).await;
        copy
    }

    /// Puts the copy where the database is.
    async fn restore(&mut self, copy: &Path) {
        self.installed.kill_store();
        let database = self.folder.path().join("store.db");
        for left in ["store.db-wal", "store.db-shm"] {
            let _ = std::fs::remove_file(database.with_file_name(left));
        }
        std::fs::copy(copy, &database).unwrap();
        self.installed.start_store().await;
    }

    /// Waits until these titles are what a reader gets.
    async fn titles(&self, world: &World, token: &str, titles: &[&str]) {
        let url = self.installed.calendar(world, "all");
        let request = reqwest::Client::new().get(format!("{url}/events?from=2020-01-01&to=2040-01-01"));
        let request = request.bearer_auth(token);
        let wanted: BTreeSet<String> = titles.iter().map(ToString::to_string).collect();
        let read = || async {
            let answer: Value = request.try_clone()?.send().await.ok()?.json().await.ok()?;
            let events = answer["items"].as_array().into_iter().flatten();
            let read: BTreeSet<String> =
                events.filter_map(|event| event["summary"].as_str().map(ToOwned::to_owned)).collect();
            (read == wanted && (!wanted.is_empty() || answer["status"] == 404)).then_some(())
        };
        if let Err(error) = eventually(&format!("{titles:?} are read"), PATIENCE, read).await {
            let status = world.subscriptions().get("all").await.map(|subscription| json!(subscription.status));
            panic!("{error}; the status is {status:#?}");
        }
    }
}

#[tokio::test]
async fn what_a_restored_database_lacks_is_read_again_though_nobody_announces_it() {
    let world = World::start("restored").await;
    world.sim.put_event(&world.account, event("one", 1).uid("e1")).unwrap();
    world.sim.put_event(&world.account, event("two", 2).uid("e2")).unwrap();
    let mut parts = Parts::start(&world).await;
    world.subscribe("all", json!({ "store": { "type": "Remote" } })).await;
    world.ready("all").await;
    let token = reader_token(&world, "all").await;
    parts.titles(&world, &token, &["one", "two"]).await;
    world.at_rest("all").await;
    let copy = parts.back_up("copy.db").await;

    world.sim.rename_event("e1", "one moved").unwrap();
    world.sim.delete_event("e2").unwrap();
    world.sim.put_event(&world.account, event("three", 3).uid("e3")).unwrap();
    parts.titles(&world, &token, &["one moved", "three"]).await;
    let is_told = |subscription: &CalendarSubscription| {
        let output = subscription.status.as_ref().and_then(|status| status.output.as_ref());
        condition(subscription, "Ready").0 == "True" && output.is_some_and(|output| output.events == 2)
    };
    world.until("all", "tells of its events", is_told).await;
    world.at_rest("all").await;

    // Under an operator that runs on: its next look is one of those that come every some minutes.
    parts.restore(&copy).await;
    world.annotate("all", ABANDON_STORE, "https://none.example.org").await;
    parts.titles(&world, &token, &["one moved", "three"]).await;
    world.at_rest("all").await;

    // And with the operator's own pod.
    parts.installed.kill_operator();
    parts.restore(&copy).await;
    parts.titles(&world, &token, &["one", "two"]).await;
    parts.installed.start_operator().await;
    parts.titles(&world, &token, &["one moved", "three"]).await;
    world.until("all", "tells of its events", is_told).await;
}

#[tokio::test]
async fn what_was_erased_after_a_copy_was_made_is_erased_again_once_the_copy_is_restored() {
    let world = World::start("restored-erased").await;
    world.sim.put_event(&world.account, event("one", 1).uid("e1")).unwrap();
    let mut parts = Parts::start(&world).await;
    world.subscribe("all", json!({ "store": { "type": "Remote" } })).await;
    world.ready("all").await;
    let token = reader_token(&world, "all").await;
    parts.titles(&world, &token, &["one"]).await;
    let copy = parts.back_up("copy.db").await;
    world.sim.request_gdpr(&world.account);
    world.refused("all", "Erased").await;
    parts.titles(&world, &token, &[]).await;

    parts.restore(&copy).await;
    world.annotate("all", ABANDON_STORE, "https://none.example.org").await;
    parts.titles(&world, &token, &[]).await;
}
