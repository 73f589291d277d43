//! Two replicas: both receive, one acts, and either may go at any moment.

use crate::support::operator::Operator;
use crate::support::switch::Switch;
use crate::support::world::{Rights, rights};
use crate::support::{PATIENCE, World, event};
use cronofy_sim::Endpoint;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use serde_json::json;
use testenv::{Scope, eventually};
use tokio::sync::oneshot;

/// The service account of the second replica, so that the audit log tells the two apart.
const STANDBY: &str = "standby";

/// Two operators behind one address, as behind a Service.
struct Pair {
    switch: Switch,
    first: Operator,
    second: Operator,
}

async fn pair(world: &World) -> Pair {
    let switch = Switch::start().await;
    let mut options = world.operator_options().await;
    options.webhook_base_url = Some(format!("http://{}", switch.address()));
    let first = Operator::start(&options).await;
    leading(&first).await;
    let Rights { objects, namespaces, lease, secret_outputs: _ } = rights();
    let account = (world.ns(), STANDBY);
    for rules in [&objects, &lease] {
        testenv::grant(&world.client, Scope::Namespace(world.ns()), account, rules).await.unwrap();
    }
    testenv::grant(&world.client, Scope::Cluster, account, &namespaces).await.unwrap();
    let access = world.plane.service_account_access(account.0, account.1).await.unwrap();
    options.kubeconfig = world.write_kubeconfig(&access);
    let second = Operator::start(&options).await;
    switch.to(first.webhook);
    Pair { switch, first, second }
}

async fn leading(operator: &Operator) {
    eventually("the operator leads", PATIENCE, || async { operator.leads().await.then_some(()) }).await.unwrap();
}

#[tokio::test]
async fn notifications_sent_to_either_replica_are_applied_once() {
    let world = World::start("either").await;
    let Pair { switch, first, second } = pair(&world).await;
    world.subscribe("all", json!({})).await;
    world.at_rest("all").await;
    assert!(!second.leads().await, "one leads, the other waits");
    world.sim.clear_journal();
    let by = |account: &str| world.plane.audit().unwrap().service_account(world.ns(), account);
    let begun = by("operator").len();

    let mut titles = Vec::new();
    for number in 0..6 {
        switch.to(if number % 2 == 0 { second.webhook } else { first.webhook });
        let title = format!("event {number}");
        world.sim.put_event(&world.account, event(&title, number)).unwrap();
        titles.push(title);
        let wanted: Vec<&str> = titles.iter().map(String::as_str).collect();
        world.titles("all", &wanted).await;
        // Until the mark is cleared the next change would be read together with this one.
        world.at_rest("all").await;
    }
    assert!(second.metric("cronofy_operator_webhook_requests_total{result=\"marked\"}").await >= 3.0);
    assert_eq!(world.sim.open_channels(&world.account).len(), 1);

    // One read and one write a change, all of them by the one that leads.
    let requests = world.sim.requests();
    assert!(requests.iter().all(|request| request.endpoint == Endpoint::Events), "{requests:#?}");
    assert_eq!(requests.len(), titles.len(), "{requests:#?}");
    let written = by("operator").since(begun);
    assert_eq!(written.verb("update").resource("configmaps").len(), titles.len(), "{:#?}", written.count());
    assert_eq!(written.verb("create").resource("configmaps").len(), 0, "{:#?}", written.count());
    // A mark from each of them, and from the one that leads also what came of all.
    assert_eq!(
        written.verb("patch").resource("calendarsubscriptions").len(),
        3 + titles.len(),
        "{:#?}",
        written.count()
    );
    let standby = by(STANDBY);
    assert_eq!(standby.verb("patch").resource("calendarsubscriptions").len(), 3, "{:#?}", standby.count());
    let reads_only = |entry: &testenv::AuditEntry| matches!(entry.verb.as_str(), "get" | "list" | "watch");
    let others = standby
        .filter(|entry| !reads_only(entry) && !matches!(entry.resource.as_str(), "leases" | "calendarsubscriptions"));
    assert!(others.is_empty(), "{others:#?}");
    let metrics = second.metrics().await;
    let asked = metrics.lines().filter(|line| line.starts_with("cronofy_operator_cronofy_requests_total"));
    let asked: Vec<_> = asked.filter(|line| !line.ends_with(" 0")).collect();
    assert_eq!(asked, Vec::<&str>::new(), "the standby asks Cronofy for nothing");
}

