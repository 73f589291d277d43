//! What can go wrong with the database.

use calendar_store_client::Head;

/// Something was not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is of no database that is known.
    #[error("the database's URL has to begin with sqlite: or postgres:")]
    Scheme,
    /// It would be gone with the process.
    #[error("the database's URL has to name a file: sqlite:/var/lib/calendar-store/store.db, for example")]
    NoFile,
    /// It cannot be connected to.
    #[error("the database cannot be opened: {0}")]
    Unreachable(#[source] sqlx::Error),
    /// Its tables cannot be brought up to date.
    #[error("the database's tables cannot be brought up to date: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// Something else is stored by now than what the writer knew.
    #[error("something else is stored by now: read the head, and commit on that")]
    HeadMoved {
        /// What is stored; `None` if there is nothing.
        head: Option<Head>,
    },
    /// Another subscription has the name.
    #[error("another subscription of that name is stored, with uid {uid}: erase it first")]
    Conflict {
        /// The other one.
        uid: String,
    },
    /// The lines do not make up what the state says.
    #[error("the state says {said} events, and the lines make it {found}: send everything")]
    Inconsistent {
        /// How many there should be.
        said: u64,
        /// How many there would be.
        found: u64,
    },
    /// A line cannot be used.
    #[error(transparent)]
    Line(#[from] crate::spool::LineError),
    /// What is stored is not what was written.
    #[error("what is stored cannot be read: {0}")]
    Damaged(#[source] serde_json::Error),
    /// The database did not do it.
    #[error("the database does not answer: {0}")]
    Unavailable(#[from] sqlx::Error),
}
