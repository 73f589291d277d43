//! What one process remembers of the outputs: texts of slices, and which versions are its own work.
//!
//! A text that is remembered is not read again. So whoever watches outputs must show every event to
//! [`StoreMemory::is_own`]: what is not our own work puts the slices of its subscription in doubt, and the next
//! [`head`](super::EventStore::head) compares all of them with the server. Losing all of this costs requests, never
//! correctness.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kube::api::ObjectMeta;

use super::cache::Cache;
use super::target::{COMPONENT, SLICE, SUBSCRIPTION_UID};

/// Texts of slices that are kept at most, in bytes.
pub const CACHED_BYTES: usize = 32 * 1024 * 1024;

/// What one process remembers of the outputs. Clones share it.
#[derive(Clone)]
pub struct StoreMemory(Arc<Mutex<State>>);

/// An object. Not by its labels: these may be what somebody changes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub kind: &'static str,
    pub namespace: String,
    pub name: String,
}

/// What we last knew of an object, and whose it is.
struct Entry {
    /// Uid of the subscription.
    owner: String,
    known: Known,
}

/// What we last knew of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Known {
    /// A write of ours is under way. An event may overtake its answer: then this is the version that the event showed.
    Writing { seen: Option<String> },
    /// This version is our work, or was looked at and found right.
    Version(Option<String>),
    /// We delete it.
    Leaving,
}

/// A write under way. One that is given up counts as open: what came of it is found out like the work of others.
pub(super) struct Write<'a> {
    memory: &'a StoreMemory,
    key: Key,
    owner: &'a str,
}

impl Write<'_> {
    /// It was answered by this version.
    pub fn done(self, version: Option<&String>) {
        let mut state = self.memory.state();
        let known = Known::Version(version.cloned());
        let before = state.known.insert(self.key.clone(), Entry { owner: self.owner.to_owned(), known });
        if let Some(Known::Writing { seen: Some(seen) }) = before.map(|entry| entry.known)
            && Some(&seen) != version
        {
            // Somebody was quick: our write was followed by another before we had our answer.
            state.known.remove(&self.key);
            state.doubted.insert(self.owner.to_owned());
        }
    }
}

impl Drop for Write<'_> {
    fn drop(&mut self) {
        let mut state = self.memory.state();
        if let Some(Known::Writing { seen }) = state.known.get(&self.key).map(|entry| entry.known.clone()) {
            state.known.remove(&self.key);
            if seen.is_some() {
                state.doubted.insert(self.owner.to_owned());
            }
        }
    }
}

struct State {
    texts: Cache<Key>,
    known: HashMap<Key, Entry>,
    /// Uids of subscriptions whose slices were touched by somebody.
    doubted: HashSet<String>,
    /// When the slices of a subscription were compared with the server last.
    compared: HashMap<String, Instant>,
}

impl Default for StoreMemory {
    fn default() -> Self {
        Self::with_capacity(CACHED_BYTES)
    }
}

