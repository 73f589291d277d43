//! What is promised of a database, of each kind: every test runs on SQLite and on a real PostgreSQL server.
#![allow(missing_docs, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod copies;
mod crashes;
mod erasures;
mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use calendar_store::database::{Database, Error, Steps, key};
use calendar_store_client::Scope::{self, Changes, Everything};
use calendar_store_client::{CommitHeader, Line, Stored, StoredPage};
use calendar_sync::Visibility;
use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use support::{Backend, commit, connect, delete, event, header, is_anywhere, put, stored};

/// Each of these for each kind.
macro_rules! for_each_backend {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name(super::Backend::Sqlite).await;
            })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name(super::Backend::Postgres).await;
            })*
        }
    };
}

for_each_backend! {
    what_is_committed_is_read_back,
    it_is_told_of_whom_something_is_stored_and_whether_it_stays,
    a_commit_on_another_head_changes_nothing,
    a_commit_that_is_repeated_is_done_once,
    lines_that_do_not_make_up_the_state_change_nothing,
    everything_removes_what_is_not_among_it,
    of_many_writers_on_one_head_one_wins,
    hostile_texts_come_back_as_they_went_in,
    the_name_of_another_subscription_is_taken_until_that_is_released,
    what_is_erased_is_nowhere,
    what_a_lower_visibility_does_not_allow_is_nowhere,
    a_count_that_is_wrong_is_put_right_by_everything,
    each_change_has_a_larger_sequence_than_all_before,
    deletions_are_forgotten_and_that_is_noted,
    many_deletions_are_forgotten_in_portions,
    readers_keep_no_commit_waiting,
    a_deletion_that_looks_older_than_the_one_before_it_moves_no_mark_back,
    a_reader_sees_one_moment,
    several_processes_may_start_at_once,
    a_crash_at_any_statement_leaves_the_old_or_the_new,
}

use crashes::a_crash_at_any_statement_leaves_the_old_or_the_new;

async fn it_is_told_of_whom_something_is_stored_and_whether_it_stays(backend: Backend) {
    let fresh = backend.fresh().await;
    let store = &fresh.database;
    let told = async |after: &str, most| {
        let StoredPage { items, more } = store.stored(after, most).await.unwrap();
        let items = items.into_iter().map(|Stored { uid, namespace, name, kept }| {
            assert_eq!((namespace.as_str(), name == uid), ("team", true));
            (uid, kept)
        });
        (items.collect::<Vec<_>>(), more)
    };
    assert_eq!(told("", 2).await, (vec![], false));
    for uid in ["c", "A", "b", "d"] {
        let mut header = CommitHeader { name: uid.to_owned(), ..header(None, 1, Changes, 0) };
        header.state.retain = uid == "b";
        commit(store, uid, &header, &[]).await.unwrap();
    }
    store.release("c").await.unwrap();
    // As a release may have written it that is not known here.
    support::run(&fresh.url, "UPDATE subscriptions SET state = '{}' WHERE uid = 'd'").await;
    let of = |uid: &str, kept| (uid.to_owned(), kept);
    assert_eq!(told("", 2).await, (vec![of("A", false), of("b", true)], true));
    assert_eq!(told("b", 2).await, (vec![of("c", true), of("d", true)], false));
    assert_eq!(told("d", 2).await, (vec![], false));
}

async fn what_is_committed_is_read_back(backend: Backend) {
    let fresh = backend.fresh().await;
    let store = fresh.database.clone();
    assert!(stored(&store, "u").await.is_none());
    commit(&store, "u", &header(None, 1, Changes, 2), &[put("a", "one"), put("b", "two")]).await.unwrap();
    let lines = [put("a", "changed"), delete("b"), put("c", "three"), delete("never was")];
    let outcome = commit(&store, "u", &header(Some(1), 2, Changes, 2), &lines).await.unwrap();
    assert_eq!(outcome.changes, 3);
    let (head, events) = stored(&store, "u").await.unwrap();
    assert_eq!(head, support::head(2));
    assert_eq!(events, [("a".to_owned(), "changed".to_owned()), ("c".to_owned(), "three".to_owned())]);
    // The same again is no change.
    let outcome = commit(&store, "u", &header(Some(2), 3, Changes, 2), &[put("c", "three")]).await.unwrap();
    assert_eq!(outcome.changes, 0);
    // In a commit the later line counts.
    let lines = [put("c", "first"), delete("c"), put("c", "last"), put("d", "gone"), delete("d")];
    commit(&store, "u", &header(Some(3), 4, Changes, 2), &lines).await.unwrap();
    assert_eq!(stored(&store, "u").await.unwrap().1[1].1, "last");
}

