//! How urgent a subscription is: once for its turn to be worked on, and once a pass for the requests that it makes.

use calendar_sync::Purpose;
use kube::ResourceExt as _;

use super::status;
use crate::api::{CalendarSubscription, REQUESTED_AT};
use crate::controller::budget::Lane;

/// The lane of a subscription: `New` without a copy, `Notified` if somebody waits for what is done, else it is the regular work.
#[must_use]
pub fn lane(object: &CalendarSubscription) -> Lane {
    let Some(status) = &object.status else { return Lane::New };
    if status.sync.as_ref().is_none_or(|sync| sync.last_full_sync_time.is_none()) {
        return Lane::New;
    }
    let requested = object.annotations().get(REQUESTED_AT);
    let awaited = status::mark(status).pending()
        || requested.is_some_and(|requested| status.last_handled_request.as_ref() != Some(requested))
        || status.observed_generation != object.metadata.generation
        || object.metadata.deletion_timestamp.is_some();
    if awaited { Lane::Notified } else { Lane::Sweep }
}

/// The lane of a read in a pass of this lane. Reads of everything are many pages: they never go before what is awaited.
pub fn of_read(pass: Lane, purpose: Purpose) -> Lane {
    match purpose {
        Purpose::Full | Purpose::Check | Purpose::Poll | Purpose::Sweep => Lane::Sweep,
        Purpose::Initial => Lane::New,
        Purpose::Delta => pass.min(Lane::Notified),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn subscription(change: impl FnOnce(&mut Value)) -> CalendarSubscription {
        let mut object = json!({
            "apiVersion": "cronofy-operator.dev/v1alpha1", "kind": "CalendarSubscription",
            "metadata": { "name": "team", "namespace": "rooms", "uid": "1", "generation": 2 },
            "spec": { "applicationRef": { "name": "app" }, "account": { "secretRef": { "name": "account" } } },
            "status": {
                "observedGeneration": 2,
                "lastHandledRequest": "monday",
                "notification": { "sequence": 7 },
                "sync": { "lastFullSyncTime": "2026-11-25T09:00:00Z" },
            },
        });
        change(&mut object);
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn what_nobody_waits_for_is_the_regular_work() {
        let change = json!({ "sequence": 8, "receivedTime": "2026-11-25T09:00:00Z", "types": ["change"] });
        let erasure = json!({ "sequence": 8, "receivedTime": "2026-11-25T09:00:00Z", "types": ["gdpr_requested"] });
        for (pointer, value, expected) in [
            ("/metadata/labels", json!({}), Lane::Sweep),
            ("/metadata/annotations", json!({ REQUESTED_AT: "monday" }), Lane::Sweep),
            ("/metadata/annotations", json!({ REQUESTED_AT: "tuesday" }), Lane::Notified),
            ("/metadata/generation", json!(3), Lane::Notified),
            ("/metadata/deletionTimestamp", json!("2026-11-25T09:00:00Z"), Lane::Notified),
            ("/status/notification", change, Lane::Notified),
            ("/status/notification", erasure, Lane::Notified),
            ("/status/sync", json!({}), Lane::New),
            ("/status", json!({ "observedGeneration": -1 }), Lane::New),
        ] {
            let (parent, key) = pointer.rsplit_once('/').unwrap();
            let object = subscription(|object| object.pointer_mut(parent).unwrap()[key] = value);
            assert_eq!(lane(&object), expected, "{pointer}");
        }
    }

    #[test]
    fn only_the_first_read_and_what_was_announced_go_before_the_regular_work() {
        use Lane::{New, Notified, Sweep};
        for (purpose, in_new, in_notified, in_sweep) in [
            (Purpose::Initial, New, New, New),
            (Purpose::Delta, New, Notified, Notified),
            (Purpose::Full, Sweep, Sweep, Sweep),
            (Purpose::Check, Sweep, Sweep, Sweep),
            (Purpose::Poll, Sweep, Sweep, Sweep),
            (Purpose::Sweep, Sweep, Sweep, Sweep),
        ] {
            let found = [New, Notified, Sweep].map(|pass| of_read(pass, purpose));
            assert_eq!(found, [in_new, in_notified, in_sweep], "{purpose:?}");
        }
    }
}
