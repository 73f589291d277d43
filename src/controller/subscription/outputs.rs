//! Where a subscription's events are written, and where they stood before its spec changed.

use calendar_sync::Output;
use kube::ResourceExt as _;

use super::status;
use crate::api::{ABANDON_STORE, CalendarSubscription, DeletionPolicy, StoreKind};
use crate::controller::context::Context;
use crate::controller::events::Note;
use crate::store::{EventStore as _, InvalidName, NoRemote, Owner, Store, StoreError, Target};

/// An output: the store and the name in it.
#[derive(Clone)]
pub struct Place {
    /// The store.
    pub store: Store,
    /// The output in it.
    pub target: Target,
}

/// Why there is no such place.
#[derive(Debug, thiserror::Error)]
pub enum NoPlace {
    /// There is no calendar store that may be called.
    #[error(transparent)]
    Remote(#[from] NoRemote),
    /// The name is none.
    #[error(transparent)]
    Name(#[from] InvalidName),
}

impl Place {
    /// Where the spec wants the events.
    pub fn wanted(context: &Context, object: &CalendarSubscription) -> Result<Self, NoPlace> {
        let (kind, memory) = (object.spec.store_kind(), context.outputs.clone());
        let store = match kind {
            StoreKind::ConfigMap | StoreKind::Secret => Store::open(kind, context.client.clone(), memory)?,
            StoreKind::Remote => Store::Remote(context.remotes.open(object.spec.store_url(), memory)?),
        };
        Ok(Self::of(object, store, object.store_name())?)
    }

    /// Where an output is that was written earlier. `None` if no release writes there.
    ///
    /// # Errors
    /// If it is in a calendar store that may not be called any more.
    pub fn earlier(
        context: &Context,
        object: &CalendarSubscription,
        output: &Output,
    ) -> Result<Option<Self>, StoreError> {
        let kinds = [StoreKind::ConfigMap, StoreKind::Secret, StoreKind::Remote];
        let kind = kinds.into_iter().find(|known| known.as_str() == output.kind);
        let memory = context.outputs.clone();
        let store = match (kind, &output.url) {
            (Some(StoreKind::Remote), Some(url)) => Store::Remote(context.remotes.reopen(url, memory)?),
            (Some(kind @ (StoreKind::ConfigMap | StoreKind::Secret)), _) => {
                match Store::open(kind, context.client.clone(), memory) {
                    Ok(store) => store,
                    Err(_) => return Ok(None),
                }
            }
            (Some(StoreKind::Remote), None) | (None, _) => return Ok(None),
        };
        Ok(Self::of(object, store, output.name.clone()).ok())
    }

    fn of(object: &CalendarSubscription, store: Store, name: String) -> Result<Self, InvalidName> {
        let owner = Owner { name: object.name_any(), uid: object.uid().unwrap_or_default() };
        let target = Target::new(object.namespace().unwrap_or_default(), name, owner)?;
        let retained = object.spec.deletion_policy() == DeletionPolicy::Retain;
        Ok(Self { store, target: target.retained(retained) })
    }

    /// Where the events stand, as the status tells.
    ///
    /// # Errors
    /// As [`earlier`](Self::earlier).
    pub fn written(context: &Context, object: &CalendarSubscription) -> Result<Option<Self>, StoreError> {
        let output = object.status.as_ref().and_then(|status| status.output.as_ref()).map(status::output);
        output.map_or(Ok(None), |output| Self::earlier(context, object, &output))
    }

    /// The place of a subscription in the calendar store at `url`.
    ///
    /// # Errors
    /// If that may not be called any more.
    fn in_store(context: &Context, object: &CalendarSubscription, url: &str) -> Result<Option<Self>, StoreError> {
        let store = Store::Remote(context.remotes.reopen(url, context.outputs.clone())?);
        Ok(Self::of(object, store, object.name_any()).ok())
    }

    /// Where the spec wants the events, and then where they stand if that is elsewhere.
    fn outputs(context: &Context, object: &CalendarSubscription) -> Vec<Result<Self, StoreError>> {
        let wanted = Self::wanted(context, object).into_iter().map(Ok);
        distinct(wanted.chain(Self::written(context, object).transpose()))
    }

    /// The same, and then the other calendar stores in which some may stand.
    pub fn all(context: &Context, object: &CalendarSubscription) -> Vec<Result<Self, StoreError>> {
        let others = object.status.iter().flat_map(|status| &status.other_stores);
        let others = others.filter_map(|url| Self::in_store(context, object, url).transpose());
        distinct(Self::outputs(context, object).into_iter().chain(others))
    }

    /// Whether it is the same place.
    pub fn is(&self, other: &Self) -> bool {
        let same_store = self.store.kind() == other.store.kind() && self.store.url() == other.store.url();
        same_store && self.target == other.target
    }

    /// Whether it is the place of this output.
    pub fn is_of(&self, output: &Output) -> bool {
        let same_store = self.store.kind().as_str() == output.kind && self.store.url() == output.url.as_deref();
        same_store && self.target.name() == output.name
    }
}

/// Without those that come twice.
fn distinct(places: impl Iterator<Item = Result<Place, StoreError>>) -> Vec<Result<Place, StoreError>> {
    let mut known: Vec<Result<Place, StoreError>> = Vec::new();
    for place in places {
        let is_known = |place: &Place| known.iter().flatten().any(|known| known.is(place));
        if !place.as_ref().is_ok_and(is_known) {
            known.push(place);
        }
    }
    known
}

/// Ends all outputs of a subscription: where its spec wants them, where they stood if it was changed and they were not moved yet,
/// and what is left in other calendar stores, which is never retained. One that is out of reach is left behind if a person has given
/// it up.
pub async fn end(context: &Context, object: &CalendarSubscription, retain: bool) -> Result<(), StoreError> {
    // One that is out of reach does not keep the others where they are.
    let (mut outcome, mut left_behind) = (Ok(()), Vec::new());
    let outputs = Place::outputs(context, object);
    let retained = |place: &Place| retain && outputs.iter().flatten().any(|output| output.is(place));
    for place in Place::all(context, object) {
        let ended = match place {
            Ok(place) if retained(&place) => place.store.release(&place.target).await,
            Ok(Place { store, target }) => store.erase(&target).await,
            Err(error) => Err(error),
        };
        match ended {
            Err(error) if is_given_up(object, error.out_of_reach()) => {
                left_behind.extend(error.out_of_reach().map(note));
            }
            ended => outcome = outcome.and(ended),
        }
    }
    outcome?;
    if let Some(place) = Place::wanted(context, object).ok().filter(|_| !retain) {
        erase_others(context, &place).await?;
    }
    context.events.publish(object, left_behind).await;
    Ok(())
}

/// Removes what stands in another calendar store than the present place.
pub async fn empty(
    context: &Context,
    object: &CalendarSubscription,
    present: &Place,
    url: &str,
) -> Result<(), StoreError> {
    match Place::in_store(context, object, url)? {
        Some(other) if !are_one(&other, present).await? => other.store.erase(&other.target).await,
        Some(_) | None => Ok(()),
    }
}

/// Whether a person has said that the calendar store at `url` is gone for good.
pub fn is_given_up(object: &CalendarSubscription, url: Option<&str>) -> bool {
    let plain = |url: &str| url.trim().trim_end_matches('/').to_owned();
    let given_up = object.annotations().get(ABANDON_STORE);
    url.zip(given_up).is_some_and(|(url, given_up)| given_up.split(',').any(|given_up| plain(given_up) == plain(url)))
}

/// What is told of a store that was given up.
pub fn note(url: &str) -> Note {
    let text = format!(
        "whatever events stand in the calendar store at {url} are left behind, since {ABANDON_STORE} gives it up and it is out of reach"
    );
    Note::warning("EventsLeftBehind", "Erase", text)
}

/// Removes what is labelled as the subscription's and stands under any other name. A calendar store has none; what is in the
/// cluster is looked for there, whatever is wanted.
pub async fn erase_others(context: &Context, Place { store, target }: &Place) -> Result<(), StoreError> {
    store.erase_others(target).await?;
    if store.kind() != StoreKind::Remote {
        return Ok(());
    }
    match Store::open(StoreKind::ConfigMap, context.client.clone(), context.outputs.clone()) {
        Ok(objects) => objects.erase_others(target).await,
        Err(_) => Ok(()),
    }
}

/// Whether two places are one calendar store that is reached in two ways: then what stands there is the output, not a former one.
async fn are_one(former: &Place, present: &Place) -> Result<bool, StoreError> {
    if former.store.kind() != StoreKind::Remote || present.store.kind() != StoreKind::Remote {
        return Ok(false);
    }
    let (former, present) = (former.store.head(&former.target).await?, present.store.head(&present.target).await?);
    Ok(former.version.as_ref().zip(present.version.as_ref()).is_some_and(|(one, other)| one.is_same_remote(other)))
}
