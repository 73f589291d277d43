//! What a commit is conditional on. Of an object in Kubernetes it has all that the next write must not lose or write twice.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{ObjectMeta, Preconditions};

use super::Target;
use super::index::Index;
use super::remote_lines::RemoteVersion;
use super::target::Part;

/// Where `kubectl apply` notes what it applied: a copy of the content that would outlive the content.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Where an index notes the slices that are about to be written, if nobody may list them: a crash then leaves none that is
/// never found again.
pub(super) const PENDING: &str = "cronofy-operator.dev/pending-slices";

/// What a commit is conditional on. Comes from a head or a commit and is of use only for the same output.
#[derive(Clone, PartialEq)]
pub struct Version(Kind);

#[derive(Clone, PartialEq)]
enum Kind {
    Object(Box<ObjectVersion>),
    Remote(RemoteVersion),
}

/// The version of an index in Kubernetes.
#[derive(Clone, PartialEq)]
pub(super) struct ObjectVersion {
    uid: Option<String>,
    revision: Option<String>,
    /// What stands there cannot be updated, only deleted and made anew.
    pub(super) immutable: bool,
    /// Everything about the output is as it should be: an equal one need not be written.
    pub(super) whole: bool,
    /// Hash of the events, whoever wrote them.
    pub(super) events_hash: Option<String>,
    /// The index, if it can be trusted, though slices may be damaged.
    pub(super) index: Option<Index>,
    /// Slices that the index lists and that are as they should be.
    pub(super) intact: BTreeSet<String>,
    /// Slices that may have been written for an index that never was.
    pub(super) pending: Vec<String>,
    theirs: Theirs,
}

/// Metadata that others have put on the output. They stay.
#[derive(Clone, Default, PartialEq)]
struct Theirs {
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    finalizers: Vec<String>,
    /// Owners that do not control it.
    owner_references: Vec<OwnerReference>,
}

impl Version {
    /// The resource version of the object, for those who watch outputs and want to tell their own writes. A calendar store has
    /// none.
    #[must_use]
    pub fn revision(&self) -> Option<&str> {
        self.as_object()?.revision.as_deref()
    }

    pub(super) fn as_object(&self) -> Option<&ObjectVersion> {
        match &self.0 {
            Kind::Object(version) => Some(version),
            Kind::Remote(_) => None,
        }
    }

    /// Whether both are the same commit in a calendar store, wherever that is.
    #[must_use]
    pub fn is_same_remote(&self, other: &Self) -> bool {
        self.as_remote().zip(other.as_remote()).is_some_and(|(one, other)| one.header.head == other.header.head)
    }

    pub(super) fn as_remote(&self) -> Option<&RemoteVersion> {
        match &self.0 {
            Kind::Object(_) => None,
            Kind::Remote(version) => Some(version),
        }
    }
}

impl From<ObjectVersion> for Version {
    fn from(version: ObjectVersion) -> Self {
        Self(Kind::Object(Box::new(version)))
    }
}

impl From<RemoteVersion> for Version {
    fn from(version: RemoteVersion) -> Self {
        Self(Kind::Remote(version))
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Object(version) => version.fmt(f),
            Kind::Remote(version) => version.fmt(f),
        }
    }
}

impl fmt::Debug for ObjectVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Version")
            .field("uid", &self.uid)
            .field("revision", &self.revision)
            .field("immutable", &self.immutable)
            .field("whole", &self.whole)
            .finish_non_exhaustive()
    }
}

impl ObjectVersion {
    /// The version of an object that stands there for `target`.
    pub(super) fn of(target: &Target, metadata: &ObjectMeta) -> Self {
        let ours = target.labels(Part::Slice); // those of an index, and one more
        let others = |reference: &&OwnerReference| !target.is_meant_by(reference);
        let theirs = Theirs {
            labels: without(metadata.labels.as_ref(), |key| ours.contains_key(key)),
            annotations: without(metadata.annotations.as_ref(), |key| matches!(key, LAST_APPLIED | PENDING)),
            finalizers: metadata.finalizers.clone().unwrap_or_default(),
            owner_references: metadata.owner_references.iter().flatten().filter(others).cloned().collect(),
        };
        Self {
            uid: metadata.uid.clone(),
            revision: metadata.resource_version.clone(),
            immutable: false,
            whole: false,
            events_hash: None,
            index: None,
            intact: BTreeSet::new(),
            pending: pending(metadata).filter_map(|digest| target.slice_of_digest(digest)).collect(),
            theirs,
        }
    }

    /// The version of an index that we have just written.
    pub(super) fn written(target: &Target, metadata: &ObjectMeta, index: &Index) -> Self {
        Self {
            whole: true,
            events_hash: Some(index.content_hash.clone()),
            index: Some(index.clone()),
            intact: index.slices.iter().map(|slice| slice.name.clone()).collect(),
            ..Self::of(target, metadata)
        }
    }

    /// Metadata for an index that replaces this one, or for the first one.
    pub(super) fn next_metadata(on: Option<&Self>, target: &Target) -> ObjectMeta {
        Self::metadata_of(on, target, Part::Index, target.name())
    }

    /// Metadata for a part that replaces this one, or for a new one.
    pub(super) fn metadata_of(on: Option<&Self>, target: &Target, part: Part, name: &str) -> ObjectMeta {
        let theirs = on.map(|version| version.theirs.clone()).unwrap_or_default();
        let mut labels = theirs.labels;
        labels.extend(target.labels(part));
        let mut owner_references = theirs.owner_references;
        owner_references.extend(target.owner_reference());
        ObjectMeta {
            namespace: Some(target.namespace().to_owned()),
            name: Some(name.to_owned()),
            uid: on.and_then(|version| version.uid.clone()),
            resource_version: on.and_then(|version| version.revision.clone()),
            labels: Some(labels),
            annotations: Some(theirs.annotations).filter(|annotations| !annotations.is_empty()),
            finalizers: Some(theirs.finalizers).filter(|finalizers| !finalizers.is_empty()),
            owner_references: Some(owner_references).filter(|references| !references.is_empty()),
            ..ObjectMeta::default()
        }
    }

    /// What a deletion is conditional on: the object that was seen, unchanged.
    pub(super) fn preconditions(&self) -> Preconditions {
        Preconditions { uid: self.uid.clone(), resource_version: self.revision.clone() }
    }
}

/// The digests in the names of the slices that the annotation is about.
fn pending(metadata: &ObjectMeta) -> impl Iterator<Item = &str> {
    let digests = metadata.annotations.as_ref().and_then(|annotations| annotations.get(PENDING));
    digests.into_iter().flat_map(|digests| digests.split_whitespace())
}

/// Whether a copy of the content stands in an annotation.
pub(super) fn is_copied_in(metadata: &ObjectMeta) -> bool {
    metadata.annotations.as_ref().is_some_and(|annotations| annotations.contains_key(LAST_APPLIED))
}

fn without(map: Option<&BTreeMap<String, String>>, left_out: impl Fn(&str) -> bool) -> BTreeMap<String, String> {
    let entries = map.into_iter().flatten().filter(|(key, _)| !left_out(key));
    entries.map(|(key, value)| (key.clone(), value.clone())).collect()
}
