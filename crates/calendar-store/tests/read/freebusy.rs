//! When calendars are busy.

use calendar_sync::Event;
use serde_json::json;

use crate::store::{Store, event};

#[tokio::test]
async fn busy_times_of_all_calendars_are_merged_and_cut_to_the_range() {
    let store = Store::new().await;
    let takes_none = |id: &str| event(id, "2026-03-01T15:00:00Z", "2026-03-01T16:00:00Z");
    let word = |word: &str| Some(word.to_owned());
    store
        .commit(
            "a",
            [
                event("into", "2026-02-28T23:00:00Z", "2026-03-01T01:00:00Z"),
                event("1", "2026-03-01T08:00:00Z", "2026-03-01T09:00:00Z"),
                event("2", "2026-03-01T08:30:00Z", "2026-03-01T08:40:00Z"),
                event("moment", "2026-03-01T12:00:00Z", "2026-03-01T12:00:00Z"),
                Event { transparency: word("transparent"), ..takes_none("t") },
                Event { status: word("cancelled"), ..takes_none("c") },
                Event { participation: word("declined"), ..takes_none("d") },
            ],
            &[],
        )
        .await;
    store
        .commit(
            "b",
            [
                event("3", "2026-03-01T09:00:00Z", "2026-03-01T10:00:00Z"),
                event("out", "2026-03-01T23:00:00Z", "2026-03-02T01:00:00Z"),
                event("after", "2026-03-02T00:00:00Z", "2026-03-02T01:00:00Z"),
            ],
            &[],
        )
        .await;
    let base = "/v1/namespaces/rooms/freebusy?subscription=a&subscription=b";
    let answer = store.get_path(&format!("{base}&from=2026-03-01&to=2026-03-02"), &[]).await.json();
    assert_eq!(
        answer,
        json!({
            "from": "2026-03-01T00:00:00Z",
            "to": "2026-03-02T00:00:00Z",
            "busy": [
                {"start": "2026-03-01T00:00:00Z", "end": "2026-03-01T01:00:00Z"},
                {"start": "2026-03-01T08:00:00Z", "end": "2026-03-01T10:00:00Z"},
                {"start": "2026-03-01T23:00:00Z", "end": "2026-03-02T00:00:00Z"},
            ],
        })
    );
}

#[tokio::test]
async fn all_day_events_take_the_days_of_the_zone() {
    let store = Store::new().await;
    store.commit("a", [event("day", "2026-03-29", "2026-03-30")], &[]).await;
    let table = [
        ("Europe/Berlin", "2026-03-29T00:00:00+01:00", "2026-03-30T00:00:00+02:00"),
        ("Pacific/Kiritimati", "2026-03-29T00:00:00+14:00", "2026-03-30T00:00:00+14:00"),
        ("Pacific/Pago_Pago", "2026-03-29T00:00:00-11:00", "2026-03-30T00:00:00-11:00"),
    ];
    for (zone, start, end) in table {
        let path =
            format!("/v1/namespaces/rooms/freebusy?subscription=a&from=2026-03-20&to=2026-04-10&timeZone={zone}");
        assert_eq!(store.get_path(&path, &[]).await.json()["busy"], json!([{"start": start, "end": end}]));
    }
}

#[tokio::test]
async fn each_calendar_has_to_be_named_once_and_be_readable() {
    let store = Store::new().await;
    store.commit("a", [], &[]).await;
    let names = |count: usize| (0..count).map(|number| format!("subscription=n{number}&")).collect::<Vec<_>>().concat();
    let table = [
        ("from=2026-03-01&to=2026-03-02".to_owned(), 400, Some("subscription")),
        ("subscription=a&subscription=a&from=2026-03-01&to=2026-03-02".to_owned(), 400, Some("subscription")),
        (format!("{}from=2026-03-01&to=2026-03-02", names(51)), 400, Some("subscription")),
        ("subscription=A&from=2026-03-01&to=2026-03-02".to_owned(), 400, Some("subscription")),
        ("subscription=a&to=2026-03-02".to_owned(), 400, Some("from")),
        ("subscription=a&from=2026-03-02".to_owned(), 400, Some("to")),
        ("subscription=a&from=2026-03-02&to=2026-03-01".to_owned(), 400, Some("to")),
        ("subscription=a&from=2026-03-02&to=2027-03-04".to_owned(), 400, Some("to")),
        ("subscription=a&subscription=secret&from=2026-03-01&to=2026-03-02".to_owned(), 403, None),
        ("subscription=a&subscription=absent&from=2026-03-01&to=2026-03-02".to_owned(), 404, Some("subscription")),
    ];
    for (query, status, field) in table {
        store.get_path(&format!("/v1/namespaces/rooms/freebusy?{query}"), &[]).await.refused(status, field);
    }
}
