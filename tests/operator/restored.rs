//! The database of a calendar store is replaced by an older copy of itself: what the copy lacks is read again, although nobody
//! announces it, and what was erased since does not stay.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use cronofy_operator::api::{ABANDON_STORE, CalendarSubscription};
use serde_json::{Value, json};
use tempfile::TempDir;
use testenv::eventually;

use crate::support::calendar_store::{CalendarStore, CalendarStoreOptions, reader_token};
use crate::support::operator::OperatorOptions;
use crate::support::switch::{Switch, switched};
use crate::support::{Operator, PATIENCE, World, condition, event};

/// An operator and its store, each behind an address that stays.
struct Parts {
    folder: TempDir,
    webhook: Switch,
    operator_options: OperatorOptions,
    operator: Option<Operator>,
    address: Switch,
    store_options: CalendarStoreOptions,
    store: Option<CalendarStore>,
}

impl Parts {
    async fn start(world: &World) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = format!("sqlite:{}", folder.path().join("store.db").display());
        let store_options = CalendarStoreOptions::new(world, &database).await;
        let (webhook, mut operator_options) = switched(world).await;
        let address = Switch::start().await;
        let url = format!("http://{}", address.address());
        let token = store_options.token.to_str().unwrap();
        let arguments = ["--store-url", &url, "--store-token", token, "--leader-election=false"];
        operator_options.arguments = arguments.map(ToOwned::to_owned).to_vec();
        let (operator, store) = (None, None);
        let mut parts = Self { folder, webhook, operator_options, operator, address, store_options, store };
        parts.start_store().await;
        parts.start_operator().await;
        parts
    }

    async fn start_store(&mut self) {
        let store = CalendarStore::start(&self.store_options).await;
        self.address.to(store.address);
        self.store = Some(store);
    }

    async fn start_operator(&mut self) {
        let operator = Operator::start(&self.operator_options).await;
        self.webhook.to(operator.webhook);
        self.operator = Some(operator);
    }

    /// A copy of the database as it is now.
    async fn back_up(&self, name: &str) -> PathBuf {
        let copy = self.folder.path().join(name);
        self.store_options.back_up(&copy).await;
        copy
    }

    /// Puts the copy where the database is.
    async fn restore(&mut self, copy: &Path) {
        self.store.take().unwrap().kill();
        let database = self.folder.path().join("store.db");
        for left in ["store.db-wal", "store.db-shm"] {
            let _ = std::fs::remove_file(database.with_file_name(left));
        }
        std::fs::copy(copy, &database).unwrap();
        self.start_store().await;
    }

    /// Waits until these titles are what a reader gets.
    async fn titles(&self, world: &World, token: &str, titles: &[&str]) {
        let url = format!("http://{}/v1/namespaces/{}/calendarsubscriptions/all", self.address.address(), world.ns());
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
    parts.operator.take().unwrap().kill();
    parts.restore(&copy).await;
    parts.titles(&world, &token, &["one", "two"]).await;
    parts.start_operator().await;
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
