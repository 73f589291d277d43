//! A release's life: from the version before to this one, back, and away.

use std::path::Path;

use serde_json::Value;
use testenv::eventually;

use crate::stage::{OPERATORS, PATIENCE, RELEASE, Stage, TEAM, chart};
use crate::stream::Calendars;

/// The first version of the chart, as it was released.
const FIRST: &str = "tests/node/charts/cronofy-operator-0.1.0.tgz";

/// All kinds that the chart makes in namespaces.
const KINDS: &str =
    "all,configmaps,secrets,serviceaccounts,roles,rolebindings,networkpolicies,ingresses,poddisruptionbudgets,leases";

#[tokio::test(flavor = "multi_thread")]
async fn a_release_is_upgraded_rolled_back_and_uninstalled_with_no_channel_left() {
    let mut stage = Stage::start().await;
    let first = Path::new(env!("CARGO_MANIFEST_DIR")).join(FIRST);
    // No image of that version is at hand, so what is upgraded is the chart.
    let tag = format!("image.tag=\"{}\"", env!("CARGO_PKG_VERSION"));
    stage.install(&first, &[&tag]).await;
    let mut calendars = Calendars::subscribe(&stage).await;
    let upgrade = async |stage: &mut Stage| {
        stage.install(&chart(), &[r#"podAnnotations={"team.example.org/turn":"two"}"#]).await;
        stage.only_pods_left(2).await;
    };
    assert_eq!(calendars.survive(&mut stage, "upgrade from the first version", upgrade).await, 0);
    let back = async |stage: &mut Stage| {
        stage.helm(&["rollback", RELEASE, "1", "--wait", "--timeout", "3m"]).await;
        stage.only_pods_left(2).await;
    };
    assert_eq!(calendars.survive(&mut stage, "rollback", back).await, 0);
    stage.install(&chart(), &[]).await;

    let refused = stage.try_helm(&["uninstall", RELEASE, "--wait", "--timeout", "2m"]).await.unwrap_err();
    println!("helm uninstall with subscriptions left: {refused}");
    let job = "job/calendars-cronofy-operator-uninstall";
    let why = stage.kubectl(&["logs", job, "--namespace", OPERATORS]).await;
    println!("kubectl logs {job}: {why}");
    assert!(why.contains("subscriptions are left, 10 in all"), "{why}");
    stage.ready_pods(2).await;
    // A person who thinks better of it: helm upgrades nothing that it was to uninstall, so the release is rolled back to what it is.
    let history: Vec<Value> =
        serde_json::from_str(&stage.helm(&["history", RELEASE, "--output", "json"]).await).unwrap();
    let last = history.last().unwrap()["revision"].to_string();
    stage.helm(&["rollback", RELEASE, &last, "--wait", "--timeout", "3m"]).await;
    stage.install(&chart(), &[]).await;

    stage.kubectl(&["delete", "calsub", "--all", "--namespace", TEAM, "--timeout", "120s"]).await;
    calendars.have_no_channel(&stage.sim);
    stage.helm(&["uninstall", RELEASE, "--wait", "--timeout", "2m"]).await;
    let gone = eventually("all that the chart made is gone", PATIENCE, async || {
        let selector = ["--selector", "app.kubernetes.io/instance=calendars", "--output", "name"];
        let in_namespaces = stage.kubectl(&[&["get", KINDS, "--all-namespaces"][..], &selector].concat()).await;
        let roles = stage.kubectl(&[&["get", "clusterroles,clusterrolebindings"][..], &selector].concat()).await;
        (in_namespaces + &roles).trim().is_empty().then_some(())
    });
    gone.await.unwrap();
    let kept = stage.kubectl(&["get", "crds", "--output", "name"]).await;
    assert!(kept.contains("calendarsubscriptions.cronofy-operator.dev"), "the definitions stay: {kept}");
    let left = stage.kubectl(&["get", KINDS, "--namespace", OPERATORS, "--output", "name"]).await;
    let others = ["configmap/kube-root-ca.crt", "serviceaccount/default"];
    let left: Vec<_> = left.lines().filter(|name| !others.contains(name)).collect();
    assert_eq!(left, ["lease.coordination.k8s.io/cronofy-operator"], "what the chart's README says stays");
}
