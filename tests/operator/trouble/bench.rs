//! Many troubles side by side: one operator, and for each trouble a Cronofy, an application, an account and a subscription of
//! its own, so that what one costs and says can be told from all others.

use std::collections::BTreeMap;

use cronofy_operator::api::{CalendarSubscription, REQUESTED_AT};
use cronofy_sim::{AccountDraft, Endpoint, Options, Simulator};
use futures::StreamExt as _;
use futures::future::join_all;
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::{WatchStreamExt as _, watcher};
use serde_json::{Value, json};
use testenv::eventually;
use tokio::task::JoinSet;

use crate::support::operator::{Operator, OperatorOptions, PATIENCE};
use crate::support::world::{CLIENT_ID, CLIENT_SECRET, World};
use crate::support::{condition, event};

/// Requests by endpoint.
pub type Requests = BTreeMap<Endpoint, usize>;

/// One operator and what is seen of its work.
pub struct Bench {
    pub world: World,
    pub operator: Operator,
    seen: Store<CalendarSubscription>,
    _watching: JoinSet<()>,
}

impl Bench {
    /// An operator with room for all troubles at once. It also looks after the namespaces that are named.
    pub async fn start(name: &str, further_namespaces: &[&str]) -> Self {
        Self::working_on(64, name, further_namespaces).await
    }

    /// The same with an operator that reconciles so many subscriptions at a time.
    pub async fn working_on(concurrency: u32, name: &str, further_namespaces: &[&str]) -> Self {
        Self::tuned(name, further_namespaces, |options| {
            options.arguments = vec!["--concurrency".to_owned(), concurrency.to_string()];
        })
        .await
    }

    /// The same with an operator that is started like this.
    pub async fn tuned(name: &str, further_namespaces: &[&str], tune: impl FnOnce(&mut OperatorOptions)) -> Self {
        let world = World::start(name).await;
        let mut options = world.operator_options().await;
        tune(&mut options);
        // Many troubles make a server slow. Whether a lease outlives that is no question here.
        options.arguments.push("--leader-election=false".to_owned());
        for namespace in further_namespaces {
            world.grant(namespace).await;
            options.namespaces.push((*namespace).to_owned());
        }
        let operator = Operator::start(&options).await;
        // One watch instead of a question every few milliseconds from each trouble.
        let (seen, writer) = reflector::store();
        let mut watching = JoinSet::new();
        let subscriptions: Api<CalendarSubscription> = Api::all(world.client.clone());
        let events = watcher(subscriptions, watcher::Config::default()).default_backoff().reflect(writer);
        watching.spawn(events.for_each(|_| std::future::ready(())));
        Self { world, operator, seen, _watching: watching }
    }

    /// Waits until a subscription is as wanted.
    async fn until(
        &self,
        key: &ObjectRef<CalendarSubscription>,
        what: &str,
        wanted: impl Fn(&CalendarSubscription) -> bool,
    ) -> CalendarSubscription {
        let name = &key.name;
        let text = format!("{name}: {what}");
        let found = eventually(&text, PATIENCE, || {
            let found = self.seen.get(key).filter(|subscription| wanted(subscription));
            std::future::ready(found)
        });
        match found.await {
            Ok(subscription) => subscription.as_ref().clone(),
            Err(error) => {
                let last = self.seen.get(key).map(|subscription| json!(subscription.status));
                panic!("{error}; the status was last {last:#?}");
            }
        }
    }

    /// How often the operator has looked at each subscription: every reconcile begins with that.
    fn looks(&self) -> BTreeMap<String, usize> {
        let audit = self.world.plane.audit().unwrap().service_account(self.world.ns(), "operator");
        let gets = audit.filter(|entry| {
            entry.verb == "get" && entry.resource == "calendarsubscriptions" && entry.subresource.is_empty()
        });
        gets.iter().fold(BTreeMap::new(), |mut looks, entry| {
            *looks.entry(entry.name.clone()).or_default() += 1;
            looks
        })
    }

