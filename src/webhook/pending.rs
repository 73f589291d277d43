//! What a mark says, and how marks merge. Pure.

use std::collections::BTreeSet;

use calendar_sync::NotificationType;
use jiff::Timestamp;

use crate::api::{NotificationStatus, Time};
use crate::traces::TraceParent;

/// The most types that a mark lists. There are five that are acted on; what a newer version has added is kept up to this.
pub const MOST_TYPES: usize = 16;

/// What one notification asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hint {
    /// Its type.
    pub kind: NotificationType,
    /// With [`NotificationType::Change`]: from when on events changed.
    pub changes_since: Option<Timestamp>,
    /// When it arrived.
    pub received: Timestamp,
    /// The generation of the channel that it came through.
    pub generation: i64,
    /// The span of its request, if that is recorded.
    pub trace: Option<TraceParent>,
}

/// What notifications together ask for that one write is to mark.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pending {
    types: BTreeSet<NotificationType>,
    changes_since: Option<Timestamp>,
    received: Option<Timestamp>,
    generation: Option<i64>,
    trace: Option<TraceParent>,
}

impl Pending {
    /// Adds a notification.
    pub fn add(&mut self, hint: Hint) {
        let Hint { kind, changes_since, received, generation, trace } = hint;
        self.types.insert(kind);
        self.changes_since = earlier(self.changes_since, changes_since);
        self.received = earlier(self.received, Some(received));
        self.generation = self.generation.max(Some(generation));
        self.trace = trace.or(self.trace);
    }

    /// The span of the notification that came last.
    #[must_use]
    pub fn trace(&self) -> Option<TraceParent> {
        self.trace
    }

    /// The mark that says this in addition to what `present` says.
    ///
    /// Its sequence is always one more, so that two equal notifications are still two marks: a mark that stayed the same would
    /// be cleared by a reconcile that has read before the second.
    #[must_use]
    pub fn onto(&self, present: Option<&NotificationStatus>) -> NotificationStatus {
        let idle = NotificationStatus::default();
        let NotificationStatus { sequence, received_time, changes_since, types, generation, traceparent } =
            present.unwrap_or(&idle);
        let time = |time: &Option<Time>| time.as_ref().map(|time| time.0);
        // A mark without types is cleared: whatever else it said is done with.
        let (received_time, changes_since, generation, traceparent) = if types.is_empty() {
            (None, None, None, None)
        } else {
            (time(received_time), time(changes_since), *generation, traceparent.clone())
        };
        NotificationStatus {
            sequence: sequence.saturating_add(1),
            received_time: earlier(received_time, self.received).map(whole_seconds),
            changes_since: earlier(changes_since, self.changes_since).map(whole_seconds),
            types: self.types_with(types),
            generation: self.generation.max(generation),
            traceparent: self.trace.map(|trace| trace.to_string()).or(traceparent),
        }
    }

    fn types_with(&self, present: &[String]) -> Vec<String> {
        let (known, unknown): (BTreeSet<&str>, BTreeSet<&str>) =
            present.iter().map(String::as_str).partition(|name| NotificationType::parse(name).is_some());
        let known: BTreeSet<&str> = known.into_iter().chain(self.types.iter().map(|kind| kind.as_str())).collect();
        let room = MOST_TYPES.saturating_sub(known.len());
        known.into_iter().chain(unknown.into_iter().take(room)).map(str::to_owned).collect()
    }
}

fn earlier(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    one.into_iter().chain(other).min()
}

