//! Tenants: whatever else one operator serves, a subscription has its own account, application, channel and output, and an
//! application serves only the namespaces that it allows.

use crate::support::hook::{self, post};
use crate::support::world::{CLIENT_ID, CLIENT_SECRET};
use crate::support::{Operator, PATIENCE, World, condition, event, pending};
use cronofy_operator::api::CalendarSubscription;
use cronofy_sim::{AccountDraft, Channel, sign};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};
use testenv::{TestNamespace, eventually};

const OTHER_ID: &str = "client-2";
const OTHER_SECRET: &str = "secret-of-client-2";

/// A subscription among others.
struct Tenant {
    namespace: String,
    name: &'static str,
    account: String,
    client_secret: &'static str,
}

/// Two namespaces, two applications, two accounts, three subscriptions, one operator.
struct Neighbours {
    world: World,
    /// The account of the second and the third.
    other: String,
    /// Its calendar that alone the third copies.
    shared: String,
    tenants: [Tenant; 3],
    _operator: Operator,
}

impl Neighbours {
    async fn start() -> Self {
        let world = World::start("tenants").await;
        let elsewhere = world.plane.namespace("elsewhere").await.unwrap();
        world.grant(elsewhere.name()).await;
        world.sim.add_application(OTHER_ID, &[OTHER_SECRET]);
        let draft = AccountDraft { email: "other@example.org".to_owned(), ..AccountDraft::default() };
        let other = world.sim.add_account(draft);
        let shared = world.sim.add_calendar(&other, "Shared");
        for (namespace, application, account) in
            [(world.ns(), "other-app", "other-account"), (elsewhere.name(), "app", "account")]
        {
            let credentials = [("client_id", OTHER_ID), ("client_secret", OTHER_SECRET)];
            world.secret_in(namespace, application, &credentials).await;
            let token = world.sim.issue_refresh_token(&other, OTHER_ID);
            world.secret_in(namespace, account, &[("refresh_token", &token)]).await;
            let spec = json!({ "endpoint": world.sim.api_url(), "credentialsSecretRef": { "name": application } });
            world.apply_application_in(namespace, application, spec).await;
        }
        let mut options = world.operator_options().await;
        options.namespaces.push(elsewhere.name().to_owned());
        let operator = Operator::start(&options).await;

        let tenant = |namespace: &str, name, account: &str, client_secret| Tenant {
            namespace: namespace.to_owned(),
            name,
            account: account.to_owned(),
            client_secret,
        };
        let tenants = [
            tenant(world.ns(), "first", &world.account, CLIENT_SECRET),
            tenant(world.ns(), "second", &other, OTHER_SECRET),
            tenant(elsewhere.name(), "third", &other, OTHER_SECRET),
        ];
        let specs = [
            json!({}),
            json!({
                "applicationRef": { "name": "other-app" },
                "account": { "secretRef": { "name": "other-account" } },
            }),
            json!({ "calendarIds": [shared] }),
        ];
        for (tenant, spec) in tenants.iter().zip(specs) {
            world.subscribe_in(&tenant.namespace, tenant.name, spec).await;
        }
        for tenant in &tenants {
            ready(&world, &tenant.namespace, tenant.name).await;
        }
        world.sim.settle().await;
        Self { world, other, shared, tenants, _operator: operator }
    }

    async fn titles(&self, of_each: [&[&str]; 3]) {
        for (tenant, titles) in self.tenants.iter().zip(of_each) {
            self.world.titles_in(&tenant.namespace, &format!("{}-events", tenant.name), titles).await;
        }
    }

    async fn channels(&self) -> Vec<Channel> {
        let mut channels = Vec::new();
        for Tenant { namespace, name, account, .. } in &self.tenants {
            channels.push(self.world.channel(namespace, name, account).await);
        }
        channels
    }

    async fn object(&self, tenant: &Tenant) -> CalendarSubscription {
        Api::namespaced(self.world.client.clone(), &tenant.namespace).get(tenant.name).await.unwrap()
    }
}

async fn ready(world: &World, namespace: &str, name: &str) -> CalendarSubscription {
    world.until_in(namespace, name, "is Ready", |subscription| condition(subscription, "Ready").0 == "True").await
}

