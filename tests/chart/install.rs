//! The chart on a real API server, which checks each field, and the operator with the rights that the chart gives.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Namespace, Pod, ServiceAccount};
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;
use testenv::{ControlPlane, Options, eventually};

use crate::helm::{chart, helm_on, of_kind, parsed, rendered, said};
use crate::render::{DEPLOYMENT_POSTGRES, DEPLOYMENT_SQLITE, SIDECAR_POSTGRES, SIDECAR_SQLITE};

pub const NAMESPACE: &str = "operators";
pub const PATIENCE: Duration = Duration::from_secs(60);

pub async fn plane() -> ControlPlane {
    let plane = ControlPlane::start(Options::default()).await.unwrap();
    let namespaces: Api<Namespace> = Api::all(plane.admin().unwrap());
    let labels = json!({ "pod-security.kubernetes.io/enforce": "restricted" });
    for name in [NAMESPACE, "team-a", "team-b"] {
        let namespace = json!({ "metadata": { "name": name, "labels": labels } });
        namespaces.create(&PostParams::default(), &serde_json::from_value(namespace).unwrap()).await.unwrap();
    }
    // As the controller manager makes it, which does not run here.
    let accounts: Api<ServiceAccount> = Api::namespaced(plane.admin().unwrap(), NAMESPACE);
    let account = serde_json::from_value(json!({ "metadata": { "name": "default" } })).unwrap();
    accounts.create(&PostParams::default(), &account).await.unwrap();
    plane
}

pub fn installed(plane: &ControlPlane, values: &[&str]) {
    let chart = chart();
    let mut arguments = vec!["upgrade", "--install", "calendars", chart.to_str().unwrap(), "--namespace", NAMESPACE];
    for value in values {
        arguments.extend(["--set-json", value]);
    }
    let output = helm_on(&plane.kubeconfig_path(), &arguments);
    assert!(output.status.success(), "{arguments:?}: {}", said(&output));
}

/// The operator as the Deployment starts it, outside of a pod.
async fn operator_runs(plane: &ControlPlane, folder: &Path) {
    let client = plane.admin().unwrap();
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), NAMESPACE);
    let deployment = deployments.get("calendars-cronofy-operator").await.unwrap();
    let pod = deployment.spec.template.spec.unwrap();
    let access = plane.service_account_access(NAMESPACE, pod.service_account_name.as_deref().unwrap()).await.unwrap();
    let kubeconfig = folder.join("operator.yaml");
    access.write_kubeconfig(&kubeconfig).unwrap();

    let before = plane.audit().unwrap().len();
    let listens =
        |argument: &String| argument.starts_with("--webhook-listen") || argument.starts_with("--admin-listen");
    let given = pod.containers[0].args.clone().unwrap().into_iter().filter(|argument| !listens(argument));
    let mut operator = tokio::process::Command::new(env!("CARGO_BIN_EXE_cronofy-operator"))
        .args(given.chain(["--webhook-listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0"].map(ToOwned::to_owned)))
        .env("KUBECONFIG", &kubeconfig)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let seen = eventually("the application is seen and the lease is held", PATIENCE, async || {
        let log = plane.audit().ok()?.since(before).service_account(NAMESPACE, "calendars-cronofy-operator");
        let denied: Vec<_> = log.iter().filter(|entry| matches!(entry.code, 401 | 403)).cloned().collect();
        assert!(denied.is_empty(), "{denied:#?}");
        let did = |verb: &str, resource: &str, subresource: &str| {
            log.iter().any(|entry| {
                entry.verb == verb && entry.resource == resource && entry.subresource == subresource && entry.code < 300
            })
        };
        (did("patch", "cronofyapplications", "status") && did("update", "leases", "")).then_some(())
    });
    seen.await.unwrap();
    operator.kill().await.unwrap();
}

async fn application(plane: &ControlPlane, namespace: &str) {
    let text = format!(
        "apiVersion: cronofy-operator.dev/v1alpha1\nkind: CronofyApplication\nmetadata:\n  name: app\n  \
         namespace: {namespace}\nspec:\n  credentialsSecretRef:\n    name: missing\n"
    );
    plane.apply_yaml(&text).await.unwrap();
}

