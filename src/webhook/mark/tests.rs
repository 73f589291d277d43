use std::collections::BTreeSet;

use calendar_sync::NotificationType;
use futures::future::join_all;
use proptest::prelude::*;

use super::*;
use crate::webhook::fake::{Fake, Fault};

const CHANNEL: &str = r#"{"channel": {"id": "chn_1", "generation": 1}}"#;

fn fake(notification: &Value) -> Fake {
    let fake = Fake::default();
    let mut status: Value = serde_json::from_str(CHANNEL).unwrap();
    if !notification.is_null() {
        status["notification"] = notification.clone();
    }
    fake.subscription("u1", &status);
    fake
}

fn marker(fake: &Fake) -> Marker {
    Marker::new(fake.client(), Metrics::new(), MarkLimits::default())
}

fn change(second: i64) -> Hint {
    let time = |second| jiff::Timestamp::from_second(second).unwrap();
    Hint {
        kind: NotificationType::Change,
        changes_since: Some(time(second)),
        received: time(second + 5),
        generation: 1,
        trace: None,
    }
}

fn of(kind: NotificationType) -> Hint {
    Hint {
        kind,
        changes_since: None,
        received: jiff::Timestamp::from_second(2_000).unwrap(),
        generation: 1,
        trace: None,
    }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(3)
}

fn slots(marker: &Marker) -> usize {
    marker.0.slots().by_uid.len()
}

#[tokio::test(start_paused = true)]
async fn the_first_mark_needs_one_request_and_says_everything() {
    let fake = fake(&Value::Null);
    marker(&fake).mark(&fake.route("u1"), change(1_000), soon()).await.unwrap();
    let expected = json!({
        "sequence": 1, "receivedTime": "1970-01-01T00:16:45Z", "changesSince": "1970-01-01T00:16:40Z", "types": ["change"], "generation": 1,
    });
    let state = fake.state();
    assert_eq!(state.mark("u1"), expected);
    assert_eq!(state.requests.len(), 1);
    assert_eq!(state.objects["u1"]["status"]["channel"]["id"], "chn_1", "the rest of the status stays");
}

#[tokio::test(start_paused = true)]
async fn a_burst_of_a_thousand_costs_few_writes_and_each_is_acknowledged_by_one_that_began_after_it() {
    let fake = fake(&json!({"sequence": 41}));
    fake.state().patch_time = Duration::from_millis(40);
    let (marker, route) = (marker(&fake), fake.route("u1"));
    let one = async |index: i64| {
        // Some come together, some while a write is in flight.
        sleep(Duration::from_millis(u64::try_from(index / 200 * 15).unwrap())).await;
        let arrived = fake.state().tick();
        marker.mark(&route, change(5_000 - index), soon()).await.unwrap();
        let acknowledged = fake.state().tick();
        (arrived, acknowledged)
    };
    let times = join_all((0..1_000).map(one)).await;

    let state = fake.state();
    assert!(state.patches.len() <= 6, "{} writes", state.patches.len());
    assert_eq!(state.most_in_flight, 1);
    for (arrived, acknowledged) in times {
        let covers =
            |began: u64, committed: Option<u64>| began > arrived && committed.is_some_and(|at| at < acknowledged);
        assert!(state.patches.iter().any(|patch| covers(patch.began, patch.committed)), "arrived at {arrived}");
    }
    let mark = state.mark("u1");
    assert_eq!(mark["sequence"], 41 + state.patches.len());
    assert_eq!(mark["changesSince"], "1970-01-01T01:06:41Z", "the smallest of all");
    assert_eq!(state.reads("calendarsubscriptions"), 0, "what was written last is known");
}

#[tokio::test(start_paused = true)]
async fn a_stale_cache_costs_a_second_try_and_loses_nothing() {
    let fake = fake(&json!({"sequence": 1}));
    let stale = fake.route("u1");
    marker(&fake).mark(&stale, change(500), soon()).await.unwrap();
    marker(&fake).mark(&stale, of(NotificationType::GdprRequested), soon()).await.unwrap();
    let mark = fake.state().mark("u1");
    assert_eq!(mark["sequence"], 3);
    assert_eq!(mark["changesSince"], "1970-01-01T00:08:20Z");
    assert_eq!(mark["types"], json!(["change", "gdpr_requested"]));
    assert_eq!(fake.state().reads("calendarsubscriptions"), 1);
}

