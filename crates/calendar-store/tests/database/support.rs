//! Databases to try: SQLite in a file, and PostgreSQL, one server for all tests of this binary.

use std::path::Path;

use bytes::Bytes;
use calendar_store::database::{Database, Error, Outcome};
use calendar_store::{Limits, Spooled};
use calendar_store_client::{CommitHeader, Head, Line, Scope, State};
use calendar_sync::{Event, Visibility};
use futures::stream;
use serde_json::json;
use sqlx::any::AnyPoolOptions;
use sqlx::{AnyPool, AssertSqlSafe};
use tempfile::TempDir;

/// A kind of database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    Sqlite,
    Postgres,
}

/// An empty database.
pub struct Fresh {
    pub url: String,
    pub database: Database,
    pub folder: TempDir,
}

impl Backend {
    pub async fn fresh(self) -> Fresh {
        let folder = tempfile::tempdir().unwrap();
        let url = self.address(folder.path()).await;
        let database = Database::open(&url).await.unwrap();
        Fresh { url, database, folder }
    }

    /// Of a database that nobody has opened yet.
    pub async fn address(self, folder: &Path) -> String {
        match self {
            Backend::Sqlite => format!("sqlite:{}", folder.join("store.db").display()),
            Backend::Postgres => testenv::postgres().await.unwrap().database().await.unwrap(),
        }
    }
}

/// A connection past the crate.
pub async fn connect(url: &str) -> AnyPool {
    sqlx::any::install_default_drivers();
    AnyPoolOptions::new().max_connections(1).connect(url).await.unwrap()
}

pub async fn run(url: &str, sql: &str) {
    let pool = connect(url).await;
    sqlx::query(AssertSqlSafe(sql.to_owned())).execute(&pool).await.unwrap();
    pool.close().await;
}

pub fn head(number: u128) -> Head {
    Head::of(number)
}

pub fn event(id: &str, summary: &str) -> Event {
    serde_json::from_value(json!({
        "id": id, "calendarId": "cal_1", "start": "2026-11-25T10:00:00Z", "end": "2026-11-25T11:00:00Z", "allDay": false,
        "summary": summary,
    }))
    .unwrap()
}

pub fn put(id: &str, summary: &str) -> Line {
    Line::Put(Box::new(event(id, summary)))
}

pub fn delete(id: &str) -> Line {
    Line::Delete(id.to_owned())
}

pub fn state(events: u64) -> State {
    State {
        cursor: "2026-11-25T09:00:00Z".parse().unwrap(),
        fingerprint: "of what is wanted".to_owned(),
        last_full_sync: "2026-11-25T09:00:00Z".parse().unwrap(),
        complete: true,
        swept_through: "2027-06-14".parse().unwrap(),
        visibility: Visibility::Full,
        events,
        bytes: 0,
        content_hash: "of the events".to_owned(),
        retain: false,
    }
}

/// A commit of the subscription `team/all`.
pub fn header(on: Option<u128>, to: u128, scope: Scope, events: u64) -> CommitHeader {
    CommitHeader {
        namespace: "team".to_owned(),
        name: "all".to_owned(),
        on: on.map(head),
        head: head(to),
        scope,
        state: state(events),
    }
}

/// A body as it comes over the wire.
pub fn body(header: &CommitHeader, lines: &[Line]) -> Vec<u8> {
    let mut body = serde_json::to_vec(header).unwrap();
    let end = Line::End(u64::try_from(lines.len()).unwrap());
    for line in lines.iter().chain([&end]) {
        body.push(b'\n');
        body.extend(serde_json::to_vec(line).unwrap());
    }
    body.push(b'\n');
    body
}

pub async fn spooled(header: &CommitHeader, lines: &[Line]) -> Spooled {
    let pieces: Vec<_> =
        body(header, lines).chunks(1000).map(|piece| Ok::<_, String>(Bytes::copy_from_slice(piece))).collect();
    let (read, spooled) = Spooled::receive(stream::iter(pieces), Limits::default()).await.unwrap();
    assert_eq!(read, *header);
    spooled
}

pub async fn commit(database: &Database, uid: &str, header: &CommitHeader, lines: &[Line]) -> Result<Outcome, Error> {
    let mut spooled = spooled(header, lines).await;
    database.commit(uid, header, &mut spooled).await
}

/// What is stored: the head's digits and the events, each as its id and its summary.
pub async fn stored(database: &Database, uid: &str) -> Option<(Head, Vec<(String, String)>)> {
    let mut contents = database.contents(uid).await.unwrap()?;
    let mut events = Vec::new();
    contents
        .events(|body| {
            let event: Event = serde_json::from_str(&body).unwrap();
            events.push((event.id, event.summary.unwrap_or_default()));
            std::future::ready(true)
        })
        .await
        .unwrap();
    assert_eq!(contents.header.state.as_ref().unwrap().events, u64::try_from(events.len()).unwrap());
    Some((contents.header.head, events))
}

/// The texts of all rows of all tables, and of the files below a folder.
pub async fn is_anywhere(fresh: &Fresh, text: &str) -> bool {
    let pool = connect(&fresh.url).await;
    let mut found = false;
    for sql in ["SELECT body FROM events", "SELECT id FROM tombstones", "SELECT state FROM subscriptions"] {
        let rows: Vec<(String,)> = sqlx::query_as(sql).fetch_all(&pool).await.unwrap();
        found |= rows.iter().any(|(row,)| row.contains(text));
    }
    pool.close().await;
    found || files_hold(fresh.folder.path(), text)
}

pub fn files_hold(folder: &Path, text: &str) -> bool {
    std::fs::read_dir(folder).unwrap().any(|entry| {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    })
}
