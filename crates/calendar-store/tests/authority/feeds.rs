//! Tokens of feeds.

use calendar_store::database::{Database, Feed};
use calendar_store::{Access as _, Credentials, Limits, Spooled};
use calendar_store_client::Reason;
use http::StatusCode;
use serde_json::json;

use crate::support::{EVENTS, Store, bearer, commit, feed, right, shared, user};

const FEEDS: &str = "calendarsubscriptions/feeds";

async fn subscribes(store: &Store, credentials: &Credentials, name: &str) -> Option<Reason> {
    let answer = store.authority.may_subscribe(credentials, &store.namespace, name).await;
    answer.err().map(|problem| problem.reason())
}

#[tokio::test]
async fn a_feed_opens_the_calendar_of_one_subscription_until_it_is_revoked() {
    let store = Store::on(shared().await).await;
    store.grant("owner", &["create", "list", "delete"].map(|verb| right(verb, FEEDS, Some("team")))).await;
    store.grant("reader", &[right("get", EVENTS, None)]).await;
    let (owner, reader) = (store.token("owner").await, store.token("reader").await);
    let path = format!("/v1/namespaces/{}/calendarsubscriptions/team/feeds", store.namespace);

    let (status, made) = store.ask("POST", &path, Some(&owner), json!({ "label": "phone" }).to_string()).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    let (id, token) = (made["id"].as_str().unwrap(), made["token"].as_str().unwrap());
    assert!(token.starts_with("feed_") && token.len() == 48, "{token}");
    assert!(made["path"].as_str().unwrap().ends_with(&format!("/team/events.ics?token={token}")));
    let (_, second) = store.ask("POST", &path, Some(&owner), json!({ "label": "tablet" }).to_string()).await;
    let second = second["token"].as_str().unwrap();
    assert_ne!(token, second);

    let forbidden = Some(Reason::Forbidden);
    assert_eq!(subscribes(&store, &feed(token), "team").await, None);
    assert_eq!(subscribes(&store, &feed(token), "other").await, forbidden, "another subscription");
    assert_eq!(subscribes(&store, &feed("feed_AAAA"), "team").await, forbidden, "never made");
    assert_eq!(subscribes(&store, &bearer(Some(&reader)), "team").await, None, "whoever may read");
    assert_eq!(subscribes(&store, &bearer(Some(&owner)), "team").await, forbidden, "may make one, but not read");
    assert_eq!(subscribes(&store, &bearer(None), "team").await, Some(Reason::Unauthorized));
    let read = |credentials| {
        let store = &store;
        async move { store.authority.may_read(&credentials, &store.namespace, "team").await.unwrap_err().reason() }
    };
    assert_eq!(read(feed(token)).await, Reason::Unauthorized, "a feed does not open the events");
    assert_eq!(read(bearer(Some(token))).await, Reason::Unauthorized, "not as a token of Kubernetes either");
    assert!(store.authority.may_write(&feed(token)).await.is_err());

    let (status, listed) = store.ask("GET", &path, Some(&owner), Vec::new()).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(listed["items"].as_array().unwrap().len(), 2);
    let first = listed["items"].as_array().unwrap().iter().find(|item| item["id"] == id).unwrap();
    assert_eq!(first["label"], "phone");
    assert_eq!(first["createdBy"], user(&store.namespace, "owner"));
    assert!(!listed.to_string().contains("feed_"), "tokens are shown once");
    let kept = std::fs::read(store.folder.path().join("store.db-wal")).unwrap_or_default();
    let kept = [kept, std::fs::read(store.folder.path().join("store.db")).unwrap()].concat();
    assert!(kept.windows(5).all(|window| window != b"feed_"), "and kept nowhere");

    let (status, _) = store.ask("DELETE", &format!("{path}/{id}"), Some(&owner), Vec::new()).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    assert_eq!(subscribes(&store, &feed(token), "team").await, forbidden, "at once");
    assert_eq!(subscribes(&store, &feed(second), "team").await, None, "the other goes on");
    let (status, _) = store.ask("DELETE", &format!("{path}/{id}"), Some(&owner), Vec::new()).await;
    assert_eq!(status, StatusCode::NOT_FOUND);

    store.database.erase("uid-team").await.unwrap();
    assert_eq!(subscribes(&store, &feed(second), "team").await, forbidden, "goes with the subscription");
}

