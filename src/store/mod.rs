//! Where the events of a subscription are written. Knows nothing of Cronofy.
//!
//! - [`Target`]: whose output, and where.
//! - [`EventStore::head`] reads what is there and tells it from what somebody else made of it.
//! - [`EventStore::commit`] replaces it by a [`Snapshot`] in one atomic step, on condition that it is still what `head` saw.
//! - [`EventStore::tidy`] removes what earlier commits left for readers that were under way.
//! - [`EventStore::erase`] and [`EventStore::release`] end it; [`EventStore::erase_others`] ends what stands under another name.
//!
//! An output is an index, with cursor and the account of the window, and the events: beside the index while they are few, or
//! in immutable slices that it lists. A commit takes effect with the write of the index. So a crash at any point leaves a
//! cursor and events that belong together, and a writer that has been overtaken is refused as a whole. docs/reading-events.md
//! has the form for readers.
//!
//! In the order in which data pass: `content` (documents, cut by `cuts`, listed by `index`) → `slices` → `output` and
//! `index_object` → `tidy`; `object` and `calls` are Kubernetes, `memory` is what need not be read again. A calendar store is
//! `remote`, with its documents in `remote_lines`; `remotes` says which of them may be called.
//!
//! What must hold:
//! - What is not ours is neither overwritten nor deleted.
//! - A snapshot is written as it is: the engine has already left out what the subscription's visibility does not allow.
//!   Nothing else that may carry event text is written or kept, neither in the output nor in errors, logs or `Debug`.
//! - Each call to the API server ends within [`CALL_LIMIT`], one to a calendar store within [`REMOTE_CALL_LIMIT`].
//!
//! Several kinds of output are one [`Store`] to the caller: [`Store::open`] tells which of them exist.

mod cache;
mod call;
mod calls;
mod content;
mod cuts;
mod damage;
mod error;
#[cfg(test)]
mod fake_api_server;
mod index;
mod index_object;
mod memory;
mod object;
mod output;
mod remote;
mod remote_lines;
mod remotes;
mod slices;
mod target;
#[cfg(test)]
mod tests;
mod tidy;
mod version;

use std::fmt;
use std::future::Future;
use std::time::Duration;

use calendar_sync::{Output, Snapshot, Stored};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::Client;

pub use crate::kubernetes::CALL_LIMIT;
pub use content::{LARGEST_EVENTS, LARGEST_INLINE, MOST_BYTES, MOST_EVENTS};
pub use damage::Damage;
pub use error::StoreError;
pub use memory::{CACHED_BYTES, StoreMemory};
pub use object::SECRET_TYPE;
pub use output::ObjectStore;
pub use remote::{REMOTE_CALL_LIMIT, RemoteStore};
pub use remote_lines::MOST_REMOTE_EVENTS;
pub use remotes::{NoRemote, RemoteSettings, Remotes};
pub use target::{InvalidName, OUTPUT, OUTPUTS, Owner, SUBSCRIPTION, SUBSCRIPTION_UID, Target, subscription_of};
pub use tidy::GRACE;
pub use version::Version;

use crate::api::StoreKind;

/// A place for the events of subscriptions, one output each.
pub trait EventStore {
    /// What is stored for `target`, read from the store itself and not from a cache.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if the name is taken by something that is not this subscription's; a calendar store tells that
    /// only to a commit. Others if the store does not answer, or not as it should.
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

    /// Removes what earlier commits replaced, once nobody who read an earlier index can still need it, and what a crash left
    /// behind. Gives when the next is due. To be done when [`Head::tidy`] or [`Committed::tidy`] says so.
    ///
    /// # Errors
    /// [`StoreError::HeadMoved`] if the output changed meanwhile: then it is still due.
    fn tidy(&self, target: &Target) -> impl Future<Output = Result<Option<Timestamp>, StoreError>> + Send;