async fn a_commit_on_another_head_changes_nothing(backend: Backend) {
    let fresh = backend.fresh().await;
    let store = fresh.database.clone();
    let old_leader = header(None, 1, Changes, 1);
    let refused = commit(&store, "u", &header(Some(9), 1, Changes, 1), &[put("a", "old")]).await;
    assert!(matches!(refused, Err(Error::HeadMoved { head: None })), "{refused:?}");
    assert!(stored(&store, "u").await.is_none());
    commit(&store, "u", &old_leader, &[put("a", "one")]).await.unwrap();
    commit(&store, "u", &header(Some(1), 2, Changes, 1), &[put("a", "new")]).await.unwrap();
    for on in [None, Some(1), Some(7)] {
        let refused = commit(&store, "u", &header(on, 3, Everything, 1), &[put("a", "old")]).await;
        assert!(
            matches!(&refused, Err(Error::HeadMoved { head: Some(head) }) if *head == support::head(2)),
            "{refused:?}"
        );
    }
    assert_eq!(stored(&store, "u").await.unwrap(), (support::head(2), vec![("a".to_owned(), "new".to_owned())]));
    // Also not after what it knew has been erased, and written again by another.
    store.erase("u").await.unwrap();
    commit(&store, "u", &header(None, 5, Changes, 1), &[put("a", "newest")]).await.unwrap();
    commit(&store, "u", &header(Some(2), 6, Changes, 1), &[put("a", "old")]).await.unwrap_err();
    assert_eq!(stored(&store, "u").await.unwrap().1[0].1, "newest");
}

async fn a_commit_that_is_repeated_is_done_once(backend: Backend) {
    let fresh = backend.fresh().await;
    let store = fresh.database.clone();
    for (on, to, summary) in [(None, 1, "one"), (Some(1), 2, "two")] {
        for repeated in [false, true, true] {
            let outcome = commit(&store, "u", &header(on, to, Changes, 1), &[put("a", summary)]).await.unwrap();
            assert_eq!(outcome.repeated, repeated);
        }
    }
    assert_eq!(stored(&store, "u").await.unwrap().1[0].1, "two");
}

async fn lines_that_do_not_make_up_the_state_change_nothing(backend: Backend) {
    let fresh = backend.fresh().await;
    let store = &fresh.database;
    commit(store, "u", &header(None, 1, Changes, 1), &[put("a", "one")]).await.unwrap();
    let refused = commit(store, "u", &header(Some(1), 2, Changes, 3), &[put("b", "two")]).await;
    assert!(matches!(refused, Err(Error::Inconsistent { said: 3, found: 2 })), "{refused:?}");
    assert_eq!(stored(store, "u").await.unwrap(), (support::head(1), vec![("a".to_owned(), "one".to_owned())]));
}

async fn everything_removes_what_is_not_among_it(backend: Backend) {
    let fresh = backend.fresh().await;
    let store = fresh.database.clone();
    let all: Vec<_> = (0..500).map(|number| put(&format!("e{number}"), "old")).collect();
    commit(&store, "u", &header(None, 1, Everything, 500), &all).await.unwrap();
    let kept: Vec<_> =
        (100..250).map(|number| put(&format!("e{number}"), if number < 200 { "old" } else { "new" })).collect();
    let outcome = commit(&store, "u", &header(Some(1), 2, Everything, 150), &kept).await.unwrap();
    assert_eq!(outcome.changes, 350 + 50);
    assert_eq!(stored(&store, "u").await.unwrap().1.len(), 150);
}

