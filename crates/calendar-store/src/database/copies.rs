//! Copies in a folder, of which the newest are kept, and one that is sent on.

use std::fs::{self, File};
use std::io::{self, Write};
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::fmt::strtime;

use super::backup::{BackupError, backup};
use super::opening::file;

/// How copies are called: by the moment at which they were begun, so that their names are in its order.
const NAME: &str = "calendar-store-%Y%m%dT%H%M%SZ";
/// The end of their names, and of one that is not complete.
const COMPLETE: &str = ".db";
const PART: &str = ".db.part";

/// Copies the SQLite database at `url` into `folder`, named by the time in UTC, and removes the oldest of the copies there that are
/// more than `keep`. Under its name a copy is complete. Gives its path.
///
/// # Errors
/// As [`backup`]. If an old copy cannot be removed; the new one is there then.
pub async fn backup_into(url: &str, folder: &Path, keep: Option<NonZeroU16>) -> Result<PathBuf, BackupError> {
    let name = Timestamp::now().strftime(NAME).to_string();
    let [part, copy] = [PART, COMPLETE].map(|end| folder.join(format!("{name}{end}")));
    if copy.exists() {
        return Err(BackupError::Exists(copy));
    }
    backup(url, &part).await?;
    let named = fs::rename(&part, &copy).and_then(|()| File::open(folder)?.sync_all());
    named.map_err(|error| BackupError::File { path: copy.clone(), error })?;
    if let Some(keep) = keep {
        forget(folder, usize::from(keep.get()), &name).map_err(|(path, error)| BackupError::Old {
            copy: copy.clone(),
            path,
            error,
        })?;
    }
    Ok(copy)
}

/// Copies the SQLite database at `url`, and writes the copy to `to`. Meanwhile it lies beside the database.
///
/// # Errors
/// As [`backup`]. If it cannot be written.
pub async fn backup_through(url: &str, to: &mut impl Write) -> Result<(), BackupError> {
    let beside = file(url).map_err(BackupError::Url)?.parent().filter(|folder| !folder.as_os_str().is_empty());
    let beside = beside.unwrap_or(Path::new("."));
    let failed = |path: &Path, error: io::Error| BackupError::File { path: path.to_owned(), error };
    let folder = tempfile::Builder::new().prefix(".copy-").tempdir_in(beside).map_err(|error| failed(beside, error))?;
    let copy = folder.path().join("store.db");
    backup(url, &copy).await?;
    let sent = File::open(&copy).and_then(|mut copy| io::copy(&mut copy, to)).and_then(|_| to.flush());
    sent.map_err(|error| failed(Path::new("standard output"), error))
}

/// Removes the oldest copies, and what was left of those before `newest` that were not completed. Nothing else is touched.
fn forget(folder: &Path, keep: usize, newest: &str) -> Result<(), (PathBuf, io::Error)> {
    let names = fs::read_dir(folder).and_then(|entries| {
        let names = entries.map(|entry| entry.map(|entry| entry.file_name().into_string().unwrap_or_default()));
        names.collect::<io::Result<Vec<_>>>()
    });
    let names = names.map_err(|error| (folder.to_owned(), error))?;
    let is_copy = |name: &&String, end| name.strip_suffix(end).is_some_and(is_named);
    let mut copies: Vec<&String> = names.iter().filter(|name| is_copy(name, COMPLETE)).collect();
    copies.sort_unstable_by(|one, other| other.cmp(one));
    let parts = names.iter().filter(|name| is_copy(name, PART) && name.as_str() < newest);
    for old in copies.into_iter().skip(keep).chain(parts) {
        let path = folder.join(old);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err((path, error)),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

/// Whether this is the name of a copy.
fn is_named(name: &str) -> bool {
    let parsed = strtime::parse(NAME, name).and_then(|time| time.to_datetime());
    parsed.is_ok_and(|time| time.strftime(NAME).to_string() == name)
}
