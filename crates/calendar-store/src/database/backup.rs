//! A copy of a SQLite database while it is in use.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use sqlx::{AnyConnection, AssertSqlSafe, Connection as _};

use super::opening::COPY;
use super::{Error, Kind};

/// There is no copy.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The database is not SQLite.
    #[error("only a SQLite database is copied by this command: use pg_dump for PostgreSQL")]
    Postgres,
    /// The URL is of no database that is known.
    #[error(transparent)]
    Url(Error),
    /// The copy's name has characters that no SQL can hold.
    #[error("{} cannot be written to: give a name in UTF-8", .0.display())]
    Name(PathBuf),
    /// There is something already.
    #[error("{} exists: remove it, or choose another name", .0.display())]
    Exists(PathBuf),
    /// The copy cannot be made or kept.
    #[error("{} cannot be written: {error}", path.display())]
    File {
        /// The copy.
        path: PathBuf,
        /// The cause.
        error: io::Error,
    },
    /// The copy is there, and one that is to go is there, too.
    #[error("{} is made, but {} cannot be removed: {error}", copy.display(), path.display())]
    Old {
        /// The new copy.
        copy: PathBuf,
        /// The old one.
        path: PathBuf,
        /// The cause.
        error: io::Error,
    },
    /// The database cannot be read.
    #[error("the database cannot be copied: {0}")]
    Database(#[from] sqlx::Error),
}

/// Copies the SQLite database at `url`, `sqlite:FILE`, to a new file that only its owner can read: all of it, as of one moment,
/// without the space that is not used. Others may read and write it meanwhile.
///
/// The copy is marked as one. Whoever opens it for the first time draws other incarnations, however often it is restored: what a restored
/// database makes of its sequences afterwards is not what readers have seen.
///
/// # Errors
/// If it is not SQLite, cannot be read, or `to` exists or cannot be written. Then there is no copy.
pub async fn backup(url: &str, to: &Path) -> Result<(), BackupError> {
    match url.parse().map_err(BackupError::Url)? {
        Kind::Sqlite => {}
        Kind::Postgres => return Err(BackupError::Postgres),
    }
    let file = |error: io::Error| BackupError::File { path: to.to_owned(), error };
    let name = to.to_str().ok_or_else(|| BackupError::Name(to.to_owned()))?;
    sqlx::any::install_default_drivers();
    let mut connection = AnyConnection::connect(url).await?;
    // SQLite would refuse a file with something in it only, and make one that everybody can read.
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to);
    let made = made.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => BackupError::Exists(to.to_owned()),
        _ => file(error),
    })?;
    let copied = match copy(&mut connection, name).await {
        Ok(()) => made.sync_all().map_err(file),
        Err(error) => Err(error.into()),
    };
    if copied.is_err() {
        let _ = std::fs::remove_file(to);
    }
    let _ = connection.close().await;
    copied
}

async fn copy(connection: &mut AnyConnection, name: &str) -> Result<(), sqlx::Error> {
    sqlx::query("VACUUM INTO $1").bind(name).execute(&mut *connection).await?;
    sqlx::query("ATTACH DATABASE $1 AS copy").bind(name).execute(&mut *connection).await?;
    let mark = format!("PRAGMA copy.user_version = {COPY}");
    sqlx::query(AssertSqlSafe(mark)).execute(&mut *connection).await?;
    sqlx::query("DETACH DATABASE copy").execute(&mut *connection).await?;
    Ok(())
}
