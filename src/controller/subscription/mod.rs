//! One reconcile of a subscription, in five steps: [`dereference`] what it refers to, [`validate`] it into one typed value,
//! let the engine decide and [`execute`] what it says, write the [`status`]. `cleanup` holds the finalizer.
//!
//! A reconcile begins with a live look at the object, so that nothing is decided on a stale cache, and every write it makes
//! carries the version it was decided on.

mod cleanup;
mod dereference;
mod execute;
mod move_out;
mod narrow;
mod others;
mod outputs;
mod status;
mod tally;
mod transitions;
mod translate;
mod urgency;
mod validate;
mod verdict;

pub use dereference::{Dereferenced, credentials_secret, endpoint};
pub use urgency::lane;
pub use verdict::{About, Refusal};

use std::sync::Arc;
use std::time::Duration;

use calendar_sync::{Memory, Step, Stop, Why};
use jiff::{SignedDuration, Timestamp};
use kube::runtime::controller::Action;
use kube::{Api, ResourceExt as _};

use self::execute::Driver;
use self::move_out::Moved;
use self::status::WriteError;
use self::verdict::Verdict;
use super::budget::Limits;
use super::context::Context;
use super::looks::Looks;
use super::secrets;
use super::turns::Turn;
use crate::api::{ABANDON_CHANNEL, ABANDON_STORE, CalendarSubscription, CronofyApplication, FINALIZER, REQUESTED_AT};
use crate::kubernetes::{self, CallError};
use crate::store::StoreError;
use crate::traces;

/// Why a reconcile did not come to an end. All of it is tried again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The object as stored does not decode.
    #[error("the object does not decode: {0}")]
    Undecodable(String),
    /// The Kubernetes API.
    #[error(transparent)]
    Call(#[from] CallError),
    /// An output, of a subscription that is being deleted or refused.
    #[error(transparent)]
    Store(StoreError),
    /// The object changed while it was worked on.
    #[error("the subscription has changed meanwhile")]
    Changed,
    /// It took too long.
    #[error("the reconcile took longer than {} s", .0.as_secs())]
    TimedOut(Duration),
    /// A defect.
    #[error("the reconcile panicked")]
    Panicked,
    /// A defect.
    #[error("the reconcile came to no end within its number of steps")]
    Endless,
}

impl Error {
    /// Stable word for logs and metrics.
    #[must_use]
    pub fn category(&self) -> &'static str {
        match self {
            Error::Undecodable(_) => "Undecodable",
            Error::Call(_) => "KubernetesUnavailable",
            Error::Store(error) => error.category(),
            Error::Changed => "Changed",
            Error::TimedOut(_) => "TimedOut",
            Error::Panicked => "Panicked",
            Error::Endless => "Endless",
        }
    }
}

impl From<WriteError> for Error {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Changed | WriteError::Gone => Error::Changed,
            WriteError::Call(error) => Error::Call(error),
        }
    }
}

/// The longest time without a look: a later wake-up is left to the next one.
const LONGEST_REQUEUE: Duration = Duration::from_secs(12 * 3600);

/// The longest time without a look at an output of which nobody tells when somebody touches it, or restores it from a copy.
const UNWATCHED_LOOK: SignedDuration = SignedDuration::from_mins(10);

/// Before the next look at an output that somebody touched while it was written.
const TOUCHED_CHECK: Duration = Duration::from_secs(1);

/// Reconciles one subscription.
pub async fn reconcile(cached: &CalendarSubscription, context: &Arc<Context>, turn: &Turn) -> Result<Action, Error> {
    let api: Api<CalendarSubscription> =
        Api::namespaced(context.client.clone(), &cached.namespace().unwrap_or_default());
    let object = match kubernetes::call(api.get(&cached.name_any())).await {
        Ok(object) => object,
        Err(error) if error.is_not_found() => {
            context.forget(&cached.uid().unwrap_or_default());
            return Ok(Action::await_change());
        }
        Err(error) => return Err(error.into()),
    };
    let _origin = traces::also_for_what_came(traces::origin(cached), &object);
    let deleting = object.metadata.deletion_timestamp.is_some();
    let held = object.finalizers().iter().any(|finalizer| finalizer == FINALIZER);
    match (deleting, held) {
        (true, false) => Ok(Action::await_change()),
        (true, true) => Box::pin(cleanup::delete(context, turn, &api, object)).await,
        (false, true) => Box::pin(keep(context, turn, &api, object)).await,
        (false, false) => {
            // Nothing external exists before the finalizer does.
            let object = cleanup::hold(&api, &object).await?;
            Box::pin(keep(context, turn, &api, object)).await
        }
    }
}

