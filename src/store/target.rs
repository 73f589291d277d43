//! Whose output it is and where it stands: names, labels and owner references, and what they tell of an object found.

use std::collections::BTreeMap;

use calendar_sync::hex;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Resource;
use kube::api::ObjectMeta;
use kube::runtime::reflector::ObjectRef;
use sha2::{Digest, Sha256};

use crate::api::{CalendarSubscription, GROUP};

/// Label with the uid of the subscription that an output belongs to.
pub const SUBSCRIPTION_UID: &str = "cronofy-operator.dev/subscription-uid";
/// Label with the name of that subscription, shortened if it is longer than a label may be.
pub const SUBSCRIPTION: &str = "cronofy-operator.dev/subscription";
/// Label with the name of the output that a slice is part of, shortened likewise. The index does not have it.
pub const OUTPUT: &str = "cronofy-operator.dev/output";
/// Label that tells an index from a slice.
pub(super) const COMPONENT: &str = "app.kubernetes.io/component";
/// Its value on an index.
pub(super) const EVENTS: &str = "events";
/// Its value on a slice.
pub(super) const SLICE: &str = "slice";
/// Label selector of all outputs, indexes and slices, for a watch that sees nothing else.
pub const OUTPUTS: &str = "app.kubernetes.io/managed-by=cronofy-operator,app.kubernetes.io/component in (events,slice)";

const OPERATOR: &str = "cronofy-operator";
/// As long as a label's value may be.
const LONGEST_LABEL: usize = 63;
/// As long as the name of an object may be.
const LONGEST_NAME: usize = 253;
/// Digits of the hash in the name of a slice: 80 bits, which nobody hits by accident. What it holds is checked in full.
const SLICE_HASH: usize = 20;

/// What an object is to an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The object of the output's name.
    Index,
    /// One that the index lists.
    Slice,
}

/// The subscription that an output belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Its name.
    pub name: String,
    /// Its uid: a subscription made anew under the same name is another owner.
    pub uid: String,
}

/// The output of one subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    namespace: String,
    name: String,
    owner: Owner,
    instance: String,
    retained: bool,
}

/// What a name must be, so that it can be that of an object and stand in a path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the output's name has to consist of at most 253 lower case letters, digits, '-' and '.', and to begin and end with a \
     letter or digit: set another spec.store.name"
)]
pub struct InvalidName;

impl Target {
    /// The output named `name` in the subscription's namespace.
    ///
    /// # Errors
    /// If the name is none that Kubernetes takes.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>, owner: Owner) -> Result<Self, InvalidName> {
        let (namespace, name) = (namespace.into(), name.into());
        if !is_name(&namespace) || !is_name(&name) {
            return Err(InvalidName);
        }
        let instance = owner.name.clone();
        Ok(Self { namespace, name, owner, instance, retained: false })
    }

    /// Sets the label `app.kubernetes.io/instance`, for example to the name of the operator's release; by default it is the
    /// subscription's name.
    #[must_use]
    pub fn with_instance(self, instance: impl Into<String>) -> Self {
        Self { instance: instance.into(), ..self }
    }

    /// Makes the output outlive its subscription (`deletionPolicy: Retain`): it gets no owner reference then, by which
    /// Kubernetes would collect it.
    #[must_use]
    pub fn retained(self, retained: bool) -> Self {
        Self { retained, ..self }
    }

    /// Whether the output outlives its subscription.
    #[must_use]
    pub fn is_retained(&self) -> bool {
        self.retained
    }

    /// Namespace of the subscription and the output.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Name of the output.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The subscription.
    #[must_use]
    pub fn owner(&self) -> &Owner {
        &self.owner
    }

    /// The name of the slice whose document has this hash. The same content has the same name, so that it is written once.
    pub(super) fn slice_name(&self, hash: &str) -> String {
        let digest: String = calendar_sync::fingerprint(&(&self.name, hash)).chars().take(SLICE_HASH).collect();
        format!("{}-{digest}", self.slice_prefix())
    }

    /// What tells the slices of an output apart, at the end of their names.
    pub(super) fn digest_of<'a>(&self, slice: &'a str) -> Option<&'a str> {
        let digest = slice.strip_prefix(self.slice_prefix()).and_then(|rest| rest.strip_prefix('-'));
        digest.filter(|digest| is_digest(digest))
    }

    /// The name of the slice with that digest, if it is one.
    pub(super) fn slice_of_digest(&self, digest: &str) -> Option<String> {
        is_digest(digest).then(|| format!("{}-{digest}", self.slice_prefix()))
    }

    /// The output's name, as far as the name of a slice has room for it.
    fn slice_prefix(&self) -> &str {
        let cut = self.name.get(..LONGEST_NAME - SLICE_HASH - 1).unwrap_or(&self.name);
        cut.trim_end_matches(['.', '-'])
    }

    /// Label selector of the output's slices.
    pub(super) fn slices(&self) -> String {
        let (uid, output) = (&self.owner.uid, label_value(&self.name));
        format!("{SUBSCRIPTION_UID}={uid},{OUTPUT}={output},{COMPONENT}={SLICE}")
    }

    /// Label selectors of what else the subscription has: its indexes, and the slices of other outputs.
    pub(super) fn indexes_and_others_slices(&self) -> (String, String) {
        let (uid, output) = (&self.owner.uid, label_value(&self.name));
        (
            format!("{SUBSCRIPTION_UID}={uid},{COMPONENT}={EVENTS}"),
            format!("{SUBSCRIPTION_UID}={uid},{COMPONENT}={SLICE},{OUTPUT}!={output}"),
        )
    }

    /// The labels that a part of the output has to have. It may have others.
    pub(super) fn labels(&self, part: Part) -> BTreeMap<String, String> {
        let (component, output) = match part {
            Part::Index => (EVENTS, None),
            Part::Slice => (SLICE, Some((OUTPUT, label_value(&self.name)))),
        };
        [
            ("app.kubernetes.io/name", OPERATOR.to_owned()),
            ("app.kubernetes.io/instance", label_value(&self.instance)),
            (COMPONENT, component.to_owned()),
            ("app.kubernetes.io/part-of", OPERATOR.to_owned()),
            ("app.kubernetes.io/managed-by", OPERATOR.to_owned()),
            (SUBSCRIPTION, label_value(&self.owner.name)),
            (SUBSCRIPTION_UID, self.owner.uid.clone()),
        ]
        .into_iter()
        .chain(output)
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
    }

    /// The owner reference that the output has to have, if any.
    pub(super) fn owner_reference(&self) -> Option<OwnerReference> {
        (!self.retained).then(|| OwnerReference {
            api_version: CalendarSubscription::api_version(&()).into_owned(),
            kind: CalendarSubscription::kind(&()).into_owned(),
            name: self.owner.name.clone(),
            uid: self.owner.uid.clone(),
            controller: Some(true),
            block_owner_deletion: Some(true),
        })
    }

    /// Whether an owner reference means this subscription, be it right in all its fields or not.
    pub(super) fn is_meant_by(&self, reference: &OwnerReference) -> bool {
        reference.uid == self.owner.uid || (is_subscription(reference) && reference.name == self.owner.name)
    }

    /// Whose an object of the output's name is.
    pub(super) fn ownership(&self, metadata: &ObjectMeta) -> Ownership {
        let references = metadata.owner_references.iter().flatten();
        if let Some(other) =
            references.clone().find(|reference| reference.controller == Some(true) && !self.is_meant_by(reference))
        {
            return Ownership::Foreign { owner: format!("{} {}", other.kind, other.name) };
        }
        let label = metadata.labels.as_ref().and_then(|labels| labels.get(SUBSCRIPTION_UID));
        if label == Some(&self.owner.uid) || references.clone().any(|reference| reference.uid == self.owner.uid) {
            return Ownership::Ours;
        }
        let owner = match label {
            Some(_) => "a CalendarSubscription that was deleted or stands elsewhere",
            None => "somebody else",
        };
        Ownership::Foreign { owner: owner.to_owned() }
    }

    /// Whether labels and owner references are as they have to be.
    pub(super) fn is_marked_on(&self, metadata: &ObjectMeta, part: Part) -> bool {
        let labelled = self
            .labels(part)
            .iter()
            .all(|(key, value)| metadata.labels.as_ref().and_then(|labels| labels.get(key)) == Some(value));
        let ours = metadata.owner_references.iter().flatten().filter(|reference| self.is_meant_by(reference));
        labelled && ours.eq(self.owner_reference().iter())
    }
}

