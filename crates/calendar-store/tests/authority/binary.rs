//! The binary as a whole.

use std::process::Output;
use std::time::Duration;

use http::StatusCode;
use serde_json::Value;
use testenv::Authority;

use crate::running::{Running, Setting, program};
use crate::support::{AUDIENCE, commit, shared, token};

#[tokio::test]
async fn it_serves_until_it_is_told_to_stop() {
    let setting = Setting::new().await;
    let secret = setting.folder.path().join("url");
    std::fs::write(&secret, format!("{}\n", setting.url)).unwrap();
    let running = Running::start(setting.serve(&["--database-file", secret.to_str().unwrap()]));
    let waits = testenv::eventually("it says what it waits for", Duration::from_secs(10), async || {
        let (status, said) = running.readiness().await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        said.contains("system:auth-delegator").then_some(said)
    });
    assert!(
        waits.await.unwrap().starts_with("reviews: the store may not create tokenreviews.authentication.k8s.io: bind")
    );
    setting.grant().await;
    running.ready().await;

    let token = self::token(shared().await, &setting.namespace, "writer", &[AUDIENCE]).await;
    let (client, path) = (reqwest::Client::new(), format!("http://{}/write/v1/subscriptions/uid-1", running.public));
    let body = commit(&setting.namespace, "team", None, 1, &["a", "b", "c"]);
    let answer = client.put(&path).bearer_auth(&token).body(body).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.json::<Value>().await.unwrap()["changes"], 3);
    let read = client.get(&path).bearer_auth(&token).send().await.unwrap();
    assert_eq!(read.text().await.unwrap().lines().count(), 5);
    assert_eq!(client.get(&path).send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    let nowhere = client.get(format!("http://{}/nowhere", running.public)).send().await.unwrap();
    assert_eq!(nowhere.status(), StatusCode::NOT_FOUND);
    let calendar = format!("http://{}/v1/namespaces/{}/calendarsubscriptions/team", running.public, setting.namespace);
    setting.grant_reader().await;
    let reader = self::token(shared().await, &setting.namespace, "reader", &[AUDIENCE]).await;
    let events = client.get(format!("{calendar}/events")).bearer_auth(&reader).send().await.unwrap();
    assert_eq!(events.json::<Value>().await.unwrap()["items"].as_array().unwrap().len(), 3);
    let refused = client.get(format!("{calendar}/events")).bearer_auth(&token).send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::FORBIDDEN, "the writer does not read");
    let feed = client
        .post(format!("{calendar}/feeds"))
        .bearer_auth(&reader)
        .body(r#"{"label":"phone"}"#)
        .send()
        .await
        .unwrap();
    let feed: Value = feed.json().await.unwrap();
    let path = feed["path"].as_str().unwrap();
    let subscribed = client.get(format!("http://{}{path}", running.public)).send().await.unwrap();
    assert_eq!(subscribed.status(), StatusCode::OK);
    assert!(subscribed.text().await.unwrap().starts_with("BEGIN:VCALENDAR"));
    let query = path.split_once('?').unwrap().1;
    let refused = client.get(format!("{calendar}/events?{query}")).send().await.unwrap();
    assert!(refused.status().is_client_error(), "a feed does not open the events");
    let mut stream = client
        .get(format!("{calendar}/changes"))
        .bearer_auth(&reader)
        .header("Accept", "text/event-stream")
        .send()
        .await
        .unwrap();
    assert_eq!(stream.status(), StatusCode::OK);
    let path = format!("http://{}/write/v1/subscriptions/uid-1", running.public);

    let metrics = running.metrics().await;
    assert!(metrics.contains("calendar_store_requests_total{method=\"PUT\",code=\"200\"} 1\n"), "{metrics}");
    let alerts = include_str!("../../../../charts/cronofy-operator/files/alerts.yaml");
    let asked: Vec<&str> =
        alerts.split("calendar_store_").skip(1).filter_map(|rest| Some(rest.split_once('{')?.0)).collect();
    assert!(asked.len() > 2, "{asked:?}");
    for name in asked {
        let told = ["{", " "].iter().any(|end| metrics.contains(&format!("\ncalendar_store_{name}{end}")));
        assert!(told, "an alert of the chart asks for {name}: {metrics}");
    }

    running.terminate();
    let stops = testenv::eventually("it is not ready", Duration::from_secs(2), async || {
        let (_, said) = running.readiness().await;
        (said == "process: shutting down\n").then_some(())
    });
    stops.await.unwrap();
    assert_eq!(client.get(&path).bearer_auth(&token).send().await.unwrap().status(), StatusCode::OK, "still serves");
    while stream.chunk().await.expect("the stream ends properly").is_some() {}
    let (status, log) = running.end().await;
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("\"stopped\""), "{log}");
    assert!(!log.contains("feed_"), "{log}");
    assert!(!log.contains(&token));
    assert!(!setting.folder.path().join("store.db-wal").exists(), "the database was closed");
}

