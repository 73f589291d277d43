//! What reconciles share. Everything durable lives in the cluster: losing this costs requests, never correctness.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use calendar_sync::Memory;
use cronofy::url::Url;
use jiff::Timestamp;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Client, ResourceExt as _};
use tokio::sync::{broadcast, watch};
use tokio::time::Instant;

use super::accounts::Accounts;
use super::backoff::Backoff;
use super::budget::Limits;
use super::budgets::Budgets;
use super::events::Events;
use super::looks::Looks;
use super::subscription::Dereferenced;
use super::turns::Turns;
use super::watches::{GuardedApplication, GuardedSubscription};
use crate::api::{CalendarSubscription, CronofyApplication};
use crate::metrics::Metrics;
use crate::store::{RemoteSettings, Remotes, StoreMemory};
use crate::webhook::routes::Routes;

/// Which application.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ApplicationKey {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl From<&CronofyApplication> for ApplicationKey {
    fn from(application: &CronofyApplication) -> Self {
        Self { namespace: application.namespace().unwrap_or_default(), name: application.name_any() }
    }
}

impl ApplicationKey {
    /// The application that a subscription refers to.
    #[must_use]
    pub fn of(subscription: &CalendarSubscription) -> Self {
        let reference = &subscription.spec.application_ref;
        Self {
            namespace: reference.namespace.clone().or_else(|| subscription.namespace()).unwrap_or_default(),
            name: reference.name.clone(),
        }
    }
}

/// Settings from the command line that reconciles need.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Base of callback URLs, without a slash at its end.
    pub callback_base: Option<String>,
    /// Whether applications may name an endpoint of their own.
    pub allow_custom_endpoints: bool,
    /// The calendar stores that may be called.
    pub stores: RemoteSettings,
    /// Subscriptions reconciled at the same time.
    pub concurrency: u16,
}

/// What is remembered of a subscription between its reconciles.
#[derive(Clone, Debug, Default)]
pub struct Remembered {
    /// The engine's part.
    pub memory: Memory,
    /// What it referred to last: in a namespace that goes, the application may be gone first, and a token be still at hand.
    pub found: Option<Dereferenced>,
    /// Version of the Secrets that its credentials came from.
    pub credentials: Option<String>,
    /// Fingerprint of what people asked for when it was looked at last: spec, annotation, application.
    pub asked: Option<String>,
    /// Looks at something that only a person can mend.
    pub looks: Looks,
    /// When the store is to be tidied up.
    pub tidy: Option<Timestamp>,
    /// When other calendar stores are to be emptied, if there are any.
    pub others: Option<Timestamp>,
}

/// The caches of all scopes.
struct Stores {
    applications: Vec<Store<GuardedApplication>>,
    subscriptions: Vec<Store<GuardedSubscription>>,
}

/// What reconciles share.
pub struct Context {
    /// Access to Kubernetes.
    pub client: Client,
    /// Settings from the command line.
    pub options: Settings,
    /// Metrics.
    pub metrics: Metrics,
    /// Where this replica's webhook leads.
    pub routes: Routes,
    /// Whether this replica leads; all others only serve the webhook.
    pub leading: watch::Receiver<bool>,
    /// Access tokens.
    pub accounts: Accounts,
    /// Whose subscription is worked on next.
    pub turns: Arc<Turns>,
    /// Request budgets.
    pub budgets: Budgets,
    /// Events for `kubectl describe`.
    pub events: Events,
    /// Waits after failed reconciles.
    pub backoff: Backoff,
    /// What is known of the outputs; the watch on them tells it what was touched.
    pub outputs: StoreMemory,
    /// The calendar stores.
    pub remotes: Remotes,
    stores: OnceLock<Stores>,
    changed_applications: broadcast::Sender<ApplicationKey>,
    remembered: Mutex<HashMap<String, Remembered>>,
    clients: Mutex<HashMap<Url, cronofy::Client>>,
}

