//! Events of a range, page by page.

use calendar_sync::{Event, EventTime, TimeZone};
use http::Request;
use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::store::{Answer, Store, event, ids, path};

/// All pages of a query.
async fn all(store: &Store, query: &str) -> Vec<Value> {
    let (mut items, mut after) = (Vec::new(), String::new());
    for _ in 0..1000 {
        let answer = store.get("berlin", &format!("events?{query}{after}")).await.json();
        items.extend(answer["items"].as_array().unwrap().iter().cloned());
        let Some(next) = answer["next"].as_str() else { return items };
        after = format!("&after={next}");
    }
    panic!("there is no end of pages");
}

#[tokio::test]
async fn items_are_the_events_as_they_are_stored() {
    let store = Store::new().await;
    let full: Event = serde_json::from_value(json!({
        "id": "evt_1", "calendarId": "cal_1", "start": "2026-03-01T08:00:00Z", "end": "2026-03-01T09:00:00Z", "allDay": false,
        "timeZone": "Europe/Berlin", "summary": "Überblick", "status": "confirmed", "transparency": "opaque",
        "participation": "accepted", "recurring": true, "series": "s", "location": "Raum", "description": "a\nb",
        "organizer": {"email": "o@example.org", "name": "O"},
        "attendees": [{"email": "a@example.org", "status": "declined"}, {"name": "B"}],
        "meetingUrl": "https://meet.example.org", "updated": "2026-02-01T00:00:00.123Z",
    }))
    .unwrap();
    let day = event("evt_0", "2026-02-01", "2026-02-03");
    store.commit("berlin", [full.clone(), day.clone()], &[]).await;
    let answer = store.get("berlin", "events").await;
    assert_eq!(answer.json()["items"], serde_json::to_value([&day, &full]).unwrap());
    assert_eq!(answer.json()["next"], Value::Null);
    assert_eq!(answer.header("cache-control"), "private, no-cache");
    let zoned = store.get("berlin", "events?timeZone=America/New_York").await.json();
    let zoned = zoned["items"].as_array().unwrap();
    assert_eq!((&zoned[0]["start"], &zoned[0]["end"]), (&json!("2026-02-01"), &json!("2026-02-03")));
    assert_eq!(zoned[1]["start"], json!("2026-03-01T03:00:00-05:00"));
    assert_eq!(zoned[1]["updated"], json!("2026-01-31T19:00:00.123-05:00"));
}

#[tokio::test]
async fn an_event_belongs_to_a_range_that_it_overlaps() {
    let store = Store::new().await;
    store
        .commit(
            "berlin",
            [
                event("before", "2026-03-01T06:00:00Z", "2026-03-01T08:00:00Z"),
                event("into", "2026-03-01T07:00:00Z", "2026-03-01T08:00:01Z"),
                event("moment", "2026-03-01T08:00:00Z", "2026-03-01T08:00:00Z"),
                event("within", "2026-03-01T08:30:00Z", "2026-03-01T08:40:00Z"),
                event("around", "2026-02-01T00:00:00Z", "2026-04-01T00:00:00Z"),
                event("out", "2026-03-01T08:59:59Z", "2026-03-01T12:00:00Z"),
                event("after", "2026-03-01T09:00:00Z", "2026-03-01T10:00:00Z"),
            ],
            &[],
        )
        .await;
    let answer = store.get("berlin", "events?from=2026-03-01T08:00:00Z&to=2026-03-01T10:00:00%2B01:00").await;
    assert_eq!(answer.ids(), ["around", "into", "moment", "within", "out"]);
    assert_eq!(store.get("berlin", "events?from=2026-03-01T08:59:59Z").await.ids(), ["around", "out", "after"]);
    assert_eq!(store.get("berlin", "events?to=2026-03-01T07:00:00Z").await.ids(), ["around", "before"]);
}

