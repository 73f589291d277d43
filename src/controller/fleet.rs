//! The state of all subscriptions together, told from the caches whenever somebody asks for the metrics. Every replica tells
//! the same, so look at the maximum over replicas, not at the sum.

use std::collections::HashMap;
use std::time::Duration;

use calendar_sync::{VERIFICATION_LIMIT, Why};
use jiff::Timestamp;
use k8s_controller::conditions;
use kube::Resource as _;

use super::context::Context;
use crate::api::{CalendarSubscription, CalendarSubscriptionStatus, ChannelStatus, Mode, NextWork, Time};
use crate::metrics::{BudgetWindow, ChannelState, ConditionStatus, ConditionType, FleetBound, SweepKind};

/// In a large fleet something has always just fallen due: work that is due for less than this is being done.
const BUSY: Duration = Duration::from_secs(60);

/// Sets the gauges of the fleet.
pub fn tell(context: &Context, now: Timestamp) {
    let mut fleet = Fleet::default();
    for store in context.subscriptions() {
        for object in store.state() {
            if let Ok(subscription) = &object.0 {
                let last_look = context.last_look(subscription.meta().uid.as_deref().unwrap_or_default());
                fleet.add(subscription, last_look, now);
            }
        }
    }
    fleet.tell(context, now);
    let (per_second, per_minute) = context.request_limits();
    context.metrics.budget_limit(BudgetWindow::Second, per_second);
    context.metrics.budget_limit(BudgetWindow::Minute, per_minute);
}

/// What the subscriptions add up to.
#[derive(Default)]
struct Fleet {
    conditions: HashMap<(ConditionType, ConditionStatus), usize>,
    channels: HashMap<ChannelState, usize>,
    /// When the copies at both ends were last proven current.
    proven: Option<(Timestamp, Timestamp)>,
    /// How long the regular work of each kind that is longest due has been due.
    lag: HashMap<SweepKind, Duration>,
}

impl Fleet {
    /// Adds a subscription; `last_look` is when this replica last read all changes of it.
    fn add(&mut self, subscription: &CalendarSubscription, last_look: Option<Timestamp>, now: Timestamp) {
        let blank = CalendarSubscriptionStatus::default();
        let status = subscription.status.as_ref().unwrap_or(&blank);
        for &condition in ConditionType::ALL {
            let said = conditions::find(&status.conditions, condition.as_str()).map(|found| found.status.as_str());
            let known = ConditionStatus::ALL.iter().find(|status| Some(status.as_str()) == said);
            *self.conditions.entry((condition, known.copied().unwrap_or(ConditionStatus::Unknown))).or_default() += 1;
        }
        if let Some(state) = channel_state(subscription, status, now) {
            *self.channels.entry(state).or_default() += 1;
        }
        if let Some(proven) = proven(subscription, status, last_look) {
            let (oldest, newest) = self.proven.unwrap_or((proven, proven));
            self.proven = Some((oldest.min(proven), newest.max(proven)));
        }
        let next = status.sync.as_ref().and_then(|sync| sync.next.as_ref());
        if let Some((kind, next)) = next.and_then(|next| Some((kind(&next.what)?, next))) {
            let lag = past(&next.time, now);
            let longest = self.lag.entry(kind).or_default();
            *longest = lag.max(*longest);
        }
    }

    fn tell(&self, context: &Context, now: Timestamp) {
        let metrics = &context.metrics;
        for &condition in ConditionType::ALL {
            for &status in ConditionStatus::ALL {
                let count = self.conditions.get(&(condition, status)).copied().unwrap_or_default();
                metrics.subscriptions(condition, status, count);
            }
        }
        for &state in ChannelState::ALL {
            metrics.channels(state, self.channels.get(&state).copied().unwrap_or_default());
        }
        // Without a copy there is nothing that could be out of date; nor is anything known before the caches are filled. Not
        // the present time: the maximum over replicas would be that of one that has just started.
        let (oldest, newest) = self.proven.unwrap_or((Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH));
        metrics.freshness(FleetBound::Oldest, oldest);
        metrics.freshness(FleetBound::Newest, newest);
        for &kind in SweepKind::ALL {
            let lag = self.lag.get(&kind).copied().unwrap_or_default();
            metrics.sweep_lag(kind, lag);
            if lag < BUSY {
                metrics.sweep_heartbeat(kind, now);
            }
        }
    }
}