#[tokio::test(start_paused = true)]
async fn what_was_cleared_meanwhile_does_not_come_back() {
    let fake = fake(&json!({"sequence": 7, "changesSince": "1970-01-01T00:00:01Z", "types": ["change"]}));
    let stale = fake.route("u1");
    let mut cleared = fake.state().objects["u1"].clone();
    cleared["status"]["notification"] = json!({"sequence": 7});
    fake.state().put(cleared);
    marker(&fake).mark(&stale, of(NotificationType::Verification), soon()).await.unwrap();
    let expected =
        json!({"sequence": 8, "receivedTime": "1970-01-01T00:33:20Z", "types": ["verification"], "generation": 1});
    assert_eq!(fake.state().mark("u1"), expected);
}

#[tokio::test(start_paused = true)]
async fn what_was_written_once_is_not_written_again_with_the_next() {
    let fake = fake(&Value::Null);
    let (marker, route) = (marker(&fake), fake.route("u1"));
    marker.mark(&route, change(1), soon()).await.unwrap();
    clear(&fake, Duration::ZERO).await.unwrap();
    marker.mark(&route, of(NotificationType::Verification), soon()).await.unwrap();
    let expected =
        json!({"sequence": 2, "receivedTime": "1970-01-01T00:33:20Z", "types": ["verification"], "generation": 1});
    assert_eq!(fake.state().mark("u1"), expected);
}

#[test]
fn with_the_same_sequence_the_cleared_mark_is_the_newer_one() {
    let fake = fake(&json!({"sequence": 7}));
    let pending = json!({"sequence": 7, "types": ["change"]});
    let remembered = Present::remembered(&fake.route("u1"), Some(pending));
    assert_eq!(remembered, Present::Marked(json!({"sequence": 7})));
    let later = json!({"sequence": 8, "types": ["change"]});
    assert_eq!(Present::remembered(&fake.route("u1"), Some(later.clone())), Present::Marked(later));
}

#[tokio::test(start_paused = true)]
async fn equal_notifications_one_after_the_other_are_two_marks() {
    let fake = fake(&Value::Null);
    let (marker, route) = (marker(&fake), fake.route("u1"));
    for sequence in 1..4 {
        marker.mark(&route, change(1_000), soon()).await.unwrap();
        assert_eq!(fake.state().mark("u1")["sequence"], sequence);
    }
}

