//! What nobody means well by.

use http::Request;
use serde_json::Value;

use crate::store::{Answer, Store, event, path};

const SQL: [&str; 4] = ["'%20OR%20'1'='1", "x';DROP%20TABLE%20events;--", "%22%20OR%201=1--", "$1"];

#[tokio::test]
async fn sql_is_nothing_but_a_wrong_value() {
    let store = Store::new().await;
    store.commit("berlin", [event("a", "2026-03-01", "2026-03-02")], &[]).await;
    for sql in SQL {
        for (rest, field) in [
            ("events?from=", "from"),
            ("events?to=", "to"),
            ("events?timeZone=", "timeZone"),
            ("events?limit=", "limit"),
            ("events?after=", "after"),
            ("now?at=", "at"),
            ("changes?since=", "since"),
            ("events.ics?from=", "from"),
        ] {
            store.get("berlin", &format!("{rest}{sql}")).await.refused(400, Some(field));
        }
        store.get(sql, "events").await.refused(400, Some("name"));
        let path = format!("/v1/namespaces/{sql}/freebusy?subscription=berlin&from=2026-03-01&to=2026-03-02");
        store.get_path(&path, &[]).await.refused(400, Some("namespace"));
        let path = format!("/v1/namespaces/rooms/freebusy?subscription={sql}&from=2026-03-01&to=2026-03-02");
        store.get_path(&path, &[]).await.refused(400, Some("subscription"));
    }
    assert_eq!(store.get("berlin", "events").await.ids(), ["a"]);
}

#[tokio::test]
async fn names_are_those_of_kubernetes() {
    let store = Store::new().await;
    store.commit("a.b-c.1", [], &[]).await;
    assert_eq!(store.get("a.b-c.1", "events").await.status, 200);
    let long = "a".repeat(254);
    let names =
        ["..", ".", "a..b", "-a", "a-", "A", "a_b", "a%2Fb", "..%2f..%2fetc", "%00", "a%0A", "%C3%A4", "a%20", &long];
    let asked = || store.doorkeeper.asked.load(std::sync::atomic::Ordering::SeqCst);
    let before = asked();
    for name in names {
        for rest in ["events", "now", "changes", "events.ics"] {
            store.get(name, rest).await.refused(400, Some("name"));
        }
        let path = format!("/v1/namespaces/{name}/freebusy?subscription=a&from=2026-03-01&to=2026-03-02");
        store.get_path(&path, &[]).await.refused(400, Some("namespace"));
    }
    store.get("%FF", "events").await.refused(400, Some("path"));
    assert_eq!(asked(), before, "nobody is asked about what cannot be a name");
}

#[tokio::test]
async fn values_that_make_no_sense_are_refused_by_name() {
    let store = Store::new().await;
    store.commit("berlin", [], &[]).await;
    let long = "9".repeat(2000);
    let table = [
        ("events?from=2026-03-02&to=2026-03-01".to_owned(), "to"),
        ("events?from=1899-12-31".to_owned(), "from"),
        ("events?to=2201-01-01".to_owned(), "to"),
        ("events?to=9999-12-31T23:59:59Z".to_owned(), "to"),
        ("events?from=-009999-01-01T00:00:00Z".to_owned(), "from"),
        ("events?from=2026-02-30".to_owned(), "from"),
        ("events?from=2026-03-01T08:00:00".to_owned(), "from"),
        ("events?from=2026-03-01T08:00:00+01:00".to_owned(), "from"),
        ("events?from=now".to_owned(), "from"),
        ("events?from=".to_owned(), "from"),
        (format!("events?from={long}"), "from"),
        ("events?timeZone=Berlin".to_owned(), "timeZone"),
        ("events?timeZone=..%2F..%2Fetc%2Fpasswd".to_owned(), "timeZone"),
        ("events?timeZone=".to_owned(), "timeZone"),
        ("events?timeZone=%00".to_owned(), "timeZone"),
        (format!("events?timeZone={long}"), "timeZone"),
        ("events?limit=0".to_owned(), "limit"),
        ("events?limit=1001".to_owned(), "limit"),
        ("events?limit=-1".to_owned(), "limit"),
        ("events?limit=%2B5".to_owned(), "limit"),
        ("events?limit=1e3".to_owned(), "limit"),
        (format!("events?limit={long}"), "limit"),
        ("events?limit=1&limit=2".to_owned(), "limit"),
        ("events?limit=1&li%6Dit=2".to_owned(), "limit"),
        ("events?form=2026-03-01".to_owned(), "form"),
        ("now?from=2026-03-01".to_owned(), "from"),
        ("events?from=%FF".to_owned(), "from"),
        ("events?%FF=1".to_owned(), "query"),
        (format!("events?after={long}"), "after"),
        (format!("events?from={}", "9".repeat(20_000)), "query"),
        ("changes?since=".to_owned(), "since"),
        ("changes?since=a".to_owned(), "since"),
        ("changes?since=a.9999999999999999999999".to_owned(), "since"),
        ("changes?since=a.%2B1".to_owned(), "since"),
    ];
    for (rest, field) in table {
        store.get("berlin", &rest).await.refused(400, Some(field));
    }
}

#[tokio::test]
async fn a_cursor_is_of_use_only_to_its_query() {
    let store = Store::new().await;
    for name in ["berlin", "paris"] {
        let events = ["a", "b", "c"].map(|id| event(id, "2026-03-01", "2026-03-02"));
        store.commit(name, events, &[]).await;
    }
    let first = store.get("berlin", "events?limit=1&from=2026-03-01").await.json();
    let Some(next) = first["next"].as_str() else { panic!("{first}") };
    assert_eq!(store.get("berlin", &format!("events?limit=2&from=2026-03-01&after={next}")).await.ids(), ["b", "c"]);
    for rest in ["events?from=2026-03-02&", "events?", "events?from=2026-03-01&timeZone=Europe/Berlin&"] {
        store.get("berlin", &format!("{rest}after={next}")).await.refused(400, Some("after"));
    }
    store.get("paris", &format!("events?from=2026-03-01&after={next}")).await.refused(400, Some("after"));
    for broken in ["", "x", &next[1..], "%00", "AAAA", "Li4u"] {
        store.get("berlin", &format!("events?from=2026-03-01&after={broken}")).await.refused(400, Some("after"));
    }
}

#[tokio::test]
async fn nothing_is_told_to_who_may_not_read() {
    let store = Store::new().await;
    for name in ["berlin", "secret"] {
        store.commit(name, [event("a", "2026-03-01", "2026-03-02")], &[]).await;
    }
    for rest in ["events", "now", "changes", "events.ics", "events?limit=0", "events?unknown=1"] {
        let unknown = Answer::of(store.ask(Request::get(path("berlin", rest))).await).await;
        unknown.refused(401, None);
    }
    for rest in ["events", "now", "changes", "changes?since=bad"] {
        store.get("secret", rest).await.refused(403, None);
    }
    for rest in ["events", "now", "changes", "events.ics"] {
        store.get("absent", rest).await.refused(404, None);
    }
    let answer: Value = serde_json::from_slice(&store.get("absent", "events").await.body).unwrap();
    assert_eq!(answer["reason"], "NotFound");
}