async fn of_many_writers_on_one_head_one_wins(backend: Backend) {
    let fresh = backend.fresh().await;
    let store = fresh.database.clone();
    let mut on = None;
    for round in 0..10_u128 {
        let tries = (1..=6_u128).map(|writer| {
            let (store, to) = (store.clone(), round * 10 + writer);
            async move {
                commit(&store, "u", &header(on, to, Everything, 1), &[put("a", &to.to_string())]).await.map(|_| to)
            }
        });
        let won: Vec<_> = join_all(tries).await.into_iter().filter_map(Result::ok).collect();
        assert_eq!(won.len(), 1, "{won:?}");
        assert_eq!(stored(&store, "u").await.unwrap().1[0].1, won[0].to_string());
        on = Some(won[0]);
    }
}

async fn hostile_texts_come_back_as_they_went_in(backend: Backend) {
    let fresh = backend.fresh().await;
    let store = fresh.database.clone();
    let long = "ü".repeat(20_000);
    let texts =
        ["'; DROP TABLE events; --", "a\0b", "$1", "?", "\n\r\u{2028}", "\u{1f4c5}", "%00", "\\", "\"", "", &long];
    let lines: Vec<_> = texts.iter().map(|text| put(text, text)).collect();
    let count = u64::try_from(texts.len()).unwrap();
    commit(&store, "u", &header(None, 1, Changes, count), &lines).await.unwrap();
    let found: BTreeMap<_, _> = stored(&store, "u").await.unwrap().1.into_iter().collect();
    assert_eq!(found.len(), texts.len());
    for text in texts {
        assert_eq!(found[text], text);
    }
    let gone: Vec<_> = texts.iter().map(|text| delete(text)).collect();
    commit(&store, "u", &header(Some(1), 2, Changes, 0), &gone).await.unwrap();
    assert_eq!(stored(&store, "u").await.unwrap().1, []);
    assert_ne!(key(&long), key(&format!("{long}!")));
    assert_ne!(key(&key("a\0b")), key("a\0b"), "what looks like a hash is none");
}

async fn the_name_of_another_subscription_is_taken_until_that_is_released(backend: Backend) {
    let fresh = backend.fresh().await;
    let store = fresh.database.clone();
    commit(&store, "first", &header(None, 1, Changes, 1), &[put("a", "one")]).await.unwrap();
    let taken = commit(&store, "second", &header(None, 2, Changes, 1), &[put("a", "two")]).await;
    assert!(matches!(&taken, Err(Error::Conflict { uid }) if uid == "first"), "{taken:?}");
    store.release("first").await.unwrap();
    assert_eq!(stored(&store, "first").await.unwrap().1[0].1, "one", "it outlives its subscription");
    commit(&store, "second", &header(None, 2, Changes, 1), &[put("a", "two")]).await.unwrap();
    assert!(stored(&store, "first").await.is_none());
    // Other names are of no concern.
    let other = CommitHeader { name: "other".to_owned(), ..header(None, 3, Changes, 1) };
    commit(&store, "third", &other, &[put("a", "three")]).await.unwrap();
    assert_eq!(stored(&store, "second").await.unwrap().1[0].1, "two");
    store.erase("nobody's").await.unwrap();
    store.release("nobody's").await.unwrap();
}

async fn what_is_erased_is_nowhere(backend: Backend) {
    const SECRET: &str = "the board meets about the merger";
    let fresh = backend.fresh().await;
    let store = &fresh.database;
    let many: Vec<_> = (0..200).map(|number| put(&format!("e{number}"), &format!("{SECRET} {number}"))).collect();
    commit(store, "u", &header(None, 1, Everything, 200), &many).await.unwrap();
    assert!(is_anywhere(&fresh, SECRET).await, "the test finds what is there");
    // What a commit replaces or deletes is gone, too.
    let fewer: Vec<_> = (0..100).map(|number| put(&format!("e{number}"), "busy")).collect();
    commit(store, "u", &header(Some(1), 2, Everything, 100), &fewer).await.unwrap();
    commit(store, "u", &header(Some(2), 3, Changes, 101), &[put("x", SECRET)]).await.unwrap();
    store.erase("u").await.unwrap();
    store.erase("u").await.unwrap();
    assert!(stored(store, "u").await.is_none());
    assert!(!is_anywhere(&fresh, SECRET).await);
}

