use std::collections::BTreeMap;
use std::sync::Mutex;

use calendar_sync::channel;
use cronofy::secrecy::SecretString;
use futures::future::join_all;
use kube::runtime::watcher::Event;
use proptest::prelude::*;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::*;
use crate::metrics::SecretSlot;
use crate::webhook::fake::{Fake, Fault};
use crate::webhook::mark::MarkLimits;
use crate::webhook::routes::RouteFeed;

const BASE: &str = "https://hooks.example.org/calendars";
const SECRET: &str = "CRN_NggYusqPGLxwjw5FHOJYOqSrTPNXy8WQf14OID";

/// Applications of one name, and which namespaces may use each.
#[derive(Default)]
struct Allowed(Mutex<BTreeMap<String, Vec<String>>>);

impl Applications for Allowed {
    fn credentials_secret(&self, namespace: &str, name: &str) -> Option<String> {
        (name == "app" && self.0.lock().unwrap().contains_key(namespace)).then(|| "credentials".to_owned())
    }

    fn allows(&self, namespace: &str, _: &str, from: &str) -> bool {
        self.0.lock().unwrap().get(namespace).is_some_and(|allowed| allowed.iter().any(|name| name == from))
    }
}

struct World {
    fake: Fake,
    routes: Routes,
    feed: RouteFeed,
    applications: Arc<Allowed>,
    metrics: Metrics,
    app: Router,
}

fn world() -> World {
    let fake = Fake::default();
    fake.secret("credentials", &[("client_secret", SECRET)]);
    let routes = Routes::new(BASE);
    let mut feed = routes.feed();
    feed.observe(&Event::Init);
    feed.observe(&Event::InitDone);
    let applications = Arc::new(Allowed::default());
    applications.0.lock().unwrap().insert("rooms".to_owned(), Vec::new());
    let metrics = Metrics::new();
    let app = router(Receiver {
        routes: routes.clone(),
        applications: applications.clone(),
        secrets: SecretReader::new(fake.client()),
        marker: Marker::new(fake.client(), metrics.clone(), MarkLimits::default()),
        metrics: metrics.clone(),
    });
    let world = World { fake, routes, feed, applications, metrics, app };
    world.add("u1", "chn_1", &json!({}));
    world
}

impl World {
    fn add(&self, uid: &str, id: &str, more: &Value) {
        let mut channel = json!({"id": id, "generation": 1});
        channel.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.fake.subscription(uid, &json!({"observedGeneration": -1, "channel": channel}));
        self.fake.show(&self.routes, uid);
    }

    async fn send(&self, request: http::Request<Body>) -> u16 {
        let answer = self.app.clone().oneshot(request).await.unwrap();
        let (head, body) = answer.into_parts();
        assert!(body.collect().await.unwrap().to_bytes().is_empty(), "every answer is empty");
        let mut headers: Vec<_> = head.headers.keys().map(http::HeaderName::as_str).collect();
        headers.retain(|name| *name != "content-length");
        let expected: &[&str] = if head.status == 405 { &["allow"] } else { &[] };
        assert_eq!(headers, expected, "no answer has a header of its own");
        head.status.as_u16()
    }

    async fn deliver(&self, uid: &str, body: &Value) -> u16 {
        self.send(signed(uid, &body.to_string())).await
    }

    fn counted(&self, result: WebhookResult) -> f64 {
        let labels = [("result", result.as_str())];
        crate::metrics::exposition::sample(&self.metrics, "cronofy_operator_webhook_requests_total", &labels)
    }

    fn patches(&self) -> usize {
        self.fake.state().patches.len()
    }
}

fn path(uid: &str, generation: i64) -> String {
    format!("/calendars/hook/{}", channel::token(uid, generation))
}

fn post(path: &str) -> http::request::Builder {
    http::Request::post(path).header("content-type", "application/json; charset=utf-8")
}

