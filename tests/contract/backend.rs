//! A store of some kind with what is behind it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cronofy_operator::api::StoreKind;
use cronofy_operator::store::{EventStore as _, Owner, RemoteSettings, Remotes, Store, StoreMemory, Target};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::api::rbac::v1::PolicyRule;
use kube::api::ListParams;
use kube::client::{Body, ClientBuilder};
use kube::{Api, Client, Config};
use testenv::{Scope, TestNamespace, grant, shared};
use tower::BoxError;

use crate::served::Served;

pub const UID: &str = "6f1c2f0e-0000-4000-8000-000000000001";

pub enum Backend {
    Objects(Box<Objects>),
    Remote(Served),
}

/// Objects of the cluster, and a client whose answers can get lost.
pub struct Objects {
    kind: StoreKind,
    namespace: TestNamespace,
    admin: Client,
    losing: Arc<AtomicBool>,
    client: Client,
}

impl Backend {
    pub async fn objects(kind: StoreKind) -> Self {
        let plane = shared().await.unwrap();
        let namespace = plane.namespace("contract").await.unwrap();
        let admin = plane.admin().unwrap();
        let rules = PolicyRule {
            api_groups: Some(vec![String::new()]),
            resources: Some(vec![if kind == StoreKind::Secret { "secrets" } else { "configmaps" }.to_owned()]),
            verbs: ["get", "list", "patch", "create", "update", "delete"].map(str::to_owned).to_vec(),
            ..PolicyRule::default()
        };
        grant(&admin, Scope::Namespace(namespace.name()), (namespace.name(), "operator"), &[rules]).await.unwrap();
        let losing = Arc::<AtomicBool>::default();
        let access = plane.service_account_access(namespace.name(), "operator").await.unwrap();
        let client = losing_client(access.config().unwrap(), losing.clone());
        Self::Objects(Box::new(Objects { kind, namespace, admin, losing, client }))
    }

    pub async fn remote(served: impl Future<Output = Served>) -> Self {
        Self::Remote(served.await)
    }

    /// The store, in a process that knows nothing yet.
    pub fn store(&self) -> Store {
        match self {
            Self::Objects(objects) => {
                Store::open(objects.kind, objects.client.clone(), StoreMemory::default()).unwrap()
            }
            Self::Remote(served) => Store::Remote(remotes(served).open(None, StoreMemory::default()).unwrap()),
        }
    }

    fn namespace(&self) -> &str {
        match self {
            Self::Objects(objects) => objects.namespace.name(),
            Self::Remote(_) => "rota",
        }
    }

    pub fn target(&self) -> Target {
        self.target_of(UID)
    }

    /// The output of the same name, of another subscription.
    pub fn target_of(&self, uid: &str) -> Target {
        target(self.namespace(), uid)
    }

    /// From now on requests are done and not answered, or answered again.
    pub fn lose_answers(&self, lose: bool) {
        match self {
            Self::Objects(objects) => objects.losing.store(lose, Ordering::SeqCst),
            Self::Remote(served) => served.lose_answers(lose),
        }
    }

    /// All that is stored of the subscription, as text.
    pub async fn text(&self) -> String {
        let (namespace, admin) = match self {
            Self::Objects(objects) => (objects.namespace.name(), objects.admin.clone()),
            Self::Remote(served) => return served.text(UID).await,
        };
        let ours = ListParams::default().labels("app.kubernetes.io/managed-by=cronofy-operator");
        let maps = Api::<ConfigMap>::namespaced(admin.clone(), namespace).list(&ours).await.unwrap();
        let secrets = Api::<Secret>::namespaced(admin, namespace).list(&ours).await.unwrap();
        let maps = maps.items.into_iter().flat_map(|map| map.data.unwrap_or_default()).map(|(_, text)| text);
        let secrets = secrets.items.into_iter().flat_map(|secret| secret.data.unwrap_or_default());
        maps.chain(secrets.map(|(_, bytes)| String::from_utf8(bytes.0).unwrap())).collect()
    }

    /// What a process finds that knows nothing yet.
    pub async fn stored(&self) -> calendar_sync::Stored {
        self.store().head(&self.target()).await.unwrap().stored
    }
}

/// The output of this subscription.
pub fn target(namespace: &str, uid: &str) -> Target {
    let owner = Owner { name: "primary".to_owned(), uid: uid.to_owned() };
    Target::new(namespace, "primary", owner).unwrap()
}

/// The calendar stores of an operator whose own is this one.
pub fn remotes(served: &Served) -> Remotes {
    Remotes::new(RemoteSettings {
        default: Some(served.url().parse().unwrap()),
        token: served.token_file(),
        ..RemoteSettings::default()
    })
}

/// A client whose answers can get lost on their way.
fn losing_client(config: Config, losing: Arc<AtomicBool>) -> Client {
    let layer = tower::layer::layer_fn(move |inner| {
        let losing = losing.clone();
        tower::ServiceExt::<http::Request<Body>>::then(inner, move |answer: Result<_, BoxError>| async move {
            if losing.load(Ordering::SeqCst) { Err(BoxError::from("the connection breaks")) } else { answer }
        })
    });
    ClientBuilder::try_from(config).unwrap().with_layer(&layer).build()
}