#[tokio::test]
async fn it_speaks_tls_and_takes_up_a_new_certificate() {
    let setting = Setting::new().await;
    setting.grant().await;
    let files = ["tls.crt", "tls.key"].map(|name| setting.folder.path().join(name));
    let [cert, key] = files.each_ref().map(|path| path.to_str().unwrap());
    let running = Running::start(setting.serve(&["--database", &setting.url, "--tls-cert", cert, "--tls-key", key]));
    let waits = testenv::eventually("it waits for its certificate", Duration::from_secs(20), async || {
        running.readiness().await.1.contains("certificate: --tls-cert").then_some(())
    });
    waits.await.unwrap();
    for _ in 0..2 {
        let authority = Authority::generate().unwrap();
        authority.issue_until(&["localhost"], 2041).unwrap().write(setting.folder.path()).unwrap();
        let trusted = reqwest::Certificate::from_pem(authority.pem().as_bytes()).unwrap();
        let client = reqwest::Client::builder().tls_certs_only([trusted]).build().unwrap();
        let port = running.public.rsplit(':').next().unwrap();
        let url = format!("https://localhost:{port}/write/v1/subscriptions/none");
        let taken = testenv::eventually("the certificate is taken up", Duration::from_secs(25), async || {
            client.get(&url).send().await.ok().map(|answer| answer.status())
        });
        assert_eq!(taken.await.unwrap(), StatusCode::UNAUTHORIZED);
    }
    let expiry = "\ncalendar_store_certificate_expiry_timestamp_seconds 2240611200\n";
    assert!(running.metrics().await.contains(expiry), "{}", running.metrics().await);
    std::fs::write(&files[1], "no key").unwrap();
    let told = testenv::eventually("the metric tells of it", Duration::from_secs(25), async || {
        running.metrics().await.contains("\ncalendar_store_certificate_refused 1\n").then_some(())
    });
    told.await.unwrap();
    running.ready().await;
    running.terminate();
    let (status, log) = running.end().await;
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(!log.contains("PRIVATE"), "{log}");
}

#[test]
fn bad_values_end_with_one_clear_line() {
    let sqlite = "--database=sqlite:/nowhere/store.db";
    let table: [(&[&str], &str); 12] = [
        (&["serve"], "--database <URL>"),
        (
            &["serve", "--database=mysql://store:canary@host/db"],
            "calendar-store: the database's URL has to begin with sqlite: or postgres:",
        ),
        (&["serve", "--database-file=/nowhere/url"], "--database-file /nowhere/url cannot be read"),
        (&["serve", sqlite, "--database-file=/nowhere/url"], "cannot be used with"),
        (&["serve", sqlite, "--tls-cert=/nowhere/tls.crt"], "--tls-key <FILE>"),
        (&["serve", sqlite, "--writer=system:serviceaccount:alone"], "must be system:serviceaccount:NAMESPACE:NAME"),
        (&["serve", sqlite, "--tombstones=30"], "must be a time from 1h to 3660d"),
        (&["serve", sqlite, "--tombstones=1m"], "must be a time from 1h to 3660d"),
        (&["serve", sqlite, "--max-body=0"], "must be a number of bytes"),
        (&["serve", sqlite, "--listen=8080"], "--listen <ADDRESS>"),
        (&["serve", sqlite, "--log-format=xml"], "--log-format <FORMAT>"),
        (&["serve", sqlite, "--audience="], "must be a word"),
    ];
    for (arguments, expected) in table {
        let Output { status, stderr, .. } = program(arguments).output().unwrap();
        let said = String::from_utf8(stderr).unwrap();
        assert_eq!(status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(expected), "{arguments:?}: {said}");
        assert!(!said.contains("canary"), "{arguments:?}: {said}");
    }
}

#[tokio::test]
async fn the_password_of_the_database_is_said_nowhere() {
    let setting = Setting::new().await;
    for (url, log) in [
        ("postgres://store:canary@127.0.0.1:1/db", "info"),
        ("postgres://store:canary@127.0.0.1:port/db", "trace"),
        ("postgres://store:canary@[broken/db", "trace"),
        ("postgres://127.0.0.1:1/db?user=store&password=canary", "trace"),
        ("postgres://store:can%61ry@127.0.0.1:1/db?sslmode=canary", "trace"),
        ("sqlite:/nowhere/canary/../store.db?mode=canary", "trace"),
    ] {
        let mut command = setting.serve(&["--database", url]);
        command.env("RUST_LOG", log);
        let Output { status, stderr, stdout } =
            tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let said = String::from_utf8([stderr, stdout].concat()).unwrap();
        assert_eq!(status.code(), Some(1), "{url}: {said}");
        assert!(said.contains("the store ends"), "{url}: {said}");
        if url.starts_with("postgres") {
            assert!(!said.contains("canary"), "{url}: {said}");
        }
    }
    let Output { status, stdout, .. } = program(&["serve", "--help"])
        .env("CALENDAR_STORE_DATABASE", "postgres://store:canary@host/db")
        .output()
        .unwrap();
    assert!(status.success());
    assert!(!String::from_utf8(stdout).unwrap().contains("canary"));
}