/// Whose an object is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ownership {
    /// The subscription's: its uid stands in the label or in an owner reference, and nobody else controls it. One of the
    /// two is enough, so that the other can be put right when somebody has changed it.
    Ours,
    /// Anybody else's.
    Foreign {
        /// Whose, as far as it can be seen.
        owner: String,
    },
}

/// The subscription that an output belongs to, as the output's metadata tell: for mapping a watch to subscriptions.
///
/// By the owner reference, or else by the label. The label is cut where the subscription's name is longer than 63
/// characters: then the answer is a name that does not exist, as it is for an output of a deleted subscription.
#[must_use]
pub fn subscription_of(metadata: &ObjectMeta) -> Option<ObjectRef<CalendarSubscription>> {
    let namespace = metadata.namespace.as_ref()?;
    let reference = metadata.owner_references.iter().flatten().find(|reference| is_subscription(reference));
    let name = match reference {
        Some(reference) => &reference.name,
        None => metadata.labels.as_ref()?.get(SUBSCRIPTION)?,
    };
    Some(ObjectRef::new(name).within(namespace))
}

fn is_digest(text: &str) -> bool {
    text.len() == SLICE_HASH && text.chars().all(|character| matches!(character, '0'..='9' | 'a'..='f'))
}

fn is_subscription(reference: &OwnerReference) -> bool {
    // Any version of the kind: an older release may have written another.
    reference.kind == CalendarSubscription::kind(&())
        && reference.api_version.split_once('/').is_some_and(|(group, _)| group == GROUP)
}

/// Whether it is a DNS subdomain, as the names of most objects are.
fn is_name(name: &str) -> bool {
    let allowed = |character: char| character.is_ascii_lowercase() || character.is_ascii_digit() || character == '-';
    name.len() <= LONGEST_NAME
        && name
            .split('.')
            .all(|part| !part.is_empty() && part.chars().all(allowed) && !part.starts_with('-') && !part.ends_with('-'))
}

/// `name` as a label's value: itself, or its beginning and a hash of the whole where it is too long or not allowed.
fn label_value(name: &str) -> String {
    const HASH: usize = 10;
    let allowed = |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '_' | '.');
    let edge = |character: char| !character.is_ascii_alphanumeric();
    if name.len() <= LONGEST_LABEL && name.chars().all(allowed) && name.trim_matches(edge) == name {
        return name.to_owned();
    }
    let start: String = name.chars().filter(|character| allowed(*character)).take(LONGEST_LABEL - HASH - 1).collect();
    let hash: String = hex(&Sha256::digest(name)).chars().take(HASH).collect();
    match start.trim_matches(edge) {
        "" => hash,
        start => format!("{start}-{hash}"),
    }
}
