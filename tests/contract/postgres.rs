//! A PostgreSQL server for all tests of this binary, with a database for each.

use sqlx::AssertSqlSafe;
use sqlx::any::AnyPoolOptions;
use testenv::Postgres;
use tokio::net::TcpListener;
use tokio::sync::OnceCell;

use crate::served::Served;

/// A calendar store over a database of its own.
pub async fn served() -> Served {
    static SERVER: OnceCell<Postgres> = OnceCell::const_new();
    let server = SERVER.get_or_try_init(Postgres::start).await.unwrap();
    sqlx::any::install_default_drivers();
    let name = format!("store_{:016x}", fastrand::u64(..));
    let admin = AnyPoolOptions::new().max_connections(1).connect(&server.url("postgres")).await.unwrap();
    sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&admin).await.unwrap();
    admin.close().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    Served::over(&server.url(&name), tempfile::tempdir().unwrap(), listener).await
}