#[tokio::test]
async fn days_are_those_of_the_zone() {
    let store = Store::new().await;
    store
        .commit(
            "berlin",
            [
                event("day", "2026-03-29", "2026-03-30"),
                event("first", "2026-03-28T23:00:00Z", "2026-03-28T23:00:01Z"),
                event("last", "2026-03-29T21:59:59Z", "2026-03-29T22:00:00Z"),
            ],
            &[],
        )
        .await;
    let table = [
        // The day has 23 hours.
        ("from=2026-03-29&to=2026-03-30&timeZone=Europe/Berlin", &["first", "day", "last"][..]),
        ("from=2026-03-29T22:00:00Z&timeZone=Europe/Berlin", &[]),
        ("to=2026-03-28T23:00:00Z&timeZone=Europe/Berlin", &[]),
        // 10:00Z on the 28th to 10:00Z on the 29th.
        ("from=2026-03-29T10:00:00Z&timeZone=Pacific/Kiritimati", &["last"]),
        ("from=2026-03-28T09:00:00Z&to=2026-03-28T10:00:01Z&timeZone=Pacific/Kiritimati", &["day"]),
        ("from=2026-03-28T09:00:00Z&to=2026-03-28T10:00:00Z&timeZone=Pacific/Kiritimati", &[]),
        // 11:00Z on the 29th to 11:00Z on the 30th.
        ("from=2026-03-30T10:59:59Z&timeZone=Pacific/Pago_Pago", &["day"]),
        ("from=2026-03-30T11:00:00Z&timeZone=Pacific/Pago_Pago", &[]),
        ("from=2026-03-29&to=2026-03-30&timeZone=Pacific/Pago_Pago", &["day", "last"]),
        ("from=2026-03-29&to=2026-03-30", &["day", "last"]),
    ];
    for (query, expected) in table {
        let mut found = store.get("berlin", &format!("events?{query}")).await.ids();
        found.sort();
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        assert_eq!(found, expected, "{query}");
    }
}

#[tokio::test]
async fn pages_stay_in_order_while_events_come_and_go() {
    let store = Store::new().await;
    let at = |id: &str, hour: i64| {
        let start = Timestamp::from_second(1_770_000_000 + hour * 3600).unwrap();
        event(id, &start.to_string(), &(start + jiff::SignedDuration::from_hours(1)).to_string())
    };
    store.commit("berlin", (0..50).map(|hour| at(&format!("stays-{hour:02}"), hour)), &[]).await;
    let (mut seen, mut after) = (Vec::new(), String::new());
    for round in 0_i64.. {
        let answer = store.get("berlin", &format!("events?limit=7{after}")).await;
        seen.extend(answer.ids());
        let Some(next) = answer.json()["next"].as_str().map(str::to_owned) else { break };
        after = format!("&after={next}");
        // Before, at and after where the page ended.
        let new = [0, round * 7, round * 7 + 6, 49].map(|hour| at(&format!("new-{round}-{hour}"), hour));
        store.commit("berlin", new, &[]).await;
    }
    let stays: Vec<_> = seen.iter().filter(|id| id.starts_with("stays")).cloned().collect();
    let expected: Vec<_> = (0..50).map(|hour| format!("stays-{hour:02}")).collect();
    assert_eq!(stays, expected);
    let mut once = seen.clone();
    once.sort();
    once.dedup();
    assert_eq!(once.len(), seen.len(), "nothing comes twice");
}

#[tokio::test]
async fn large_events_make_small_pages() {
    let store = Store::new().await;
    let events: Vec<Event> = (0..12)
        .map(|number| Event {
            description: Some("x".repeat(900_000)),
            ..event(&format!("{number:02}"), "2026-03-01T08:00:00Z", "2026-03-01T09:00:00Z")
        })
        .collect();
    store.commit("berlin", events, &[]).await;
    let page = store.get("berlin", "events?limit=1000").await;
    assert!(page.body.len() < 5 * 1024 * 1024);
    assert_eq!(ids(&Value::Array(all(&store, "limit=1000").await)).len(), 12);
    let changes = store.get("berlin", "changes?limit=1000").await;
    assert!(changes.body.len() < 5 * 1024 * 1024);
    assert_eq!(changes.json()["more"], json!(true));
}

#[tokio::test]
async fn an_answer_that_is_known_is_not_sent_again() {
    let store = Store::new().await;
    store.commit("berlin", [event("a", "2026-03-01", "2026-03-02")], &[]).await;
    for rest in ["events", "events?limit=5", "changes", "events.ics"] {
        let first = store.get("berlin", rest).await;
        let tag = first.header("etag").to_owned();
        assert!(tag.starts_with("W/\""), "{rest}: {tag}");
        for known in [tag.clone(), format!("\"other\", {tag}"), tag.trim_start_matches("W/").to_owned(), "*".to_owned()]
        {
            let again = store.get_with("berlin", rest, &[("if-none-match", &known)]).await;
            assert_eq!((again.status.as_u16(), again.body.len()), (304, 0), "{rest}: {known}");
            assert_eq!(again.header("etag"), tag);
            assert!(again.header("vary").contains("accept-encoding"));
        }
        let other = store.get_with("berlin", rest, &[("if-none-match", "\"other\"")]).await;
        assert_eq!(other.status, 200);
    }
    let tag = |answer: &Answer| answer.header("etag").to_owned();
    let plain = tag(&store.get("berlin", "events").await);
    assert_ne!(plain, tag(&store.get("berlin", "events?timeZone=UTC").await));
    assert_ne!(plain, tag(&store.get("berlin", "events?from=2026-01-01").await));
    store.commit("berlin", [event("b", "2026-03-01", "2026-03-02")], &[]).await;
    assert_eq!(store.get_with("berlin", "events", &[("if-none-match", &plain)]).await.status, 200);
    assert_eq!(store.get("berlin", "now").await.header("etag"), "", "it depends on the time");
}

