//! Requests that nobody means well by, on the wire, to the binary as it runs.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use futures::future::join_all;
use serde_json::Value;

use crate::running::{Running, Setting, status};
use crate::support::commit;

/// The document of a refusal.
#[track_caller]
fn problem(answer: &str) -> Value {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer}"));
    assert!(head.to_ascii_lowercase().contains("content-type: application/problem+json"), "{answer}");
    let document: Value = serde_json::from_str(body).unwrap_or_else(|_| panic!("{answer}"));
    assert_eq!(document["status"], status(answer), "{answer}");
    assert!(document["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{answer}");
    document
}

fn request(method: &str, path: &str, token: &str, more: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nHost: store\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n{more}\r\n"
    )
}

/// That it is as it was: the one event is there, for who may read it.
async fn is_sound(running: &Running, setting: &Setting, reader: &str) {
    let events = reqwest::Client::new().get(running.path(setting, "events")).bearer_auth(reader).send().await.unwrap();
    assert_eq!(events.json::<Value>().await.unwrap()["items"].as_array().unwrap().len(), 1);
}

/// Paths and queries that nobody needs, and how they are answered.
fn hostile(namespace: &str) -> Vec<(String, u16)> {
    let base = format!("/v1/namespaces/{namespace}/calendarsubscriptions");
    let long = "a".repeat(20_000);
    let sql =
        ["'%20OR%20'1'='1", "x';DROP%20TABLE%20events;--", "1)%20UNION%20SELECT%20token%20FROM%20feeds--", "$1", "%00"];
    let mut table: Vec<(String, u16)> = Vec::new();
    // Pieces of paths.
    for piece in sql.iter().chain(&[
        "..",
        ".",
        "%2e%2e",
        "a%2fb",
        "..%2f..%2fetc%2fpasswd",
        "a%00",
        "a%0d%0aX:%201",
        "%FF",
        &long,
    ]) {
        for rest in ["events", "now", "changes", "events.ics"] {
            table.push((format!("{base}/{piece}/{rest}"), 400));
        }
        let freebusy = format!("/v1/namespaces/{piece}/freebusy?subscription=team&from=2026-03-01&to=2026-03-02");
        table.push((freebusy, 400));
        // Nobody may that, or there is no such name; never anything else.
        table.push((format!("{base}/{piece}/feeds"), 400));
        table.push((format!("{base}/team/feeds/{piece}"), 405));
    }
    for path in [
        "//",
        "/v1",
        "/v1/",
        "/v1//namespaces",
        "/../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/v1/openapi.json/..",
        "/write/v1/subscriptions/",
        "/metrics",
        "/livez",
        "/.git/config",
        "/v1/namespaces/a/b/c/d/e/f/g",
    ] {
        table.push((path.to_owned(), 404));
    }
    // Parameters.
    for value in
        sql.iter().chain(&["", "%FF", "9".repeat(5000).as_str(), "-1", "NaN", "%E2%80%AE", "999999999999-01-01T"])
    {
        for parameter in [
            "events?from",
            "events?to",
            "events?timeZone",
            "events?limit",
            "events?after",
            "now?at",
            "now?timeZone",
            "changes?since",
            "changes?limit",
            "events.ics?from",
            "events.ics?to",
            "events?unknown",
        ] {
            table.push((format!("{base}/team/{parameter}={value}"), 400));
        }
        for parameter in [
            "from=2026-03-01&to=2026-03-02&subscription",
            "subscription=team&to=2026-03-02&from",
            "subscription=team&from=2026-03-01&to",
        ] {
            table.push((format!("/v1/namespaces/{namespace}/freebusy?{parameter}={value}"), 400));
        }
    }
    for query in [
        "limit=1&limit=1",
        "from=2026-03-01&from=2026-03-01",
        "from=1900-01-01&to=2300-01-01",
        "timeZone=UTC&timeZone=UTC",
        "timeZone=../../etc/passwd",
        "timeZone=posixrules%00",
        "=",
        "=1",
        "&&&=&",
        "%26=%3D",
    ] {
        table.push((format!("{base}/team/events?{query}"), 400));
    }
    let many = "subscription=team&".repeat(51);
    table.push((format!("/v1/namespaces/{namespace}/freebusy?{many}from=2026-03-01&to=2026-03-02"), 400));
    table.push((format!("/v1/namespaces/{namespace}/freebusy?subscription=team&from=1900-01-01&to=2200-01-01"), 400));
    table.push((format!("{base}/team/events?{}", "x=1&".repeat(5000)), 400));
    table
}