fn with_signature(path: &str, signature: &str, body: &str) -> http::Request<Body> {
    post(path).header(signature::HEADER, signature).body(Body::from(body.to_owned())).unwrap()
}

fn signature_of(secret: &str, body: &str) -> String {
    signature::sign(&SecretString::from(secret), body.as_bytes())
}

fn signed(uid: &str, body: &str) -> http::Request<Body> {
    with_signature(&path(uid, 1), &signature_of(SECRET, body), body)
}

fn notification(kind: &str, id: &str, url: &str) -> Value {
    let mut body =
        json!({"notification": {"type": kind}, "channel": {"channel_id": id, "callback_url": url, "filters": {}}});
    if kind == "change" {
        body["notification"]["changes_since"] = json!("2026-11-20T07:41:05Z");
    }
    body
}

fn change() -> Value {
    notification("change", "chn_1", "https://elsewhere.example.org")
}

#[tokio::test(start_paused = true)]
async fn a_signed_change_is_marked_and_answered_with_204() {
    let world = world();
    assert_eq!(world.deliver("u1", &change()).await, 204);
    let mark = world.fake.state().mark("u1");
    assert_eq!(mark["sequence"], 1);
    assert_eq!(mark["changesSince"], "2026-11-20T07:41:05Z");
    assert_eq!(mark["types"], json!(["change"]));
    assert!(mark["receivedTime"].is_string());
    assert_eq!(world.counted(WebhookResult::Marked), 1.0);
    let matches = [("secret", SecretSlot::Current.as_str())];
    let matches =
        crate::metrics::exposition::sample(&world.metrics, "cronofy_operator_webhook_secret_matches_total", &matches);
    assert_eq!(matches, 1.0);
}

#[tokio::test(start_paused = true)]
async fn each_type_that_is_acted_on_is_marked_and_every_other_is_ignored() {
    for kind in NotificationType::ALL {
        let world = world();
        assert_eq!(world.deliver("u1", &notification(kind.as_str(), "chn_1", "")).await, 204);
        assert_eq!(world.fake.state().mark("u1")["types"], json!([kind.as_str()]));
    }
    let world = world();
    for kind in ["profile_connected", "conferencing_profile_disconnected", "calendar_painted", "", "CHANGE"] {
        assert_eq!(world.deliver("u1", &notification(kind, "chn_1", "")).await, 204, "{kind}");
    }
    assert_eq!(world.deliver("u1", &json!({"channel": {"channel_id": "chn_1"}})).await, 204);
    assert_eq!(world.deliver("u1", &json!({"notification": {"type": "scheduling_request_time_chosen"}})).await, 204);
    assert_eq!(world.counted(WebhookResult::Ignored), 7.0);
    assert_eq!(world.patches(), 0);
}

