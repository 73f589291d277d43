//! A namespace of its own on the shared API server, with its own simulated Cronofy and its own operators.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use calendar_reader::{Kind, Reader};
use cronofy_operator::api::{CalendarSubscription, CronofyApplication};
use cronofy_sim::{AccountDraft, Channel, Options, ReadQuery, Settings, Simulator};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::api::rbac::v1::PolicyRule;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::runtime::wait::await_condition;
use kube::{Api, Client};
use serde::Deserialize;
use serde_json::{Value, json};
use testenv::{AuditLog, ControlPlane, Scope, TestNamespace, eventually};
use tokio::sync::Mutex;

use super::operator::{Operator, OperatorOptions, PATIENCE};
use super::usage;

pub const CLIENT_ID: &str = "client-1";
pub const CLIENT_SECRET: &str = "secret-of-client-1";

/// One test's part of the world.
pub struct World {
    pub plane: &'static ControlPlane,
    pub namespace: TestNamespace,
    pub client: Client,
    pub sim: Simulator,
    /// The account that `subscription` refers to.
    pub account: String,
    service_account: String,
    next_kubeconfig: AtomicU32,
}

impl Drop for World {
    fn drop(&mut self) {
        usage::record(self.plane);
    }
}

/// The chart's rights, by where they hold.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rights {
    pub objects: Vec<PolicyRule>,
    pub secret_outputs: Vec<PolicyRule>,
    pub namespaces: Vec<PolicyRule>,
    pub lease: Vec<PolicyRule>,
}

/// The chart's rights: the tests run with these and no others.
pub fn rights() -> Rights {
    serde_saphyr::from_str(include_str!("../../../charts/cronofy-operator/files/rbac.yaml")).unwrap()
}

/// Applies the definitions, once for each API server.
pub async fn define(plane: &ControlPlane) {
    // By their folders: the port of a server that has ended may be another's.
    static DEFINED: Mutex<BTreeSet<PathBuf>> = Mutex::const_new(BTreeSet::new());
    let mut defined = DEFINED.lock().await;
    if !defined.contains(plane.dir()) {
        let warnings = plane.apply_crds(&cronofy_operator::crds::crds()).await.unwrap();
        assert!(warnings.is_empty(), "{warnings:?}");
        defined.insert(plane.dir().to_owned());
    }
}

impl World {
    /// A namespace with the kinds, the rights, an application and an account, and a simulator that knows both.
    pub async fn start(name: &str) -> Self {
        Self::on(testenv::shared().await.unwrap(), name).await
    }

    /// The same on an API server of the test's own, which it may stop.
    pub async fn on(plane: &'static ControlPlane, name: &str) -> Self {
        Self::with(plane, name, Options { settings: Settings::default(), ..Options::default() }).await
    }

    /// The same with a Cronofy that is started in this way.
    pub async fn with(plane: &'static ControlPlane, name: &str, cronofy: Options) -> Self {
        define(plane).await;
        let namespace = plane.namespace(name).await.unwrap();
        let client = plane.admin().unwrap();
        let sim = Simulator::start(cronofy).await.unwrap();
        sim.add_application(CLIENT_ID, &[CLIENT_SECRET]);
        let account = sim.add_account(AccountDraft::default());
        let world = Self {
            plane,
            client,
            sim,
            account,
            service_account: "operator".to_owned(),
            namespace,
            next_kubeconfig: AtomicU32::new(0),
        };
        world.grant(world.ns()).await;
        world.secret("app", &[("client_id", CLIENT_ID), ("client_secret", CLIENT_SECRET)]).await;
        let token = world.sim.issue_refresh_token(&world.account, CLIENT_ID);
        world.secret("account", &[("refresh_token", &token)]).await;
        world.apply_application("app", "app").await;
        world
    }

    pub fn ns(&self) -> &str {
        self.namespace.name()
    }