/// Reconciles a subscription that is not being deleted.
async fn keep(
    context: &Arc<Context>,
    turn: &Turn,
    api: &Api<CalendarSubscription>,
    object: CalendarSubscription,
) -> Result<Action, Error> {
    let found = match dereference::dereference(context, &object).await {
        Ok(found) => found,
        Err(dereference::Error::Refused(refusal)) => return refuse(context, api, object, &refusal).await,
        Err(dereference::Error::Call(error)) => return Err(error.into()),
    };
    let object = match Box::pin(move_out::move_out(context, turn, api, object, &found)).await? {
        Moved::Out(object) => *object,
        Moved::Waits(action) => return Ok(action),
    };
    let uid = object.uid().unwrap_or_default();
    let remembered = context.remembered(&uid);
    // The Secrets are looked at where a token is needed anyway and where a person may have mended something, but not on
    // every notification.
    let credentials = match &remembered.credentials {
        Some(version) if remembered.memory.blocked_on.is_none() && context.accounts.cached(&found.grant).is_some() => {
            version.clone()
        }
        Some(_) | None => match context.accounts.look(&found.grant).await {
            Ok(look) => {
                let limits = Limits::of(&found.application);
                context.budgets.held_by(&found.key, limits, look.holder(&found.grant));
                look.version
            }
            Err(error) => return refuse(context, api, object, &unreadable(&error)).await,
        },
    };
    let asked = asked(&object, Some(&found.application));
    let inputs = calendar_sync::fingerprint(&(&asked, &credentials));
    let desired = match validate::validate(&object, context.options.callback_base.as_deref(), inputs) {
        Ok(desired) => desired,
        Err(invalid) => return refuse(context, api, object, &invalid.into()).await,
    };
    context.remember(&uid, |remembered| {
        remembered.credentials = Some(credentials);
        remembered.found = Some(found.clone());
    });
    let driver = match Driver::new(context, turn, api, &found, &desired, object.clone()) {
        Ok(driver) => driver,
        Err(refusal) => return refuse(context, api, object, &refusal).await,
    };
    let look = (!driver.place.store.is_watched()).then_some(UNWATCHED_LOOK);
    let (step, observed) = Box::pin(driver.run(&remembered, &asked)).await?;
    context.remember(&uid, |remembered| remembered.asked = Some(asked));
    Ok(rest(context, &uid, &step, observed.memory, look))
}

/// Fingerprint of what people ask for.
fn asked(object: &CalendarSubscription, application: Option<&CronofyApplication>) -> String {
    let annotations = [REQUESTED_AT, ABANDON_CHANNEL, ABANDON_STORE].map(|key| object.annotations().get(key));
    let application = application.map(|application| application.metadata.generation);
    calendar_sync::fingerprint(&(object.metadata.generation, annotations, application))
}

/// When to look again at a subscription whose engine rests: after `look` at the latest, if there is one.
fn rest(context: &Context, uid: &str, step: &Step, memory: Memory, look: Option<SignedDuration>) -> Action {
    let now = Timestamp::now();
    let mut other = None;
    context.remember(uid, |remembered| {
        remembered.memory = memory;
        let look = look.and_then(|look| now.checked_add(look).ok());
        other = remembered.tidy.into_iter().chain(remembered.others).chain(look).min();
    });
    if let Step::Stop(Stop::Failed(_)) = step {
        return Action::requeue(context.next_look(uid));
    }
    context.remember(uid, |remembered| remembered.looks = Looks::default());
    wake(step, context.outputs.is_touched(uid), other, now).map_or_else(Action::await_change, Action::requeue)
}