async fn what_a_lower_visibility_does_not_allow_is_nowhere(backend: Backend) {
    const SECRET: &str = "the board meets about the merger";
    let fresh = backend.fresh().await;
    let store = &fresh.database;
    commit(store, "u", &header(None, 1, Everything, 1), &[put("a", SECRET)]).await.unwrap();
    let mut narrower = header(Some(1), 2, Changes, 1);
    narrower.state.visibility = Visibility::Busy;
    commit(store, "u", &narrower, &[put("a", "busy")]).await.unwrap();
    assert!(!is_anywhere(&fresh, SECRET).await);
}

async fn a_count_that_is_wrong_is_put_right_by_everything(backend: Backend) {
    let fresh = backend.fresh().await;
    let store = &fresh.database;
    let all = [put("a", "one"), put("b", "two"), put("c", "three")];
    commit(store, "u", &header(None, 1, Everything, 3), &all).await.unwrap();
    support::run(&fresh.url, "DELETE FROM events WHERE id = 'b'").await;
    // Nobody has noticed: the count goes on from where it was.
    commit(store, "u", &header(Some(1), 2, Everything, 3), &all).await.unwrap();
    assert_eq!(stored(store, "u").await.unwrap().1.len(), 3);
    commit(store, "u", &header(Some(2), 3, Changes, 2), &[delete("a")]).await.unwrap();
    assert_eq!(stored(store, "u").await.unwrap().1.len(), 2);
}

async fn each_change_has_a_larger_sequence_than_all_before(backend: Backend) {
    let fresh = backend.fresh().await;
    let store = &fresh.database;
    let mut seen = 0;
    let mut on = None;
    let mut present = 0_u64;
    for round in 1..=30_u32 {
        let lines: Vec<Line> = (0..80_u32)
            .filter_map(|number| match (number + round) % 7 {
                0 => Some(put(&format!("e{number}"), &round.to_string())),
                1 => Some(delete(&format!("e{number}"))),
                _ => None,
            })
            .collect();
        let mut now: std::collections::BTreeSet<String> = stored(store, "u")
            .await
            .map(|(_, events)| events.into_iter().map(|(id, _)| id).collect())
            .unwrap_or_default();
        for line in &lines {
            match line {
                Line::Put(event) => now.insert(event.id.clone()),
                Line::Delete(id) => now.remove(id),
                Line::End(_) => false,
            };
        }
        present = u64::try_from(now.len()).unwrap();
        let outcome = commit(store, "u", &header(on, round.into(), Changes, present), &lines).await.unwrap();
        on = Some(round.into());
        let pool = connect(&fresh.url).await;
        let later: Vec<(i64,)> = sqlx::query_as(
            "SELECT sequence FROM events WHERE sequence > $1 UNION ALL SELECT sequence FROM tombstones WHERE sequence > $1 \
             ORDER BY sequence",
        )
        .bind(seen)
        .fetch_all(&pool)
        .await
        .unwrap();
        pool.close().await;
        assert_eq!(u64::try_from(later.len()).unwrap(), outcome.changes);
        assert!(later.windows(2).all(|pair| pair[0] < pair[1]), "none twice: {later:?}");
        seen = later.last().map_or(seen, |(last,)| *last);
    }
    assert!(present > 0);
}

