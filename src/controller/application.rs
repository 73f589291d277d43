//! Reconciles applications: is the Secret there and complete, may the endpoint be used. Nothing is asked of Cronofy: whether it
//! accepts the credentials shows with the first subscription.

use std::sync::Arc;

use k8s_controller::conditions::{self, ConditionStatus, DesiredCondition};
use kube::api::{Patch, PatchParams};
use kube::runtime::controller::Action;
use kube::{Api, ResourceExt as _};
use serde_json::json;

use super::context::{ApplicationKey, Context};
use super::events::Note;
use super::looks::Looks;
use super::secrets;
use super::subscription::{Error, credentials_secret, endpoint};
use crate::api::{CronofyApplication, CronofyApplicationStatus, condition};
use crate::kubernetes;

/// What is wrong with an application.
struct Fault {
    reason: &'static str,
    message: String,
    stalled: bool,
}

/// Reconciles one application, and wakes its subscriptions when what they wait for has changed.
pub async fn reconcile(application: &CronofyApplication, context: &Arc<Context>) -> Result<Action, Error> {
    let uid = application.uid().unwrap_or_default();
    let key = ApplicationKey::from(application);
    let fault = look(application, &key, context).await;
    let before = application.status.clone().unwrap_or_default();
    let after = compose(&before, application.metadata.generation, fault.as_ref());
    if after != before {
        write(application, context, &after).await?;
        if let Some(fault) = fault.as_ref().filter(|fault| !said(&before, fault)) {
            let note = Note::warning(fault.reason, "Validate", fault.message.clone());
            context.events.publish(application, vec![note]).await;
        }
        context.application_changed(key);
    }
    if fault.is_none() {
        context.remember(&uid, |remembered| remembered.looks = Looks::default());
        return Ok(Action::await_change());
    }
    Ok(Action::requeue(context.next_look(&uid)))
}

async fn look(application: &CronofyApplication, key: &ApplicationKey, context: &Context) -> Option<Fault> {
    if let Err(refusal) = endpoint(application, context.options.allow_custom_endpoints) {
        return Some(Fault { reason: refusal.reason, message: refusal.message, stalled: true });
    }
    let error = secrets::credentials(&context.client, &credentials_secret(application, key)).await.err()?;
    Some(Fault { reason: error.category(), message: error.to_string(), stalled: error.waits_for_a_person() })
}

fn said(before: &CronofyApplicationStatus, fault: &Fault) -> bool {
    conditions::find(&before.conditions, condition::READY).is_some_and(|ready| ready.reason == fault.reason)
}

fn compose(
    before: &CronofyApplicationStatus,
    generation: Option<i64>,
    fault: Option<&Fault>,
) -> CronofyApplicationStatus {
    let mut status = before.clone();
    status.observed_generation = generation;
    let retried = fault.is_some_and(|fault| !fault.stalled);
    let stalled = fault.is_some_and(|fault| fault.stalled);
    let (reason, message) = match fault {
        Some(fault) => (fault.reason, fault.message.as_str()),
        None => ("Valid", "the credentials are complete and the endpoint may be used"),
    };
    let says = [
        (condition::READY, fault.is_none(), reason, message),
        (condition::RECONCILING, retried, if retried { reason } else { "AtRest" }, if retried { message } else { "" }),
        (condition::STALLED, stalled, if stalled { reason } else { "NotStalled" }, if stalled { message } else { "" }),
    ];
    for (kind, holds, reason, message) in says {
        let desired = DesiredCondition::new(kind, ConditionStatus::from(holds), reason, message);
        let _changed = conditions::set(&mut status.conditions, desired.observed_generation(generation));
    }
    status
}

async fn write(
    application: &CronofyApplication,
    context: &Context,
    status: &CronofyApplicationStatus,
) -> Result<(), Error> {
    let api: Api<CronofyApplication> =
        Api::namespaced(context.client.clone(), &application.namespace().unwrap_or_default());
    // Only this controller writes this status, and it is computed whole, so a stale look is put right by the next one.
    let patch = json!({ "metadata": { "uid": application.uid() }, "status": status });
    let (name, params, patch) = (application.name_any(), PatchParams::default(), Patch::Merge(patch));
    match kubernetes::call(api.patch_status(&name, &params, &patch)).await {
        Ok(_) => Ok(()),
        Err(error) if error.is_not_found() || error.is_conflict() => Err(Error::Changed),
        Err(error) => Err(error.into()),
    }
}
