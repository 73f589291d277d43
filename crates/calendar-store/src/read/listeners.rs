//! Who waits for changes of which subscription. One task looks for all of them: at once when the bell rings, and once in a while
//! for what other processes have committed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use calendar_store_client::Reason;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::bell::{Bell, Rung};
use super::stream::Streaming;
use crate::Problem;
use crate::database::Database;

/// Commits that follow each other so fast are looked at together.
const SPACING: Duration = Duration::from_millis(20);
/// A look that takes longer is given up: the next one is made.
const LOOK_LIMIT: Duration = Duration::from_secs(30);

/// What was last seen of a subscription: incarnation and sequence, if it is there.
type Seen = Option<(String, i64)>;

/// Not looked at: differs from whatever is seen first.
const UNSEEN: Seen = Some((String::new(), -1));

/// All who wait.
#[derive(Debug)]
pub struct Listeners {
    /// By uid.
    waiting: Mutex<HashMap<String, watch::Sender<Seen>>>,
    places: Arc<Semaphore>,
    rung: watch::Receiver<Rung>,
    /// How streams are bounded.
    pub streaming: Streaming,
    task: Mutex<Option<JoinHandle<()>>>,
}

/// Somebody who waits, with one of the places.
#[derive(Debug)]
pub struct Listener {
    seen: watch::Receiver<Seen>,
    rung: watch::Receiver<Rung>,
    _place: OwnedSemaphorePermit,
}

impl Listeners {
    /// Nobody yet, and the task.
    pub fn new(database: Database, bell: &Bell, streaming: Streaming) -> Arc<Self> {
        let listeners = Arc::new(Self {
            waiting: Mutex::default(),
            places: Arc::new(Semaphore::new(streaming.most.min(Semaphore::MAX_PERMITS))),
            rung: bell.heard(),
            streaming,
            task: Mutex::default(),
        });
        let task = tokio::spawn(look(Arc::downgrade(&listeners), database, bell.heard(), streaming.look));
        *listeners.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
        listeners
    }

    /// A place to wait at, if there is one.
    pub fn place(&self) -> Result<OwnedSemaphorePermit, Problem> {
        if self.rung.borrow().ended {
            return Err(Problem::new(Reason::Unavailable, "this process ends: try again"));
        }
        Arc::clone(&self.places).try_acquire_owned().map_err(|_| {
            let detail = format!("{} streams are open: try again later, or ask without a stream", self.streaming.most);
            Problem::new(Reason::Busy, detail)
        })
    }

    /// Waits for changes of this subscription, at that place.
    pub fn listen(&self, uid: &str, place: OwnedSemaphorePermit) -> Listener {
        let mut waiting = self.waiting();
        let seen = waiting.entry(uid.to_owned()).or_insert_with(|| watch::Sender::new(UNSEEN)).subscribe();
        Listener { seen, rung: self.rung.clone(), _place: place }
    }

    /// Whom to look for. Those for whom nobody waits any longer are forgotten.
    fn uids(&self) -> Vec<String> {
        let mut waiting = self.waiting();
        waiting.retain(|_, seen| seen.receiver_count() > 0);
        waiting.keys().cloned().collect()
    }

    fn tell(&self, uids: &[String], found: Vec<(String, (String, i64))>) {
        let mut found: HashMap<_, _> = found.into_iter().collect();
        let waiting = self.waiting();
        for uid in uids {
            let now = found.remove(uid);
            if let Some(seen) = waiting.get(uid) {
                seen.send_if_modified(|seen| {
                    *seen != now && {
                        *seen = now;
                        true
                    }
                });
            }
        }
    }

    // The table is sound after each statement, so a panic elsewhere does not spoil it.
    fn waiting(&self) -> MutexGuard<'_, HashMap<String, watch::Sender<Seen>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Listeners {
    fn drop(&mut self) {
        if let Some(task) = self.task.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            task.abort();
        }
    }
}

impl Listener {
    /// Ends when there may be changes after those that were there before the call; gives whether to go on waiting at all.
    pub async fn changed(&mut self) -> bool {
        loop {
            if self.rung.borrow_and_update().ended {
                return false;
            }
            tokio::select! {
                changed = self.seen.changed() => return changed.is_ok(),
                // Rung for somebody's commit: the task finds out whose.
                rung = self.rung.changed() => if rung.is_err() { return self.seen.changed().await.is_ok(); }
            }
        }
    }

    /// Whether nobody is to wait any longer.
    pub fn ended(&self) -> bool {
        self.rung.borrow().ended
    }
}

async fn look(listeners: Weak<Listeners>, database: Database, mut rung: watch::Receiver<Rung>, pause: Duration) {
    loop {
        sleep(SPACING.min(pause)).await;
        // Nobody is left who could ring.
        if let Ok(Err(_)) = timeout(pause, rung.changed()).await {
            sleep(pause).await;
        }
        let Some(present) = listeners.upgrade() else { return };
        let uids = present.uids();
        drop(present);
        if uids.is_empty() {
            continue;
        }
        match timeout(LOOK_LIMIT, database.sequences(&uids)).await {
            Ok(Ok(found)) => {
                let Some(present) = listeners.upgrade() else { return };
                present.tell(&uids, found);
            }
            Ok(Err(error)) => tracing::warn!(%error, "changes cannot be looked for at the moment"),
            Err(_) => tracing::warn!("changes cannot be looked for: the database does not answer in time"),
        }
    }
}