async fn deletions_are_forgotten_and_that_is_noted(backend: Backend) {
    let fresh = backend.fresh().await;
    let store = &fresh.database;
    commit(store, "u", &header(None, 1, Changes, 3), &[put("a", ""), put("b", ""), put("c", "")]).await.unwrap();
    commit(store, "u", &header(Some(1), 2, Changes, 1), &[delete("a"), delete("b")]).await.unwrap();
    let now = Timestamp::now();
    assert_eq!(store.forget_deletions(now - SignedDuration::from_hours(1)).await.unwrap(), 0);
    assert_eq!(store.forget_deletions(now + SignedDuration::from_hours(1)).await.unwrap(), 2);
    let pool = connect(&fresh.url).await;
    let (sequence, pruned): (i64, i64) =
        sqlx::query_as("SELECT sequence, pruned FROM subscriptions").fetch_one(&pool).await.unwrap();
    pool.close().await;
    assert_eq!((sequence, pruned), (5, 5));
    // An event that comes back has no tombstone to be forgotten.
    commit(store, "u", &header(Some(2), 3, Changes, 0), &[delete("c")]).await.unwrap();
    commit(store, "u", &header(Some(3), 4, Changes, 1), &[put("c", "back")]).await.unwrap();
    assert_eq!(store.forget_deletions(now + SignedDuration::from_hours(1)).await.unwrap(), 0);
}