    /// Wakes all these subscriptions as notifications would, several times, and waits for the reconciles.
    pub async fn wake(&self, trials: &[&Trial<'_>], times: usize) {
        for _ in 0..times {
            let before = self.looks();
            join_all(trials.iter().map(|trial| trial.mark())).await;
            let all = eventually("all are looked at", PATIENCE, || {
                let now = self.looks();
                let looked = |trial: &&Trial<'_>| now.get(&trial.name) > before.get(&trial.name);
                std::future::ready(trials.iter().all(looked).then_some(()))
            });
            all.await.unwrap();
        }
    }
}

/// What a person is told about a trouble.
#[derive(Clone, Debug)]
pub struct Told {
    /// One word.
    pub reason: &'static str,
    /// The whole line.
    pub message: String,
    /// The conditions that say so, beside `Ready`.
    pub on: &'static [&'static str],
    /// Only a person can mend it.
    pub stalled: bool,
}

impl Told {
    /// The line as a condition says it: without a channel, and only without that, also what happens meanwhile. `Ready` repeats
    /// the first cause, and what the account lacks comes before the channel.
    pub fn said_on(&self, kind: &str) -> String {
        let only_channel = self.on.contains(&"ChannelActive") && !self.on.contains(&"Synced");
        let about_channel = kind == "ChannelActive" || (kind == "Ready" && !self.on.contains(&"CredentialsValid"));
        let meanwhile = if only_channel && about_channel { "; reading every 5m meanwhile" } else { "" };
        format!("{}{meanwhile}", self.message)
    }
}

/// A subscription that meets with trouble.
pub struct Trial<'a> {
    bench: &'a Bench,
    pub name: String,
    /// Where the subscription and the account's Secret are.
    pub namespace: String,
    pub sim: Simulator,
    pub account: String,
}

impl<'a> Trial<'a> {
    /// A Cronofy that knows an application and an account, and both of them in Secrets. There is no subscription yet.
    pub async fn prepare(bench: &'a Bench, name: &str) -> Self {
        let sim = Simulator::start(Options::default()).await.unwrap();
        Self::with(bench, bench.world.ns(), name, sim).await
    }

    /// Another account that is known to the same Cronofy, to be used by way of the same application.
    pub async fn beside(&self, name: &str) -> Self {
        Self::with(self.bench, &self.namespace, name, self.sim.clone()).await
    }

    /// The same in any namespace, with a simulator that knows nobody yet. The application is where all of them are.
    pub async fn with(bench: &'a Bench, namespace: &str, name: &str, sim: Simulator) -> Self {
        let (account, token) = registered(&sim);
        let trial = Self { bench, name: name.to_owned(), namespace: namespace.to_owned(), sim, account };
        trial.put_token(&token).await;
        trial.put_credentials(CLIENT_SECRET).await;
        trial.put_application(json!({})).await;
        trial
    }

    fn api(&self) -> Api<CalendarSubscription> {
        Api::namespaced(self.bench.world.client.clone(), &self.namespace)
    }

    fn key(&self) -> ObjectRef<CalendarSubscription> {
        ObjectRef::new(&self.name).within(&self.namespace)
    }

    /// Name of the application's Secret.
    pub fn credentials(&self) -> String {
        format!("{}-app", self.name)
    }

    /// Puts a refresh token into the account's Secret.
    pub async fn put_token(&self, token: &str) {
        self.bench.world.secret_in(&self.namespace, &self.name, &[("refresh_token", token)]).await;
    }

    /// A new authorization by the owner, put into the Secret.
    pub async fn authorize(&self) {
        self.sim.grant(&self.account);
        self.put_token(&self.sim.issue_refresh_token(&self.account, CLIENT_ID)).await;
    }

    pub async fn put_credentials(&self, client_secret: &str) {
        let values = [("client_id", CLIENT_ID), ("client_secret", client_secret)];
        self.bench.world.secret(&self.credentials(), &values).await;
    }

    /// Puts any values at all into one of the Secrets, in place of those it has.
    pub async fn put_values(&self, secret: &str, values: &[(&str, &[u8])]) {
        let data: BTreeMap<_, _> = values.iter().map(|(key, value)| (*key, ByteString(value.to_vec()))).collect();
        let secret_object =
            json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": secret }, "data": data });
        let api: Api<Secret> = Api::namespaced(self.bench.world.client.clone(), self.bench.world.ns());
        let _absent = api.delete(secret, &kube::api::DeleteParams::default()).await;
        api.patch(secret, &PatchParams::apply("test").force(), &Patch::Apply(secret_object)).await.unwrap();
    }

    /// Applies the application; `more` is merged into the usual spec.
    pub async fn put_application(&self, more: Value) {
        let mut spec =
            json!({ "endpoint": self.sim.api_url(), "credentialsSecretRef": { "name": self.credentials() } });
        for (key, value) in more.as_object().cloned().unwrap_or_default() {
            spec[key] = value;
        }
        self.bench.world.apply_application_in(self.bench.world.ns(), &self.name, spec).await;
    }

