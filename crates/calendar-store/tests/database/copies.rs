//! Databases that are restored from a copy: what is written to them is not what readers of the original have seen.

use std::path::Path;

use calendar_store::database::{Database, backup};
use calendar_store_client::Scope::Everything;

use crate::support::{Backend, commit, head, header, put, stored};

/// Incarnation and sequence of what is stored.
async fn told(database: &Database) -> (String, i64) {
    let mut found = database.sequences(&["u".to_owned()]).await.unwrap();
    found.remove(0).1
}

fn url(path: &Path) -> String {
    format!("sqlite:{}", path.display())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_sqlite_is_of_another_incarnation_each_time_it_is_restored() {
    let fresh = Backend::Sqlite.fresh().await;
    commit(&fresh.database, "u", &header(None, 1, Everything, 1), &[put("a", "one")]).await.unwrap();
    let original = told(&fresh.database).await;
    let copy = fresh.folder.path().join("copy.db");
    backup(&fresh.url, &copy).await.unwrap();

    let mut seen = vec![original.0.clone()];
    for name in ["one.db", "two.db", "three.db"] {
        let restored = fresh.folder.path().join(name);
        std::fs::copy(&copy, &restored).unwrap();
        let database = Database::open(&url(&restored)).await.unwrap();
        let (incarnation, sequence) = told(&database).await;
        assert_eq!(sequence, original.1);
        assert!(!seen.contains(&incarnation), "{incarnation} in {seen:?}");
        seen.push(incarnation.clone());
        assert_eq!(stored(&database, "u").await.unwrap().0, head(1));
        // It goes on as that one, through any number of starts.
        database.close().await;
        let again = Database::open(&url(&restored)).await.unwrap();
        assert_eq!(told(&again).await.0, incarnation);
        // And a copy of it is one again.
        let copy = fresh.folder.path().join(format!("copy of {name}"));
        backup(&url(&restored), &copy).await.unwrap();
        let copied = Database::open(&url(&copy)).await.unwrap();
        assert!(!seen.contains(&told(&copied).await.0));
    }
    assert_eq!(told(&fresh.database).await, original, "the original stays what it is");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_of_postgresql_is_of_another_incarnation_each_time_it_is_restored() {
    let server = testenv::postgres().await.unwrap();
    let fresh = Backend::Postgres.fresh().await;
    commit(&fresh.database, "u", &header(None, 1, Everything, 1), &[put("a", "one")]).await.unwrap();
    let original = told(&fresh.database).await;
    let dump = server.dump(&fresh.url).await.unwrap();

    let mut seen = vec![original.0.clone()];
    for _ in 0..2 {
        let restored = server.database().await.unwrap();
        server.restore(&dump, &restored).await.unwrap();
        let database = Database::open(&restored).await.unwrap();
        let (incarnation, sequence) = told(&database).await;
        assert_eq!(sequence, original.1);
        assert!(!seen.contains(&incarnation), "{incarnation} in {seen:?}");
        seen.push(incarnation.clone());
        database.close().await;
        let again = Database::open(&restored).await.unwrap();
        assert_eq!(told(&again).await.0, incarnation);
        again.close().await;
        // Over what is there, too: a dump can be told to clean up first.
        server.restore(&dump, &restored).await.unwrap();
        let over = Database::open(&restored).await.unwrap();
        assert!(!seen.contains(&told(&over).await.0));
        seen.push(told(&over).await.0);
    }
    let again = Database::open(&fresh.url).await.unwrap();
    assert_eq!(told(&again).await, original, "the original stays what it is");
}