#[tokio::test]
async fn whatever_stands_in_a_request_is_answered_and_changes_nothing() {
    let (setting, running, writer, reader) = Setting::ready(&[]).await;
    let body = commit(&setting.namespace, "team", None, 1, &["a"]);
    let more = format!("Content-Length: {}\r\n", body.len());
    let put = request("PUT", "/write/v1/subscriptions/uid-1", &writer, &more).into_bytes();
    assert_eq!(status(&running.raw([put, body].concat()).await), 200);
    is_sound(&running, &setting, &reader).await;

    let table = hostile(&setting.namespace);
    println!("{} requests", table.len());

    for chunk in table.chunks(64) {
        let asked = chunk.iter().map(async |(path, expected)| {
            let answer = running.raw(request("GET", path, &reader, "")).await;
            assert_eq!(status(&answer), *expected, "{path}: {answer}");
            let said = problem(&answer).to_string();
            assert!(said.len() < 2000, "{path}: an answer is not as large as what was asked");
            assert!(!said.contains("passwd") && !said.to_lowercase().contains("syntax"), "{path}: {said}");
        });
        join_all(asked).await;
    }
    is_sound(&running, &setting, &reader).await;
}

#[tokio::test]
async fn requests_that_are_none_are_refused_and_the_next_one_is_served() {
    let (setting, running, writer, reader) = Setting::ready(&[]).await;
    let body = commit(&setting.namespace, "team", None, 1, &["a"]);
    let put = reqwest::Client::new().put(format!("http://{}/write/v1/subscriptions/uid-1", running.public));
    assert_eq!(put.bearer_auth(&writer).body(body).send().await.unwrap().status(), 200);
    let path = format!("/v1/namespaces/{}/calendarsubscriptions/team/events", setting.namespace);
    let write = "/write/v1/subscriptions/uid-1";

    // What hyper takes for no HTTP it refuses by itself, without a body.
    let headers = "X-Many: 1\r\n".repeat(200);
    let huge = format!("X: {}\r\n", "x".repeat(64 * 1024));
    let unspoken: Vec<(Vec<u8>, &[u16])> = vec![
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(), &[0, 400]),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00".to_vec(), &[0, 400]),
        (b"\0\xff\0\xff\r\n\r\n".to_vec(), &[0, 400]),
        (format!("GET {path} HTTP/9.9\r\n\r\n").into_bytes(), &[0, 400]),
        (format!("GET {path}%zz\x01 HTTP/1.1\r\nHost: h\r\n\r\n").into_bytes(), &[400]),
        (request("GET", &path, &reader, &headers).into_bytes(), &[431]),
        (request("GET", &path, &reader, &huge).into_bytes(), &[431]),
        (request("GET", &format!("/{}", "x".repeat(64 * 1024)), &reader, "").into_bytes(), &[414, 431]),
        (request("PUT", write, &writer, "Content-Length: 5\r\nContent-Length: 6\r\n").into_bytes(), &[400]),
        (request("PUT", write, &writer, "Content-Length: -1\r\n").into_bytes(), &[400]),
        (request("PUT", write, &writer, "Content-Length: 99999999999999999999\r\n").into_bytes(), &[400]),
        (request("PUT", write, &writer, "Transfer-Encoding: gzip\r\n").into_bytes(), &[400]),
        (request("GET", &path, &reader, "X : 1\r\n").into_bytes(), &[400]),
        (request("GET", &path, &reader, " folded: 1\r\n").into_bytes(), &[400]),
    ];
    for (text, expected) in unspoken {
        let answer = running.raw(&text).await;
        assert!(expected.contains(&status(&answer)), "{}: {answer}", String::from_utf8_lossy(&text));
    }

    // All others are told what is wrong.
    let mut invalid = request("GET", &path, "", "").into_bytes();
    let place = invalid.windows(7).position(|window| window == b"Bearer ").unwrap() + 7;
    invalid.splice(place..place, *b"\xff\xfe");
    let large = format!("Content-Length: 17000\r\n\r\n{}", "x".repeat(17_000));
    let told: Vec<(Vec<u8>, u16)> = vec![
        (invalid, 401),
        (request("GET", &path, &"x".repeat(30_000), "").into_bytes(), 401),
        (request("GET", &path, "a b c", "").into_bytes(), 401),
        (request("GET", &path, "", "").into_bytes(), 401),
        (request("TRACE", &path, &reader, "").into_bytes(), 405),
        (request("DELETE", &path, &reader, "").into_bytes(), 405),
        (request("CONNECT", &path, &reader, "").into_bytes(), 405),
        (request("BREW", &path, &reader, "").into_bytes(), 405),
        (request("PATCH", write, &writer, "").into_bytes(), 405),
        (request("PUT", write, &writer, "Transfer-Encoding: chunked\r\n\r\nzz").into_bytes(), 400),
        (request("PUT", write, &writer, "").into_bytes(), 400),
        (request("PUT", write, &reader, "").into_bytes(), 403),
        (request("PUT", "/write/v1/subscriptions/..", &writer, "").into_bytes(), 400),
        (request("GET", "/write/v1/subscriptions?after=a'%20OR%201=1", &writer, "").into_bytes(), 400),
        (request("GET", "/write/v1/subscriptions?after=%FF", &writer, "").into_bytes(), 400),
        (request("PUT", "/write/v1/subscriptions/%FF", &writer, "").into_bytes(), 400),
        (request("GET", "/write/v1/subscriptions/a'%20OR%201=1", &writer, "").into_bytes(), 400),
        (request("POST", &path.replace("/events", "/feeds"), &reader, &large).into_bytes(), 413),
        (request("POST", &path.replace("/events", "/feeds"), &reader, "Content-Length: 2\r\n\r\n[]").into_bytes(), 400),
        (
            request("GET", &path, &reader, "")
                .replace("/events ", "/changes ")
                .replace("\r\n\r\n", "\r\nAccept: text/event-stream\r\nLast-Event-ID: x.'--\r\n\r\n")
                .into_bytes(),
            400,
        ),
    ];
    for (text, expected) in told {
        let answer = running.raw(&text).await;
        let shown = String::from_utf8_lossy(&text[..text.len().min(200)]).into_owned();
        assert_eq!(status(&answer), expected, "{shown}: {answer}");
        problem(&answer);
    }
    is_sound(&running, &setting, &reader).await;
}