    /// Creates or replaces the subscription; `more` is merged into the usual spec.
    pub async fn subscribe(&self, more: Value) {
        let mut spec =
            json!({ "applicationRef": { "name": self.name }, "account": { "secretRef": { "name": self.name } } });
        if self.namespace != self.bench.world.ns() {
            spec["applicationRef"]["namespace"] = json!(self.bench.world.ns());
        }
        for (key, value) in more.as_object().cloned().unwrap_or_default() {
            spec[key] = value;
        }
        self.bench.world.subscribe_in(&self.namespace, &self.name, spec).await;
    }

    /// A subscription with two events in its copy, and a Cronofy that shows one of them a page.
    pub async fn copied(&self) {
        self.copied_by_way_of(&self.name).await;
    }

    /// The same by way of this application.
    pub async fn copied_by_way_of(&self, application: &str) {
        self.sim.settings(|settings| settings.page_size = 1);
        for title in ["one", "two"] {
            self.sim.put_event(&self.account, event(title, 1).uid(format!("{title} of {}", self.name))).unwrap();
        }
        self.subscribe(json!({ "applicationRef": { "name": application } })).await;
        self.ready().await;
        self.sim.settle().await;
        self.sim.clear_journal();
    }

    /// Asks for a look, as a person would who has mended something.
    pub async fn request(&self) {
        let annotation = json!({ REQUESTED_AT: Timestamp::now().to_string() });
        let patch = Patch::Merge(json!({ "metadata": { "annotations": annotation } }));
        self.api().patch(&self.name, &PatchParams::default(), &patch).await.unwrap();
    }

    /// Marks the subscription as the webhook would.
    pub async fn mark(&self) {
        let api = self.api();
        let status = api.get(&self.name).await.unwrap().status.unwrap_or_default();
        let sequence = status.notification.map_or(0, |notification| notification.sequence) + 1;
        let now = Timestamp::from_second(Timestamp::now().as_second()).unwrap();
        let mark = json!({ "sequence": sequence, "receivedTime": now, "changesSince": now, "types": ["change"] });
        let patch = Patch::Merge(json!({ "status": { "notification": mark } }));
        api.patch_status(&self.name, &PatchParams::default(), &patch).await.unwrap();
    }

    pub async fn until(&self, what: &str, wanted: impl Fn(&CalendarSubscription) -> bool) -> CalendarSubscription {
        self.bench.until(&self.key(), what, wanted).await
    }

    /// Whether all is well at the moment.
    pub async fn is_ready(&self) -> bool {
        condition(&self.api().get(&self.name).await.unwrap(), "Ready").0 == "True"
    }

    /// Waits until all is well.
    pub async fn ready(&self) -> CalendarSubscription {
        let is_well = |found: &CalendarSubscription| {
            condition(found, "Ready").0 == "True"
                && found.status.as_ref().is_some_and(|status| status.failure.is_none())
        };
        self.until("is Ready, and no failure stays behind", is_well).await
    }

    /// Waits until the trouble is told, and checks that it is told everywhere in the same words: one line on each of its
    /// conditions, whether it waits for a person, when the next try is, and one Event.
    pub async fn explained(&self, told: &Told) -> CalendarSubscription {
        let name = &self.name;
        let Told { reason, message, on, stalled } = told;
        let (waits, tries) = if *stalled { ("Stalled", "Reconciling") } else { ("Reconciling", "Stalled") };
        let tells = |subscription: &CalendarSubscription| {
            condition(subscription, "Ready").1 == *reason && condition(subscription, waits).0 == "True"
        };
        let found = self.until(&format!("says {reason}"), tells).await;
        let said = |status: &str, message: String| (status.to_owned(), (*reason).to_owned(), message);
        for kind in on.iter().chain(&["Ready"]) {
            assert_eq!(condition(&found, kind), said("False", told.said_on(kind)), "{name}: {kind}");
        }
        assert_eq!(condition(&found, waits), said("True", message.clone()), "{name}: {waits}");
        assert_eq!(condition(&found, tries).0, "False", "{name}: {tries}");
        assert!(!message.contains('\n') && message.len() < 400, "{name}: one line, not {message:?}");
        let failure = found.status.as_ref().unwrap().failure.as_ref();
        let failure = failure.unwrap_or_else(|| panic!("{name} has no status.failure"));
        assert_eq!(failure.reason, *reason, "{name}");
        assert_eq!(failure.next_retry_time.is_none(), *stalled, "{name}: {failure:?}");
        self.told_once(told).await;
        found
    }