#[tokio::test]
async fn each_use_of_feeds_needs_its_right() {
    let store = Store::on(shared().await).await;
    for verb in ["create", "list", "delete"] {
        store.grant(verb, &[right(verb, FEEDS, Some("team"))]).await;
    }
    store.grant("reader", &[right("get", EVENTS, None)]).await;
    let path = |name| format!("/v1/namespaces/{}/calendarsubscriptions/{name}/feeds", store.namespace);
    let uses = [
        ("create", "POST", path("team"), StatusCode::CREATED),
        ("list", "GET", path("team"), StatusCode::OK),
        ("delete", "DELETE", path("team") + "/000000000000", StatusCode::NOT_FOUND),
    ];
    for account in ["create", "list", "delete", "reader"] {
        let token = store.token(account).await;
        for (verb, method, path, done) in &uses {
            let expected = if account == *verb { *done } else { StatusCode::FORBIDDEN };
            let (status, answer) = store.ask(method, path, Some(&token), r#"{"label":"phone"}"#).await;
            assert_eq!(status, expected, "{account} by {method}: {answer}");
        }
        let (status, _) = store.ask("POST", &path("other"), Some(&token), r#"{"label":"phone"}"#).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{account} with another subscription");
    }
    let (status, _) = store.ask("POST", &path("team"), None, r#"{"label":"phone"}"#).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_feed_needs_a_proper_label_and_a_subscription_that_is_kept() {
    let store = Store::on(shared().await).await;
    store.grant("owner", &[right("create", FEEDS, None)]).await;
    let owner = store.token("owner").await;
    let long = json!({ "label": "x".repeat(101) }).to_string();
    for (name, body, expected) in [
        ("none", r#"{"label":"phone"}"#, StatusCode::NOT_FOUND),
        ("team", "", StatusCode::BAD_REQUEST),
        ("team", "{}", StatusCode::BAD_REQUEST),
        ("team", r#"{"label":"phone","token":"mine"}"#, StatusCode::BAD_REQUEST),
        ("team", r#"{"label":"a\nb"}"#, StatusCode::BAD_REQUEST),
        ("team", &long, StatusCode::BAD_REQUEST),
    ] {
        let path = format!("/v1/namespaces/{}/calendarsubscriptions/{name}/feeds", store.namespace);
        let (status, answer) = store.ask("POST", &path, Some(&owner), body.to_owned()).await;
        assert_eq!(status, expected, "{name} {body}: {answer}");
    }
}

#[tokio::test]
async fn postgres_keeps_feeds_like_sqlite() {
    let url = testenv::postgres().await.unwrap().database().await.unwrap();
    let database = Database::open(&url).await.unwrap();
    let body = futures::stream::iter([Ok::<_, String>(commit("here", "team", None, 1, &["a"]).into())]);
    let (header, mut lines) = Spooled::receive(body, Limits::default()).await.unwrap();
    database.commit("uid", &header, &mut lines).await.unwrap();
    let hash = calendar_store::feeds::hash("feed_known");
    let made = Feed {
        id: Feed::id(&hash),
        label: "phone".to_owned(),
        created: "2026-11-25T09:00:00Z".parse().unwrap(),
        created_by: "somebody".to_owned(),
    };
    assert!(!database.add_feed("here", "other", &hash, &made).await.unwrap());
    assert!(database.add_feed("here", "team", &hash, &made).await.unwrap());
    assert_eq!(database.feeds("here", "team").await.unwrap(), std::slice::from_ref(&made));
    assert!(database.feed_opens(&hash, "here", "team").await.unwrap());
    assert!(!database.feed_opens(&hash, "here", "other").await.unwrap());
    assert!(!database.remove_feed("here", "other", &made.id).await.unwrap());
    assert!(database.remove_feed("here", "team", &made.id).await.unwrap());
    assert!(!database.feed_opens(&hash, "here", "team").await.unwrap());
    database.close().await;
}
