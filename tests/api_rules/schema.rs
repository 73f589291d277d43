//! What must be true of every field of both kinds, now and later.

use std::collections::BTreeSet;

use cronofy_operator::api::{CalendarSubscription, CronofyApplication};
use cronofy_operator::crds;
use serde_json::{Value, json};

use crate::cases::{Kind, Outcome, put, table};
use crate::offline::schema;

/// A field of a kind: where it is, with `[]` for the elements of a list and `{}` for the values of a map, and its schema.
struct Field {
    kind: Kind,
    path: String,
    required: bool,
    schema: Value,
}

impl Field {
    fn is(&self, name: &str) -> bool {
        self.schema["type"] == name
    }

    fn has(&self, key: &str) -> bool {
        self.schema.get(key).is_some()
    }

    fn description(&self) -> &str {
        self.schema["description"].as_str().unwrap_or_default()
    }

    /// The default that the description ends with.
    fn default(&self) -> Option<&str> {
        self.description().rsplit_once("Default: ")?.1.strip_suffix('.')
    }
}

fn fields() -> Vec<Field> {
    let mut fields = Vec::new();
    for kind in [Kind::Subscription, Kind::Application] {
        collect(kind, "", &schema(kind), &mut fields);
    }
    assert!(fields.len() > 100, "the walk misses fields: {}", fields.len());
    fields
}

fn collect(kind: Kind, path: &str, schema: &Value, fields: &mut Vec<Field>) {
    let mut inner = Vec::new();
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let required = schema["required"].as_array().is_some_and(|required| required.contains(&json!(name)));
        inner.push((path, required, property));
    }
    let parts = [("[]", schema.get("items")), ("{}", schema.get("additionalProperties"))];
    inner.extend(parts.into_iter().filter_map(|(mark, part)| Some((format!("{path}{mark}"), false, part?))));
    for (path, required, property) in inner {
        fields.push(Field { kind, path: path.clone(), required, schema: property.clone() });
        collect(kind, &path, property, fields);
    }
}

fn assert_none(what: &str, wrong: impl Fn(&Field) -> bool) {
    let found: Vec<_> =
        fields().into_iter().filter(wrong).map(|field| format!("{:?} {}", field.kind, field.path)).collect();
    assert!(found.is_empty(), "{what}: {}", found.join(", "));
}

#[test]
fn every_field_is_bounded() {
    let unbounded =
        |field: &Field| !field.has("maxLength") && !field.has("enum") && field.schema["format"] != "date-time";
    assert_none("strings without an end", |field| field.is("string") && unbounded(field));
    assert_none("lists without an end", |field| field.is("array") && !field.has("maxItems"));
    assert_none("maps without an end", |field| field.has("additionalProperties") && !field.has("maxProperties"));
    assert_none("numbers without a beginning", |field| field.is("integer") && !field.has("minimum"));
    // What the operator counts in a status has no other end than its type.
    let spec = |field: &Field| field.path.starts_with("spec");
    assert_none("numbers without an end", |field| field.is("integer") && spec(field) && !field.has("maximum"));
}

#[test]
fn every_list_says_how_it_merges() {
    assert_none("lists that do not", |field| field.is("array") && !field.has("x-kubernetes-list-type"));
    for kind in [Kind::Subscription, Kind::Application] {
        let conditions = schema(kind)["properties"]["status"]["properties"]["conditions"].clone();
        assert_eq!(conditions["x-kubernetes-list-type"], "map");
        assert_eq!(conditions["x-kubernetes-list-map-keys"], json!(["type"]));
    }
}

#[test]
fn every_field_has_a_type_that_all_servers_know() {
    let types = ["string", "integer", "boolean", "array", "object"].map(Value::from);
    let formats = ["int32", "int64", "date-time"].map(Value::from);
    assert_none("other types", |field| !types.contains(&field.schema["type"]));
    assert_none("other formats", |field| field.schema.get("format").is_some_and(|format| !formats.contains(format)));
    assert_none("nulls", |field| field.has("nullable"));
}

#[test]
fn nothing_that_a_person_leaves_out_is_filled_in() {
    assert_none("defaults", |field| field.has("default") && field.path != "status");
    for kind in [Kind::Subscription, Kind::Application] {
        assert_eq!(schema(kind)["properties"]["status"]["default"], json!({ "observedGeneration": -1 }));
    }
}

#[test]
fn every_field_is_explained() {
    let listed = |field: &Field| field.path.ends_with("[]") || field.path.ends_with("{}");
    let sentence =
        |text: &str| text.ends_with('.') && text.starts_with(|first: char| first.is_uppercase() || first == '`');
    assert_none("without a sentence", |field| !listed(field) && !sentence(field.description()));
    assert_none("with a line of its own", |field| field.description().contains('\n'));
    // Groups of fields, and one of two alternatives, have no default of their own.
    let none = ["spec.intervals", "spec.account.secretRef", "spec.account.applicationCalendarId", "spec.limits"];
    let asks = |field: &Field| {
        field.path.starts_with("spec.") && !field.required && !listed(field) && !field.path.contains("selector")
    };
    assert_none("without a default", |field| {
        asks(field) && !none.contains(&field.path.as_str()) && field.default().is_none()
    });
    // A number's bounds are of use before the API server refuses it.
    assert_none("without its bounds", |field| {
        ["minimum", "maximum"].iter().any(|bound| {
            let bound = field.schema[bound].as_f64().filter(|_| field.path.starts_with("spec."));
            bound.is_some_and(|bound| !field.description().contains(&format!("{bound}")))
        })
    });
}

