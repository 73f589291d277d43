//! Slices as objects: reading, writing and removing them.
//!
//! A slice never changes: its name is a hash of what it holds, and Kubernetes holds it immutable. What is found under its
//! name is either exactly that, or it is replaced.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, StreamExt as _};
use kube::api::ObjectMeta;

use super::call::CallError;
use super::calls::{self, Calls};
use super::content::{self, Slice};
use super::index::{Index, SliceEntry};
use super::memory::{Key, StoreMemory};
use super::object::{self, Object, Parts};
use super::target::{Ownership, Part};
use super::version::{self, ObjectVersion};
use super::{Damage, StoreError, Target};

/// Requests about slices that are under way at the same time.
const AT_ONCE: usize = 8;
/// How often a slice is tried anew because it has changed meanwhile.
const MOST_TRIES: usize = 3;
/// Where nobody tells us that a slice was touched, they are all looked at after this time.
pub(super) const UNWATCHED_CHECK: Duration = Duration::from_hours(1);

/// The slices of one output.
pub(super) struct Slices<'a, K> {
    pub calls: &'a Calls<K>,
    pub memory: &'a StoreMemory,
    pub target: &'a Target,
}

/// Slices as they are on the server, by name.
pub(super) type Survey = HashMap<String, ObjectMeta>;

/// These objects as a survey.
pub(super) fn by_name(objects: impl IntoIterator<Item = ObjectMeta>) -> Survey {
    objects.into_iter().filter_map(|metadata| Some((metadata.name.clone()?, metadata))).collect()
}

/// What came of a removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Removal {
    /// It is gone, or never was ours.
    Gone,
    /// It is being deleted, and somebody's finalizer holds it with all that is in it.
    Held,
}

