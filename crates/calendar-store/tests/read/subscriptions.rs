//! Which calendars there are.

use serde_json::json;

use crate::store::{Answer, Store};

const PATH: &str = "/v1/namespaces/rooms/calendarsubscriptions";

#[tokio::test]
async fn names_come_in_order_page_by_page() {
    let store = Store::new().await;
    for name in ["paris", "berlin", "a.b", "oslo"] {
        store.commit(name, [], &[]).await;
    }
    let all = store.get_path(PATH, &[]).await.json();
    assert_eq!(
        all,
        json!({ "items": [{ "name": "a.b" }, { "name": "berlin" }, { "name": "oslo" }, { "name": "paris" }] })
    );
    let first = store.get_path(&format!("{PATH}?limit=3"), &[]).await.json();
    assert_eq!((first["items"].as_array().unwrap().len(), &first["next"]), (3, &json!("oslo")));
    let last = store.get_path(&format!("{PATH}?limit=3&after=oslo"), &[]).await.json();
    assert_eq!(last, json!({ "items": [{ "name": "paris" }] }));
    store.erase("berlin").await;
    assert!(!store.get_path(PATH, &[]).await.text().contains("berlin"));
}

#[tokio::test]
async fn only_who_may_list_them_gets_them() {
    let store = Store::new().await;
    store.commit("berlin", [], &[]).await;
    store.get_path("/v1/namespaces/elsewhere/calendarsubscriptions", &[]).await.refused(403, None);
    Answer::of(store.ask(http::Request::get(PATH)).await).await.refused(401, None);
    for (query, field) in
        [("limit=0", "limit"), ("limit=1001", "limit"), ("after=", "after"), ("after=A", "after"), ("since=1", "since")]
    {
        store.get_path(&format!("{PATH}?{query}"), &[]).await.refused(400, Some(field));
    }
    store.get_path("/v1/namespaces/A/calendarsubscriptions", &[]).await.refused(400, Some("namespace"));
}
