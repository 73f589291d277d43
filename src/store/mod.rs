//! Where the events of a subscription are written. Knows nothing of Cronofy.
//!
//! - [`Target`]: whose output, and where.
//! - [`EventStore::head`] reads what is there and tells it from what somebody else made of it.
//! - [`EventStore::commit`] replaces it by a [`Snapshot`] in one atomic step, on condition that it is still what `head` saw.
//! - [`EventStore::erase`] and [`EventStore::release`] end it; [`EventStore::erase_others`] ends what stands under another name.
//!
//! Events, cursor and the account of the window stand in one object. So a crash at any point leaves a cursor and events
//! that belong together, and a writer that has been overtaken is refused as a whole.
//!
//! What must hold:
//! - What is not ours is neither overwritten nor deleted.
//! - A snapshot is written as it is: the engine has already left out what the subscription's visibility does not allow.
//!   Nothing else that may carry event text is written or kept, neither in the output nor in errors, logs or `Debug`.
//! - Each call to the API server ends within [`CALL_LIMIT`].
//!
//! Several kinds of output are one [`Store`] to the caller: [`Store::open`] tells which of them exist.

mod call;
mod config_map;
mod content;
mod error;
#[cfg(test)]
mod fake_api_server;
mod target;
#[cfg(test)]
mod tests;
mod version;

use std::fmt;
use std::future::Future;
use std::time::Duration;

use calendar_sync::{Output, Snapshot, Stored};
use kube::Client;

pub use config_map::ConfigMapStore;
pub use content::{Damage, LARGEST_EVENTS};
pub use error::{StoreError, Unsupported};
pub use target::{InvalidName, OUTPUTS, Owner, SUBSCRIPTION, SUBSCRIPTION_UID, Target, subscription_of};
pub use version::Version;

use crate::api::StoreKind;

/// The longest that one call to the API server takes.
///
/// The client itself has no such limit, and repeats what was answered by 429, 503 or 504.
pub const CALL_LIMIT: Duration = Duration::from_secs(8);

/// A place for the events of subscriptions, one output each.
pub trait EventStore {
    /// What is stored for `target`, read from the store itself and not from a cache.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if the name is taken by something that is not this subscription's. Others if the store
    /// does not answer, or not as it should.
    fn head(&self, target: &Target) -> impl Future<Output = Result<Head, StoreError>> + Send;

    /// Replaces what is stored by `snapshot`, provided that it is still `on`: the version of the [`Head`] that the
    /// snapshot was computed from, `None` if there was nothing.
    ///
    /// Also puts right whatever [`Stored::Damaged`] was about. Writes nothing if all is equal; a cursor that moved is
    /// written even if no event changed, since an empty read, too, need not be done again.
    ///
    /// # Errors
    /// [`StoreError::HeadMoved`] if something else is stored by now. [`StoreError::TooLarge`] if the snapshot does not
    /// fit: what was stored stays. After [`StoreError::TimedOut`] and [`StoreError::Unavailable`] it is open whether the
    /// snapshot is stored: the next [`head`](Self::head) tells.
    fn commit(
        &self,
        target: &Target,
        on: Option<&Version>,
        snapshot: &Snapshot,
    ) -> impl Future<Output = Result<Committed, StoreError>> + Send;

    /// Removes what is stored. What is absent, or not this subscription's, counts as removed.
    ///
    /// # Errors
    /// [`StoreError::HeadMoved`] if it keeps changing meanwhile, [`StoreError::BeingDeleted`] if somebody holds it.
    fn erase(&self, target: &Target) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Removes what is stored for the target's subscription under any other name: it had another one before, and a writer may
    /// have ended between two steps, or may not have known yet. What the labels do not show as this subscription's stays.
    ///
    /// # Errors
    /// As [`erase`](Self::erase).
    fn erase_others(&self, target: &Target) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Lets what is stored outlive its subscription, whatever its owner reference says: for `deletionPolicy: Retain`, before
    /// the subscription goes. What is absent, or not this subscription's, needs nothing.
    ///
    /// # Errors
    /// [`StoreError::HeadMoved`] if it keeps changing meanwhile.
    fn release(&self, target: &Target) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// What is stored, and the version to commit on.
#[derive(Clone, Default)]
pub struct Head {
    /// The content; never [`Stored::Unread`].
    pub stored: Stored,
    /// Why it is [`Stored::Damaged`].
    pub damage: Option<Damage>,
    /// What a commit must name; `None` if there is nothing yet.
    pub version: Option<Version>,
    /// What is stored, in numbers; `None` unless [`Stored::Present`].
    pub output: Option<Output>,
}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stored, damage, version, output } = self;
        let stored = match stored {
            Stored::Unread => "Unread",
            Stored::Absent => "Absent",
            Stored::Damaged => "Damaged",
            Stored::Present(_) => "Present",
        };
        f.debug_struct("Head")
            .field("stored", &stored)
            .field("damage", damage)
            .field("version", version)
            .field("output", output)
            .finish()
    }
}

/// What a commit did.
#[derive(Clone, Debug, PartialEq)]
pub struct Committed {
    /// What is stored now, in numbers.
    pub output: Output,
    /// Whether the events differ from those that stood there before.
    pub changed: bool,
    /// Whether anything was written.
    pub written: bool,
    /// What the next commit must name.
    pub version: Version,
}

/// A store of one of the kinds that the API knows.
#[derive(Clone)]
pub enum Store {
    /// A `ConfigMap` for each subscription.
    ConfigMap(ConfigMapStore),
}

impl Store {
    /// The store for outputs of `kind`.
    ///
    /// # Errors
    /// If this version does not write that kind.
    pub fn open(kind: StoreKind, client: Client) -> Result<Self, Unsupported> {
        match kind {
            StoreKind::ConfigMap => Ok(Self::ConfigMap(ConfigMapStore::new(client))),
            StoreKind::Secret => Err(Unsupported { kind: "Secret" }),
            StoreKind::Remote => Err(Unsupported { kind: "Remote" }),
        }
    }
}

impl EventStore for Store {
    async fn head(&self, target: &Target) -> Result<Head, StoreError> {
        match self {
            Self::ConfigMap(store) => store.head(target).await,
        }
    }

    async fn commit(
        &self,
        target: &Target,
        on: Option<&Version>,
        snapshot: &Snapshot,
    ) -> Result<Committed, StoreError> {
        match self {
            Self::ConfigMap(store) => store.commit(target, on, snapshot).await,
        }
    }

    async fn erase(&self, target: &Target) -> Result<(), StoreError> {
        match self {
            Self::ConfigMap(store) => store.erase(target).await,
        }
    }

    async fn erase_others(&self, target: &Target) -> Result<(), StoreError> {
        match self {
            Self::ConfigMap(store) => store.erase_others(target).await,
        }
    }

    async fn release(&self, target: &Target) -> Result<(), StoreError> {
        match self {
            Self::ConfigMap(store) => store.release(target).await,
        }
    }
}
