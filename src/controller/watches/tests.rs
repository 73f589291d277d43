//! What wakes a reconcile, and what does not.

use std::convert::Infallible;
use std::time::Duration;

use futures::stream;
use http::{Request, Response};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::client::Body;
use kube::runtime::Controller;
use kube::runtime::controller::{self, Action};
use kube::runtime::reflector::ObjectRef;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::*;
use crate::metrics::exposition::sample;

/// One thing that happens to an object: what it is called, the part of the object that it changes, and whether it wakes a
/// reconcile.
type Happening = (&'static str, Value, bool);

/// An API server with an object that is listed and then changes by each of these in turn.
fn living(first: &Value, life: &[Happening]) -> Client {
    let mut object = first.clone();
    object["metadata"]["resourceVersion"] = json!("0");
    let listed = object.clone();
    let lines = life.iter().enumerate().map(|(number, (_, change, _))| {
        merge(&mut object, change);
        object["metadata"]["resourceVersion"] = json!((number + 1).to_string());
        json!({ "type": "MODIFIED", "object": object }).to_string() + "\n"
    });
    api_server(listed, lines.collect())
}

/// The names of those happenings that a watch passes on.
async fn woken<K: kube::Resource>(
    life: &[Happening],
    watched: impl Stream<Item = Result<DeserializeGuard<K>, watcher::Error>>,
) -> Vec<String> {
    let passed = watched.take_until(tokio::time::sleep(Duration::from_secs(1)));
    let versions: Vec<String> = passed.map(|object| object.unwrap().resource_version().unwrap()).collect().await;
    let name = |version: &String| match version.as_str() {
        "0" => "listed".to_owned(),
        number => life[number.parse::<usize>().unwrap() - 1].0.to_owned(),
    };
    versions.iter().map(name).collect()
}

/// The names of those happenings that must wake a reconcile.
fn waking(life: &[Happening]) -> Vec<String> {
    let waking = life.iter().filter(|(_, _, wakes)| *wakes).map(|(name, ..)| (*name).to_owned());
    std::iter::once("listed".to_owned()).chain(waking).collect()
}

/// A JSON merge patch.
fn merge(object: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *object = patch.clone();
        return;
    };
    if !object.is_object() {
        *object = json!({});
    }
    for (key, value) in patch {
        if value.is_null() {
            object.as_object_mut().unwrap().remove(key);
        } else {
            merge(&mut object[key], value);
        }
    }
}

/// One that lists this object, and shows these lines to whoever watches first.
fn api_server(listed: Value, lines: String) -> Client {
    let lines = Arc::new(std::sync::Mutex::new(Some(lines)));
    let service = tower::service_fn(move |request: Request<Body>| {
        let (listed, lines) = (listed.clone(), lines.clone());
        async move {
            let body = if request.uri().query().unwrap_or_default().contains("watch=true") {
                let Some(lines) = lines.lock().unwrap().take() else { return std::future::pending().await };
                lines
            } else {
                let metadata = json!({ "resourceVersion": "0" });
                let (version, kind) = (listed["apiVersion"].clone(), listed["kind"].as_str().unwrap().to_owned());
                json!({ "apiVersion": version, "kind": format!("{kind}List"), "metadata": metadata, "items": [listed] })
                    .to_string()
            };
            Ok::<_, Infallible>(Response::new(Body::from(body.into_bytes())))
        }
    });
    Client::new(service, "default")
}

fn subscription() -> Value {
    json!({
        "apiVersion": "cronofy-operator.dev/v1alpha1", "kind": "CalendarSubscription",
        "metadata": { "name": "team", "namespace": "rooms", "uid": "1", "generation": 1 },
        "spec": { "applicationRef": { "name": "app" }, "account": { "secretRef": { "name": "account" } } },
        "status": { "observedGeneration": -1 },
    })
}

#[tokio::test(start_paused = true)]
async fn what_asks_for_work_on_a_subscription_wakes_a_reconcile_and_what_tells_of_work_does_not() {
    let annotated = |key: &str, value: Value| json!({ "metadata": { "annotations": { key: value } } });
    let mark = |mark: Value| json!({ "status": { "notification": mark } });
    let time = "2026-11-23T12:00:00Z";
    let condition = json!({
        "type": "Ready", "status": "True", "reason": "Ready", "message": "", "lastTransitionTime": time,
    });
    let failure = json!({ "count": 1, "lastTime": time, "reason": "CronofyUnreachable" });
    let life: Vec<Happening> = vec![
        ("the finalizer is added", json!({ "metadata": { "finalizers": [crate::api::FINALIZER] } }), true),
        ("conditions are written", json!({ "status": { "conditions": [condition], "observedGeneration": 1 } }), false),
        ("a channel is written", json!({ "status": { "channel": { "generation": 1, "id": "chn_1" } } }), false),
        ("a mark", mark(json!({ "sequence": 1, "receivedTime": time, "types": ["change"] })), true),
        ("another mark", mark(json!({ "sequence": 2 })), true),
        ("the mark is cleared", mark(json!({ "receivedTime": null, "types": null })), false),
        ("the next mark", mark(json!({ "sequence": 3, "receivedTime": time, "types": ["change"] })), true),
        ("the spec is edited", json!({ "metadata": { "generation": 2 }, "spec": { "mode": "Poll" } }), true),
        ("somebody's annotation", annotated("example.org/owner", json!("ana")), false),
        ("a label", json!({ "metadata": { "labels": { "team": "rooms" } } }), false),
        ("managed fields", json!({ "metadata": { "managedFields": [{ "manager": "kubectl" }] } }), false),
        ("a request", annotated(REQUESTED_AT, json!("now")), true),
        ("another request", annotated(REQUESTED_AT, json!("again")), true),
        ("the request is handled", json!({ "status": { "lastHandledRequest": "again" } }), false),
        ("the channel is abandoned", annotated(ABANDON_CHANNEL, json!("true")), true),
        ("a store is abandoned", annotated(ABANDON_STORE, json!("https://store")), true),
        ("the spec does not decode any more", json!({ "metadata": { "generation": 3 }, "spec": { "mode": 7 } }), true),
        ("nor after somebody's annotation", annotated("example.org/owner", json!("bea")), false),
        ("the spec is mended", json!({ "metadata": { "generation": 4 }, "spec": { "mode": "Poll" } }), true),
        ("it is deleted", json!({ "metadata": { "generation": 5, "deletionTimestamp": time } }), true),
        ("a failure is written", json!({ "status": { "failure": failure } }), false),
        ("the finalizer is taken off", json!({ "metadata": { "finalizers": null } }), true),
        ("another of its name", json!({ "metadata": { "uid": "2", "deletionTimestamp": null } }), true),
    ];
    let (client, scope, metrics) = (living(&subscription(), &life), Scope::Cluster, Metrics::new());
    let (_store, watched) = subscriptions(&client, &scope, watcher::Config::default(), &metrics, |_event| {});
    assert_eq!(woken(&life, watched).await, waking(&life));
}

