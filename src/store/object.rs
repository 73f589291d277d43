//! The kinds of objects that outputs are made of, seen as one: metadata and texts by key.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::ObjectMeta;
use kube::core::NamespaceResourceScope;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::StoreError;

/// The type of Secrets that hold events.
pub const SECRET_TYPE: &str = "cronofy-operator.dev/events";

/// A kind of object that events can stand in.
pub trait Object:
    kube::Resource<DynamicType = (), Scope = NamespaceResourceScope> + Serialize + DeserializeOwned + Clone + Send + Sync
{
    /// Its kind.
    const KIND: &'static str;
    /// Its resource, as in a Role.
    const RESOURCE: &'static str;
    /// Whether the operator may list it. It never lists Secrets: RBAC could not limit that to its own.
    const LISTED: bool;

    /// An object that holds these texts.
    fn assemble(metadata: ObjectMeta, texts: Option<BTreeMap<String, String>>, immutable: bool) -> Self;

    /// What an object holds.
    fn take_apart(self) -> Parts;
}

/// What an object holds.
#[derive(Clone, Default)]
pub struct Parts {
    /// Its metadata.
    pub metadata: ObjectMeta,
    /// Its texts.
    pub texts: BTreeMap<String, String>,
    /// It holds more than texts, or none of the form that is written.
    pub other: bool,
    /// Its data cannot be updated.
    pub immutable: bool,
    /// It cannot become what is written: its type is another, which nobody can change.
    pub alien: bool,
}

impl Parts {
    /// Whether there is anything in it.
    pub fn is_filled(&self) -> bool {
        !self.texts.is_empty() || self.other
    }
}

/// An object as people name it, if it has this name.
pub(super) fn described<K: Object>(namespace: &str, name: &str) -> String {
    format!("{} {namespace}/{name}", K::KIND)
}

/// Why an object cannot be written or removed that is being deleted.
pub(super) fn being_deleted<K: Object>(namespace: &str, metadata: &ObjectMeta) -> StoreError {
    let finalizers = metadata.finalizers.iter().flatten().cloned().collect::<Vec<_>>().join(", ");
    let object = described::<K>(namespace, metadata.name.as_deref().unwrap_or_default());
    StoreError::BeingDeleted { object, finalizers }
}

/// Whether somebody's finalizer holds an object once it is deleted.
pub(super) fn is_held(metadata: &ObjectMeta) -> bool {
    metadata.finalizers.as_ref().is_some_and(|finalizers| !finalizers.is_empty())
}

impl Object for ConfigMap {
    const KIND: &'static str = "ConfigMap";
    const RESOURCE: &'static str = "configmaps";
    const LISTED: bool = true;

    fn assemble(metadata: ObjectMeta, texts: Option<BTreeMap<String, String>>, immutable: bool) -> Self {
        Self { metadata, data: texts, immutable: immutable.then_some(true), binary_data: None }
    }

    fn take_apart(self) -> Parts {
        let Self { metadata, data, binary_data, immutable } = self;
        let other = binary_data.is_some_and(|data| !data.is_empty());
        Parts { metadata, texts: data.unwrap_or_default(), other, immutable: immutable == Some(true), alien: false }
    }
}

impl Object for Secret {
    const KIND: &'static str = "Secret";
    const RESOURCE: &'static str = "secrets";
    const LISTED: bool = false;

    fn assemble(metadata: ObjectMeta, texts: Option<BTreeMap<String, String>>, immutable: bool) -> Self {
        let bytes = |(key, text): (String, String)| (key, ByteString(text.into_bytes()));
        Self {
            metadata,
            data: texts.map(|texts| texts.into_iter().map(bytes).collect()),
            immutable: immutable.then_some(true),
            string_data: None,
            type_: Some(SECRET_TYPE.to_owned()),
        }
    }

    fn take_apart(self) -> Parts {
        let Self { metadata, data, immutable, string_data: _, type_ } = self;
        let mut parts = Parts {
            metadata,
            immutable: immutable == Some(true),
            alien: type_.as_deref() != Some(SECRET_TYPE),
            ..Parts::default()
        };
        for (key, ByteString(bytes)) in data.unwrap_or_default() {
            match String::from_utf8(bytes) {
                Ok(text) => drop(parts.texts.insert(key, text)),
                Err(_) => parts.other = true,
            }
        }
        parts
    }
}
