//! What is kept: for each subscription its events, the deletions of a while, and a sequence that grows with each change.
//!
//! What must hold:
//! - A commit is one transaction, conditional on the head that it was computed from. So a crash at any point leaves the old state
//!   or the new one, and a writer that was overtaken changes nothing.
//! - An event that changes gets a sequence of its own, larger than all before it. Whoever has read up to a sequence and reads on
//!   sees each later change once, in its last state.
//! - What is erased is gone from the tables at once, and from the files as the database does it: [`Database::erase`].

mod backup;
mod commit;
mod contents;
mod copies;
mod erasing;
mod error;
mod feeds;
mod log;
mod opening;
mod reading;
mod steps;

use std::str::FromStr;

use sqlx::AnyPool;

use log::Log;

pub use backup::{BackupError, backup};
pub use commit::{Outcome, key};
pub use contents::Contents;
pub use copies::{backup_into, backup_through};
pub use error::Error;
pub use feeds::Feed;
pub use reading::{Change, Moment, PAGE_BYTES, Page, Place, Row, Subscription};
pub use steps::Steps;

/// Where events are kept. Clones share its connections.
#[derive(Clone, Debug)]
pub struct Database {
    kind: Kind,
    writes: AnyPool,
    reads: AnyPool,
    /// Of SQLite.
    log: Option<Log>,
    steps: Steps,
}

/// Which database it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One file, one process that writes.
    Sqlite,
    /// A server, or one that speaks its language.
    Postgres,
}

impl FromStr for Kind {
    type Err = Error;

    fn from_str(url: &str) -> Result<Self, Error> {
        match url.split_once(':').map(|(scheme, _)| scheme) {
            Some("sqlite") => Ok(Kind::Sqlite),
            Some("postgres" | "postgresql") => Ok(Kind::Postgres),
            _ => Err(Error::Scheme),
        }
    }
}

impl Database {
    /// The same, with somebody who is told of each statement before it is executed.
    #[must_use]
    pub fn watched(self, steps: Steps) -> Self {
        Self { steps, ..self }
    }

    /// Which database it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether it answers.
    ///
    /// # Errors
    /// If it does not.
    pub async fn ping(&self) -> Result<(), Error> {
        sqlx::query("SELECT 1").execute(&self.reads).await?;
        Ok(())
    }

    /// Ends all connections, after those that are at work.
    pub async fn close(&self) {
        self.reads.close().await;
        if let Some(log) = &self.log {
            log.close().await;
        }
        self.writes.close().await;
    }
}
