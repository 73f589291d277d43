//! What is particular to a calendar store: what goes over the wire, what is remembered, and what its failures are.

use std::time::Duration;

use calendar_store_client::{Address, Client, CommitHeader, Error, Found, Head, Line, Options, Scope, Token};
use calendar_sync::{Reason, Stored};
use cronofy_operator::store::{
    Damage, EventStore as _, RemoteSettings, Remotes, Store, StoreError, StoreMemory, Target,
};

use crate::backend::{self, Backend, UID, remotes};
use crate::calendar::snapshot;
use crate::cases::{many, two_events};
use crate::served::Served;

fn target() -> Target {
    backend::target("rota", UID)
}

fn store(served: &Served, memory: StoreMemory) -> Store {
    Store::Remote(remotes(served).open(None, memory).unwrap())
}

fn client(address: &Address, token: Token) -> Client {
    let limit = Duration::from_secs(10);
    Client::new(Options { address: address.clone(), token, authorities: None, limit, user_agent: "test".to_owned() })
}

/// Changes the database behind everybody's back.
async fn tamper(served: &Served, sql: &'static str) {
    let url = format!("sqlite:{}", served.folder().join("events.db").display());
    let database = sqlx::AnyPool::connect(&url).await.unwrap();
    sqlx::query(sql).execute(&database).await.unwrap();
    database.close().await;
}

#[tokio::test]
async fn a_head_that_has_not_moved_is_not_sent_again() {
    let served = Served::sqlite().await;
    let memory = StoreMemory::default();
    let store = store(&served, memory.clone());
    let committed = store.commit(&target(), None, &many(300)).await.unwrap();
    assert_eq!(served.take_requests(), ["PUT 200"]);
    // The first look of a process compares all of it; from then on for an hour nothing that has not moved.
    for expected in ["GET 200", "GET 304", "GET 304"] {
        let head = store.head(&target()).await.unwrap();
        assert_eq!(
            (head.stored, head.version),
            (Stored::Present(Box::new(many(300))), Some(committed.version.clone()))
        );
        assert_eq!(served.take_requests(), [expected]);
    }
    store.commit(&target(), Some(&committed.version), &many(301)).await.unwrap();
    store.head(&target()).await.unwrap();
    assert_eq!(served.take_requests(), ["PUT 200", "GET 304"]);
    memory.doubt(UID);
    store.head(&target()).await.unwrap();
    assert!(!memory.is_touched(UID), "what is compared is no longer in doubt");
    assert_eq!(served.take_requests(), ["GET 200"]);
    memory.forget(UID);
    store.head(&target()).await.unwrap();
    assert_eq!(served.take_requests(), ["GET 200"]);
}

#[tokio::test]
async fn what_somebody_did_to_the_database_is_found_and_repaired() {
    for (sql, damage) in [
        ("UPDATE events SET body = replace(body, 'Board', 'Bored') WHERE id = 'evt_00001'", Damage::Content),
        ("UPDATE events SET body = '{' WHERE id = 'evt_00001'", Damage::Unreadable),
        ("UPDATE events SET body = 'a' || char(10) || 'b' WHERE id = 'evt_00001'", Damage::Unreadable),
        (
            "UPDATE events SET body = (SELECT body FROM events WHERE id = 'evt_00002') WHERE id = 'evt_00001'",
            Damage::Content,
        ),
        ("DELETE FROM events WHERE id = 'evt_00001'", Damage::Content),
        ("UPDATE subscriptions SET state = '{'", Damage::Unreadable),
        // As a later release may write it.
        ("UPDATE subscriptions SET state = replace(state, '\"complete\":', '\"whole\":')", Damage::Unreadable),
    ] {
        let served = Served::sqlite().await;
        store(&served, StoreMemory::default()).commit(&target(), None, &many(300)).await.unwrap();
        tamper(&served, sql).await;
        let store = store(&served, StoreMemory::default());
        let head = store.head(&target()).await.unwrap();
        assert_eq!((head.stored, head.damage, head.output), (Stored::Damaged, Some(damage), None), "{sql}");
        let committed = store.commit(&target(), head.version.as_ref(), &many(300)).await.unwrap();
        assert!(committed.changed, "{sql}");
        assert_eq!(store.head(&target()).await.unwrap().stored, Stored::Present(Box::new(many(300))), "{sql}");
    }
}

#[tokio::test]
async fn changes_that_do_not_fit_are_followed_by_everything() {
    let served = Served::sqlite().await;
    let store = store(&served, StoreMemory::default());
    let committed = store.commit(&target(), None, &many(300)).await.unwrap();
    tamper(&served, "UPDATE subscriptions SET events = 299").await;
    let _either = store.commit(&target(), Some(&committed.version), &many(301)).await;
    let requests = served.take_requests();
    assert_eq!((requests.len(), &requests[..2]), (3, ["PUT 200", "PUT 409"].map(str::to_owned).as_slice()));
}

