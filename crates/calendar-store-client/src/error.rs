//! Why a store did not do what it was asked for: one variant for each thing that the caller does about it.

use std::path::PathBuf;
use std::time::Duration;

/// A call failed. Says nothing of events, tokens and passwords.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Something else is stored by now: read the head, and compute the commit anew.
    #[error("something else is stored by now")]
    HeadMoved,
    /// Events of another subscription stand under the name.
    #[error("events of another subscription{} stand under that name", .uid.as_ref().map(|uid| format!(" (uid {uid})")).unwrap_or_default())]
    Conflict {
        /// The other one's uid, if the store tells it.
        uid: Option<String>,
    },
    /// The changes do not make up the state: send everything.
    #[error("the changes do not fit what is stored")]
    Inconsistent,
    /// The body, or a line of it, is larger than the store takes.
    #[error("the store does not take so much")]
    TooLarge,
    /// The token is none that the store knows.
    #[error("the store does not know the token: it must be issued for the audience that the store expects")]
    Unauthorized,
    /// The token does not allow it.
    #[error("the token does not allow to write: the store must admit the operator's ServiceAccount as its writer")]
    Forbidden,
    /// The store has too much to do. Nothing was done.
    #[error("the store has too much to do")]
    Busy {
        /// When to try again, if it says so.
        retry_after: Option<Duration>,
    },
    /// The store, or its database, cannot at the moment. A write may have been done nevertheless.
    #[error("the store cannot at the moment ({status})")]
    Unavailable {
        /// HTTP status.
        status: u16,
        /// When to try again, if it says so.
        retry_after: Option<Duration>,
    },
    /// The store does not take the request: the two are of different releases, or it is no calendar store.
    #[error("it answers with {status}: see whether the URL is that of a calendar store of this release")]
    Refused {
        /// HTTP status.
        status: u16,
    },
    /// No answer in time. A write may have been done nevertheless.
    #[error("no answer within {} s", .limit.as_secs_f32())]
    TimedOut {
        /// The limit.
        limit: Duration,
    },
    /// No connection, or one that broke. A write may have been done nevertheless.
    #[error("it cannot be reached ({cause})")]
    Unreachable {
        /// What the connection says.
        cause: String,
    },
    /// The answer was cut off, or is not as documented.
    #[error("its answer cannot be read")]
    Unreadable,
    /// A file that every call needs cannot be used.
    #[error("{path}: {cause}", path = .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// What is to be sent cannot be written as JSON.
    #[error("the events cannot be written as JSON: please report this")]
    Unencodable,
}

impl Error {
    /// An error of the transport, by its causes and without its URL.
    pub(crate) fn of(error: reqwest::Error, limit: Duration) -> Self {
        if error.is_timeout() {
            return Self::TimedOut { limit };
        }
        let error = error.without_url();
        let mut cause = String::new();
        let mut next: Option<&dyn std::error::Error> = Some(&error);
        while let Some(error) = next {
            let text = error.to_string();
            if !cause.contains(&text) {
                cause = if cause.is_empty() { text } else { format!("{cause}: {text}") };
            }
            next = error.source();
        }
        Self::Unreachable { cause }
    }
}
