//! The store against a real API server, with the rights that the operator has.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::calendar::{event, snapshot};
use crate::support::World;
use calendar_sync::{Snapshot, Stored};
use cronofy_operator::api::StoreKind;
use cronofy_operator::store::{
    Damage, EventStore, LARGEST_EVENTS, LARGEST_INLINE, OUTPUTS, Owner, SUBSCRIPTION_UID, Store, StoreError,
    StoreMemory, Target, subscription_of,
};
use futures::future::join_all;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::rbac::v1::PolicyRule;
use kube::api::{ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use testenv::{Scope, TestNamespace, eventually, grant, shared, unique_name};

const NAME: &str = "primary-events";
const LIMIT: Duration = Duration::from_secs(30);

/// A namespace with a store that has the rights given, and an administrator who meddles.
pub struct Cluster {
    pub namespace: TestNamespace,
    pub store: Store,
    pub admin: Client,
}

impl Cluster {
    pub async fn new() -> Self {
        Self::with_verbs(&["get", "list", "create", "update", "delete"]).await
    }

    async fn with_verbs(verbs: &[&str]) -> Self {
        Self::of_kind(StoreKind::ConfigMap, verbs).await
    }

    /// One whose store writes objects of that kind.
    pub async fn of_kind(kind: StoreKind, verbs: &[&str]) -> Self {
        let control_plane = shared().await.unwrap();
        let namespace = control_plane.namespace("store").await.unwrap();
        let admin = control_plane.admin().unwrap();
        let client = control_plane.service_account(namespace.name(), "operator").await.unwrap();
        allow(&admin, namespace.name(), "operator", kind, verbs).await;
        Self { namespace, store: Store::open(kind, client, StoreMemory::default()).unwrap(), admin }
    }

    /// A store with these rights in the namespace of a world, beside its operator.
    pub async fn within(world: &World, verbs: &[&str]) -> Store {
        let client = world.plane.service_account(world.ns(), "other").await.unwrap();
        allow(&world.client, world.ns(), "other", StoreKind::ConfigMap, verbs).await;
        Store::open(StoreKind::ConfigMap, client, StoreMemory::default()).unwrap()
    }

    /// Access with the store's rights, for another process.
    pub async fn store_client(&self) -> Client {
        shared().await.unwrap().service_account(self.namespace.name(), "operator").await.unwrap()
    }

    pub fn target(&self) -> Target {
        let owner = Owner { name: "primary".to_owned(), uid: "6f1c2f0e-0000-4000-8000-000000000001".to_owned() };
        Target::new(self.namespace.name(), NAME, owner).unwrap()
    }

    pub fn config_maps(&self) -> Api<ConfigMap> {
        Api::namespaced(self.admin.clone(), self.namespace.name())
    }

    async fn object(&self) -> ConfigMap {
        self.config_maps().get(NAME).await.unwrap()
    }

    async fn patch(&self, patch: &Value) -> ConfigMap {
        self.config_maps().patch(NAME, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap()
    }
}

/// Gives a service account rights on the objects of a kind.
pub async fn allow(admin: &Client, namespace: &str, account: &str, kind: StoreKind, verbs: &[&str]) {
    let resource = if kind == StoreKind::Secret { "secrets" } else { "configmaps" };
    let rule = |verb: &&str| PolicyRule {
        api_groups: Some(vec![String::new()]),
        resources: Some(vec![resource.to_owned()]),
        verbs: vec![(*verb).to_owned()],
        ..PolicyRule::default()
    };
    let rules: Vec<_> = verbs.iter().map(rule).collect();
    grant(admin, Scope::Namespace(namespace), (namespace, account), &rules).await.unwrap();
}

fn present(snapshot: &Snapshot) -> Stored {
    Stored::Present(Box::new(snapshot.clone()))
}

#[tokio::test]
async fn a_snapshot_is_created_read_updated_and_erased() {
    let cluster = Cluster::new().await;
    let (store, target) = (&cluster.store, cluster.target());
    assert_eq!(store.head(&target).await.unwrap().stored, Stored::Absent);

    let first = snapshot([event("a", "Stand-up, \"daily\"\n\u{1F4C5}\u{0}")]);
    let created = store.commit(&target, None, &first).await.unwrap();
    let head = store.head(&target).await.unwrap();
    assert_eq!(head.stored, present(&first));
    assert_eq!(head.version.as_ref(), Some(&created.version));

    let version = cluster.object().await.metadata.resource_version;
    assert!(store.commit(&target, head.version.as_ref(), &first).await.unwrap().written == 0);
    assert_eq!(cluster.object().await.metadata.resource_version, version);

    let second = snapshot([]);
    let updated = store.commit(&target, Some(&created.version), &second).await.unwrap();
    assert!(updated.changed && updated.written > 0);
    assert_eq!(store.head(&target).await.unwrap().stored, present(&second));

    let found = cluster.config_maps().list(&ListParams::default().labels(OUTPUTS)).await.unwrap().items;
    assert_eq!(found.len(), 1);
    assert_eq!(subscription_of(&found[0].metadata).unwrap().name, "primary");

    store.erase(&target).await.unwrap();
    assert_eq!(store.head(&target).await.unwrap().stored, Stored::Absent);
    store.erase(&target).await.unwrap();
    assert_eq!(store.commit(&target, Some(&updated.version), &first).await.unwrap_err(), StoreError::HeadMoved);
}

#[tokio::test]
async fn of_many_writers_on_one_head_exactly_one_wins() {
    let cluster = Cluster::new().await;
    let target = cluster.target();
    let mut head = None;
    for round in 0..3 {
        let snapshots: Vec<_> = (0..8).map(|writer| snapshot([event(&format!("{round}-{writer}"), "x")])).collect();
        let commits = snapshots.iter().map(|snapshot| cluster.store.commit(&target, head.as_ref(), snapshot));
        let outcomes = join_all(commits).await;
        let winners: Vec<_> = (0..8).filter(|&writer| outcomes[writer].is_ok()).collect();
        assert_eq!(winners.len(), 1, "{outcomes:?}");
        assert!(
            outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).all(|error| *error == StoreError::HeadMoved)
        );
        let stored = cluster.store.head(&target).await.unwrap();
        assert_eq!(stored.stored, present(&snapshots[winners[0]]));
        head = stored.version;
    }
}

#[tokio::test]
async fn what_others_do_to_an_output_is_put_right() {
    let last_applied = "kubectl.kubernetes.io/last-applied-configuration";
    let other = json!([{ "apiVersion": "cronofy-operator.dev/v1alpha1", "kind": "CalendarSubscription", "name": "primary",
        "uid": "other", "controller": true, "blockOwnerDeletion": true }]);
    let edits = [
        (json!({ "data": { "events.json": "[]\n" } }), Damage::Content),
        (json!({ "data": { "events.json": null } }), Damage::Keys),
        (json!({ "data": { "index.json": "{}" } }), Damage::Unreadable),
        (json!({ "data": { "index.json": null } }), Damage::Keys),
        (json!({ "data": { "note": "mine" } }), Damage::Keys),
        (json!({ "data": null }), Damage::Keys),
        (json!({ "binaryData": { "note": "AAAA" } }), Damage::Keys),
        (json!({ "immutable": true }), Damage::Immutable),
        (json!({ "metadata": { "labels": null } }), Damage::Metadata),
        (json!({ "metadata": { "labels": { SUBSCRIPTION_UID: "other" } } }), Damage::Metadata),
        (json!({ "metadata": { "labels": { "app.kubernetes.io/managed-by": null } } }), Damage::Metadata),
        (json!({ "metadata": { "ownerReferences": null } }), Damage::Metadata),
        (json!({ "metadata": { "ownerReferences": other } }), Damage::Metadata),
        (json!({ "metadata": { "annotations": { last_applied: "{}" } } }), Damage::Annotation),
    ];
    let cluster = Cluster::new().await;
    let target = cluster.target();
    let kept = snapshot([event("a", "x")]);
    cluster.store.commit(&target, None, &kept).await.unwrap();
    let essence = |object: ConfigMap| {
        let ObjectMeta { labels, annotations, owner_references, finalizers, .. } = object.metadata;
        (
            object.data,
            object.binary_data,
            object.immutable,
            labels,
            annotations.unwrap_or_default(),
            owner_references,
            finalizers,
        )
    };
    let before = essence(cluster.object().await);
    for (patch, damage) in edits {
        cluster.patch(&patch).await;
        let head = cluster.store.head(&target).await.unwrap();
        assert_eq!((head.stored, head.damage), (Stored::Damaged, Some(damage)), "{patch}");
        cluster.store.commit(&target, head.version.as_ref(), &kept).await.unwrap();
        assert_eq!(essence(cluster.object().await), before, "{patch}");
        assert_eq!(cluster.store.head(&target).await.unwrap().stored, present(&kept), "{patch}");
    }
}

#[tokio::test]
async fn what_belongs_to_others_is_neither_overwritten_nor_deleted() {
    let cluster = Cluster::new().await;
    let target = cluster.target();
    let theirs = ConfigMap {
        metadata: ObjectMeta { name: Some(NAME.to_owned()), ..ObjectMeta::default() },
        data: Some(BTreeMap::from([("settings".to_owned(), "theirs".to_owned())])),
        ..ConfigMap::default()
    };
    let before = cluster.config_maps().create(&PostParams::default(), &theirs).await.unwrap();
    assert_eq!(cluster.store.head(&target).await.unwrap_err().category(), "Conflict");
    assert_eq!(cluster.store.commit(&target, None, &snapshot([])).await.unwrap_err(), StoreError::HeadMoved);
    cluster.store.erase(&target).await.unwrap();
    cluster.store.release(&target).await.unwrap();
    assert_eq!(cluster.object().await, before);
}

#[tokio::test]
async fn as_many_events_as_are_allowed_do_fit() {
    let cluster = Cluster::new().await;
    let target = cluster.target();
    // Quotes are escaped in the document and once more on the wire: the longest request there is.
    let around = cluster.store.commit(&target, None, &snapshot([event("a", "")])).await.unwrap();
    let full = snapshot([event("a", &"\"".repeat((LARGEST_EVENTS - around.output.bytes) / 2))]);
    let committed = cluster.store.commit(&target, Some(&around.version), &full).await.unwrap();
    assert!(committed.output.bytes > LARGEST_EVENTS - 2);
    assert_eq!(cluster.store.head(&target).await.unwrap().stored, present(&full));
}

#[tokio::test]
async fn what_the_server_finds_too_large_is_told_as_such_and_the_last_copy_stays() {
    let cluster = Cluster::new().await;
    let target = cluster.target();
    let kept = snapshot([event("a", "x")]);
    cluster.store.commit(&target, None, &kept).await.unwrap();
    // Labels of others are kept, however many there are: so many that etcd takes hardly more.
    let (mut count, mut step) = (0, 1_600);
    while step > 20 {
        let labels: BTreeMap<String, String> = (count..count + step)
            .map(|number| (format!("{}.example/{number:063}", "a".repeat(60)), "b".repeat(63)))
            .collect();
        let patch = Patch::Merge(json!({ "metadata": { "labels": labels } }));
        match cluster.config_maps().patch(NAME, &PatchParams::default(), &patch).await {
            Ok(_) => count += step,
            Err(_) => step /= 2,
        }
    }
    let head = cluster.store.head(&target).await.unwrap();
    assert_eq!(head.damage, None);
    let large = snapshot([event("a", &"x".repeat(LARGEST_INLINE - 200))]);
    let error = cluster.store.commit(&target, head.version.as_ref(), &large).await.unwrap_err();
    assert_eq!(error.category(), "TooLarge", "{error}");
    assert_eq!(cluster.store.head(&target).await.unwrap().stored, present(&kept));

    // The text by which the other refusal is known.
    let over = ConfigMap {
        metadata: ObjectMeta { name: Some("over".to_owned()), ..ObjectMeta::default() },
        data: Some(BTreeMap::from([("a".to_owned(), "a".repeat(1_048_577))])),
        ..ConfigMap::default()
    };
    match cluster.config_maps().create(&PostParams::default(), &over).await.map(|_| ()) {
        Err(kube::Error::Api(status)) => assert!(status.code == 422 && status.message.contains("Too long"), "{status}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_events_are_gone_even_if_a_finalizer_holds_the_object() {
    let cluster = Cluster::new().await;
    let target = cluster.target();
    cluster.store.commit(&target, None, &snapshot([event("a", "x")])).await.unwrap();
    cluster.patch(&json!({ "metadata": { "finalizers": ["backup.example/wait"] } })).await;
    cluster.store.erase(&target).await.unwrap();
    let held = cluster.object().await;
    assert_eq!(held.data, None);
    assert!(held.metadata.deletion_timestamp.is_some());
    assert_eq!(cluster.store.head(&target).await.unwrap_err().category(), "BeingDeleted");
    cluster.store.erase(&target).await.unwrap();
    cluster.patch(&json!({ "metadata": { "finalizers": null } })).await;
    assert_eq!(cluster.store.head(&target).await.unwrap().stored, Stored::Absent);
}

#[tokio::test]
async fn an_output_that_somebody_is_deleting_is_emptied_all_the_same() {
    let cluster = Cluster::new().await;
    let target = cluster.target();
    cluster.store.commit(&target, None, &snapshot([event("a", "x")])).await.unwrap();
    cluster.patch(&json!({ "metadata": { "finalizers": ["backup.example/wait"] } })).await;
    cluster.config_maps().delete(NAME, &kube::api::DeleteParams::default()).await.unwrap();
    cluster.store.erase(&target).await.unwrap();
    assert_eq!(cluster.object().await.data, None);
}

#[tokio::test]
async fn outputs_of_the_subscription_under_other_names_go_and_nothing_else_does() {
    let cluster = Cluster::with_verbs(&["get", "list", "create", "update", "delete"]).await;
    let (store, namespace) = (&cluster.store, cluster.namespace.name());
    let target = |name: &str, uid: &str| {
        Target::new(namespace, name, Owner { name: "primary".to_owned(), uid: uid.to_owned() }).unwrap()
    };
    store.erase_others(&cluster.target()).await.expect("none are found");
    let own = cluster.target().owner().uid.clone();
    for (name, uid) in [(NAME, own.as_str()), ("former", &own), ("older", &own), ("neighbour", "another")] {
        store.commit(&target(name, uid), None, &snapshot([event("a", "x")])).await.unwrap();
    }
    // Labelled like one, but controlled by somebody else; and nobody's.
    let controller = json!([{ "apiVersion": "example.org/v1", "kind": "Other", "name": "other", "uid": "other",
        "controller": true }]);
    store.commit(&target("taken", &own), None, &snapshot([])).await.unwrap();
    let taken = Patch::Merge(json!({ "metadata": { "ownerReferences": controller } }));
    cluster.config_maps().patch("taken", &PatchParams::default(), &taken).await.unwrap();
    let theirs = ConfigMap {
        metadata: ObjectMeta { name: Some("theirs".to_owned()), ..ObjectMeta::default() },
        ..ConfigMap::default()
    };
    cluster.config_maps().create(&PostParams::default(), &theirs).await.unwrap();

    store.erase_others(&cluster.target()).await.unwrap();
    let left = cluster.config_maps().list(&ListParams::default()).await.unwrap().items;
    let mut left: Vec<String> = left.into_iter().filter_map(|map| map.metadata.name).collect();
    left.sort();
    assert_eq!(left, ["neighbour", NAME, "taken", "theirs"]);
    store.erase_others(&cluster.target()).await.unwrap();
}

#[tokio::test]
async fn a_released_output_outlives_its_subscription() {
    let cluster = Cluster::new().await;
    let target = cluster.target();
    let kept = snapshot([event("a", "x")]);
    cluster.store.commit(&target, None, &kept).await.unwrap();
    cluster.patch(&json!({ "immutable": true })).await;
    cluster.store.release(&target).await.unwrap();
    let object = cluster.object().await;
    assert_eq!(object.metadata.owner_references, None);
    assert!(object.data.unwrap()["events.json"].contains("\"a\""));
}

#[tokio::test]
async fn a_missing_right_is_named() {
    let all = ["get", "list", "create", "update", "delete"];
    for missing in all {
        let verbs: Vec<_> = all.into_iter().filter(|&verb| verb != missing).collect();
        let cluster = Cluster::with_verbs(&verbs).await;
        let (store, target) = (&cluster.store, cluster.target());
        let attempt = async {
            store.head(&target).await?;
            let version = store.commit(&target, None, &snapshot([])).await?.version;
            store.commit(&target, Some(&version), &snapshot([event("a", "x")])).await?;
            store.erase(&target).await
        };
        let namespace = cluster.namespace.name();
        assert_eq!(
            attempt.await.unwrap_err().to_string(),
            format!(
                "the operator may not {missing} configmaps in namespace {namespace}: grant its service account the verb \
                 \"{missing}\" there"
            )
        );
    }
}

#[tokio::test]
async fn a_namespace_that_goes_or_is_gone_is_told_from_a_missing_right() {
    let cluster = Cluster::new().await;
    cluster.namespace.delete().await.unwrap();
    // Admission follows its own watch.
    let error = eventually("the namespace refuses new objects", LIMIT, || async {
        let error = cluster.store.commit(&cluster.target(), None, &snapshot([])).await.err()?;
        (error != StoreError::HeadMoved).then_some(error)
    });
    assert_eq!(error.await.unwrap().category(), "NamespaceTerminating");

    let store = Store::open(StoreKind::ConfigMap, cluster.admin.clone(), StoreMemory::default()).unwrap();
    let owner = cluster.target().owner().clone();
    let nowhere = Target::new(unique_name("gone"), NAME, owner).unwrap();
    assert_eq!(store.head(&nowhere).await.unwrap().stored, Stored::Absent);
    let error = store.commit(&nowhere, None, &snapshot([])).await.unwrap_err();
    assert_eq!(error.category(), "NamespaceTerminating", "{error}");
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_is_named_as_such() {
    let control_plane = shared().await.unwrap();
    let proxy = control_plane.proxy().unwrap();
    let client = control_plane.admin_access().through(&proxy).client().unwrap();
    let store = Store::open(StoreKind::ConfigMap, client, StoreMemory::default()).unwrap();
    let owner = Owner { name: "primary".to_owned(), uid: "uid".to_owned() };
    let target = Target::new("default", unique_name("reach"), owner).unwrap();
    store.head(&target).await.unwrap();
    proxy.cut();
    assert_eq!(store.head(&target).await.unwrap_err().category(), "Unreachable");
    assert_eq!(store.commit(&target, None, &snapshot([])).await.unwrap_err().category(), "Unreachable");
    proxy.resume();
    assert_eq!(store.head(&target).await.unwrap().stored, Stored::Absent);
}
