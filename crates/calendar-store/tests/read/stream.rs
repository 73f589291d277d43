//! Changes as they come.

use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::BodyDataStream;
use calendar_store::read::Streaming;
use calendar_sync::Event;
use futures::StreamExt as _;
use http::Request;
use jiff::Timestamp;
use serde_json::Value;
use tokio::time::timeout;

use crate::store::{Answer, Store, event, path};

/// Nothing here takes so long.
const LIMIT: Duration = Duration::from_secs(20);

/// A reader of a stream.
struct Reader {
    body: BodyDataStream,
    text: String,
}

/// What came: name, id and data.
type Came = (String, String, Value);

impl Reader {
    async fn open(store: &Store, rest: &str, last: Option<&str>) -> Self {
        let request = Request::get(path("berlin", rest))
            .header("authorization", "Bearer reader")
            .header("accept", "text/html;q=0.1, text/event-stream")
            .header("accept-encoding", "gzip");
        let request = match last {
            Some(last) => request.header("last-event-id", last),
            None => request,
        };
        let response = store.ask(request).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert!(!response.headers().contains_key("content-encoding"));
        Self { body: response.into_body().into_data_stream(), text: String::new() }
    }

    /// The next block, a comment, too; `None` at the end.
    async fn block(&mut self) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                return Some(block);
            }
            let piece = timeout(LIMIT, self.body.next()).await.expect("nothing comes")?;
            self.text += std::str::from_utf8(&piece.unwrap()).unwrap();
        }
    }

    async fn next(&mut self) -> Option<Came> {
        loop {
            let block = self.block().await?;
            let field = |name: &str| {
                let value = block.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
                value.trim_start_matches(": ").to_owned()
            };
            if !field("event").is_empty() {
                return Some((field("event"), field("id"), serde_json::from_str(&field("data")).unwrap()));
            }
        }
    }

    async fn ids(&mut self, count: usize) -> Vec<String> {
        let mut ids = Vec::new();
        for _ in 0..count {
            let (name, _, data) = self.next().await.unwrap();
            assert_eq!(name, "change");
            ids.push(data["id"].as_str().unwrap().to_owned());
        }
        ids
    }
}

fn day(id: &str) -> Event {
    event(id, "2026-03-01", "2026-03-02")
}

#[tokio::test]
async fn a_stream_goes_on_with_what_is_committed() {
    let store = Store::with(Streaming { look: Duration::from_secs(3600), ..Streaming::default() }).await;
    store.commit("berlin", ["a", "b", "c"].map(day), &[]).await;
    let mut reader = Reader::open(&store, "changes?limit=2", None).await;
    assert_eq!(reader.ids(3).await, ["a", "b", "c"]);
    // The bell alone tells of these.
    store.commit("berlin", [day("d")], &["a"]).await;
    let mut ids = reader.ids(2).await;
    ids.sort();
    assert_eq!(ids, ["a", "d"]);
    store.commit("paris", [day("x")], &[]).await;
    store.commit("berlin", [day("e")], &[]).await;
    assert_eq!(reader.ids(1).await, ["e"]);
}

#[tokio::test]
async fn what_others_commit_is_found_without_the_bell() {
    let store = Store::with(Streaming { look: Duration::from_millis(50), ..Streaming::default() }).await;
    store.commit("berlin", [day("a")], &[]).await;
    let mut reader = Reader::open(&store, "changes", None).await;
    assert_eq!(reader.ids(1).await, ["a"]);
    store.database.erase("uid-berlin").await.unwrap();
    assert_eq!(reader.next().await.unwrap().0, "gone");
    assert!(reader.next().await.is_none());
}

