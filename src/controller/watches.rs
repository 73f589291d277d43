//! What wakes a reconcile. Each watch has its own backoff, and its errors end here: the controller polls all its triggers
//! behind one shared backoff, so that an error which reached it would delay every other trigger.

use std::collections::BTreeSet;
use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use futures::{Stream, StreamExt as _};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::PartialObjectMeta;
use kube::core::DeserializeGuard;
use kube::runtime::reflector::{self, Store};
use kube::runtime::{Predicate as _, PredicateConfig, WatchStreamExt as _, predicates, watcher};
use kube::{Api, Client, ResourceExt as _};
use serde::de::DeserializeOwned;

use super::context::Context;
use crate::api::{ABANDON_CHANNEL, ABANDON_STORE, CalendarSubscription, CronofyApplication, REQUESTED_AT};
use crate::metrics::{Metrics, Watch};
use crate::store::OUTPUTS;

/// A subscription that may not decode: one bad object must not stop the list.
pub type GuardedSubscription = DeserializeGuard<CalendarSubscription>;
/// An application that may not decode.
pub type GuardedApplication = DeserializeGuard<CronofyApplication>;

/// Where to look: one namespace, or all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All namespaces.
    Cluster,
    /// This one.
    Namespace(String),
}

impl Scope {
    /// Each of these namespaces once, or all if there are none.
    #[must_use]
    pub fn of(namespaces: &[String]) -> Vec<Scope> {
        if namespaces.is_empty() {
            return vec![Scope::Cluster];
        }
        let each: BTreeSet<&String> = namespaces.iter().collect();
        each.into_iter().cloned().map(Scope::Namespace).collect()
    }

    /// The objects of one kind within the scope.
    pub fn api<K>(&self, client: &Client) -> Api<K>
    where
        K: kube::Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>,
    {
        match self {
            Scope::Cluster => Api::all(client.clone()),
            Scope::Namespace(namespace) => Api::namespaced(client.clone(), namespace),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scope::Cluster => f.write_str("in all namespaces"),
            Scope::Namespace(namespace) => write!(f, "in the namespace {namespace}"),
        }
    }
}

/// How to list: streaming where the server has it. One without refuses such a list for ever, and from 1.34 on it is there.
#[must_use]
pub fn listing(server: &k8s_openapi::apimachinery::pkg::version::Info) -> watcher::Config {
    let minor = server.minor.trim_end_matches(|c: char| !c.is_ascii_digit()); // some providers append a plus sign
    if server.major == "1" && minor.parse().is_ok_and(|minor: u32| minor >= 34) {
        watcher::Config::default().streaming_lists()
    } else {
        watcher::Config::default().page_size(50)
    }
}

/// What must wake a reconcile although it changes neither generation nor finalizers: a mark, a person's annotation. The
/// sequence alone stands for the mark: it grows with every mark and stays when the mark is cleared.
#[expect(clippy::unnecessary_wraps, reason = "a predicate's form")]
fn asked(object: &GuardedSubscription) -> Option<u64> {
    let status = object.0.as_ref().ok().and_then(|subscription| subscription.status.as_ref());
    let sequence = status.and_then(|status| status.notification.as_ref()).map(|notification| notification.sequence);
    let annotations = object.annotations();
    let mut hasher = DefaultHasher::new(); // compared within this process only
    let asking = [REQUESTED_AT, ABANDON_CHANNEL, ABANDON_STORE].map(|key| annotations.get(key));
    (sequence, asking).hash(&mut hasher);
    Some(hasher.finish())
}

/// Passes the objects of a watch on; notes its errors and drops them.
fn contain_errors<K: Send + 'static>(
    watch: Watch,
    metrics: Metrics,
    stream: impl Stream<Item = Result<K, watcher::Error>> + Send + 'static,
) -> impl Stream<Item = Result<K, watcher::Error>> + Send + 'static {
    stream.filter_map(move |item| {
        let passed = match item {
            Ok(object) => Some(Ok(object)),
            Err(error) => {
                metrics.watch_error(watch);
                tracing::warn!(watch = watch.as_str(), error = %error, "watch failed, it is tried again");
                None
            }
        };
        std::future::ready(passed)
    })
}

