//! A start for which something is missing: the operator says what, is not ready, and goes on by itself once it is there.

use std::collections::BTreeMap;

use cronofy_operator::crds::crds;
use kube::api::DeleteParams;
use serde_json::json;
use testenv::{Access, ControlPlane, Options, Proxy, Scope, eventually};

use crate::support::operator::OperatorOptions;
use crate::support::usage;
use crate::support::world::{Rights, rights};
use crate::support::{Operator, PATIENCE, World};

fn options(access: &Access, namespace: &str, folder: &tempfile::TempDir) -> OperatorOptions {
    let kubeconfig = folder.path().join("kubeconfig");
    access.write_kubeconfig(&kubeconfig).unwrap();
    OperatorOptions {
        kubeconfig,
        namespaces: vec![namespace.to_owned()],
        lease_namespace: namespace.to_owned(),
        webhook_base_url: None,
        webhook: true,
        custom_endpoints: true,
        environment: BTreeMap::new(),
        arguments: Vec::new(),
    }
}

#[tokio::test]
async fn without_rights_or_definitions_it_says_so_and_begins_once_they_are_there() {
    let plane = ControlPlane::start(Options::default()).await.unwrap();
    let namespace = plane.namespace("startup").await.unwrap();
    let access = plane.service_account_access(namespace.name(), "operator").await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let operator = Operator::spawn(&options(&access, namespace.name(), &folder)).await;

    let denied = operator.says("may not be listed").await;
    let wanted = format!(
        "custom resource definitions: calendarsubscriptions may not be listed in the namespace {}: grant the operator's \
         ServiceAccount the rights of the chart there",
        namespace.name()
    );
    assert_eq!(denied, wanted);

    let Rights { objects, namespaces, lease, secret_outputs: _ } = rights();
    let (client, account) = (plane.admin().unwrap(), (namespace.name(), "operator"));
    for rules in [&objects, &lease] {
        testenv::grant(&client, Scope::Namespace(namespace.name()), account, rules).await.unwrap();
    }
    testenv::grant(&client, Scope::Cluster, account, &namespaces).await.unwrap();
    let missing = operator.says("are not installed").await;
    assert!(missing.ends_with("apply the CustomResourceDefinitions of this version"), "{missing}");

    plane.apply_crds(&crds()).await.unwrap();
    operator.wait_ready().await;
    for cause in ["may not be listed", "are not installed"] {
        let lines = operator.log().iter().filter(|line| line.contains(cause)).count();
        assert_eq!(lines, 1, "each cause is told once: {:#?}", operator.log());
    }
    assert!(operator.terminate().await);
    usage::record(&plane);
}

#[tokio::test]
async fn while_the_api_server_cannot_be_reached_it_says_so_and_waits() {
    let world = World::start("unreachable").await;
    let proxy = world.plane.proxy().unwrap();
    let access = world.plane.service_account_access(world.ns(), "operator").await.unwrap().through(&proxy);
    let folder = tempfile::tempdir().unwrap();
    proxy.cut();
    let operator = Operator::spawn(&options(&access, world.ns(), &folder)).await;
    let said = operator.says("cannot be listed").await;
    assert!(said.contains("Kubernetes API: not reached") || said.contains("did not answer"), "{said}");
    proxy.resume();
    operator.wait_ready().await;
    assert!(operator.terminate().await);
}

/// What the chart asks before it is uninstalled, and what its test asks.
#[tokio::test]
async fn questions_to_a_running_operator_and_to_what_it_would_leave_behind() {
    let world = World::start("questions").await;
    let access = world.plane.service_account_access(world.ns(), "operator").await.unwrap();
    let kubeconfig = world.write_kubeconfig(&access);
    let ask = async |arguments: &[&str]| {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_cronofy-operator"));
        let output = command.args(arguments).env("KUBECONFIG", &kubeconfig).output().await.unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(said).unwrap())
    };
    let leftovers = ["leftovers", "--namespace", world.ns()];
    assert_eq!(ask(&leftovers).await, (true, "no subscription is left\n".to_owned()));

    let operator = world.operator().await;
    world.subscribe("all", json!({})).await;
    world.ready("all").await;
    let (success, said) = ask(&leftovers).await;
    assert!(!success && said.lines().count() == 1, "{said}");
    let named = format!("subscriptions are left, 1 in all: {}/all; only the operator closes", world.ns());
    assert!(said.contains(&named), "{said}");
    assert!(!ask(&["leftovers"]).await.0, "what it may not list is not taken for empty");

    let (admin, webhook) = (format!("http://{}", operator.admin), format!("http://{}/", operator.webhook));
    let (success, said) = ask(&["probe", "--admin", &admin, "--webhook", &webhook]).await;
    assert!(success, "{said}");
    assert_eq!(said, format!("{admin}/readyz answers 200 OK\n{webhook}hook/probe answers 405 Method Not Allowed\n"));
    for (wrong, why) in [
        (["probe", "--webhook", &admin], "answers 404 Not Found"),
        (["probe", "--admin", &webhook], "answers 405 Method Not Allowed"),
        (["probe", "--admin", "http://127.0.0.1:9"], "does not answer"),
    ] {
        let (success, said) = ask(&wrong).await;
        assert!(!success && said.contains(why) && said.lines().count() == 1, "{wrong:?}: {said}");
    }
    assert!(!ask(&["probe"]).await.0);
    // One that is away for the moment is waited for, if that is asked for.
    let proxy = Proxy::start(operator.admin).unwrap();
    proxy.cut();
    let through = format!("http://{}", proxy.address());
    let waits = ["probe", "--wait", "300", "--admin", &through];
    let back = async {
        eventually("it was asked", PATIENCE, || async { (proxy.accepted() > 0).then_some(()) }).await.unwrap();
        proxy.resume();
    };
    let ((success, said), ()) = tokio::join!(ask(&waits), back);
    assert!(success, "{said}");

    world.subscriptions().delete("all", &DeleteParams::default()).await.unwrap();
    world.gone("all").await;
    assert!(ask(&leftovers).await.0);
}
