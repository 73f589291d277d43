//! What `spec.visibility` does not allow any more goes from the outputs at once. Where the engine looks at an output it does so
//! itself; this is for those that it does not come to: of a subscription that is refused before, and under a former name.

use calendar_sync::{Stored, Visibility};

use super::{execute, validate};
use crate::api::CalendarSubscription;
use crate::controller::context::Context;
use crate::store::{EventStore as _, Store, StoreError, Target};

/// Narrows all outputs of a subscription, the present one and a former one.
///
/// # Errors
/// If that is to be tried again. An output that is somebody else's, or cannot be read, is left alone.
pub async fn outputs(context: &Context, object: &CalendarSubscription) -> Result<(), StoreError> {
    let (Ok(target), Ok(store)) =
        (execute::target(object), Store::open(object.spec.store_kind(), context.client.clone()))
    else {
        return Ok(()); // nothing was ever written there
    };
    let visibility = validate::visibility(&object.spec);
    one(context, &store, &target, visibility).await?;
    match former(object, &target) {
        Some(former) => one(context, &store, &former, visibility).await,
        None => Ok(()),
    }
}

/// The output that the status names, if it is another one than the spec does.
pub fn former(object: &CalendarSubscription, present: &Target) -> Option<Target> {
    let written = object.status.as_ref()?.output.as_ref()?;
    let former = Target::new(present.namespace(), written.name.as_str(), present.owner().clone()).ok()?;
    (former.name() != present.name()).then_some(former)
}

/// Narrows one output.
///
/// # Errors
/// As [`outputs`].
pub async fn one(context: &Context, store: &Store, target: &Target, visibility: Visibility) -> Result<(), StoreError> {
    let head = match store.head(target).await {
        Err(StoreError::Conflict { .. } | StoreError::Unreadable) => return Ok(()),
        head => head?,
    };
    let Stored::Present(snapshot) = head.stored else { return Ok(()) };
    if snapshot.visibility <= visibility {
        return Ok(());
    }
    let committed = store.commit(target, head.version.as_ref(), &snapshot.narrowed(visibility)).await?;
    context.remember(&target.owner().uid, |remembered| {
        remembered.output_version = committed.version.revision().map(ToOwned::to_owned);
    });
    Ok(())
}
