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
mod error;
mod feeds;
mod reading;
mod steps;

use std::fs::File;
use std::io;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use sqlx::any::AnyPoolOptions;
use sqlx::migrate::Migrator;
use sqlx::{AnyPool, Executor as _};

pub use backup::{BackupError, backup};
pub use commit::{Outcome, key};
pub use contents::Contents;
pub use error::Error;
pub use feeds::Feed;
pub use reading::{Change, Moment, PAGE_BYTES, Page, Place, Row, Subscription};
pub use steps::Steps;

static SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("migrations/postgres");

/// Whoever waits longer for a connection is told that the database is busy.
const CONNECTION_LIMIT: Duration = Duration::from_secs(10);
/// Connections of one process: to SQLite for readers, to PostgreSQL for all.
const CONNECTIONS: u32 = 8;

/// Where events are kept. Clones share its connections.
#[derive(Clone, Debug)]
pub struct Database {
    kind: Kind,
    writes: AnyPool,
    reads: AnyPool,
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
    /// Connects to `url`, `sqlite:FILE` or `postgres://USER:PASSWORD@HOST:PORT/NAME`, and brings its tables up to date. Several
    /// processes may do that at once.
    ///
    /// # Errors
    /// If the database cannot be reached, or its tables are of a later version.
    pub async fn open(url: &str) -> Result<Self, Error> {
        sqlx::any::install_default_drivers();
        let kind: Kind = url.parse()?;
        let (writes, reads) = match kind {
            Kind::Sqlite => {
                file(url)?;
                let created = format!("{url}{}mode=rwc", if url.contains('?') { '&' } else { '?' });
                // One connection writes, so that nobody waits for a lock.
                let writes =
                    pool(1, &["PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL", "PRAGMA secure_delete = ON"]);
                let writes = writes.connect(&created).await.map_err(Error::Unreachable)?;
                // SQLite's own locks do not span the steps of a migration. The end of this one frees it.
                let lock = locked(file(url)?).await?;
                SQLITE.run(&writes).await?;
                drop(lock);
                let reads = pool(CONNECTIONS, &["PRAGMA query_only = ON", "PRAGMA mmap_size = 67108864"]);
                (writes, reads.connect(url).await.map_err(Error::Unreachable)?)
            }
            Kind::Postgres => {
                let pool = pool(CONNECTIONS, &[]).connect(url).await.map_err(Error::Unreachable)?;
                POSTGRES.run(&pool).await?;
                (pool.clone(), pool)
            }
        };
        Ok(Self { kind, writes, reads, steps: Steps::default() })
    }

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
        self.writes.close().await;
    }
}

/// The file of an SQLite database.
fn file(url: &str) -> Result<&Path, Error> {
    let path = url.strip_prefix("sqlite:").unwrap_or(url).trim_start_matches("//");
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    if path.is_empty() || path.starts_with(':') { Err(Error::NoFile) } else { Ok(Path::new(path)) }
}

/// A lock on the folder of this file. The file itself is not touched: SQLite would lose its own locks on it.
async fn locked(file: &Path) -> Result<File, Error> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned();
    let lock = move || {
        let folder = File::open(folder)?;
        folder.lock().map(|()| folder)
    };
    let lock = tokio::task::spawn_blocking(lock).await.unwrap_or_else(|error| Err(io::Error::other(error)));
    lock.map_err(|error| Error::Unreachable(error.into()))
}

/// A pool whose connections begin with these statements.
fn pool(connections: u32, first: &'static [&'static str]) -> AnyPoolOptions {
    AnyPoolOptions::new().max_connections(connections).acquire_timeout(CONNECTION_LIMIT).after_connect(
        move |connection, _| {
            Box::pin(async move {
                for statement in first {
                    connection.execute(*statement).await?;
                }
                Ok(())
            })
        },
    )
}
