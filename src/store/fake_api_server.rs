//! An API server of `ConfigMap` objects within the test, under a real client: it keeps versions, checks what writes are
//! conditional on, notes every request, and fails the next one as told.

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
    objects: BTreeMap<String, ConfigMap>,
    last_version: u64,
    requests: Vec<(String, Value)>,
    faults: VecDeque<Fault>,
}

impl FakeApiServer {
    pub fn client(&self) -> Client {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move {
                let (parts, body) = request.into_parts();
                let body = serde_json::from_slice(&body.collect_bytes().await?).unwrap_or(Value::Null);
                server.answer(&parts.method, parts.uri.path(), body).await
            }
        });
        Client::new(service, "default")
    }

    /// What the next requests get, in this order; after that they are answered.
    pub fn fail(&self, faults: impl IntoIterator<Item = Fault>) {
        self.state().faults.extend(faults);
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
        self.state().objects.get(path).cloned()
    }

    /// Puts an object there, or changes it, as another client would.
    pub fn edit(&self, path: &str, edit: impl FnOnce(&mut ConfigMap)) {
        let mut state = self.state();
        let mut object = state.objects.get(path).cloned().unwrap_or_default();
        edit(&mut object);
        state.store(path, object);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer(&self, method: &Method, path: &str, body: Value) -> Result<Response<Body>, BoxError> {
        let fault = {
            let mut state = self.state();
            state.requests.push((format!("{method} {path}"), body.clone()));
            state.faults.pop_front()
        };
        let takes_effect = matches!(fault, None | Some(Fault::AnswerAfterEffect(..) | Fault::HangAfterEffect));
        let usual = takes_effect.then(|| self.state().perform(method, path, body));
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
    fn perform(&mut self, method: &Method, path: &str, body: Value) -> (u16, Value) {
        match *method {
            Method::GET => match self.objects.get(path) {
                Some(object) => (200, json!(object)),
                None => failure(404, "NotFound"),
            },
            Method::POST => {
                let object: ConfigMap = serde_json::from_value(body).expect("the body is a ConfigMap");
                let path = format!("{path}/{}", object.metadata.name.as_deref().unwrap_or_default());
                if self.objects.contains_key(&path) {
                    return failure(409, "AlreadyExists");
                }
                assert_eq!(object.metadata.resource_version, None, "refused by the real one");
                (201, json!(self.store(&path, object)))
            }
            Method::PUT => {
                let object: ConfigMap = serde_json::from_value(body).expect("the body is a ConfigMap");
                let Some(present) = self.objects.get(path) else { return failure(404, "NotFound") };
                let (sent, present) = (&object.metadata, &present.metadata);
                if sent.resource_version != present.resource_version || sent.uid != present.uid {
                    return failure(409, "Conflict");
                }
                (200, json!(self.store(path, object)))
            }
            Method::DELETE => {
                let Some(present) = self.objects.get(path) else { return failure(404, "NotFound") };
                let conditions = &body["preconditions"];
                if conditions["uid"] != json!(present.metadata.uid)
                    || conditions["resourceVersion"] != json!(present.metadata.resource_version)
                {
                    return failure(409, "Conflict");
                }
                if present.metadata.finalizers.is_some() {
                    let mut object = present.clone();
                    object.metadata.deletion_timestamp =
                        Some(serde_json::from_value(json!("2030-01-01T00:00:00Z")).expect("a time"));
                    return (200, json!(self.store(path, object)));
                }
                self.objects.remove(path);
                (200, json!({ "kind": "Status", "apiVersion": "v1", "status": "Success" }))
            }
            _ => failure(405, "MethodNotAllowed"),
        }
    }

    fn store(&mut self, path: &str, mut object: ConfigMap) -> &ConfigMap {
        self.last_version += 1;
        let metadata = &mut object.metadata;
        metadata.uid.get_or_insert_with(|| format!("uid-of-object-{}", self.last_version));
        metadata.resource_version = Some(self.last_version.to_string());
        self.objects.insert(path.to_owned(), object);
        &self.objects[path]
    }
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
