//! Traces: one of them leads from a notification to the stored change, whichever replica acts, and nothing in it is private.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use cronofy_sim::Channel;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value as Any};
use prost::Message as _;
use serde_json::json;
use testenv::eventually;

use crate::support::hook::{self, post_signed};
use crate::support::world::CLIENT_SECRET;
use crate::support::{Operator, PATIENCE, World, event, pending};

const TITLE: &str = "kanary of a title";

/// One that takes traces over HTTP, as any collector does.
struct Collector {
    address: std::net::SocketAddr,
    bodies: Arc<Mutex<Vec<Bytes>>>,
    _serving: tokio::task::JoinHandle<()>,
}

#[derive(Clone)]
struct Span {
    trace: String,
    id: String,
    parent: String,
    name: String,
    instance: String,
    attributes: Vec<(String, String)>,
    failed: bool,
}

/// On one line, so that a whole trace can be looked at.
impl std::fmt::Debug for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { trace, id, parent, name, instance, attributes, failed } = self;
        write!(f, "{trace} {parent:16} → {id} {instance} {name} {attributes:?} failed={failed}")
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

fn text(value: Option<&AnyValue>) -> String {
    match value.and_then(|value| value.value.as_ref()) {
        Some(Any::StringValue(text)) => text.clone(),
        Some(Any::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    }
}

fn texts(attributes: Vec<KeyValue>) -> Vec<(String, String)> {
    attributes.into_iter().map(|attribute| (attribute.key, text(attribute.value.as_ref()))).collect()
}

fn attribute(attributes: &[(String, String)], key: &str) -> String {
    attributes.iter().find(|(known, _)| known == key).map(|(_, value)| value.clone()).unwrap_or_default()
}

impl Span {
    fn attribute(&self, key: &str) -> String {
        attribute(&self.attributes, key)
    }
}

impl Collector {
    async fn start() -> Self {
        let bodies = Arc::<Mutex<Vec<Bytes>>>::default();
        let take = async |State(bodies): State<Arc<Mutex<Vec<Bytes>>>>, body: Bytes| bodies.lock().unwrap().push(body);
        let app = Router::new().route("/v1/traces", post(take)).with_state(bodies.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { address, bodies, _serving: serving }
    }

    fn bytes(&self) -> Vec<u8> {
        self.bodies.lock().unwrap().concat()
    }

    fn spans(&self) -> Vec<Span> {
        let mut spans = Vec::new();
        for body in self.bodies.lock().unwrap().iter() {
            for group in ExportTraceServiceRequest::decode(body.clone()).unwrap().resource_spans {
                let resource = texts(group.resource.unwrap().attributes);
                assert_eq!(attribute(&resource, "service.name"), "cronofy-operator");
                for span in group.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                    spans.push(Span {
                        trace: hex(&span.trace_id),
                        id: hex(&span.span_id),
                        parent: hex(&span.parent_span_id),
                        name: span.name,
                        instance: attribute(&resource, "service.instance.id"),
                        attributes: texts(span.attributes),
                        failed: span.status.is_some_and(|status| status.code == 2),
                    });
                }
            }
        }
        spans
    }

    /// One that exports to this, with the callback base of another.
    async fn operator(&self, world: &World, instance: &str, base: Option<String>) -> Operator {
        let mut options = world.operator_options().await;
        options.webhook_base_url = base;
        options.environment.insert("HOSTNAME".to_owned(), instance.to_owned());
        let endpoint = format!("http://{}", self.address);
        options.environment.insert("OTEL_EXPORTER_OTLP_ENDPOINT".to_owned(), endpoint);
        Operator::start(&options).await
    }
}

/// The spans under one of this name, in a tree.
fn below<'a>(spans: &'a [Span], above: &Span, name: &str) -> Vec<&'a Span> {
    let below = spans.iter().filter(|span| span.trace == above.trace && span.parent == above.id && span.name == name);
    below.collect()
}

