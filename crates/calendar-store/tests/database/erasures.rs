//! What was erased while somebody reads: PostgreSQL says for itself when its files forget.

use std::time::Duration;

use calendar_store_client::Scope::Everything;

use tokio::time::sleep;

use crate::support::{Backend, Fresh, commit, connect, files_hold, header, put};

const SECRET: &str = "what nobody is to know any longer";
const LIMIT: Duration = Duration::from_secs(30);

/// A store where something was erased while a reader was in the midst of it, and that reader.
async fn erased_under_a_reader() -> (Fresh, calendar_store::database::Moment) {
    let fresh = Backend::Sqlite.fresh().await;
    let store = &fresh.database;
    commit(store, "u", &header(None, 1, Everything, 1), &[put("a", SECRET)]).await.unwrap();
    let mut reader = store.now().await.unwrap();
    assert!(reader.subscription("team", "all").await.unwrap().is_some());
    store.erase("u").await.unwrap();
    assert!(files_hold(fresh.folder.path(), SECRET), "the reader may still ask for it");
    let page = reader.events("u", (i64::MIN, i64::MAX), None, 10).await.unwrap();
    assert!(page.rows[0].body.contains(SECRET));
    (fresh, reader)
}

async fn is_nowhere(fresh: &Fresh) {
    let chore = fresh.database.keep_log_empty();
    let forgotten = testenv::eventually("no file holds what was erased", LIMIT, async || {
        (!files_hold(fresh.folder.path(), SECRET)).then_some(())
    });
    tokio::select! {
        () = chore => {}
        forgotten = forgotten => forgotten.unwrap(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_erased_under_a_reader_is_in_no_file_once_that_has_ended() {
    let (fresh, reader) = erased_under_a_reader().await;
    drop(reader);
    is_nowhere(&fresh).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_is_made_good_while_commits_and_reads_go_on() {
    let (fresh, reader) = erased_under_a_reader().await;
    let store = fresh.database.clone();
    let traffic = async {
        drop(reader);
        let mut on = None;
        for head in 1.. {
            commit(&store, "other", &header(on, head, Everything, 1), &[put("b", "harmless")]).await.unwrap();
            on = Some(head);
            let mut reader = store.now().await.unwrap();
            reader.subscription("team", "all").await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = traffic => {}
        () = is_nowhere(&fresh) => {}
    }
}

/// As when the log is being emptied.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_writes_waits_for_another_one_that_writes() {
    let fresh = Backend::Sqlite.fresh().await;
    let store = fresh.database.clone();
    commit(&store, "u", &header(None, 1, Everything, 1), &[put("a", "one")]).await.unwrap();
    let pool = connect(&fresh.url).await;
    let other = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let release = async {
        sleep(Duration::from_millis(300)).await;
        other.rollback().await.unwrap();
    };
    let header = header(Some(1), 2, Everything, 1);
    let lines = [put("a", "two")];
    let (committed, ()) = tokio::join!(commit(&store, "u", &header, &lines), release);
    assert_eq!(committed.unwrap().changes, 1);
    pool.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_process_left_behind_is_made_good_by_the_next_one() {
    let (fresh, reader) = erased_under_a_reader().await;
    // The reader is of another process, and that one ends without a word: nobody empties the log at its end.
    let second = calendar_store::database::Database::open(&fresh.url).await.unwrap();
    assert!(files_hold(fresh.folder.path(), SECRET));
    drop(reader);
    let Fresh { url, database, folder } = fresh;
    drop(database);
    is_nowhere(&Fresh { url, database: second, folder }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_waits_for_no_reader() {
    let (fresh, reader) = erased_under_a_reader().await;
    // Others write on at once.
    commit(&fresh.database, "other", &header(None, 1, Everything, 1), &[put("b", "harmless")]).await.unwrap();
    fresh.database.erase("other").await.unwrap();
    drop(reader);
    is_nowhere(&fresh).await;
}
