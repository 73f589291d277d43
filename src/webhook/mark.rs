//! Writes the durable mark of notifications on a subscription's status.
//!
//! Marks are group-committed: while a write for a subscription is in flight, further notifications wait and share the next
//! one. So a burst costs a handful of writes, there are never two writes of this replica in flight on one object (bare patches
//! on one object fall from hundreds a second one after another to tens when many are sent at a time), and no notification is
//! acknowledged by a write that began before it arrived.
//!
//! Each write replaces exactly the mark that it was computed from: a JSON patch tests the object's uid and the whole present
//! mark, so neither another replica's mark nor the reconciler's clearing is ever overwritten. While there is no mark yet, it
//! tests the object's version instead. Who loses the race reads again and tries again.
//!
//! The writes belong to tasks that the [`Marker`] owns: a client that hangs up does not take the write away from the others
//! that wait for it. [`Marker::shutdown`] joins them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kube::api::{GetParams, Patch, PatchParams};
use kube::core::Request;
use kube::{Client, Resource as _};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::Instrument as _;

use super::pending::{Hint, Pending};
use super::routes::Route;
use crate::api::{CalendarSubscription, NotificationStatus};
use crate::metrics::{MarkOutcome, Metrics};
use crate::traces;

/// Name by which the API server knows who wrote the mark.
pub const FIELD_MANAGER: &str = "cronofy-operator-webhook";

/// For how long the mark that was written last is remembered: longer than a watch lags behind.
const MEMORY: Duration = Duration::from_secs(10);

/// Pause before the second retry of a lost race; doubled for each further one up to [`LONGEST_PAUSE`], with jitter.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// Bounds of a [`Marker`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MarkLimits {
    /// Time for one write, its retries included.
    pub write: Duration,
    /// Notifications of one subscription that wait at a time; more are refused.
    pub waiting: usize,
}

impl Default for MarkLimits {
    /// 3 s, 1,024 notifications.
    fn default() -> Self {
        Self { write: Duration::from_secs(3), waiting: 1024 }
    }
}

/// Why a notification is not marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MarkError {
    /// The subscription is gone, or another object has its name.
    #[error("the subscription is gone")]
    Gone,
    /// The write failed or was not done in time. It may still have taken effect, which does no harm.
    #[error("the mark could not be written in time")]
    Unavailable,
    /// Too many notifications of the subscription wait already, or the process is about to end.
    #[error("no further notification is taken")]
    Overloaded,
}

/// Writes marks. Clones share the writes.
#[derive(Clone)]
pub struct Marker(Arc<Shared>);

impl std::fmt::Debug for Marker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Marker").field("limits", &self.0.limits).finish_non_exhaustive()
    }
}

struct Shared {
    client: Client,
    metrics: Metrics,
    limits: MarkLimits,
    slots: Mutex<Slots>,
    tasks: Mutex<JoinSet<()>>,
}

#[derive(Default)]
struct Slots {
    by_uid: HashMap<String, Slot>,
    swept: Option<Instant>,
    closed: bool,
}

/// What is known and waited for of one subscription.
#[derive(Default)]
struct Slot {
    pending: Pending,
    waiting: Vec<oneshot::Sender<Result<(), MarkError>>>,
    /// Whether a task writes for this subscription. Only that task takes what is pending.
    writing: bool,
    /// The mark as this replica wrote or read it last: newer than the watch's, for a moment.
    known: Option<Value>,
    used: Option<Instant>,
}

/// What is written together.
struct Batch {
    pending: Pending,
    waiting: Vec<oneshot::Sender<Result<(), MarkError>>>,
    known: Option<Value>,
}

impl Marker {
    /// A marker that writes through this client.
    #[must_use]
    pub fn new(client: Client, metrics: Metrics, limits: MarkLimits) -> Self {
        let (slots, tasks) = (Mutex::default(), Mutex::default());
        Self(Arc::new(Shared { client, metrics, limits, slots, tasks }))
    }

    /// Marks a notification, and returns when a write that began after this call is committed.
    ///
    /// The write goes on if the caller stops waiting.
    ///
    /// # Errors
    ///
    /// See [`MarkError`]. [`MarkError::Unavailable`] also when `deadline` passes first.
    pub async fn mark(&self, route: &Arc<Route>, hint: Hint, deadline: Instant) -> Result<(), MarkError> {
        let committed = self.enlist(route, hint)?;
        timeout_at(deadline, committed).await.ok().and_then(Result::ok).unwrap_or(Err(MarkError::Unavailable))
    }

    /// Takes no further notification, lets the writes in flight end and returns when none is left.
    pub async fn shutdown(&self) {
        self.0.slots().closed = true;
        let mut tasks = std::mem::take(&mut *locked(&self.0.tasks));
        while tasks.join_next().await.is_some() {}
    }

