//! Pods and nodes that go while fifty notifications a second arrive.

use kube::ResourceExt as _;

use crate::stage::{OPERATORS, Stage, chart, node_of};
use crate::stream::Calendars;

async fn installed() -> (Stage, Calendars) {
    let stage = Stage::start().await;
    stage.install(&chart(), &[]).await;
    let calendars = Calendars::subscribe(&stage).await;
    (stage, calendars)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_upgrade_refuses_no_notification() {
    let (mut stage, mut calendars) = installed().await;
    let unanswered = calendars.survive(&mut stage, "rolling upgrade", async |stage: &mut Stage| {
        stage.install(&chart(), &[r#"podAnnotations={"team.example.org/turn":"two"}"#]).await;
        stage.only_pods_left(2).await;
    });
    assert_eq!(unanswered.await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_may_be_deleted_or_killed() {
    let (mut stage, mut calendars) = installed().await;
    for (what, how) in [("deletion of the leading pod", "45"), ("killing of the leading pod", "0")] {
        calendars
            .survive(&mut stage, what, async |stage: &mut Stage| {
                let leader = stage.leader().await.name_any();
                let delete = ["delete", "pod", &leader, "--namespace", OPERATORS, "--grace-period", how];
                let force: &[&str] = if how == "0" { &["--force"] } else { &[] };
                stage.kubectl(&[&delete, force].concat()).await;
                stage.ready_pods(2).await;
                stage.leader().await;
            })
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_may_be_drained() {
    let (mut stage, mut calendars) = installed().await;
    calendars
        .survive(&mut stage, "drain of the leader's node", async |stage: &mut Stage| {
            let node = node_of(&stage.leader().await);
            stage.kubectl(&["drain", &node, "--ignore-daemonsets", "--timeout", "170s"]).await;
            stage.ready_pods_beside(2, &node).await;
            stage.kubectl(&["uncordon", &node]).await;
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_may_lose_its_power() {
    let (mut stage, mut calendars) = installed().await;
    calendars
        .survive(&mut stage, "loss of the leader's node", async |stage: &mut Stage| {
            let lost = stage.leader().await;
            let node = node_of(&lost);
            stage.cluster.power_off(&node).await.unwrap();
            // The one on the other node takes over, and one more is started there.
            stage.ready_pods_beside(2, &node).await;
            assert_ne!(stage.leader().await.name_any(), lost.name_any());
            stage.cluster.power_on(&node).await.unwrap();
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_nodes_may_lose_their_power() {
    let (mut stage, mut calendars) = installed().await;
    calendars
        .survive(&mut stage, "loss of both nodes", async |stage: &mut Stage| {
            for node in stage.cluster.nodes() {
                stage.cluster.power_off(&node).await.unwrap();
            }
            for node in stage.cluster.nodes() {
                stage.cluster.power_on(&node).await.unwrap();
            }
            stage.ready_pods(2).await;
            stage.leader().await;
        })
        .await;
}
