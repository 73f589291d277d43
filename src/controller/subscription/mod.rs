//! One reconcile of a subscription, in five steps: [`dereference`] what it refers to, [`validate`] it into one typed value,
//! let the engine decide and [`execute`] what it says, write the [`status`]. `cleanup` holds the finalizer.
//!
//! A reconcile begins with a live look at the object, so that nothing is decided on a stale cache, and every write it makes
//! carries the version it was decided on.

mod cleanup;
mod dereference;
mod execute;
mod status;
mod transitions;
mod translate;
mod validate;
mod verdict;

pub use dereference::{allows, endpoint};
pub use verdict::{About, Refusal};

use std::sync::Arc;
use std::time::Duration;

use calendar_sync::{Memory, Observed, Step};
use jiff::Timestamp;
use kube::api::ObjectMeta;
use kube::runtime::controller::Action;
use kube::{Api, ResourceExt as _};

use self::dereference::Dereferenced;
use self::execute::Driver;
use self::status::WriteError;
use self::verdict::Verdict;
use super::accounts::Lookup;
use super::context::{Context, Remembered};
use crate::api::{CalendarSubscription, CalendarSubscriptionStatus, FINALIZER};
use crate::kubernetes::{self, CallError};

/// Why a reconcile did not come to an end. All of it is tried again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The object as stored does not decode.
    #[error("the subscription does not decode: {0}")]
    Undecodable(String),
    /// The Kubernetes API.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The object changed while it was worked on.
    #[error("the subscription has changed meanwhile")]
    Changed,
    /// It took too long.
    #[error("the reconcile took longer than {} s", .0.as_secs())]
    TimedOut(Duration),
    /// A defect.
    #[error("the reconcile panicked")]
    Panicked,
}

impl Error {
    /// Stable word for logs and metrics.
    #[must_use]
    pub fn category(&self) -> &'static str {
        match self {
            Error::Undecodable(_) => "Undecodable",
            Error::Call(_) => "KubernetesUnavailable",
            Error::Changed => "Changed",
            Error::TimedOut(_) => "TimedOut",
            Error::Panicked => "Panicked",
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
/// First and longest wait between two looks at what only a person can mend.
const FIRST_LOOK: Duration = Duration::from_secs(60);
const LAST_LOOK: Duration = Duration::from_secs(300);

/// Reconciles one subscription.
pub async fn reconcile(cached: &CalendarSubscription, context: &Arc<Context>) -> Result<Action, Error> {
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
    let deleting = object.metadata.deletion_timestamp.is_some();
    let held = object.finalizers().iter().any(|finalizer| finalizer == FINALIZER);
    match (deleting, held) {
        (true, false) => Ok(Action::await_change()),
        (true, true) => cleanup::delete(context, &api, object).await,
        (false, true) => keep(context, &api, object).await,
        (false, false) => {
            // Nothing external exists before the finalizer does.
            let object = cleanup::hold(&api, object).await?;
            keep(context, &api, object).await
        }
    }
}

/// Reconciles a subscription that is not being deleted.
async fn keep(context: &Arc<Context>, api: &Api<CalendarSubscription>, object: CalendarSubscription) -> Result<Action, Error> {
    let found = match dereference::dereference(context, &object).await {
        Ok(found) => found,
        Err(dereference::Error::Refused(refusal)) => return refuse(context, api, object, refusal).await,
        Err(dereference::Error::Call(error)) => return Err(error.into()),
    };
    let uid = object.uid().unwrap_or_default();
    let remembered = context.remembered(&uid);
    let lookup = match look(context, &object, &found, &remembered).await {
        Ok(lookup) => lookup,
        Err(refusal) => return refuse(context, api, object, refusal).await,
    };
    let inputs = inputs(&object, &found, &lookup);
    let desired = match validate::validate(&object, context.options.callback_base.as_deref(), inputs) {
        Ok(desired) => desired,
        Err(invalid) => {
            let refusal =
                Refusal { reason: invalid.reason(), message: invalid.to_string(), about: About::Spec, stalled: true };
            return refuse(context, api, object, refusal).await;
        }
    };
    context.remember(&uid, |remembered| remembered.credentials = Some(lookup.version.clone()));
    let driver = Driver::new(context, api, &found, lookup, &desired, object);
    let (step, observed) = driver.run(remembered.memory).await?;
    rest(context, &uid, &step, observed.memory)
}

/// Looks at the Secrets: always where a token is needed or a person may have mended something, not on every notification.
async fn look(
    context: &Context,
    object: &CalendarSubscription,
    found: &Dereferenced,
    remembered: &Remembered,
) -> Result<Lookup, Refusal> {
    let blocked = remembered.memory.blocked_on.is_some();
    context.accounts.look(object, found, blocked).await
}
