//! The operator, the calendar store and its database are killed at random while a calendar changes: nothing is lost, and a reader
//! who resumes after the last sequence that it has sees each change once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cronofy_sim::ReadQuery;
use serde_json::{Value, json};
use testenv::{Postgres, eventually};
use tokio::time::sleep;

use crate::support::calendar_store::{Installed, reader_token};
use crate::support::{World, condition, event};

/// Changes of the calendar in one run, at least.
const CHANGES: usize = 200;
/// How often each part is killed.
const KILLS: usize = 6;
/// Events that there are at most.
const EVENTS: usize = 40;
/// An operator that was refused some times in a row waits for longer each time.
const LONG: Duration = Duration::from_mins(3);

#[tokio::test]
async fn nothing_is_lost_or_doubled_whatever_is_killed_over_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("events.db").display());
    survives("killed-sqlite", &url, None).await;
}

#[tokio::test]
async fn nothing_is_lost_or_doubled_whatever_is_killed_over_postgresql() {
    let postgres = Postgres::start().await.unwrap();
    let url = postgres.database().await.unwrap();
    survives("killed-postgres", &url, Some(postgres)).await;
}

async fn survives(name: &str, database: &str, postgres: Option<Postgres>) {
    // Which part is killed when is drawn from this; what it is about just then is not.
    let seed = std::env::var("KILL_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let mut rng = fastrand::Rng::with_seed(seed);
    let world = World::start(name).await;
    world.sim.settings(|settings| settings.delivery_timeout = Duration::from_secs(4));
    let mut parts = Parts { installed: Installed::start(&world, database).await, postgres };
    for number in 0..EVENTS / 2 {
        world.sim.put_event(&world.account, event(&format!("e{number}"), 1)).unwrap();
    }
    world.subscribe("all", json!({ "store": { "type": "Remote" } })).await;
    world.ready("all").await;
    let url = parts.installed.calendar(&world, "all");
    let reader = Reader { url, token: reader_token(&world, "all").await, seen: Arc::default() };
    let reading = tokio::spawn(reader.clone().follow());

    let mut victims: Vec<Victim> = parts.victims().iter().flat_map(|victim| [*victim; KILLS]).collect();
    rng.shuffle(&mut victims);
    let done = tokio::sync::watch::Sender::new(false);
    let killing = async {
        let mut rng = rng.fork();
        reader.follows_beyond(0).await;
        for victim in &victims {
            // At any moment of a commit, and so that there are some commits between.
            sleep(Duration::from_millis(rng.u64(100..1500))).await;
            let streams = reader.seen.lock().unwrap().streams;
            parts.kill(*victim);
            sleep(Duration::from_millis(rng.u64(0..300))).await;
            parts.start_again(*victim).await;
            if matches!(victim, Victim::Store) {
                reader.follows_beyond(streams).await;
            }
        }
        done.send_replace(true);
    };
    let changing = change(&world, fastrand::Rng::with_seed(seed + 1), &done);
    let ((), changes) = tokio::join!(killing, changing);

    // What was told while nobody heard it is read with the next thing that is.
    world.sim.put_event(&world.account, event("the last", 1)).unwrap();
    let whole = eventually("the reader has the whole calendar", LONG, async || {
        world.sim.advance(Duration::from_secs(20)).await; // to the next try of a delivery
        (reader.titles() == titles(&world)).then_some(())
    });
    if let Err(error) = whole.await {
        let status = world.subscriptions().get("all").await.map(|subscription| json!(subscription.status));
        let (has, wanted) = (reader.titles(), titles(&world));
        panic!("seed {seed}: {error}; it has {has:#?} instead of {wanted:#?}; the status is {status:#?}");
    }
    world.until("all", "is Ready", |subscription| condition(subscription, "Ready").0 == "True").await;
    // What a reader has who asks for everything now.
    let stored = reader.all().await;
    reading.abort();
    let told = reader.seen.lock().unwrap();
    assert_eq!(told.wrong, Vec::<String>::new(), "seed {seed}");
    assert_eq!(told.events, stored, "seed {seed}");
    assert!(changes >= CHANGES && told.streams > KILLS, "{changes} changes, {} streams", told.streams);
    println!(
        "seed {seed}: {changes} changes, {} kills; the reader saw {} changes in {} streams",
        victims.len(),
        told.changes,
        told.streams
    );
}

/// Changes the calendar at least until `done`. Every title comes once, so that what is seen twice is known.
async fn change(world: &World, mut rng: fastrand::Rng, done: &tokio::sync::watch::Sender<bool>) -> usize {
    let mut present: Vec<usize> = (0..EVENTS / 2).collect();
    let mut number = 0;
    while number < CHANGES || !*done.borrow() {
        let event_number = rng.usize(0..EVENTS);
        let (uid, title) = (format!("e{event_number}"), format!("e{event_number} as of change {number}"));
        match present.iter().position(|present| *present == event_number) {
            Some(place) if rng.u8(0..4) == 0 => {
                world.sim.delete_event(&uid).unwrap();
                present.swap_remove(place);
            }
            Some(_) => world.sim.rename_event(&uid, &title).unwrap(),
            None => {
                world.sim.put_event(&world.account, event(&title, 1).uid(uid)).unwrap();
                present.push(event_number);
            }
        }
        number += 1;
        sleep(Duration::from_millis(rng.u64(0..150))).await;
    }
    number
}

/// The titles in the calendar.
fn titles(world: &World) -> BTreeSet<String> {
    let query = ReadQuery { include_managed: true, ..ReadQuery::default() };
    world.sim.read(&world.account, &query).iter().map(|event| event["summary"].as_str().unwrap().to_owned()).collect()
}

/// What may die.
#[derive(Clone, Copy)]
enum Victim {
    Operator,
    Store,
    Postgres,
}

/// Everything that runs.
struct Parts {
    installed: Installed,
    postgres: Option<Postgres>,
}

impl Parts {
    fn victims(&self) -> Vec<Victim> {
        let postgres = self.postgres.as_ref().map(|_| Victim::Postgres);
        [Victim::Operator, Victim::Store].into_iter().chain(postgres).collect()
    }

    fn kill(&mut self, victim: Victim) {
        match victim {
            Victim::Operator => self.installed.kill_operator(),
            Victim::Store => self.installed.kill_store(),
            Victim::Postgres => self.postgres.as_mut().unwrap().kill(),
        }
    }

    async fn start_again(&mut self, victim: Victim) {
        match victim {
            Victim::Operator => self.installed.start_operator().await,
            Victim::Store => self.installed.start_store().await,
            Victim::Postgres => self.postgres.as_mut().unwrap().start_again().await.unwrap(),
        }
    }
}

/// Follows the changes of a subscription as a program would that connects again and again.
#[derive(Clone)]
struct Reader {
    url: String,
    token: String,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    /// The last sequence.
    last: Option<String>,
    /// The events, from all changes so far.
    events: BTreeMap<String, Value>,
    changes: usize,
    streams: usize,
    /// What should not have come.
    wrong: Vec<String>,
}

impl Reader {
    async fn follow(self) {
        loop {
            self.stream().await;
            // As a program that is polite: the store is away.
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until it has begun more streams than these.
    async fn follows_beyond(&self, streams: usize) {
        let follows = async || (self.seen.lock().unwrap().streams > streams).then_some(());
        eventually("the reader follows again", LONG, follows).await.unwrap();
    }

    /// Reads one stream to its end, which is when something was killed.
    async fn stream(&self) {
        let mut request = reqwest::Client::new().get(format!("{}/changes", self.url)).bearer_auth(&self.token);
        request = request.header("Accept", "text/event-stream");
        if let Some(last) = self.seen.lock().unwrap().last.clone() {
            request = request.header("Last-Event-ID", last);
        }
        let Ok(mut answer) = request.send().await else { return };
        if !answer.status().is_success() {
            return;
        }
        self.seen.lock().unwrap().streams += 1;
        let mut text = String::new();
        while let Ok(Some(piece)) = answer.chunk().await {
            text.push_str(std::str::from_utf8(&piece).unwrap());
            while let Some((message, rest)) = text.split_once("\n\n") {
                self.seen.lock().unwrap().take(message);
                text = rest.to_owned();
            }
        }
    }

    fn titles(&self) -> BTreeSet<String> {
        let seen = self.seen.lock().unwrap();
        seen.events.values().map(|event| event["summary"].as_str().unwrap().to_owned()).collect()
    }

    /// All events as a reader without a sequence is told them.
    async fn all(&self) -> BTreeMap<String, Value> {
        let request = reqwest::Client::new().get(format!("{}/changes?limit=1000", self.url)).bearer_auth(&self.token);
        let answer: Value = request.send().await.unwrap().error_for_status().unwrap().json().await.unwrap();
        assert_eq!(answer["more"], false);
        let items = answer["items"].as_array().unwrap().iter();
        items.map(|item| (item["id"].as_str().unwrap().to_owned(), item["event"].clone())).collect()
    }
}

impl Seen {
    /// Takes one message of a stream.
    fn take(&mut self, message: &str) {
        let field = |name: &str| {
            let mut lines = message.lines().filter_map(|line| line.split_once(':'));
            lines.find(|(field, _)| *field == name).map(|(_, value)| value.trim_start())
        };
        let Some(data) = field("data") else { return }; // a comment
        let change: Value = serde_json::from_str(data).unwrap();
        let sequence = field("id").unwrap_or_default();
        if field("event") != Some("change") || change["sequence"] != sequence {
            self.wrong.push(format!("no change: {message}"));
            return;
        }
        let before = self.last.replace(sequence.to_owned());
        if before.as_deref().is_some_and(|before| !follows(before, sequence)) {
            self.wrong.push(format!("{sequence} comes after {before:?}"));
        }
        self.changes += 1;
        let id = change["id"].as_str().unwrap().to_owned();
        let deleted = change["deleted"] == true;
        // An event that came and went while nobody looked is told as deleted.
        let known = if deleted { self.events.remove(&id) } else { self.events.insert(id, change["event"].clone()) };
        if !deleted && known.as_ref() == Some(&change["event"]) {
            self.wrong.push(format!("told twice: {message}"));
        }
    }
}

/// Whether a sequence is larger than another one, of the same database.
fn follows(before: &str, after: &str) -> bool {
    let parts = |text: &str| {
        let mut parts = text.split('.');
        Some((parts.next()?.to_owned(), parts.next()?.parse::<u64>().ok()?))
    };
    match (parts(before), parts(after)) {
        (Some(before), Some(after)) => before.0 == after.0 && before.1 < after.1,
        _ => false,
    }
}
