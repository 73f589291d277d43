//! What is on at a moment.

use serde_json::json;

use crate::store::{Store, event, ids};

#[tokio::test]
async fn it_tells_what_is_under_way_and_all_that_comes_next() {
    let store = Store::new().await;
    store
        .commit(
            "berlin",
            [
                event("over", "2026-03-01T07:00:00Z", "2026-03-01T08:00:00Z"),
                event("long", "2026-01-01T07:00:00Z", "2026-06-01T08:00:00Z"),
                event("begins", "2026-03-01T08:00:00Z", "2026-03-01T09:00:00Z"),
                event("next-1", "2026-03-01T10:00:00Z", "2026-03-01T11:00:00Z"),
                event("next-2", "2026-03-01T10:00:00Z", "2026-03-01T10:30:00Z"),
                event("later", "2026-03-01T10:00:01Z", "2026-03-01T10:30:00Z"),
            ],
            &[],
        )
        .await;
    let answer = store.get("berlin", "now?at=2026-03-01T08:00:00Z").await.json();
    assert_eq!(answer["at"], json!("2026-03-01T08:00:00Z"));
    assert_eq!(ids(&answer["now"]), ["long", "begins"]);
    assert_eq!(ids(&answer["next"]), ["next-1", "next-2"]);
    let answer = store.get("berlin", "now?at=2026-07-01&timeZone=Europe/Berlin").await.json();
    assert_eq!(answer, json!({"at": "2026-07-01T00:00:00+02:00", "now": [], "next": []}));
    assert!(store.get("berlin", "now").await.json()["at"].as_str().unwrap().ends_with('Z'));
}

#[tokio::test]
async fn all_day_events_are_on_in_the_days_of_the_zone() {
    let store = Store::new().await;
    let day = event("day", "2026-03-29", "2026-03-30");
    store.commit("berlin", [day, event("early", "2026-03-29T00:00:00Z", "2026-03-29T00:10:00Z")], &[]).await;
    let table = [
        ("Pacific/Kiritimati", "2026-03-28T09:59:59Z", &[][..], &["day"][..]),
        ("Pacific/Kiritimati", "2026-03-28T10:00:00Z", &["day"], &["early"]),
        ("Pacific/Kiritimati", "2026-03-29T10:00:00Z", &[], &[]),
        ("Pacific/Pago_Pago", "2026-03-28T09:59:59Z", &[], &["early"]),
        ("Pacific/Pago_Pago", "2026-03-29T00:00:00Z", &["early"], &["day"]),
        ("Pacific/Pago_Pago", "2026-03-30T10:59:59Z", &["day"], &[]),
        ("Etc/UTC", "2026-03-28T20:00:00Z", &[], &["day", "early"]),
    ];
    for (zone, at, now, next) in table {
        let answer = store.get("berlin", &format!("now?at={at}&timeZone={zone}")).await.json();
        assert_eq!((ids(&answer["now"]), ids(&answer["next"])), (owned(now), owned(next)), "{zone} {at}");
    }
}

fn owned(ids: &[&str]) -> Vec<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}
