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
use sqlx::AssertSqlSafe;
use sqlx::any::AnyPoolOptions;
use testenv::Postgres;
use tokio::sync::OnceCell;

/// A database that nobody else uses, and a folder.
async fn database() -> (Database, tempfile::TempDir) {
    static SERVER: OnceCell<Postgres> = OnceCell::const_new();
    let server = SERVER.get_or_try_init(Postgres::start).await.unwrap();
    sqlx::any::install_default_drivers();
    let name = format!("store_{:016x}", fastrand::u64(..));
    let admin = AnyPoolOptions::new().max_connections(1).connect(&server.url("postgres")).await.unwrap();
    sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&admin).await.unwrap();
    admin.close().await;
    (Database::open(&server.url(&name)).await.unwrap(), tempfile::tempdir().unwrap())
}