/// The kind of regular work that a status names as what comes next.
fn kind(what: &str) -> Option<SweepKind> {
    let kinds = [
        (Why::FullSync, SweepKind::FullSync),
        (Why::HorizonSweep, SweepKind::HorizonSweep),
        (Why::ChannelCheck, SweepKind::ChannelCheck),
        (Why::Poll, SweepKind::Poll),
        (Why::FallbackPoll, SweepKind::Poll),
    ];
    kinds.into_iter().find(|(why, _)| why.as_str() == what).map(|(_, kind)| kind)
}

/// The state of the channel that a subscription is to have; `None` if it is to have none.
fn channel_state(
    subscription: &CalendarSubscription,
    status: &CalendarSubscriptionStatus,
    now: Timestamp,
) -> Option<ChannelState> {
    let erased = status.sync.as_ref().is_some_and(|sync| sync.erased_time.is_some());
    let deleted = subscription.meta().deletion_timestamp.is_some();
    if subscription.spec.mode() != Mode::Push || erased || deleted {
        return None;
    }
    let blank = ChannelStatus::default();
    let channel = status.channel.as_ref().unwrap_or(&blank);
    if subscription.spec.suspended() && channel.id.is_none() {
        return None;
    }
    Some(match (&channel.id, &channel.verified_time, &channel.created_time) {
        (None, _, _) if channel.next.is_some() && status.failure.is_none() => ChannelState::Pending,
        (None, _, _) => ChannelState::Missing,
        _ if channel.suspect_time.as_ref().is_some_and(|since| past(since, now) > VERIFICATION_LIMIT) => {
            ChannelState::Suspect
        }
        (Some(_), Some(_), _) => ChannelState::Verified,
        (Some(_), None, Some(created)) if past(created, now) > VERIFICATION_LIMIT => ChannelState::Suspect,
        (Some(_), None, _) => ChannelState::Pending,
    })
}

/// How long a time has been past; nothing if it is still to come.
fn past(time: &Time, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(time.0)).unwrap_or_default()
}

/// When a copy was last proven current: by a full sync, a look at the channel or any other read of all changes, or by a read that
/// a notification asked for. `None` without a copy, and where nobody is to keep it current.
///
/// A read that finds nothing leaves no time of its own in the status, but moves the time of the next one.
fn proven(
    subscription: &CalendarSubscription,
    status: &CalendarSubscriptionStatus,
    last_look: Option<Timestamp>,
) -> Option<Timestamp> {
    let sync = status.sync.as_ref()?;
    if subscription.spec.suspended() || sync.erased_time.is_some() || subscription.meta().deletion_timestamp.is_some() {
        return None;
    }
    let channel = status.channel.as_ref();
    let noted = [
        sync.last_change_time.as_ref(),
        channel.and_then(|channel| channel.last_check_time.as_ref()),
        channel.and_then(|channel| channel.last_notification_time.as_ref()),
    ];
    let full_sync = sync.last_full_sync_time.as_ref()?.0;
    let noted = noted.into_iter().flatten().map(|time| time.0);
    noted
        .chain(last_look)
        .chain(sync.next.as_ref().and_then(|next| before(subscription, next)))
        .fold(full_sync, Timestamp::max)
        .into()
}