/// The status has whole seconds, of years that every date format can write. Rounded down: to read from a little earlier is
/// harmless, from a little later it is not.
fn whole_seconds(time: Timestamp) -> Time {
    Time(Timestamp::from_second(time.as_second().max(0)).unwrap_or(Timestamp::UNIX_EPOCH))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn hint(kind: NotificationType, since: Option<&str>, received: &str) -> Hint {
        let time = |text: &str| text.parse().unwrap();
        Hint { kind, changes_since: since.map(time), received: time(received), generation: 1, trace: None }
    }

    fn marked(hints: &[Hint], present: &Value) -> Value {
        let pending = all(hints);
        let present: Option<NotificationStatus> = serde_json::from_value(present.clone()).unwrap();
        serde_json::to_value(pending.onto(present.as_ref())).unwrap()
    }

    #[test]
    fn marks_merge_as_the_table_says() {
        let early = hint(NotificationType::Change, Some("2026-11-20T07:41:05Z"), "2026-11-20T07:41:09.9Z");
        let late = hint(NotificationType::Change, Some("2026-11-20T08:00:00Z"), "2026-11-20T08:00:01Z");
        let gdpr = hint(NotificationType::GdprRequested, None, "2026-11-20T08:00:02Z");
        let table = [
            (
                vec![early],
                json!(null),
                json!({"sequence": 1, "receivedTime": "2026-11-20T07:41:09Z", "changesSince": "2026-11-20T07:41:05Z", "types": ["change"]}),
            ),
            (
                vec![late, gdpr, early],
                json!({"sequence": 4}),
                json!({"sequence": 5, "receivedTime": "2026-11-20T07:41:09Z", "changesSince": "2026-11-20T07:41:05Z", "types": ["change", "gdpr_requested"]}),
            ),
            (
                vec![gdpr],
                json!({"sequence": 5, "receivedTime": "2026-11-20T07:00:00Z", "changesSince": "2026-11-20T06:00:00Z", "types": ["change"]}),
                json!({"sequence": 6, "receivedTime": "2026-11-20T07:00:00Z", "changesSince": "2026-11-20T06:00:00Z", "types": ["change", "gdpr_requested"]}),
            ),
            (
                vec![late],
                json!({"sequence": 5, "changesSince": "2026-11-20T06:00:00Z"}),
                json!({"sequence": 6, "receivedTime": "2026-11-20T08:00:01Z", "changesSince": "2026-11-20T08:00:00Z", "types": ["change"]}),
            ),
            (
                vec![hint(NotificationType::Change, Some("-009999-01-02T01:59:59Z"), "2026-11-20T08:00:02Z")],
                json!({"sequence": i64::MAX - 1}),
                json!({"sequence": i64::MAX, "receivedTime": "2026-11-20T08:00:02Z", "changesSince": "1970-01-01T00:00:00Z", "types": ["change"]}),
            ),
            (
                vec![gdpr],
                json!({"sequence": 5, "types": ["room_painted"]}),
                json!({"sequence": 6, "receivedTime": "2026-11-20T08:00:02Z", "types": ["gdpr_requested", "room_painted"]}),
            ),
        ];
        for (hints, present, mut expected) in table {
            expected["generation"] = json!(1);
            assert_eq!(marked(&hints, &present), expected, "{present}");
        }
    }

    #[test]
    fn a_mark_names_the_newest_channel_that_anything_pending_came_through() {
        let through =
            |generation| Hint { generation, ..hint(NotificationType::Verification, None, "2026-11-20T08:00:00Z") };
        for (hints, present, generation) in [
            (vec![through(3), through(2)], json!({"sequence": 1}), 3),
            (vec![through(2)], json!({"sequence": 1, "types": ["change"], "generation": 3}), 3),
            (vec![through(3)], json!({"sequence": 1, "types": ["change"], "generation": 2}), 3),
            (vec![through(2)], json!({"sequence": 1, "types": ["change"]}), 2),
            (vec![through(2)], json!({"sequence": 1, "generation": 3}), 2),
        ] {
            assert_eq!(marked(&hints, &present)["generation"], generation, "{present}");
        }
    }

    #[test]
    fn a_mark_goes_on_in_the_trace_of_the_notification_that_came_last() {
        let trace = |digit: &str| format!("00-{}-{}-01", digit.repeat(32), digit.repeat(16));
        let of = |digit: &str| Hint {
            trace: trace(digit).parse().ok(),
            ..hint(NotificationType::Change, None, "2026-11-20T08:00:00Z")
        };
        let untraced = Hint { trace: None, ..of("1") };
        let (one, two) = (trace("1"), trace("2"));
        for (hints, present, traceparent) in [
            (vec![of("1"), of("2")], json!(null), json!(two)),
            (vec![of("1"), untraced], json!(null), json!(one)),
            (vec![of("2")], json!({"sequence": 1, "types": ["change"], "traceparent": one}), json!(two)),
            (vec![untraced], json!({"sequence": 1, "types": ["change"], "traceparent": one}), json!(one)),
            (vec![untraced], json!({"sequence": 1, "traceparent": one}), json!(null)),
            (vec![untraced], json!(null), json!(null)),
        ] {
            assert_eq!(marked(&hints, &present)["traceparent"], traceparent, "{present}");
        }
        assert_eq!(one.len(), 55);
    }

    #[test]
    fn a_mark_full_of_unknown_types_still_takes_the_known_ones() {
        let present = json!({"sequence": 1, "types": (0..100).map(|n| format!("kind_{n:03}")).collect::<Vec<_>>()});
        let gdpr = hint(NotificationType::GdprRequested, None, "2026-11-20T08:00:02Z");
        let mark = marked(&[gdpr], &present);
        let types = mark["types"].as_array().unwrap();
        assert_eq!(types.len(), MOST_TYPES);
        assert!(types.contains(&json!("gdpr_requested")));
    }

    fn any_hint() -> impl Strategy<Value = Hint> {
        let time = |range: std::ops::Range<i64>| range.prop_map(|ms| Timestamp::from_millisecond(ms).unwrap());
        let kind = prop::sample::select(NotificationType::ALL.to_vec());
        (kind, prop::option::of(time(-5_000..5_000_000)), time(0..5_000_000)).prop_map(
            |(kind, changes_since, received)| Hint { kind, changes_since, received, generation: 1, trace: None },
        )
    }

    fn any_mark() -> impl Strategy<Value = Option<NotificationStatus>> {
        let mark = (0..1000_i64, prop::collection::vec(any_hint(), 0..3));
        prop::option::of(mark.prop_map(|(sequence, hints)| {
            if hints.is_empty() {
                return NotificationStatus { sequence, ..NotificationStatus::default() };
            }
            NotificationStatus { sequence, ..all(&hints).onto(None) }
        }))
    }

    fn all(hints: &[Hint]) -> Pending {
        let mut pending = Pending::default();
        for hint in hints {
            pending.add(*hint);
        }
        pending
    }

    proptest! {
        #[test]
        fn the_sequence_grows_by_one_and_nothing_asked_for_is_lost(
            present in any_mark(), hints in prop::collection::vec(any_hint(), 1..8),
        ) {
            let next = all(&hints).onto(present.as_ref());
            let before = present.unwrap_or_default();
            prop_assert_eq!(next.sequence, before.sequence + 1);
            for name in before.types.iter().map(String::as_str).chain(hints.iter().map(|hint| hint.kind.as_str())) {
                prop_assert!(next.types.iter().any(|kept| kept == name));
            }
            let since = next.changes_since.as_ref().map(|time| time.0);
            for asked in hints.iter().filter_map(|hint| hint.changes_since).chain(before.changes_since.map(|time| time.0)) {
                prop_assert!(since.is_some_and(|since| since <= asked.max(Timestamp::UNIX_EPOCH)));
            }
            let received = next.received_time.map(|time| time.0);
            prop_assert!(hints.iter().all(|hint| received.is_some_and(|received| received <= hint.received)));
        }

        #[test]
        fn the_order_of_notifications_and_how_they_are_grouped_makes_no_difference_but_to_the_sequence(
            present in any_mark(), hints in prop::collection::vec(any_hint(), 1..8), cut in 0_usize..8,
        ) {
            let together = all(&hints).onto(present.as_ref());
            let (first, second) = hints.split_at(cut.min(hints.len() - 1));
            let apart = match first {
                [] => present.clone(),
                first => Some(all(first).onto(present.as_ref())),
            };
            let mut apart = all(second).onto(apart.as_ref());
            apart.sequence = together.sequence;
            prop_assert_eq!(&apart, &together);
            let backwards: Vec<Hint> = hints.iter().rev().copied().collect();
            prop_assert_eq!(&all(&backwards).onto(present.as_ref()), &together);
        }
    }
}