#[tokio::test]
async fn a_commit_is_repeated_once_under_the_same_head_when_its_answer_is_lost() {
    let served = Served::sqlite().await;
    let address: Address = served.url().parse().unwrap();
    let client = client(&address, Token::File(served.token_file()));
    let store = store(&served, StoreMemory::default());
    served.lose_answers(true);
    let error = store.commit(&target(), None, &two_events()).await.unwrap_err();
    assert_eq!(error.failure().reason, Reason::StoreUnavailable);
    assert_eq!(served.take_requests(), ["PUT 200", "PUT 200"], "the second finds its work done");
    served.lose_answers(false);
    let Found::Contents(contents) = client.head(UID, None).await.unwrap() else { panic!("it is stored") };
    assert_eq!(contents.events.map(|events| events.len()), Some(2));
    let known = contents.header.head;
    assert_eq!(client.head(UID, Some(&known)).await.unwrap(), Found::Unchanged);
    assert_eq!(client.head("nobody", None).await.unwrap(), Found::Nothing);
}

#[tokio::test]
async fn each_failure_says_where_and_what_to_look_at() {
    let served = Served::sqlite().await;
    let settings = |url: &str, token: &str| {
        let path = served.folder().join("other");
        std::fs::write(&path, token).unwrap();
        RemoteSettings { default: Some(url.parse().unwrap()), token: path, ..RemoteSettings::default() }
    };
    let elsewhere = format!("{}/elsewhere", served.url());
    let good = std::fs::read_to_string(served.token_file()).unwrap();
    for (url, token, category, says) in [
        (served.url().as_str(), "another", "Forbidden", "the store does not know the token"),
        ("http://127.0.0.1:1", "another", "Unreachable", "it cannot be reached"),
        (
            elsewhere.as_str(),
            good.as_str(),
            "Refused",
            "it answers with 404: see whether the URL is that of a calendar store",
        ),
        (served.url().as_str(), "", "Forbidden", "mount the file"),
    ] {
        let store = Remotes::new(settings(url, token)).open(None, StoreMemory::default()).unwrap();
        let failures = [
            store.head(&target()).await.unwrap_err(),
            store.commit(&target(), None, &two_events()).await.unwrap_err(),
            store.erase(&target()).await.unwrap_err(),
            store.release(&target()).await.unwrap_err(),
        ];
        for error in failures {
            let text = format!("{error} {error:?}");
            assert_eq!(error.category(), category, "{text}");
            assert!(text.starts_with(&format!("the calendar store at {url}: ")) && text.contains(says), "{text}");
            assert!(!text.contains("Board meeting") && !text.contains("another") && !text.contains(&good), "{text}");
        }
    }
}

#[tokio::test]
async fn a_token_that_is_replaced_is_read_again() {
    let served = Served::sqlite().await;
    let store = store(&served, StoreMemory::default());
    let token = std::fs::read_to_string(served.token_file()).unwrap();
    std::fs::write(served.token_file(), "outdated").unwrap();
    assert_eq!(store.head(&target()).await.unwrap_err().category(), "Forbidden");
    std::fs::write(served.token_file(), token + "\n").unwrap();
    assert_eq!(store.head(&target()).await.unwrap().stored, Stored::Absent);
}

#[tokio::test]
async fn an_answer_that_is_cut_off_is_none() {
    let (address, server) = canned(
        "{\"head\":\"00000000000000000000000000000001\",\"state\":{\"cursor\":\"2030-05-01T09:58:00Z\",\"fingerprint\":\"f\",\
         \"lastFullSync\":\"2030-05-01T10:00:00Z\",\"complete\":true,\"sweptThrough\":\"2030-11-18\",\"visibility\":\"Titles\",\
         \"events\":0,\"bytes\":0,\"contentHash\":\"h\"}}\n",
    )
    .await;
    let client = client(&address, Token::Given(std::sync::Arc::new(|| "token".to_owned().into())));
    assert_eq!(client.head(UID, None).await.unwrap_err(), Error::Unreadable);
    let header = CommitHeader {
        namespace: "rota".to_owned(),
        name: "primary".to_owned(),
        on: None,
        head: Head::of(2),
        scope: Scope::Everything,
        state: serde_json::from_value(serde_json::json!({
            "cursor": "2030-05-01T09:58:00Z", "fingerprint": "f", "lastFullSync": "2030-05-01T10:00:00Z", "complete": true,
            "sweptThrough": "2030-11-18", "visibility": "Titles", "events": 0, "bytes": 0, "contentHash": "h"
        }))
        .unwrap(),
    };
    let sent = client.commit(UID, &header, std::iter::empty::<Line>()).await;
    assert_eq!(sent.unwrap_err(), Error::Unreadable, "an answer of another head is none to this commit");
    server.abort();
}

#[tokio::test]
async fn a_subscription_that_was_retained_makes_room_for_the_next_of_its_name() {
    let backend = Backend::remote(Served::sqlite()).await;
    let store = backend.store();
    store.commit(&backend.target(), None, &two_events()).await.unwrap();
    store.release(&backend.target()).await.unwrap();
    let next = backend.target_of("6f1c2f0e-0000-4000-8000-000000000002");
    store.commit(&next, None, &snapshot([])).await.unwrap();
    assert_eq!(backend.text().await, "");
    let refused = store.commit(&backend.target(), None, &two_events()).await.unwrap_err();
    let StoreError::CalendarTaken { calendar, uid, .. } = refused else { panic!("{refused}") };
    assert_eq!((calendar.as_str(), uid.as_str()), ("rota/primary", next.owner().uid.as_str()));
}

/// Answers everything with this.
async fn canned(body: &'static str) -> (Address, tokio::task::JoinHandle<()>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let routes = axum::Router::new().fallback(move || async move { body });
    (address, tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() }))
}
