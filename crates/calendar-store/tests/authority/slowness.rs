//! Clients that are slow on purpose: to send, and to take.

use std::time::Duration;

use futures::future::join_all;
use http::StatusCode;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};

use crate::running::{LIMIT, Running, Setting, status, until_closed};
use crate::support::commit_of;

#[tokio::test]
async fn heads_and_bodies_that_do_not_come_are_not_waited_for_and_hold_up_nobody() {
    let (setting, running, writer, reader) = Setting::ready(&[]).await;
    let client = reqwest::Client::new();
    let begun = "GET / HTTP/1.1\r\nHost: h\r\n";
    let silent = join_all((0..300).map(|number| running.sends(if number % 2 == 0 { begun } else { "" }))).await;
    let put = format!(
        "PUT /write/v1/subscriptions/uid-1 HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {writer}\r\nContent-Length: 1000\r\n\r\n"
    );
    let stalled = join_all((0..20).map(|_| running.sends(format!("{put}{{\"name")))).await;
    // They stand, and others are served.
    let stand = testenv::eventually("all are accepted", LIMIT, async || {
        (running.metric("calendar_store_connections").await >= 320).then_some(())
    });
    stand.await.unwrap();
    let body = commit_of(&setting.namespace, "team", None, 1, &["a"], "");
    let path = format!("http://{}/write/v1/subscriptions/uid-1", running.public);
    let answer = client.put(path).bearer_auth(&writer).body(body).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let read = client.get(running.path(&setting, "events")).bearer_auth(&reader).send().await.unwrap();
    assert_eq!(read.status(), StatusCode::OK);
    // A head that drips is no better than one that stands still.
    let mut drips = running.sends("GET / HTTP/1.1\r\n").await;
    let dripped = async {
        while drips.write_all(b"X: 1\r\n").await.is_ok() {
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(LIMIT, dripped).await.expect("a head that drips is waited for");
    for stream in silent {
        assert!(matches!(status(&until_closed(stream).await), 0 | 408));
    }
    for stream in stalled {
        let answer = until_closed(stream).await;
        assert!(status(&answer) == 400 && answer.contains("was not received"), "{answer}");
    }
    let gone = testenv::eventually("all connections are gone", LIMIT, async || {
        drop(client.get(running.path(&setting, "events")).header("Connection", "close").send().await);
        (running.metric("calendar_store_connections").await <= 2).then_some(())
    });
    gone.await.unwrap();
}

/// A connection whose kernel keeps little of what is not read.
async fn narrow(running: &Running) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 * 1024).unwrap();
    socket.connect(running.address()).await.unwrap()
}

