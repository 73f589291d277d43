//! The API of readers, asked as a program asks it, over a SQLite database of its own for each test.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod calendar;
mod changes;
mod document;
mod events;
mod freebusy;
mod hostile;
mod now;
mod page;
mod store;
mod stream;
mod strict;
mod subscriptions;

/// A database that nobody else uses, and its folder.
async fn database() -> (calendar_store::database::Database, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", directory.path().join("store.db").display());
    (calendar_store::database::Database::open(&url).await.unwrap(), directory)
}
