//! The API of readers as its users meet it: the binary behind TLS, with rights from a real API server and a token in a file.

mod programs;
mod tester;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use http::StatusCode;
use serde_json::Value;
use testenv::{Authority, Proxy};

use crate::running::{Running, Setting};
use crate::support::{AUDIENCE, commit_events, shared, token};

/// Path from the root of the repository.
fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

fn text(path: &str) -> String {
    std::fs::read_to_string(file(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A store that serves over TLS, and the way to it.
struct Stage {
    setting: Setting,
    running: Running,
    /// In front of the store.
    proxy: Proxy,
    client: reqwest::Client,
    writer: String,
    commits: Mutex<BTreeMap<String, u128>>,
}

impl Stage {
    async fn start() -> Self {
        let setting = Setting::new().await;
        setting.grant().await;
        let folder = setting.folder.path();
        let authority = Authority::generate().unwrap();
        let files = authority.issue(&["localhost"]).unwrap().write(folder).unwrap();
        std::fs::write(folder.join("ca.crt"), authority.pem()).unwrap();
        let [certificate, key] = files.each_ref().map(|path| path.to_str().unwrap());
        let flags = ["--database", &setting.url, "--tls-cert", certificate, "--tls-key", key];
        let running = Running::start(setting.serve(&flags));
        running.ready().await;
        let proxy = Proxy::start(running.public.parse().unwrap()).unwrap();
        let trusted = reqwest::Certificate::from_pem(authority.pem().as_bytes()).unwrap();
        let client = reqwest::Client::builder().tls_certs_only([trusted]).build().unwrap();
        let writer = token(shared().await, &setting.namespace, "writer", &[AUDIENCE]).await;
        Self { setting, running, proxy, client, writer, commits: Mutex::default() }
    }

    fn url(&self) -> String {
        format!("https://localhost:{}", self.proxy.address().port())
    }

    /// What stands below a subscription's path.
    fn of(&self, name: &str) -> String {
        format!("{}/v1/namespaces/{}/calendarsubscriptions/{name}", self.url(), self.setting.namespace)
    }

    fn ca(&self) -> PathBuf {
        self.setting.folder.path().join("ca.crt")
    }

    /// Makes these the events of the subscription `on-call`. Not by the proxy.
    async fn put(&self, events: &[Value]) {
        self.put_as("on-call", events).await;
    }

    /// The same for one of another name.
    async fn put_as(&self, name: &str, events: &[Value]) {
        let head =
            self.commits.lock().unwrap().entry(name.to_owned()).and_modify(|head| *head += 1).or_insert(1).to_owned();
        let on = (head > 1).then_some(head - 1);
        let body = commit_events(&self.setting.namespace, name, on, head, events.iter().cloned());
        let port = self.running.public.rsplit(':').next().unwrap();
        let url = format!("https://localhost:{port}/write/v1/subscriptions/uid-{name}");
        let answer = self.client.put(url).bearer_auth(&self.writer).body(body).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{}", answer.text().await.unwrap());
    }

    async fn end(self) {
        self.running.terminate();
        drop(self.proxy);
        let (status, log) = self.running.end().await;
        assert_eq!(status.code(), Some(0), "{log}");
    }
}