#[tokio::test(start_paused = true)]
async fn any_prefix_before_the_hook_is_accepted() {
    let world = world();
    let body = change().to_string();
    let token = channel::token("u1", 1);
    let signature = signature_of(SECRET, &body);
    for (path, status) in [
        (format!("/hook/{token}"), 204),
        (format!("/a/b/c/hook/{token}"), 204),
        (format!("/hook/{token}?x=1"), 204),
        (format!("//hook/{token}"), 204),
        (format!("/hook/{token}/"), 404),
        (format!("/hook/hook/{token}x"), 404),
        (format!("/xhook/{token}"), 404),
        (format!("/{token}"), 404),
        ("/".to_owned(), 404),
        ("/hook/".to_owned(), 404),
        ("/hook".to_owned(), 404),
        (format!("/hook/{}", channel::token("u1", 2)), 404),
    ] {
        assert_eq!(world.send(with_signature(&path, &signature, &body)).await, status, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn other_methods_are_refused_wherever_they_come_to() {
    let world = world();
    for method in ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"] {
        for path in [path("u1", 1), "/".to_owned()] {
            let request = http::Request::builder().method(method).uri(path).body(Body::from("{}")).unwrap();
            assert_eq!(world.send(request).await, 405, "{method}");
        }
    }
    assert_eq!(world.counted(WebhookResult::WrongMethod), 16.0);
}

#[tokio::test(start_paused = true)]
async fn signatures_are_accepted_if_one_value_is_right_and_refused_otherwise() {
    let world = world();
    let body = change().to_string();
    let good = signature_of(SECRET, &body);
    let bad = signature_of("another", &body);
    for (header, status) in [
        (good.clone(), 204),
        (format!("{bad},{good}"), 204),
        (format!("{good}, {bad}"), 204),
        (format!(" {good} "), 204),
        (format!("not base64,,{good}"), 204),
        (bad.clone(), 401),
        (String::new(), 401),
        (",".to_owned(), 401),
        ("garbage".to_owned(), 401),
        (good.to_lowercase(), 401),
        (vec![good.as_str(); 100].join(","), 401),
        (signature_of(SECRET, &change().to_string().replace("chn_1", "chn_2")), 401),
        (signature_of("", &body), 401),
    ] {
        assert_eq!(world.send(with_signature(&path("u1", 1), &header, &body)).await, status, "{header:?}");
    }
    let missing = post(&path("u1", 1)).body(Body::from(body.clone())).unwrap();
    assert_eq!(world.send(missing).await, 401);
    let twice = post(&path("u1", 1)).header("cronofy-hmac-sha256", bad).header("CRONOFY-HMAC-SHA256", good.clone());
    assert_eq!(world.send(twice.body(Body::from(body.clone())).unwrap()).await, 204);
    let opaque = post(&path("u1", 1)).header(signature::HEADER, http::HeaderValue::from_bytes(b"\xff\xfe").unwrap());
    assert_eq!(world.send(opaque.body(Body::from(body.clone())).unwrap()).await, 401);
    let reencoded = serde_json::to_string_pretty(&change()).unwrap();
    assert_eq!(world.send(with_signature(&path("u1", 1), &good, &reencoded)).await, 401, "the raw bytes count");
    assert_eq!(world.patches(), 6, "nothing refused is marked");
}

#[tokio::test(start_paused = true)]
async fn the_known_vector_is_accepted_as_a_signature() {
    let world = world();
    let header = "5DxentQi5YSXODEzTVv06sRwJ3pULIz1KrYv20qxEK0=";
    let request = with_signature(&path("u1", 1), header, r#"{"example":"well-known"}"#);
    assert_eq!(world.send(request).await, 204, "no channel, no type: nothing is asked for");
    assert_eq!(world.counted(WebhookResult::Ignored), 1.0);
}

#[tokio::test(start_paused = true)]
async fn bodies_that_are_signed_but_no_json_object_are_refused_with_400() {
    let world = world();
    let garbage: [&[u8]; 8] = [
        b"",
        b"null",
        b"7",
        b"[]",
        b"{",
        b"{\"notification\":{\"type\":\"change\"",
        b"\x00\x00\x00",
        b"{\"notification\":{\"type\":\"\xff\xfe\"}}",
    ];
    for body in garbage {
        let signature = signature::sign(&SecretString::from(SECRET), body);
        let request =
            post(&path("u1", 1)).header(signature::HEADER, signature).body(Body::from(body.to_vec())).unwrap();
        assert_eq!(world.send(request).await, 400, "{:.40}", String::from_utf8_lossy(body));
    }
    assert_eq!(world.counted(WebhookResult::BadBody), 8.0);
    let unsigned = with_signature(&path("u1", 1), "garbage", "{");
    assert_eq!(world.send(unsigned).await, 401, "the signature comes first");
    let nested = format!(r#"{{"channel":{}{}}}"#, "[".repeat(9_000), "]".repeat(9_000));
    let status = world.send(signed("u1", &nested)).await;
    assert!(matches!(status, 204 | 400), "depth is refused or ignored, {status}");
    assert_eq!(world.patches(), 0);
}

#[tokio::test(start_paused = true)]
async fn too_long_a_body_is_refused_declared_or_not_and_the_longest_is_taken() {
    let world = world();
    let mut body = change();
    body["padding"] = json!("");
    let short = body.to_string().len();
    body["padding"] = json!("x".repeat(BODY_BYTES - short));
    assert_eq!(body.to_string().len(), BODY_BYTES);
    assert_eq!(world.deliver("u1", &body).await, 204);
    body["padding"] = json!("x".repeat(BODY_BYTES - short + 1));
    assert_eq!(world.deliver("u1", &body).await, 413);
    let declared = post(&path("u1", 1)).header("content-length", "1073741824").body(Body::from("{}")).unwrap();
    assert_eq!(world.send(declared).await, 413);
    let endless = futures::stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from_static(&[b' '; 1024])));
    let endless = post(&path("u1", 1)).body(Body::from_stream(endless)).unwrap();
    assert_eq!(world.send(endless).await, 413);
    let unknown = post("/hook/unknown").body(Body::from(vec![b' '; BODY_BYTES + 1])).unwrap();
    assert_eq!(world.send(unknown).await, 413, "whatever the path");
    assert_eq!(world.counted(WebhookResult::TooLarge), 4.0);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_breaks_off_is_refused_and_one_that_stalls_is_not_waited_for() {
    let world = world();
    let broken = futures::stream::iter([Ok(Bytes::from_static(b"{")), Err(std::io::Error::other("reset"))]);
    assert_eq!(world.send(post(&path("u1", 1)).body(Body::from_stream(broken)).unwrap()).await, 400);
    let stalled = futures::stream::pending::<Result<Bytes, std::io::Error>>();
    let begun = Instant::now();
    assert_eq!(world.send(post(&path("u1", 1)).body(Body::from_stream(stalled)).unwrap()).await, 503);
    assert!(begun.elapsed() < Duration::from_secs(4));
}

#[tokio::test(start_paused = true)]
async fn a_notification_is_refused_at_the_path_of_another_subscription() {
    let world = world();
    let tenants = ["u1", "u2", "u3"];
    for (uid, id) in [("u2", "chn_2"), ("u3", "chn_3")] {
        world.add(uid, id, &json!({}));
    }
    for (sender, id) in tenants.iter().zip(["chn_1", "chn_2", "chn_3"]) {
        let body = notification("change", id, &channel::callback_url(BASE, sender, 1)).to_string();
        for receiver in tenants {
            let expected = if receiver == *sender { 204 } else { 404 };
            assert_eq!(world.send(signed(receiver, &body)).await, expected, "{sender} at {receiver}");
        }
        let unknown_type = notification("calendar_painted", id, "").to_string();
        let elsewhere = tenants.into_iter().find(|uid| uid != sender).unwrap();
        assert_eq!(world.send(signed(elsewhere, &unknown_type)).await, 404);
    }
    let without_channel = json!({"notification": {"type": "gdpr_requested"}});
    assert_eq!(world.deliver("u1", &without_channel).await, 404, "what asks for something must say for which channel");
    for uid in tenants {
        assert_eq!(world.fake.state().mark(uid)["sequence"], 1);
    }
    assert_eq!(world.counted(WebhookResult::OtherChannel), 10.0);
}

#[tokio::test(start_paused = true)]
async fn the_first_notification_of_a_channel_is_accepted_by_its_url_before_its_id_is_known() {
    let world = world();
    world.add("u2", "chn_old", &json!({"next": {"generation": 2}}));
    let body = notification("verification", "chn_new", &channel::callback_url(BASE, "u2", 2)).to_string();
    let request = |generation| with_signature(&path("u2", generation), &signature_of(SECRET, &body), &body);
    assert_eq!(world.send(request(2)).await, 204);
    assert_eq!(world.send(request(1)).await, 404, "the URL counts at its own path only");
    world.add("u2", "chn_new", &json!({"generation": 2}));
    let old = notification("change", "chn_old", &channel::callback_url(BASE, "u2", 1)).to_string();
    let old = with_signature(&path("u2", 1), &signature_of(SECRET, &old), &old);
    assert_eq!(world.send(old).await, 204, "the one that is being replaced still counts");
}

#[tokio::test(start_paused = true)]
async fn unknown_and_deleted_subscriptions_answer_404_without_a_request_and_before_the_caches_are_filled_503() {
    let mut world = world();
    let body = change().to_string();
    assert_eq!(world.send(signed("u9", &body)).await, 404);
    let event = serde_json::from_value(world.fake.state().objects["u1"].clone()).unwrap();
    world.feed.observe(&Event::Delete(event));
    assert_eq!(world.send(signed("u1", &body)).await, 404);
    assert_eq!(world.counted(WebhookResult::UnknownPath), 2.0);
    let _another_watch = world.routes.feed();
    assert_eq!(world.send(signed("u1", &body)).await, 503);
    assert_eq!(world.send(with_signature("/", "x", "{")).await, 503);
    assert_eq!(world.counted(WebhookResult::NotSynced), 2.0);
    assert!(world.fake.state().requests.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_subscription_that_the_cache_still_shows_but_the_server_no_longer_has_answers_404() {
    let world = world();
    world.fake.state().objects.clear();
    assert_eq!(world.deliver("u1", &change()).await, 404);
}

#[tokio::test(start_paused = true)]
async fn an_application_that_is_gone_or_not_allowed_is_an_unknown_path() {
    let world = world();
    let mut object = world.fake.state().objects["u1"].clone();
    object["spec"]["applicationRef"]["namespace"] = json!("platform");
    world.fake.state().put(object);
    world.fake.show(&world.routes, "u1");
    assert_eq!(world.deliver("u1", &change()).await, 404, "no such application");
    world.applications.0.lock().unwrap().insert("platform".to_owned(), vec!["desks".to_owned()]);
    assert_eq!(world.deliver("u1", &change()).await, 404, "not allowed");
    assert!(world.fake.state().requests.is_empty());
    world.applications.0.lock().unwrap().insert("platform".to_owned(), vec!["rooms".to_owned()]);
    assert_eq!(world.deliver("u1", &change()).await, 204);
    assert_eq!(world.fake.state().requests[0], "GET /api/v1/namespaces/platform/secrets/credentials");
}

#[tokio::test(start_paused = true)]
async fn an_exchanged_client_secret_is_accepted_without_a_restart() {
    let world = world();
    assert_eq!(world.deliver("u1", &change()).await, 204);
    tokio::time::advance(Duration::from_secs(10)).await;
    world.fake.secret("credentials", &[("client_secret", "CRN_new"), ("client_secret_previous", SECRET)]);
    let body = change().to_string();
    let with = |secrets: &[&str]| {
        let values: Vec<_> = secrets.iter().map(|secret| signature_of(secret, &body)).collect();
        with_signature(&path("u1", 1), &values.join(","), &body)
    };
    assert_eq!(world.send(with(&["CRN_new"])).await, 204);
    assert_eq!(world.send(with(&[SECRET])).await, 204);
    assert_eq!(world.send(with(&[SECRET, "CRN_new"])).await, 204);
    assert_eq!(world.send(with(&["forged"])).await, 401);
    assert_eq!(world.fake.state().reads("secrets"), 2);
}

#[tokio::test(start_paused = true)]
async fn forged_requests_reach_the_server_seldom_and_mark_nothing() {
    let world = world();
    let body = change().to_string();
    let forged = signature_of("forged", &body);
    let all = join_all((0..5_000).map(|_| world.send(with_signature(&path("u1", 1), &forged, &body)))).await;
    assert!(all.iter().all(|status| *status == 401));
    assert!(world.fake.state().requests.len() <= 2, "{:?}", world.fake.state().requests);
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_cannot_be_read_is_answered_with_503() {
    for fault in [Fault::Status(500), Fault::Status(404), Fault::Hang] {
        let world = world();
        world.fake.state().secret_fault = fault;
        assert_eq!(world.deliver("u1", &change()).await, 503, "{fault:?}");
        assert_eq!(world.counted(WebhookResult::NotSynced), 1.0);
        tokio::time::advance(Duration::from_secs(10)).await;
        world.fake.state().secret_fault = Fault::None;
        assert_eq!(world.deliver("u1", &change()).await, 204, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_mark_that_is_not_written_is_answered_with_503_in_time_and_the_repeat_is_taken() {
    for fault in [Fault::Status(409), Fault::Status(429), Fault::Status(500), Fault::Status(503), Fault::Hang] {
        let world = world();
        world.fake.state().patch_fault = fault;
        let begun = Instant::now();
        assert_eq!(world.deliver("u1", &change()).await, 503, "{fault:?}");
        assert!(begun.elapsed() < Duration::from_secs(4), "{fault:?}");
        assert_eq!(world.counted(WebhookResult::MarkFailed), 1.0);
        world.fake.state().patch_fault = Fault::None;
        assert_eq!(world.deliver("u1", &change()).await, 204, "{fault:?}");
        assert_eq!(world.fake.state().mark("u1")["sequence"], 1, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_replayed_notification_is_coalesced() {
    let world = world();
    world.fake.state().patch_time = Duration::from_millis(20);
    let body = change();
    let all = join_all((0..1_000).map(|_| world.deliver("u1", &body))).await;
    assert!(all.iter().all(|status| *status == 204));
    assert!(world.patches() <= 3, "{}", world.patches());
}

/// All that is logged, however fine.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_of_a_request_reaches_the_log_or_the_metrics() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || writer.clone());
    let _logged = tracing::subscriber::set_default(subscriber.finish());
    let world = world();
    let mut body = change();
    body["notification"]["canary"] = json!("canary");
    body["channel"]["filters"] = json!({"calendar_ids": ["canary"]});
    let text = body.to_string();
    assert_eq!(world.deliver("u1", &body).await, 204);
    assert_eq!(world.send(with_signature(&path("u1", 1), "canary", &text)).await, 401);
    assert_eq!(world.send(with_signature("/hook/canarycanarycanarycan", "canary", &text)).await, 404);
    assert_eq!(world.send(signed("u1", "{canary")).await, 400);
    assert_eq!(world.deliver("u1", &notification("canary", "canary", "canary")).await, 404);
    assert_eq!(world.deliver("u1", &notification("canary", "chn_1", "canary")).await, 204);
    for fault in [Fault::Status(500), Fault::Hang] {
        world.fake.state().patch_fault = fault;
        assert_eq!(world.deliver("u1", &body).await, 503);
    }
    tokio::time::advance(Duration::from_mins(2)).await;
    world.fake.state().secret_fault = Fault::Status(500);
    assert_eq!(world.deliver("u1", &body).await, 503);
    let logged = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(logged.contains("mark refused") && logged.contains("client secret not read"), "{logged}");
    let told = logged + &world.metrics.encode();
    for secret in
        ["canary", SECRET, &channel::token("u1", 1), &signature_of(SECRET, &text), "chn_1", "hooks.example.org"]
    {
        assert!(!told.contains(secret), "{secret}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn whatever_comes_is_answered_and_only_what_is_signed_is_marked(
        path in "(/[a-z]{0,4}){0,2}/(hook/)?[A-Za-z0-9_-]{0,24}",
        header in "[ -~]{0,100}",
        body in prop::collection::vec(any::<u8>(), 0..200),
        at_home: bool,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let (status, patches) = runtime.block_on(async {
            let world = world();
            let path = if at_home { super::tests::path("u1", 1) } else { path };
            let request = post(&path).header(signature::HEADER, header).body(Body::from(body)).unwrap();
            (world.send(request).await, world.patches())
        });
        prop_assert_eq!(status, if at_home { 401 } else { 404 });
        prop_assert_eq!(patches, 0);
    }
}