#[tokio::test]
async fn installed_for_the_whole_cluster_it_has_the_rights_it_needs() {
    let (plane, folder) = (plane().await, tempfile::tempdir().unwrap());
    installed(&plane, &["replicas=2"]);
    application(&plane, "team-a").await;
    operator_runs(&plane, folder.path()).await;
}

#[tokio::test]
async fn installed_for_some_namespaces_it_has_rights_there_only_and_an_upgrade_widens_them() {
    let (plane, folder) = (plane().await, tempfile::tempdir().unwrap());
    installed(&plane, &[r#"watchNamespaces=["team-a"]"#]);
    application(&plane, "team-a").await;
    operator_runs(&plane, folder.path()).await;
    let access = plane.service_account_access(NAMESPACE, "calendars-cronofy-operator").await.unwrap();
    let may = async |verb: &str, resource: &str, namespace: &str| {
        let asked = ["auth", "can-i", verb, resource, "--namespace", namespace];
        plane.kubectl_as(&access, asked, "").await.unwrap().status.success()
    };
    assert!(may("patch", "secrets", "team-a").await && may("create", "configmaps", "team-a").await);
    assert!(!may("get", "secrets", "team-b").await && !may("list", "calendarsubscriptions", "team-b").await);
    assert!(!may("list", "secrets", "team-a").await && !may("create", "secrets", "team-a").await);
    installed(&plane, &[r#"watchNamespaces=["team-a","team-b"]"#, "secretOutputs=true"]);
    assert!(may("get", "secrets", "team-b").await && may("create", "secrets", "team-b").await);
    assert!(!may("list", "secrets", "team-b").await);
}

/// The API server takes every field as it is spelt, and the pods, where it enforces the strictest standard for pods.
#[tokio::test]
async fn a_strict_server_takes_every_object_and_a_restricted_namespace_the_pods() {
    let plane = plane().await;
    let values = [
        r#"webhook.baseUrl="https://calendars.example.org""#,
        r#"webhook.tls.secretName="calendars-tls""#,
        "webhook.ingress.enabled=true",
        "networkPolicy.enabled=true",
        "application.create=true",
        "application.limits={\"requestsPerMinute\":100}",
    ];
    let warnings = plane.apply_yaml(&rendered(&values)).await.unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");

    taken_as_restricted(&plane, "calendars-cronofy-operator").await;
    for values in [SIDECAR_SQLITE, SIDECAR_POSTGRES, DEPLOYMENT_SQLITE, DEPLOYMENT_POSTGRES] {
        let without_monitors = ["metrics.podMonitor.enabled=false", "metrics.serviceMonitor.enabled=false"];
        let objects = parsed(&rendered(&[values, &without_monitors].concat()));
        // What runs once, and a claim, cannot be changed.
        let lasting = |object: &&serde_json::Value| {
            !["Job", "PersistentVolumeClaim", "Pod"].iter().any(|kind| object["kind"] == *kind)
        };
        for object in objects.iter().filter(lasting) {
            let warnings = plane.apply_yaml(&object.to_string()).await.unwrap();
            assert!(warnings.is_empty(), "{warnings:?}");
        }
        for deployment in of_kind(&objects, "Deployment") {
            taken_as_restricted(&plane, deployment["metadata"]["name"].as_str().unwrap()).await;
        }
    }
}

/// Pods of this Deployment are taken where only restricted ones are, and not if a container may do more.
async fn taken_as_restricted(plane: &ControlPlane, deployment: &str) {
    let client = plane.admin().unwrap();
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), NAMESPACE);
    let template = deployments.get(deployment).await.unwrap().spec.template;
    let pods: Api<Pod> = Api::namespaced(client, NAMESPACE);
    let mut pod = json!(Pod { spec: template.spec, ..Pod::default() });
    pod["metadata"] = json!({ "name": "one" });
    let parameters = PatchParams::apply("test").dry_run();
    pods.patch("one", &parameters, &Patch::Apply(&pod)).await.unwrap();
    pod["spec"]["containers"][0]["securityContext"] = json!({});
    let refused = pods.patch("one", &parameters, &Patch::Apply(&pod)).await.unwrap_err().to_string();
    assert!(refused.contains("violates PodSecurity \"restricted"), "{refused}");
}
