//! The chart's rights against what the operators of the whole suite in `tests/operator` asked for, as the audit logs of the API
//! servers have it: each right was used, and whatever was denied was denied on purpose. It runs after that suite, by its name, and
//! prints a table.
#![allow(missing_docs, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::{fs, io};

use k8s_openapi::api::rbac::v1::PolicyRule;
use serde::Deserialize;

const RIGHTS: &str = include_str!("../../charts/cronofy-operator/files/rbac.yaml");

/// Rights that no request of the operator's own shows, and why they are needed nevertheless.
const UNSEEN: [([&str; 3], &str); 1] = [(
    ["cronofy-operator.dev", "calendarsubscriptions/finalizers", "update"],
    "the API server itself asks for it; shown by without_the_right_to_set_finalizers_a_strict_server_takes_no_output",
)];

/// Tests in which requests are denied, by the first word of the name of their namespace, and why.
const DENIED_ON_PURPOSE: [(&str, &str); 9] = [
    ("apiserver", "the API server is stopped and started: it denies everything until it has read the roles"),
    ("operator", "an Event in a namespace that is being deleted"),
    ("questions", "what is left behind is asked for where it may not be listed"),
    ("secrets", "a Secret is written before the opt-in right is granted"),
    ("startup", "the rights are granted only after the start"),
    ("store", "stores without one of their rights, or in a namespace that is being deleted"),
    ("strict", "a server that asks for the right to set finalizers, without it"),
    ("untold", "an operator without the right to write Events"),
    ("unstored", "a returned refresh token that may not be stored"),
];

/// What the suite left behind.
#[derive(Deserialize)]
struct Record {
    rights: String,
    uses: Vec<([String; 3], usize)>,
    denials: Vec<([String; 5], usize)>,
}

fn record() -> Record {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("rights-used.json");
    let text = fs::read_to_string(&file).expect("run the whole suite first: cargo test --test operator");
    let record: Record = serde_json::from_str(&text).unwrap();
    assert_eq!(
        record.rights, RIGHTS,
        "the rights have changed since: run the whole suite anew, cargo test --test operator"
    );
    record
}

/// What is granted: the section of each right, by API group, resource and verb.
fn granted() -> BTreeMap<[String; 3], String> {
    let sections: BTreeMap<String, Vec<PolicyRule>> = serde_saphyr::from_str(RIGHTS).unwrap();
    let mut granted = BTreeMap::new();
    for (section, rule) in sections.iter().flat_map(|(section, rules)| rules.iter().map(move |rule| (section, rule))) {
        for group in rule.api_groups.iter().flatten() {
            for resource in rule.resources.iter().flatten() {
                for verb in &rule.verbs {
                    let twice = granted.insert([group.clone(), resource.clone(), verb.clone()], section.clone());
                    assert_eq!(twice, None, "{group} {resource} {verb} is granted twice");
                }
            }
        }
    }
    granted
}

/// Why requests of this test are denied.
fn meant(test: &str) -> Option<&'static str> {
    let first = test.split('-').next()?;
    DENIED_ON_PURPOSE.iter().find(|(name, _)| *name == first).map(|(_, why)| *why)
}

fn table(granted: &BTreeMap<[String; 3], String>, record: &Record) -> String {
    let mut table = format!("{:<14} {:<21} {:<33} {:<7} {:>7}\n", "section", "API group", "resource", "verb", "uses");
    for ([group, resource, verb], section) in granted {
        let found = record.uses.iter().find(|(of, _)| of == &[group.clone(), resource.clone(), verb.clone()]);
        let uses = found.map_or(0, |(_, count)| *count);
        writeln!(table, "{section:<14} {group:<21} {resource:<33} {verb:<7} {uses:>7}").unwrap();
    }
    table += "\ndenied on purpose\n";
    for ([test, group, resource, verb, code], count) in &record.denials {
        let why = meant(test).unwrap_or("WHY?");
        writeln!(table, "{test:<14} {group:<21} {resource:<33} {verb:<7} {count:>7} times {code}: {why}").unwrap();
    }
    table
}

#[test]
fn over_the_whole_suite_each_right_was_used_and_only_what_was_meant_to_be_was_denied() {
    let (granted, record) = (granted(), record());
    let table = table(&granted, &record);
    // Not by a macro, whose output would be seen only if the test failed.
    let _seen_or_not = writeln!(io::stderr(), "\n{table}");

    let used: BTreeSet<&[String; 3]> = record.uses.iter().map(|(of, _)| of).collect();
    let unseen = |right: &[String; 3]| UNSEEN.iter().any(|(of, _)| right == of);
    let unused: Vec<_> = granted.keys().filter(|right| !used.contains(right) && !unseen(right)).collect();
    assert!(
        unused.is_empty(),
        "rights that nothing used: take them out of the chart's files/rbac.yaml: {unused:?}\n{table}"
    );
    let without: Vec<_> = used.iter().filter(|right| !right[1].is_empty() && !granted.contains_key(**right)).collect();
    assert!(without.is_empty(), "what the chart does not grant was let pass: the tests grant too much: {without:?}");
    let unexplained: Vec<_> = record.denials.iter().filter(|(of, _)| meant(&of[0]).is_none()).collect();
    assert!(unexplained.is_empty(), "denied, and no test means it: {unexplained:?}\n{table}");
}