#[tokio::test(start_paused = true)]
async fn an_application_wakes_a_reconcile_by_its_spec_alone() {
    let application = json!({
        "apiVersion": "cronofy-operator.dev/v1alpha1", "kind": "CronofyApplication",
        "metadata": { "name": "app", "namespace": "rooms", "uid": "1", "generation": 1 },
        "spec": { "credentialsSecretRef": { "name": "app" } }, "status": { "observedGeneration": -1 },
    });
    let life: Vec<Happening> = vec![
        ("the status is written", json!({ "status": { "observedGeneration": 1 } }), false),
        ("an annotation", json!({ "metadata": { "annotations": { REQUESTED_AT: "now" } } }), false),
        ("the spec is edited", json!({ "metadata": { "generation": 2 }, "spec": { "dataCenter": "de" } }), true),
        ("another of its name", json!({ "metadata": { "uid": "2" } }), true),
    ];
    let (client, scope, metrics) = (living(&application, &life), Scope::Cluster, Metrics::new());
    let (_store, watched) = applications(&client, &scope, watcher::Config::default(), &metrics, |_event| {});
    assert_eq!(woken(&life, watched).await, waking(&life));
}

/// The controller polls all its triggers behind one backoff, in which an error of any of them holds up the others.
#[tokio::test(start_paused = true)]
async fn a_watch_that_fails_without_end_holds_up_no_other_trigger() {
    let object: ConfigMap =
        serde_json::from_value(json!({ "metadata": { "name": "team", "namespace": "rooms", "uid": "1" } })).unwrap();
    let (store, mut writer) = reflector::store();
    for event in [watcher::Event::Init, watcher::Event::InitApply(object.clone()), watcher::Event::InitDone] {
        writer.apply_watcher_event(&event);
    }
    let metrics = Metrics::new();
    let broken = stream::repeat_with(|| Err::<watcher::Event<ConfigMap>, _>(watcher::Error::NoResourceVersion))
        .default_backoff()
        .touched_objects();
    let contained = contain_errors(Watch::ConfigMaps, metrics.clone(), broken);
    let (nudge, nudges) = mpsc::channel::<ObjectRef<ConfigMap>>(1);
    let nudges = stream::unfold(nudges, |mut nudges| async move { Some((nudges.recv().await?, nudges)) });
    let (ran, mut runs) = mpsc::channel::<()>(8);
    let reconcile = |_object, ran: Arc<mpsc::Sender<()>>| async move {
        ran.send(()).await.unwrap();
        Ok::<_, Infallible>(Action::await_change())
    };
    let controller = Controller::for_stream(stream::pending(), store)
        .with_config(controller::Config::default())
        .watches_stream(contained, |_output| None::<ObjectRef<ConfigMap>>)
        .reconcile_on(nudges)
        .run(reconcile, |_object, _error, _ran| Action::await_change(), Arc::new(ran))
        .for_each(|_result| std::future::ready(()));
    let test = async {
        for number in 1..=5 {
            // Long enough for the next errors, whatever their backoff has come to.
            tokio::time::sleep(Duration::from_secs(120)).await;
            nudge.send(ObjectRef::from_obj(&object)).await.unwrap();
            let run = tokio::time::timeout(Duration::from_secs(1), runs.recv()).await;
            assert!(run.is_ok(), "nudge {number} waits for the broken watch");
        }
    };
    tokio::select! {
        () = test => {}
        () = controller => panic!("the controller ended"),
    }
    let errors = sample(&metrics, "cronofy_operator_watch_errors_total", &[("watch", Watch::ConfigMaps.as_str())]);
    assert!(errors >= 5.0, "each error is counted: {errors}");
}

#[tokio::test]
async fn what_a_broken_watch_still_brings_is_passed_on() {
    let metrics = Metrics::new();
    let items = stream::iter([Ok(1), Err(watcher::Error::NoResourceVersion), Ok(2)]);
    let passed: Vec<_> = contain_errors(Watch::Subscriptions, metrics.clone(), items).collect().await;
    assert_eq!(passed.into_iter().map(Result::unwrap).collect::<Vec<_>>(), [1, 2]);
    let errors = |watch: &str| sample(&metrics, "cronofy_operator_watch_errors_total", &[("watch", watch)]);
    assert_eq!((errors("subscriptions"), errors("applications")), (1.0, 0.0));
}