/// Whether a request to the webhook led to a stored change; gives the reconcile that stored it.
fn stored<'a>(spans: &'a [Span], webhook: &Span) -> Option<&'a Span> {
    let [mark] = below(spans, webhook, "mark")[..] else { return None };
    let written = below(spans, mark, "kubernetes");
    let written = written.iter().any(|span| span.attribute("kind") == "calendarsubscription/status");
    let acted = |reconcile: &&&Span| {
        let reads = below(spans, reconcile, "read events");
        let read = reads.iter().any(|read| {
            let asked = below(spans, read, "GET /v1/events");
            asked.iter().any(|asked| asked.attribute("http.response.status_code") == "200")
        });
        let commits = below(spans, reconcile, "commit");
        let written = commits.iter().any(|commit| {
            below(spans, commit, "kubernetes")
                .iter()
                .any(|write| write.attribute("kind") == "configmap" && !write.failed)
        });
        read && written
    };
    written.then(|| below(spans, webhook, "reconcile").iter().find(acted).copied())?
}

async fn channel(world: &World) -> Channel {
    world.subscribe("all", json!({})).await;
    world.at_rest("all").await;
    world.channel(world.ns(), "all", &world.account).await
}

#[tokio::test]
async fn one_trace_leads_from_a_notification_to_the_stored_change_and_tells_nothing_private() {
    let (world, collector) = (World::start("traces").await, Collector::start().await);
    let operator = collector.operator(&world, "one", None).await;
    let channel = channel(&world).await;
    world.sim.put_event(&world.account, event(TITLE, 1)).unwrap();
    world.titles("all", &[TITLE]).await;
    // What a stranger sends makes no span.
    let unknown = format!("{}/hook/{}", operator.base(), "A".repeat(22));
    assert_eq!(post_signed(&hook::client(), &unknown, CLIENT_SECRET, "{}").await.bare(), 404);
    let unsigned = hook::change(&channel, hook::minutes_ago(1));
    assert_eq!(post_signed(&hook::client(), &channel.callback_url, "of nobody", &unsigned).await.bare(), 401);
    world.at_rest("all").await;
    let status = json!(world.subscriptions().get("all").await.unwrap().status);
    assert!(status["notification"].get("traceparent").is_none(), "it goes with the mark: {status}");
    assert!(operator.terminate().await, "what is left is sent at the end");

    let spans = collector.spans();
    let webhooks: Vec<_> = spans.iter().filter(|span| span.name == "webhook").collect();
    assert!(webhooks.iter().any(|span| stored(&spans, span).is_some()), "{spans:#?}");
    let mut results: Vec<_> = webhooks.iter().map(|span| span.attribute("result")).collect();
    results.sort();
    results.dedup();
    assert_eq!(results, ["bad_signature", "marked"]);
    for span in &webhooks {
        assert_eq!(
            (span.attribute("k8s.namespace.name"), span.attribute("subscription")),
            (world.ns().into(), "all".into())
        );
        assert_eq!(span.failed, span.attribute("result") == "bad_signature");
        assert!(span.parent.is_empty(), "nobody outside has a say in our traces");
    }
    let names = [
        "webhook",
        "mark",
        "reconcile",
        "kubernetes",
        "load",
        "refresh token",
        "POST /oauth/token",
        "check account",
        "GET /v1/userinfo",
        "list channels",
        "GET /v1/channels",
        "create channel",
        "POST /v1/channels",
        "read events",
        "GET /v1/events",
        "commit",
        "record",
        "rest",
    ];
    for name in names {
        assert!(spans.iter().any(|span| span.name == name), "{name} is missing");
    }
    for span in &spans {
        assert!(names.contains(&span.name.as_str()), "whose is {span:#?}");
    }

    let bytes = String::from_utf8_lossy(&collector.bytes()).into_owned();
    let token = channel.callback_url.rsplit('/').next().unwrap();
    let private =
        [TITLE, CLIENT_SECRET, token, "at_", "rt_", "/hook/", "Bearer", "changes_since", &channel.id, "http://"];
    for private in private {
        assert!(!bytes.contains(private), "{private} is exported");
    }
}

