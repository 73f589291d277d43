//! The rules without a server, and what must be true of the schemas.

use cronofy_operator::api::{CalendarSubscription, CronofyApplication};
use cronofy_operator::crds;
use kube::core::cel::{CompiledSchema, ErrorKind, Validator, compile_schema};
use serde_json::{Value, json};

use crate::cases::{By, Case, Kind, Outcome, table};
use crate::{application, subscription};

/// The schema of a kind, as it is applied.
pub fn schema(kind: Kind) -> Value {
    let name = match kind {
        Kind::Subscription => "CalendarSubscription",
        Kind::Application => "CronofyApplication",
    };
    let crd = crds::crds().into_iter().find(|crd| crd.spec.names.kind == name).unwrap();
    serde_json::to_value(crd.spec.versions[0].schema.as_ref().unwrap().open_api_v3_schema.as_ref().unwrap()).unwrap()
}

/// What is wrong with what the rules say about a case, if anything.
fn wrong(case: &Case, schema: &CompiledSchema) -> Option<String> {
    let mut object = case.object();
    without_nulls(&mut object);
    let said = Validator::new()
        .validate_compiled(schema, &object, None)
        .map_or_else(kube::core::cel::ValidationErrors::into_vec, |()| Vec::new());
    let found: Vec<_> =
        said.iter().map(|error| (error.kind.clone(), error.field_path.clone(), error.message.clone())).collect();
    match &case.outcome {
        Outcome::Accepted => (!found.is_empty()).then(|| format!("is refused: {found:?}")),
        Outcome::Refused { by: By::Rule, at, says } => match found.as_slice() {
            [(ErrorKind::ValidationFailure, path, message)] if *path == dotted(at) && message.contains(says) => None,
            _ => Some(format!("gives {found:?} instead of {at:?} {says:?}")),
        },
        Outcome::Refused { by: By::Schema | By::Reading, .. } => None,
    }
}

/// A path without the brackets that the API server sets around the key of a map.
fn dotted(path: &str) -> String {
    path.replace("[calendars]", ".calendars")
}

/// The API server drops nulls before it looks at the rules.
fn without_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, field| !field.is_null());
            fields.values_mut().for_each(without_nulls);
        }
        Value::Array(elements) => elements.iter_mut().for_each(without_nulls),
        _ => {}
    }
}

#[test]
fn each_rule_refuses_what_it_is_to_refuse_with_its_own_words() {
    let schemas = [Kind::Subscription, Kind::Application].map(|kind| compile_schema(&schema(kind)));
    let wrong: Vec<_> = table()
        .iter()
        .filter_map(|case| wrong(case, &schemas[case.kind as usize]).map(|wrong| format!("{}: {wrong}", case.title())))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_accepted_can_be_read_and_written_again() {
    let schemas = [Kind::Subscription, Kind::Application].map(|kind| compile_schema(&schema(kind)));
    for case in table().into_iter().filter(|case| case.outcome == Outcome::Accepted) {
        let again = match case.kind {
            Kind::Subscription => serde_json::from_value(case.object()).map(|read: CalendarSubscription| json!(read)),
            Kind::Application => serde_json::from_value(case.object()).map(|read: CronofyApplication| json!(read)),
        };
        let again = again.unwrap_or_else(|error| panic!("{}: {error}", case.title()));
        let verdict = Validator::new().validate_compiled(&schemas[case.kind as usize], &again, None);
        verdict.unwrap_or_else(|error| panic!("{} written again: {error}", case.title()));
        // A duration may be written in another form, and is read as the same then.
        if !case.path.starts_with("spec.intervals") {
            let mut object = case.object();
            without_nulls(&mut object);
            assert_eq!(again["spec"], object["spec"], "{}", case.title());
        }
    }
}

#[test]
fn the_types_themselves_can_tell_whether_a_spec_is_valid() {
    let mut subscription: CalendarSubscription = serde_json::from_value(subscription::complete()).unwrap();
    subscription.validate_cel().unwrap();
    subscription.spec.account.secret_ref = None;
    assert!(subscription.validate_cel().is_err());

    let mut application: CronofyApplication = serde_json::from_value(application::complete()).unwrap();
    application.validate_cel().unwrap();
    application.spec.endpoint = Some("ftp://api.example.org".to_owned());
    assert!(application.validate_cel().is_err());
}