#[tokio::test]
async fn who_connects_again_misses_nothing_and_gets_nothing_twice() {
    let store = Store::new().await;
    store.commit("berlin", ["a", "b", "c", "d"].map(day), &[]).await;
    let mut last: Option<String> = None;
    let mut seen = Vec::new();
    for round in 0..6 {
        let mut reader = Reader::open(&store, "changes", last.as_deref()).await;
        let (_, id, data) = reader.next().await.unwrap();
        seen.push(data["id"].as_str().unwrap().to_owned());
        last = Some(id);
        if round == 1 {
            store.commit("berlin", ["e", "f"].map(day), &[]).await;
        }
    }
    assert_eq!(seen, ["a", "b", "c", "d", "e", "f"]);
    // The header says more than the address, which a browser repeats as it was.
    let mut reader = Reader::open(&store, "changes?since=other.1", last.as_deref()).await;
    store.commit("berlin", [day("g")], &[]).await;
    assert_eq!(reader.ids(1).await, ["g"]);
}

#[tokio::test]
async fn a_sequence_that_is_no_longer_told_ends_the_stream() {
    let store = Store::new().await;
    store.commit("berlin", [day("a"), day("b")], &[]).await;
    let mut reader = Reader::open(&store, "changes", None).await;
    let (_, first, _) = reader.next().await.unwrap();
    drop(reader);
    store.commit("berlin", [], &["a"]).await;
    store.database.forget_deletions(Timestamp::now() + jiff::SignedDuration::from_secs(5)).await.unwrap();
    for (rest, last) in [("changes", Some(first.as_str())), ("changes?since=other.1", None)] {
        let mut reader = Reader::open(&store, rest, last).await;
        assert_eq!(reader.next().await.unwrap().0, "gone");
        assert!(reader.next().await.is_none());
    }
}

#[tokio::test]
async fn a_stream_ends_when_its_reader_may_no_longer_read() {
    let store = Store::with(Streaming { check: Duration::from_millis(100), ..Streaming::default() }).await;
    store.commit("berlin", [day("a")], &[]).await;
    let mut reader = Reader::open(&store, "changes", None).await;
    assert_eq!(reader.ids(1).await, ["a"]);
    store.doorkeeper.refuses.store(true, Ordering::SeqCst);
    assert!(reader.next().await.is_none());
    let asked = store.doorkeeper.asked.load(Ordering::SeqCst);
    assert!(asked >= 2, "{asked}");
}

#[tokio::test]
async fn there_are_so_many_streams_and_no_more() {
    let store = Store::with(Streaming { most: 2, ..Streaming::default() }).await;
    store.commit("berlin", [day("a")], &[]).await;
    let one = Reader::open(&store, "changes", None).await;
    let _two = Reader::open(&store, "changes", None).await;
    let answer = store.get_with("berlin", "changes", &[("accept", "text/event-stream")]).await;
    answer.refused(429, None);
    assert_eq!(answer.header("retry-after"), "5");
    assert_eq!(store.get("berlin", "changes").await.status, 200);
    drop(one);
    let mut three = Reader::open(&store, "changes", None).await;
    assert_eq!(three.ids(1).await, ["a"]);
}

#[tokio::test]
async fn a_quiet_stream_shows_that_it_lives_and_ends_with_the_process() {
    let store = Store::with(Streaming { alive: Duration::from_millis(50), ..Streaming::default() }).await;
    store.commit("berlin", [], &[]).await;
    let mut reader = Reader::open(&store, "changes", None).await;
    for _ in 0..3 {
        assert_eq!(reader.block().await.unwrap(), ":");
    }
    store.bell.end();
    assert!(reader.next().await.is_none());
    store.get_with("berlin", "changes", &[("accept", "text/event-stream")]).await.refused(503, None);
}

#[tokio::test]
async fn a_stream_is_refused_as_anything_else_before_it_begins() {
    let store = Store::new().await;
    let stream = [("accept", "text/event-stream")];
    store.get_with("berlin", "changes", &stream).await.refused(404, None);
    store.commit("berlin", [], &[]).await;
    store.get_with("secret", "changes", &stream).await.refused(403, None);
    for last in ["x", "a.b", "1.-1", "a.1.2.3", &"9".repeat(200)] {
        let headers = [stream[0], ("last-event-id", last)];
        store.get_with("berlin", "changes", &headers).await.refused(400, Some("Last-Event-ID"));
    }
    let request = Request::get(path("berlin", "changes")).header("accept", "text/event-stream");
    Answer::of(store.ask(request).await).await.refused(401, None);
}
