//! A process that ends in the midst of a commit, before each of its statements: this test starts itself anew for that.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use calendar_store::database::{Database, Steps};
use calendar_store_client::Scope::{Changes, Everything};

use crate::change;
use crate::support::{self, Backend, commit, connect, put, stored};

/// Where a child finds its database and the number of the statement that it does not live to see.
const DATABASE: &str = "CALENDAR_STORE_TEST_DATABASE";
const STATEMENT: &str = "CALENDAR_STORE_TEST_STATEMENT";
/// What a child says on its way out if it got through.
const DONE: i32 = 77;

/// What is committed in the child: everything at once, with events put, changed, removed and left alone.
fn commits() -> [(calendar_store_client::CommitHeader, Vec<calendar_store_client::Line>); 2] {
    [
        change(Some(1), 2, Changes, &[("a", "new"), ("z", "new")], &["b"], 3),
        change(Some(2), 3, Everything, &[("a", "newer"), ("y", "newer")], &[], 2),
    ]
}

/// The child's part.
async fn child(url: &str, fatal: usize) -> ! {
    let count = Arc::new(AtomicUsize::new(0));
    let steps = Steps::told_to(move |_| {
        if count.fetch_add(1, Ordering::Relaxed) == fatal {
            // As SIGKILL would: nothing is cleaned up.
            std::process::abort();
        }
    });
    let database = Database::open(url).await.unwrap().watched(steps);
    for (header, lines) in commits() {
        commit(&database, "u", &header, &lines).await.unwrap();
    }
    std::process::exit(DONE);
}

pub async fn a_crash_at_any_statement_leaves_the_old_or_the_new(backend: Backend) {
    if let (Ok(url), Ok(statement)) = (std::env::var(DATABASE), std::env::var(STATEMENT)) {
        child(&url, statement.parse().unwrap()).await;
    }
    let this = std::thread::current().name().unwrap().to_owned();
    let mut states = Vec::new();
    for statement in 0.. {
        let fresh = backend.fresh().await;
        let (header, _) = change(None, 1, Everything, &[], &[], 3);
        commit(&fresh.database, "u", &header, &[put("a", "old"), put("b", "old"), put("c", "old")]).await.unwrap();
        // The child is a process of its own: on SQLite nobody else has the file then.
        fresh.database.close().await;
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &this])
            .env(DATABASE, &fresh.url)
            .env(STATEMENT, statement.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap();
        let database = Database::open(&fresh.url).await.unwrap();
        let (head, events) = stored(&database, "u").await.unwrap();
        let version = u128::from_str_radix(head.as_str(), 16).unwrap();
        let of = |events: &[(&str, &str)]| -> Vec<(String, String)> {
            events.iter().map(|(id, summary)| ((*id).to_owned(), (*summary).to_owned())).collect()
        };
        let expected = match version {
            1 => of(&[("a", "old"), ("b", "old"), ("c", "old")]),
            2 => of(&[("a", "new"), ("c", "old"), ("z", "new")]),
            3 => of(&[("a", "newer"), ("y", "newer")]),
            other => panic!("head {other}"),
        };
        assert_eq!(events, expected, "after a crash at statement {statement}");
        let pool = connect(&fresh.url).await;
        let (deletions,): (i64,) = sqlx::query_as("SELECT COUNT(*) FROM tombstones").fetch_one(&pool).await.unwrap();
        pool.close().await;
        assert_eq!(deletions, [0, 1, 3][usize::try_from(version).unwrap() - 1]);
        states.push(version);

        // Whoever comes back goes on from what there is.
        for (header, lines) in commits() {
            if header.on.as_ref().is_some_and(|on| *on == support::head(version)) || version < 3 {
                let on = stored(&database, "u").await.unwrap().0;
                if header.on == Some(on) {
                    commit(&database, "u", &header, &lines).await.unwrap();
                }
            }
        }
        assert_eq!(stored(&database, "u").await.unwrap().0, support::head(3));
        database.close().await;
        if child.code() == Some(DONE) {
            break;
        }
        assert!(!child.success() && child.code().is_none(), "it was ended at statement {statement}: {child}");
    }
    assert!(states.len() > 12, "there are statements to end at: {states:?}");
    assert!(states.is_sorted() && states.first() == Some(&1) && states.last() == Some(&3), "{states:?}");
}
