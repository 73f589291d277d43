//! The finalizer: put before anything external exists, taken off last.

use std::sync::Arc;

use calendar_sync::{Deletion, Reason, Step};
use kube::api::{Patch, PatchParams};
use kube::runtime::controller::Action;
use kube::{Api, ResourceExt as _};
use serde_json::json;

use super::execute::Driver;
use super::{Error, asked, dereference, not_removed, outputs, rest, status, validate};
use crate::api::{ABANDON_CHANNEL, CalendarSubscription, DeletionPolicy, FINALIZER};
use crate::controller::context::Context;
use crate::controller::events::Note;
use crate::controller::turns::Turn;
use crate::kubernetes;

/// Reconciles a subscription that is being deleted: the channel is closed, the output removed or let go, then the object.
pub async fn delete(
    context: &Arc<Context>,
    turn: &Turn,
    api: &Api<CalendarSubscription>,
    object: CalendarSubscription,
) -> Result<Action, Error> {
    let uid = object.uid().unwrap_or_default();
    let since = object.metadata.deletion_timestamp.as_ref().map_or_else(jiff::Timestamp::now, |since| since.0);
    let retain = object.spec.deletion_policy() == DeletionPolicy::Retain;
    let abandon_channel = object.annotations().get(ABANDON_CHANNEL).is_some_and(|value| value == "true");
    let deletion = Deletion { since, retain, abandon_channel };

    let mut orphaned = false;
    let found = match dereference::dereference(context, &object).await {
        Ok(found) => Some(found),
        Err(dereference::Error::Refused(_)) => {
            orphaned = true;
            context.remembered(&uid).found
        }
        Err(dereference::Error::Call(error)) => return Err(error.into()),
    };
    // Without the application or its Secret nobody can close the channel for us. A token still at hand can.
    let reachable = match &found {
        // Nobody can renew that token, so one failed try with it is the last.
        Some(found) if context.accounts.cached(&found.grant).is_some() => !(orphaned && has_failed(&object)),
        Some(found) => match context.accounts.look(&found.grant).await {
            Ok(_) => true,
            Err(error) => !error.waits_for_a_person(),
        },
        None => false,
    };
    let had_channel = object.status.as_ref().is_some_and(|status| status::record(status).channel.may_exist());
    let mut leaked = had_channel && (abandon_channel || !reachable);
    let mut removed = false;
    let asked = asked(&object, found.as_ref().map(|found| found.application.as_ref()));
    if let Some(found) = found.filter(|_| reachable) {
        let desired = validate::farewell(&object, context.options.callback_base.as_deref(), deletion);
        match Driver::new(context, turn, api, &found, &desired, object.clone()) {
            Ok(driver) => {
                let (step, observed) = Box::pin(driver.run(&context.remembered(&uid), &asked)).await?;
                context.remember(&uid, |remembered| remembered.asked = Some(asked));
                if step != Step::Finish {
                    return Ok(rest(context, &uid, &step, observed.memory, None));
                }
                leaked |= had_channel && observed.leaked;
                removed = !retain;
            }
            // A calendar store that may not be called any more: outputs in it keep the subscription, a channel does not.
            Err(_) => leaked |= had_channel,
        }
    }
    if !removed && let Err(error) = outputs::end(context, &object, retain).await {
        return Err(not_removed(api, object, error).await);
    }
    if leaked {
        let text = "the channel could not be closed and is left behind: Cronofy closes it once its deliveries have failed for a day";
        context.events.publish(&object, vec![Note::warning("ChannelLeaked", "CloseChannel", text)]).await;
    }
    release(api, &object).await?;
    context.forget(&uid);
    Ok(Action::await_change())
}

/// Whether a try of this deletion has failed. That the application went before its subscription, as in a namespace that goes, is
/// not one.
fn has_failed(object: &CalendarSubscription) -> bool {
    let since = object.metadata.deletion_timestamp.as_ref().map(|since| since.0);
    let failure = object.status.as_ref().and_then(|status| status.failure.as_ref());
    let tried = failure.filter(|failure| Reason::parse(&failure.reason).is_some());
    tried.is_some_and(|failure| Some(failure.last_time.0) >= since)
}

/// Puts the finalizer on. Gives the object with it.
pub async fn hold(
    api: &Api<CalendarSubscription>,
    object: &CalendarSubscription,
) -> Result<CalendarSubscription, Error> {
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
    kubernetes::call(api.patch(&object.name_any(), &PatchParams::default(), &Patch::Merge(&patch)))
        .await
        .map_err(|error| if error.is_conflict() { Error::Changed } else { error.into() })
}