    /// Gives this world's operator the chart's rights in a namespace.
    pub async fn grant(&self, namespace: &str) {
        let Rights { objects, namespaces, lease, .. } = rights();
        let account = (self.ns(), self.service_account.as_str());
        let here = Scope::Namespace(namespace);
        testenv::grant(&self.client, here, account, &objects).await.unwrap();
        testenv::grant(&self.client, here, account, &lease).await.unwrap();
        testenv::grant(&self.client, Scope::Cluster, account, &namespaces).await.unwrap();
    }

    /// Gives this world's operator the chart's opt-in rights to write Secrets.
    pub async fn grant_secret_outputs(&self) {
        let account = (self.ns(), self.service_account.as_str());
        testenv::grant(&self.client, Scope::Namespace(self.ns()), account, &rights().secret_outputs).await.unwrap();
    }

    /// A reader of an output of this world.
    pub fn reader(&self, output: &str, kind: Kind) -> Reader {
        Reader::new(self.client.clone(), self.ns(), output, kind)
    }

    /// Options for an operator that watches this world's namespace.
    pub async fn operator_options(&self) -> OperatorOptions {
        let access = self.plane.service_account_access(self.ns(), &self.service_account).await.unwrap();
        OperatorOptions {
            kubeconfig: self.write_kubeconfig(&access),
            namespaces: vec![self.ns().to_owned()],
            lease_namespace: self.ns().to_owned(),
            webhook_base_url: None,
            webhook: true,
            custom_endpoints: true,
            environment: BTreeMap::new(),
            arguments: Vec::new(),
        }
    }

    /// Options for an operator that lives in a namespace of its own and watches the whole cluster.
    pub async fn operator_elsewhere(&self) -> OperatorOptions {
        let home = self.plane.namespace("operator").await.unwrap().name().to_owned();
        let account = (home.as_str(), self.service_account.as_str());
        let access = self.plane.service_account_access(account.0, account.1).await.unwrap();
        let Rights { objects, namespaces, lease, .. } = rights();
        for rules in [objects, namespaces, lease] {
            testenv::grant(&self.client, Scope::Cluster, account, &rules).await.unwrap();
        }
        OperatorOptions {
            kubeconfig: self.write_kubeconfig(&access),
            namespaces: Vec::new(),
            lease_namespace: home,
            webhook_base_url: None,
            webhook: true,
            custom_endpoints: true,
            environment: BTreeMap::new(),
            arguments: Vec::new(),
        }
    }

    pub fn write_kubeconfig(&self, access: &testenv::Access) -> PathBuf {
        let number = self.next_kubeconfig.fetch_add(1, Ordering::Relaxed);
        let path = self.plane.dir().join(format!("{}-{number}.kubeconfig", self.ns()));
        access.write_kubeconfig(&path).unwrap();
        path
    }

    /// Starts an operator.
    pub async fn operator(&self) -> Operator {
        Operator::start(&self.operator_options().await).await
    }

    /// Creates or replaces a Secret.
    pub async fn secret(&self, name: &str, values: &[(&str, &str)]) {
        self.secret_in(self.ns(), name, values).await;
    }

