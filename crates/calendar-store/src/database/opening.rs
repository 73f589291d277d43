//! Opening a database: its connections, its tables, and what a database that was restored from a copy has to be told.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::Duration;

use sqlx::any::AnyPoolOptions;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{AnyPool, Executor as _, SqlSafeStr as _};
use tokio::time::sleep;

use super::contents::SQLITE_CHANGE;
use super::log::Log;
use super::{Database, Error, Kind, Steps};

/// The steps from an empty database to the tables of this version, by name and text. A step that was released stays as it is: a
/// database that has taken it refuses to be opened with another text.
const SQLITE: &[(&str, &str)] = &[
    ("calendars", include_str!("../../migrations/sqlite/0001_calendars.sql")),
    ("feeds", include_str!("../../migrations/sqlite/0002_feeds.sql")),
];
const POSTGRES: &[(&str, &str)] = &[
    ("calendars", include_str!("../../migrations/postgres/0001_calendars.sql")),
    ("feeds", include_str!("../../migrations/postgres/0002_feeds.sql")),
    ("places", include_str!("../../migrations/postgres/0003_places.sql")),
];

/// Whoever waits longer for a connection is told that the database is busy.
const CONNECTION_LIMIT: Duration = Duration::from_secs(10);
/// Connections of one process for readers.
const READERS: u32 = 8;
/// The same for what is written to PostgreSQL. They are apart, so that readers, however many, keep no commit waiting.
const WRITERS: u32 = 4;
/// Between two attempts at a lock.
const LOCK_PAUSE: Duration = Duration::from_millis(100);

/// `user_version` in the header of a copy that nobody has opened yet.
pub(super) const COPY: i64 = 1;

impl Database {
    /// Connects to `url`, `sqlite:FILE` or `postgres://USER:PASSWORD@HOST:PORT/NAME`, and brings its tables up to date. Several
    /// processes may do that at once.
    ///
    /// A database that was restored from a copy gets other incarnations: what is written from now on is not what readers of the
    /// original have seen. SQLite's copies are known by a mark, those of PostgreSQL by the place where they lie.
    ///
    /// # Errors
    /// If the database cannot be reached, or its tables are of a later version.
    pub async fn open(url: &str) -> Result<Self, Error> {
        Self::open_telling(url, |_| {}).await
    }

    /// The same, telling what it waits for. It may be dropped at any time.
    ///
    /// # Errors
    /// As [`Database::open`].
    pub async fn open_telling(url: &str, waits: impl Fn(&'static str)) -> Result<Self, Error> {
        sqlx::any::install_default_drivers();
        let kind: Kind = url.parse()?;
        let (writes, reads, log) = match kind {
            Kind::Sqlite => {
                let file = file(url)?;
                let created = format!("{url}{}mode=rwc", if url.contains('?') { '&' } else { '?' });
                // SQLite's own locks do not span the steps of a migration. The end of this one frees it.
                let lock = locked(file, &waits).await?;
                waits("opening the file");
                // One connection writes, so that nobody waits for a lock.
                let writes = pool(
                    1,
                    &[
                        // Emptying the log keeps it waiting for as long as the disk takes.
                        "PRAGMA busy_timeout = 30000",
                        "PRAGMA journal_mode = WAL",
                        "PRAGMA synchronous = FULL",
                        "PRAGMA secure_delete = ON",
                    ],
                );
                let writes = writes.connect(&created).await.map_err(Error::Unreachable)?;
                waits("bringing its tables up to date");
                migrator(SQLITE).run(&writes).await?;
                leave_original(&writes).await?;
                drop(lock);
                let reads = pool(READERS, &["PRAGMA query_only = ON"]);
                let log = pool(1, &["PRAGMA busy_timeout = 0"]).connect(url).await.map_err(Error::Unreachable)?;
                (writes, reads.connect(url).await.map_err(Error::Unreachable)?, Some(Log::new(log)))
            }
            Kind::Postgres => {
                waits("waiting for the server to take connections");
                let writes = pool(WRITERS, &[]).connect(url).await.map_err(Error::Unreachable)?;
                waits("bringing its tables up to date, or waiting for another process that does");
                migrator(POSTGRES).run(&writes).await?;
                leave_place(&writes).await?;
                let reads = pool(READERS, &[]).connect(url).await.map_err(Error::Unreachable)?;
                (writes, reads, None)
            }
        };
        Ok(Self { kind, writes, reads, log, steps: Steps::default() })
    }
}

/// What takes these steps. Not by the macro of the library, which would compile the drivers a second time, for itself.
fn migrator(steps: &[(&'static str, &'static str)]) -> Migrator {
    let numbered = (1..).zip(steps);
    let migrations = numbered.map(|(version, (name, sql))| {
        Migration::new(version, (*name).into(), MigrationType::Simple, sql.into_sql_str(), false)
    });
    Migrator::with_migrations(migrations.collect())
}

/// Gives a copy that is opened for the first time other incarnations than its original, and than every other restoration of it.
async fn leave_original(pool: &AnyPool) -> Result<(), Error> {
    let mut transaction = pool.begin_with(SQLITE_CHANGE).await?;
    let version: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *transaction).await?;
    if version == COPY {
        sqlx::query("UPDATE subscriptions SET incarnation = lower(hex(randomblob(4)))")
            .execute(&mut *transaction)
            .await?;
        // Of the transaction, too, since it stands in the file.
        sqlx::query("PRAGMA user_version = 0").execute(&mut *transaction).await?;
        tracing::info!("the database is a copy: whoever follows changes is told to read anew");
    }
    Ok(transaction.commit().await?)
}

