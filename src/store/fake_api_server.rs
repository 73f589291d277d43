//! An API server of `ConfigMap`s and Secrets within the test, under a real client: it keeps versions, checks what writes are
//! conditional on, lists by label, notes every request, and fails the next one as told.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::{Method, Request, Response, StatusCode};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tower::BoxError;

/// What happens to a request instead of an answer.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// Answered by this, without effect.
    Answer(u16, Value),
    /// Answered by this, after it has taken effect.
    AnswerAfterEffect(u16, Value),
    /// Never answered, without effect.
    Hang,
    /// Never answered, after it has taken effect.
    HangAfterEffect,
    /// The connection breaks.
    Break,
    /// Answered by something that is no object.
    Gibberish,
}

#[derive(Clone, Default)]
pub(super) struct FakeApiServer {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Value>,
    last_version: u64,
    requests: Vec<(String, Value)>,
    faults: VecDeque<Fault>,
    /// A fault for the request that comes after so many others.
    fault_at: Option<(usize, Fault)>,
}

impl FakeApiServer {
    pub fn client(&self) -> Client {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move {
                let (parts, body) = request.into_parts();
                let body = serde_json::from_slice(&body.collect_bytes().await?).unwrap_or(Value::Null);
                server.answer(&parts.method, parts.uri.path(), parts.uri.query().unwrap_or_default(), body).await
            }
        });
        Client::new(service, "default")
    }

    /// What the next requests get, in this order; after that they are answered.
    pub fn fail(&self, faults: impl IntoIterator<Item = Fault>) {
        self.state().faults.extend(faults);
    }

    /// What happens to the request that comes after `count` more.
    pub fn fail_at(&self, count: usize, fault: Fault) {
        self.state().fault_at = Some((count, fault));
    }

    /// Whether that request has not come; from now on it is forgotten.
    pub fn fails_still(&self) -> bool {
        self.state().fault_at.take().is_some()
    }

    /// The requests since the last call, as method and path.
    pub fn take_requests(&self) -> Vec<String> {
        self.take_bodies().into_iter().map(|(request, _)| request).collect()
    }

    /// The requests since the last call, with their bodies.
    pub fn take_bodies(&self) -> Vec<(String, Value)> {
        std::mem::take(&mut self.state().requests)
    }

    pub fn object(&self, path: &str) -> Option<ConfigMap> {
        Some(serde_json::from_value(self.value(path)?).expect("it is a ConfigMap"))
    }

    /// An object of any kind.
    pub fn value(&self, path: &str) -> Option<Value> {
        self.state().objects.get(path).cloned()
    }

    /// The paths of all objects.
    pub fn paths(&self) -> Vec<String> {
        self.state().objects.keys().cloned().collect()
    }

    /// Puts an object there, or changes it, as another client would.
    pub fn edit(&self, path: &str, edit: impl FnOnce(&mut ConfigMap)) {
        let mut object = self.object(path).unwrap_or_default();
        edit(&mut object);
        self.state().store(path, json!(object));
    }

    /// The same with an object of any kind, which must be there.
    pub fn edit_value(&self, path: &str, edit: impl FnOnce(&mut Value)) {
        let mut object = self.value(path).expect("it is there");
        edit(&mut object);
        self.state().store(path, object);
    }

    /// Creates an object of any kind as another client would.
    pub fn create(&self, path: &str, object: Value) {
        self.state().store(path, object);
    }

    /// Deletes an object as another client would. Gives what it was.
    pub fn delete(&self, path: &str) -> Value {
        self.state().objects.remove(path).expect("it is there")
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer(&self, method: &Method, path: &str, query: &str, body: Value) -> Result<Response<Body>, BoxError> {
        let fault = {
            let mut state = self.state();
            state.requests.push((format!("{method} {path}"), body.clone()));
            state.next_fault()
        };
        let takes_effect = matches!(fault, None | Some(Fault::AnswerAfterEffect(..) | Fault::HangAfterEffect));
        let usual = takes_effect.then(|| self.state().perform(method, path, query, body));
        match (fault, usual) {
            (Some(Fault::Answer(code, status) | Fault::AnswerAfterEffect(code, status)), _) => answer(code, &status),
            (Some(Fault::Hang | Fault::HangAfterEffect), _) => std::future::pending().await,
            (Some(Fault::Break), _) => Err("connection reset by peer".into()),
            (Some(Fault::Gibberish), _) => answer(200, &json!({ "data": "Board meeting" })),
            (None, Some((code, object))) => answer(code, &object),
            (None, None) => Err("a request without a fault takes effect".into()),
        }
    }
}

impl State {
    fn next_fault(&mut self) -> Option<Fault> {
        if let Some((count, fault)) = self.fault_at.take() {
            if count == 0 {
                return Some(fault);
            }
            self.fault_at = Some((count - 1, fault));
        }
        self.faults.pop_front()
    }