/// How long a rest at this step lasts if nothing wakes it: until what is due otherwise, too. Somebody may have touched the output
/// while it was written.
fn wake(step: &Step, touched: bool, other: Option<Timestamp>, now: Timestamp) -> Option<Duration> {
    let until = match step {
        Step::Wait { why, .. } if touched && !matches!(why, Why::Retry | Why::Suspended) => return Some(TOUCHED_CHECK),
        Step::Wait { until, .. } => *until,
        // Also where all was erased a restored database would show it again.
        _ => None,
    };
    let wait = |until: Timestamp| Duration::try_from(until.duration_since(now)).unwrap_or_default();
    until.into_iter().chain(other).min().map(|until| wait(until).min(LONGEST_REQUEUE))
}

/// Says why nothing can be done, and looks again later. No request leaves the cluster meanwhile.
async fn refuse(
    context: &Arc<Context>,
    api: &Api<CalendarSubscription>,
    object: CalendarSubscription,
    refusal: &Refusal,
) -> Result<Action, Error> {
    let generation = object.metadata.generation;
    let uid = object.uid().unwrap_or_default();
    let before = object.status.clone().unwrap_or_default();
    if before.observed_generation != generation {
        // What is not allowed any more goes, whatever else is wrong.
        if let Err(error) = Box::pin(narrow::outputs(context, &object)).await {
            let message =
                format!("{}; what spec.visibility no longer allows could not be removed: {error}", refusal.message);
            let refusal = Refusal { message, ..refusal.clone() };
            return Err(Box::pin(unsettled(api, object, &refusal, error)).await);
        }
    }
    let written =
        status::write(api, object, None, |before| status::compose(before, generation, &Verdict::Refused(refusal)));
    let (object, changed) = written.await?;
    if changed {
        let after = object.status.clone().unwrap_or_default();
        context.events.publish(&object, transitions::between(&before, &after)).await;
    }
    Ok(Action::requeue(context.next_look(&uid)))
}

/// Says that an output stays which is to go, and what helps.
async fn not_removed(api: &Api<CalendarSubscription>, object: CalendarSubscription, error: StoreError) -> Error {
    let message = format!("the output could not be removed: {error}");
    let refusal = Refusal { reason: "OutputNotRemoved", message, about: About::Spec, stalled: false };
    Box::pin(unsettled(api, object, &refusal, error)).await
}

/// Says why an output is not as it is to be. The spec does not count as observed, so that it is tried again.
async fn unsettled(
    api: &Api<CalendarSubscription>,
    object: CalendarSubscription,
    refusal: &Refusal,
    error: StoreError,
) -> Error {
    let observed = object.status.as_ref().and_then(|status| status.observed_generation);
    let written =
        status::write(api, object, None, |before| status::compose(before, observed, &Verdict::Refused(refusal)));
    written.await.map_or_else(Error::from, |_| Error::Store(error))
}

fn unreadable(error: &secrets::Error) -> Refusal {
    Refusal {
        reason: error.category(),
        message: error.to_string(),
        about: About::Credentials,
        stalled: error.waits_for_a_person(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_subscription_rests_for_an_output_that_nobody_watches_is_looked_at() {
        let now: Timestamp = "2026-11-25T09:00:00Z".parse().unwrap();
        let after = |minutes| now + SignedDuration::from_mins(minutes);
        let wait = |until: Option<i64>, why| Step::Wait { until: until.map(after), why };
        let minutes = |minutes| Some(Duration::from_mins(minutes));
        for (step, touched, other, expected) in [
            (wait(Some(300), Why::ChannelCheck), false, Some(10), minutes(10)),
            (wait(Some(3), Why::ChannelCheck), false, Some(10), minutes(3)),
            (wait(None, Why::Suspended), false, Some(10), minutes(10)),
            (Step::Stop(Stop::Erased), false, Some(10), minutes(10)),
            (wait(Some(300), Why::ChannelCheck), false, None, minutes(300)),
            (wait(Some(3000), Why::FullSync), false, None, Some(LONGEST_REQUEUE)),
            (wait(Some(-1), Why::Poll), false, None, minutes(0)),
            (wait(None, Why::Suspended), false, None, None),
            (Step::Stop(Stop::Erased), false, None, None),
            (wait(Some(300), Why::ChannelCheck), true, None, Some(TOUCHED_CHECK)),
            (wait(Some(300), Why::Retry), true, None, minutes(300)),
        ] {
            assert_eq!(wake(&step, touched, other.map(after), now), expected, "{step:?} {touched} {other:?}");
        }
    }
}