#[tokio::test]
async fn of_many_subscriptions_each_has_its_own_events_and_is_told_of_its_own_changes_only() {
    let neighbours = Neighbours::start().await;
    let Neighbours { world, other, shared, tenants, .. } = &neighbours;
    world.sim.put_event(&world.account, event("mine", 1)).unwrap();
    world.sim.put_event(other, event("theirs", 1)).unwrap();
    world.sim.put_event(shared, event("shared", 1)).unwrap();
    neighbours.titles([&["mine"], &["theirs", "shared"], &["shared"]]).await;
    world.sim.settle().await;

    let channels: Vec<_> = neighbours.channels().await.into_iter().map(|channel| channel.id).collect();
    let changes: [(&str, &str, &[usize]); 3] =
        [(&world.account, "more of mine", &[0]), (other, "more of theirs", &[1]), (shared, "more shared", &[1, 2])];
    for (calendar, title, told) in changes {
        world.sim.clear_journal();
        world.sim.put_event(calendar, event(title, 2)).unwrap();
        world.sim.settle().await;
        let deliveries = world.sim.deliveries();
        let mut reached: Vec<_> = deliveries.iter().map(|delivery| delivery.channel.clone()).collect();
        let mut wanted: Vec<_> = told.iter().map(|index| channels[*index].clone()).collect();
        reached.sort();
        wanted.sort();
        assert_eq!(reached, wanted, "{title}");
        assert!(deliveries.iter().all(|delivery| delivery.status == Some(204)), "{title}");
    }
    neighbours
        .titles([
            &["mine", "more of mine"],
            &["theirs", "shared", "more of theirs", "more shared"],
            &["shared", "more shared"],
        ])
        .await;

    // Each account's calls are made with its own application's credentials, and no output has a word of another account.
    for request in world.sim.requests().into_iter().filter(|request| request.account.is_some()) {
        let wanted = if request.account.as_ref() == Some(&world.account) { CLIENT_ID } else { OTHER_ID };
        assert_eq!(request.client_id.as_deref(), Some(wanted), "{request:?}");
    }
    for (tenant, foreign) in tenants.iter().zip([["their", "shared"], ["mine", "mine"], ["their", "mine"]]) {
        let maps: Api<ConfigMap> = Api::namespaced(world.client.clone(), &tenant.namespace);
        let text = json!(maps.get(&format!("{}-events", tenant.name)).await.unwrap()).to_string();
        assert!(foreign.iter().all(|word| !text.contains(word)), "{}: {text}", tenant.name);
    }
}

#[tokio::test]
async fn what_was_signed_for_one_subscription_is_refused_at_the_path_of_every_other() {
    let neighbours = Neighbours::start().await;
    let Neighbours { world, tenants, .. } = &neighbours;
    for calendar in [&world.account, &neighbours.shared] {
        world.sim.put_event(calendar, event("captured", 1).uid(calendar.as_str())).unwrap();
    }
    neighbours.titles([&["captured"], &["captured"], &["captured"]]).await;
    world.sim.settle().await;
    let channels = neighbours.channels().await;
    let deliveries = world.sim.deliveries();
    let captured = channels.iter().map(|channel| {
        let of_channel =
            |delivery: &&cronofy_sim::Delivery| delivery.channel == channel.id && delivery.kind == "change";
        deliveries.iter().find(of_channel).expect("a notification was delivered").body.clone()
    });
    let captured: Vec<String> = captured.collect();
    for tenant in tenants {
        let at_rest = |subscription: &CalendarSubscription| {
            !pending(subscription) && condition(subscription, "Ready").0 == "True"
        };
        world.until_in(&tenant.namespace, tenant.name, "has acted on it", at_rest).await;
    }

    let client = hook::client();
    let requests = world.sim.requests().len();
    for (sender, body) in tenants.iter().zip(&captured) {
        let signature = sign(sender.client_secret, body.as_bytes());
        for (receiver, channel) in tenants.iter().zip(&channels).filter(|(receiver, _)| receiver.name != sender.name) {
            let before = neighbours.object(receiver).await.resource_version();
            // With the same application the signature is right, but the channel is not.
            let same = sender.client_secret == receiver.client_secret;
            let answer = post(&client, &channel.callback_url, Some(&signature), body.as_str()).await;
            assert_eq!(answer.bare(), if same { 404 } else { 401 }, "{} at {}", sender.name, receiver.name);
            assert_eq!(
                neighbours.object(receiver).await.resource_version(),
                before,
                "{} is not touched",
                receiver.name
            );
        }
    }
    assert_eq!(world.sim.requests().len(), requests, "nobody reads for it");

    // At home the same body is taken.
    for ((tenant, channel), body) in tenants.iter().zip(&channels).zip(&captured) {
        let signature = sign(tenant.client_secret, body.as_bytes());
        assert_eq!(post(&client, &channel.callback_url, Some(&signature), body.as_str()).await.bare(), 204);
    }
}

/// An application in the world's namespace that a subscription elsewhere refers to.
struct Abroad {
    world: World,
    elsewhere: TestNamespace,
    _operator: Operator,
}

impl Abroad {
    async fn start() -> Self {
        let world = World::start("home").await;
        let elsewhere = world.plane.namespace("abroad").await.unwrap();
        world.grant(elsewhere.name()).await;
        let token = world.sim.issue_refresh_token(&world.account, CLIENT_ID);
        world.secret_in(elsewhere.name(), "account", &[("refresh_token", &token)]).await;
        let mut options = world.operator_options().await;
        options.namespaces.push(elsewhere.name().to_owned());
        let operator = Operator::start(&options).await;
        let abroad = Self { world, elsewhere, _operator: operator };
        abroad.subscribe("app").await;
        abroad
    }

