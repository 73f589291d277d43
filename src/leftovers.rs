//! What an operator that goes away for good would leave at Cronofy: asked before the chart is uninstalled.

use kube::api::ListParams;
use kube::{Client, Config, ResourceExt as _};

use crate::api::{CalendarSubscription, FINALIZER};
use crate::controller::watches::Scope;
use crate::kubernetes::{self, CallError, NoAccess};

/// So many subscriptions are named.
const NAMED: usize = 10;

/// Why it is not known, or not so, that nothing is left.
#[derive(Debug, thiserror::Error)]
pub enum LeftoversError {
    /// No access to Kubernetes.
    #[error(transparent)]
    NoAccess(#[from] NoAccess),
    /// The subscriptions could not be listed.
    #[error("the subscriptions cannot be listed: {0}")]
    Call(#[from] CallError),
    /// Some are left.
    #[error(
        "subscriptions are left, {count} in all: {named}; only the operator closes their channels at Cronofy. Delete them and wait \
         until they are gone, then uninstall: kubectl delete calsub --all --all-namespaces"
    )]
    Subscriptions {
        /// How many.
        count: usize,
        /// The first of them.
        named: String,
    },
}

/// Succeeds if no subscription is left that may have a channel: in these namespaces, or in all if there are none.
///
/// # Errors
/// What is left, or why that is not known.
pub async fn nothing_is_left(namespaces: &[String]) -> Result<(), LeftoversError> {
    let config = Config::infer().await.map_err(|error| NoAccess::new(&error))?;
    let client = Client::try_from(config).map_err(|error| NoAccess::new(&error))?;
    let mut left = Vec::new();
    for scope in Scope::of(namespaces) {
        let api = scope.api::<CalendarSubscription>(&client);
        match kubernetes::call(api.list_metadata(&ListParams::default())).await {
            Ok(list) => left.extend(
                list.items.into_iter().filter(|object| object.finalizers().iter().any(|name| name == FINALIZER)),
            ),
            // Where the kind is not installed, there are none.
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error.into()),
        }
    }
    if left.is_empty() {
        return Ok(());
    }
    let names = left
        .iter()
        .take(NAMED)
        .map(|object| format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any()));
    Err(LeftoversError::Subscriptions { count: left.len(), named: names.collect::<Vec<_>>().join(", ") })
}
