//! A start that has to wait: what it tells, and that it can be stopped meanwhile.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use calendar_store::database::Database;
use serde_json::Value;

use crate::running::Setting;

const LIMIT: Duration = Duration::from_secs(30);

/// A store that starts, and the address of its admin port.
fn starting(mut command: Command) -> (Child, BufReader<std::process::ChildStderr>, String) {
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    let said: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line}"));
    assert_eq!(said["message"], "starting", "{line}");
    let admin = said["admin"].as_str().unwrap().to_owned();
    (child, lines, admin)
}

/// That it says on the admin port what it waits for, and ends well when it is told to stop.
async fn waits_and_stops(command: Command, what: &str) {
    let (mut child, mut lines, admin) = starting(command);
    let waits = testenv::eventually("it says what it waits for", LIMIT, async || {
        let said = reqwest::get(format!("http://{admin}/readyz")).await.ok()?.text().await.ok()?;
        said.contains(what).then_some(said)
    });
    let said = waits.await;
    assert_eq!(reqwest::get(format!("http://{admin}/livez")).await.unwrap().status(), 200);
    assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
    let ended = testenv::eventually("it ends", LIMIT, || std::future::ready(child.try_wait().unwrap())).await;
    if ended.is_err() {
        child.kill().unwrap();
    }
    let mut log = String::new();
    lines.read_to_string(&mut log).unwrap();
    said.unwrap();
    assert_eq!(ended.unwrap().code(), Some(0), "{log}");
    assert!(log.contains("stopped before the database was open"), "{log}");
    assert!(log.contains("is not open yet"), "{log}");
}

#[tokio::test]
async fn a_start_that_waits_for_another_process_can_be_stopped() {
    let setting = Setting::new().await;
    // As a process that migrates would.
    let folder = File::open(setting.folder.path()).unwrap();
    folder.lock().unwrap();
    let database = format!("--database={}", setting.url);
    waits_and_stops(setting.serve(&[&database]), "database: another process").await;
}

#[tokio::test]
async fn a_start_that_waits_for_its_postgresql_can_be_stopped() {
    let setting = Setting::new().await;
    // It takes connections and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let database = format!("--database=postgres://store@{}/db", silent.local_addr().unwrap());
    waits_and_stops(setting.serve(&[&database]), "database: waiting for the server").await;
}

#[tokio::test]
async fn a_start_that_waits_for_anothers_migration_can_be_stopped() {
    let setting = Setting::new().await;
    let url = testenv::postgres().await.unwrap().database().await.unwrap();
    // The lock that migrations of PostgreSQL are done under.
    let pool = connect(&url).await;
    let mut other = pool.acquire().await.unwrap();
    let mut locked = sqlx::query("BEGIN").execute(&mut *other).await.map(drop);
    locked = locked.and(
        sqlx::query("CREATE TABLE _sqlx_migrations (version BIGINT PRIMARY KEY, description TEXT NOT NULL, installed_on TIMESTAMPTZ NOT NULL DEFAULT now(), success BOOLEAN NOT NULL, checksum BYTEA NOT NULL, execution_time BIGINT NOT NULL)")
            .execute(&mut *other)
            .await
            .map(drop),
    );
    locked.unwrap();
    let database = format!("--database={url}");
    waits_and_stops(setting.serve(&[&database]), "database: bringing its tables up to date").await;
}

/// What sqlx takes longer for is a slow statement. It asks whether that would be logged, and what a statement is about is not.
const SLOW: Duration = Duration::from_secs(1);

#[tokio::test]
async fn the_line_after_a_slow_statement_is_written() {
    let setting = Setting::new().await;
    let url = testenv::postgres().await.unwrap().database().await.unwrap();
    Database::open(&url).await.unwrap().close().await;
    // The last statements before it serves wait for this table.
    let (pool, watching) = (connect(&url).await, connect(&url).await);
    let mut other = pool.begin().await.unwrap();
    sqlx::query("LOCK TABLE places IN ACCESS EXCLUSIVE MODE").execute(&mut *other).await.unwrap();
    let (mut child, lines, _) = starting(setting.serve(&["--database", &url]));
    let waits = testenv::eventually("it waits for the table", LIMIT, async || {
        let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'places'::regclass";
        let waiting: i64 = sqlx::query_scalar(waiting).fetch_one(&watching).await.unwrap();
        (waiting > 0).then_some(())
    });
    let waits = waits.await;
    tokio::time::sleep(SLOW + SLOW / 4).await;
    other.rollback().await.unwrap();
    let (told, written) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let serves = lines.lines().map_while(Result::ok).any(|line| line.contains(r#""message":"serving""#));
        let _ = told.send(serves);
    });
    let written = tokio::time::timeout(LIMIT, written).await;
    child.kill().unwrap();
    child.wait().unwrap();
    waits.unwrap();
    assert!(written.expect("it says that it serves").unwrap(), "it ended");
}

async fn connect(url: &str) -> sqlx::AnyPool {
    sqlx::any::install_default_drivers();
    sqlx::any::AnyPoolOptions::new().max_connections(1).connect(url).await.unwrap()
}