    async fn subscribe(&self, application: &str) {
        let reference = json!({ "name": application, "namespace": self.world.ns() });
        self.world.subscribe_in(self.elsewhere.name(), application, json!({ "applicationRef": reference })).await;
    }

    /// Lets these namespaces use the application.
    async fn allow(&self, allowed: Value) {
        let spec = json!({
            "endpoint": self.world.sim.api_url(),
            "credentialsSecretRef": { "name": "app" },
            "allowedNamespaces": allowed,
        });
        self.world.apply_application_in(self.world.ns(), "app", spec).await;
    }

    async fn label(&self, value: &str) {
        let api: Api<Namespace> = Api::all(self.world.client.clone());
        let patch = json!({ "metadata": { "labels": { "calendars": value } } });
        api.patch(self.elsewhere.name(), &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    /// Waits until the subscription is not served any more; gives all that its conditions say.
    async fn not_allowed(&self, name: &str) -> Vec<String> {
        let refused = |subscription: &CalendarSubscription| condition(subscription, "Ready").1 == "NamespaceNotAllowed";
        let object = self.world.until_in(self.elsewhere.name(), name, "is not allowed", refused).await;
        let says = |condition: Condition| {
            let Condition { type_, status, reason, message, .. } = condition;
            format!("{type_} {status} {reason}: {message}")
        };
        object.status.unwrap().conditions.into_iter().map(says).collect()
    }

    async fn allowed(&self) {
        ready(&self.world, self.elsewhere.name(), "app").await;
    }

    async fn titles(&self, titles: &[&str]) {
        self.world.titles_in(self.elsewhere.name(), "app-events", titles).await;
    }
}

#[tokio::test]
async fn an_application_serves_other_namespaces_only_while_it_allows_them() {
    let abroad = Abroad::start().await;
    let world = &abroad.world;
    abroad.not_allowed("app").await;
    assert!(world.sim.requests().is_empty(), "nothing is asked of Cronofy, not even a token");

    abroad.allow(json!({ "from": "All" })).await;
    abroad.allowed().await;
    world.sim.put_event(&world.account, event("all", 1)).unwrap();
    abroad.titles(&["all"]).await;

    let selector = json!({ "matchLabels": { "calendars": "yes" } });
    abroad.allow(json!({ "from": "Selector", "selector": selector })).await;
    abroad.not_allowed("app").await;
    abroad.label("yes").await;
    // Nobody watches namespaces: a person may ask for a look now.
    annotate(&abroad, "labelled").await;
    abroad.allowed().await;
    world.sim.put_event(&world.account, event("selected", 2)).unwrap();
    abroad.titles(&["all", "selected"]).await;
    world.sim.settle().await;

    // Withdrawn by the label: what a notification would have made it read is not read.
    abroad.label("no").await;
    let before = world.sim.requests().len();
    world.sim.put_event(&world.account, event("unlabelled", 3)).unwrap();
    abroad.not_allowed("app").await;
    assert_eq!(world.sim.requests().len(), before, "no read, no token");

    // Withdrawn in the application: its notifications are not even taken.
    abroad.label("yes").await;
    annotate(&abroad, "labelled again").await;
    abroad.allowed().await;
    abroad.titles(&["all", "selected", "unlabelled"]).await;
    world.sim.settle().await;
    abroad.allow(json!({ "from": "Same" })).await;
    abroad.not_allowed("app").await;
    world.sim.clear_journal();
    world.sim.put_event(&world.account, event("withdrawn", 4)).unwrap();
    let told = || async { world.sim.deliveries().first().and_then(|delivery| delivery.status) };
    let status = eventually("the notification is delivered", PATIENCE, told).await.unwrap();
    assert_eq!(status, 404);
    assert!(world.sim.requests().is_empty(), "no read, no token");
    abroad.titles(&["all", "selected", "unlabelled"]).await;
}

async fn annotate(abroad: &Abroad, value: &str) {
    let api: Api<CalendarSubscription> = Api::namespaced(abroad.world.client.clone(), abroad.elsewhere.name());
    let patch = json!({ "metadata": { "annotations": { "cronofy-operator.dev/requestedAt": value } } });
    api.patch("app", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
}

#[tokio::test]
async fn a_refusal_tells_nothing_of_the_other_namespace() {
    let abroad = Abroad::start().await;
    let world = &abroad.world;
    // Broken in every way that a tenant next door must not learn of.
    world.apply_application("broken", "missing").await;
    let absent = abroad.not_allowed("app").await;
    for name in ["broken", "never-made"] {
        abroad.subscribe(name).await;
        let says: Vec<String> = abroad.not_allowed(name).await;
        let same = |text: &String| text.replace(&format!("CronofyApplication {name} "), "CronofyApplication app ");
        assert_eq!(
            says.iter().map(same).collect::<Vec<_>>(),
            absent,
            "whether it is there is not told, nor what it lacks"
        );
    }
    assert!(world.sim.requests().is_empty());
}
