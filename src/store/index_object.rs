//! The object of an index: writing and ending it.

use std::collections::BTreeMap;

use kube::api::ObjectMeta;

use super::call::CallError;
use super::content::{self, Body, Slice};
use super::index::Index;
use super::memory::Key;
use super::object::{self, Object, Parts};
use super::output::ObjectStore;
use super::target::Ownership;
use super::version::{self, ObjectVersion, PENDING};
use super::{StoreError, Target};

/// How often an end is tried anew because the output has changed meanwhile.
const MOST_TRIES: usize = 3;

impl<K: Object> ObjectStore<K> {
    /// The index, if there is one and it is the subscription's.
    pub(super) async fn get_ours(&self, target: &Target) -> Result<Option<Parts>, StoreError> {
        let found = self.calls().get(target.namespace(), target.name()).await?;
        Ok(found.filter(|found| target.ownership(&found.metadata) == Ownership::Ours))
    }

    /// Puts an index, and the events that stand beside it, in the place of what `on` saw. Gives how many bytes that were.
    pub(super) async fn write_index(
        &self,
        target: &Target,
        on: Option<&ObjectVersion>,
        index: &Index,
        body: Body,
    ) -> Result<(ObjectMeta, usize), StoreError> {
        let mut texts = BTreeMap::from([(content::INDEX.to_owned(), index.encode()?)]);
        if let Body::Inline(text) = body {
            texts.insert(content::EVENTS.to_owned(), text);
        }
        let bytes = texts.values().map(String::len).sum();
        let mut metadata = ObjectVersion::next_metadata(on, target);
        match on {
            Some(version) if !version.immutable => {
                let written = self.update(target, &K::assemble(metadata, Some(texts), false), bytes).await?;
                return Ok((written, bytes));
            }
            Some(version) => {
                // Nobody can change it any more: it goes, and readers see nothing for a moment.
                match self.calls().delete(target.namespace(), target.name(), version.preconditions()).await {
                    Ok(()) | Err(CallError::NotFound) => {}
                    Err(error) => return Err(error.into()),
                }
                metadata.uid = None;
                metadata.resource_version = None;
            }
            None => {}
        }
        Ok((self.create(target, &K::assemble(metadata, Some(texts), false), bytes).await?, bytes))
    }

    /// Notes on the index which slices are about to be written, where they could not be found otherwise. Gives the version of
    /// the index after that, if it was written.
    pub(super) async fn announce(
        &self,
        target: &Target,
        on: Option<&ObjectVersion>,
        slices: &[&Slice],
    ) -> Result<Option<ObjectVersion>, StoreError> {
        let replaced = on.is_some_and(|version| version.immutable);
        if K::LISTED || slices.is_empty() || replaced {
            return Ok(None);
        }
        let digests: Vec<&str> = slices.iter().filter_map(|slice| target.digest_of(&slice.entry.name)).collect();
        let earlier = on.iter().flat_map(|version| &version.pending).filter_map(|name| target.digest_of(name));
        let digests = digests.into_iter().chain(earlier).collect::<Vec<_>>().join(" ");
        let metadata = if let Some(version) = on {
            let object = (target.namespace(), target.name());
            self.calls().annotate(object, version.preconditions(), (PENDING, &digests)).await?
        } else {
            // Without a document, it is nothing yet to any reader.
            let mut metadata = ObjectVersion::next_metadata(None, target);
            metadata.annotations = Some(BTreeMap::from([(PENDING.to_owned(), digests)]));
            self.create(target, &K::assemble(metadata, None, false), 0).await?
        };
        Ok(Some(ObjectVersion::of(target, &metadata)))
    }

    async fn create(&self, target: &Target, object: &K, bytes: usize) -> Result<ObjectMeta, CallError> {
        let write = self.memory().write(key::<K>(target), &target.owner().uid);
        let written = self.calls().create(target.namespace(), object, bytes).await?;
        write.done(written.resource_version.as_ref());
        Ok(written)
    }

    pub(super) async fn update(&self, target: &Target, object: &K, bytes: usize) -> Result<ObjectMeta, CallError> {
        let write = self.memory().write(key::<K>(target), &target.owner().uid);
        let written = self.calls().update(target.namespace(), object, bytes).await?;
        write.done(written.resource_version.as_ref());
        Ok(written)
    }

    /// Deletes the index as it was found, and makes sure that its content is gone even where a finalizer holds the object.
    pub(super) async fn erase_index(&self, target: &Target, mut found: Option<Parts>) -> Result<(), StoreError> {
        for _ in 0..MOST_TRIES {
            let Some(present) = found else { return Ok(()) };
            match self.erase_found(target, present).await {
                Err(CallError::Conflict) => found = self.get_ours(target).await?,
                Ok(()) | Err(CallError::NotFound) => return Ok(()),
                Err(CallError::Failed(error)) => return Err(error),
            }
        }
        Err(StoreError::HeadMoved)
    }

    async fn erase_found(&self, target: &Target, found: Parts) -> Result<(), CallError> {
        let Parts { mut metadata, immutable, .. } = found.clone();
        let held = object::is_held(&metadata);
        let filled = found.is_filled() || version::is_copied_in(&metadata);
        if held && filled && !immutable {
            let version = ObjectVersion::of(target, &metadata);
            let deletion_timestamp = metadata.deletion_timestamp;
            metadata = ObjectVersion::next_metadata(Some(&version), target);
            metadata.deletion_timestamp = deletion_timestamp;
            metadata = self.update(target, &K::assemble(metadata, None, false), 0).await?;
        }
        if metadata.deletion_timestamp.is_none() {
            let seen = super::calls::unchanged(&metadata);
            self.calls().delete(target.namespace(), target.name(), seen).await?;
        }
        if held && filled && immutable {
            return Err(CallError::Failed(object::being_deleted::<K>(target.namespace(), &metadata)));
        }
        Ok(())
    }

    /// Takes the owner reference off the index as it was found.
    pub(super) async fn release_index(&self, target: &Target, mut found: Option<Parts>) -> Result<(), StoreError> {
        let retained = target.clone().retained(true);
        for _ in 0..MOST_TRIES {
            let Some(Parts { metadata, texts, immutable, .. }) = found else { return Ok(()) };
            let references = metadata.owner_references.iter().flatten();
            let labelled = metadata.labels.as_ref().and_then(|labels| labels.get(super::SUBSCRIPTION_UID));
            if !references.into_iter().any(|reference| target.is_meant_by(reference))
                && labelled == Some(&target.owner().uid)
            {
                return Ok(());
            }
            // The label alone tells from now on whose it is.
            let next = ObjectVersion::next_metadata(Some(&ObjectVersion::of(target, &metadata)), &retained);
            match self.update(target, &K::assemble(next, Some(texts), immutable), 0).await {
                Err(CallError::Conflict) => found = self.get_ours(target).await?,
                Ok(_) | Err(CallError::NotFound) => return Ok(()),
                Err(CallError::Failed(error)) => return Err(error),
            }
        }
        Err(StoreError::HeadMoved)
    }
}

fn key<K: Object>(target: &Target) -> Key {
    Key { kind: K::KIND, namespace: target.namespace().to_owned(), name: target.name().to_owned() }
}
