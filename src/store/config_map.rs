//! One `ConfigMap` for each subscription: index and events, replaced together.
//!
//! A write is a create where there was nothing, or else an update that names the version it was computed from; Kubernetes
//! refuses either if somebody was faster. An update sends the whole object, so that nothing stays which does not belong
//! there; labels, annotations and finalizers of others are carried over.

use std::collections::BTreeMap;
use std::time::Duration;

use calendar_sync::{Output, Snapshot, Stored};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, ListParams, ObjectMeta, PostParams};
use kube::core::params::GetParams;
use kube::core::request;
use kube::{Client, Resource};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::call::{Call, CallError};
use super::content::{self, Content, Damage, LARGEST_EVENTS};
use super::target::{OUTPUTS, Ownership, SUBSCRIPTION_UID};
use super::version::{self, Version};
use super::{CALL_LIMIT, Committed, EventStore, Head, StoreError, Target};

const KIND: &str = "ConfigMap";
const FIELD_MANAGER: &str = "cronofy-operator";
/// How often an end is tried anew because the output has changed meanwhile.
const MOST_TRIES: usize = 3;

/// Stores events, each subscription's in a `ConfigMap`.
#[derive(Clone)]
pub struct ConfigMapStore {
    client: Client,
    time_limit: Duration,
}

impl EventStore for ConfigMapStore {
    async fn head(&self, target: &Target) -> Result<Head, StoreError> {
        let Some(found) = self.get(target).await? else {
            return Ok(Head { stored: Stored::Absent, ..Head::default() });
        };
        if let Ownership::Foreign { owner } = target.ownership(&found.metadata) {
            return Err(StoreError::Conflict { object: object(target), owner });
        }
        if found.metadata.deletion_timestamp.is_some() {
            return Err(being_deleted(target, &found));
        }
        let mut version = Version::of(target, &found.metadata);
        version.immutable = found.immutable == Some(true);
        version.events_hash =
            found.data.as_ref().and_then(|data| data.get(content::EVENTS)).map(|text| content::sha256(text));
        Ok(match inspect(target, &found) {
            Ok((snapshot, content)) => {
                version.seal = Some(content.seal.clone());
                Head {
                    stored: Stored::Present(Box::new(snapshot)),
                    damage: None,
                    version: Some(version),
                    output: Some(output(target, &content)),
                }
            }
            Err(damage) => Head { stored: Stored::Damaged, damage: Some(damage), version: Some(version), output: None },
        })
    }

    async fn commit(
        &self,
        target: &Target,
        on: Option<&Version>,
        snapshot: &Snapshot,
    ) -> Result<Committed, StoreError> {
        let content = Content::encode(snapshot, &target.owner().uid)?;
        let output = output(target, &content);
        if output.bytes > LARGEST_EVENTS {
            return Err(StoreError::TooLarge { kind: KIND, bytes: output.bytes, limit: LARGEST_EVENTS });
        }
        if let Some(version) = on
            && version.seal.as_ref() == Some(&content.seal)
        {
            return Ok(Committed { output, changed: false, written: false, version: version.clone() });
        }
        let changed = on.and_then(|version| version.events_hash.as_ref()) != Some(&content.hash);
        let (seal, events_hash) = (content.seal.clone(), content.hash.clone());
        let written = self.replace_by(target, on, content).await?;
        let mut version = Version::of(target, &written.metadata);
        version.seal = Some(seal);
        version.events_hash = Some(events_hash);
        Ok(Committed { output, changed, written: true, version })
    }

    async fn erase(&self, target: &Target) -> Result<(), StoreError> {
        for _ in 0..MOST_TRIES {
            let Some(found) = self.get_ours(target).await? else { return Ok(()) };
            match self.erase_found(target, found).await {
                Err(CallError::Conflict) => {}
                Ok(()) | Err(CallError::NotFound) => return Ok(()),
                Err(CallError::Failed(error)) => return Err(error),
            }
        }
        Err(StoreError::HeadMoved)
    }

    async fn erase_others(&self, target: &Target) -> Result<(), StoreError> {
        for other in self.others(target).await? {
            self.erase(&other).await?;
        }
        Ok(())
    }

