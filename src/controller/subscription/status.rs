//! Step 5 of a reconcile: what the status says, and writing it. Apart from the webhook's mark, only this file writes it.
//!
//! Both directions stand side by side: [`record`] and [`mark`] read what the engine needs back out of the status, [`compose`]
//! writes it, so that a field cannot be forgotten in one of them.

use calendar_sync::{
    Account, ChannelRecord, Desired, Failure, Failures, Held, Mark, NotificationType, Observed, Output, Profile,
    Reason, Record, Retry, Stop,
};
use jiff::{SignedDuration, Timestamp};
use k8s_controller::conditions::{self, ConditionStatus, DesiredCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use super::verdict::Verdict;
use crate::api::{
    ABANDON_CHANNEL, ABANDON_STORE, AccountStatus, CalendarSubscription, CalendarSubscriptionStatus, ChannelStatus,
    FailureStatus, HeldDeletions, NextChannel, NextWork, NotificationStatus, OutputStatus, ProfileStatus, REQUESTED_AT,
    SyncStatus, Time, condition,
};
use crate::kubernetes::{self, CallError};

/// What the engine remembers in the status.
pub fn record(status: &CalendarSubscriptionStatus) -> Record {
    let channel = status.channel.clone().unwrap_or_default();
    let sync = status.sync.clone().unwrap_or_default();
    Record {
        channel: ChannelRecord {
            id: channel.id,
            generation: channel.generation.unwrap_or_default(),
            next: channel.next.as_ref().map(|next| next.generation),
            next_verified: channel.next.and_then(|next| next.verified_time).map(instant),
            configuration: channel.configuration,
            created: channel.created_time.map(instant),
            verified: channel.verified_time.map(instant),
            last_notification: channel.last_notification_time.map(instant),
            last_check: channel.last_check_time.map(instant),
            suspect: channel.suspect_time.map(instant),
        },
        account: status.account.as_ref().map(account),
        last_full_sync: sync.last_full_sync_time.map(instant),
        last_change: sync.last_change_time.map(instant),
        swept_through: sync.swept_through.and_then(|date| date.parse().ok()),
        erased: sync.erased_time.map(instant),
        handled_request: status.last_handled_request.clone(),
        held: sync.held_deletions.map(|HeldDeletions { missing, of, time }| Held {
            missing: usize::try_from(missing).unwrap_or_default(),
            of: usize::try_from(of).unwrap_or_default(),
            time: instant(time),
        }),
        output: status.output.as_ref().map(output),
        failures: status.failure.as_ref().and_then(|failure| failures(failure, &status.conditions)),
    }
}

/// The pending notifications, as the webhook marked them.
pub fn mark(status: &CalendarSubscriptionStatus) -> Mark {
    let Some(notification) = status.notification.clone() else { return Mark::default() };
    let NotificationStatus { sequence, received_time, changes_since, types, generation, traceparent: _ } = notification;
    Mark {
        sequence,
        received: received_time.map(instant),
        changes_since: changes_since.map(instant),
        types: types.iter().filter_map(|kind| NotificationType::parse(kind)).collect(),
        generation,
    }
}

fn account(status: &AccountStatus) -> Account {
    let profile =
        |ProfileStatus { id, provider, connected, initial_sync_required, relink_url }: ProfileStatus| Profile {
            id,
            provider,
            connected,
            initial_sync_required: initial_sync_required.unwrap_or_default(),
            relink_url,
        };
    Account { id: status.id.clone(), profiles: status.profiles.iter().cloned().map(profile).collect() }
}

/// The output that the status tells of.
pub fn output(status: &OutputStatus) -> Output {
    let OutputStatus { kind, name, events, slices, bytes, content_hash, url } = status.clone();
    let count = |number: i64| usize::try_from(number).unwrap_or_default();
    Output { kind, name, events: count(events), slices: count(slices), bytes: count(bytes), content_hash, url }
}

/// A failure of the engine; one of another step is judged anew by that step in each pass.
fn failures(status: &FailureStatus, conditions: &[Condition]) -> Option<Failures> {
    let reason = Reason::parse(&status.reason)?;
    // Other conditions may add what happens meanwhile.
    let said = [condition::RECONCILING, condition::STALLED].into_iter();
    let said = said.filter_map(|kind| conditions::find(conditions, kind));
    let said = said.into_iter().find(|condition| condition.reason == status.reason);
    let next_retry = status.next_retry_time.map(instant);
    Some(Failures {
        count: u32::try_from(status.count).unwrap_or_default(),
        last: Failure {
            reason,
            message: said.map(|condition| condition.message.clone()).unwrap_or_default(),
            retry: if next_retry.is_some() { Retry::Backoff } else { Retry::Never },
        },
        time: instant(status.last_time),
        next_retry,
        about_channel: status.channel_only.unwrap_or_default(),
    })
}

fn instant(Time(time): Time) -> Timestamp {
    time
}

/// The status that says all of this, on top of the one before: conditions keep their transition times.
pub fn compose(
    before: &CalendarSubscriptionStatus,
    generation: Option<i64>,
    verdict: &Verdict<'_>,
) -> CalendarSubscriptionStatus {
    let mut status = before.clone();
    status.observed_generation = generation;
    if let Verdict::Engine { desired, observed, resting, now } = verdict {
        write_record(&mut status, desired, observed, resting.is_some(), *now);
    } else if let Verdict::Refused(refusal) = verdict {
        let same = before.failure.as_ref().filter(|failure| failure.reason == refusal.reason);
        status.failure = Some(same.cloned().unwrap_or_else(|| FailureStatus {
            count: 1,
            last_time: whole_seconds(Timestamp::now()),
            next_retry_time: None,
            reason: refusal.reason.to_owned(),
            channel_only: None,
        }));
    }
    // What it is now the output of is no other store any more.
    let present = status.output.as_ref().and_then(|output| output.url.clone());
    status.other_stores.retain(|url| Some(url) != present.as_ref());
    for (kind, says) in verdict.conditions(&status.other_stores) {
        let desired = DesiredCondition::new(kind, says.status, says.reason, says.message);
        let _changed = conditions::set(&mut status.conditions, desired.observed_generation(generation));
    }
    status
}

fn write_record(
    status: &mut CalendarSubscriptionStatus,
    desired: &Desired,
    observed: &Observed,
    at_rest: bool,
    now: Timestamp,
) {
    // Destructured without `..`: a new field of the record must find its place in the status.
    let Record {
        channel,
        account,
        last_full_sync,
        last_change,
        swept_through,
        erased,
        handled_request,
        held,
        output,
        failures,
    } = &observed.record;
    let renewal = status.channel.take().and_then(|channel| channel.renewal_time);
    let renewal = calendar_sync::renewal(desired, channel).map(|time| steady(renewal, time));
    status.channel = channel_status(channel, renewal);
    status.account = account.as_ref().map(|Account { id, profiles }| AccountStatus {
        id: id.clone(),
        profiles: profiles.iter().map(profile_status).collect(),
    });
    let before = status.sync.take().and_then(|sync| sync.next);
    let next = calendar_sync::upcoming(desired, observed, now).map(|(what, time)| {
        let same = before.clone().filter(|before| before.what == what.as_str());
        NextWork { what: what.as_str().to_owned(), time: steady(same.map(|before| before.time), time) }
    });
    // While work is under way it is not known yet what comes after it.
    let before = before.filter(|_| !at_rest);
    let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let sync = SyncStatus {
        last_full_sync_time: last_full_sync.map(whole_seconds),
        last_change_time: last_change.map(whole_seconds),
        swept_through: swept_through.map(|date| date.to_string()),
        held_deletions: held.as_ref().map(|Held { missing, of, time }| HeldDeletions {
            missing: number(*missing),
            of: number(*of),
            time: whole_seconds(*time),
        }),
        erased_time: erased.map(whole_seconds),
        next: next.or(before),
    };
    status.sync = (sync != SyncStatus::default()).then_some(sync);
    status.last_handled_request.clone_from(handled_request);
    status.output =
        output.as_ref().map(|Output { kind, name, events, slices, bytes, content_hash, url }| OutputStatus {
            kind: kind.clone(),
            name: name.clone(),
            events: number(*events),
            slices: number(*slices),
            bytes: number(*bytes),
            content_hash: content_hash.clone(),
            url: url.clone(),
        });
    status.failure = failures.as_ref().map(|Failures { count, last, time, next_retry, about_channel }| FailureStatus {
        count: i32::try_from(*count).unwrap_or(i32::MAX),
        last_time: whole_seconds(*time),
        next_retry_time: next_retry.map(whole_seconds_up),
        reason: last.reason.as_str().to_owned(),
        channel_only: about_channel.then_some(true),
    });
}

fn channel_status(channel: &ChannelRecord, renewal: Option<Time>) -> Option<ChannelStatus> {
    let ChannelRecord {
        id,
        generation,
        next,
        next_verified,
        configuration,
        created,
        verified,
        last_notification,
        last_check,
        suspect,
    } = channel.clone();
    let known = id.is_some() || next.is_some() || generation > 0;
    known.then(|| ChannelStatus {
        id,
        generation: Some(generation),
        next: next.map(|generation| NextChannel { generation, verified_time: next_verified.map(whole_seconds) }),
        configuration,
        created_time: created.map(whole_seconds),
        verified_time: verified.map(whole_seconds),
        last_notification_time: last_notification.map(whole_seconds),
        last_check_time: last_check.map(whole_seconds),
        suspect_time: suspect.map(whole_seconds),
        renewal_time: renewal,
    })
}

fn profile_status(profile: &Profile) -> ProfileStatus {
    let Profile { id, provider, connected, initial_sync_required, relink_url } = profile.clone();
    ProfileStatus {
        id,
        provider,
        connected,
        initial_sync_required: Some(initial_sync_required),
        // Cronofy gives it only while it is of use; an account that is connected again must not keep the old one.
        relink_url: relink_url.filter(|_| !connected),
    }
}

/// Times in a status are whole seconds: what is written equals what is read back.
fn whole_seconds(time: Timestamp) -> Time {
    Time(Timestamp::from_second(time.as_second()).unwrap_or(time))
}

/// A time to come that was computed from others. Those are read back in whole seconds, which must not shift it by one each time.
fn steady(before: Option<Time>, time: Timestamp) -> Time {
    let same = |before: &Time| before.0.duration_since(time).abs() <= SignedDuration::from_secs(1);
    before.filter(same).unwrap_or_else(|| whole_seconds(time))
}

/// The same, rounded up: a wait must not seem over while it is not.
fn whole_seconds_up(time: Timestamp) -> Time {
    let up = if time.subsec_nanosecond() > 0 { time.as_second().saturating_add(1) } else { time.as_second() };
    Time(Timestamp::from_second(up).unwrap_or(time))
}

/// Why a status could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Somebody changed more than the mark meanwhile: what was decided may be out of date, so the pass is to begin anew.
    #[error("the subscription has changed meanwhile")]
    Changed,
    /// The object is gone.
    #[error("the subscription is gone")]
    Gone,
    /// The request failed.
    #[error(transparent)]
    Call(#[from] CallError),
}

/// How often a write is tried again because a mark came in between.
const MOST_TRIES: u32 = 16;

/// Writes what `compose` makes of the present status, only if it differs, and only if nothing but the mark has changed since
/// `object` was read. Clears the mark if its sequence is still `acted_on`. Gives the object as it is now.
pub async fn write(
    api: &Api<CalendarSubscription>,
    mut object: CalendarSubscription,
    acted_on: Option<i64>,
    compose: impl Fn(&CalendarSubscriptionStatus) -> CalendarSubscriptionStatus,
) -> Result<(CalendarSubscription, bool), WriteError> {
    for _ in 0..MOST_TRIES {
        let before = object.status.clone().unwrap_or_default();
        let mut wanted = compose(&before);
        wanted.notification = before.notification.clone().map(|notification| cleared(notification, acted_on));
        let (from, to) = (json!(before), json!(wanted));
        if from == to {
            return Ok((object, false));
        }
        let patch = json!({
            "metadata": { "resourceVersion": object.resource_version(), "uid": object.uid() },
            "status": merge_patch(&from, &to),
        });
        let name = object.name_any();
        let params = PatchParams::default();
        match kubernetes::call(api.patch_status(&name, &params, &Patch::Merge(&patch))).await {
            Ok(written) => return Ok((written, true)),
            Err(error) if error.is_conflict() => {
                let fresh = kubernetes::call(api.get(&name)).await;
                let fresh =
                    fresh.map_err(|error| if error.is_not_found() { WriteError::Gone } else { error.into() })?;
                if !only_mark_differs(&object, &fresh) {
                    return Err(WriteError::Changed);
                }
                object = fresh;
            }
            Err(error) if error.is_not_found() => return Err(WriteError::Gone),
            Err(error) => return Err(error.into()),
        }
    }
    Err(WriteError::Changed)
}

/// The mark without what was acted on; the sequence stays, so that it only ever grows.
fn cleared(notification: NotificationStatus, acted_on: Option<i64>) -> NotificationStatus {
    if acted_on == Some(notification.sequence) {
        NotificationStatus {
            sequence: notification.sequence,
            received_time: None,
            changes_since: None,
            types: Vec::new(),
            generation: None,
            traceparent: None,
        }
    } else {
        notification
    }
}

fn only_mark_differs(one: &CalendarSubscription, other: &CalendarSubscription) -> bool {
    let status = |object: &CalendarSubscription| CalendarSubscriptionStatus {
        notification: None,
        ..object.status.clone().unwrap_or_default()
    };
    // An annotation changes no generation, but it may ask for something.
    let annotation = |object: &CalendarSubscription, name| object.annotations().get(name).cloned();
    let asked = |object: &CalendarSubscription| {
        [REQUESTED_AT, ABANDON_CHANNEL, ABANDON_STORE].map(|name| annotation(object, name))
    };
    one.uid() == other.uid()
        && asked(one) == asked(other)
        && one.metadata.generation == other.metadata.generation
        && one.metadata.deletion_timestamp == other.metadata.deletion_timestamp
        && one.metadata.finalizers == other.metadata.finalizers
        && status(one) == status(other)
}

/// The JSON merge patch (RFC 7396) that turns `from` into `to`.
fn merge_patch(from: &Value, to: &Value) -> Value {
    let (Value::Object(from), Value::Object(to)) = (from, to) else { return to.clone() };
    let gone = from.keys().filter(|key| !to.contains_key(*key)).map(|key| (key.clone(), Value::Null));
    let changed = to.iter().filter(|(key, value)| from.get(*key) != Some(*value)).map(|(key, value)| {
        let patch = from.get(key).map_or_else(|| value.clone(), |before| merge_patch(before, value));
        (key.clone(), patch)
    });
    Value::Object(gone.chain(changed).collect())
}

/// What a condition says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Says {
    /// Its status.
    pub status: ConditionStatus,
    /// One word for the cause.
    pub reason: &'static str,
    /// One line: cause and remedy.
    pub message: String,
}