    fn enlist(&self, route: &Arc<Route>, hint: Hint) -> Result<oneshot::Receiver<Result<(), MarkError>>, MarkError> {
        let mut slots = self.0.slots();
        if slots.closed {
            return Err(MarkError::Overloaded);
        }
        slots.sweep();
        let slot = slots.by_uid.entry(route.uid.clone()).or_default();
        if slot.waiting.len() >= self.0.limits.waiting {
            slot.waiting.retain(|waiting| !waiting.is_closed());
        }
        if slot.waiting.len() >= self.0.limits.waiting {
            return Err(MarkError::Overloaded);
        }
        let (sender, committed) = oneshot::channel();
        slot.pending.add(hint);
        slot.waiting.push(sender);
        if !std::mem::replace(&mut slot.writing, true) {
            // Still under the lock, so that `shutdown` finds every task.
            let mut tasks = locked(&self.0.tasks);
            while tasks.try_join_next().is_some() {}
            tasks.spawn(write_all(Arc::clone(&self.0), Arc::clone(route)));
        }
        Ok(committed)
    }
}

/// Writes for one subscription until nothing is pending.
async fn write_all(shared: Arc<Shared>, route: Arc<Route>) {
    let mut turn = Turn { shared: &shared, uid: &route.uid, over: false };
    while let Some(batch) = turn.next() {
        let Batch { pending, waiting, known } = batch;
        let span = traces::mark(pending.trace(), &route.namespace, &route.name, waiting.len());
        let written =
            timeout(shared.limits.write, shared.commit(&route, &pending, known)).instrument(span.clone()).await;
        let result = written.unwrap_or_else(|_| {
            shared.metrics.mark_write(MarkOutcome::TimedOut);
            Err(MarkError::Unavailable)
        });
        if result.is_err() {
            traces::failed(&span);
        }
        drop(span);
        turn.remember(result.as_ref().ok());
        let answer = result.map(drop);
        for waiting in waiting {
            // Whoever waited no longer has its answer already.
            let _ = waiting.send(answer);
        }
    }
}

/// A task's right to write for one subscription. Given back when the task ends, however it ends.
struct Turn<'a> {
    shared: &'a Shared,
    uid: &'a str,
    over: bool,
}

impl Turn<'_> {
    /// What is pending now; `None` gives the turn back.
    fn next(&mut self) -> Option<Batch> {
        let mut slots = self.shared.slots();
        let slot = slots.by_uid.get_mut(self.uid)?;
        slot.used = Some(Instant::now());
        if slot.waiting.is_empty() {
            slot.writing = false;
            self.over = true;
            return None;
        }
        Some(Batch {
            pending: std::mem::take(&mut slot.pending),
            waiting: std::mem::take(&mut slot.waiting),
            known: slot.known.clone(),
        })
    }

    fn remember(&self, mark: Option<&Value>) {
        if let Some(slot) = self.shared.slots().by_uid.get_mut(self.uid) {
            slot.known = mark.cloned();
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if !self.over {
            // The task was cut off: whoever waits is told so by the loss of its sender.
            self.shared.slots().by_uid.remove(self.uid);
        }
    }
}

impl Shared {
    fn slots(&self) -> MutexGuard<'_, Slots> {
        locked(&self.slots)
    }

    /// Puts `pending` onto the present mark; returns the mark as it is then.
    async fn commit(&self, route: &Route, pending: &Pending, known: Option<Value>) -> Result<Value, MarkError> {
        let mut present = Present::remembered(route, known);
        let mut pause = None;
        loop {
            let (outcome, result) = match self.patch(route, &present, pending).await {
                Ok(object) => (MarkOutcome::Written, Some(Ok(object.mark().cloned().unwrap_or_default()))),
                Err(Failure::Race) => (MarkOutcome::Conflict, None),
                Err(Failure::Gone) => (MarkOutcome::Gone, Some(Err(MarkError::Gone))),
                Err(Failure::Other) => (MarkOutcome::Failed, Some(Err(MarkError::Unavailable))),
            };
            self.metrics.mark_write(outcome);
            if let Some(result) = result {
                return result;
            }
            if let Some(pause) = pause {
                sleep(jittered(pause)).await;
            }
            pause = Some(pause.map_or(SHORTEST_PAUSE, |pause| (pause * 2).min(LONGEST_PAUSE)));
            present = match self.read(route).await {
                Ok(object) if object.metadata.uid == route.uid => Present::from(object),
                Ok(_) | Err(Failure::Gone) => return Err(MarkError::Gone),
                Err(Failure::Race | Failure::Other) => return Err(MarkError::Unavailable),
            };
        }
    }

    async fn patch(&self, route: &Route, present: &Present, pending: &Pending) -> Result<Object, Failure> {
        let patch = serde_json::from_value(present.patch(&route.uid, pending)).map_err(|_| Failure::Other)?;
        let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        let request = requests(route).patch_subresource("status", &route.name, &parameters, &Patch::Json::<()>(patch));
        self.send(request).await
    }

    async fn read(&self, route: &Route) -> Result<Object, Failure> {
        self.send(requests(route).get(&route.name, &GetParams::default())).await
    }

    /// Only what is needed of the answer is decoded, so that an object that is broken elsewhere can be marked too.
    async fn send(&self, request: Built) -> Result<Object, Failure> {
        let text = self.client.request_text(request.map_err(|_| Failure::Other)?).await?;
        serde_json::from_str(&text).map_err(|_| Failure::Other)
    }
}

