//! An API server for tests: one kind of object with a status, Secrets by name, JSON patches with their tests, and faults. And
//! certificates.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use https_listener::{PairFile, PairFiles};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use testenv::{Authority, Issued};

use super::routes::{Lookup, Route, Routes};
use crate::api::CalendarSubscription;

/// What becomes of requests of one sort.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Fault {
    #[default]
    None,
    /// No answer.
    Hang,
    /// This status, and no effect.
    Status(u16),
}

/// One patch, with the ticks at which it began and was committed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patched {
    pub(super) began: u64,
    pub(super) committed: Option<u64>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) objects: BTreeMap<String, Value>,
    pub(super) secrets: BTreeMap<String, Value>,
    pub(super) patches: Vec<Patched>,
    /// Every request, as method and path.
    pub(super) requests: Vec<String>,
    pub(super) most_in_flight: usize,
    pub(super) patch_fault: Fault,
    pub(super) secret_fault: Fault,
    /// How long a patch takes.
    pub(super) patch_time: Duration,
    in_flight: usize,
    version: u64,
    ticks: u64,
}

impl State {
    /// A point in the order of all that happens.
    pub(super) fn tick(&mut self) -> u64 {
        self.ticks += 1;
        self.ticks
    }

    pub(super) fn put(&mut self, mut object: Value) {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.objects.insert(object["metadata"]["name"].as_str().unwrap().to_owned(), object);
    }

    pub(super) fn mark(&self, name: &str) -> Value {
        self.objects[name]["status"]["notification"].clone()
    }

    pub(super) fn reads(&self, kind: &str) -> usize {
        let path = format!("/{kind}/");
        self.requests.iter().filter(|request| request.starts_with("GET") && request.contains(&path)).count()
    }
}

/// The server. Clones are the same.
#[derive(Clone, Default)]
pub(super) struct Fake(Arc<Mutex<State>>);

impl Fake {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub(super) fn client(&self) -> Client {
        let fake = self.clone();
        let service = tower::service_fn(move |request| {
            let fake = fake.clone();
            async move { Ok::<_, std::convert::Infallible>(fake.answer(request).await) }
        });
        Client::new(service, "default")
    }

    /// Adds a subscription with this uid and status.
    pub(super) fn subscription(&self, uid: &str, status: &Value) {
        let mut object = json!({
            "apiVersion": "cronofy-operator.dev/v1alpha1",
            "kind": "CalendarSubscription",
            "metadata": {"name": uid, "namespace": "rooms", "uid": uid},
            "spec": {"applicationRef": {"name": "app"}, "account": {"secretRef": {"name": "account"}}},
        });
        if !status.is_null() {
            object["status"] = status.clone();
        }
        self.state().put(object);
    }

