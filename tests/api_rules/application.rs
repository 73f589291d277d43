//! Cases of `CronofyApplication`.

use serde_json::{Value, json};

use crate::cases::{By, Case, Kind, Outcome, Table};

/// An application with every field of its spec.
pub fn complete() -> Value {
    json!({
        "apiVersion": "cronofy-operator.dev/v1alpha1",
        "kind": "CronofyApplication",
        "metadata": { "name": "calendars" },
        "spec": {
            "dataCenter": "de",
            "endpoint": "https://api.example.org",
            "credentialsSecretRef": { "name": "cronofy-application" },
            "limits": { "requestsPerSecond": 20, "requestsPerMinute": 200 },
            "allowedNamespaces": {
                "from": "Selector",
                "selector": {
                    "matchLabels": { "calendars": "allowed" },
                    "matchExpressions": [{ "key": "team", "operator": "In", "values": ["rota"] }]
                }
            }
        }
    })
}

/// What may be written in an application, and what may not.
pub fn cases() -> Vec<Case> {
    let mut table = Table::of(Kind::Application);
    let t = &mut table;

    t.good("metadata.name", &[json!("a".repeat(253))]);
    t.required("spec").unknown_field("spec");
    t.optional("spec.dataCenter").choice("spec.dataCenter", &["us", "uk", "de", "au", "ca", "sg"]);

    t.optional("spec.endpoint").typed("spec.endpoint", "string");
    let good = [
        "https://api.cronofy.com",
        "http://127.0.0.1:8080",
        "http://localhost:1/",
        "https://api-de.cronofy.com/v1/",
        "http://[::1]:8080",
        "https://a.b.c:65535/a%20b;c=d@e",
    ];
    t.good("spec.endpoint", &good.map(|url| json!(url)));
    t.good("spec.endpoint", &[json!(format!("https://a.b/{}", "c".repeat(2036)))]);
    let bad = [
        "",
        " ",
        "api.cronofy.com",
        "//api.cronofy.com",
        "/v1",
        "ftp://api.cronofy.com",
        "javascript:alert(1)",
        "file:///etc/passwd",
        "https://",
        "https:///v1",
        "https://user:pass@api.cronofy.com",
        "https://api.cronofy.com@evil.example",
        "https://api.cronofy.com\\@evil.example",
        "https://api.cronofy.com?a=b",
        "https://api.cronofy.com/#a",
        "https://api.cronofy.com:port",
        "https://api.cronofy.com:65536",
        "https://api.cronofy.com /",
        " https://api.cronofy.com",
        "https://api.cronofy.com\n",
        "https://api.cronofy.com/%zz",
        "https://ápi.cronofy.com",
        "https://.",
        "https://:80",
        "HTTPS://api.cronofy.com",
        "http://[::1",
        "http://[::zz]",
    ];
    t.rule(
        "spec.endpoint",
        "must be an absolute http or https URL without user info, query and fragment",
        &bad.map(|bad| json!(bad)),
    );
    t.schema("spec.endpoint", "may not be more than 2048 bytes", &[json!(format!("https://a.b/{}", "c".repeat(2037)))]);

    t.required("spec.credentialsSecretRef").typed("spec.credentialsSecretRef", "object");
    t.unknown_field("spec.credentialsSecretRef").required("spec.credentialsSecretRef.name");
    t.object_name("spec.credentialsSecretRef.name");

    t.optional("spec.limits")
        .typed("spec.limits", "object")
        .unknown_field("spec.limits")
        .good("spec.limits", &[json!({})]);
    t.number("spec.limits.requestsPerSecond", 1, 10_000).number("spec.limits.requestsPerMinute", 1, 1_000_000);

    allowed_namespaces(t);
    table.cases
}

