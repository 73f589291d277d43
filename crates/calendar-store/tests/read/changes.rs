//! Changes, read page by page.

use std::collections::BTreeMap;

use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::store::{Store, event};

/// Somebody who keeps a copy by reading the changes.
#[derive(Default)]
struct Copy {
    events: BTreeMap<String, Value>,
    since: Option<String>,
    deletions: usize,
}

impl Copy {
    /// Reads one page; gives whether there are more.
    async fn page(&mut self, store: &Store, limit: usize) -> bool {
        let since = self.since.as_ref().map(|since| format!("&since={since}")).unwrap_or_default();
        let answer = store.get("berlin", &format!("changes?limit={limit}{since}")).await.json();
        for item in answer["items"].as_array().unwrap() {
            let id = item["id"].as_str().unwrap().to_owned();
            if let Some(event) = item.get("event") {
                self.events.insert(id, event.clone());
            } else {
                assert_eq!(item["deleted"], json!(true));
                self.deletions += 1;
                self.events.remove(&id);
            }
        }
        self.since = answer["sequence"].as_str().map(str::to_owned);
        answer["more"].as_bool().unwrap()
    }

    async fn rest(&mut self, store: &Store, limit: usize) {
        while self.page(store, limit).await {}
    }

    async fn equals(&self, store: &Store) -> bool {
        let stored = store.stored("berlin").await;
        let stored = stored.iter().map(|event| (event.id.clone(), serde_json::to_value(event).unwrap()));
        stored.collect::<BTreeMap<_, _>>() == self.events
    }
}

fn hour(id: &str, hour: usize) -> calendar_sync::Event {
    event(id, &format!("2026-03-01T{hour:02}:00:00Z"), &format!("2026-03-01T{hour:02}:30:00Z"))
}

#[tokio::test]
async fn a_copy_follows_from_the_sequence_of_an_answer() {
    let store = Store::new().await;
    store.commit("berlin", [hour("a", 1), hour("b", 2)], &[]).await;
    let sequence = store.get("berlin", "events").await.json()["sequence"].as_str().unwrap().to_owned();
    assert_eq!(sequence.split('.').count(), 2);
    store.commit("berlin", [hour("a", 3), hour("c", 4)], &["b"]).await;
    let answer = store.get("berlin", &format!("changes?since={sequence}")).await.json();
    let items = answer["items"].as_array().unwrap();
    assert_eq!(items.len(), 3);
    assert_eq!(items.iter().filter(|item| item["deleted"] == json!(true) && item["id"] == "b").count(), 1);
    let end = answer["sequence"].as_str().unwrap();
    let answer = store.get("berlin", &format!("changes?since={end}")).await.json();
    assert_eq!(answer, json!({"items": [], "sequence": end, "more": false}));
}

#[tokio::test]
async fn without_a_sequence_all_events_are_told_and_no_deletion_from_before() {
    let store = Store::new().await;
    store.commit("berlin", (0..9).map(|number| hour(&format!("e{number}"), number)), &[]).await;
    store.commit("berlin", [], &["e0", "e8"]).await;
    let mut copy = Copy::default();
    assert!(copy.page(&store, 3).await);
    assert_eq!(copy.since.as_ref().unwrap().split('.').count(), 3);
    // Seen already: this deletion is told. The older ones can be forgotten meanwhile.
    store.database.forget_deletions(Timestamp::now() + jiff::SignedDuration::from_secs(5)).await.unwrap();
    store.commit("berlin", [], &["e1"]).await;
    copy.rest(&store, 3).await;
    assert!(copy.equals(&store).await);
    assert_eq!(copy.deletions, 1);
    assert_eq!(copy.since.as_ref().unwrap().split('.').count(), 2);
}

#[tokio::test]
async fn who_has_not_read_what_is_forgotten_begins_anew() {
    let store = Store::new().await;
    store.commit("berlin", [hour("a", 1), hour("b", 2)], &[]).await;
    let before = store.get("berlin", "changes").await.json()["sequence"].as_str().unwrap().to_owned();
    store.commit("berlin", [], &["a"]).await;
    let after = store.get("berlin", "changes").await.json()["sequence"].as_str().unwrap().to_owned();
    store.database.forget_deletions(Timestamp::now() + jiff::SignedDuration::from_secs(5)).await.unwrap();
    store.get("berlin", &format!("changes?since={before}")).await.refused(410, Some("since"));
    assert_eq!(store.get("berlin", &format!("changes?since={after}")).await.status, 200);
    let (incarnation, number) = after.split_once('.').unwrap();
    let ahead = number.parse::<i64>().unwrap() + 1;
    for since in
        [format!("{incarnation}.{ahead}"), format!("0{incarnation}.{number}"), format!("{incarnation}.0.{ahead}")]
    {
        store.get("berlin", &format!("changes?since={since}")).await.refused(410, Some("since"));
    }
    store.erase("berlin").await;
    store.get("berlin", &format!("changes?since={after}")).await.refused(404, None);
    store.commit("berlin", [hour("a", 1), hour("b", 2), hour("c", 3)], &[]).await;
    store.get("berlin", &format!("changes?since={after}")).await.refused(410, Some("since"));
}

#[tokio::test]
async fn a_deletion_is_matched_by_the_id_that_the_event_was_told_with() {
    let store = Store::new().await;
    let long = "x".repeat(600);
    store.commit("berlin", [hour(&long, 1)], &[]).await;
    let told = store.get("berlin", "changes").await.json();
    assert_eq!(told["items"][0]["event"]["id"], json!(long));
    store.commit("berlin", [], &[&long]).await;
    let since = told["sequence"].as_str().unwrap();
    let gone = store.get("berlin", &format!("changes?since={since}")).await.json();
    assert_eq!((&gone["items"][0]["id"], &gone["items"][0]["deleted"]), (&told["items"][0]["id"], &json!(true)));
}

/// What happens to a calendar and its reader.
#[derive(Clone, Debug)]
enum Happening {
    Put(usize, usize),
    Delete(usize),
    Read(usize),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        (0_usize..12, 0_usize..24).prop_map(|(id, at)| Happening::Put(id, at)),
        (0_usize..12).prop_map(Happening::Delete),
        (1_usize..5).prop_map(Happening::Read),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn a_copy_that_reads_now_and_then_ends_as_the_calendar(happenings in proptest::collection::vec(happening(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let equal = runtime.block_on(async {
            let store = Store::new().await;
            store.commit("berlin", [hour("e0", 0)], &[]).await;
            let mut copy = Copy::default();
            for happening in happenings {
                match happening {
                    Happening::Put(id, at) => store.commit("berlin", [hour(&format!("e{id}"), at)], &[]).await,
                    Happening::Delete(id) => store.commit("berlin", [], &[&format!("e{id}")]).await,
                    Happening::Read(limit) => drop(copy.page(&store, limit).await),
                }
            }
            copy.rest(&store, 2).await;
            copy.equals(&store).await
        });
        prop_assert!(equal);
    }
}
