//! One output: an index, and either the events beside it or slices that it lists.
//!
//! The slices of a snapshot are written first; then the index, in one step: a create where there was nothing, or else an
//! update that names the version it was computed from. Kubernetes refuses either if somebody was faster. So a crash at any
//! point leaves the old calendar or the new one. An update sends the whole object, so that nothing stays which does not belong
//! there; labels, annotations and finalizers of others are carried over.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use calendar_sync::{Snapshot, Stored};
use jiff::Timestamp;
use kube::Client;

use super::calls::Calls;
use super::content::{self, Body, Content, Slice};
use super::index::Index;
use super::memory::StoreMemory;
use super::object::{self, Object, Parts};
use super::slices::{self, Removal, Slices};
use super::target::{Ownership, Part};
use super::version::{self, ObjectVersion, Version};
use super::{CALL_LIMIT, Committed, Damage, EventStore, GRACE, Head, StoreError, Target, tidy};

/// Stores events in objects of one kind.
#[derive(Clone)]
pub struct ObjectStore<K> {
    calls: Calls<K>,
    memory: StoreMemory,
    grace: Duration,
}

impl<K: Object> EventStore for ObjectStore<K> {
    async fn head(&self, target: &Target) -> Result<Head, StoreError> {
        let Some(found) = self.calls.get(target.namespace(), target.name()).await? else {
            return Ok(Head { stored: Stored::Absent, ..Head::default() });
        };
        if let Ownership::Foreign { owner } = target.ownership(&found.metadata) {
            return Err(StoreError::Conflict {
                object: object::described::<K>(target.namespace(), target.name()),
                owner,
            });
        }
        if found.metadata.deletion_timestamp.is_some() {
            return Err(object::being_deleted::<K>(target.namespace(), &found.metadata));
        }
        let mut version = ObjectVersion::of(target, &found.metadata);
        version.immutable = found.immutable || found.alien;
        version.events_hash = found.texts.get(content::EVENTS).map(|text| content::sha256(text));
        version.index = decode(target, &found);
        match inspect(target, &found) {
            Ok(index) => self.present(target, &found, index, version).await,
            Err(damage) => {
                // Who got at the index may have got at the slices, too.
                self.memory.doubt(&target.owner().uid);
                if let Some(index) = version.index.clone() {
                    let SlicesRead { texts, .. } = self.read_slices(target, &index, &mut version).await?;
                    let known = texts.is_ok() && !index.slices.is_empty();
                    version.events_hash = version.events_hash.or(known.then_some(index.content_hash));
                }
                Ok(damaged(damage, version))
            }
        }
    }

    async fn commit(
        &self,
        target: &Target,
        on: Option<&Version>,
        snapshot: &Snapshot,
    ) -> Result<Committed, StoreError> {
        let on = on.and_then(Version::as_object);
        let content = Content::encode(snapshot, target)?;
        let output = content::output(&content.index, K::KIND, target.name());
        let before = on.and_then(|version| version.index.as_ref());
        if let (Some(version), Some(before)) = (on, before)
            && version.whole
            && version.pending.is_empty()
            && *before == (Index { retired: before.retired.clone(), ..content.index.clone() }).sealed()
        {
            let (tidy, version) = (tidy::due(before, self.grace), version.clone().into());
            return Ok(Committed { output, changed: false, written: 0, slices: Vec::new(), version, tidy });
        }
        let changed = on.and_then(|version| version.events_hash.as_ref()) != Some(&content.index.content_hash);
        // What an index allowed that cannot be read is not known: then as if it had been more.
        let remembered = self.remembered(target);
        let there = on.is_some() || !remembered.is_empty();
        let narrowed = there && before.is_none_or(|before| snapshot.visibility < before.visibility);
        let mut retired = tidy::retired(on, &remembered, &content.index, Timestamp::now());
        if narrowed {
            // Due at once, and even if we do not get that far.
            for slice in &mut retired {
                slice.since = Timestamp::UNIX_EPOCH;
            }
        }
        let content = content.retiring(retired);

        let missing = missing(&content, on);
        let announced = self.announce(target, on, &missing).await?;
        self.slices(target).put_all(&missing).await?;
        if on.is_none() {
            self.memory.compared(&target.owner().uid);
        }
        let slices = missing.iter().map(|slice| slice.text.len()).collect();
        let Content { index, body } = content;
        let (metadata, written) = self.write_index(target, announced.as_ref().or(on), &index, body).await?;
        let mut version = ObjectVersion::written(target, &metadata, &index);
        let mut tidy = tidy::due(&index, self.grace);
        if narrowed {
            let tidied = self.remove_retired(target, Duration::ZERO).await?;
            if let Some(held) = tidied.held {
                return Err(held);
            }
            version = tidied.version.unwrap_or(version);
            tidy = tidied.next;
        }
        Ok(Committed { output, changed, written, slices, version: version.into(), tidy })
    }