#[tokio::test]
async fn what_is_small_on_the_wire_is_not_made_large() {
    let (setting, running, writer, reader) = Setting::ready(&["--max-body=1Mi"]).await;
    let client = reqwest::Client::new();
    let put = |body: Vec<u8>| {
        let path = format!("http://{}/write/v1/subscriptions/uid-1", running.public);
        client.put(path).bearer_auth(&writer).header("Content-Encoding", "gzip").body(body).send()
    };
    let before = running.memory("VmHWM");
    // A quarter of a gigabyte of zeros.
    let mut once = GzEncoder::new(Vec::new(), Compression::best());
    let zeros = vec![0; 1024 * 1024];
    for _ in 0..256 {
        once.write_all(&zeros).unwrap();
    }
    let bomb = once.finish().unwrap();
    let answer = put(bomb).await.unwrap();
    assert_eq!(answer.status(), 400);
    assert_eq!(answer.json::<Value>().await.unwrap()["reason"], "Invalid", "nothing is unpacked");
    // Of what is too large no more is taken than allowed.
    let lines = commit(&setting.namespace, "team", None, 1, &["a"]);
    let mut large = lines.clone();
    large.resize(8 * 1024 * 1024, b' ');
    match put(large).await {
        Ok(answer) => assert_eq!(answer.status(), 413),
        Err(error) => assert!(error.is_request() || error.is_body(), "{error:?}"),
    }
    let grown = running.memory("VmHWM") - before;
    assert!(grown < 16 * 1024, "{grown} KiB for a bomb");
    assert_eq!(put(lines).await.unwrap().status(), 200);
    is_sound(&running, &setting, &reader).await;
}