/// Who holds the lease.
async fn holder(world: &World) -> Option<String> {
    let leases: Api<Lease> = Api::namespaced(world.client.clone(), world.ns());
    leases.get("cronofy-operator").await.unwrap().spec?.holder_identity
}

#[tokio::test]
async fn after_sigterm_of_the_leader_amid_changes_the_other_takes_over_at_once_and_nothing_is_lost() {
    let world = World::start("term").await;
    let Pair { switch, first, second } = pair(&world).await;
    world.subscribe("all", json!({})).await;
    world.ready("all").await;
    let held = holder(&world).await;
    let mut titles = Vec::new();
    let (amid, begin) = oneshot::channel();
    let terminated = async {
        begin.await.unwrap();
        assert!(first.terminate().await, "a clean exit");
        // It was given back: nobody waits until it would have run out.
        assert_ne!(holder(&world).await, held, "the lease is released");
    };
    let changes = async {
        let mut amid = Some(amid);
        for number in 0..20 {
            let title = format!("event {number}");
            world.sim.put_event(&world.account, event(&title, number)).unwrap();
            titles.push(title);
            if number == 5 {
                switch.to(second.webhook); // a Service leads to no pod that ends
                amid.take().unwrap().send(()).unwrap();
            }
            world.sim.settle().await;
        }
    };
    tokio::join!(terminated, changes);
    let wanted: Vec<&str> = titles.iter().map(String::as_str).collect();
    world.titles("all", &wanted).await;
    leading(&second).await;
    assert_eq!(world.sim.open_channels(&world.account).len(), 1);
    assert_eq!(world.sim.count(Endpoint::CreateChannel), 1, "no second channel");
    assert_eq!(world.sim.count(Endpoint::CloseChannel), 0, "a stopping pod closes no channel");
}

#[tokio::test]
async fn after_sigkill_of_the_leader_amid_changes_the_other_takes_over_and_nothing_is_lost() {
    let world = World::start("kill").await;
    let Pair { switch, first, second } = pair(&world).await;
    world.subscribe("all", json!({})).await;
    world.ready("all").await;
    let mut titles = Vec::new();
    let mut first = Some(first);
    for number in 0..20 {
        let title = format!("event {number}");
        world.sim.put_event(&world.account, event(&title, number)).unwrap();
        titles.push(title);
        if number == 10 {
            first.take().unwrap().kill();
            switch.to(second.webhook);
        }
        world.sim.settle().await;
    }
    let wanted: Vec<&str> = titles.iter().map(String::as_str).collect();
    world.titles("all", &wanted).await;
    assert_eq!(world.sim.open_channels(&world.account).len(), 1);
    assert_eq!(world.sim.count(Endpoint::CreateChannel), 1, "no second channel");
}

#[tokio::test]
async fn a_leader_that_was_held_still_does_not_act_after_it_lost_the_lease() {
    let world = World::start("paused").await;
    let Pair { switch, first, second } = pair(&world).await;
    world.subscribe("all", json!({})).await;
    world.ready("all").await;
    first.pause();
    switch.to(second.webhook);
    leading(&second).await;
    world.sim.put_event(&world.account, event("new", 1)).unwrap();
    world.titles("all", &["new"]).await;
    first.resume();
    assert!(!first.ends().await, "who lost the lease ends, and says that it is not well");
    world.titles("all", &["new"]).await;
    assert_eq!(world.sim.open_channels(&world.account).len(), 1);
}
