//! Control planes that are harmed on purpose, each test its own.
#![allow(missing_docs, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

use std::time::Duration;

use futures::TryStreamExt;
use k8s_openapi::{
    api::core::v1::{ConfigMap, Namespace},
    apimachinery::pkg::apis::meta::v1::OwnerReference,
};
use kube::{
    Api, Client, Resource,
    api::{DeleteParams, ObjectMeta, PostParams, WatchEvent, WatchParams},
};
use testenv::{ControlPlane, Options, Proxy, eventually};
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_mins(1);

/// After that a request counts as unanswered. Long against a request, since the machine may be busy.
const UNANSWERED: Duration = Duration::from_secs(2);

fn config_map(name: &str) -> ConfigMap {
    ConfigMap { metadata: ObjectMeta { name: Some(name.into()), ..ObjectMeta::default() }, ..ConfigMap::default() }
}

async fn read(client: &Client) -> Result<Namespace, kube::Error> {
    Api::<Namespace>::all(client.clone()).get("default").await
}

async fn is_answered(client: &Client) -> bool {
    matches!(timeout(UNANSWERED, read(client)).await, Ok(Ok(_)))
}

#[tokio::test]
async fn a_paused_api_server_answers_again_when_resumed_and_keeps_its_data_when_restarted() {
    let control_plane = ControlPlane::start(Options::default()).await.unwrap();
    let client = control_plane.admin().unwrap();
    let config_maps = Api::<ConfigMap>::default_namespaced(client.clone());
    config_maps.create(&PostParams::default(), &config_map("kept")).await.unwrap();

    control_plane.pause().unwrap();
    timeout(UNANSWERED, read(&client)).await.expect_err("answered while paused");
    control_plane.resume().unwrap();
    assert!(is_answered(&client).await);

    let old = config_maps.get("kept").await.unwrap().metadata.resource_version.unwrap();
    config_maps.create(&PostParams::default(), &config_map("since")).await.unwrap();
    let (address, pids) = (control_plane.address(), control_plane.pids());
    control_plane.restart().await.unwrap();
    assert_eq!(control_plane.address(), address);
    assert_ne!(control_plane.pids(), pids);
    config_maps.get("kept").await.unwrap();
    let mut events = Box::pin(config_maps.watch(&WatchParams::default(), &old).await.unwrap());
    match timeout(LIMIT, events.try_next()).await.unwrap().unwrap() {
        Some(WatchEvent::Error(status)) => assert_eq!(status.code, 410),
        event => panic!("not expired: {event:?}"),
    }

    control_plane.stop_apiserver();
    config_maps.get("kept").await.expect_err("answered while stopped");
    control_plane.start_apiserver().await.unwrap();
    config_maps.get("kept").await.unwrap();
}

#[tokio::test]
async fn without_etcd_nothing_is_written_and_with_it_all_is_there_again() {
    let control_plane = ControlPlane::start(Options::default()).await.unwrap();
    let config_maps = Api::<ConfigMap>::default_namespaced(control_plane.admin().unwrap());
    config_maps.create(&PostParams::default(), &config_map("before")).await.unwrap();

    control_plane.stop_etcd();
    let written = timeout(UNANSWERED, config_maps.create(&PostParams::default(), &config_map("meanwhile"))).await;
    assert!(!matches!(written, Ok(Ok(_))), "written without etcd");

    control_plane.start_etcd().await.unwrap();
    config_maps.get("before").await.unwrap();
    config_maps.create(&PostParams::default(), &config_map("after")).await.unwrap();
}