#[test]
fn every_rule_has_a_message_that_tells_what_must_be() {
    let rules = |schema: &Value| schema["x-kubernetes-validations"].as_array().cloned().unwrap_or_default();
    let roots = [Kind::Subscription, Kind::Application].map(schema);
    let all: Vec<_> = fields().iter().map(|field| &field.schema).chain(&roots).flat_map(rules).collect();
    assert!(all.len() > 20, "{}", all.len());
    for rule in all {
        let message = rule["message"].as_str().unwrap_or_default();
        assert!(message.starts_with("must ") || message.starts_with("metadata.name must "), "{rule}");
        assert!(message.len() <= 200 && !message.contains('\n'), "{rule}");
    }
}

#[test]
fn every_field_of_a_spec_has_cases_of_both_sorts() {
    let table = table();
    let plain =
        |path: &str| path.split('.').filter(|step| step.parse::<usize>().is_err()).collect::<Vec<_>>().join(".");
    let mut accepted = BTreeSet::new();
    let mut refused = BTreeSet::new();
    for case in &table {
        let set = if case.outcome == Outcome::Accepted { &mut accepted } else { &mut refused };
        set.insert((case.kind as usize, plain(&case.path)));
    }
    // Tried as parts of what they are in.
    let within = ["spec.account.applicationCalendarId", "spec.account.secretRef"];
    assert_none("fields without", |field| {
        let key = (field.kind as usize, field.path.replace("[]", "").replace("{}", ".calendars"));
        let tried = (accepted.contains(&key) || field.required) && refused.contains(&key);
        field.path.starts_with("spec.") && !tried && !within.contains(&field.path.as_str())
    });
}

/// What counts for a subscription, whether written or not.
fn effective(object: &Value) -> Value {
    let subscription: CalendarSubscription = serde_json::from_value(object.clone()).unwrap();
    let spec = &subscription.spec;
    json!([
        [spec.only_managed(), spec.include_managed(), spec.suspended()],
        [spec.time_zone(), &subscription.store_name()],
        spec.window_days(),
        [json!(spec.mode()), json!(spec.visibility()), json!(spec.store_kind()), json!(spec.deletion_policy())],
        [
            spec.full_sync_interval(),
            spec.horizon_sweep_interval(),
            spec.channel_check_interval(),
            spec.poll_interval(),
            spec.fallback_poll_interval(),
            spec.channel_renewal_interval(),
        ],
    ])
}

/// The fields of a kind that say a default in code, with its value.
fn documented_defaults(kind: Kind) -> Vec<(String, Value)> {
    let value = |field: &Field| {
        let text = field.default()?.strip_prefix('`')?.strip_suffix('`')?;
        let text = text.replace("<name>", "on-call");
        Some(if field.is("string") { json!(text) } else { serde_json::from_str(&text).unwrap() })
    };
    let of_spec = |field: &Field| field.kind == kind && field.path.starts_with("spec.") && !field.is("object");
    fields()
        .iter()
        .filter(|field| of_spec(field))
        .filter_map(|field| Some((field.path.clone(), value(field)?)))
        .collect()
}

#[test]
fn the_defaults_that_are_documented_are_those_that_count() {
    let bare = json!({
        "apiVersion": "cronofy-operator.dev/v1alpha1", "kind": "CalendarSubscription", "metadata": { "name": "on-call" },
        "spec": { "applicationRef": { "name": "a" }, "account": { "applicationCalendarId": "b" } }
    });
    let mut written = bare.clone();
    for group in ["window", "store", "intervals"] {
        written["spec"][group] = json!({});
    }
    let defaults = documented_defaults(Kind::Subscription);
    assert_eq!(defaults.len(), 17, "{defaults:?}");
    for (path, value) in defaults {
        put(&mut written, &path, Some(value));
    }
    assert_eq!(effective(&bare), effective(&written));

    let bare = json!({
        "apiVersion": "cronofy-operator.dev/v1alpha1", "kind": "CronofyApplication", "metadata": { "name": "a" },
        "spec": { "credentialsSecretRef": { "name": "b" } }
    });
    let mut written = bare.clone();
    for group in ["limits", "allowedNamespaces"] {
        written["spec"][group] = json!({});
    }
    let defaults = documented_defaults(Kind::Application);
    assert_eq!(defaults.len(), 4, "{defaults:?}");
    for (path, value) in defaults {
        put(&mut written, &path, Some(value));
    }
    let effective = |object: &Value| {
        let application: CronofyApplication = serde_json::from_value(object.clone()).unwrap();
        let from = application.spec.allowed_namespaces.clone().unwrap_or_default().from.unwrap_or_default();
        json!([application.spec.data_center(), application.spec.request_limits(), from])
    };
    assert_eq!(effective(&bare), effective(&written));
}

#[test]
fn both_kinds_are_found_by_short_names_and_in_the_category() {
    let names: Vec<_> = crds::crds().into_iter().map(|crd| crd.spec.names).collect();
    let short: Vec<_> = names.iter().map(|names| names.short_names.clone().unwrap_or_default().join(",")).collect();
    assert_eq!(short, ["calsub", "cronofyapp"]);
    assert!(names.iter().all(|names| names.categories == Some(vec!["cronofy".to_owned()])));
}
