//! A store with an authority of its own on an API server, and people who come with tokens.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use calendar_store::authority::{Authority, Settings};
use calendar_store::database::Database;
use calendar_store::{Access, Credentials, Limits, feeds, write};
use calendar_store_client::{CommitHeader, Head, Line, Reason, Scope, State};
use calendar_sync::Visibility;
use http::{Request, StatusCode};
use k8s_openapi::api::rbac::v1::PolicyRule;
use serde_json::{Value, json};
use tempfile::TempDir;
use testenv::{ControlPlane, Scope as In};
use tower::ServiceExt as _;

pub const AUDIENCE: &str = "calendar-store";

/// A store in a namespace of its own, where `team` is the subscription that something is kept of, and `other` another one.
pub struct Store {
    pub plane: &'static ControlPlane,
    pub namespace: String,
    pub database: Database,
    pub authority: Arc<Authority>,
    pub app: Router,
    pub folder: TempDir,
}

pub async fn shared() -> &'static ControlPlane {
    testenv::shared().await.unwrap()
}

impl Store {
    pub async fn on(plane: &'static ControlPlane) -> Self {
        let namespace = plane.namespace("calendars").await.unwrap().name().to_owned();
        let access = plane.service_account_access(&namespace, "store").await.unwrap();
        let account = (namespace.as_str(), "store");
        testenv::grant(&plane.admin().unwrap(), In::Cluster, account, &testenv::auth_delegator()).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(&format!("sqlite:{}", folder.path().join("store.db").display())).await.unwrap();
        let writers = BTreeSet::from([user(&namespace, "writer")]);
        let settings = Settings { audience: AUDIENCE.to_owned(), writers };
        let authority = Arc::new(Authority::new(access.client().unwrap(), settings, database.clone()));
        let access: Arc<dyn Access> = authority.clone();
        let app = write::routes(database.clone(), access.clone(), Limits::default())
            .merge(feeds::routes(database.clone(), access));
        let store = Self { plane, namespace, database, authority, app, folder };
        for (number, name) in [(1, "team"), (2, "other")] {
            let body = commit(&store.namespace, name, None, number, &["a", "b"]);
            let path = format!("/write/v1/subscriptions/uid-{name}");
            let token = store.token("writer").await;
            let (status, answer) = store.ask("PUT", &path, Some(&token), body).await;
            assert_eq!(status, StatusCode::OK, "{answer}");
        }
        store
    }

    /// A token of a `ServiceAccount` for the store, which is made now if it is absent.
    pub async fn token(&self, account: &str) -> String {
        token(self.plane, &self.namespace, account, &[AUDIENCE]).await
    }

    pub async fn grant(&self, account: &str, rules: &[PolicyRule]) {
        let (client, here) = (self.plane.admin().unwrap(), In::Namespace(&self.namespace));
        testenv::grant(&client, here, (&self.namespace, account), rules).await.unwrap();
    }

    /// Why whoever shows this may not read `team`; `None` if they may.
    pub async fn reads(&self, token: Option<&str>) -> Option<Reason> {
        self.reads_of(token, &self.namespace, "team").await
    }

    pub async fn reads_of(&self, token: Option<&str>, namespace: &str, name: &str) -> Option<Reason> {
        let read = self.authority.may_read(&bearer(token), namespace, name).await;
        read.err().map(|problem| problem.reason())
    }

    pub async fn ask(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: impl Into<Body>,
    ) -> (StatusCode, Value) {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(token) = token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        let response = self.app.clone().oneshot(request.body(body.into()).unwrap()).await.unwrap();
        let status = response.status();
        assert_eq!(status == StatusCode::UNAUTHORIZED, response.headers().contains_key("WWW-Authenticate"));
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }
}

pub fn bearer(token: Option<&str>) -> Credentials {
    Credentials { bearer: token.map(str::to_owned), feed: None }
}

pub fn feed(token: &str) -> Credentials {
    Credentials { bearer: None, feed: Some(token.to_owned()) }
}

pub fn user(namespace: &str, account: &str) -> String {
    format!("system:serviceaccount:{namespace}:{account}")
}

/// A right on subscriptions.
pub fn right(verb: &str, resource: &str, name: Option<&str>) -> PolicyRule {
    let resource_names = name.map(|name| vec![name.to_owned()]);
    PolicyRule { resource_names, ..testenv::rule("cronofy-operator.dev", resource, verb) }
}

pub const EVENTS: &str = "calendarsubscriptions/events";

pub async fn token(plane: &ControlPlane, namespace: &str, account: &str, audiences: &[&str]) -> String {
    plane.service_account_token(namespace, account, audiences).await.unwrap()
}

/// A body of a commit of everything.
pub fn commit(namespace: &str, name: &str, on: Option<u128>, head: u128, ids: &[&str]) -> Vec<u8> {
    commit_of(namespace, name, on, head, ids, &format!("as of {head}"))
}

/// The same with events of this summary.
pub fn commit_of(
    namespace: &str,
    name: &str,
    on: Option<u128>,
    head: u128,
    ids: &[impl AsRef<str>],
    summary: &str,
) -> Vec<u8> {
    let event = |id: &str| {
        json!({
            "id": id, "calendarId": "cal_1", "start": "2026-11-25T10:00:00Z", "end": "2026-11-25T11:00:00Z",
            "allDay": false, "summary": summary,
        })
    };
    commit_events(namespace, name, on, head, ids.iter().map(|id| event(id.as_ref())))
}

/// The same of events as they are stored.
pub fn commit_events(
    namespace: &str,
    name: &str,
    on: Option<u128>,
    head: u128,
    events: impl ExactSizeIterator<Item = Value>,
) -> Vec<u8> {
    let count = events.len() as u64;
    let state = State {
        cursor: "2026-11-25T09:00:00Z".parse().unwrap(),
        fingerprint: "of what is wanted".to_owned(),
        last_full_sync: "2026-11-25T09:00:00Z".parse().unwrap(),
        complete: true,
        swept_through: "2027-06-14".parse().unwrap(),
        visibility: Visibility::Full,
        events: count,
        bytes: 0,
        content_hash: "of the events".to_owned(),
        retain: false,
    };
    let header = CommitHeader {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        on: on.map(Head::of),
        head: Head::of(head),
        scope: Scope::Everything,
        state,
    };
    let mut body = serde_json::to_vec(&header).unwrap();
    for event in events {
        body.push(b'\n');
        body.extend(serde_json::to_vec(&Line::Put(Box::new(serde_json::from_value(event).unwrap()))).unwrap());
    }
    body.push(b'\n');
    body.extend(serde_json::to_vec(&Line::End(count)).unwrap());
    body.push(b'\n');
    body
}
