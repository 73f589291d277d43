//! The document for programs.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::store::Store;

#[tokio::test]
async fn the_document_that_is_checked_in_is_that_of_the_code() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
    let document = calendar_store::read::document();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, &document).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap(), document, "UPDATE=1 rewrites it");
}

#[tokio::test]
async fn it_is_served_and_describes_problems_as_they_are() {
    let store = Store::new().await;
    let document = store.get_path("/v1/openapi.json", &[]).await.json();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let refused: Value = serde_json::from_slice(&store.get("berlin", "events?limit=0").await.body).unwrap();
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(keys(&document["components"]["schemas"]["Problem"]["properties"]), keys(&refused));
    assert_eq!(keys(&document["components"]["securitySchemes"]), keys(&json!({"token": 0, "feed": 0})));
}