    fn perform(&mut self, method: &Method, path: &str, query: &str, body: Value) -> (u16, Value) {
        match *method {
            Method::GET if path.ends_with("/configmaps") || path.ends_with("/secrets") => (200, self.list(path, query)),
            Method::GET => match self.objects.get(path) {
                Some(object) => (200, object.clone()),
                None => failure(404, "NotFound"),
            },
            Method::POST => {
                let path = format!("{path}/{}", body["metadata"]["name"].as_str().expect("it has a name"));
                if self.objects.contains_key(&path) {
                    return failure(409, "AlreadyExists");
                }
                assert_eq!(body["metadata"]["resourceVersion"], Value::Null, "refused by the real one");
                let mut object = body;
                object["metadata"]["creationTimestamp"] = json!("2020-01-01T00:00:00Z");
                (201, self.store(&path, object).clone())
            }
            Method::PUT => {
                let Some(present) = self.objects.get(path) else { return failure(404, "NotFound") };
                if !same_version(&body["metadata"], &present["metadata"]) {
                    return failure(409, "Conflict");
                }
                let fixed = present["immutable"] == json!(true) && present["data"] != body["data"];
                if fixed || present["type"] != body["type"] {
                    return failure(422, "Invalid");
                }
                let mut object = body;
                object["metadata"]["creationTimestamp"] = present["metadata"]["creationTimestamp"].clone();
                (200, self.store(path, object).clone())
            }
            Method::PATCH => {
                let Some(present) = self.objects.get(path) else { return failure(404, "NotFound") };
                if !same_version(&body["metadata"], &present["metadata"]) {
                    return failure(409, "Conflict");
                }
                let mut object = present.clone();
                for (key, value) in body["metadata"]["annotations"].as_object().expect("only annotations are patched") {
                    object["metadata"]["annotations"][key] = value.clone();
                }
                (200, self.store(path, object).clone())
            }
            Method::DELETE => {
                let Some(present) = self.objects.get(path) else { return failure(404, "NotFound") };
                if !same_version(&body["preconditions"], &present["metadata"]) {
                    return failure(409, "Conflict");
                }
                if present["metadata"]["finalizers"].is_array() {
                    let mut object = present.clone();
                    object["metadata"]["deletionTimestamp"] = json!("2030-01-01T00:00:00Z");
                    return (200, self.store(path, object).clone());
                }
                self.objects.remove(path);
                (200, json!({ "kind": "Status", "apiVersion": "v1", "status": "Success" }))
            }
            _ => failure(405, "MethodNotAllowed"),
        }
    }

    /// Two a page, so that there is more than one.
    fn list(&self, path: &str, query: &str) -> Value {
        let query: BTreeMap<String, String> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let selector = query.get("labelSelector").expect("nothing is listed without a selector");
        let wanted: Vec<(&str, bool, &str)> = selector.split(',').map(term).collect();
        let begin: usize = query.get("continue").map_or(0, |token| token.parse().expect("a token of ours"));
        let prefix = format!("{path}/");
        let matching = self.objects.iter().filter(|(path, object)| {
            path.starts_with(&prefix)
                && wanted.iter().all(|(key, equal, value)| (object["metadata"]["labels"][*key] == **value) == *equal)
        });
        let all: Vec<Value> = matching.map(|(_, object)| object.clone()).collect();
        let page: Vec<Value> = all.iter().skip(begin).take(2).cloned().collect();
        let more = (begin + page.len() < all.len()).then(|| (begin + page.len()).to_string());
        json!({ "kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1",
            "metadata": { "continue": more.unwrap_or_default() }, "items": page })
    }

    fn store(&mut self, path: &str, mut object: Value) -> &Value {
        self.last_version += 1;
        let metadata = &mut object["metadata"];
        if metadata["uid"].is_null() {
            metadata["uid"] = json!(format!("uid-of-object-{}", self.last_version));
        }
        metadata["resourceVersion"] = json!(self.last_version.to_string());
        self.objects.insert(path.to_owned(), object);
        &self.objects[path]
    }
}

/// A term of a label selector: key, whether it is to be equal, value.
fn term(term: &str) -> (&str, bool, &str) {
    match term.split_once("!=") {
        Some((key, value)) => (key, false, value),
        None => term.split_once('=').map(|(key, value)| (key, true, value)).expect("equality"),
    }
}

fn same_version(sent: &Value, present: &Value) -> bool {
    sent["uid"] == present["uid"] && sent["resourceVersion"] == present["resourceVersion"]
}

/// A Status as the API server sends it.
pub(super) fn status(code: u16, reason: &str, message: &str) -> Value {
    json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message })
}

fn failure(code: u16, reason: &str) -> (u16, Value) {
    (code, status(code, reason, reason))
}

fn answer(code: u16, body: &Value) -> Result<Response<Body>, BoxError> {
    let mut response = Response::new(Body::from(body.to_string().into_bytes()));
    *response.status_mut() = StatusCode::from_u16(code)?;
    Ok(response)
}
