//! The agenda page in a browser, over a SQLite database of its own for each test. `UPDATE=1` takes the pictures of the docs anew.
#![allow(missing_docs, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod access;
mod calendar;
mod hostile;
mod live;
mod pictures;
mod site;
#[path = "../read/store.rs"]
#[allow(dead_code)]
mod store;
mod tab;

/// A database that nobody else uses, and its folder.
async fn database() -> (calendar_store::database::Database, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", directory.path().join("store.db").display());
    (calendar_store::database::Database::open(&url).await.unwrap(), directory)
}