impl StoreMemory {
    /// One that keeps at most so many bytes of text.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self(Arc::new(Mutex::new(State {
            texts: Cache::new(bytes),
            known: HashMap::new(),
            doubted: HashSet::new(),
            compared: HashMap::new(),
        })))
    }

    /// Whether a watch of `ConfigMap` outputs shows what we did ourselves. If not, the slices of the subscription are in doubt
    /// from now on, unless all that is known is that it has an index.
    #[must_use]
    pub fn is_own(&self, metadata: &ObjectMeta) -> bool {
        let key = Key {
            kind: "ConfigMap",
            namespace: metadata.namespace.clone().unwrap_or_default(),
            name: metadata.name.clone().unwrap_or_default(),
        };
        let mut state = self.state();
        let Some(Entry { owner, known }) = state.known.get_mut(&key) else {
            let label = |key: &str| metadata.labels.as_ref().and_then(|labels| labels.get(key));
            if label(COMPONENT).is_some_and(|component| component == SLICE) {
                let references = metadata.owner_references.iter().flatten().map(|reference| &reference.uid);
                state.doubted.extend(label(SUBSCRIPTION_UID).into_iter().chain(references).cloned());
            }
            return false;
        };
        match known {
            Known::Writing { seen } => {
                seen.clone_from(&metadata.resource_version);
                true
            }
            Known::Version(version) if version.is_some() && *version == metadata.resource_version => true,
            Known::Version(_) => {
                let owner = owner.clone();
                state.doubted.insert(owner);
                false
            }
            Known::Leaving => {
                state.known.remove(&key);
                true
            }
        }
    }

    /// The watch has begun anew: what was deleted meanwhile, it does not show. All slices that are remembered are in doubt.
    pub fn missed_some(&self) {
        let mut state = self.state();
        let State { texts, known, doubted, .. } = &mut *state;
        doubted.extend(texts.keys().filter_map(|key| known.get(key)).map(|entry| entry.owner.clone()));
    }

    /// Forgets a subscription that is gone.
    pub fn forget(&self, owner: &str) {
        let mut state = self.state();
        let State { texts, known, .. } = &mut *state;
        texts.retain(|key| known.get(key).is_some_and(|entry| entry.owner != owner));
        known.retain(|_, entry| entry.owner != owner);
        state.doubted.remove(owner);
        state.compared.remove(owner);
    }

    /// Whether somebody has touched a slice of a subscription since they were compared with the server last.
    #[must_use]
    pub fn is_touched(&self, owner: &str) -> bool {
        self.is_doubted(owner, None)
    }

    /// Puts the slices of a subscription in doubt: the next look compares all of them with the server.
    pub fn doubt(&self, owner: &str) {
        self.state().doubted.insert(owner.to_owned());
    }

    /// Whether the slices of a subscription are to be compared with the server: somebody touched one, or nobody tells and it
    /// has not been done for `at_most`.
    pub(super) fn is_doubted(&self, owner: &str, at_most: Option<Duration>) -> bool {
        let mut state = self.state();
        let long_ago = |compared: Option<&Instant>, at_most| compared.is_none_or(|time| time.elapsed() >= at_most);
        if at_most.is_some_and(|at_most| long_ago(state.compared.get(owner), at_most)) {
            state.doubted.insert(owner.to_owned());
        }
        state.doubted.contains(owner)
    }

    /// Before the slices are compared: what is touched from now on puts them in doubt again.
    pub(super) fn trust(&self, owner: &str) {
        let mut state = self.state();
        state.doubted.remove(owner);
        state.compared.insert(owner.to_owned(), Instant::now());
    }

    /// After all slices were written.
    pub(super) fn compared(&self, owner: &str) {
        self.state().compared.insert(owner.to_owned(), Instant::now());
    }

    /// Before a write. What comes of it is told to the answer.
    pub(super) fn write<'a>(&'a self, key: Key, owner: &'a str) -> Write<'a> {
        let known = Known::Writing { seen: None };
        self.state().known.insert(key.clone(), Entry { owner: owner.to_owned(), known });
        Write { memory: self, key, owner }
    }

    /// Before a deletion.
    pub(super) fn leaving(&self, key: &Key, owner: &str) {
        let mut state = self.state();
        state.texts.remove(key);
        state.known.insert(key.clone(), Entry { owner: owner.to_owned(), known: Known::Leaving });
    }

    /// A slice that was looked at and is right.
    pub(super) fn keep(&self, key: &Key, owner: &str, version: Option<&String>, text: Arc<str>) {
        let mut state = self.state();
        let known = Known::Version(version.cloned());
        state.known.insert(key.clone(), Entry { owner: owner.to_owned(), known });
        for gone in state.texts.insert(key.clone(), text) {
            // Without its text it is read again anyway.
            state.known.remove(&gone);
        }
    }

    /// The text of a slice, and the version that it was found right in.
    pub(super) fn slice(&self, key: &Key) -> Option<(Arc<str>, Option<String>)> {
        let mut state = self.state();
        let Some(Known::Version(version)) = state.known.get(key).map(|entry| entry.known.clone()) else { return None };
        Some((state.texts.get(key)?, version))
    }

    /// Names of objects of a subscription that are known.
    pub(super) fn names_of(&self, kind: &str, namespace: &str, owner: &str) -> Vec<String> {
        let state = self.state();
        let ours = state.known.iter().filter(|(key, entry)| {
            key.kind == kind && key.namespace == namespace && entry.owner == owner && entry.known != Known::Leaving
        });
        ours.map(|(key, _)| key.name.clone()).collect()
    }

    /// An object that is gone, or not what was written.
    pub(super) fn drop_known(&self, key: &Key) {
        let mut state = self.state();
        state.texts.remove(key);
        state.known.remove(key);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