impl Context {
    /// A context; the stores are given later, since their watches need the context.
    #[must_use]
    pub fn new(
        client: Client,
        options: Settings,
        metrics: Metrics,
        routes: Routes,
        leading: watch::Receiver<bool>,
        events: Events,
    ) -> Arc<Self> {
        Arc::new(Self {
            accounts: Accounts::new(client.clone(), metrics.clone()),
            turns: Turns::new(options.concurrency),
            budgets: Budgets::default(),
            backoff: Backoff::default(),
            outputs: StoreMemory::default(),
            remotes: Remotes::new(options.stores.clone()),
            client,
            options,
            metrics,
            routes,
            leading,
            events,
            stores: OnceLock::new(),
            // A receiver that lags behind reconciles all its subscriptions instead.
            changed_applications: broadcast::channel(256).0,
            remembered: Mutex::default(),
            clients: Mutex::default(),
        })
    }

    /// Gives the stores of all scopes. Only the first call counts.
    pub fn set_stores(
        &self,
        applications: Vec<Store<GuardedApplication>>,
        subscriptions: Vec<Store<GuardedSubscription>>,
    ) {
        let _already = self.stores.set(Stores { applications, subscriptions });
    }

    /// The stores of subscriptions.
    pub fn subscriptions(&self) -> impl Iterator<Item = &Store<GuardedSubscription>> {
        self.stores.get().into_iter().flat_map(|stores| &stores.subscriptions)
    }

    /// The requests that all applications together may make in a second and in a minute.
    #[must_use]
    pub fn request_limits(&self) -> (u32, u32) {
        let applications = self.stores.get().into_iter().flat_map(|stores| &stores.applications);
        let limits = applications.flat_map(Store::state).filter_map(|object| {
            let application = object.0.as_ref().ok()?;
            Some((ApplicationKey::from(application), Limits::of(application)))
        });
        self.budgets.limits(limits)
    }

    /// An application, from the cache.
    #[must_use]
    pub fn application(&self, key: &ApplicationKey) -> Option<Arc<CronofyApplication>> {
        let reference = ObjectRef::new(&key.name).within(&key.namespace);
        let mut stores = self.stores.get().into_iter().flat_map(|stores| &stores.applications);
        let found = stores.find_map(|store| store.get(&reference))?;
        found.0.as_ref().ok().cloned().map(Arc::new)
    }

    /// Tells the subscriptions of an application to look again.
    pub fn application_changed(&self, key: ApplicationKey) {
        let _nobody_listens = self.changed_applications.send(key);
    }

    /// The applications whose subscriptions are to look again.
    #[must_use]
    pub fn changed_applications(&self) -> broadcast::Receiver<ApplicationKey> {
        self.changed_applications.subscribe()
    }

    /// What is remembered of a subscription.
    #[must_use]
    pub fn remembered(&self, uid: &str) -> Remembered {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner).get(uid).cloned().unwrap_or_default()
    }

    /// When this replica last read all changes of a subscription.
    #[must_use]
    pub fn last_look(&self, uid: &str) -> Option<Timestamp> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner).get(uid)?.memory.last_look
    }

    /// Remembers something of a subscription.
    pub fn remember(&self, uid: &str, change: impl FnOnce(&mut Remembered)) {
        let mut all = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        change(all.entry(uid.to_owned()).or_default());
    }

    /// The wait before the next look at something that only a person can mend.
    #[must_use]
    pub fn next_look(&self, uid: &str) -> Duration {
        let mut wait = Duration::ZERO;
        self.remember(uid, |remembered| wait = remembered.looks.wait(Instant::now()));
        wait
    }

    /// Forgets a subscription that is gone.
    pub fn forget(&self, uid: &str) {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
        self.backoff.forget(uid);
        self.outputs.forget(uid);
    }

    /// The client of an API; one for all that use it, since it holds the connections.
    ///
    /// # Errors
    /// If the address cannot be that of an API.
    pub fn cronofy(&self, api: &Url) -> Result<cronofy::Client, cronofy::Error> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        match clients.entry(api.clone()) {
            Entry::Occupied(known) => Ok(known.get().clone()),
            Entry::Vacant(place) => {
                let mut options = cronofy::Options::new(api.clone());
                concat!("cronofy-operator/", env!("CARGO_PKG_VERSION")).clone_into(&mut options.user_agent);
                Ok(place.insert(cronofy::Client::new(options)?).clone())
            }
        }
    }
}