fn allowed_namespaces(t: &mut Table) {
    let all = "spec.allowedNamespaces";
    t.optional(all).typed(all, "object").unknown_field(all);
    t.good(
        all,
        &[
            json!({}),
            json!({ "from": "Same" }),
            json!({ "from": "All" }),
            json!({ "from": "Selector", "selector": {} }),
        ],
    );
    let pair = "must have selector exactly with from: Selector: set from to Selector, or leave selector out";
    t.rule(
        all,
        pair,
        &[
            json!({ "from": "Selector" }),
            json!({ "from": "Same", "selector": {} }),
            json!({ "from": "All", "selector": {} }),
        ],
    );
    t.rule(
        all,
        pair,
        &[json!({ "selector": { "matchLabels": { "a": "b" } } }), json!({ "from": "Selector", "selector": null })],
    );
    let from = format!("{all}.from");
    t.good(&from, &[json!("Selector")]).typed(&from, "string");
    t.schema(&from, "Unsupported value", &[json!(""), json!("selector"), json!("Other")]);

    let selector = format!("{all}.selector");
    t.good(&selector, &[json!({})]).typed(&selector, "object").unknown_field(&selector);
    let labels = format!("{selector}.matchLabels");
    let many =
        |count: usize| (0..count).map(|index| (format!("k{index}"), json!("v"))).collect::<serde_json::Map<_, _>>();
    t.optional(&labels).typed(&labels, "object");
    t.good(
        &labels,
        &[
            json!({}),
            json!(many(64)),
            json!({ "example.org/team": "rota" }),
            json!({ "a".repeat(63): "a".repeat(63), "b": "" }),
        ],
    );
    t.schema(&labels, "must have at most 64 items", &[json!(many(65))]);
    let keys = "must have keys of labels";
    t.rule(
        &labels,
        keys,
        &[
            json!({ "": "a" }),
            json!({ "a b": "a" }),
            json!({ "-a": "a" }),
            json!({ "a".repeat(64): "a" }),
            json!({ "a/b/c": "d" }),
        ],
    );
    let value = format!("{labels}.calendars");
    t.good(&value, &[json!(""), json!("a.B_c-7")]);
    t.typed(&value, "string").schema(&value, "may not be more than 63 bytes", &[json!("a".repeat(64))]);
    let bad = ["a b", "-a", "a-", "a/b", "ä", "a\n"].map(|bad| json!(bad));
    let outcome = |by, says: &str| Outcome::Refused { by, at: format!("{labels}[calendars]"), says: says.to_owned() };
    // The rules name a key of a map in brackets, the schema with a dot.
    for bad in bad {
        t.add(&value, Some(bad), outcome(By::Rule, "must be the value of a label"));
    }

    let expressions = format!("{selector}.matchExpressions");
    let requirement =
        |operator: &str, values: Value| json!([{ "key": "team", "operator": operator, "values": values }]);
    t.optional(&expressions).typed(&expressions, "array").unknown_field(&format!("{expressions}.0"));
    t.good(&expressions, &[json!([]), requirement("NotIn", json!(["a", ""])), requirement("Exists", json!([]))]);
    t.good(&expressions, &[json!([{ "key": "example.org/team", "operator": "DoesNotExist" }])]);
    t.schema(
        &expressions,
        "must have at most 64 items",
        &[json!(vec![json!({ "key": "a", "operator": "Exists" }); 65])],
    );
    let says = "must have values exactly with operator In or NotIn";
    for bad in [requirement("In", json!([])), requirement("NotIn", Value::Null), requirement("Exists", json!(["a"]))] {
        t.refused_at(&format!("{expressions}[0]"), &expressions, Some(bad), says);
    }
    let key = format!("{expressions}.0.key");
    t.required(&key).typed(&key, "string").good(&key, &[json!("a"), json!("example.org/a_b.c")]);
    t.rule(
        &key,
        "must be the key of a label",
        &[json!(""), json!("a b"), json!("/a"), json!("a/"), json!("a".repeat(64))],
    );
    t.schema(&key, "may not be more than 317 bytes", &[json!("a".repeat(318))]);
    let operator = format!("{expressions}.0.operator");
    t.required(&operator).typed(&operator, "string").good(&operator, &[json!("NotIn")]);
    t.schema(&operator, "Unsupported value", &[json!(""), json!("in"), json!("Gt")]);
    let values = format!("{expressions}.0.values");
    t.typed(&values, "array").good(&values, &[json!(["a", "b"])]);
    t.schema(&values, "must have at most 64 items", &[json!(vec!["a"; 65])]);
    let value = format!("{values}.0");
    t.good(&value, &[json!(""), json!("a".repeat(63))]).typed(&value, "string");
    t.rule(&value, "must be the value of a label", &[json!("a b"), json!("-a")]);
    t.schema(&value, "may not be more than 63 bytes", &[json!("a".repeat(64))]);
}