impl<K: Object> Slices<'_, K> {
    /// The slices that there are, if somebody has touched one since they were looked at last.
    pub async fn survey_if_doubted(&self, index: &Index) -> Result<Option<Survey>, StoreError> {
        let owner = self.owner();
        let unwatched = (!K::LISTED && !index.slices.is_empty()).then_some(UNWATCHED_CHECK);
        if !self.memory.is_doubted(owner, unwatched) {
            return Ok(None);
        }
        self.memory.trust(owner);
        let names = index.slices.iter().map(|slice| slice.name.as_str()).collect();
        let survey = self.survey(names).await;
        if survey.is_err() {
            self.memory.doubt(owner);
        }
        survey.map(Some)
    }

    /// All slices of the output, or, of a kind that is never listed, those of these names.
    pub async fn survey(&self, names: Vec<&str>) -> Result<Survey, StoreError> {
        let namespace = self.target.namespace();
        if K::LISTED {
            return Ok(by_name(self.calls.list(namespace, &self.target.slices()).await?));
        }
        let found = at_once(names.into_iter().map(|name| self.calls.metadata(namespace, name)).collect()).await;
        let found: Vec<Option<ObjectMeta>> = found.into_iter().collect::<Result<_, _>>()?;
        Ok(by_name(found.into_iter().flatten()))
    }

    /// The texts of all slices of an index, in their order; for each that is not as it should be, why.
    pub async fn read_all(
        &self,
        index: &Index,
        survey: Option<&Survey>,
    ) -> Result<Vec<Result<Arc<str>, Damage>>, StoreError> {
        at_once(index.slices.iter().map(|entry| self.read(entry, survey)).collect()).await.into_iter().collect()
    }

    async fn read(&self, entry: &SliceEntry, survey: Option<&Survey>) -> Result<Result<Arc<str>, Damage>, StoreError> {
        let key = self.key(&entry.name);
        if let Some((text, version)) = self.memory.slice(&key) {
            let seen = |survey: &Survey| survey.get(&entry.name).is_some_and(|seen| seen.resource_version == version);
            if survey.is_none_or(seen) {
                return Ok(Ok(text));
            }
        }
        let Some(found) = self.calls.get(self.target.namespace(), &entry.name).await? else {
            self.memory.drop_known(&key);
            return Ok(Err(Damage::SliceMissing));
        };
        Ok(match self.check(&found, entry) {
            Ok(text) => {
                self.memory.keep(&key, self.owner(), found.metadata.resource_version.as_ref(), text.clone());
                Ok(text)
            }
            Err(damage) => {
                self.memory.drop_known(&key);
                Err(damage)
            }
        })
    }

    /// The text of a slice that is in every respect as it was written.
    fn check(&self, found: &Parts, entry: &SliceEntry) -> Result<Arc<str>, Damage> {
        let text = holds(found, entry).ok_or(Damage::Slice)?;
        let marked = self.target.is_marked_on(&found.metadata, Part::Slice);
        let leaving = found.metadata.deletion_timestamp.is_some();
        if marked && !leaving && !version::is_copied_in(&found.metadata) { Ok(text.into()) } else { Err(Damage::Slice) }
    }

    /// Writes slices, several at a time. All are tried, whatever becomes of one.
    pub async fn put_all(&self, slices: &[&Slice]) -> Result<(), StoreError> {
        at_once(slices.iter().map(|slice| self.put(slice)).collect()).await.into_iter().collect()
    }

    /// Sees to it that a slice is there, and right.
    async fn put(&self, slice: &Slice) -> Result<(), StoreError> {
        let Slice { entry, text } = slice;
        let (namespace, name) = (self.target.namespace(), entry.name.as_str());
        let key = self.key(name);
        for _ in 0..MOST_TRIES {
            let write = self.memory.write(key.clone(), self.owner());
            let metadata = ObjectVersion::metadata_of(None, self.target, Part::Slice, name);
            match self.calls.create(namespace, &slice_object::<K>(metadata, text), text.len()).await {
                Ok(written) => {
                    write.done(written.resource_version.as_ref());
                    self.memory.keep(&key, self.owner(), written.resource_version.as_ref(), text.as_str().into());
                    return Ok(());
                }
                Err(CallError::Conflict) => drop(write),
                Err(error) => return Err(error.into()),
            }
            let Some(found) = self.calls.get(namespace, name).await? else { continue };
            if let Ownership::Foreign { owner } = self.target.ownership(&found.metadata) {
                return Err(StoreError::Conflict { object: object::described::<K>(namespace, name), owner });
            }
            if found.metadata.deletion_timestamp.is_some() {
                return Err(object::being_deleted::<K>(namespace, &found.metadata));
            }
            if self.check(&found, entry).is_ok() {
                self.memory.keep(&key, self.owner(), found.metadata.resource_version.as_ref(), text.as_str().into());
                return Ok(());
            }
            let mended = if holds(&found, entry).is_some() {
                self.mark(&found.metadata, text).await
            } else {
                // Nobody can change what it holds: it goes, and is made anew.
                self.remove(name, Some(found.metadata)).await.map(|_| false)
            };
            if mended? {
                return Ok(());
            }
        }
        Err(StoreError::HeadMoved)
    }

    /// Puts labels and owner references of a slice right. Not if it has changed meanwhile.
    async fn mark(&self, found: &ObjectMeta, text: &str) -> Result<bool, StoreError> {
        let name = found.name.as_deref().unwrap_or_default();
        let version = ObjectVersion::of(self.target, found);
        let metadata = ObjectVersion::metadata_of(Some(&version), self.target, Part::Slice, name);
        let key = self.key(name);
        let write = self.memory.write(key.clone(), self.owner());
        match self.calls.update(self.target.namespace(), &slice_object::<K>(metadata, text), text.len()).await {
            Ok(written) => {
                write.done(written.resource_version.as_ref());
                self.memory.keep(&key, self.owner(), written.resource_version.as_ref(), text.into());
                Ok(true)
            }
            Err(CallError::Conflict | CallError::NotFound) => Ok(false),
            Err(CallError::Failed(error)) => Err(error),
        }
    }

    /// Removes slices, several at a time. All are tried, whatever becomes of one. What the survey does not show is looked at.
    pub async fn remove_all<'n>(
        &self,
        names: Vec<&'n str>,
        survey: &Survey,
    ) -> Result<Vec<(&'n str, Removal)>, StoreError> {
        let removals = names.iter().map(|name| self.remove(name, survey.get(*name).cloned())).collect();
        let removed: Vec<Removal> = at_once(removals).await.into_iter().collect::<Result<_, _>>()?;
        Ok(names.into_iter().zip(removed).collect())
    }

    async fn remove(&self, name: &str, seen: Option<ObjectMeta>) -> Result<Removal, StoreError> {
        let namespace = self.target.namespace();
        let key = self.key(name);
        let mut seen = seen;
        for _ in 0..MOST_TRIES {
            let found = match seen.take() {
                Some(metadata) => Some(metadata),
                None => self.calls.metadata(namespace, name).await?,
            };
            // Whatever names it, an index or a label: only what is ours goes.
            let Some(found) = found.filter(|found| self.target.ownership(found) == Ownership::Ours) else {
                self.memory.drop_known(&key);
                return Ok(Removal::Gone);
            };
            let held = object::is_held(&found);
            if found.deletion_timestamp.is_some() && held {
                return Ok(Removal::Held);
            }
            if K::LISTED {
                self.memory.leaving(&key, self.owner());
            } else {
                self.memory.drop_known(&key);
            }
            match self.calls.delete(namespace, name, calls::unchanged(&found)).await {
                Ok(()) if held => return Ok(Removal::Held),
                Ok(()) | Err(CallError::NotFound) => return Ok(Removal::Gone),
                Err(CallError::Conflict) => self.memory.drop_known(&key),
                Err(CallError::Failed(error)) => {
                    self.memory.drop_known(&key);
                    return Err(error);
                }
            }
        }
        Err(StoreError::HeadMoved)
    }

    /// Takes the owner references off slices that have one, several at a time.
    pub async fn release_all(&self, names: Vec<&str>) -> Result<(), StoreError> {
        at_once(names.into_iter().map(|name| self.release(name)).collect()).await.into_iter().collect()
    }

    async fn release(&self, name: &str) -> Result<(), StoreError> {
        for _ in 0..MOST_TRIES {
            let found = self.calls.get(self.target.namespace(), name).await?;
            let Some(found) = found.filter(|found| self.target.ownership(&found.metadata) == Ownership::Ours) else {
                return Ok(());
            };
            let Some(text) = found.texts.get(content::EVENTS) else { return Ok(()) };
            let retained = self.target.clone().retained(true);
            if retained.is_marked_on(&found.metadata, Part::Slice) {
                return Ok(());
            }
            let slices = Slices { target: &retained, ..*self };
            if slices.mark(&found.metadata, text).await? {
                return Ok(());
            }
        }
        Err(StoreError::HeadMoved)
    }

    fn owner(&self) -> &str {
        &self.target.owner().uid
    }

    fn key(&self, name: &str) -> Key {
        Key { kind: K::KIND, namespace: self.target.namespace().to_owned(), name: name.to_owned() }
    }
}

fn slice_object<K: Object>(metadata: ObjectMeta, text: &str) -> K {
    K::assemble(metadata, Some(BTreeMap::from([(content::EVENTS.to_owned(), text.to_owned())])), true)
}

/// The text of an object that holds what this slice is to hold, for good.
fn holds<'p>(found: &'p Parts, entry: &SliceEntry) -> Option<&'p str> {
    let Parts { metadata: _, texts, other, immutable, alien } = found;
    let text = texts.get(content::EVENTS).filter(|text| content::sha256(text) == entry.hash)?;
    (texts.len() == 1 && !other && *immutable && !alien).then_some(text.as_str())
}

/// Runs requests, a few at a time, and gives all outcomes in their order.
async fn at_once<R>(requests: Vec<impl Future<Output = R>>) -> Vec<R> {
    stream::iter(requests).buffered(AT_ONCE).collect().await
}
