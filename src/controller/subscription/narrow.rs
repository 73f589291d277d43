//! What `spec.visibility` does not allow any more goes from the outputs at once. Where the engine looks at an output it does so
//! itself; this is for those that it does not come to: of a subscription that is refused before, and under a former name.

use calendar_sync::{Stored, Visibility};

use super::outputs::{self, Place};
use super::validate;
use crate::api::CalendarSubscription;
use crate::controller::context::Context;
use crate::store::{EventStore as _, StoreError};

/// Narrows all outputs of a subscription, the present one and a former one.
///
/// # Errors
/// If that is to be tried again. An output that is somebody else's, or cannot be read, is left alone.
pub async fn outputs(context: &Context, object: &CalendarSubscription) -> Result<(), StoreError> {
    let visibility = validate::visibility(&object.spec);
    // One that is out of reach does not keep the others as they are.
    let mut outcome = Ok(());
    for place in Place::all(context, object) {
        let narrowed = match place {
            Ok(place) => one(&place, visibility).await,
            Err(error) => Err(error),
        };
        match narrowed {
            Err(error) if outputs::is_given_up(object, error.out_of_reach()) => {}
            narrowed => outcome = outcome.and(narrowed),
        }
    }
    outcome
}

/// Narrows one output.
///
/// # Errors
/// As [`outputs`].
pub async fn one(Place { store, target }: &Place, visibility: Visibility) -> Result<(), StoreError> {
    let head = match store.head(target).await {
        Err(StoreError::Conflict { .. } | StoreError::Unreadable) => return Ok(()),
        head => head?,
    };
    let Stored::Present(snapshot) = head.stored else { return Ok(()) };
    if snapshot.visibility > visibility {
        store.commit(target, head.version.as_ref(), &snapshot.narrowed(visibility)).await?;
    }
    Ok(())
}
