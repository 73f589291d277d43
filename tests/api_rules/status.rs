//! Cases of the statuses. Only the operator writes them, so what counts is that all it can write is accepted.

use serde_json::{Value, json};

use crate::cases::{By, Case, Kind, Outcome, Table};

/// A status of a subscription with every field.
pub fn complete() -> Value {
    let condition = |kind: &str, status: &str| {
        json!({
            "type": kind, "status": status, "reason": "Synced", "message": "12 events in ConfigMap on-call-events",
            "lastTransitionTime": "2026-11-20T07:41:05Z", "observedGeneration": 1
        })
    };
    json!({
        "observedGeneration": 1,
        "conditions": [
            condition("Ready", "True"), condition("CredentialsValid", "True"), condition("ChannelActive", "Unknown"),
            condition("Synced", "True"), condition("Reconciling", "False"), condition("Stalled", "False")
        ],
        "lastHandledRequest": "2026-11-20",
        "account": {
            "id": "acc_1",
            "profiles": [{
                "id": "pro_1", "provider": "google", "connected": false, "initialSyncRequired": false,
                "relinkURL": "https://app.cronofy.example/relink/1"
            }]
        },
        "channel": {
            "id": "chn_6a1f", "generation": 2, "next": { "generation": 3 }, "configuration": "5f3a",
            "createdTime": "2026-11-20T07:41:05Z", "verifiedTime": "2026-11-20T07:41:05Z",
            "lastNotificationTime": "2026-11-20T07:41:05Z", "lastCheckTime": "2026-11-20T07:41:05Z",
            "renewalTime": "2026-12-20T07:41:05Z"
        },
        "notification": {
            "sequence": 7, "receivedTime": "2026-11-20T07:41:05Z", "changesSince": "2026-11-20T07:41:05Z",
            "types": ["change", "verification"]
        },
        "sync": {
            "lastFullSyncTime": "2026-11-20T07:41:05Z", "lastChangeTime": "2026-11-20T07:41:05Z",
            "sweptThrough": "2027-06-09", "erasedTime": "2026-11-20T07:41:05Z",
            "next": { "what": "HorizonSweep", "time": "2999-01-01T00:00:00Z" }
        },
        "output": {
            "kind": "ConfigMap", "name": "on-call-events", "events": 12, "slices": 1, "bytes": 4096, "contentHash": "ab".repeat(32)
        },
        "failure": {
            "count": 3, "lastTime": "2026-11-20T07:41:05Z", "nextRetryTime": "2026-11-20T07:51:05Z", "reason": "RateLimited"
        }
    })
}

/// Cases of what stands in `status`, for both kinds.
pub fn cases() -> Vec<Case> {
    let mut table = Table::of(Kind::Subscription);
    let t = &mut table;
    t.good("status", &[complete(), json!({})]).unknown_field("status");
    conditions(t);
    t.good("status.observedGeneration", &[json!(-1), json!(i64::MAX)]);
    t.schema("status.observedGeneration", "should be greater than or equal to -1", &[json!(-2)]);
    // As long as annotations may be, all of them together.
    t.good("status.lastHandledRequest", &[json!(""), json!("a".repeat(262_144))]);

    t.good("status.account", &[json!({}), json!({ "profiles": [] })]);
    t.good("status.account.profiles", &[json!(vec![json!({ "id": "pro_1", "connected": true }); 1000])]);
    t.schema(
        "status.account.profiles",
        "must have at most 1000 items",
        &[json!(vec![json!({ "id": "a", "connected": true }); 1001])],
    );
    t.schema("status.account.profiles.0.id", "may not be more than 1024 bytes", &[json!("a".repeat(1025))]);
    t.good("status.account.profiles.0.relinkURL", &[json!("a".repeat(8192))]);

    t.good("status.channel", &[json!({}), json!({ "next": { "generation": 1 } })]);
    t.schema("status.channel.generation", "should be greater than or equal to 0", &[json!(-1)]);
    t.schema("status.channel.createdTime", "must be of type date-time", &[json!("yesterday"), json!("2026-11-20")]);
    t.schema("status.channel.next.generation", "Required value", &[Value::Null]);

    t.good("status.notification", &[json!({ "sequence": 0 }), json!({ "sequence": i64::MAX })]);
    t.schema("status.notification.sequence", "Required value", &[Value::Null]);
    t.schema("status.notification.sequence", "should be greater than or equal to 0", &[json!(-1)]);
    let types = |count: usize| json!((0..count).map(|index| format!("type_{index}")).collect::<Vec<_>>());
    t.good("status.notification.types", &[json!([]), types(16)]);
    t.schema("status.notification.types", "must have at most 16 items", &[types(17)]);
    let twice = Outcome::Refused {
        by: By::Schema,
        at: "status.notification.types[1]".to_owned(),
        says: "Duplicate value: \"change\"".to_owned(),
    };
    t.add("status.notification.types", Some(json!(["change", "change"])), twice);

    for field in ["events", "slices", "bytes"] {
        let path = format!("status.output.{field}");
        t.good(&path, &[json!(0), json!(i64::MAX)]).schema(&path, "should be greater than or equal to 0", &[json!(-1)]);
    }
    t.good("status.failure.count", &[json!(0), json!(i32::MAX)]);
    t.schema("status.failure.count", "should be greater than or equal to 0", &[json!(-1)]);
    table.cases
}

fn conditions(t: &mut Table) {
    let one = complete()["conditions"][0].clone();
    t.good("status.conditions", &[json!([]), json!([one])]);
    let twice = Outcome::Refused {
        by: By::Schema,
        at: "status.conditions[1]".to_owned(),
        says: "Duplicate value: {\"type\":\"Ready\"}".to_owned(),
    };
    t.add("status.conditions", Some(json!([one, one])), twice);
    t.good("status.conditions.0.message", &[json!(""), json!("a".repeat(32_768))]);
    t.schema("status.conditions.0.message", "may not be more than 32768 bytes", &[json!("a".repeat(32_769))]);
    t.schema("status.conditions.0.status", "Unsupported value", &[json!("Yes"), json!("")]);
    t.schema("status.conditions.0.reason", "should be at least 1 chars long", &[json!("")]);
    for field in ["type", "status", "reason", "message", "lastTransitionTime"] {
        t.schema(&format!("status.conditions.0.{field}"), "Required value", &[Value::Null]);
    }
}