async fn many_deletions_are_forgotten_in_portions(backend: Backend) {
    let fresh = backend.fresh().await;
    let portions = Arc::new(AtomicUsize::default());
    let store = fresh.database.clone().watched(Steps::told_to({
        let portions = Arc::clone(&portions);
        move |step| {
            portions.fetch_add(usize::from(step == "remove the deletions"), SeqCst);
        }
    }));
    let puts: Vec<Line> = (0..2500).map(|number| put(&format!("e{number}"), "")).collect();
    commit(&store, "u", &header(None, 1, Changes, 2500), &puts).await.unwrap();
    let gone: Vec<Line> = (0..2500).map(|number| delete(&format!("e{number}"))).collect();
    commit(&store, "u", &header(Some(1), 2, Changes, 0), &gone).await.unwrap();
    let later = Timestamp::now() + SignedDuration::from_hours(1);
    assert_eq!(store.forget_deletions(later).await.unwrap(), 2500);
    assert_eq!(portions.load(SeqCst), 3);
    let pool = connect(&fresh.url).await;
    let (sequence, pruned): (i64, i64) =
        sqlx::query_as("SELECT sequence, pruned FROM subscriptions").fetch_one(&pool).await.unwrap();
    let (left,): (i64,) = sqlx::query_as("SELECT COUNT(*) FROM tombstones").fetch_one(&pool).await.unwrap();
    pool.close().await;
    assert_eq!((sequence, pruned, left), (5000, 5000, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn deletions_of_one_subscription_are_forgotten_while_another_is_locked() {
    let fresh = Backend::Postgres.fresh().await;
    let store = &fresh.database;
    for uid in ["first", "second"] {
        let header = |on, to, events| CommitHeader { name: uid.to_owned(), ..header(on, to, Changes, events) };
        commit(store, uid, &header(None, 1, 1), &[put("a", "")]).await.unwrap();
        commit(store, uid, &header(Some(1), 2, 0), &[delete("a")]).await.unwrap();
    }
    support::run(&fresh.url, "UPDATE tombstones SET deleted = deleted - 10 WHERE subscription = 'first'").await;
    let pool = connect(&fresh.url).await;
    let mut slow = pool.begin().await.unwrap();
    sqlx::query("UPDATE subscriptions SET released = 0 WHERE uid = 'second'").execute(&mut *slow).await.unwrap();
    let forgetting = store.forget_deletions(Timestamp::now() + SignedDuration::from_hours(1));
    let others = async {
        let forgotten = testenv::eventually("the first one's are forgotten", Duration::from_secs(30), async || {
            let pool = connect(&fresh.url).await;
            let sql = "SELECT COUNT(*) FROM tombstones WHERE subscription = 'first'";
            let (left,): (i64,) = sqlx::query_as(sql).fetch_one(&pool).await.unwrap();
            pool.close().await;
            (left == 0).then_some(())
        });
        forgotten.await.unwrap();
        let header = CommitHeader { name: "first".to_owned(), ..header(Some(2), 3, Changes, 1) };
        commit(store, "first", &header, &[put("b", "")]).await.unwrap();
        slow.rollback().await.unwrap();
    };
    let (forgotten, ()) = tokio::join!(forgetting, others);
    assert_eq!(forgotten.unwrap(), 2);
    pool.close().await;
}

async fn readers_keep_no_commit_waiting(backend: Backend) {
    let fresh = backend.fresh().await;
    let store = &fresh.database;
    commit(store, "u", &header(None, 1, Changes, 1), &[put("a", "one")]).await.unwrap();
    // As many as there are connections for, each in the midst of an answer.
    let mut readers = Vec::new();
    for _ in 0..8 {
        let mut moment = store.now().await.unwrap();
        assert!(moment.subscription("team", "all").await.unwrap().is_some());
        readers.push(moment);
    }
    commit(store, "u", &header(Some(1), 2, Changes, 1), &[put("a", "two")]).await.unwrap();
    store.forget_deletions(Timestamp::now()).await.unwrap();
    drop(readers);
    assert_eq!(stored(store, "u").await.unwrap().1[0].1, "two");
}

async fn a_deletion_that_looks_older_than_the_one_before_it_moves_no_mark_back(backend: Backend) {
    let fresh = backend.fresh().await;
    let store = &fresh.database;
    commit(store, "u", &header(None, 1, Changes, 2), &[put("a", ""), put("b", "")]).await.unwrap();
    commit(store, "u", &header(Some(1), 2, Changes, 1), &[delete("a")]).await.unwrap();
    commit(store, "u", &header(Some(2), 3, Changes, 0), &[delete("b")]).await.unwrap();
    // The clock was ahead when the first was noted.
    support::run(&fresh.url, "UPDATE tombstones SET deleted = deleted + 1000 WHERE id = 'a'").await;
    let pruned = async || -> i64 {
        let pool = connect(&fresh.url).await;
        let (pruned,) = sqlx::query_as("SELECT pruned FROM subscriptions").fetch_one(&pool).await.unwrap();
        pool.close().await;
        pruned
    };
    let now = Timestamp::now();
    assert_eq!(store.forget_deletions(now + SignedDuration::from_secs(500)).await.unwrap(), 1);
    let mark = pruned().await;
    assert_eq!(store.forget_deletions(now + SignedDuration::from_secs(5000)).await.unwrap(), 1);
    assert_eq!((mark, pruned().await), (4, 4));
}

async fn a_reader_sees_one_moment(backend: Backend) {
    let fresh = backend.fresh().await;
    let store = fresh.database.clone();
    let version = |summary: &str| (0..300).map(|number| put(&format!("e{number}"), summary)).collect::<Vec<_>>();
    commit(&store, "u", &header(None, 1, Everything, 300), &version("v1")).await.unwrap();
    let writer = {
        let store = store.clone();
        tokio::spawn(async move {
            for round in 2..=12_u128 {
                let lines = version(&format!("v{round}"));
                commit(&store, "u", &header(Some(round - 1), round, Everything, 300), &lines).await.unwrap();
            }
        })
    };
    let mut looks = 0;
    while !writer.is_finished() || looks == 0 {
        let (head, events) = stored(&store, "u").await.unwrap();
        let version = u128::from_str_radix(head.as_str(), 16).unwrap();
        assert!(events.iter().all(|(_, summary)| *summary == format!("v{version}")), "mixed at {version}");
        looks += 1;
    }
    writer.await.unwrap();
}

async fn several_processes_may_start_at_once(backend: Backend) {
    let folder = tempfile::tempdir().unwrap();
    let url = backend.address(folder.path()).await;
    let opened = join_all((0..4).map(|_| Database::open(&url))).await;
    for database in opened {
        let database = database.unwrap();
        database.ping().await.unwrap();
        database.close().await;
    }
}

/// What the write of a commit looks like, whatever it is about: for the tests of crashes.
fn change(
    on: Option<u128>,
    to: u128,
    scope: Scope,
    events: &[(&str, &str)],
    gone: &[&str],
    count: u64,
) -> (CommitHeader, Vec<Line>) {
    let puts = events.iter().map(|(id, summary)| Line::Put(Box::new(event(id, summary))));
    (header(on, to, scope, count), puts.chain(gone.iter().map(|id| delete(id))).collect())
}
