//! Cases of `CalendarSubscription`.

use serde_json::{Value, json};

use crate::cases::{By, Case, Kind, Outcome, Table};

/// A subscription with every field of its spec.
pub fn complete() -> Value {
    json!({
        "apiVersion": "cronofy-operator.dev/v1alpha1",
        "kind": "CalendarSubscription",
        "metadata": { "name": "on-call" },
        "spec": {
            "applicationRef": { "name": "calendars", "namespace": "platform" },
            "account": { "secretRef": { "name": "on-call-account" } },
            "calendarIds": ["cal_Hq@Ab_c-9"],
            "onlyManaged": false,
            "includeManaged": true,
            "timeZone": "Europe/Berlin",
            "window": { "pastDays": 7, "futureDays": 30 },
            "mode": "Poll",
            "intervals": {
                "fullSync": "48h", "horizonSweep": "12h", "channelCheck": "1h", "poll": "10m", "fallbackPoll": "2m",
                "channelRenewal": "240h"
            },
            "visibility": "Busy",
            "store": { "type": "ConfigMap", "name": "rota" },
            "deletionPolicy": "Retain",
            "suspend": true
        }
    })
}

/// One whose events are in a calendar store that it names: what only such a one may have.
pub fn in_a_calendar_store() -> Value {
    let mut object = complete();
    object["spec"]["store"] = json!({ "type": "Remote", "remote": { "url": "https://store" } });
    object
}

/// What may be written in a subscription, and what may not.
pub fn cases() -> Vec<Case> {
    let mut table = Table::of(Kind::Subscription);
    let t = &mut table;

    t.good("metadata.name", &[json!("a".repeat(56))]);
    t.refused_at("", "metadata.name", Some(json!("a".repeat(57))), "metadata.name must be at most 56 characters long");
    t.refused_at("", "metadata.name", Some(json!("a".repeat(253))), "metadata.name must be at most 56 characters long");
    t.required("spec").unknown_field("spec");
    t.refused("colour", Some(json!("red")), By::Reading, "unknown field \"colour\"");
    application_ref(t);
    account(t);
    calendars(t);
    time_zone(t);

    t.optional("spec.window")
        .typed("spec.window", "object")
        .unknown_field("spec.window")
        .good("spec.window", &[json!({})]);
    t.number("spec.window.pastDays", 0, 42).number("spec.window.futureDays", 1, 201);

    t.optional("spec.mode").choice("spec.mode", &["Push", "Poll"]);

    t.optional("spec.intervals").typed("spec.intervals", "object").unknown_field("spec.intervals");
    t.good("spec.intervals", &[json!({})]);
    for (field, least, too_short) in [
        ("fullSync", "1h", "59m59s999ms"),
        ("horizonSweep", "1h", "3599s"),
        ("channelCheck", "10m", "9m59s"),
        ("poll", "1m", "59s"),
        ("fallbackPoll", "1m", "59999ms"),
        ("channelRenewal", "24h", "23h59m"),
    ] {
        t.interval(&format!("spec.intervals.{field}"), least, too_short);
    }

    t.optional("spec.visibility").choice("spec.visibility", &["Busy", "Titles", "Full"]);
    t.optional("spec.store").typed("spec.store", "object").unknown_field("spec.store").good("spec.store", &[json!({})]);
    t.optional("spec.store.type").choice("spec.store.type", &["ConfigMap", "Secret"]);
    t.optional("spec.store.name").object_name("spec.store.name");
    calendar_store(t);
    t.optional("spec.deletionPolicy").choice("spec.deletionPolicy", &["Delete", "Retain"]);
    t.boolean("spec.suspend");
    table.cases
}

fn calendar_store(t: &mut Table) {
    t.optional("spec.store.remote").typed("spec.store.remote", "object").unknown_field("spec.store.remote");
    t.good("spec.store.remote", &[json!({})]);
    let url = "spec.store.remote.url";
    let good = [
        "https://calendar-store.calendars.svc",
        "https://store:8443/a/b/",
        "https://192.0.2.7",
        "https://[2001:db8::7]:8443",
        "http://localhost:8081",
        "http://127.0.0.1:8081",
        "http://[::1]:8081",
    ];
    t.optional(url).typed(url, "string").good(url, &good.map(|good| json!(good)));
    let long = |path: usize| json!(format!("https://a.b/{}", "c".repeat(path)));
    t.good(url, &[long(500)]).schema(url, "may not be more than 512 bytes", &[long(501), long(100_000)]);
    let bad = [
        "",
        "store",
        "ftp://store",
        "http://store.calendars.svc",
        "http://localhost.example.org",
        "http://127.0.0.1@example.org",
        "https://user@store",
        "https://user:password@store",
        "https://store?token=1",
        "https://store#a",
        "https://store:65536",
        "https://st ore",
        "https://",
    ];
    t.rule(url, "must be an https URL without user info", &bad.map(|bad| json!(bad)));
    let with_other = |kind: Value| json!({ "type": kind, "remote": {} });
    for store in [json!({ "remote": {} }), with_other(json!("ConfigMap")), with_other(json!("Secret"))] {
        t.refused_at("spec.store", "spec.store", Some(store), "must have remote only with type: Remote");
    }
}

