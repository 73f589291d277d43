//! An idle subscription costs nothing. The operator's clock is the machine's, so an hour of it is shown from its three sides:
//! what an hour brings from outside is made to happen now; the operator is started anew, which an hour may bring, too; and an
//! hour is taken from all that the cluster remembers, which to an operator that starts is the same as if it had passed.
//! That the engine of a running one decides alike, through years of virtual time, is a test of the engine.

use cronofy_operator::api::{CalendarSubscription, CronofyApplication};
use cronofy_sim::{Endpoint, Notification, Signing};
use futures::StreamExt as _;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{Patch, PatchParams, WatchEvent, WatchParams};
use serde_json::json;
use testenv::{AuditEntry, AuditLog, eventually};

use crate::support::past::let_pass;
use crate::support::switch::switched;
use crate::support::{Operator, OwnPlane, PATIENCE, World, event};

/// A subscription with a copy, about which everything has been said and done.
async fn settled(world: &World) {
    for (number, title) in ["one", "two"].into_iter().enumerate() {
        world.sim.put_event(&world.account, event(title, i64::try_from(number).unwrap())).unwrap();
    }
    // What is due next must not depend on the hour at which the test runs, so the sweep, due by the calendar day, is out of the way.
    world.subscribe("all", json!({ "intervals": { "horizonSweep": "168h" } })).await;
    world.ready("all").await;
    let verified = |found: &CalendarSubscription| {
        let channel = found.status.as_ref().and_then(|status| status.channel.as_ref());
        channel.is_some_and(|channel| channel.verified_time.is_some())
    };
    world.until("all", "is verified", verified).await;
    world.at_rest("all").await;
    // A reconcile begins after the one before has ended: after two of them, so have all that had anything to do.
    let watched = Watched::begin(world);
    for reconciles in 1..=2 {
        annotate_all(world).await;
        let begun = |entry: &AuditEntry| entry.verb == "get" && entry.resource == "calendarsubscriptions";
        watched.until("the subscription is looked at", reconciles, begun).await;
    }
}

/// What is watched of the operator from some moment on.
struct Watched<'a> {
    world: &'a World,
    begun: usize,
}

impl<'a> Watched<'a> {
    fn begin(world: &'a World) -> Self {
        world.sim.clear_journal();
        let begun = world.plane.audit().unwrap().len();
        Self { world, begun }
    }

    fn requests(&self) -> AuditLog {
        self.world.plane.audit().unwrap().since(self.begun).service_account(self.world.ns(), "operator")
    }

    /// Waits until the operator has made this many requests of a kind.
    async fn until(&self, what: &str, count: usize, is: impl Fn(&AuditEntry) -> bool) {
        let made = || std::future::ready((self.requests().filter(&is).len() >= count).then_some(()));
        if let Err(error) = eventually(what, PATIENCE, made).await {
            panic!("{error}; {:#?}", self.requests().count());
        }
    }

    /// Waits until the subscription has been looked at, and its copy as well: a whole reconcile with nothing to do.
    async fn reconciled(&self, count: usize) {
        self.until("the copy is looked at", count, |entry| entry.verb == "get" && entry.name == "all-events").await;
        // What it would write then would be written before this.
        let renewed = self.requests().filter(is_lease).len();
        self.until("its lease is renewed after that", renewed + 1, is_lease).await;
    }

    /// The operator has written nothing but its lease, and has not asked Cronofy.
    fn cost_nothing(&self) {
        let reads = ["get", "list", "watch"];
        let writes = self.requests().filter(|entry| !reads.contains(&entry.verb.as_str()) && !is_lease(entry));
        assert!(writes.is_empty(), "{writes:#?}");
        assert!(self.world.sim.requests().is_empty(), "{:#?}", self.world.sim.requests());
    }
}

fn is_lease(entry: &AuditEntry) -> bool {
    entry.resource == "leases" && entry.verb == "update"
}

/// Puts an annotation that says nothing to the operator on everything that it watches.
async fn annotate_all(world: &World) {
    annotate(world.subscriptions(), "all").await;
    annotate(Api::<CronofyApplication>::namespaced(world.client.clone(), world.ns()), "app").await;
    // This one wakes it: whether the copy is still what it was has to be looked at.
    annotate(Api::<ConfigMap>::namespaced(world.client.clone(), world.ns()), "all-events").await;
}

async fn annotate<K>(api: Api<K>, name: &str)
where
    K: kube::Resource + Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    let now = Timestamp::now().to_string();
    let patch = Patch::Merge(json!({ "metadata": { "annotations": { "team.example.org/seen": now } } }));
    api.patch(name, &PatchParams::default(), &patch).await.unwrap();
}

