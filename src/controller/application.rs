//! Reconciles applications: is the Secret there and complete, may the endpoint be used. Nothing is asked of Cronofy: whether it
//! accepts the credentials shows with the first subscription.

use std::sync::Arc;
use std::time::Duration;

use k8s_controller::conditions::{self, ConditionStatus, DesiredCondition};
use kube::api::{Patch, PatchParams};
use kube::runtime::controller::Action;
use kube::{Api, ResourceExt as _};
use serde_json::json;

use super::context::{ApplicationKey, Context};
use super::events::Note;
use super::secrets;
use super::subscription::{Error, credentials_secret, endpoint};
use crate::api::{CronofyApplication, CronofyApplicationStatus, condition};
use crate::kubernetes;

/// First and longest wait between two looks at a Secret that a person has to mend.
const FIRST_LOOK: Duration = Duration::from_secs(60);
const LAST_LOOK: Duration = Duration::from_secs(300);

/// What is wrong with an application.
struct Fault {
    reason: &'static str,
    message: String,
    stalled: bool,
}

/// Reconciles one application, and wakes its subscriptions when what they wait for has changed.
pub async fn reconcile(application: &CronofyApplication, context: &Arc<Context>) -> Result<Action, Error> {
    let uid = application.uid().unwrap_or_default();
    let key = ApplicationKey { namespace: application.namespace().unwrap_or_default(), name: application.name_any() };
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
    let mut looks = 0;
    context.remember(&uid, |remembered| {
        remembered.looks = if fault.is_some() { remembered.looks.saturating_add(1) } else { 0 };
        looks = remembered.looks;
    });
    Ok(match fault {
        None => Action::await_change(),
        Some(_) => Action::requeue(FIRST_LOOK.saturating_mul(looks).min(LAST_LOOK)),
    })
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