async fn follow(running: &Running, path: &str, token: &str, last: Option<&str>) -> TcpStream {
    let mut stream = narrow(running).await;
    let last = last.map(|last| format!("Last-Event-ID: {last}\r\n")).unwrap_or_default();
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {token}\r\nAccept: text/event-stream\r\n{last}\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// The whole changes of what came, as their positions and ids.
fn changes(text: &str) -> Vec<(String, String)> {
    // Pieces of the transfer do not matter: none of their lines begins as those of events do.
    let whole = text.rsplit_once("\n\n").map_or("", |(whole, _)| whole);
    let mut changes = Vec::new();
    let mut position = None;
    for line in whole.lines() {
        if let Some(id) = line.strip_prefix("id: ") {
            position = Some(id.to_owned());
        } else if let Some(data) = line.strip_prefix("data: ") {
            let change: Value = serde_json::from_str(data).unwrap();
            changes.push((position.take().unwrap(), change["id"].as_str().unwrap().to_owned()));
        }
    }
    changes
}

#[tokio::test]
async fn a_reader_that_takes_nothing_is_ended_and_goes_on_later_with_nothing_lost() {
    let (setting, running, writer, reader) = Setting::ready(&[]).await;
    // Far more than kernels and the store hold for one connection.
    let ids: Vec<String> = (0..8000).map(|number| format!("event-{number:05}")).collect();
    let body = commit_of(&setting.namespace, "team", None, 1, &ids, &"long ".repeat(500));
    assert!(body.len() > 20_000_000);
    let path = format!("http://{}/write/v1/subscriptions/uid-1", running.public);
    let answer = reqwest::Client::new().put(path).bearer_auth(&writer).body(body).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK, "{}", answer.text().await.unwrap());

    let path = format!("/v1/namespaces/{}/calendarsubscriptions/team/changes", setting.namespace);
    let before = running.memory("VmHWM");
    let slow = join_all((0..50).map(|_| follow(&running, &path, &reader, None))).await;
    // Nothing is read, so after a while all of them are ended.
    let ended = testenv::eventually("the connections are gone", LIMIT, async || {
        (running.metric("calendar_store_connections").await == 0).then_some(())
    });
    ended.await.unwrap();
    let grown = running.memory("VmHWM") - before;
    println!("50 slow readers of a stream of 20 MB cost {grown} KiB");
    // SQLite's caches of 2 MiB for each of 8 connections, and for each reader a page of changes of 64 KiB in its two forms, and
    // a buffer of its connection.
    assert!(grown < 8 * 2048 + 50 * 256, "{grown} KiB");

    let mut slow = slow.into_iter();
    let mut seen = Vec::new();
    let mut last: Option<String> = None;
    let mut stream = slow.next().unwrap();
    drop(slow);
    loop {
        // What had come before the end is whole up to some change.
        let mut text = String::new();
        let mut lines = BufReader::new(stream);
        let mut line = String::new();
        let mut begun = seen.len();
        let read = async {
            while let Ok(1..) = lines.read_line(&mut line).await {
                begun += usize::from(line.starts_with("id: "));
                let last = begun == ids.len() && line == "\n";
                text += &line;
                line.clear();
                if last {
                    break;
                }
            }
        };
        timeout(LIMIT, read).await.expect("nothing comes");
        for (position, id) in changes(&text) {
            last = Some(position);
            seen.push(id);
        }
        if seen.len() >= ids.len() {
            break;
        }
        stream = follow(&running, &path, &reader, last.as_deref()).await;
    }
    assert_eq!(seen, ids, "each once, in order");
}

#[tokio::test]
async fn calendars_that_nobody_takes_have_places_and_the_next_one_is_refused() {
    let (setting, running, writer, reader) = Setting::ready(&[]).await;
    let ids: Vec<String> = (0..600).map(|number| format!("event-{number:05}")).collect();
    let body = commit_of(&setting.namespace, "team", None, 1, &ids, &"long ".repeat(700));
    let path = format!("http://{}/write/v1/subscriptions/uid-1", running.public);
    let answer = reqwest::Client::new().put(path).bearer_auth(&writer).body(body).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let base = format!("/v1/namespaces/{}/calendarsubscriptions/team", setting.namespace);
    let ask = async |rest: &str| {
        let mut stream = narrow(&running).await;
        let request = format!("GET {base}/{rest} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {reader}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        // The beginning of the answer, and no more.
        let mut head = [0; 12];
        timeout(LIMIT, stream.read_exact(&mut head)).await.expect("no answer").unwrap();
        (status(&String::from_utf8_lossy(&head)), stream)
    };
    let before = running.memory("VmHWM");
    let calendars = join_all((0..40).map(|_| ask("events.ics"))).await;
    let of = |status| calendars.iter().filter(|(found, _)| *found == status).count();
    assert_eq!((of(200), of(429)), (32, 8));
    let grown = running.memory("VmHWM") - before;
    println!("32 calendars of two megabytes that nobody takes cost {grown} KiB");
    // Three are written at a time, each with a page of at most 4 MiB in three forms, and each has a piece and buffers. All of them in
    // memory would be 67 MB.
    assert!(grown < 3 * 3 * 4096 + 32 * 256, "{grown} KiB");
    assert_eq!(ask("events?limit=1").await.0, 200, "other answers are given all the time");
    drop(calendars);
    let again = testenv::eventually("calendars are given again", LIMIT, async || {
        (ask("events.ics").await.0 == 200).then_some(())
    });
    again.await.unwrap();
}
