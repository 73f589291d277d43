//! Why a calendar could not be read.

use crate::{CALL_LIMIT, Kind};

/// A calendar could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such object: the subscription has not been read yet, or writes elsewhere.
    #[error("{kind:?} {namespace}/{name} does not exist: see status.output of the subscription")]
    NotFound {
        /// Its kind.
        kind: Kind,
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// It is no whole calendar, and did not become one.
    #[error("{0}: see the conditions of the subscription")]
    Unsettled(#[from] Unsettled),
    /// A release with another format has written it.
    #[error("it is written in format {0}, which this release does not know: update the reader")]
    Format(u32),
    /// The API server did not answer.
    #[error("the API server did not answer within {} s", CALL_LIMIT.as_secs())]
    TimedOut,
    /// The request failed, or was refused.
    #[error(transparent)]
    Call(#[from] kube::Error),
}

/// What keeps an object from being a whole calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsettled {
    /// It has no index: it is being written for the first time, or somebody has removed it.
    #[error("it has no index.json")]
    NoIndex,
    /// The index cannot be read.
    #[error("its index.json is not what was written")]
    Index,
    /// The index lists no slices, and there are no events beside it.
    #[error("it has no events.json")]
    NoEvents,
    /// A slice is missing.
    #[error("one of its slices is missing")]
    SliceMissing,
    /// A document is not what the index says.
    #[error("its events are not what was written")]
    Hash,
}