#[tokio::test]
async fn answers_are_compressed_for_who_takes_that() {
    let store = Store::new().await;
    let events = (0..50).map(|number| event(&format!("evt_{number}"), "2026-03-01", "2026-03-02"));
    store.commit("berlin", events, &[]).await;
    for rest in ["events", "changes", "events.ics"] {
        let plain = store.get("berlin", rest).await;
        assert_eq!(plain.header("content-encoding"), "");
        let packed = store.get_with("berlin", rest, &[("accept-encoding", "gzip")]).await;
        assert_eq!(packed.header("content-encoding"), "gzip", "{rest}");
        let mut unpacked = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&*packed.body), &mut unpacked).unwrap();
        assert_eq!(unpacked, plain.body, "{rest}");
    }
}

#[tokio::test]
async fn heads_are_answered_without_a_body_and_nothing_else_is_allowed() {
    let store = Store::new().await;
    store.commit("berlin", [event("a", "2026-03-01", "2026-03-02")], &[]).await;
    let head = Request::head(path("berlin", "events")).header("authorization", "Bearer reader");
    let answer = Answer::of(store.ask(head).await).await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 0));
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        for rest in ["events", "now", "changes", "events.ics"] {
            let request = Request::builder().method(method).uri(path("berlin", rest));
            let answer = Answer::of(store.ask(request).await).await;
            answer.refused(405, None);
            assert!(answer.header("allow").contains("GET"), "{answer:?}");
        }
    }
}

fn times() -> impl Strategy<Value = (EventTime, EventTime)> {
    // Around the change of the clocks in Berlin.
    let base = 1_774_656_000_i64;
    let instants = (0_i64..72, 0_i64..30).prop_map(move |(hour, hours)| {
        let at = |hours: i64| EventTime::Instant(Timestamp::from_second(base + hours * 3600).unwrap());
        (at(hour), at(hour + hours))
    });
    let dates = (0_i8..4, 1_i8..3).prop_map(|(day, days)| {
        let at = |day: i8| EventTime::Date(jiff::civil::date(2026, 3, 26 + day));
        (at(day), at(day + days))
    });
    prop_oneof![2 => instants, 1 => dates]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn pages_give_each_event_of_the_range_once(
        times in proptest::collection::vec(times(), 0..40),
        from in proptest::option::of(0_i64..96),
        hours in proptest::option::of(0_i64..48),
        zone in prop::sample::select(vec!["Europe/Berlin", "Pacific/Kiritimati", "Pacific/Pago_Pago", "Etc/UTC", "America/New_York"]),
        limit in 1_usize..9,
    ) {
        let events: Vec<Event> = times
            .into_iter()
            .enumerate()
            .map(|(number, (start, end))| Event {
                start, end, all_day: start.is_date(), ..event(&format!("e{number}"), "2026-03-01", "2026-03-02")
            })
            .collect();
        let at = |hour: i64| Timestamp::from_second(1_774_656_000 + hour * 3600).unwrap();
        let (from, to) = (from.map(at), hours.map(|hours| at(from.unwrap_or_default() + hours)));
        let known = TimeZone::parse(zone).unwrap();
        let mut expected: Vec<&Event> = events
            .iter()
            .filter(|event| {
                let (start, end) = (event.start.instant(&known), event.end.instant(&known));
                to.is_none_or(|to| start < to) && from.is_none_or(|from| end > from || start >= from)
            })
            .collect();
        expected.sort_by_key(|event| (event.start.instant(&TimeZone::utc()), event.id.clone()));
        let expected: Vec<String> = expected.into_iter().map(|event| event.id.clone()).collect();
        let query = format!(
            "limit={limit}&timeZone={zone}{}{}",
            from.map(|from| format!("&from={from}")).unwrap_or_default(),
            to.map(|to| format!("&to={to}")).unwrap_or_default(),
        );
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let found = runtime.block_on(async {
            let store = Store::new().await;
            store.commit("berlin", events.clone(), &[]).await;
            ids(&Value::Array(all(&store, &query).await))
        });
        prop_assert_eq!(found, expected);
    }
}
