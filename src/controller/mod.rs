//! Drives the engine against Cronofy and Kubernetes.
//!
//! Every replica runs [`run`], so that each has the caches its webhook looks up in; only the lease holder's reconciles act.
//! Data pass [`watches`] → `reconcile` here → [`subscription`] or [`application`], which share a [`context`].

pub mod accounts;
pub mod application;
pub mod backoff;
pub mod budget;
pub mod budgets;
pub mod context;
pub mod events;
pub mod failure;
pub mod fleet;
pub mod leader;
pub mod looks;
pub mod orphans;
pub mod roll_call;
pub mod rotation;
pub mod secrets;
pub mod subscription;
pub mod turns;
pub mod watches;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, Stream, StreamExt as _};
use futures::{FutureExt as _, future};
use k8s_openapi::apimachinery::pkg::version::Info;
use kube::ResourceExt as _;
use kube::runtime::controller::{self, Action};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::{Controller, watcher};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{mpsc, watch};
use tracing::{Instrument as _, Span};

use self::accounts::AccountKey;
use self::context::{ApplicationKey, Context};
use self::roll_call::RollCall;
use self::subscription::Error;
use self::turns::{Claim, Name as ObjectName};
use self::watches::{GuardedApplication, GuardedSubscription, Scope};
use crate::admin::Component;
use crate::api::CalendarSubscription;
use crate::metrics::{Controller as Name, Queue, ReconcileOutcome, Running};
use crate::store;
use crate::traces::{self, TraceParent};

/// The longest that one reconcile may take: longer than the longest read of an account under a crowded budget.
pub const RECONCILE_LIMIT: Duration = Duration::from_secs(15 * 60);
/// The most reconciles that the runtime has on its hands beyond those at work: the ones that step aside, and many that end at once
/// since it is not their turn. Whose turn it is, and how many work, is for [`turns`] to say.
const RUNTIME_SPARE: u16 = 2048;
/// Triggers of one object within this time are one reconcile.
const DEBOUNCE: Duration = Duration::from_millis(5);

/// Runs both controllers over all scopes until `stop`. Ends early only if a stream ends, which is a defect.
pub async fn run(
    context: Arc<Context>,
    server: &Info,
    scopes: &[Scope],
    caches: &Component,
    stop: watch::Receiver<bool>,
) {
    let listing = watches::listing(server);
    let mut synced = Vec::new();
    let (mut application_stores, mut application_controllers) = (Vec::new(), Vec::new());
    let (mut subscription_stores, mut subscription_controllers) = (Vec::new(), Vec::new());
    for scope in scopes {
        let (store, stream) = {
            let context = context.clone();
            let metrics = context.metrics.clone();
            let client = context.client.clone();
            let mut roll_call = RollCall::default();
            let seen = move |event: &watcher::Event<GuardedApplication>| {
                for key in roll_call.gone(event, key_of) {
                    context.budgets.forget(&key);
                    context.application_changed(key);
                }
            };
            watches::applications(&client, scope, listing.clone(), &metrics, seen)
        };
        synced.push(ready(store.clone()).boxed());
        application_stores.push(store.clone());
        let controller = applications(context.clone(), store.clone(), stream, stop.clone());
        application_controllers.push(begun(store, stop.clone(), controller).boxed());

        let mut feed = context.routes.feed();
        let seen = {
            let context = context.clone();
            let queue = context.metrics.queue(Name::CalendarSubscription);
            let mut roll_call = RollCall::default();
            move |event: &watcher::Event<GuardedSubscription>| {
                feed.observe(event);
                for uid in roll_call.gone(event, |object| object.uid().unwrap_or_default()) {
                    context.forget(&uid);
                    queue.forget(&uid); // it may have waited for its turn
                }
            }
        };
        let (store, stream) = watches::subscriptions(&context.client, scope, listing.clone(), &context.metrics, seen);
        synced.push(ready(store.clone()).boxed());
        subscription_stores.push(store.clone());
        let outputs = watches::outputs(&context, scope, listing.clone());
        subscription_controllers.push((store, stream, outputs));
    }
    context.set_stores(application_stores.clone(), subscription_stores);
    // An application that has not been listed yet would pass for one that does not exist.
    let applications_known = future::join_all(application_stores.into_iter().map(ready)).shared();
    let subscription_controllers = subscription_controllers.into_iter().map(|(store, stream, outputs)| {
        let (context, stop, known) = (context.clone(), stop.clone(), applications_known.clone());
        begun(store.clone(), stop.clone(), async move {
            let _units = known.await;
            subscriptions(context, store, stream, outputs, stop).await;
        })
        .boxed()
    });
    context.metrics.max_concurrent_reconciles(Name::CalendarSubscription, context.options.concurrency);
    let caches_synced = async {
        future::join_all(synced).await;
        caches.ready(true);
        orphans::keep_removed(&context, scopes).await;
    };
    let controllers =
        future::join(future::join_all(subscription_controllers), future::join_all(application_controllers));
    tokio::select! {
        _ = controllers => {}
        () = caches_synced => {}
    }
}