/// Waits until the API server no longer tells what was before its start: until its cache of a kind is filled, it passes a watch
/// on to etcd, which does.
async fn forgotten<K>(api: &Api<K>)
where
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    let asked = eventually("the watch history is forgotten", PATIENCE, async || {
        let mut watch = Box::pin(api.watch(&WatchParams::default(), "1").await.ok()?);
        let first = watch.next().await?.ok()?;
        matches!(first, WatchEvent::Error(status) if status.code == 410).then_some(())
    });
    asked.await.unwrap();
}

/// Whatever others do around it.
#[tokio::test]
async fn what_is_of_no_concern_to_a_subscription_costs_nothing() {
    let world = World::start("idle").await;
    let _operator = world.operator().await;
    settled(&world).await;
    let watched = Watched::begin(&world);
    let maps: Api<ConfigMap> = Api::namespaced(world.client.clone(), world.ns());
    for number in 1..=3 {
        world.secret("other", &[("number", &number.to_string())]).await;
        let other = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "other" },
            "data": { "number": number.to_string() } });
        maps.patch("other", &PatchParams::apply("test"), &Patch::Apply(other)).await.unwrap();
        annotate_all(&world).await;
        watched.reconciled(number).await;
    }
    let channel = world.sim.open_channels(&world.account)[0].id.clone();
    world.sim.notify(&channel, &Notification::new("calendar_created"));
    world.sim.settle().await;
    assert_eq!(world.sim.deliveries().last().unwrap().status, Some(204), "an unknown type is taken and forgotten");
    world.sim.sign_with(Signing::Header(Some("bm90IHRoZSBzaWduYXR1cmU=".to_owned())));
    world.sim.notify(&channel, &Notification::change(Timestamp::now()));
    world.sim.settle().await;
    assert_eq!(world.sim.deliveries().last().unwrap().status, Some(401));
    watched.until("the lease is renewed again and again", 5, is_lease).await;
    watched.cost_nothing();
}

/// The API server forgets its watch history, and the operator lists everything anew; then it is itself started anew, twice.
#[tokio::test]
async fn lists_from_the_start_and_restarts_cost_nothing() {
    let plane = OwnPlane::start().await;
    let world = World::on(*plane, "apiserver-idle").await;
    let proxy = plane.proxy().unwrap();
    let access = plane.service_account_access(world.ns(), "operator").await.unwrap().through(&proxy);
    let (switch, mut options) = switched(&world).await;
    options.kubeconfig = world.write_kubeconfig(&access);
    options.arguments = vec!["--leader-election=false".to_owned()];
    let operator = Operator::start(&options).await;
    switch.to(operator.webhook);
    settled(&world).await;

    let watched = Watched::begin(&world);
    proxy.cut();
    annotate_all(&world).await; // else what was seen last would still be good to go on from
    plane.restart().await.unwrap();
    forgotten(&world.subscriptions()).await;
    forgotten(&Api::<CronofyApplication>::namespaced(world.client.clone(), world.ns())).await;
    forgotten(&Api::<ConfigMap>::namespaced(world.client.clone(), world.ns())).await;
    proxy.resume();
    for kind in ["calendarsubscriptions", "cronofyapplications", "configmaps"] {
        let anew = |entry: &AuditEntry| {
            entry.resource == kind && entry.code == 200 && entry.request_uri.contains("sendInitialEvents=true")
        };
        watched.until(&format!("{kind} are listed anew"), 1, anew).await;
    }
    let looked_at = |entry: &AuditEntry| entry.verb == "get" && entry.name == "all-events";
    watched.until("the copy is looked at", 1, looked_at).await;
    operator.kill();
    for restarts in 1..=2 {
        let operator = Operator::start(&options).await;
        watched.until("the copy is looked at", 1 + restarts, looked_at).await;
        operator.kill();
    }
    watched.cost_nothing();
}

#[tokio::test]
async fn an_hour_that_passes_costs_nothing_and_a_week_costs_one_read() {
    let world = World::start("idle").await;
    let (switch, options) = switched(&world).await;
    let operator = Operator::start(&options).await;
    switch.to(operator.webhook);
    settled(&world).await;
    operator.kill();
    let_pass(&world, "all", SignedDuration::from_mins(61)).await;

    let watched = Watched::begin(&world);
    let operator = Operator::start(&options).await;
    watched.reconciled(1).await;
    watched.cost_nothing();
    operator.kill();

    // It is the time that was taken which makes the difference.
    let_pass(&world, "all", SignedDuration::from_hours(168)).await;
    let _operator = Operator::start(&options).await;
    let read = eventually("everything is read once more", PATIENCE, async || {
        (world.sim.count(Endpoint::Events) > 0).then_some(())
    });
    read.await.unwrap();
    world.ready("all").await;
    assert_eq!(world.sim.count(Endpoint::Events), 1);
    assert_eq!(world.sim.count(Endpoint::CreateChannel), 0);
}
