//! A browser of a test's own: also for the tests of the whole, from Cronofy to the page.
#![allow(dead_code)] // each of them uses a part of it

use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder};
use http::Method;
use hyper_util::client::legacy::connect::HttpConnector;
use serde::Deserialize;
use serde_json::{Value, json};
use url::{ParseError, Url};

/// A browser with an empty profile: use it as the [`Client`] that it is, and [`close`](Tab::close) it.
pub struct Tab(Client);

impl std::ops::Deref for Tab {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.0
    }
}

/// A line of a log of the browser.
#[derive(Deserialize)]
struct Entry {
    level: String,
    message: String,
}

/// What only Chromium's driver knows: a path below the session, and what is sent there.
#[derive(Debug)]
struct OfChromium(&'static str, Value);

impl WebDriverCompatibleCommand for OfChromium {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        base.join(&format!("session/{}/{}", session.unwrap(), self.0))
    }

    fn method_and_body(&self, _url: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.1.to_string()))
    }
}

impl Tab {
    pub async fn open() -> Self {
        let browser = testenv::browser().await.unwrap();
        let wanted = browser.capabilities().as_object().unwrap().clone();
        let client = ClientBuilder::new(HttpConnector::new()).capabilities(wanted).connect(browser.address()).await;
        Self(client.unwrap())
    }

    /// Sends a command of Chromium's own protocol.
    pub async fn command(&self, method: &str, parameters: Value) -> Value {
        let command = json!({ "cmd": method, "params": parameters });
        self.0.issue_cmd(OfChromium("goog/cdp/execute", command)).await.unwrap()
    }

    /// What was added to a log since the last call.
    async fn log(&self, name: &str) -> Vec<Entry> {
        let entries = self.0.issue_cmd(OfChromium("se/log", json!({ "type": name }))).await.unwrap();
        serde_json::from_value(entries).unwrap()
    }

    /// Addresses that were asked for since the last call, whoever asked.
    pub async fn requested(&self) -> Vec<String> {
        let log = self.log("performance").await;
        let messages = log.iter().map(|entry| serde_json::from_str::<Value>(&entry.message).unwrap());
        let sent = messages.filter(|message| {
            let method = message["message"]["method"].as_str().unwrap();
            method == "Network.requestWillBeSent" || method == "Network.webSocketCreated"
        });
        let address = |message: Value| {
            let parameters = &message["message"]["params"];
            let of = |value: &Value| value.as_str().map(str::to_owned);
            of(&parameters["request"]["url"]).or_else(|| of(&parameters["url"])).unwrap()
        };
        sent.map(address).collect()
    }

    /// What the page or the browser complained of since the last call: errors of scripts, what the policy refused, failed requests.
    pub async fn complaints(&self) -> Vec<String> {
        let log = self.log("browser").await;
        log.into_iter().map(|entry| format!("{}: {}", entry.level, entry.message)).collect()
    }

    /// What axe-core finds wrong with the page as it is shown, by its rules for WCAG 2 and for good practice.
    pub async fn inaccessible(&self) -> Vec<String> {
        #[derive(Deserialize)]
        struct Found {
            id: String,
            help: String,
            nodes: Vec<String>,
        }
        let script = testenv::Browser::axe().await.unwrap();
        let script = format!(
            "{script}; const done = arguments[arguments.length - 1];
             axe.run(document, {{ resultTypes: ['violations'] }}).then(
               (found) => done(found.violations.map(({{ id, help, nodes }}) => ({{
                 id, help, nodes: nodes.map((node) => `${{node.html}} ${{node.failureSummary}}`) }}))),
               (error) => done([{{ id: 'failed', help: String(error), nodes: [] }}]));"
        );
        let answer = self.0.execute_async(&script, Vec::new()).await.unwrap();
        let found: Vec<Found> = serde_json::from_value(answer).unwrap();
        found.into_iter().map(|Found { id, help, nodes }| format!("{id}: {help}: {nodes:#?}")).collect()
    }

    /// Ends the browser.
    pub async fn close(self) {
        self.0.close().await.unwrap();
    }
}