/// Where the tables lie: in which cluster, since which restoration or failover of it, in which database, as which table. What is
/// restored from a dump or from an archive differs in one of these.
const PLACE: &str = "SELECT system_identifier || '.' || left(pg_walfile_name(pg_current_wal_lsn()), 8) || '.' \
     || (SELECT oid FROM pg_database WHERE datname = current_database()) || '.' || 'subscriptions'::regclass::oid \
     FROM pg_control_system()";

/// The same as [`leave_original`] for PostgreSQL, by the place where the database was last opened.
async fn leave_place(pool: &AnyPool) -> Result<(), Error> {
    let place: String = match sqlx::query_scalar(PLACE).fetch_one(pool).await {
        Ok(place) => place,
        Err(sqlx::Error::Database(error)) => {
            // One that speaks PostgreSQL's language and is none, or one that allows less.
            tracing::warn!(%error, "the database does not tell where it is: after a restoration draw other incarnations by hand");
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    let mut transaction = pool.begin().await?;
    // Of several processes that start at once one does it.
    transaction.execute("LOCK TABLE places IN EXCLUSIVE MODE").await?;
    let known: Option<String> =
        sqlx::query_scalar("SELECT place FROM places").fetch_optional(&mut *transaction).await?;
    if known.as_ref() != Some(&place) {
        if known.is_some() {
            transaction.execute("UPDATE subscriptions SET incarnation = substr(md5(random()::text), 1, 8)").await?;
            transaction.execute("DELETE FROM places").await?;
            tracing::info!("the database was restored elsewhere: whoever follows changes is told to read anew");
        }
        sqlx::query("INSERT INTO places (place) VALUES ($1)").bind(place).execute(&mut *transaction).await?;
    }
    Ok(transaction.commit().await?)
}

/// The file of an SQLite database.
pub(super) fn file(url: &str) -> Result<&Path, Error> {
    let path = url.strip_prefix("sqlite:").unwrap_or(url).trim_start_matches("//");
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    if path.is_empty() || path.starts_with(':') { Err(Error::NoFile) } else { Ok(Path::new(path)) }
}

/// A lock on the folder of this file. The file itself is not touched: SQLite would lose its own locks on it.
async fn locked(file: &Path, waits: &impl Fn(&'static str)) -> Result<File, Error> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = File::open(folder).map_err(|error| Error::Unreachable(error.into()))?;
    loop {
        // Not the call that blocks: nothing could end that.
        match folder.try_lock() {
            Ok(()) => return Ok(folder),
            Err(TryLockError::WouldBlock) => {
                waits("another process has locked the folder, and brings the tables up to date");
                sleep(LOCK_PAUSE).await;
            }
            Err(TryLockError::Error(error)) => return Err(Error::Unreachable(error.into())),
        }
    }
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{POSTGRES, SQLITE};

    #[test]
    fn each_file_of_a_step_is_taken_in_its_order() {
        for (kind, steps) in [("sqlite", SQLITE), ("postgres", POSTGRES)] {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(kind);
            let numbered = (1..).zip(steps).map(|(version, (name, sql))| {
                let file = format!("{version:04}_{name}.sql");
                assert_eq!(std::fs::read_to_string(folder.join(&file)).unwrap(), *sql, "{file}");
                file
            });
            let mut files: Vec<String> = std::fs::read_dir(&folder)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            files.sort_unstable();
            assert_eq!(numbered.collect::<Vec<_>>(), files, "{kind}");
        }
    }
}
