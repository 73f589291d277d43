//! The finalizer: put before anything external exists, taken off last.

use std::sync::Arc;

use kube::api::{Patch, PatchParams};
use kube::runtime::controller::Action;
use kube::{Api, ResourceExt as _};
use serde_json::json;

use super::dereference::{self, dereference};
use super::execute::Driver;
use super::{Context, Error, Refusal, inputs, rest, validate};
use crate::api::{CalendarSubscription, FINALIZER};
use crate::controller::accounts::Lookup;
use crate::controller::events::Note;
use crate::kubernetes;

/// Puts the finalizer on. Gives the object with it.
pub async fn hold(api: &Api<CalendarSubscription>, object: &CalendarSubscription) -> Result<CalendarSubscription, Error> {
    let mut finalizers = object.finalizers().to_vec();
    finalizers.push(FINALIZER.to_owned());
    set(api, object, &finalizers).await
}

/// Takes the finalizer off: the object may go.
async fn release(api: &Api<CalendarSubscription>, object: &CalendarSubscription) -> Result<(), Error> {
    let mut finalizers = object.finalizers().to_vec();
    finalizers.retain(|finalizer| finalizer != FINALIZER);
    match set(api, object, &finalizers).await {
        Ok(_) => Ok(()),
        Err(Error::Call(error)) if error.is_not_found() => Ok(()), // somebody else did it
        Err(error) => Err(error),
    }
}

async fn set(
    api: &Api<CalendarSubscription>,
    object: &CalendarSubscription,
    finalizers: &[String],
) -> Result<CalendarSubscription, Error> {
    let patch = json!({
        "metadata": { "resourceVersion": object.resource_version(), "uid": object.uid(), "finalizers": finalizers }
    });
    let written = api.patch(&object.name_any(), &PatchParams::default(), &Patch::Merge(&patch)).await;
    kubernetes::call(std::future::ready(written)).await.map_err(|error| {
        if error.is_conflict() { Error::Changed } else { error.into() }
    })
}