    /// There is exactly one Event about it.
    pub async fn told_once(&self, told: &Told) {
        let name = &self.name;
        let api: Api<Event> = Api::namespaced(self.bench.world.client.clone(), &self.namespace);
        let kind = "CalendarSubscription";
        let about = format!("regarding.kind={kind},regarding.name={name},reason={}", told.reason);
        let listed = async || api.list(&ListParams::default().fields(&about)).await.unwrap().items;
        let text = format!("{name}: an Event {}", told.reason);
        let events = eventually(&text, PATIENCE, || async { Some(listed().await).filter(|events| !events.is_empty()) });
        let events = events.await.unwrap();
        let notes: Vec<_> = events.iter().map(|event| event.note.as_deref().unwrap_or_default()).collect();
        assert_eq!(notes, [told.said_on("Ready").as_str()], "{name}");
        assert!(events[0].series.is_none(), "{name}: told again and again: {:?}", events[0].series);
        assert_eq!(events[0].type_.as_deref(), Some("Warning"), "{name}");
    }

    /// How many Events there are that warn of anything.
    pub async fn warnings(&self) -> usize {
        let api: Api<Event> = Api::namespaced(self.bench.world.client.clone(), &self.namespace);
        let about = ListParams::default().fields(&format!("regarding.name={}", self.name));
        let events = api.list(&about).await.unwrap().items;
        events.iter().filter(|event| event.type_.as_deref() == Some("Warning")).count()
    }

    /// Waits for this many failures in a row. Gives how many there were, and what was asked of Cronofy until then: looked at
    /// before the next try is due, so that none is under way.
    pub async fn failed(&self, times: i32) -> (usize, Requests) {
        let (name, seen) = (&self.name, &self.bench.seen);
        let key = self.key();
        let text = format!("{name}: has failed {times} times");
        let found = eventually(&text, PATIENCE, || {
            let failure = seen.get(&key).and_then(|subscription| subscription.status.as_ref()?.failure.clone());
            let failure = failure.filter(|failure| failure.count >= times);
            let found = failure.and_then(|failure| {
                let requests = self.requests();
                let next = failure.next_retry_time?.0;
                (Timestamp::now() < next).then_some((usize::try_from(failure.count).unwrap(), requests))
            });
            std::future::ready(found)
        });
        found.await.unwrap_or_else(|error| panic!("{error}; {:#?}", seen.get(&key).map(|found| json!(found.status))))
    }

    /// What was asked of Cronofy so far.
    pub fn requests(&self) -> Requests {
        self.sim.requests().iter().fold(Requests::new(), |mut requests, request| {
            *requests.entry(request.endpoint).or_default() += 1;
            requests
        })
    }

    /// Version of the output: changes with every write to it.
    pub async fn output_version(&self) -> Option<String> {
        let output = self.bench.world.output(&format!("{}-events", self.name)).await;
        output.and_then(|output| output.metadata.resource_version)
    }

    /// Waits until the copy has these titles.
    pub async fn titles(&self, titles: &[&str]) {
        self.bench.world.titles(&self.name, titles).await;
    }

    /// Waits until the application says this of itself.
    pub async fn application_says(&self, status: &str, reason: &str, message: &str) {
        self.bench.world.application_says(&self.name, status, reason, message).await;
    }
}

/// Makes an application and an account known; gives the account and its refresh token. The same in every fresh simulator.
pub fn registered(sim: &Simulator) -> (String, String) {
    sim.add_application(CLIENT_ID, &[CLIENT_SECRET]);
    let account = sim.add_account(AccountDraft::default());
    let token = sim.issue_refresh_token(&account, CLIENT_ID);
    (account, token)
}

/// These requests, this often.
pub fn times(count: usize, endpoints: &[Endpoint]) -> Requests {
    endpoints.iter().fold(Requests::new(), |mut requests, endpoint| {
        *requests.entry(*endpoint).or_default() += count;
        requests
    })
}

/// Both together.
pub fn sum(one: Requests, other: Requests) -> Requests {
    other.into_iter().fold(one, |mut requests, (endpoint, count)| {
        *requests.entry(endpoint).or_default() += count;
        requests
    })
}