async fn ready<K>(store: Store<K>)
where
    K: kube::runtime::reflector::Lookup + Clone + 'static,
    K::DynamicType: Eq + std::hash::Hash + Clone,
{
    // An error means that the writer is gone, which ends the whole run anyway.
    let _gone = store.wait_until_ready().await;
}

/// A controller until it ends. One whose store was never filled has begun nothing, and does not notice by itself that it is to
/// stop.
async fn begun<K>(store: Store<K>, stop: watch::Receiver<bool>, controller: impl Future<Output = ()>)
where
    K: kube::runtime::reflector::Lookup + Clone + 'static,
    K::DynamicType: Eq + std::hash::Hash + Clone,
{
    let stopped_before = async {
        tokio::select! {
            () = ready(store) => future::pending().await,
            () = stopped(stop) => {}
        }
    };
    tokio::select! {
        () = controller => {}
        () = stopped_before => {}
    }
}

fn key_of(object: &GuardedApplication) -> ApplicationKey {
    ApplicationKey { namespace: object.namespace().unwrap_or_default(), name: object.name_any() }
}

/// The controller of subscriptions in one scope.
async fn subscriptions(
    context: Arc<Context>,
    store: Store<GuardedSubscription>,
    due: impl Stream<Item = Result<GuardedSubscription, watcher::Error>> + Send + 'static,
    outputs: impl Stream<Item = Result<watches::Output, watcher::Error>> + Send + 'static,
    stop: watch::Receiver<bool>,
) {
    let queue = context.metrics.queue(Name::CalendarSubscription);
    let noted = queue.clone();
    let due = due.inspect(move |object| {
        if let Ok(object) = object {
            noted.queued(&object.uid().unwrap_or_default());
        }
    });
    let referring = referring(&context, store.clone());
    let most = context.options.concurrency.saturating_add(RUNTIME_SPARE);
    let (call, called) = context.turns.channel();
    let called =
        stream::unfold(called, |mut called| async move { called.recv().await.map(|name: ObjectName| (name, called)) });
    let turns = context.turns.clone();
    Controller::for_stream(due, store)
        .with_config(controller::Config::default().concurrency(most).debounce(DEBOUNCE))
        // Not by the owner reference alone: a retained output has none, and somebody may have removed it.
        .watches_stream(outputs, |output| belonging_to(&output))
        .reconcile_on(referring)
        .reconcile_on(called)
        .reconcile_all_on(elected(context.leading.clone()))
        .graceful_shutdown_on(stopped(stop))
        .run(
            move |object, context| reconcile_subscription(object, context, queue.clone(), call.clone()),
            |object, error, context| retry(&object.uid().unwrap_or_default(), error, &context),
            context,
        )
        .inspect(move |result| {
            // Called, it would keep its place for ever.
            if let Err(controller::Error::ObjectNotFound(gone)) = result {
                turns.gone(&ObjectName::new(&gone.name).within(gone.namespace.as_deref().unwrap_or_default()));
            }
        })
        .for_each(noted_result("subscription"))
        .await;
}

/// The controller of applications in one scope.
async fn applications(
    context: Arc<Context>,
    store: Store<GuardedApplication>,
    due: impl Stream<Item = Result<GuardedApplication, watcher::Error>> + Send + 'static,
    stop: watch::Receiver<bool>,
) {
    let queue = context.metrics.queue(Name::CronofyApplication);
    Controller::for_stream(due, store)
        .with_config(controller::Config::default().concurrency(4).debounce(DEBOUNCE))
        .reconcile_all_on(elected(context.leading.clone()))
        .graceful_shutdown_on(stopped(stop))
        .run(
            move |object, context| reconcile_application(object, context, queue.clone()),
            |object, error, context| retry(&object.uid().unwrap_or_default(), error, &context),
            context,
        )
        .for_each(noted_result("application"))
        .await;
}

