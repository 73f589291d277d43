//! How fast a database takes and gives a fleet's events, as ratios to the bare statements that do the same to the same rows:
//! `cargo bench -p calendar-store`. SUBSCRIPTIONS (1000) and EVENTS (1000, of each) set the size, DATABASES which
//! (`sqlite postgres`).
#![allow(missing_docs, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use bytes::Bytes;
use calendar_store::database::{Database, key};
use calendar_store::{Limits, Spooled};
use calendar_store_client::{CommitHeader, Head, Line, Scope, State};
use calendar_sync::{Event, Visibility};
use futures::{StreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use sqlx::any::AnyPoolOptions;
use sqlx::{AnyPool, AssertSqlSafe, Row as _};
use testenv::Postgres;

/// Commits and reads whose middle one is told.
const ROUNDS: usize = 200;
/// Rows of one bare statement: as many as the store's own largest.
const ROWS: usize = 64;

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |value| value.parse().expect("a number"))
}

fn event(subscription: usize, number: usize, summary: &str) -> Event {
    let begin: Timestamp = "2026-11-25T08:00:00Z".parse().unwrap();
    let start = begin + SignedDuration::from_mins(i64::try_from(number).unwrap() * 45);
    serde_json::from_value(json!({
        "id": format!("evt_{subscription:04}_{number:06}"), "calendarId": "cal_5f1e2d3c4b5a", "start": start,
        "end": start + SignedDuration::from_mins(30), "allDay": false, "timeZone": "Europe/Paris", "summary": summary,
        "status": "confirmed", "transparency": "opaque", "participation": "accepted", "recurring": false,
        "location": "Room 4, second floor", "updated": begin,
        "description": "What was agreed last time, what is open, and who brings it. Please read the notes before.",
    }))
    .unwrap()
}

fn header(uid: &str, on: Option<u128>, to: u128, scope: Scope, events: usize) -> CommitHeader {
    let now = "2026-11-25T09:00:00Z".parse().unwrap();
    CommitHeader {
        namespace: "fleet".to_owned(),
        name: uid.to_owned(),
        on: on.map(Head::of),
        head: Head::of(to),
        scope,
        state: State {
            cursor: now,
            fingerprint: "0123456789abcdef".repeat(4),
            last_full_sync: now,
            complete: true,
            swept_through: "2027-06-14".parse().unwrap(),
            visibility: Visibility::Full,
            events: u64::try_from(events).unwrap(),
            bytes: 0,
            content_hash: "0123456789abcdef".repeat(4),
            retain: false,
        },
    }
}

async fn spooled(header: &CommitHeader, events: &[Event]) -> Spooled {
    let mut body = serde_json::to_vec(header).unwrap();
    let puts = events.iter().map(|event| Line::Put(Box::new(event.clone())));
    for line in puts.chain([Line::End(u64::try_from(events.len()).unwrap())]) {
        body.push(b'\n');
        body.extend(serde_json::to_vec(&line).unwrap());
    }
    let pieces = stream::iter(
        body.chunks(65_536).map(|piece| Ok::<_, String>(Bytes::copy_from_slice(piece))).collect::<Vec<_>>(),
    );
    Spooled::receive(pieces, Limits::default()).await.unwrap().1
}

/// The floor: the statements that put and read these rows, and nothing else.
struct Bare(AnyPool);

impl Bare {
    async fn put(&self, uid: &str, events: &[Event]) {
        let mut transaction = self.0.begin().await.unwrap();
        sqlx::query("INSERT INTO subscriptions (uid, namespace, name, head, incarnation, sequence, pruned, events, released, state) \
                     VALUES ($1, 'bare', $1, 'h', 'i', 0, 0, 0, 0, '')")
            .bind(uid)
            .execute(&mut *transaction)
            .await
            .unwrap();
        let mut sequence = 0_i64;
        for rows in events.chunks(ROWS) {
            let mut places = String::new();
            for row in 0..rows.len() {
                let first = row * 6 + 1;
                let comma = if row == 0 { "" } else { ", " };
                write!(
                    places,
                    "{comma}(${}, ${}, ${}, ${}, ${}, ${})",
                    first,
                    first + 1,
                    first + 2,
                    first + 3,
                    first + 4,
                    first + 5
                )
                .unwrap();
            }
            let sql = format!("INSERT INTO events (subscription, id, starts, ends, sequence, body) VALUES {places}");
            let mut query = sqlx::query(AssertSqlSafe(sql));
            for event in rows {
                sequence += 1;
                let at = |time: calendar_sync::EventTime| time.instant(&calendar_sync::TimeZone::utc()).as_second();
                let body = serde_json::to_string(event).unwrap();
                query = query
                    .bind(uid)
                    .bind(key(&event.id))
                    .bind(at(event.start))
                    .bind(at(event.end))
                    .bind(sequence)
                    .bind(body);
            }
            query.execute(&mut *transaction).await.unwrap();
        }
        transaction.commit().await.unwrap();
    }

