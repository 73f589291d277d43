//! What a person sees in the cluster when something is missing or wrong from the start.

use std::time::Duration;

use kube::ResourceExt as _;
use testenv::eventually;

use crate::stage::{OPERATORS, PATIENCE, RELEASE, Stage, chart, is_ready};

#[tokio::test(flavor = "multi_thread")]
async fn without_definitions_the_pods_wait_and_say_so_and_begin_when_they_come() {
    let stage = Stage::start().await;
    let own = stage.values();
    let chart = chart();
    let mut arguments = vec!["install", RELEASE, chart.to_str().unwrap()];
    for value in own.iter().map(String::as_str).chain(["crds.install=false"]) {
        arguments.extend(["--set-json", value]);
    }
    stage.helm(&arguments).await;
    let client = reqwest::Client::builder().timeout(Duration::from_secs(10)).build().unwrap();
    let waits = eventually("both pods say what they wait for", PATIENCE, async || {
        let pods = stage.pods().await;
        if pods.len() != 2 {
            return None;
        }
        for pod in &pods {
            let address = pod.status.as_ref()?.pod_ip.as_ref()?;
            let answer = client.get(format!("http://{address}:9090/readyz")).send().await.ok()?;
            let (status, text) = (answer.status().as_u16(), answer.text().await.ok()?);
            (status == 503 && text.contains("CustomResourceDefinition")).then_some(())?;
        }
        Some(pods.into_iter().map(|pod| pod.name_any()).collect::<Vec<_>>())
    });
    let names = waits.await.unwrap();

    stage.apply(&cronofy_operator::crds::yaml().unwrap()).await;
    let pods = stage.ready_pods(2).await;
    for pod in &pods {
        assert!(names.contains(&pod.name_any()) && is_ready(pod), "the same pods");
        let containers = pod.status.as_ref().unwrap().container_statuses.as_ref().unwrap();
        assert_eq!(containers[0].restart_count, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_argument_is_told_by_describe() {
    let stage = Stage::start().await;
    let own = stage.values();
    let chart = chart();
    let mut arguments = vec!["install", RELEASE, chart.to_str().unwrap()];
    for value in own.iter().map(String::as_str).chain([r#"extraArgs=["--webhook-base-url=http://"]"#]) {
        arguments.extend(["--set-json", value]);
    }
    stage.helm(&arguments).await;
    let told = eventually("describe names the flag", PATIENCE, async || {
        let described = stage.kubectl(&["describe", "pods", "--namespace", OPERATORS]).await;
        let said = described.split("Last State:").nth(1)?;
        said.contains("--webhook-base-url").then_some(())
    });
    if let Err(error) = told.await {
        panic!("{error}: {}", stage.kubectl(&["describe", "pods", "--namespace", OPERATORS]).await);
    }
}