#[tokio::test]
async fn two_control_planes_know_nothing_of_each_other() {
    let (first, second) =
        tokio::join!(ControlPlane::start(Options::default()), ControlPlane::start(Options::default()));
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_ne!(first.address(), second.address());
    let in_first = Api::<ConfigMap>::default_namespaced(first.admin().unwrap());
    let in_second = Api::<ConfigMap>::default_namespaced(second.admin().unwrap());
    in_first.create(&PostParams::default(), &config_map("one")).await.unwrap();
    assert!(in_second.get_opt("one").await.unwrap().is_none());

    // Nor do they take each other's tokens or certificates.
    let mut crossed = first.admin_access().config().unwrap();
    crossed.cluster_url = second.admin_access().url().parse().unwrap();
    read(&Client::try_from(crossed).unwrap()).await.expect_err("trusted a certificate of another authority");
}

#[tokio::test]
async fn a_proxy_stalls_cuts_and_resumes_connections() {
    let control_plane = testenv::shared().await.unwrap();
    let proxy = control_plane.proxy().unwrap();
    let through = |proxy: &Proxy| control_plane.admin_access().through(proxy).client().unwrap();
    let old = through(&proxy);
    read(&old).await.unwrap();
    assert_eq!(proxy.accepted(), 1);

    // All connections: neither the old nor a new one gets an answer, until what was sent arrives after all.
    proxy.stall();
    let mut pending = Box::pin(read(&old));
    timeout(UNANSWERED, &mut pending).await.expect_err("answered though stalled");
    assert!(!is_answered(&through(&proxy)).await);
    proxy.resume();
    timeout(LIMIT, pending).await.unwrap().unwrap();

    // Only the old ones, which stay open.
    proxy.stall_existing();
    assert!(!is_answered(&old).await);
    assert!(is_answered(&through(&proxy)).await);
    proxy.resume();

    // Closed: fails at once instead of waiting.
    proxy.cut();
    timeout(LIMIT, read(&through(&proxy))).await.unwrap().expect_err("answered though cut");
    proxy.resume();
    let new = through(&proxy);
    read(&new).await.unwrap();

    // A client that loses its connection makes another one.
    let accepted = proxy.accepted();
    proxy.cut_existing();
    eventually("the client reconnects", LIMIT, || async { read(&new).await.ok() }).await.unwrap();
    assert!(proxy.accepted() > accepted);
}

#[tokio::test]
async fn a_kubeconfig_through_a_proxy_works_for_kubectl() {
    let control_plane = testenv::shared().await.unwrap();
    let proxy = control_plane.proxy().unwrap();
    let access = control_plane.admin_access().through(&proxy);
    let output = control_plane.kubectl_as(&access, ["get", "namespaces", "-o", "name"], "").await.unwrap();
    assert!(output.stdout.contains("namespace/default"), "{output:?}");
    assert!(proxy.accepted() > 0);
}

#[tokio::test]
async fn a_controller_manager_collects_garbage_and_finishes_namespaces() {
    let options = Options { controller_manager: true, ..Options::default() };
    let control_plane = ControlPlane::start(options).await.unwrap();
    let client = control_plane.admin().unwrap();
    let namespace = control_plane.namespace("collected").await.unwrap();
    let config_maps = Api::<ConfigMap>::namespaced(client.clone(), namespace.name());
    let owner = config_maps.create(&PostParams::default(), &config_map("owner")).await.unwrap();
    let reference: OwnerReference = owner.owner_ref(&()).unwrap();
    let mut dependent = config_map("owned");
    dependent.metadata.owner_references = Some(vec![reference]);
    config_maps.create(&PostParams::default(), &dependent).await.unwrap();

    config_maps.delete("owner", &DeleteParams::default()).await.unwrap();
    eventually("the owned object is collected", LIMIT, || async {
        config_maps.get_opt("owned").await.unwrap().is_none().then_some(())
    })
    .await
    .unwrap();

    config_maps.create(&PostParams::default(), &config_map("rest")).await.unwrap();
    namespace.delete().await.unwrap();
    let namespaces = Api::<Namespace>::all(client);
    eventually("the namespace is gone", LIMIT, || async {
        namespaces.get_opt(namespace.name()).await.unwrap().is_none().then_some(())
    })
    .await
    .unwrap();
}
