//! The same tests of the API of readers over PostgreSQL.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

#[path = "../read/calendar.rs"]
mod calendar;
#[path = "../read/changes.rs"]
mod changes;
#[path = "../read/events.rs"]
mod events;
#[path = "../read/freebusy.rs"]
mod freebusy;
#[path = "../read/hostile.rs"]
mod hostile;
#[path = "../read/now.rs"]
mod now;
#[path = "../read/store.rs"]
mod store;
#[path = "../read/stream.rs"]
mod stream;

use calendar_store::database::Database;

/// A database that nobody else uses, and a folder.
async fn database() -> (Database, tempfile::TempDir) {
    let url = testenv::postgres().await.unwrap().database().await.unwrap();
    (Database::open(&url).await.unwrap(), tempfile::tempdir().unwrap())
}