    async fn tidy(&self, target: &Target) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.remove_retired(target, self.grace).await?.next)
    }

    async fn erase(&self, target: &Target) -> Result<(), StoreError> {
        let found = self.get_ours(target).await?;
        let index = found.as_ref().and_then(|found| decode(target, found));
        let pending =
            found.as_ref().map(|found| ObjectVersion::of(target, &found.metadata).pending).unwrap_or_default();
        let slices = self.slices(target);
        // The slices first: without the index nobody would find those that may not be listed.
        let survey = slices.survey(Vec::new()).await?;
        let remembered = self.remembered(target);
        let unlisted = survey.keys().chain(&pending).chain(&remembered).map(String::as_str);
        let all: BTreeSet<&str> = index.iter().flat_map(Index::names).chain(unlisted).collect();
        let removed = slices.remove_all(all.into_iter().collect(), &survey).await?;
        self.erase_index(target, found).await?;
        self.held(target, &removed).await
    }

    async fn erase_others(&self, target: &Target) -> Result<(), StoreError> {
        if !K::LISTED {
            return Ok(());
        }
        let namespace = target.namespace();
        let (indexes, others_slices) = target.indexes_and_others_slices();
        let names = self.calls.list(namespace, &indexes).await?.into_iter().filter_map(|metadata| metadata.name);
        for name in names.filter(|name| name != target.name()) {
            // Such a name is one that Kubernetes has taken.
            if let Ok(other) = Target::new(namespace, name, target.owner().clone()) {
                self.erase(&other).await?;
            }
        }
        let left = slices::by_name(self.calls.list(namespace, &others_slices).await?);
        let removed = self.slices(target).remove_all(left.keys().map(String::as_str).collect(), &left).await?;
        self.held(target, &removed).await
    }

    async fn release(&self, target: &Target) -> Result<(), StoreError> {
        let mut found = self.get_ours(target).await?;
        let index = found.as_ref().and_then(|found| decode(target, found));
        if let Some(index) = index.filter(|index| index.names().next().is_some()) {
            // Nobody would do it later.
            self.remove_retired(target, Duration::ZERO).await?;
            self.slices(target).release_all(index.slices.iter().map(|slice| slice.name.as_str()).collect()).await?;
            found = self.get_ours(target).await?;
        }
        self.release_index(target, found).await
    }
}

impl<K: Object> ObjectStore<K> {
    /// A store that writes by way of `client`.
    #[must_use]
    pub fn new(client: Client, memory: StoreMemory) -> Self {
        Self { calls: Calls::new(client, CALL_LIMIT), memory, grace: GRACE }
    }

    /// The same with another time for which what is replaced stays.
    #[must_use]
    pub fn with_grace(self, grace: Duration) -> Self {
        Self { grace, ..self }
    }

    /// The same with another limit for each call.
    #[cfg(test)]
    pub(super) fn with_time_limit(self, time_limit: Duration) -> Self {
        Self { calls: self.calls.with_time_limit(time_limit), ..self }
    }

    pub(super) fn calls(&self) -> &Calls<K> {
        &self.calls
    }

    pub(super) fn memory(&self) -> &StoreMemory {
        &self.memory
    }

    pub(super) fn slices<'a>(&'a self, target: &'a Target) -> Slices<'a, K> {
        Slices { calls: &self.calls, memory: &self.memory, target }
    }

    /// Slices that this process has written or read, where no list would show them.
    fn remembered(&self, target: &Target) -> Vec<String> {
        if K::LISTED {
            return Vec::new();
        }
        let names = self.memory.names_of(K::KIND, target.namespace(), &target.owner().uid);
        names.into_iter().filter(|name| target.digest_of(name).is_some()).collect()
    }

