//! As many clients as there may be, over real sockets.

use std::time::Duration;

use futures::future::join_all;
use http::StatusCode;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::running::{LIMIT, Running, Setting, status};
use crate::support::commit_of;

/// Streams that the store takes.
const STREAMS: usize = 2000;
/// Connections that it takes.
const CONNECTIONS: usize = 4096;

async fn put(running: &Running, setting: &Setting, writer: &str, on: Option<u128>, head: u128, summary: &str) {
    let body = commit_of(&setting.namespace, "team", on, head, &["a"], summary);
    let path = format!("http://{}/write/v1/subscriptions/uid-1", running.public);
    let answer = reqwest::Client::new().put(path).bearer_auth(writer).body(body).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
}

/// Reads until this stands in what has come.
async fn until(stream: &mut TcpStream, text: &str) -> String {
    let mut came = Vec::new();
    let read = async {
        let mut part = [0; 4096];
        loop {
            let length = stream.read(&mut part).await.unwrap();
            assert!(length > 0, "{}", String::from_utf8_lossy(&came));
            came.extend_from_slice(&part[..length]);
            if String::from_utf8_lossy(&came).contains(text) {
                return;
            }
        }
    };
    timeout(LIMIT, read).await.expect("it does not come");
    String::from_utf8_lossy(&came).into_owned()
}

#[tokio::test]
async fn two_thousand_streams_all_get_a_change_and_the_next_one_is_refused() {
    let (setting, running, writer, reader) = Setting::ready(&[]).await;
    put(&running, &setting, &writer, None, 1, "before").await;
    let path = format!("/v1/namespaces/{}/calendarsubscriptions/team/changes", setting.namespace);
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {reader}\r\nAccept: text/event-stream\r\n\r\n"
    );
    let (memory, files) = (running.memory("VmHWM"), running.files());
    let mut streams = Vec::new();
    // Some at a time: the kernel's queue is shorter.
    while streams.len() < STREAMS {
        let mut some = join_all((0..100).map(|_| running.sends(&request))).await;
        join_all(some.iter_mut().map(|stream| until(stream, "before"))).await;
        streams.extend(some);
    }
    let mut refused = running.sends(&request).await;
    let answer = until(&mut refused, "streams are open").await;
    assert_eq!(status(&answer), 429, "{answer}");
    assert!(answer.to_ascii_lowercase().contains("retry-after: 5"), "{answer}");
    let opened = running.files() - files;

    put(&running, &setting, &writer, Some(1), 2, "after").await;
    join_all(streams.iter_mut().map(|stream| until(stream, "after"))).await;
    let grown = running.memory("VmHWM") - memory;
    println!("{STREAMS} streams cost {opened} files and {grown} KiB, {} KiB each", grown / STREAMS as u64);
    assert!(opened <= STREAMS + 64, "{opened} files for {STREAMS} streams");
    // The buffers of a connection and one change: 64 KiB are more than these need.
    assert!(grown < STREAMS as u64 * 64, "{grown} KiB");
    drop(streams);
    let closed =
        testenv::eventually("their files are closed", LIMIT, async || (running.files() <= files + 64).then_some(()));
    closed.await.unwrap();
}

#[tokio::test]
async fn connections_beyond_the_bound_wait_until_others_end() {
    let (setting, running, writer, reader) = Setting::ready(&[]).await;
    put(&running, &setting, &writer, None, 1, "before").await;
    let (memory, files) = (running.memory("VmHWM"), running.files());
    let mut silent = Vec::new();
    for _ in 0..CONNECTIONS / 128 {
        silent.extend(join_all((0..128).map(|_| running.sends("GET / HTTP/1.1\r\n"))).await);
    }
    // Those wait in the kernel's queue.
    silent.extend(join_all((0..500).map(|_| running.sends("GET / HTTP/1.1\r\n"))).await);
    let client = reqwest::Client::new();
    let path = running.path(&setting, "events");
    let read = timeout(LIMIT, client.get(path).bearer_auth(&reader).send()).await.expect("it is never served").unwrap();
    assert_eq!(read.status(), StatusCode::OK);
    let (grown, opened) = (running.memory("VmHWM") - memory, running.files().saturating_sub(files));
    println!("{CONNECTIONS} silent connections cost {grown} KiB");
    assert!(opened <= CONNECTIONS + 64, "{opened} files");
    assert!(grown < CONNECTIONS as u64 * 64, "{grown} KiB");
    drop(silent);
    let gone = testenv::eventually("they are gone", Duration::from_secs(60), async || {
        (running.files() <= files + 64).then_some(())
    });
    gone.await.unwrap();
}
