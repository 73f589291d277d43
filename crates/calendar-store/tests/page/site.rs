//! The pages of a store, beside its API.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use calendar_store::page;
use calendar_store::read::{self, Streaming};
use calendar_sync::Event;
use http::Request;
use jiff::Timestamp;
use tower::ServiceExt as _;

use crate::store::{Answer, Store, event};

pub struct Site {
    pub store: Store,
    pub router: Router,
}

/// Of who may read.
pub const COOKIE: (&str, &str) = ("cookie", "calendar-store=reader");

fn wednesday() -> Timestamp {
    "2026-12-02T09:20:00Z".parse().unwrap()
}

impl Site {
    /// One at which it is always Wednesday, the second of December.
    pub async fn new() -> Self {
        let store = Store::new().await;
        let access: Arc<dyn calendar_store::Access> = Arc::clone(&store.doorkeeper) as _;
        let pages = page::routes_at(wednesday, store.database.clone(), Arc::clone(&access), &store.bell);
        let reads = read::routes(store.database.clone(), access, &store.bell, Streaming::default());
        Self { store, router: reads.merge(pages) }
    }

    pub async fn send(&self, request: http::request::Builder, body: impl Into<Body>) -> Answer {
        Answer::of(self.router.clone().oneshot(request.body(body.into()).unwrap()).await.unwrap()).await
    }

    /// The answer to a browser that has this to show.
    pub async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let request = headers.iter().fold(Request::get(path), |request, (name, value)| request.header(*name, *value));
        self.send(request, Body::empty()).await
    }

    /// The answer to a browser that has signed in.
    pub async fn get(&self, path: &str) -> Answer {
        self.get_with(path, &[COOKIE]).await
    }

    /// The page of the calendar `team`.
    pub async fn team(&self, query: &str) -> Answer {
        self.get(&format!("/calendars/rooms/team?{query}")).await
    }

    /// A form as a browser sends it from this site, but for these headers.
    pub async fn post(&self, path: &str, form: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = Request::post(path)
            .header("host", "store.example")
            .header("content-type", "application/x-www-form-urlencoded");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request, form.to_owned()).await
    }
}

/// An event with a title.
pub fn titled(id: &str, start: &str, end: &str) -> Event {
    Event { summary: Some(format!("Title of {id}")), ..event(id, start, end) }
}

/// What stands between these, wherever they come.
pub fn between<'a>(text: &'a str, before: &str, after: &str) -> Vec<&'a str> {
    text.split(before).skip(1).filter_map(|rest| rest.split_once(after).map(|(found, _)| found)).collect()
}