/// The subscription that an output belongs to.
fn belonging_to(output: &watches::Output) -> Option<ObjectRef<GuardedSubscription>> {
    let found = store::subscription_of(&output.metadata)?;
    Some(ObjectRef::new(&found.name).within(found.namespace.as_deref()?))
}

/// Subscriptions of applications that changed. Who lags behind looks at all of them.
fn referring(
    context: &Arc<Context>,
    store: Store<GuardedSubscription>,
) -> impl Stream<Item = ObjectRef<GuardedSubscription>> + Send + 'static {
    stream::unfold(context.changed_applications(), |mut changed| async move {
        match changed.recv().await {
            Ok(key) => Some((Some(key), changed)),
            Err(RecvError::Lagged(_)) => Some((None, changed)),
            Err(RecvError::Closed) => None,
        }
    })
    .flat_map(move |changed| {
        let refers = |object: &GuardedSubscription| match (&object.0, &changed) {
            (Ok(subscription), Some(key)) => ApplicationKey::of(subscription) == *key,
            (Ok(_), None) => true,
            (Err(_), _) => false,
        };
        let found = store.state().into_iter().filter(|object| refers(object));
        stream::iter(found.map(|object| ObjectRef::from_obj(object.as_ref())).collect::<Vec<_>>())
    })
}

/// Fires when this replica becomes the leader: the edge, since a level would fire without end.
fn elected(leading: watch::Receiver<bool>) -> impl Stream<Item = ()> + Send + 'static {
    stream::unfold(leading, |mut leading| async move {
        loop {
            leading.changed().await.ok()?;
            if *leading.borrow_and_update() {
                return Some(((), leading));
            }
        }
    })
}

async fn stopped(mut stop: watch::Receiver<bool>) {
    // An error means that whoever could stop us is gone: stop.
    let _ = stop.wait_for(|stopping| *stopping).await;
}

async fn reconcile_subscription(
    object: Arc<GuardedSubscription>,
    context: Arc<Context>,
    queue: Queue,
    call: mpsc::Sender<ObjectName>,
) -> Result<Action, Error> {
    let name = ObjectName::new(&object.name_any()).within(&object.namespace().unwrap_or_default());
    let turn = match &object.0 {
        Ok(subscription) if *context.leading.borrow() => {
            let Some(turn) = context.turns.take(&name, claim(subscription), &call) else {
                queue.queued(&object.uid().unwrap_or_default());
                return Ok(Action::await_change()); // until it is called
            };
            if let Some(waited) = turn.waited {
                context.metrics.budget_turn(turn.lane.into(), waited);
            }
            Some(turn)
        }
        Ok(_) | Err(_) => {
            context.turns.gone(&name); // nothing of it is to be done any more
            None
        }
    };
    let origin = object.0.as_ref().ok().and_then(traces::origin);
    let steps = async {
        match (&object.0, &turn) {
            (Ok(subscription), Some(turn)) => Box::pin(subscription::reconcile(subscription, &context, turn)).await,
            (Ok(_), None) => Ok(Action::await_change()),
            (Err(invalid), _) => Err(Error::Undecodable(invalid.error.clone())),
        }
    };
    let object = Object::of("subscription", object.as_ref());
    Box::pin(as_leader(&object, origin, &context, &queue, steps)).await
}

/// What decides when a subscription's turn comes, as far as the cache tells.
fn claim(subscription: &CalendarSubscription) -> Claim {
    Claim {
        lane: subscription::lane(subscription),
        application: ApplicationKey::of(subscription),
        account: AccountKey::of(subscription),
    }
}

async fn reconcile_application(
    object: Arc<GuardedApplication>,
    context: Arc<Context>,
    queue: Queue,
) -> Result<Action, Error> {
    let steps = async {
        match &object.0 {
            Ok(application) => application::reconcile(application, &context).await,
            Err(invalid) => Err(Error::Undecodable(invalid.error.clone())),
        }
    };
    as_leader(&Object::of("application", object.as_ref()), None, &context, &queue, steps).await
}