/// What a stop means for the conditions.
pub fn stop_reason(stop: Stop) -> &'static str {
    match stop {
        Stop::Failed(reason) => reason.as_str(),
        Stop::Erased => "Erased",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_to_come_does_not_move_when_its_origin_is_read_back_in_whole_seconds() {
        let time = |text: &str| text.parse::<Timestamp>().unwrap();
        let written = steady(None, time("2026-11-20T20:00:00.9Z"));
        assert_eq!(written.0, time("2026-11-20T20:00:00Z"));
        for same in ["2026-11-20T20:00:00Z", "2026-11-20T20:00:00.9Z", "2026-11-20T19:59:59.1Z"] {
            assert_eq!(steady(Some(written), time(same)), written);
        }
        assert_eq!(steady(Some(written), time("2026-11-20T20:00:02Z")).0, time("2026-11-20T20:00:02Z"));
    }

    #[test]
    fn whatever_else_than_the_mark_changed_makes_a_decision_out_of_date() {
        let object = |change: &dyn Fn(&mut Value)| -> CalendarSubscription {
            let mut object = json!({
                "apiVersion": "cronofy-operator.dev/v1alpha1",
                "kind": "CalendarSubscription",
                "metadata": { "name": "rota", "uid": "6f1c", "generation": 1, "resourceVersion": "1", "annotations": {} },
                "spec": { "applicationRef": { "name": "app" }, "account": { "secretRef": { "name": "account" } } },
                "status": { "observedGeneration": 1, "conditions": [], "notification": { "sequence": 1, "types": [] } },
            });
            change(&mut object);
            serde_json::from_value(object).unwrap()
        };
        let before = object(&|_| {});
        let set = |pointer: &'static str, value: Value| {
            object(&move |object| *object.pointer_mut(pointer).unwrap() = value.clone())
        };
        let marked = set("/status/notification", json!({ "sequence": 2, "types": ["change"] }));
        assert!(only_mark_differs(&before, &marked));
        assert!(only_mark_differs(&before, &set("/metadata/annotations", json!({ "example.org/team": "blue" }))));
        for (pointer, value) in [
            ("/metadata/uid", json!("another")),
            ("/metadata/generation", json!(2)),
            ("/metadata/annotations", json!({ REQUESTED_AT: "now" })),
            ("/metadata/annotations", json!({ ABANDON_CHANNEL: "true" })),
            ("/metadata/annotations", json!({ ABANDON_STORE: "https://store.calendars.svc" })),
            ("/status/observedGeneration", json!(2)),
        ] {
            assert!(!only_mark_differs(&before, &set(pointer, value)), "{pointer}");
        }
    }
}