#[tokio::test(start_paused = true)]
async fn objects_without_a_mark_or_a_status_and_with_an_odd_mark_are_marked_too() {
    let time = "1970-01-01T00:16:40.123Z";
    for odd in [
        json!({"status": null}),
        json!({"status": {"notification": null}}),
        json!({"status": {"notification": {"sequence": 4, "types": ["change"], "changesSince": time, "added": [1]}}}),
        json!({"status": {"notification": {"sequence": 4, "types": "odd"}}}),
    ] {
        let fake = fake(&Value::Null);
        let stale = fake.route("u1");
        let mut object = fake.state().objects["u1"].clone();
        object["status"] = odd["status"].clone();
        fake.state().put(object);
        marker(&fake).mark(&stale, of(NotificationType::Verification), soon()).await.unwrap();
        let mark = fake.state().mark("u1");
        let before = odd["status"]["notification"]["sequence"].as_i64().unwrap_or_default();
        assert_eq!(mark["sequence"], before + 1, "{odd}");
        assert!(mark["types"].as_array().unwrap().contains(&json!("verification")), "{odd}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_answer_in_time_is_unavailable_and_the_next_notification_is_marked_again() {
    let fake = fake(&Value::Null);
    let (marker, route) = (marker(&fake), fake.route("u1"));
    for fault in [Fault::Hang, Fault::Status(500), Fault::Status(403), Fault::Status(409), Fault::Status(422)] {
        fake.state().patch_fault = fault;
        let begun = Instant::now();
        let both = join_all([change(1), change(2)].map(|hint| marker.mark(&route, hint, soon()))).await;
        assert_eq!(both, [Err(MarkError::Unavailable); 2], "{fault:?}");
        assert!(begun.elapsed() <= Duration::from_secs(3), "{fault:?}");
    }
    assert_eq!(fake.state().most_in_flight, 1);
    fake.state().patch_fault = Fault::None;
    marker.mark(&route, change(3), soon()).await.unwrap();
    assert_eq!(fake.state().mark("u1")["sequence"], 1);
}

#[tokio::test(start_paused = true)]
async fn races_that_go_on_are_not_fought_in_a_busy_loop() {
    let fake = fake(&Value::Null);
    fake.state().patch_fault = Fault::Status(409);
    assert_eq!(marker(&fake).mark(&fake.route("u1"), change(1), soon()).await, Err(MarkError::Unavailable));
    let tries = fake.state().patches.len();
    assert!((5..40).contains(&tries), "{tries}");
}

#[tokio::test(start_paused = true)]
async fn a_subscription_that_is_gone_or_another_one_is_not_marked() {
    let fake = fake(&json!({"sequence": 1}));
    let route = fake.route("u1");
    // With an equal mark: only the uid tells the two apart.
    let mut another = fake.state().objects["u1"].clone();
    another["metadata"]["uid"] = json!("u2");
    fake.state().put(another.clone());
    assert_eq!(marker(&fake).mark(&route, change(1), soon()).await, Err(MarkError::Gone));
    assert_eq!(fake.state().objects["u1"]["status"], another["status"]);
    fake.state().objects.clear();
    assert_eq!(marker(&fake).mark(&route, change(1), soon()).await, Err(MarkError::Gone));
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_gives_up_takes_the_write_from_nobody() {
    let fake = fake(&Value::Null);
    fake.state().patch_time = Duration::from_millis(100);
    let (marker, route) = (marker(&fake), fake.route("u1"));
    let mut first = Box::pin(marker.mark(&route, change(1), soon()));
    assert!(futures::poll!(&mut first).is_pending());
    tokio::task::yield_now().await;
    let mut second = Box::pin(marker.mark(&route, of(NotificationType::GdprRequested), soon()));
    assert!(futures::poll!(&mut second).is_pending());
    let third = tokio::spawn({
        let (marker, route) = (marker.clone(), Arc::clone(&route));
        async move { marker.mark(&route, change(2), soon()).await }
    });
    tokio::task::yield_now().await;
    drop(first);
    drop(second);
    assert_eq!(third.await.unwrap(), Ok(()));
    assert_eq!(fake.state().mark("u1")["types"], json!(["change", "gdpr_requested"]));
    assert_eq!(fake.state().patches.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn more_than_the_bound_wait_for_no_write() {
    let fake = fake(&Value::Null);
    fake.state().patch_fault = Fault::Hang;
    let limits = MarkLimits { waiting: 3, ..MarkLimits::default() };
    let marker = Marker::new(fake.client(), Metrics::new(), limits);
    let route = fake.route("u1");
    let mut in_flight = Box::pin(marker.mark(&route, change(1), soon()));
    assert!(futures::poll!(&mut in_flight).is_pending());
    tokio::time::sleep(Duration::from_millis(1)).await;
    let mut waiting: Vec<_> = (0..3).map(|_| Box::pin(marker.mark(&route, change(1), soon()))).collect();
    for wait in &mut waiting {
        assert!(futures::poll!(wait).is_pending());
    }
    assert_eq!(marker.mark(&route, change(1), soon()).await, Err(MarkError::Overloaded));
    waiting.pop();
    let mut instead = Box::pin(marker.mark(&route, change(1), soon()));
    assert!(futures::poll!(&mut instead).is_pending(), "who gave up leaves a place");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_remembered_of_subscriptions_that_are_quiet() {
    let fake = Fake::default();
    let marker = marker(&fake);
    let status: Value = serde_json::from_str(CHANNEL).unwrap();
    for index in 0..50 {
        let uid = format!("u{index}");
        fake.subscription(&uid, &status);
        marker.mark(&fake.route(&uid), change(1), soon()).await.unwrap();
    }
    assert_eq!(slots(&marker), 50);
    tokio::time::advance(MEMORY * 2).await;
    marker.mark(&fake.route("u1"), change(1), soon()).await.unwrap();
    assert_eq!(slots(&marker), 1);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_lets_writes_end_and_takes_no_further_notification() {
    let fake = fake(&Value::Null);
    fake.state().patch_time = Duration::from_millis(100);
    let (marker, route) = (marker(&fake), fake.route("u1"));
    let mut in_flight = Box::pin(marker.mark(&route, change(1), soon()));
    assert!(futures::poll!(&mut in_flight).is_pending());
    marker.shutdown().await;
    assert_eq!(fake.state().mark("u1")["sequence"], 1);
    assert_eq!(in_flight.await, Ok(()));
    assert_eq!(marker.mark(&route, change(1), soon()).await, Err(MarkError::Overloaded));
}

/// Clears what it has seen if the object has not changed since, as the reconciler does.
async fn clear(fake: &Fake, held: Duration) -> Option<NotificationStatus> {
    let seen = fake.state().objects["u1"].clone();
    sleep(held).await;
    let mut state = fake.state();
    let mark = decoded(&seen["status"]["notification"]);
    if state.objects["u1"]["metadata"]["resourceVersion"] != seen["metadata"]["resourceVersion"]
        || mark.types.is_empty()
    {
        return None;
    }
    let mut cleared = seen;
    cleared["status"]["notification"] = json!({"sequence": mark.sequence});
    state.put(cleared);
    Some(mark)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn two_replicas_and_a_reconciler_that_clears_lose_no_mark(
        arrivals in prop::collection::vec((0_u64..60, 0_usize..2, 0_usize..5, 1_i64..4_000), 1..25),
        clears in prop::collection::vec((0_u64..80, 0_u64..12), 0..8),
        patch_time in 1_u64..15,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let (fake, seen, marks) = runtime.block_on(async {
            let fake = fake(&Value::Null);
            fake.state().patch_time = Duration::from_millis(patch_time);
            let replicas = [marker(&fake), marker(&fake)];
            let route = fake.route("u1");
            let arrive = async |(at, replica, kind, since): (u64, usize, usize, i64)| {
                sleep(Duration::from_millis(at)).await;
                let hint = Hint { kind: NotificationType::ALL[kind], ..change(since) };
                replicas[replica].mark(&route, hint, soon()).await.unwrap();
            };
            let clearing = async |(at, held): (u64, u64)| {
                sleep(Duration::from_millis(at)).await;
                clear(&fake, Duration::from_millis(held)).await
            };
            let (_, seen) = tokio::join!(
                join_all(arrivals.iter().copied().map(arrive)),
                join_all(clears.iter().copied().map(clearing)),
            );
            let marks: Vec<NotificationStatus> = seen.into_iter().flatten().collect();
            (fake.clone(), fake.state().mark("u1"), marks)
        });
        let last = decoded(&seen);
        // Each acknowledged write raised the sequence by exactly one, and no clearing lowered it.
        let committed = fake.state().patches.iter().filter(|patch| patch.committed.is_some()).count();
        prop_assert_eq!(usize::try_from(last.sequence).unwrap(), committed);
        let told: BTreeSet<&str> =
            marks.iter().chain([&last]).flat_map(|mark| mark.types.iter().map(String::as_str)).collect();
        let smallest = marks.iter().chain([&last]).filter_map(|mark| mark.changes_since.as_ref()).min();
        for (_, _, kind, since) in arrivals {
            prop_assert!(told.contains(NotificationType::ALL[kind].as_str()));
            prop_assert!(smallest.is_some_and(|time| time.0.as_second() <= since));
        }
    }
}