fn application_ref(t: &mut Table) {
    t.required("spec.applicationRef").typed("spec.applicationRef", "object").unknown_field("spec.applicationRef");
    t.required("spec.applicationRef.name").object_name("spec.applicationRef.name");
    t.optional("spec.applicationRef.namespace").typed("spec.applicationRef.namespace", "string");
    t.good("spec.applicationRef.namespace", &[json!("a"), json!("7-b"), json!("a".repeat(63))]);
    let bad = ["", "A", "a.b", "a_b", "-a", "a-", "a/b", "..", "*", "ä", "a\n"].map(|bad| json!(bad));
    t.rule(
        "spec.applicationRef.namespace",
        "must be the name of a namespace: lower case letters, digits and '-'",
        &bad,
    );
    t.schema("spec.applicationRef.namespace", "may not be more than 63 bytes", &[json!("a".repeat(64))]);
}

fn account(t: &mut Table) {
    t.required("spec.account").typed("spec.account", "object").unknown_field("spec.account");
    let one = "must have exactly one of secretRef and applicationCalendarId: set one and leave the other out";
    t.refused_at("spec.account", "spec.account.secretRef", None, one);
    t.refused_at("spec.account", "spec.account.secretRef", Some(Value::Null), one);
    t.refused_at("spec.account", "spec.account.applicationCalendarId", Some(json!("change-freeze")), one);
    t.rule("spec.account", one, &[json!({})]);
    t.good("spec.account", &[json!({ "applicationCalendarId": "change-freeze", "secretRef": null })]);
    t.typed("spec.account.secretRef", "object").unknown_field("spec.account.secretRef");
    t.required("spec.account.secretRef.name").object_name("spec.account.secretRef.name");
    for (id, says) in [
        (json!(""), "must be an id of at least one character"),
        (json!("change freeze"), "without blanks"),
        (json!("change\nfreeze"), "without blanks"),
        (json!("änderung"), "with ASCII characters only, such as change-freeze"),
    ] {
        t.refused_at(
            "spec.account.applicationCalendarId",
            "spec.account",
            Some(json!({ "applicationCalendarId": id })),
            says,
        );
    }
    for (id, says) in [
        (json!(7), "must be of type string"),
        (json!(["a"]), "must be of type string"),
        (json!("a".repeat(256)), "may not be more than 255 bytes"),
    ] {
        let outcome = Outcome::Refused {
            by: By::Schema,
            at: "spec.account.applicationCalendarId".to_owned(),
            says: says.to_owned(),
        };
        t.add("spec.account", Some(json!({ "applicationCalendarId": id })), outcome);
    }
    t.good(
        "spec.account",
        &[json!({ "applicationCalendarId": "a".repeat(255) }), json!({ "applicationCalendarId": "Room_7@b" })],
    );
}

fn calendars(t: &mut Table) {
    let ids = |count: usize| json!((0..count).map(|index| format!("cal_{index}")).collect::<Vec<_>>());
    t.optional("spec.calendarIds").typed("spec.calendarIds", "array").id("spec.calendarIds.0");
    t.good("spec.calendarIds", &[ids(1), ids(100), json!(["b", "a"])]);
    t.rule("spec.calendarIds", "must name at least one calendar: leave calendarIds out to copy all", &[json!([])]);
    t.schema("spec.calendarIds", "must have at most 100 items", &[ids(101), ids(5000)]);
    let twice = Outcome::Refused {
        by: By::Schema,
        at: "spec.calendarIds[2]".to_owned(),
        says: "Duplicate value: \"a\"".to_owned(),
    };
    t.add("spec.calendarIds", Some(json!(["a", "b", "a"])), twice);
    t.schema("spec.calendarIds.0", "must be of type string", &[Value::Null]);

    t.boolean("spec.onlyManaged").boolean("spec.includeManaged");
    t.good("spec.onlyManaged", &[json!(true)]);
    let mut nothing = complete()["spec"].clone();
    nothing["onlyManaged"] = json!(true);
    nothing["includeManaged"] = json!(false);
    t.rule("spec", "must not have onlyManaged: true together with includeManaged: false", &[nothing]);
}

fn time_zone(t: &mut Table) {
    t.optional("spec.timeZone").typed("spec.timeZone", "string");
    let good = [
        "Etc/UTC",
        "UTC",
        "Etc/GMT+12",
        "America/Argentina/ComodRivadavia",
        "EST5EDT",
        "W-SU",
        "America/Port-au-Prince",
    ];
    t.good("spec.timeZone", &good.map(|zone| json!(zone)));
    let bad = [
        "",
        " ",
        "Europe Berlin",
        "Europe/",
        "/Europe",
        "+02:00",
        "Europe//Berlin",
        "../../etc/passwd",
        "Europe/Bérlin",
        "UTC\n",
    ];
    t.rule(
        "spec.timeZone",
        "must be the name of an IANA time zone, such as Europe/Berlin or Etc/UTC",
        &bad.map(|bad| json!(bad)),
    );
    t.schema("spec.timeZone", "may not be more than 64 bytes", &[json!("A".repeat(65)), json!("A/".repeat(50_000))]);
}