/// What is reconciled.
struct Object {
    kind: &'static str,
    uid: String,
    namespace: String,
    name: String,
}

impl Object {
    fn of(kind: &'static str, object: &impl kube::ResourceExt) -> Self {
        let namespace = object.namespace().unwrap_or_default();
        Self { kind, uid: object.uid().unwrap_or_default(), namespace, name: object.name_any() }
    }
}

/// Reconciles if this replica leads: within bounds, counted, and in the trace of what woke it.
async fn as_leader(
    object: &Object,
    origin: Option<TraceParent>,
    context: &Context,
    queue: &Queue,
    steps: impl Future<Output = Result<Action, Error>>,
) -> Result<Action, Error> {
    let running = queue.started(&object.uid);
    if !*context.leading.borrow() {
        return Ok(Action::await_change());
    }
    let span = traces::reconcile(origin, object.kind, &object.namespace, &object.name);
    let result = Box::pin(bounded(steps).instrument(span.clone())).await;
    match &result {
        Ok(_) => context.backoff.reset(&object.uid),
        Err(error) => span.in_scope(|| note_failure(&span, object, error)),
    }
    finish(running, &result);
    result
}

/// Logs why a reconcile did not come to its end, once and in its trace.
fn note_failure(span: &Span, object: &Object, error: &Error) {
    span.record("category", error.category());
    let Object { kind, uid: _, namespace, name } = object;
    match error {
        // Nothing failed: what was decided is out of date.
        Error::Changed => return,
        Error::Undecodable(_) => tracing::error!(
            kind, namespace, name,
            category = error.category(), error = %error, "reconcile failed, it waits for an edit of the object"
        ),
        Error::Call(_) | Error::Store(_) | Error::TimedOut(_) | Error::Panicked | Error::Endless => tracing::warn!(
            kind, namespace, name,
            category = error.category(), error = %error, "reconcile failed, it is tried again"
        ),
    }
    traces::failed(span);
}

/// Runs a reconcile within its limit. A panic that left here would end the controller, and with it every subscription.
async fn bounded(steps: impl Future<Output = Result<Action, Error>>) -> Result<Action, Error> {
    match tokio::time::timeout(RECONCILE_LIMIT, AssertUnwindSafe(steps).catch_unwind()).await {
        Ok(Ok(result)) => result,
        Ok(Err(_panic)) => Err(Error::Panicked),
        Err(_elapsed) => Err(Error::TimedOut(RECONCILE_LIMIT)),
    }
}

fn finish(running: Running, result: &Result<Action, Error>) {
    running.finish(match result {
        Ok(action) if *action == Action::await_change() => ReconcileOutcome::Success,
        Ok(_) => ReconcileOutcome::RequeueAfter,
        Err(Error::Undecodable(_)) => ReconcileOutcome::TerminalError,
        Err(Error::Panicked) => ReconcileOutcome::Panic,
        Err(Error::TimedOut(_)) => ReconcileOutcome::Timeout,
        Err(_) => ReconcileOutcome::Error,
    });
}

/// When a failed reconcile is tried again.
fn retry(uid: &str, error: &Error, context: &Context) -> Action {
    match error {
        Error::Undecodable(_) => Action::await_change(), // an edit brings it back
        // Nothing failed: what was decided is out of date.
        Error::Changed => Action::requeue(Duration::from_millis(50)),
        Error::Call(_) | Error::Store(_) | Error::TimedOut(_) | Error::Panicked | Error::Endless => {
            Action::requeue(context.backoff.next(uid))
        }
    }
}

/// What comes out of a controller.
type Reconciled<K, Q> = Result<(ObjectRef<K>, Action), controller::Error<Error, Q>>;

fn noted_result<K: kube::runtime::reflector::Lookup, Q>(
    kind: &'static str,
) -> impl FnMut(Reconciled<K, Q>) -> future::Ready<()>
where
    K::DynamicType: std::fmt::Debug,
    Q: std::error::Error + 'static,
{
    move |result| {
        match result {
            // A trigger for an object that is gone meanwhile is nothing to tell, and a failure is told already.
            Ok(_) | Err(controller::Error::ObjectNotFound(_) | controller::Error::ReconcilerFailed(..)) => {}
            Err(error) => tracing::warn!(kind, error = %error, "a trigger failed"),
        }
        future::ready(())
    }
}

#[cfg(test)]
mod tests;