    /// Fails if one of these slices is held by somebody's finalizer.
    async fn held(&self, target: &Target, removed: &[(&str, Removal)]) -> Result<(), StoreError> {
        let Some((name, _)) = removed.iter().find(|(_, removal)| *removal == Removal::Held) else { return Ok(()) };
        let metadata = self.calls.metadata(target.namespace(), name).await?;
        metadata.map_or(Ok(()), |metadata| Err(object::being_deleted::<K>(target.namespace(), &metadata)))
    }

    /// What stands there with an index that is as it should be.
    async fn present(
        &self,
        target: &Target,
        found: &Parts,
        index: Index,
        mut version: ObjectVersion,
    ) -> Result<Head, StoreError> {
        let SlicesRead { texts, orphans_due } = self.read_slices(target, &index, &mut version).await?;
        let snapshot = texts.and_then(|texts| {
            let inline = found.texts.get(content::EVENTS).map(String::as_str);
            content::snapshot(&index, inline.into_iter().chain(texts.iter().map(|text| &**text)))
        });
        let snapshot = match snapshot {
            Ok(snapshot) => snapshot,
            Err(damage) => return Ok(damaged(damage, version)),
        };
        version.whole = true;
        version.events_hash = Some(index.content_hash.clone());
        Ok(Head {
            stored: Stored::Present(Box::new(snapshot)),
            damage: None,
            version: Some(version.into()),
            output: Some(content::output(&index, K::KIND, target.name())),
            tidy: tidy::due(&index, self.grace).into_iter().chain(orphans_due).min(),
        })
    }

    /// Reads the slices of an index, and notes which of them are as they should be.
    async fn read_slices(
        &self,
        target: &Target,
        index: &Index,
        version: &mut ObjectVersion,
    ) -> Result<SlicesRead, StoreError> {
        let slices = self.slices(target);
        let survey = slices.survey_if_doubted(index).await?;
        let read = slices.read_all(index, survey.as_ref()).await?;
        let names = index.slices.iter().map(|slice| &slice.name);
        version.intact = names.zip(&read).filter(|(_, text)| text.is_ok()).map(|(name, _)| name.clone()).collect();
        let orphans_due = survey.and_then(|survey| tidy::orphans_due(index, &survey, self.grace));
        Ok(SlicesRead { texts: read.into_iter().collect(), orphans_due })
    }
}

/// What the slices of an index hold.
struct SlicesRead {
    /// Their texts in their order, or what is wrong with one.
    texts: Result<Vec<Arc<str>>, Damage>,
    /// When a slice is to be removed that no index names, as far as one was looked for.
    orphans_due: Option<Timestamp>,
}

/// The slices that have to be written for this content.
fn missing<'c>(content: &'c Content, on: Option<&ObjectVersion>) -> Vec<&'c Slice> {
    let Body::Slices(slices) = &content.body else { return Vec::new() };
    let intact = |slice: &&Slice| on.is_some_and(|version| version.intact.contains(&slice.entry.name));
    // Two slices are never equal, since no event stands in two.
    slices.iter().filter(|slice| !intact(slice)).collect()
}

/// The index of an object that nobody has touched. Slices it lists are not looked at.
pub(super) fn inspect(target: &Target, found: &Parts) -> Result<Index, Damage> {
    let Parts { metadata, texts, other, immutable, alien } = found;
    if !target.is_marked_on(metadata, Part::Index) {
        return Err(Damage::Metadata);
    }
    if version::is_copied_in(metadata) {
        return Err(Damage::Annotation);
    }
    if *immutable {
        return Err(Damage::Immutable);
    }
    let Some(index) = texts.get(content::INDEX).filter(|_| !other && !alien) else { return Err(Damage::Keys) };
    if texts.keys().any(|key| key != content::EVENTS && key != content::INDEX) {
        return Err(Damage::Keys);
    }
    let index = Index::decode(index, target)?;
    // The events stand in one of the two places.
    if texts.contains_key(content::EVENTS) == index.slices.is_empty() { Ok(index) } else { Err(Damage::Keys) }
}

/// The index, whatever else is wrong with its object.
fn decode(target: &Target, found: &Parts) -> Option<Index> {
    found.texts.get(content::INDEX).and_then(|text| Index::decode(text, target).ok())
}

fn damaged(damage: Damage, version: ObjectVersion) -> Head {
    Head { stored: Stored::Damaged, damage: Some(damage), version: Some(version.into()), ..Head::default() }
}