/// Keeps a store of one kind and hands out its changes.
fn reflected<K>(
    watch: Watch,
    metrics: &Metrics,
    api: Api<DeserializeGuard<K>>,
    listing: watcher::Config,
    mut seen: impl FnMut(&watcher::Event<DeserializeGuard<K>>) + Send + 'static,
) -> (Store<DeserializeGuard<K>>, impl Stream<Item = Result<DeserializeGuard<K>, watcher::Error>> + Send + 'static)
where
    K: kube::Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned + Send + Sync + 'static,
{
    let (store, writer) = reflector::store();
    let noted = metrics.clone();
    let stream = watcher(api, listing)
        .default_backoff()
        .modify(|object| object.managed_fields_mut().clear()) // half of the metadata, and of no use here
        .reflect(writer)
        .inspect(move |event| {
            if let Ok(event) = event {
                noted.watch_event(watch, Timestamp::now());
                seen(event);
            }
        })
        .touched_objects();
    (store, stream)
}

/// The subscriptions in a scope: a store of them, and those that a reconcile is due for. `seen` is shown every event.
pub fn subscriptions(
    client: &Client,
    scope: &Scope,
    listing: watcher::Config,
    metrics: &Metrics,
    seen: impl FnMut(&watcher::Event<GuardedSubscription>) + Send + 'static,
) -> (Store<GuardedSubscription>, impl Stream<Item = Result<GuardedSubscription, watcher::Error>> + Send + 'static) {
    let watch = Watch::Subscriptions;
    let (store, stream) = reflected(watch, metrics, scope.api(client), listing, seen);
    let due = predicates::generation.combine(predicates::finalizers).combine(asked);
    (store, contain_errors(watch, metrics.clone(), stream.predicate_filter(due, PredicateConfig::default())))
}

/// The applications in a scope: a store of them, and those whose spec changed. `seen` is shown every event, deletions too.
pub fn applications(
    client: &Client,
    scope: &Scope,
    listing: watcher::Config,
    metrics: &Metrics,
    seen: impl FnMut(&watcher::Event<GuardedApplication>) + Send + 'static,
) -> (Store<GuardedApplication>, impl Stream<Item = Result<GuardedApplication, watcher::Error>> + Send + 'static) {
    let watch = Watch::Applications;
    let (store, stream) = reflected(watch, metrics, scope.api(client), listing, seen);
    let changed = stream.predicate_filter(predicates::generation, PredicateConfig::default());
    (store, contain_errors(watch, metrics.clone(), changed))
}

/// An output, metadata only.
pub type Output = PartialObjectMeta<ConfigMap>;

/// The outputs in a scope, slices included: somebody who edits or deletes one wakes its subscription. Our own writes do not.
pub fn outputs(
    context: &Arc<Context>,
    scope: &Scope,
    listing: watcher::Config,
) -> impl Stream<Item = Result<Output, watcher::Error>> + Send + 'static {
    let watch = Watch::ConfigMaps;
    let api: Api<Output> = scope.api(&context.client);
    let (noted, known, context) = (context.metrics.clone(), context.outputs.clone(), context.clone());
    let stream = watcher(api, listing.labels(OUTPUTS))
        .default_backoff()
        .inspect(move |event| {
            if let Ok(event) = event {
                noted.watch_event(watch, Timestamp::now());
                if let watcher::Event::InitDone = event {
                    known.missed_some();
                }
            }
        })
        .touched_objects()
        .predicate_filter(predicates::resource_version, PredicateConfig::default());
    let metrics = context.metrics.clone();
    let others = stream.filter(move |output| {
        let own = output.as_ref().is_ok_and(|output| context.outputs.is_own(&output.metadata));
        std::future::ready(!own)
    });
    contain_errors(watch, metrics, others)
}

#[cfg(test)]
mod tests;
