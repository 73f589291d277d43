//! How much memory the binary takes while a calendar is written and read in every form, for a small calendar and a large one:
//! `cargo bench -p calendar-store --bench memory`. EVENTS (200000) is the size of the large one. Fails if the large one takes more
//! than its reasons allow.
#![allow(missing_docs, dead_code, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

#[path = "../tests/authority/running.rs"]
mod running;
#[path = "../tests/authority/support.rs"]
mod support;

use reqwest::{Client, RequestBuilder};
use running::{Running, Setting};
use serde_json::Value;

/// Events of the small calendar: already more than a page.
const FEW: usize = 2000;
/// Bytes of an event's summary: an event is about 500 bytes then.
const SUMMARY: usize = 330;
/// KiB that a large calendar may take more than a small one. Ids of 200,000 events, as hashes of 16 bytes in a table that is
/// made twice as large at a time: 7 MiB. A page of 4 MiB as rows, as documents and as text: 12 MiB. SQLite's caches of 2 MiB for each
/// of 10 connections, which a small calendar does not fill: 20 MiB. The calendar itself has 100 MB.
const MORE: u64 = (7 + 12 + 20 + 1) * 1024;

struct Reader<'a> {
    running: &'a Running,
    setting: &'a Setting,
    token: &'a str,
    client: Client,
}

impl Reader<'_> {
    fn get(&self, rest: &str) -> RequestBuilder {
        self.client.get(self.running.path(self.setting, rest)).bearer_auth(self.token)
    }

    async fn json(&self, rest: &str) -> Value {
        self.get(rest).send().await.unwrap().error_for_status().unwrap().json().await.unwrap()
    }

    async fn pages(&self) -> usize {
        let (mut count, mut next) = (0, String::new());
        loop {
            let page = self.json(&format!("events?limit=1000{next}")).await;
            count += page["items"].as_array().unwrap().len();
            let Some(after) = page["next"].as_str() else { return count };
            next = format!("&after={after}");
        }
    }

    async fn changes(&self) -> usize {
        let (mut count, mut since) = (0, String::new());
        loop {
            let page = self.json(&format!("changes?limit=1000{since}")).await;
            count += page["items"].as_array().unwrap().len();
            if page["more"] == false {
                return count;
            }
            since = format!("&since={}", page["sequence"].as_str().unwrap());
        }
    }

    /// How often this stands at the beginning of a line, until it does so `most` times.
    async fn lines(&self, request: RequestBuilder, begin: &[u8], most: usize) -> usize {
        let mut answer = request.send().await.unwrap().error_for_status().unwrap();
        let (mut count, mut rest) = (0, Vec::new());
        while count < most
            && let Some(piece) = answer.chunk().await.unwrap()
        {
            rest.extend_from_slice(&piece);
            let whole = rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |place| place + 1);
            count += rest[..whole].split(|byte| *byte == b'\n').filter(|line| line.starts_with(begin)).count();
            rest.drain(..whole);
        }
        count
    }
}

/// The most memory in KiB that each step takes, by its name.
async fn measure(events: usize) -> Vec<(&'static str, u64)> {
    let (setting, running, writer, token) = Setting::ready(&[]).await;
    let ids: Vec<String> = (0..events).map(|number| format!("evt_{number:08}")).collect();
    let put = async |on: Option<u128>, head: u128| {
        let body = support::commit_of(&setting.namespace, "team", on, head, &ids, &"a".repeat(SUMMARY));
        let path = format!("http://{}/write/v1/subscriptions/uid-1", running.public);
        let answer = Client::new().put(path).bearer_auth(&writer).body(body).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
    };
    let reader = Reader { running: &running, setting: &setting, token: &token, client: Client::new() };
    let mut steps = Vec::new();
    let mut step = |name| {
        steps.push((name, running.memory("VmHWM")));
        // From here on the most is counted anew, if the kernel does that.
        let _ = std::fs::write(format!("/proc/{}/clear_refs", running.process()), "5");
    };
    step("started");
    put(None, 1).await;
    step("written");
    put(Some(1), 2).await;
    step("written again");
    assert_eq!(reader.pages().await, events);
    step("read by pages of 1,000");
    assert_eq!(reader.lines(reader.get("events.ics"), b"BEGIN:VEVENT", usize::MAX).await, events);
    step("read as .ics");
    assert_eq!(reader.changes().await, events);
    step("read as changes");
    let stream = reader.get("changes?limit=1000").header("Accept", "text/event-stream");
    assert_eq!(reader.lines(stream, b"id: ", events).await, events);
    step("read as a stream");
    let path = format!("http://{}/write/v1/subscriptions/uid-1", running.public);
    assert_eq!(reader.lines(Client::new().get(path).bearer_auth(&writer), b"{\"put\"", usize::MAX).await, events);
    step("read by its writer");
    steps
}

#[tokio::main]
async fn main() {
    let many = std::env::var("EVENTS").map_or(200_000, |value| value.parse().expect("a number"));
    let (small, large) = (measure(FEW).await, measure(many).await);
    println!("| resident memory at most | {FEW} events | {many} events |\n| --- | ---: | ---: |");
    for ((name, small), (_, large)) in small.iter().zip(&large) {
        println!("| {name} | {:.1} MiB | {:.1} MiB |", mebibytes(*small), mebibytes(*large));
    }
    for ((name, small), (_, large)) in small.iter().zip(&large) {
        assert!(large.saturating_sub(*small) < MORE, "{name}: {small} KiB and {large} KiB");
    }
}

#[allow(clippy::cast_precision_loss)]
fn mebibytes(kibibytes: u64) -> f64 {
    kibibytes as f64 / 1024.0
}