    async fn change(&self, uid: &str, event: &Event, sequence: i64) {
        let mut transaction = self.0.begin().await.unwrap();
        sqlx::query("UPDATE subscriptions SET head = $1, state = $2, sequence = $3 WHERE uid = $4")
            .bind(format!("{sequence:032x}"))
            .bind("0123456789abcdef".repeat(20))
            .bind(sequence)
            .bind(uid)
            .execute(&mut *transaction)
            .await
            .unwrap();
        sqlx::query("UPDATE events SET body = $1, sequence = $2 WHERE subscription = $3 AND id = $4")
            .bind(serde_json::to_string(event).unwrap())
            .bind(sequence)
            .bind(uid)
            .bind(key(&event.id))
            .execute(&mut *transaction)
            .await
            .unwrap();
        transaction.commit().await.unwrap();
    }

    async fn read(&self, uid: &str) -> usize {
        let mut rows =
            sqlx::query("SELECT body FROM events WHERE subscription = $1 ORDER BY starts, id").bind(uid).fetch(&self.0);
        let mut bytes = 0;
        while let Some(row) = rows.next().await {
            bytes += row.unwrap().try_get::<String, _>("body").unwrap().len();
        }
        bytes
    }
}

fn middle(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn tell(name: &str, what: &str, ours: Duration, floor: Duration) {
    println!("| {name} | {what} | {ours:.2?} | {floor:.2?} | {:.2} |", ours.as_secs_f64() / floor.as_secs_f64());
}

async fn measure(name: &str, store_url: &str, bare_url: &str) {
    let (subscriptions, count) = (number("SUBSCRIPTIONS", 1000), number("EVENTS", 1000));
    let store = Database::open(store_url).await.unwrap();
    // Its tables, without what is between them and a caller.
    Database::open(bare_url).await.unwrap().close().await;
    let options = AnyPoolOptions::new().max_connections(1).after_connect(|connection, _| {
        Box::pin(async move {
            if connection.backend_name() == "SQLite" {
                for pragma in ["PRAGMA synchronous = FULL", "PRAGMA secure_delete = ON"] {
                    sqlx::query(pragma).execute(&mut *connection).await?;
                }
            }
            Ok(())
        })
    });
    let bare = Bare(options.connect(bare_url).await.unwrap());

    // One after the other in turn, so that both meet the same machine.
    let (mut ours, mut floor) = (Duration::ZERO, Duration::ZERO);
    for subscription in 0..subscriptions {
        let uid = format!("uid-{subscription:04}");
        let events: Vec<_> = (0..count).map(|number| event(subscription, number, "Weekly review")).collect();
        let mut lines = spooled(&header(&uid, None, 1, Scope::Everything, count), &events).await;
        let begun = Instant::now();
        store.commit(&uid, &header(&uid, None, 1, Scope::Everything, count), &mut lines).await.unwrap();
        ours += begun.elapsed();
        let begun = Instant::now();
        bare.put(&uid, &events).await;
        floor += begun.elapsed();
    }
    tell(name, &format!("commit {} events of {subscriptions} subscriptions", subscriptions * count), ours, floor);

    let (mut ours, mut floor) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let subscription = round % subscriptions;
        let uid = format!("uid-{subscription:04}");
        let changed = event(subscription, round % count, &format!("Moved {round}"));
        let (on, to) = (1 + round / subscriptions, 2 + round / subscriptions);
        let header = header(&uid, Some(on as u128), to as u128, Scope::Changes, count);
        let mut lines = spooled(&header, std::slice::from_ref(&changed)).await;
        let begun = Instant::now();
        store.commit(&uid, &header, &mut lines).await.unwrap();
        ours.push(begun.elapsed());
        let begun = Instant::now();
        bare.change(&uid, &changed, i64::try_from(1_000_000 + round).unwrap()).await;
        floor.push(begun.elapsed());
    }
    tell(name, "commit one changed event", middle(ours), middle(floor));

    let (mut ours, mut floor) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let uid = format!("uid-{:04}", round * 7 % subscriptions);
        let begun = Instant::now();
        let mut bytes = 0;
        let mut contents = store.contents(&uid).await.unwrap().unwrap();
        contents
            .events(|body| {
                bytes += body.len();
                std::future::ready(true)
            })
            .await
            .unwrap();
        ours.push(begun.elapsed());
        let begun = Instant::now();
        let expected = bare.read(&uid).await;
        floor.push(begun.elapsed());
        assert!(bytes.abs_diff(expected) < 100, "{bytes} and {expected}");
    }
    tell(name, &format!("read a calendar of {count} events"), middle(ours), middle(floor));
}

#[tokio::main]
async fn main() {
    let databases = std::env::var("DATABASES").unwrap_or_else(|_| "sqlite postgres".to_owned());
    println!("| database | what | store | bare statements | ratio |\n| --- | --- | ---: | ---: | ---: |");
    for name in databases.split_whitespace() {
        match name {
            "sqlite" => {
                let folder = tempfile::tempdir().unwrap();
                let url = |file: &str| format!("sqlite:{}", folder.path().join(file).display());
                measure("SQLite", &url("store.db"), &url("bare.db")).await;
            }
            "postgres" => {
                let server = Postgres::start().await.unwrap();
                let (store, bare) = (server.database().await.unwrap(), server.database().await.unwrap());
                measure("PostgreSQL", &store, &bare).await;
            }
            other => panic!("there is no database called {other}: sqlite or postgres"),
        }
    }
}