    async fn release(&self, target: &Target) -> Result<(), StoreError> {
        for _ in 0..MOST_TRIES {
            let Some(mut found) = self.get_ours(target).await? else { return Ok(()) };
            let references = found.metadata.owner_references.take().unwrap_or_default();
            let (ours, others): (Vec<_>, Vec<_>) =
                references.into_iter().partition(|reference| target.is_meant_by(reference));
            let labelled = target.ownership(&found.metadata) == Ownership::Ours;
            if ours.is_empty() && labelled {
                return Ok(());
            }
            found.metadata.owner_references = Some(others).filter(|others| !others.is_empty());
            // The label alone tells from now on whose it is.
            found.metadata.labels.get_or_insert_default().extend(target.labels());
            match self.update(target, &found, 0).await {
                Err(CallError::Conflict) => {}
                Ok(_) | Err(CallError::NotFound) => return Ok(()),
                Err(CallError::Failed(error)) => return Err(error),
            }
        }
        Err(StoreError::HeadMoved)
    }
}

impl ConfigMapStore {
    /// A store that writes by way of `client`.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client, time_limit: CALL_LIMIT }
    }

    /// The same with another limit for each call.
    #[cfg(test)]
    pub(super) fn with_time_limit(self, time_limit: Duration) -> Self {
        Self { time_limit, ..self }
    }

    async fn replace_by(
        &self,
        target: &Target,
        on: Option<&Version>,
        content: Content,
    ) -> Result<ConfigMap, StoreError> {
        let bytes = content.events.len();
        let mut next = ConfigMap {
            metadata: Version::next_metadata(on, target),
            data: Some(BTreeMap::from([
                (content::EVENTS.to_owned(), content.events),
                (content::INDEX.to_owned(), content.index),
            ])),
            ..ConfigMap::default()
        };
        match on {
            Some(version) if !version.immutable => return Ok(self.update(target, &next, bytes).await?),
            Some(version) => {
                // Nobody can change it any more: it goes, and readers see nothing for a moment.
                match self.delete(target, version).await {
                    Ok(()) | Err(CallError::NotFound) => {}
                    Err(error) => return Err(error.into()),
                }
                next.metadata.uid = None;
                next.metadata.resource_version = None;
            }
            None => {}
        }
        Ok(self.create(target, &next, bytes).await?)
    }

    /// Deletes what was found, and makes sure that its content is gone even where a finalizer holds the object.
    async fn erase_found(&self, target: &Target, mut found: ConfigMap) -> Result<(), CallError> {
        let held = found.metadata.finalizers.as_ref().is_some_and(|finalizers| !finalizers.is_empty());
        let filled = found.data.is_some() || found.binary_data.is_some() || version::is_copied_in(&found.metadata);
        let immutable = found.immutable == Some(true);
        if held && filled && !immutable {
            let version = Version::of(target, &found.metadata);
            let deletion_timestamp = found.metadata.deletion_timestamp;
            let mut metadata = Version::next_metadata(Some(&version), target);
            metadata.deletion_timestamp = deletion_timestamp;
            found = self.update(target, &ConfigMap { metadata, ..ConfigMap::default() }, 0).await?;
        }
        if found.metadata.deletion_timestamp.is_none() {
            self.delete(target, &Version::of(target, &found.metadata)).await?;
        }
        if held && filled && immutable {
            return Err(CallError::Failed(being_deleted(target, &found)));
        }
        Ok(())
    }

    /// What the labels show as outputs of the target's subscription, the target aside.
    async fn others(&self, target: &Target) -> Result<Vec<Target>, StoreError> {
        let selector = format!("{OUTPUTS},{SUBSCRIPTION_UID}={}", target.owner().uid);
        let request = requests(target).list_metadata(&ListParams::default().labels(&selector));
        let found: Found = match self.send("list", target, 0, request).await {
            Ok(found) => found,
            Err(CallError::NotFound) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let names = found.items.into_iter().flatten().filter_map(|item| item.metadata.name);
        let others = names
            .filter(|name| name != target.name())
            .map(|name| Target::new(target.namespace(), name, target.owner().clone()));
        Ok(others.filter_map(Result::ok).collect()) // each has a name that Kubernetes has taken
    }

    async fn get(&self, target: &Target) -> Result<Option<ConfigMap>, StoreError> {
        let request = requests(target).get(target.name(), &GetParams::default());
        match self.send("get", target, 0, request).await {
            Ok(found) => Ok(Some(found)),
            Err(CallError::NotFound) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn get_ours(&self, target: &Target) -> Result<Option<ConfigMap>, StoreError> {
        let found = self.get(target).await?;
        Ok(found.filter(|found| target.ownership(&found.metadata) == Ownership::Ours))
    }

    async fn create(&self, target: &Target, object: &ConfigMap, bytes: usize) -> Result<ConfigMap, CallError> {
        let body = body(object)?;
        self.send("create", target, bytes, requests(target).create(&post_params(), body)).await
    }

    async fn update(&self, target: &Target, object: &ConfigMap, bytes: usize) -> Result<ConfigMap, CallError> {
        let body = body(object)?;
        self.send("update", target, bytes, requests(target).replace(target.name(), &post_params(), body)).await
    }

    async fn delete(&self, target: &Target, version: &Version) -> Result<(), CallError> {
        let params = DeleteParams { preconditions: Some(version.preconditions()), ..DeleteParams::default() };
        let request = requests(target).delete(target.name(), &params);
        // Either the object or a Status: of no interest, since the caller knows both.
        let _: IgnoredAny = self.send("delete", target, 0, request).await?;
        Ok(())
    }

    async fn send<T: DeserializeOwned>(
        &self,
        verb: &'static str,
        target: &Target,
        bytes: usize,
        request: Result<http::Request<Vec<u8>>, request::Error>,
    ) -> Result<T, CallError> {
        let namespace = target.namespace();
        let call = Call { verb, resource: "configmaps", kind: KIND, namespace, bytes, limit: LARGEST_EVENTS };
        call.send(&self.client, request, self.time_limit).await
    }
}

/// A list of objects, as far as it is of interest.
#[derive(Deserialize)]
struct Found {
    /// Null where there are none (measured on 1.37).
    items: Option<Vec<Item>>,
}

#[derive(Deserialize)]
struct Item {
    metadata: ObjectMeta,
}

/// What the object holds, if nobody has touched it.
fn inspect(target: &Target, found: &ConfigMap) -> Result<(Snapshot, Content), Damage> {
    let ConfigMap { metadata, data, binary_data, immutable } = found;
    if !target.is_marked_on(metadata) {
        return Err(Damage::Metadata);
    }
    if version::is_copied_in(metadata) {
        return Err(Damage::Annotation);
    }
    if *immutable == Some(true) {
        return Err(Damage::Immutable);
    }
    let data = data.as_ref().ok_or(Damage::Keys)?;
    let (Some(events), Some(index)) = (data.get(content::EVENTS), data.get(content::INDEX)) else {
        return Err(Damage::Keys);
    };
    if data.len() > 2 || binary_data.as_ref().is_some_and(|data| !data.is_empty()) {
        return Err(Damage::Keys);
    }
    Content::decode(events, index, &target.owner().uid)
}

fn output(target: &Target, content: &Content) -> Output {
    content.output(KIND, target.name())
}

fn object(target: &Target) -> String {
    format!("{KIND} {}/{}", target.namespace(), target.name())
}

fn being_deleted(target: &Target, found: &ConfigMap) -> StoreError {
    let finalizers = found.metadata.finalizers.as_ref().map(|finalizers| finalizers.join(", ")).unwrap_or_default();
    StoreError::BeingDeleted { object: object(target), finalizers }
}

fn requests(target: &Target) -> kube::core::Request {
    kube::core::Request::new(ConfigMap::url_path(&(), Some(target.namespace())))
}

fn post_params() -> PostParams {
    PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() }
}

fn body(object: &ConfigMap) -> Result<Vec<u8>, CallError> {
    serde_json::to_vec(object).map_err(|_| CallError::Failed(StoreError::Unencodable))
}