    pub async fn secret_in(&self, namespace: &str, name: &str, values: &[(&str, &str)]) {
        // Not `stringData`: what stood there before and is absent now would stay.
        let value = |text: &str| ByteString(text.as_bytes().to_vec());
        let values: BTreeMap<_, _> = values.iter().map(|(key, text)| (key, value(text))).collect();
        let secret = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name }, "data": values });
        let api: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        api.patch(name, &PatchParams::apply("test").force(), &Patch::Apply(secret)).await.unwrap();
    }

    pub async fn delete_secret(&self, name: &str) {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), self.ns());
        api.delete(name, &DeleteParams::default()).await.unwrap();
    }

    /// Creates an application whose endpoint is the simulator.
    pub async fn apply_application(&self, name: &str, secret: &str) {
        self.apply_application_in(
            self.ns(),
            name,
            json!({
                "endpoint": self.sim.api_url(), "credentialsSecretRef": { "name": secret },
            }),
        )
        .await;
    }

    pub async fn apply_application_in(&self, namespace: &str, name: &str, spec: Value) {
        let object = json!({
            "apiVersion": "cronofy-operator.dev/v1alpha1", "kind": "CronofyApplication",
            "metadata": { "name": name }, "spec": spec,
        });
        let api: Api<CronofyApplication> = Api::namespaced(self.client.clone(), namespace);
        api.patch(name, &PatchParams::apply("test").force(), &Patch::Apply(object)).await.unwrap();
    }

    /// Waits until an application says this of itself.
    pub async fn application_says(&self, name: &str, status: &str, reason: &str, message: &str) {
        let api: Api<CronofyApplication> = Api::namespaced(self.client.clone(), self.ns());
        let wanted = (status, reason, message);
        let text = format!("{name}: the application says {wanted:?}");
        let said = eventually(&text, PATIENCE, || async {
            let status = api.get(name).await.ok()?.status?;
            let ready = status.conditions.into_iter().find(|condition| condition.type_ == "Ready")?;
            (wanted == (&ready.status, &ready.reason, &ready.message)).then_some(())
        });
        if let Err(error) = said.await {
            panic!("{error}; {:#?}", api.get(name).await.map(|application| json!(application.status)));
        }
    }

    pub async fn delete_application(&self, name: &str) {
        let api: Api<CronofyApplication> = Api::namespaced(self.client.clone(), self.ns());
        api.delete(name, &DeleteParams::default()).await.unwrap();
    }

    pub fn subscriptions(&self) -> Api<CalendarSubscription> {
        Api::namespaced(self.client.clone(), self.ns())
    }

    /// Creates or replaces a subscription; `more` is merged into the usual spec.
    pub async fn subscribe(&self, name: &str, more: Value) -> CalendarSubscription {
        self.subscribe_in(self.ns(), name, more).await
    }

    pub async fn subscribe_in(&self, namespace: &str, name: &str, more: Value) -> CalendarSubscription {
        let mut spec = json!({
            "applicationRef": { "name": "app" },
            "account": { "secretRef": { "name": "account" } },
        });
        for (key, value) in more.as_object().cloned().unwrap_or_default() {
            spec[key] = value;
        }
        let object = json!({
            "apiVersion": "cronofy-operator.dev/v1alpha1", "kind": "CalendarSubscription",
            "metadata": { "name": name }, "spec": spec,
        });
        let api: Api<CalendarSubscription> = Api::namespaced(self.client.clone(), namespace);
        api.patch(name, &PatchParams::apply("test").force(), &Patch::Apply(object)).await.unwrap()
    }

    pub async fn annotate(&self, name: &str, key: &str, value: &str) {
        let patch = json!({ "metadata": { "annotations": { key: value } } });
        self.subscriptions().patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    /// Waits until a subscription is as wanted, and gives it. On failure shows what it was last.
    pub async fn until(
        &self,
        name: &str,
        what: &str,
        wanted: impl Fn(&CalendarSubscription) -> bool,
    ) -> CalendarSubscription {
        self.until_in(self.ns(), name, what, wanted).await
    }

    pub async fn until_in(
        &self,
        namespace: &str,
        name: &str,
        what: &str,
        wanted: impl Fn(&CalendarSubscription) -> bool,
    ) -> CalendarSubscription {
        let api: Api<CalendarSubscription> = Api::namespaced(self.client.clone(), namespace);
        let text = format!("{name}: {what}");
        // By a watch, so that no state is missed and nothing is asked over and over.
        let condition = |subscription: Option<&CalendarSubscription>| subscription.is_some_and(&wanted);
        let found = eventually(&text, PATIENCE, || async {
            Box::pin(await_condition(api.clone(), name, condition)).await.ok().flatten()
        });
        match found.await {
            Ok(subscription) => subscription,
            Err(error) => {
                let last = api.get(name).await.map(|subscription| json!(subscription.status));
                panic!("{error}; the status was last {last:#?}");
            }
        }
    }

    pub async fn ready(&self, name: &str) -> CalendarSubscription {
        self.until(name, "is Ready", |subscription| condition(subscription, "Ready").0 == "True").await
    }

    /// Waits until it is Ready for the present spec, all is delivered, nothing of it is pending any more, and the look that
    /// follows a new channel is over.
    pub async fn at_rest(&self, name: &str) -> CalendarSubscription {
        self.sim.settle().await;
        let rests = |subscription: &CalendarSubscription| {
            let status = subscription.status.as_ref();
            let channel = status.and_then(|status| status.channel.as_ref());
            let next = status.and_then(|status| status.sync.as_ref()?.next.as_ref());
            condition(subscription, "Ready").0 == "True"
                && observed(subscription)
                && !pending(subscription)
                && channel.is_none_or(|channel| channel.id.is_none() || channel.last_check_time.is_some())
                // The status of the pass in which the channel was verified is followed by that of its end.
                && next.is_some_and(|next| next.what != "Verification")
        };
        self.until(name, "rests", rests).await
    }

    /// Changes something at Cronofy that is not heard of: its deliveries are lost.
    pub async fn unheard(&self, change: impl FnOnce(&Simulator)) {
        self.sim.settle().await;
        self.sim.lose_deliveries(usize::MAX);
        change(&self.sim);
        self.sim.settle().await;
        self.sim.lose_deliveries(0);
    }

    /// Waits until Ready is False with this reason; gives the message.
    pub async fn refused(&self, name: &str, reason: &str) -> String {
        let is = |subscription: &CalendarSubscription| {
            let (status, found, _) = condition(subscription, "Ready");
            status == "False" && found == reason
        };
        condition(&self.until(name, reason, is).await, "Ready").2
    }

    /// The channel that a subscription has at Cronofy.
    pub async fn channel(&self, namespace: &str, name: &str, account: &str) -> Channel {
        let api: Api<CalendarSubscription> = Api::namespaced(self.client.clone(), namespace);
        let id = api.get(name).await.unwrap().status.unwrap().channel.unwrap().id.unwrap();
        self.sim.open_channels(account).into_iter().find(|channel| channel.id == id).expect("the channel is open")
    }

    /// Requests to the API server so far: a point in the audit log to count from.
    pub fn requests_so_far(&self) -> usize {
        self.plane.audit().unwrap().len()
    }

    /// The operator's writes to statuses of subscriptions in this world's namespace since then, refused ones too.
    pub fn status_writes(&self, since: usize) -> AuditLog {
        let log = self.plane.audit().unwrap().since(since).service_account(self.ns(), &self.service_account);
        log.namespace(self.ns()).filter(|entry| {
            entry.resource == "calendarsubscriptions" && entry.subresource == "status" && entry.verb == "patch"
        })
    }

    /// The `ConfigMap` that a subscription's events are in.
    pub async fn output(&self, name: &str) -> Option<ConfigMap> {
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), self.ns());
        api.get_opt(name).await.unwrap()
    }

    /// The events of a subscription with the usual output, as stored.
    pub async fn events(&self, name: &str) -> Vec<Value> {
        self.events_in(self.ns(), &format!("{name}-events")).await
    }

    pub async fn events_in(&self, namespace: &str, output: &str) -> Vec<Value> {
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), namespace);
        let Some(map) = api.get_opt(output).await.unwrap() else { return Vec::new() };
        let data = map.data.unwrap_or_default();
        match data.get("events.json") {
            Some(events) => serde_json::from_str(events).unwrap_or_default(),
            // They stand in slices.
            None => match Reader::new(self.client.clone(), namespace, output, Kind::ConfigMap).read().await {
                Ok(calendar) => calendar.events.iter().map(|event| json!(event)).collect(),
                Err(_) => Vec::new(),
            },
        }
    }

    /// Waits until the events are as wanted.
    pub async fn events_until(&self, name: &str, what: &str, wanted: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let text = format!("events of {name}: {what}");
        let found =
            eventually(&text, PATIENCE, || async { Some(self.events(name).await).filter(|events| wanted(events)) });
        match found.await {
            Ok(events) => events,
            Err(error) => {
                let status = self.subscriptions().get(name).await.map(|subscription| json!(subscription.status));
                panic!("{error}; the events were last {:#?}, the status {status:#?}", self.events(name).await)
            }
        }
    }

    /// Waits until the titles of the events in an output anywhere are these, in any order.
    pub async fn titles_in(&self, namespace: &str, output: &str, titles: &[&str]) {
        let mut wanted: Vec<&str> = titles.to_vec();
        wanted.sort_unstable();
        let text = format!("titles in {namespace}/{output}: {wanted:?}");
        let found = eventually(&text, PATIENCE, || async {
            let events = self.events_in(namespace, output).await;
            let mut found: Vec<&str> = events.iter().filter_map(|event| event["summary"].as_str()).collect();
            found.sort_unstable();
            (found == wanted).then_some(())
        });
        if let Err(error) = found.await {
            panic!("{error}; the events were last {:#?}", self.events_in(namespace, output).await);
        }
    }

    /// Waits until the titles of the events are these, in any order.
    pub async fn titles(&self, name: &str, titles: &[&str]) {
        let mut wanted: Vec<&str> = titles.to_vec();
        wanted.sort_unstable();
        self.events_until(name, &format!("{wanted:?}"), |events| {
            let mut found: Vec<&str> = events.iter().filter_map(|event| event["summary"].as_str()).collect();
            found.sort_unstable();
            found == wanted
        })
        .await;
    }

    /// Waits until the copy is what the whole account shows in a read at the moment, by id, title and start.
    pub async fn equals_calendar(&self, name: &str) {
        let query = ReadQuery { include_managed: true, ..ReadQuery::default() };
        let key = |event: &Value, id: &str| [id, "summary", "start"].map(|key| event[key].to_string());
        let calendar = || -> BTreeSet<_> {
            self.sim.read(&self.account, &query).iter().map(|event| key(event, "event_uid")).collect()
        };
        let text = format!("{name} equals the calendar");
        let equal = eventually(&text, PATIENCE, || async {
            let copy: BTreeSet<_> = self.events(name).await.iter().map(|event| key(event, "id")).collect();
            (copy == calendar()).then_some(())
        });
        if let Err(error) = equal.await {
            let status = self.subscriptions().get(name).await.map(|subscription| json!(subscription.status));
            panic!(
                "{error}; the calendar has {:#?}, the copy {:#?}, the status is {status:#?}",
                calendar(),
                self.events(name).await
            );
        }
    }

    /// The reasons of the Events in this world's namespace.
    pub async fn event_reasons(&self) -> Vec<String> {
        let api: Api<Event> = Api::namespaced(self.client.clone(), self.ns());
        let events = api.list(&ListParams::default()).await.unwrap();
        events.items.into_iter().filter_map(|event| event.reason).collect()
    }

    /// Waits until a subscription is gone.
    pub async fn gone(&self, name: &str) {
        let api = self.subscriptions();
        let text = format!("{name} is gone");
        let gone = eventually(&text, PATIENCE, || async { api.get_opt(name).await.unwrap().is_none().then_some(()) });
        if let Err(error) = gone.await {
            panic!("{error}; it is {:#?}", api.get(name).await.map(|subscription| json!(subscription)));
        }
    }
}

/// Status, reason and message of a condition.
pub fn condition(subscription: &CalendarSubscription, kind: &str) -> (String, String, String) {
    let conditions = subscription.status.iter().flat_map(|status| &status.conditions);
    let found = conditions.into_iter().find(|condition| condition.type_ == kind);
    found.map_or_else(Default::default, |condition| {
        (condition.status.clone(), condition.reason.clone(), condition.message.clone())
    })
}

/// Notifications are noted that have not been acted on.
pub fn pending(subscription: &CalendarSubscription) -> bool {
    let mark = subscription.status.as_ref().and_then(|status| status.notification.as_ref());
    mark.is_some_and(|mark| !mark.types.is_empty())
}

/// The generation that the conditions describe is the present one.
pub fn observed(subscription: &CalendarSubscription) -> bool {
    subscription.status.as_ref().and_then(|status| status.observed_generation) == subscription.metadata.generation
}
