//! Tokens that are shown in masses: the API server is asked a bounded number of questions, whatever comes.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use calendar_store::Access as _;
use calendar_store::authority::{Authority, Settings};
use calendar_store::database::Database;
use calendar_store_client::Reason;
use futures::future::join_all;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::support::{AUDIENCE, bearer, feed};

/// An API server that knows the tokens that begin with `known`, allows everything, and answers about the others as it is let.
struct ApiServer {
    asked: AtomicUsize,
    at_a_time: AtomicUsize,
    most: AtomicUsize,
    /// Of strangers.
    answers: Semaphore,
}

impl ApiServer {
    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let of_a_token = request.uri().path().ends_with("tokenreviews");
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let mut review: Value = serde_json::from_slice(&body).unwrap();
        self.asked.fetch_add(1, Ordering::SeqCst);
        review["status"] = if !of_a_token {
            json!({ "allowed": true })
        } else if review["spec"]["token"].as_str().unwrap().starts_with("known") {
            json!({ "authenticated": true, "audiences": [AUDIENCE], "user": { "username": "somebody" } })
        } else {
            let now = self.at_a_time.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(now, Ordering::SeqCst);
            self.answers.acquire().await.unwrap().forget();
            self.at_a_time.fetch_sub(1, Ordering::SeqCst);
            json!({ "authenticated": false })
        };
        Response::new(Body::from(serde_json::to_vec(&review).unwrap()))
    }
}

struct Setting {
    server: Arc<ApiServer>,
    authority: Arc<Authority>,
    _folder: tempfile::TempDir,
}

async fn setting(answers: usize) -> Setting {
    let server = Arc::new(ApiServer {
        asked: AtomicUsize::default(),
        at_a_time: AtomicUsize::default(),
        most: AtomicUsize::default(),
        answers: Semaphore::new(answers),
    });
    let service = {
        let server = Arc::clone(&server);
        tower::service_fn(move |request| {
            let server = Arc::clone(&server);
            async move { Ok::<_, Infallible>(server.answer(request).await) }
        })
    };
    let folder = tempfile::tempdir().unwrap();
    let database = Database::open(&format!("sqlite:{}", folder.path().join("store.db").display())).await.unwrap();
    let settings = Settings { audience: AUDIENCE.to_owned(), writers: BTreeSet::new() };
    let client = kube::Client::new(service, "default");
    Setting { server, authority: Arc::new(Authority::new(client, settings, database)), _folder: folder }
}

impl Setting {
    async fn reads(&self, token: &str) -> Option<Reason> {
        self.authority.may_read(&bearer(Some(token)), "team", "all").await.err().map(|problem| problem.reason())
    }
}

#[tokio::test]
async fn garbage_is_asked_about_a_bounded_number_at_a_time_and_holds_up_nobody_who_is_known() {
    // Nothing is said about strangers.
    let setting = setting(0).await;
    tokio::time::pause();
    assert_eq!(setting.reads("known").await, None);
    let garbage: Vec<String> = (0..2000).map(|number| format!("garbage-{number}")).collect();
    let flood = join_all(garbage.iter().map(|token| setting.reads(token)));
    let known = async {
        let mut times = 0;
        // Longer than an answer is remembered.
        while times < 20 {
            assert_eq!(setting.reads("known").await, None);
            tokio::time::sleep(Duration::from_secs(1)).await;
            times += 1;
        }
    };
    let (refused, ()) = tokio::join!(flood, known);
    assert!(refused.iter().all(|reason| *reason == Some(Reason::Unavailable)), "no answer is no answer");
    let most = setting.server.most.load(Ordering::SeqCst);
    assert_eq!(most, 32, "at a time");
    // Those who went away hold no turn.
    setting.server.answers.add_permits(1);
    assert_eq!(setting.reads("late-garbage").await, Some(Reason::Unauthorized));
}

#[tokio::test]
async fn who_shows_garbage_and_goes_takes_no_turn_along() {
    let setting = setting(0).await;
    tokio::time::pause();
    for number in 0..100 {
        let token = format!("garbage-{number}");
        let limit = Duration::from_millis(10);
        assert!(tokio::time::timeout(limit, setting.reads(&token)).await.is_err(), "the server is silent");
    }
    assert_eq!(setting.reads("known").await, None);
}

#[tokio::test]
async fn a_flood_of_refused_tokens_does_not_push_out_the_good_ones() {
    let setting = setting(Semaphore::MAX_PERMITS).await;
    tokio::time::pause();
    assert_eq!(setting.reads("known").await, None);
    let asked = setting.server.asked.load(Ordering::SeqCst);
    for number in 0..5000 {
        assert_eq!(setting.reads(&format!("garbage-{number}")).await, Some(Reason::Unauthorized));
    }
    assert_eq!(setting.server.asked.load(Ordering::SeqCst), asked + 5000);
    assert_eq!(setting.reads("known").await, None);
    assert_eq!(setting.server.asked.load(Ordering::SeqCst), asked + 5000, "remembered");
}

#[tokio::test]
async fn nobody_is_asked_about_a_token_that_cannot_be_one() {
    let setting = setting(Semaphore::MAX_PERMITS).await;
    let jwt = |claims: &str| format!("e30.{}.c2ln", BASE64_URL_SAFE_NO_PAD.encode(claims));
    for token in [jwt(r#"{"exp":1000000000}"#), "with space".to_owned(), "\u{0}".to_owned(), "x".repeat(20_000)] {
        assert_eq!(setting.reads(&token).await, Some(Reason::Unauthorized), "{token}");
    }
    assert_eq!(setting.server.asked.load(Ordering::SeqCst), 0);
    for token in ["opaque".to_owned(), jwt(r#"{"sub":"x"}"#), jwt("{"), jwt(r#"{"exp":99999999999}"#)] {
        assert_eq!(setting.reads(&token).await, Some(Reason::Unauthorized), "{token}");
    }
    assert_eq!(setting.server.asked.load(Ordering::SeqCst), 4, "those may be of some authenticator");
    let subscribed = setting.authority.may_subscribe(&feed("garbage"), "team", "all").await;
    assert_eq!(subscribed.unwrap_err().reason(), Reason::Forbidden);
    assert_eq!(setting.server.asked.load(Ordering::SeqCst), 4, "feeds need nobody");
}
