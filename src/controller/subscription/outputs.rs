//! Where a subscription's events are written, and where they stood before its spec changed.

use calendar_sync::Output;
use kube::ResourceExt as _;

use crate::api::{CalendarSubscription, DeletionPolicy, StoreKind};
use crate::controller::context::Context;
use crate::store::{EventStore as _, InvalidName, Owner, Store, StoreError, Target, Unsupported};

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
    /// The kind is none that is written.
    #[error(transparent)]
    Unsupported(#[from] Unsupported),
    /// The name is none.
    #[error(transparent)]
    Name(#[from] InvalidName),
}

impl Place {
    /// Where the spec wants the events.
    pub fn wanted(context: &Context, object: &CalendarSubscription) -> Result<Self, NoPlace> {
        Self::of(context, object, object.spec.store_kind(), object.store_name())
    }

    /// Where an output is that was written earlier. `None` if no release writes there.
    pub fn earlier(context: &Context, object: &CalendarSubscription, kind: &str, name: &str) -> Option<Self> {
        let kind = [StoreKind::ConfigMap, StoreKind::Secret].into_iter().find(|known| known.as_str() == kind)?;
        Self::of(context, object, kind, name.to_owned()).ok()
    }

    fn of(context: &Context, object: &CalendarSubscription, kind: StoreKind, name: String) -> Result<Self, NoPlace> {
        let store = Store::open(kind, context.client.clone(), context.outputs.clone())?;
        let owner = Owner { name: object.name_any(), uid: object.uid().unwrap_or_default() };
        let target = Target::new(object.namespace().unwrap_or_default(), name, owner)?;
        let retained = object.spec.deletion_policy() == DeletionPolicy::Retain;
        Ok(Self { store, target: target.retained(retained) })
    }

    /// Where the events stand, as the status tells.
    pub fn written(context: &Context, object: &CalendarSubscription) -> Option<Self> {
        let output = object.status.as_ref()?.output.as_ref()?;
        Self::earlier(context, object, &output.kind, &output.name)
    }

    /// Where the spec wants the events, and where they stand if that is elsewhere. Nothing was ever written where there is no
    /// such place.
    pub fn all(context: &Context, object: &CalendarSubscription) -> Vec<Self> {
        let wanted = Self::wanted(context, object).ok();
        let written = Self::written(context, object);
        let former = written.filter(|written| wanted.as_ref().is_none_or(|wanted| !wanted.is(written)));
        wanted.into_iter().chain(former).collect()
    }

    /// Whether it is the same place.
    pub fn is(&self, other: &Self) -> bool {
        self.store.kind() == other.store.kind() && self.target == other.target
    }

    /// Whether it is the place of this output.
    pub fn is_of(&self, output: &Output) -> bool {
        self.store.kind().as_str() == output.kind && self.target.name() == output.name
    }
}

/// Ends all outputs of a subscription that is being deleted: where its spec wants them, and where they stood if it was changed
/// and they were not moved yet.
pub async fn end(context: &Context, object: &CalendarSubscription, retain: bool) -> Result<(), StoreError> {
    for Place { store, target } in Place::all(context, object) {
        if retain { store.release(&target).await? } else { store.erase(&target).await? }
    }
    if let Some(Place { store, target }) = Place::wanted(context, object).ok().filter(|_| !retain) {
        store.erase_others(&target).await?;
    }
    Ok(())
}
