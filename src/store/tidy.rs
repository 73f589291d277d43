//! Removing what is no part of the calendar any more.
//!
//! A commit leaves the slices that it replaces: somebody may just have read the index that lists them. They stand in the new
//! index as retired, so that they are found again after any crash, and go after the grace period. What no index names, since
//! a crash came between slices and index, is found by its labels.

use std::collections::HashSet;
use std::time::Duration;

use jiff::Timestamp;
use kube::api::ObjectMeta;

use super::content;
use super::index::{Index, Retired};
use super::object::{self, Object};
use super::output::{self, ObjectStore};
use super::slices::{Removal, Survey};
use super::version::ObjectVersion;
use super::{StoreError, Target};

/// How long a slice stays that is no part of the calendar any more: a reader that has just read the index must find what it
/// lists.
pub const GRACE: Duration = Duration::from_mins(5);
/// More retired slices than this do not stay for the grace period: the index that names them must remain an object.
const MOST_RETIRED: usize = 2_000;
/// Between two tries to remove a slice that somebody's finalizer holds.
const HELD_CHECK: Duration = Duration::from_mins(5);

/// What is retired by an index that takes the place of what `on` knew. Slices that are `remembered` count as well: of a kind
/// that is never listed nothing else tells of them once somebody has destroyed the index.
pub(super) fn retired(on: Option<&ObjectVersion>, remembered: &[String], next: &Index, now: Timestamp) -> Vec<Retired> {
    let since = whole_seconds(now);
    let before = on.and_then(|on| on.index.as_ref());
    let pending = on.iter().flat_map(|on| &on.pending);
    let known = before.iter().flat_map(|index| &index.slices).map(|slice| &slice.name).chain(pending).chain(remembered);
    let listed: HashSet<&str> = next.slices.iter().map(|slice| slice.name.as_str()).collect();
    let mut names = HashSet::new();
    let earlier = before.iter().flat_map(|index| &index.retired).cloned();
    let later = known.map(|name| Retired { name: name.clone(), since });
    let all = earlier.chain(later);
    let mut all: Vec<Retired> =
        all.filter(|slice| !listed.contains(slice.name.as_str()) && names.insert(slice.name.clone())).collect();
    let excess = all.len().saturating_sub(MOST_RETIRED);
    for slice in all.iter_mut().take(excess) {
        slice.since = Timestamp::UNIX_EPOCH;
    }
    all
}

/// When the next slice is due to be removed.
pub(super) fn due(index: &Index, grace: Duration) -> Option<Timestamp> {
    index.retired.iter().map(|slice| after(slice.since, grace)).min()
}

/// When the next slice is due that no index names.
pub(super) fn orphans_due(index: &Index, survey: &Survey, grace: Duration) -> Option<Timestamp> {
    orphans(index, survey).map(|metadata| after(created(metadata), grace)).min()
}

fn orphans<'s>(index: &'s Index, survey: &'s Survey) -> impl Iterator<Item = &'s ObjectMeta> {
    let named: HashSet<&str> = index.names().collect();
    survey.iter().filter(move |(name, _)| !named.contains(name.as_str())).map(|(_, metadata)| metadata)
}

fn created(metadata: &ObjectMeta) -> Timestamp {
    metadata.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |created| created.0)
}

fn after(time: Timestamp, span: Duration) -> Timestamp {
    time.saturating_add(span).unwrap_or(Timestamp::MAX)
}

/// What came of tidying up.
pub(super) struct Tidied {
    /// When the next slice is due.
    pub next: Option<Timestamp>,
    /// The index as it is now, if it was written.
    pub version: Option<ObjectVersion>,
    /// A slice that is being deleted, but that somebody's finalizer holds.
    pub held: Option<StoreError>,
}

impl<K: Object> ObjectStore<K> {
    /// Removes what has been no part of the calendar for `grace`, and says when the next is due.
    ///
    /// What the index names is deleted first and taken off the index afterwards, so that a crash forgets nothing. An index
    /// that is damaged says nothing: it is written anew by a commit first.
    pub(super) async fn remove_retired(&self, target: &Target, grace: Duration) -> Result<Tidied, StoreError> {
        let mut tidied = Tidied { next: None, version: None, held: None };
        let Some(found) = self.get_ours(target).await? else { return Ok(tidied) };
        let Ok(index) = output::inspect(target, &found) else { return Ok(tidied) };
        let slices = self.slices(target);
        let survey = if K::LISTED { slices.survey(Vec::new()).await? } else { Survey::new() };
        let now = Timestamp::now();
        let is_due = |since| after(since, grace) <= now;
        let mut due: Vec<&str> =
            index.retired.iter().filter(|slice| is_due(slice.since)).map(|slice| slice.name.as_str()).collect();
        let due_orphans = orphans(&index, &survey).filter(|metadata| is_due(created(metadata)));
        due.extend(due_orphans.filter_map(|metadata| metadata.name.as_deref()));
        let removed = slices.remove_all(due, &survey).await?;
        let outcome = |wanted| removed.iter().filter(move |(_, is)| *is == wanted).map(|(name, _)| *name);

        let gone: HashSet<&str> = outcome(Removal::Gone).collect();
        let version = ObjectVersion::of(target, &found.metadata);
        let next = Index { retired: retired_still(&index, &version.pending, &gone, now), ..index.clone() }.sealed();
        if next != index {
            let text = next.encode()?;
            let bytes = text.len();
            let mut texts = found.texts;
            texts.insert(content::INDEX.to_owned(), text);
            let replacement = K::assemble(ObjectVersion::next_metadata(Some(&version), target), Some(texts), false);
            let written = self.update(target, &replacement, bytes).await?;
            tidied.version = Some(ObjectVersion::written(target, &written, &next));
        }
        if let Some(name) = outcome(Removal::Held).next() {
            let metadata = self.calls().metadata(target.namespace(), name).await?;
            tidied.held = metadata.map(|metadata| object::being_deleted::<K>(target.namespace(), &metadata));
        }
        let held = tidied.held.is_some().then(|| after(now, HELD_CHECK));
        let young = orphans(&next, &survey).map(|metadata| after(created(metadata), grace)).filter(|due| *due > now);
        let waiting = next.retired.iter().map(|slice| after(slice.since, grace)).filter(|due| *due > now);
        tidied.next = held.into_iter().chain(young).chain(waiting).min();
        Ok(tidied)
    }
}

/// What is still retired once some are gone; what was written for an index that never was is retired from now on.
fn retired_still(index: &Index, pending: &[String], gone: &HashSet<&str>, now: Timestamp) -> Vec<Retired> {
    let left = index.retired.iter().filter(|slice| !gone.contains(slice.name.as_str())).cloned();
    let named: HashSet<&str> = index.names().collect();
    let pending = pending.iter().filter(|name| !named.contains(name.as_str()));
    left.chain(pending.map(|name| Retired { name: name.clone(), since: whole_seconds(now) })).collect()
}

fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}
