//! The requests that a store makes, each within its limit of time.

use std::marker::PhantomData;
use std::time::Duration;

use kube::Client;
use kube::api::{
    DeleteParams, ListParams, ObjectList, ObjectMeta, PartialObjectMeta, Patch, PatchParams, PostParams, Preconditions,
};
use kube::core::params::GetParams;
use kube::core::request;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::json;

use super::StoreError;
use super::call::{Call, CallError};
use super::object::{Object, Parts};

const FIELD_MANAGER: &str = "cronofy-operator";
/// Objects of one page of a list.
const PAGE: u32 = 500;

/// Requests about objects of one kind.
pub(super) struct Calls<K> {
    client: Client,
    time_limit: Duration,
    kind: PhantomData<fn() -> K>,
}

impl<K> Clone for Calls<K> {
    fn clone(&self) -> Self {
        Self { client: self.client.clone(), ..*self }
    }
}

impl<K: Object> Calls<K> {
    pub fn new(client: Client, time_limit: Duration) -> Self {
        Self { client, time_limit, kind: PhantomData }
    }

    /// The same with another limit for each call.
    #[cfg(test)]
    pub fn with_time_limit(self, time_limit: Duration) -> Self {
        Self { time_limit, ..self }
    }

    pub async fn get(&self, namespace: &str, name: &str) -> Result<Option<Parts>, StoreError> {
        let request = requests::<K>(namespace).get(name, &GetParams::default());
        found(self.send::<K>("get", namespace, 0, request).await.map(K::take_apart))
    }

    /// Metadata alone: whose it is, without what it holds.
    pub async fn metadata(&self, namespace: &str, name: &str) -> Result<Option<ObjectMeta>, StoreError> {
        let request = requests::<K>(namespace).get_metadata(name, &GetParams::default());
        found(self.send::<PartialObjectMeta<K>>("get", namespace, 0, request).await.map(|object| object.metadata))
    }

    /// Metadata of all objects with these labels.
    pub async fn list(&self, namespace: &str, labels: &str) -> Result<Vec<ObjectMeta>, StoreError> {
        let mut params = ListParams::default().labels(labels).limit(PAGE);
        let mut all = Vec::new();
        loop {
            let request = requests::<K>(namespace).list_metadata(&params);
            let page: ObjectList<PartialObjectMeta<K>> = self.send("list", namespace, 0, request).await?;
            all.extend(page.items.into_iter().map(|object| object.metadata));
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => return Ok(all),
            }
        }
    }

    pub async fn create(&self, namespace: &str, object: &K, bytes: usize) -> Result<ObjectMeta, CallError> {
        let request = requests::<K>(namespace).create(&post_params(), body(object)?);
        written(self.send::<PartialObjectMeta<K>>("create", namespace, bytes, request).await?)
    }

    /// Replaces an object that carries the version it is to replace.
    pub async fn update(&self, namespace: &str, object: &K, bytes: usize) -> Result<ObjectMeta, CallError> {
        let name = object.meta().name.clone().unwrap_or_default();
        let request = requests::<K>(namespace).replace(&name, &post_params(), body(object)?);
        written(self.send::<PartialObjectMeta<K>>("update", namespace, bytes, request).await?)
    }

    /// Sets an annotation of an object that still is what was seen.
    pub async fn annotate(
        &self,
        (namespace, name): (&str, &str),
        seen: Preconditions,
        (annotation, value): (&str, &str),
    ) -> Result<ObjectMeta, CallError> {
        let Preconditions { uid, resource_version } = seen;
        let patch = Patch::Merge(json!({
            "metadata": { "uid": uid, "resourceVersion": resource_version, "annotations": { annotation: value } }
        }));
        let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        let request = requests::<K>(namespace).patch_metadata(name, &params, &patch);
        written(self.send::<PartialObjectMeta<K>>("patch", namespace, value.len(), request).await?)
    }

    /// Deletes an object that still is what was seen.
    pub async fn delete(&self, namespace: &str, name: &str, seen: Preconditions) -> Result<(), CallError> {
        let params = DeleteParams { preconditions: Some(seen), ..DeleteParams::default() };
        let request = requests::<K>(namespace).delete(name, &params);
        // Either the object or a Status: of no interest, since the caller knows both.
        let _: IgnoredAny = self.send("delete", namespace, 0, request).await?;
        Ok(())
    }

    async fn send<T: DeserializeOwned>(
        &self,
        verb: &'static str,
        namespace: &str,
        bytes: usize,
        request: Result<http::Request<Vec<u8>>, request::Error>,
    ) -> Result<T, CallError> {
        let call = Call { verb, resource: K::RESOURCE, kind: K::KIND, namespace, bytes };
        call.send(&self.client, request, self.time_limit).await
    }
}

/// What a deletion is conditional on: the object that was seen, unchanged.
pub(super) fn unchanged(metadata: &ObjectMeta) -> Preconditions {
    Preconditions { uid: metadata.uid.clone(), resource_version: metadata.resource_version.clone() }
}

fn found<T>(result: Result<T, CallError>) -> Result<Option<T>, StoreError> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(CallError::NotFound) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Metadata of what was written. An answer without a version is none.
fn written<K>(PartialObjectMeta { metadata, .. }: PartialObjectMeta<K>) -> Result<ObjectMeta, CallError> {
    if metadata.resource_version.is_some() { Ok(metadata) } else { Err(CallError::Failed(StoreError::Unreadable)) }
}

fn requests<K: Object>(namespace: &str) -> kube::core::Request {
    kube::core::Request::new(K::url_path(&(), Some(namespace)))
}

fn post_params() -> PostParams {
    PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() }
}

fn body<K: Object>(object: &K) -> Result<Vec<u8>, CallError> {
    serde_json::to_vec(object).map_err(|_| CallError::Failed(StoreError::Unencodable))
}
