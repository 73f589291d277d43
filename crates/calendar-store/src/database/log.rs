//! SQLite's log, in which what was erased stands until it is emptied. A reader of what was there before is in the way of that.

use std::time::Duration;

use sqlx::{AnyPool, Row as _};
use tokio::sync::watch;
use tokio::time::sleep;

use super::{Database, Error};

/// Between two attempts, at first and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// What is owed to the log. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Log {
    /// One connection, which waits for nobody: whoever waited here would keep the writer waiting, too.
    pool: AnyPool,
    state: watch::Sender<State>,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    /// The log is to be emptied for the erasure of this number.
    owed: u64,
    /// It has been emptied after that of this number.
    done: u64,
}

impl Log {
    /// Of a process that has just started: what one before it owed is not known.
    pub(super) fn new(pool: AnyPool) -> Self {
        Self { pool, state: watch::Sender::new(State { owed: 1, done: 0 }) }
    }

    pub(super) async fn close(&self) {
        self.pool.close().await;
    }

    /// Tries to empty it. Gives whether that is done.
    async fn empty(&self) -> Result<bool, Error> {
        let State { owed, .. } = *self.state.borrow();
        // The first column tells whether somebody was in the way: that is no error of the statement.
        let row = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&self.pool).await?;
        let busy: i64 = row.try_get(0)?;
        if busy == 0 {
            self.state.send_modify(|state| state.done = state.done.max(owed));
        }
        Ok(busy == 0)
    }
}

impl Database {
    /// Removes from SQLite's log what is no longer in its tables, now if nobody is in the way, otherwise later.
    pub(super) async fn empty_log(&self) -> Result<(), Error> {
        let Some(log) = &self.log else { return Ok(()) };
        // First: should this end in between, it is known to be owed.
        log.state.send_modify(|state| state.owed += 1);
        self.steps.next("empty the log");
        if !log.empty().await? {
            tracing::info!("what was erased stays in SQLite's log until those who read it have ended");
        }
        Ok(())
    }

    /// Empties SQLite's log after erasures that found somebody in the way, as soon as those have ended, and once at first, for what
    /// an earlier process may have left. Never ends.
    pub async fn keep_log_empty(&self) {
        let Some(log) = &self.log else { return std::future::pending().await };
        let mut state = log.state.subscribe();
        loop {
            // Fails only if nobody holds the log, and this does.
            let _ = state.wait_for(|state| state.owed > state.done).await;
            let (mut pause, most) = PAUSES;
            let mut told = None;
            loop {
                match log.empty().await {
                    Ok(true) => break,
                    Ok(false) => told = None,
                    Err(error) => {
                        let error = error.to_string();
                        if told.as_ref() != Some(&error) {
                            tracing::warn!(
                                error,
                                "SQLite's log cannot be emptied of what was erased: it is tried again"
                            );
                        }
                        told = Some(error);
                    }
                }
                sleep(pause).await;
                pause = (pause * 2).min(most);
            }
        }
    }
}