/// When the read was that a poll follows.
fn before(subscription: &CalendarSubscription, next: &NextWork) -> Option<Timestamp> {
    let spec = &subscription.spec;
    let polls = [(Why::Poll, spec.poll_interval()), (Why::FallbackPoll, spec.fallback_poll_interval())];
    let (_, interval) = polls.into_iter().find(|(why, _)| why.as_str() == next.what)?;
    next.time.0.checked_sub(interval).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const NOW: &str = "2026-11-20T08:00:00Z";

    fn subscription(spec: &Value, status: &Value) -> CalendarSubscription {
        let mut object = json!({
            "apiVersion": "cronofy-operator.dev/v1alpha1", "kind": "CalendarSubscription",
            "metadata": { "name": "team", "namespace": "rooms", "uid": "u1" },
            "spec": { "applicationRef": { "name": "app" }, "account": { "secretRef": { "name": "account" } } },
            "status": status,
        });
        object["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn a_channel_is_pending_until_verified_and_suspect_when_that_takes_long() {
        let (soon, long) = ("2026-11-20T07:59:00Z", "2026-11-20T07:57:00Z");
        let table = [
            (json!({}), json!({}), Some(ChannelState::Missing)),
            (json!({}), json!({ "channel": { "generation": 1 } }), Some(ChannelState::Missing)),
            (json!({}), json!({ "channel": { "next": { "generation": 1 } } }), Some(ChannelState::Pending)),
            (json!({}), json!({ "channel": { "id": "chn_1", "createdTime": soon } }), Some(ChannelState::Pending)),
            (json!({}), json!({ "channel": { "id": "chn_1", "createdTime": long } }), Some(ChannelState::Suspect)),
            (
                json!({}),
                json!({ "channel": { "id": "chn_1", "createdTime": long, "verifiedTime": soon } }),
                Some(ChannelState::Verified),
            ),
            (json!({}), json!({ "sync": { "erasedTime": soon } }), None),
            (json!({ "mode": "Poll" }), json!({}), None),
            (json!({ "suspend": true }), json!({ "channel": { "generation": 1 } }), None),
            (
                json!({ "suspend": true }),
                json!({ "channel": { "id": "chn_1", "createdTime": long, "verifiedTime": soon } }),
                Some(ChannelState::Verified),
            ),
        ];
        for (spec, status, state) in table {
            let subscription = subscription(&spec, &status);
            let found = channel_state(&subscription, subscription.status.as_ref().unwrap(), NOW.parse().unwrap());
            assert_eq!(found, state, "{spec} {status}");
        }
    }

    #[test]
    fn a_quiet_calendar_is_proven_current_by_looks_that_find_nothing() {
        let full_sync = "2026-11-14T00:00:00Z";
        let of = |spec: Value, status: Value, last_look: Option<&str>| {
            let mut all = json!({ "sync": { "lastFullSyncTime": full_sync } });
            for (part, fields) in status.as_object().unwrap() {
                for (key, value) in fields.as_object().unwrap() {
                    all[part][key] = value.clone();
                }
            }
            let subscription = subscription(&spec, &all);
            let last_look = last_look.map(|time| time.parse().unwrap());
            proven(&subscription, subscription.status.as_ref().unwrap(), last_look).map(|time| time.to_string())
        };
        let at = |time: &str| Some(time.to_owned());
        let (evening, next) = ("2026-11-19T20:00:00Z", |what| json!({ "what": what, "time": "2026-11-20T08:10:00Z" }));
        assert_eq!(of(json!({}), json!({}), None), at(full_sync));
        assert_eq!(of(json!({}), json!({ "channel": { "lastCheckTime": evening } }), None), at(evening));
        assert_eq!(of(json!({}), json!({}), Some(evening)), at(evening));
        let polled = json!({ "sync": { "next": next("Poll") } });
        assert_eq!(of(json!({ "mode": "Poll" }), polled, None), at("2026-11-20T07:55:00Z"));
        let fallback = json!({ "sync": { "next": next("FallbackPoll") } });
        assert_eq!(of(json!({}), fallback, None), at("2026-11-20T08:05:00Z"));
        assert_eq!(of(json!({}), json!({ "sync": { "next": next("FullSync") } }), None), at(full_sync));
        assert_eq!(of(json!({ "suspend": true }), json!({}), Some(evening)), None, "nobody is to keep it current");
        assert_eq!(of(json!({}), json!({ "sync": { "erasedTime": evening } }), None), None);
    }

    #[test]
    fn the_fleet_has_the_bounds_of_its_members_and_the_lag_of_its_slowest() {
        let mut fleet = Fleet::default();
        let member = |full_sync: &str, notified: &str, next: &str| {
            subscription(
                &json!({}),
                &json!({
                    "conditions": [{ "type": "Ready", "status": "True", "reason": "Ready", "message": "",
                        "lastTransitionTime": NOW }],
                    "channel": { "lastNotificationTime": notified },
                    "sync": { "lastFullSyncTime": full_sync, "next": { "what": "FullSync", "time": next } },
                }),
            )
        };
        let now = NOW.parse().unwrap();
        fleet.add(&member("2026-11-14T00:00:00Z", "2026-11-19T00:00:00Z", "2026-11-20T07:00:00Z"), None, now);
        fleet.add(&member("2026-11-18T00:00:00Z", "2026-11-01T00:00:00Z", "2026-11-20T09:00:00Z"), None, now);
        fleet.add(&subscription(&json!({}), &json!({})), None, now);
        assert_eq!(
            fleet.proven,
            Some(("2026-11-18T00:00:00Z".parse().unwrap(), "2026-11-19T00:00:00Z".parse().unwrap()))
        );
        assert_eq!(fleet.lag.get(&SweepKind::FullSync), Some(&Duration::from_secs(3600)));
        assert_eq!(fleet.conditions.get(&(ConditionType::Ready, ConditionStatus::True)), Some(&2));
        assert_eq!(fleet.conditions.get(&(ConditionType::Ready, ConditionStatus::Unknown)), Some(&1));
    }
}
