//! A store that is served on a port of this machine, and a browser that looks at it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use calendar_store::page;
use fantoccini::Locator;
use fantoccini::actions::{InputSource as _, KeyAction, KeyActions};
use fantoccini::elements::Element;
use jiff::Timestamp;
use serde_json::{Value, json};
use testenv::eventually;
use tokio::net::TcpListener;

use crate::store::{NAMESPACE, Store};
use crate::tab::Tab;

/// For a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Site {
    pub store: Store,
    address: SocketAddr,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for Site {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Wednesday, in the morning.
pub fn wednesday() -> Timestamp {
    "2026-12-02T09:20:00Z".parse().unwrap()
}

impl Site {
    /// One at which it is always Wednesday, the second of December.
    pub async fn start() -> Self {
        let store = Store::new().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let access = Arc::clone(&store.doorkeeper) as _;
        let pages = page::routes_at(wednesday, store.database.clone(), access, &store.bell);
        let server = tokio::spawn(async move { axum::serve(listener, pages).await.unwrap() });
        Self { store, address, server }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The address of a calendar.
    pub fn calendar(&self, name: &str, query: &str) -> String {
        self.url(&format!("/calendars/{NAMESPACE}/{name}?{query}"))
    }

    /// A browser that has signed in by the form, at this address.
    pub async fn open(&self, address: &str) -> View<'_> {
        let view = self.stranger(address).await;
        view.tab.find(Locator::Css("[name=token]")).await.unwrap().send_keys("reader").await.unwrap();
        view.tab.find(Locator::Css("main button")).await.unwrap().click().await.unwrap();
        view.has("#events, .names, form[action='/calendars']").await;
        // That who is not known is refused is in there.
        let refused = view.tab.complaints().await;
        assert!(refused.iter().all(|line| line.contains("401")), "{refused:?}");
        view
    }

    /// A browser that has not signed in.
    pub async fn stranger(&self, address: &str) -> View<'_> {
        let tab = Tab::open().await;
        tab.goto(address).await.unwrap();
        View { site: self, tab }
    }
}

/// A browser at a site.
pub struct View<'a> {
    site: &'a Site,
    pub tab: Tab,
}

impl View<'_> {
    pub async fn goto(&self, address: &str) {
        self.tab.goto(address).await.unwrap();
    }

    /// The first element that this selects, once there is one.
    pub async fn has(&self, css: &str) -> Element {
        let found = eventually(css, PATIENCE, async || self.tab.find(Locator::Css(css)).await.ok()).await;
        match found {
            Ok(element) => element,
            Err(error) => panic!("{error}: {}", self.tab.source().await.unwrap()),
        }
    }

    /// Waits until this expression is true on the page.
    pub async fn until(&self, expression: &str) {
        let is_true = async || (self.value(expression).await == json!(true)).then_some(());
        if let Err(error) = eventually(expression, PATIENCE, is_true).await {
            panic!("{error}: {}", self.tab.source().await.unwrap());
        }
    }

    pub async fn value(&self, expression: &str) -> Value {
        match self.tab.execute(&format!("return {expression}"), Vec::new()).await {
            Ok(value) => value,
            // Between two pages there is nothing to ask.
            Err(error) => json!({ "error": error.to_string() }),
        }
    }

    pub async fn text(&self, css: &str) -> String {
        self.has(css).await.text().await.unwrap()
    }

    pub async fn texts(&self, css: &str) -> Vec<String> {
        let script = "return [...document.querySelectorAll(arguments[0])].map((e) => e.textContent.replace(/\\s+/g, ' ').trim())";
        let texts = self.tab.execute(script, vec![json!(css)]).await.unwrap();
        serde_json::from_value(texts).unwrap()
    }

    pub async fn press(&self, key: impl Into<char>) {
        let value = key.into();
        let keys = KeyActions::new("keyboard".to_owned());
        self.tab.perform_actions(keys.then(KeyAction::Down { value }).then(KeyAction::Up { value })).await.unwrap();
    }

    /// What the page looks like: `light` or `dark`, and how large in CSS pixels.
    pub async fn looks(&self, scheme: &str, (width, height): (u32, u32)) {
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }, { "name": "prefers-reduced-motion", "value": "reduce" }] });
        self.tab.command("Emulation.setEmulatedMedia", features).await;
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.tab.command("Emulation.setDeviceMetricsOverride", size).await;
    }

    pub async fn zone(&self, name: &str) {
        self.tab.command("Emulation.setTimezoneOverride", json!({ "timezoneId": name })).await;
    }

    /// Runs no script of a page from the next one on.
    pub async fn without_scripts(&self) {
        self.tab.command("Emulation.setScriptExecutionDisabled", json!({ "value": true })).await;
    }

    /// That nothing was asked of anybody else, and that the browser has nothing to complain of. Ends it.
    pub async fn ends_quietly(self) {
        let origin = self.site.url("/");
        let requested = self.tab.requested().await;
        assert!(requested.iter().any(|address| address.starts_with(&origin)), "{requested:?}");
        // Of Chromium's own icons, too.
        let elsewhere: Vec<_> =
            requested.iter().filter(|address| !address.starts_with(&origin) && !address.starts_with("data:")).collect();
        assert!(elsewhere.is_empty(), "{elsewhere:?}");
        let complaints = self.tab.complaints().await;
        assert!(complaints.is_empty(), "{complaints:?}");
        self.tab.close().await;
    }

    /// That no rule for accessible pages is broken.
    pub async fn is_accessible(&self, what: &str) {
        let found = self.tab.inaccessible().await;
        assert!(found.is_empty(), "{what}: {found:#?}");
    }
}