#[tokio::test]
async fn a_trace_goes_on_in_the_replica_that_acts() {
    let (world, collector) = (World::start("traces-replicas").await, Collector::start().await);
    let leader = collector.operator(&world, "leader", None).await;
    let channel = channel(&world).await;
    let standby = collector.operator(&world, "standby", Some(leader.base())).await;
    let path = channel.callback_url.strip_prefix(&leader.base()).unwrap().to_owned();
    let address = format!("{}{path}", standby.base());
    let notify = async || {
        let body = hook::change(&channel, hook::minutes_ago(1));
        assert_eq!(post_signed(&hook::client(), &address, CLIENT_SECRET, &body).await.bare(), 204);
    };
    let goes_on = async |what: &str, acts: &str| {
        let goes_on = eventually(what, PATIENCE, async || {
            let spans = collector.spans();
            let led = spans.iter().any(|webhook| {
                webhook.name == "webhook"
                    && webhook.instance == "standby"
                    && stored(&spans, webhook).is_some_and(|reconcile| reconcile.instance == acts)
            });
            led.then_some(())
        });
        goes_on.await.unwrap_or_else(|error| panic!("{error}: {:#?}", collector.spans()));
    };
    world.unheard(|sim| drop(sim.put_event(&world.account, event("one", 1)).unwrap())).await;
    notify().await;
    goes_on("the leader acts in the standby's trace", "leader").await;

    // The mark waits for whoever leads next, and the trace with it. Two that wait are one pass: it belongs to the later one.
    world.at_rest("all").await;
    leader.pause();
    world.unheard(|sim| drop(sim.put_event(&world.account, event("two", 1)).unwrap())).await;
    notify().await;
    let parent = async || {
        let found = world.subscriptions().get("all").await.unwrap();
        assert!(pending(&found));
        found.status.unwrap().notification.unwrap().traceparent.expect("it is traced")
    };
    let first = parent().await;
    notify().await;
    let second = parent().await;
    assert!(first != second && second.len() == 55 && second.starts_with("00-"), "{first} {second}");
    world.titles("all", &["one", "two"]).await;
    let spans = eventually("the later one's trace is exported", PATIENCE, async || {
        let spans = collector.spans();
        let reconcile = spans.iter().find(|span| {
            span.name == "reconcile" && span.instance == "standby" && !below(&spans, span, "commit").is_empty()
        });
        reconcile.cloned()
    });
    let reconcile = spans.await.unwrap();
    assert_eq!(format!("00-{}-{}-01", reconcile.trace, reconcile.parent), second);
    leader.resume();
}

#[tokio::test]
async fn without_a_collector_nothing_is_noted_and_one_that_takes_nothing_is_no_trouble() {
    let world = World::start("traces-off").await;
    let leader = world.operator().await;
    let channel = channel(&world).await;
    let mut options = world.operator_options().await;
    options.webhook_base_url = Some(leader.base());
    let standby = Operator::start(&options).await;
    leader.pause();
    let path = channel.callback_url.strip_prefix(&leader.base()).unwrap();
    let body = hook::change(&channel, hook::minutes_ago(1));
    let address = format!("{}{path}", standby.base());
    assert_eq!(post_signed(&hook::client(), &address, CLIENT_SECRET, &body).await.bare(), 204);
    let found = world.subscriptions().get("all").await.unwrap();
    assert!(pending(&found));
    assert_eq!(found.status.unwrap().notification.unwrap().traceparent, None);
    leader.kill();
    assert!(standby.terminate().await);

    let mut options = world.operator_options().await;
    // A server that knows no such path: 404 for every batch.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let _serving = tokio::spawn(async move { axum::serve(listener, Router::new()).await.unwrap() });
    options.arguments = ["--otlp-endpoint", &endpoint].map(ToOwned::to_owned).to_vec();
    let operator = Operator::start(&options).await;
    world.sim.put_event(&world.account, event("copied", 1)).unwrap();
    world.titles("all", &["copied"]).await;
    let told = "traces are not exported";
    let said = async || operator.log().iter().any(|line| line.contains(told)).then_some(());
    eventually("it says so", PATIENCE, said).await.unwrap();
    world.sim.put_event(&world.account, event("copied, too", 2)).unwrap();
    world.titles("all", &["copied", "copied, too"]).await;
    let lines = operator.log().iter().filter(|line| line.contains(told)).count();
    assert_eq!(lines, 1, "{:#?}", operator.log());
    assert!(operator.terminate().await);
}
