//! What a test does with the control plane it shares with the other tests of its binary.
#![allow(missing_docs, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::{
    api::{
        authentication::v1::SelfSubjectReview,
        core::v1::{ConfigMap, Namespace},
        rbac::v1::PolicyRule,
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api,
    api::{ApiResource, DynamicObject, GroupVersionKind, ListParams, ObjectMeta, PostParams},
};
use serde_json::json;
use testenv::{Error, Scope, eventually, grant, shared};

const LIMIT: Duration = Duration::from_secs(30);

fn config_map(name: &str) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta { name: Some(name.into()), ..ObjectMeta::default() },
        data: Some(BTreeMap::from([("key".into(), "value".into())])),
        ..ConfigMap::default()
    }
}

fn rule(group: &str, resource: &str, verbs: &[&str]) -> PolicyRule {
    PolicyRule {
        api_groups: Some(vec![group.into()]),
        resources: Some(vec![resource.into()]),
        verbs: verbs.iter().map(|verb| (*verb).into()).collect(),
        ..PolicyRule::default()
    }
}

fn crd(plural: &str, kind: &str) -> CustomResourceDefinition {
    serde_json::from_value(json!({
        "metadata": { "name": format!("{plural}.testenv.test") },
        "spec": {
            "group": "testenv.test",
            "scope": "Namespaced",
            "names": { "plural": plural, "singular": kind.to_lowercase(), "kind": kind },
            "versions": [{
                "name": "v1",
                "served": true,
                "storage": true,
                "schema": { "openAPIV3Schema": {
                    "type": "object",
                    "properties": { "spec": { "type": "object", "properties": { "size": { "type": "integer" } } } },
                } },
            }],
        },
    }))
    .unwrap()
}

fn is_forbidden(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.is_forbidden())
}