    /// Removes what is stored. What is absent, or not this subscription's, counts as removed.
    ///
    /// # Errors
    /// [`StoreError::HeadMoved`] if it keeps changing meanwhile, [`StoreError::BeingDeleted`] if somebody holds it.
    fn erase(&self, target: &Target) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Removes what is stored for the target's subscription under any other name: it had another one before, and a writer may
    /// have ended between two steps, or may not have known yet. What the labels do not show as this subscription's stays, and
    /// so do Secrets, which are never listed.
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
    /// When something is to be tidied up.
    pub tidy: Option<Timestamp>,
}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stored, damage, version, output, tidy } = self;
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
            .field("tidy", tidy)
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
    /// Bytes of the index that was written, and of the events beside it; 0 if nothing was.
    pub written: usize,
    /// Sizes of the slices that were written, in bytes.
    pub slices: Vec<usize>,
    /// What the next commit must name.
    pub version: Version,
    /// When something is to be tidied up.
    pub tidy: Option<Timestamp>,
}

/// A store of one of the kinds that the API knows.
#[derive(Clone)]
pub enum Store {
    /// `ConfigMap`s for each subscription.
    ConfigMap(ObjectStore<ConfigMap>),
    /// Secrets for each subscription.
    Secret(ObjectStore<Secret>),
    /// A calendar store.
    Remote(RemoteStore),
}

impl Store {
    /// The store for outputs of `kind` in the cluster. All of one process share one memory.
    ///
    /// # Errors
    /// If they do not stand in the cluster: [`Remotes`] has those.
    pub fn open(kind: StoreKind, client: Client, memory: StoreMemory) -> Result<Self, NoRemote> {
        match kind {
            StoreKind::ConfigMap => Ok(Self::ConfigMap(ObjectStore::new(client, memory))),
            StoreKind::Secret => Ok(Self::Secret(ObjectStore::new(client, memory))),
            StoreKind::Remote => Err(NoRemote::NotNamed),
        }
    }

    /// The same with another time for which what is replaced stays: [`GRACE`] by default.
    #[must_use]
    pub fn with_grace(self, grace: Duration) -> Self {
        match self {
            Self::ConfigMap(store) => Self::ConfigMap(store.with_grace(grace)),
            Self::Secret(store) => Self::Secret(store.with_grace(grace)),
            Self::Remote(store) => Self::Remote(store),
        }
    }

    /// Which kind it writes.
    #[must_use]
    pub fn kind(&self) -> StoreKind {
        match self {
            Self::ConfigMap(_) => StoreKind::ConfigMap,
            Self::Secret(_) => StoreKind::Secret,
            Self::Remote(_) => StoreKind::Remote,
        }
    }

    /// Whether a watch tells when somebody touches an output. Where nobody does, one has to look.
    #[must_use]
    pub fn is_watched(&self) -> bool {
        match self {
            Self::ConfigMap(_) => true,
            // Secrets are never listed, and a database may be restored.
            Self::Secret(_) | Self::Remote(_) => false,
        }
    }

    /// Where it is, if that is not the cluster.
    #[must_use]
    pub fn url(&self) -> Option<&str> {
        match self {
            Self::ConfigMap(_) | Self::Secret(_) => None,
            Self::Remote(store) => Some(store.url()),
        }
    }
}

impl EventStore for Store {
    async fn head(&self, target: &Target) -> Result<Head, StoreError> {
        match self {
            Self::ConfigMap(store) => store.head(target).await,
            Self::Secret(store) => store.head(target).await,
            Self::Remote(store) => store.head(target).await,
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
            Self::Secret(store) => store.commit(target, on, snapshot).await,
            Self::Remote(store) => store.commit(target, on, snapshot).await,
        }
    }

    async fn tidy(&self, target: &Target) -> Result<Option<Timestamp>, StoreError> {
        match self {
            Self::ConfigMap(store) => store.tidy(target).await,
            Self::Secret(store) => store.tidy(target).await,
            Self::Remote(store) => store.tidy(target).await,
        }
    }

    async fn erase(&self, target: &Target) -> Result<(), StoreError> {
        match self {
            Self::ConfigMap(store) => store.erase(target).await,
            Self::Secret(store) => store.erase(target).await,
            Self::Remote(store) => store.erase(target).await,
        }
    }

    async fn erase_others(&self, target: &Target) -> Result<(), StoreError> {
        match self {
            Self::ConfigMap(store) => store.erase_others(target).await,
            Self::Secret(store) => store.erase_others(target).await,
            Self::Remote(store) => store.erase_others(target).await,
        }
    }

    async fn release(&self, target: &Target) -> Result<(), StoreError> {
        match self {
            Self::ConfigMap(store) => store.release(target).await,
            Self::Secret(store) => store.release(target).await,
            Self::Remote(store) => store.release(target).await,
        }
    }
}