    pub(super) fn secret(&self, name: &str, values: &[(&str, &str)]) {
        use base64::Engine as _;
        let encoded = |value: &str| base64::engine::general_purpose::STANDARD.encode(value);
        let data: BTreeMap<_, _> = values.iter().map(|(key, value)| (*key, encoded(value))).collect();
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data});
        self.state().secrets.insert(name.to_owned(), secret);
    }

    /// Shows a subscription to the routes, as its watch would now.
    pub(super) fn show(&self, routes: &Routes, name: &str) {
        let subscription: CalendarSubscription = serde_json::from_value(self.state().objects[name].clone()).unwrap();
        routes.apply(&subscription);
    }

    /// The route to a subscription with a channel, as its watch would tell it now.
    pub(super) fn route(&self, name: &str) -> Arc<Route> {
        let routes = Routes::new("https://hooks.example.org");
        let mut feed = routes.feed();
        feed.observe(&kube::runtime::watcher::Event::Init);
        feed.observe(&kube::runtime::watcher::Event::InitDone);
        self.show(&routes, name);
        match routes.look_up(&calendar_sync::channel::token(name, 1)) {
            Lookup::Found { route, .. } => route,
            other => panic!("{other:?}"),
        }
    }

    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let body = body.collect_bytes().await.unwrap();
        let path = head.uri.path().to_owned();
        self.state().requests.push(format!("{} {path}", head.method));
        let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        match (&head.method, segments.as_slice()) {
            (&Method::GET, ["api", "v1", "namespaces", _, "secrets", name]) => {
                let fault = self.state().secret_fault;
                let answer = self.state().secrets.get(*name).cloned();
                faulty(fault).await.unwrap_or_else(|| found(answer))
            }
            (&Method::GET, ["apis", _, _, "namespaces", _, "calendarsubscriptions", name]) => {
                found(self.state().objects.get(*name).cloned())
            }
            (&Method::PATCH, ["apis", _, _, "namespaces", _, "calendarsubscriptions", name, "status"]) => {
                assert_eq!(head.headers["content-type"], "application/json-patch+json");
                self.patch(name, &body).await
            }
            other => panic!("unexpected request {other:?}"),
        }
    }

    async fn patch(&self, name: &str, body: &Bytes) -> Response<Body> {
        let (index, fault, time) = {
            let mut state = self.state();
            let began = state.tick();
            state.patches.push(Patched { began, committed: None });
            state.in_flight += 1;
            state.most_in_flight = state.most_in_flight.max(state.in_flight);
            (state.patches.len() - 1, state.patch_fault, state.patch_time)
        };
        let _in_flight = InFlight(self);
        if let Some(answer) = faulty(fault).await {
            return answer;
        }
        tokio::time::sleep(time).await;
        let mut state = self.state();
        let Some(mut object) = state.objects.get(name).cloned() else { return found(None) };
        let operations: Vec<Value> = serde_json::from_slice(body).unwrap();
        if !operations.iter().all(|operation| apply(&mut object, operation)) {
            return refusal(422);
        }
        let committed = state.tick();
        state.patches[index].committed = Some(committed);
        state.put(object);
        found(state.objects.get(name).cloned())
    }
}

struct InFlight<'a>(&'a Fake);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.state().in_flight -= 1;
    }
}

/// One operation of a JSON patch; false if it does not hold or has no place.
fn apply(object: &mut Value, operation: &Value) -> bool {
    let path = operation["path"].as_str().unwrap();
    let value = operation["value"].clone();
    let (parent, key) = path.rsplit_once('/').unwrap();
    let Some(parent) = object.pointer_mut(parent).and_then(Value::as_object_mut) else { return false };
    match operation["op"].as_str().unwrap() {
        "test" => parent.get(key) == Some(&value),
        "replace" => parent.insert(key.to_owned(), value).is_some(),
        "add" => {
            parent.insert(key.to_owned(), value);
            true
        }
        other => panic!("unexpected operation {other}"),
    }
}

async fn faulty(fault: Fault) -> Option<Response<Body>> {
    match fault {
        Fault::None => None,
        Fault::Hang => std::future::pending().await,
        Fault::Status(status) => Some(refusal(status)),
    }
}

fn found(object: Option<Value>) -> Response<Body> {
    object.map_or_else(|| refusal(404), |object| answer(200, &object))
}

fn refusal(code: u16) -> Response<Body> {
    answer(
        code,
        &json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": "", "message": ""}),
    )
}

fn answer(code: u16, body: &Value) -> Response<Body> {
    Response::builder().status(code).body(Body::from(serde_json::to_vec(body).unwrap())).unwrap()
}

/// Where a test has it.
pub(super) fn files(folder: &Path) -> PairFiles {
    PairFiles {
        certificate: PairFile { flag: "webhook-tls-cert", path: folder.join("tls.crt") },
        key: PairFile { flag: "webhook-tls-key", path: folder.join("tls.key") },
    }
}

/// Issues one for `localhost` that is valid until the first day of a year.
pub(super) fn issue(authority: &Authority, year: i32) -> Issued {
    authority.issue_until(&["localhost"], year).unwrap()
}