// Two tests, since each has its own runtime: a client or a task of the first one's would be dead in the second.
#[tokio::test]
async fn it_serves_a_test_with_a_runtime_of_its_own() {
    let namespace = shared().await.unwrap().namespace("first").await.unwrap();
    let config_maps = Api::namespaced(shared().await.unwrap().admin().unwrap(), namespace.name());
    config_maps.create(&PostParams::default(), &config_map("kept")).await.unwrap();
    assert_eq!(config_maps.get("kept").await.unwrap().data, config_map("kept").data);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_serves_another_test_with_another_runtime() {
    let namespace = shared().await.unwrap().namespace("second").await.unwrap();
    let config_maps = Api::namespaced(shared().await.unwrap().admin().unwrap(), namespace.name());
    config_maps.create(&PostParams::default(), &config_map("kept")).await.unwrap();
    assert_eq!(config_maps.list(&ListParams::default()).await.unwrap().items.len(), 1);
}

#[tokio::test]
async fn namespaces_of_equal_prefix_differ() {
    let control_plane = shared().await.unwrap();
    let first = control_plane.namespace("same").await.unwrap();
    let second = control_plane.namespace("same").await.unwrap();
    assert_ne!(first.name(), second.name());
    for namespace in [&first, &second] {
        assert!(namespace.name().starts_with("same-"));
        Api::<Namespace>::all(control_plane.admin().unwrap()).get(namespace.name()).await.unwrap();
    }
}

#[tokio::test]
async fn a_service_account_may_do_what_it_was_granted_and_nothing_else() {
    let control_plane = shared().await.unwrap();
    let namespace = control_plane.namespace("rbac").await.unwrap();
    let elsewhere = control_plane.namespace("rbac").await.unwrap();
    let client = control_plane.service_account(namespace.name(), "worker").await.unwrap();
    let config_maps = Api::<ConfigMap>::namespaced(client.clone(), namespace.name());
    assert!(is_forbidden(&config_maps.list(&ListParams::default()).await.unwrap_err()));

    let admin = control_plane.admin().unwrap();
    let account = (namespace.name(), "worker");
    let rules = [rule("", "configmaps", &["list", "create"])];
    grant(&admin, Scope::Namespace(namespace.name()), account, &rules).await.unwrap();
    config_maps.create(&PostParams::default(), &config_map("own")).await.unwrap();
    assert_eq!(config_maps.list(&ListParams::default()).await.unwrap().items.len(), 1);
    assert!(is_forbidden(&config_maps.get("own").await.unwrap_err()), "get was not granted");
    let other = Api::<ConfigMap>::namespaced(client.clone(), elsewhere.name());
    assert!(
        is_forbidden(&other.list(&ListParams::default()).await.unwrap_err()),
        "the other namespace was not granted"
    );

    grant(&admin, Scope::Cluster, account, &[rule("", "namespaces", &["list"])]).await.unwrap();
    assert!(Api::<Namespace>::all(client).list(&ListParams::default()).await.unwrap().items.len() > 1);
}

#[tokio::test]
async fn a_service_account_that_exists_gets_a_further_token() {
    let control_plane = shared().await.unwrap();
    let namespace = control_plane.namespace("again").await.unwrap();
    for _ in 0..2 {
        let client = control_plane.service_account(namespace.name(), "worker").await.unwrap();
        assert_eq!(client.default_namespace(), namespace.name());
        let review = Api::all(client).create(&PostParams::default(), &SelfSubjectReview::default()).await.unwrap();
        let user = review.status.unwrap().user_info.unwrap().username.unwrap();
        assert_eq!(user, format!("system:serviceaccount:{}:worker", namespace.name()));
    }
}

#[tokio::test]
async fn a_user_has_its_name_and_all_its_groups() {
    let client = shared().await.unwrap().user("jo", &["editors", "reviewers"]).unwrap();
    let review = Api::all(client).create(&PostParams::default(), &SelfSubjectReview::default()).await.unwrap();
    let user = review.status.unwrap().user_info.unwrap();
    assert_eq!(user.username.as_deref(), Some("jo"));
    assert_eq!(user.groups.unwrap_or_default(), ["editors", "reviewers", "system:authenticated"]);
}

#[tokio::test]
async fn the_audit_log_counts_a_users_requests_by_verb_and_resource() {
    let control_plane = shared().await.unwrap();
    let namespace = control_plane.namespace("audit").await.unwrap();
    let before = control_plane.audit().unwrap().len();
    let client = control_plane.user("auditor", &["system:masters"]).unwrap();
    let config_maps = Api::namespaced(client, namespace.name());
    config_maps.create(&PostParams::default(), &config_map("one")).await.unwrap();
    config_maps.get("one").await.unwrap();
    config_maps.get("one").await.unwrap();
    config_maps.get("absent").await.unwrap_err();

    let expected = BTreeMap::from([
        (("auditor".to_owned(), "create".to_owned(), "configmaps".to_owned()), 1),
        (("auditor".to_owned(), "get".to_owned(), "configmaps".to_owned()), 3),
    ]);
    let log = eventually("all four requests are logged", LIMIT, || async {
        let log = control_plane.audit().unwrap().since(before).user("auditor");
        (log.len() >= 4).then_some(log)
    })
    .await
    .unwrap();
    assert_eq!(log.count(), expected);
    assert_eq!(log.verb("get").iter().map(|entry| entry.code).collect::<Vec<_>>(), [200, 200, 404]);
    assert!(log.iter().all(|entry| entry.namespace == namespace.name()));
    assert!(log.iter().any(|entry| entry.name == "absent" && entry.request_uri.ends_with("/configmaps/absent")));
}

#[tokio::test]
async fn definitions_are_served_when_apply_returns_and_give_no_warning() {
    let control_plane = shared().await.unwrap();
    let namespace = control_plane.namespace("crd").await.unwrap();
    let crds = [crd("boxes", "Box"), crd("lids", "Lid")];
    // Side by side, as the tests of a binary do.
    let (first, second) = tokio::join!(control_plane.apply_crds(&crds), control_plane.apply_crds(&crds));
    assert_eq!(first.unwrap(), Vec::<String>::new());
    assert_eq!(second.unwrap(), Vec::<String>::new());
    for kind in ["Box", "Lid"] {
        let resource = ApiResource::from_gvk_with_plural(
            &GroupVersionKind::gvk("testenv.test", "v1", kind),
            if kind == "Box" { "boxes" } else { "lids" },
        );
        let object = DynamicObject::new("one", &resource).data(json!({ "spec": { "size": 3 } }));
        let api = Api::<DynamicObject>::namespaced_with(control_plane.admin().unwrap(), namespace.name(), &resource);
        assert_eq!(api.create(&PostParams::default(), &object).await.unwrap().data["spec"]["size"], 3);
    }
}

#[tokio::test]
async fn a_manifest_of_several_documents_is_applied_in_order() {
    let control_plane = shared().await.unwrap();
    let name = testenv::unique_name("manifest");
    let text = format!(
        "apiVersion: v1
kind: Namespace
metadata: {{name: {name}}}
---
# A comment alone is no object.
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: settings, namespace: {name}}}
data: {{key: value}}
"
    );
    for _ in 0..2 {
        assert_eq!(control_plane.apply_yaml(&text).await.unwrap(), Vec::<String>::new());
    }
    let config_maps = Api::<ConfigMap>::namespaced(control_plane.admin().unwrap(), &name);
    assert_eq!(config_maps.get("settings").await.unwrap().data, config_map("").data);
}

