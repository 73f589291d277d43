//! Events in calendar stores whose subscription is gone: somebody took its finalizer away, or the database was restored from a copy
//! that is older than the deletion. In the cluster the garbage collector removes such outputs; a calendar store has none but this.

use std::collections::HashSet;
use std::time::Duration;

use calendar_store_client::{Client, Stored};
use kube::runtime::reflector::Store;
use kube::{Api, ResourceExt as _};

use super::context::Context;
use super::watches::Scope;
use crate::api::CalendarSubscription;
use crate::kubernetes::{self, CallError};

/// Between two looks at all calendar stores.
const PERIOD: Duration = Duration::from_hours(1);
/// Before the next look where one was not complete.
const AGAIN: Duration = Duration::from_mins(5);

/// Looks, and looks again, while this replica leads. Never ends.
pub async fn keep_removed(context: &Context, scopes: &[Scope]) {
    let mut leading = context.leading.clone();
    loop {
        if leading.wait_for(|leads| *leads).await.is_err() {
            return std::future::pending().await; // whoever could tell is gone, and the process is to end
        }
        let mut pause = PERIOD;
        for store in context.remotes.all() {
            if !remove(context, scopes, &store).await {
                pause = AGAIN;
            }
        }
        tokio::time::sleep(pause).await;
    }
}

/// Removes from one store what belongs to nobody any more. Gives whether all was looked at.
async fn remove(context: &Context, scopes: &[Scope], store: &Client) -> bool {
    let (mut after, mut complete) = (String::new(), true);
    let known: HashSet<String> =
        context.subscriptions().flat_map(Store::state).filter_map(|object| object.uid()).collect();
    loop {
        let page = match store.stored(&after).await {
            Ok(page) => page,
            Err(error) => {
                tracing::info!(store = %store.address(), %error, "what is stored there could not be looked through");
                return false;
            }
        };
        for stored in &page.items {
            if !*context.leading.borrow() {
                return false;
            }
            match is_gone(context, scopes, &known, stored).await {
                Ok(false) => {}
                Ok(true) => complete &= removed(store, stored).await,
                Err(error) => {
                    let Stored { namespace, name, .. } = stored;
                    tracing::warn!(namespace, name, %error, "it is not known whether a subscription is gone");
                    complete = false;
                }
            }
        }
        match page.items.last().filter(|_| page.more) {
            // In their order, so that there is an end.
            Some(last) if last.uid > after => after.clone_from(&last.uid),
            Some(_) | None => return complete,
        }
    }
}

async fn removed(store: &Client, Stored { uid, namespace, name, .. }: &Stored) -> bool {
    match store.erase(uid).await {
        Ok(()) => {
            tracing::warn!(
                namespace, name, uid, store = %store.address(),
                "events of a subscription that is gone were removed from a calendar store"
            );
            true
        }
        Err(error) => {
            tracing::warn!(namespace, name, uid, store = %store.address(), %error, "events could not be removed");
            false
        }
    }
}

/// Whether events belong to no subscription that there is, of those that this operator works for. Asked of the API server itself.
async fn is_gone(
    context: &Context,
    scopes: &[Scope],
    known: &HashSet<String>,
    stored: &Stored,
) -> Result<bool, CallError> {
    let Stored { uid, namespace, name, kept } = stored;
    let ours = scopes.iter().any(|scope| match scope {
        Scope::Cluster => true,
        Scope::Namespace(ours) => ours == namespace,
    });
    if *kept || !ours || known.contains(uid) {
        return Ok(false);
    }
    let api: Api<CalendarSubscription> = Api::namespaced(context.client.clone(), namespace);
    match kubernetes::call(api.get_metadata(name)).await {
        // Another one of that name.
        Ok(object) => Ok(object.uid().is_some_and(|present| present != *uid)),
        Err(error) if error.is_absence_of(name) => Ok(true),
        Err(error) => Err(error),
    }
}