type Built = Result<http::Request<Vec<u8>>, kube::core::request::Error>;

fn requests(route: &Route) -> Request {
    Request::new(CalendarSubscription::url_path(&(), Some(&route.namespace)))
}

impl Slots {
    /// Forgets what has not been used for a while, at most once in that while.
    fn sweep(&mut self) {
        let now = Instant::now();
        if self.swept.is_some_and(|swept| now.duration_since(swept) < MEMORY) {
            return;
        }
        self.swept = Some(now);
        self.by_uid.retain(|_, slot| slot.writing || slot.used.is_some_and(|used| now.duration_since(used) < MEMORY));
    }
}

/// Why a request had no effect.
enum Failure {
    /// The object is not as it was expected.
    Race,
    Gone,
    Other,
}

impl From<kube::Error> for Failure {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => match status.code {
                404 => Self::Gone,
                // 422 is what a failed test of a JSON patch gives.
                409 | 422 => Self::Race,
                code => {
                    tracing::warn!(code, reason = status.reason, "mark refused");
                    Self::Other
                }
            },
            error => {
                tracing::warn!(%error, "mark not sent");
                Self::Other
            }
        }
    }
}

/// What a mark needs of an object.
#[derive(Debug, Deserialize)]
struct Object {
    metadata: Metadata,
    status: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    uid: String,
    resource_version: String,
}

impl Object {
    fn mark(&self) -> Option<&Value> {
        self.status.as_ref()?.get("notification")
    }
}

/// What a patch is computed from, and tests.
#[derive(Debug, PartialEq)]
enum Present {
    /// This mark, exactly as the server has it.
    Marked(Value),
    /// No mark, in this version of the object.
    Unmarked { resource_version: String },
    /// Not even a status, in this version of the object.
    Blank { resource_version: String },
}

impl From<Object> for Present {
    fn from(object: Object) -> Self {
        let resource_version = object.metadata.resource_version;
        match object.status {
            None | Some(Value::Null) => Self::Blank { resource_version },
            Some(mut status) => match status.get_mut("notification").map(Value::take) {
                None | Some(Value::Null) => Self::Unmarked { resource_version },
                Some(mark) => Self::Marked(mark),
            },
        }
    }
}

impl Present {
    /// The newer of what the watch told and what was written or read here.
    fn remembered(route: &Route, known: Option<Value>) -> Self {
        let watched = route.notification.as_ref().and_then(|mark| serde_json::to_value(mark).ok());
        // With the same sequence, the cleared mark is the later one.
        let age = |mark: &Value| {
            let mark = decoded(mark);
            (mark.sequence, mark.types.is_empty())
        };
        match watched.into_iter().chain(known).max_by_key(age) {
            Some(mark) => Self::Marked(mark),
            None => Self::Unmarked { resource_version: route.resource_version.clone() },
        }
    }

    fn patch(&self, uid: &str, pending: &Pending) -> Value {
        let same = |path: &str, value: &Value| json!({"op": "test", "path": path, "value": value});
        let put = |op: &str, path: &str, value: Value| json!({"op": op, "path": path, "value": value});
        let object = same("/metadata/uid", &json!(uid));
        match self {
            Self::Marked(mark) => {
                let next = json!(pending.onto(Some(&decoded(mark))));
                json!([object, same("/status/notification", mark), put("replace", "/status/notification", next)])
            }
            Self::Unmarked { resource_version } => {
                let version = same("/metadata/resourceVersion", &json!(resource_version));
                json!([object, version, put("add", "/status/notification", json!(pending.onto(None)))])
            }
            Self::Blank { resource_version } => {
                let version = same("/metadata/resourceVersion", &json!(resource_version));
                json!([object, version, put("add", "/status", json!({"notification": pending.onto(None)}))])
            }
        }
    }
}

/// A mark that does not decode counts for its sequence only.
fn decoded(mark: &Value) -> NotificationStatus {
    serde_json::from_value(mark.clone()).unwrap_or_else(|_| NotificationStatus {
        sequence: mark.get("sequence").and_then(Value::as_i64).unwrap_or_default(),
        ..NotificationStatus::default()
    })
}

fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(0.5 + fastrand::f64() / 2.0)
}

/// What is locked is sound after each statement, so a panic elsewhere does not spoil it.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