#[tokio::test]
async fn warnings_of_the_api_server_are_returned() {
    let control_plane = shared().await.unwrap();
    let namespace = control_plane.namespace("warned").await.unwrap();
    let text = format!(
        "apiVersion: v1
kind: Service
metadata: {{name: warned, namespace: {}}}
spec:
  clusterIP: None
  ports: [{{port: 80}}]
  sessionAffinity: ClientIP
",
        namespace.name()
    );
    let warnings = control_plane.apply_yaml(&text).await.unwrap();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("SessionAffinity"), "{warnings:?}");
}

#[tokio::test]
async fn an_unknown_field_is_refused() {
    let control_plane = shared().await.unwrap();
    let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: unknown-field}\ndatum: {}\n";
    let Err(Error::Kube(kube::Error::Api(status))) = control_plane.apply_yaml(text).await else {
        panic!("applied, or failed otherwise");
    };
    assert!(status.message.contains("datum"), "{}", status.message);
}

#[tokio::test]
async fn kubectl_speaks_to_it_as_any_user() {
    let control_plane = shared().await.unwrap();
    let version = control_plane.kubectl(["version"]).await.unwrap();
    assert!(version.status.success(), "{}", version.stderr);
    assert!(version.stdout.contains("Client Version: v1.37.2"), "{}", version.stdout);
    assert!(version.stdout.contains("Server Version: v1.37.2"), "{}", version.stdout);

    let user = control_plane.user_access("jo", &["reviewers"]);
    let refused = control_plane.kubectl_as(&user, ["get", "secrets"], "").await.unwrap();
    assert!(!refused.status.success());
    assert!(refused.stderr.contains(r#"User "jo" cannot list"#), "{}", refused.stderr);

    let namespace = control_plane.namespace("kubectl").await.unwrap();
    let account = control_plane.service_account_access(namespace.name(), "worker").await.unwrap();
    let whoami = control_plane.kubectl_as(&account, ["auth", "whoami"], "").await.unwrap();
    assert!(whoami.stdout.contains(&format!("system:serviceaccount:{}:worker", namespace.name())), "{whoami:?}");

    let admin = control_plane.admin_access().with_namespace(namespace.name());
    let manifest = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: piped}\n";
    let applied = control_plane.kubectl_as(&admin, ["apply", "-f", "-"], manifest).await.unwrap();
    assert_eq!(applied.stdout.trim(), "configmap/piped created", "{}", applied.stderr);
}

#[tokio::test]
async fn a_kubeconfig_file_is_private_and_works_with_kubes_own_reader() {
    use std::os::unix::fs::PermissionsExt;

    let control_plane = shared().await.unwrap();
    let mode = std::fs::metadata(control_plane.kubeconfig_path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let access = control_plane.user_access("jo", &["system:masters"]).with_namespace("elsewhere");
    let kubeconfig = access.parsed_kubeconfig().unwrap();
    testenv::install_tls_provider();
    let config =
        kube::Config::from_custom_kubeconfig(kubeconfig, &kube::config::KubeConfigOptions::default()).await.unwrap();
    let client = kube::Client::try_from(config).unwrap();
    assert_eq!(client.default_namespace(), "elsewhere");
    Api::<Namespace>::all(client).get("default").await.unwrap();
}
