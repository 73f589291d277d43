//! The walls between the parts that no crate boundary keeps up: see docs/architecture.md.
#![allow(missing_docs, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The Rust files below a folder, by their path from the root.
fn sources(folder: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                if path.file_name().is_none_or(|name| name != "target") {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
                found.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(!found.is_empty(), "{folder} has no source");
    found.sort();
    found
}

/// The lines of code of a file: without comments, and without the tests at its end.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().enumerate().map(|(number, line)| (number + 1, line));
    lines.take_while(|(_, line)| *line != "#[cfg(test)]").filter(|(_, line)| !line.trim_start().starts_with("//"))
}

/// Asserts that only these files of a folder have one of these words in their code.
fn only(allowed: &[&str], folder: &str, words: &[&str], why: &str) {
    let mut used = Vec::new();
    for (name, text) in sources(folder) {
        let is_test = name.contains("/tests") || name.contains("/fake");
        for (number, line) in code(&text).filter(|_| !is_test) {
            let Some(word) = words.iter().find(|word| line.contains(*word)) else { continue };
            assert!(allowed.contains(&name.as_str()), "{name}:{number} has `{word}`: {why}");
            used.push(name.clone());
        }
    }
    for allowed in allowed {
        assert!(used.iter().any(|name| name == allowed), "{allowed} has none of {words:?} any more: {why}");
    }
}

/// The dependencies of a crate, those of its tests aside.
fn dependencies(manifest: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join(manifest)).unwrap();
    let section = text.split("[dependencies]\n").nth(1).expect("a table of dependencies");
    let lines = section.lines().take_while(|line| !line.starts_with('['));
    lines
        .filter_map(|line| Some(line.split(['.', ' ', '=']).next()?.to_owned()))
        .filter(|name| !name.is_empty())
        .collect()
}

#[test]
fn the_engine_and_the_client_depend_on_nothing_that_they_are_to_know_nothing_of() {
    let kubernetes = ["kube", "k8s-openapi", "k8s-controller", "cronofy-operator"];
    let outside = ["tokio", "futures", "reqwest", "hyper", "axum", "cronofy", "fastrand", "rand"];
    for (manifest, forbidden) in [
        ("crates/calendar-sync/Cargo.toml", [kubernetes.as_slice(), outside.as_slice()].concat()),
        ("crates/cronofy/Cargo.toml", kubernetes.to_vec()),
        ("crates/cronofy-sim/Cargo.toml", kubernetes.to_vec()),
    ] {
        let found = dependencies(manifest);
        assert!(found.len() > 3, "{manifest}: {found:?}");
        for name in forbidden {
            assert!(!found.iter().any(|found| found == name), "{manifest} depends on {name}");
        }
    }
}

#[test]
fn the_engine_is_told_the_time_and_never_looks_at_a_clock() {
    let clocks = ["Timestamp::now", "SystemTime", "Instant::now", "Zoned::now", "TimeZone::system"];
    only(&[], "crates/calendar-sync/src", &clocks, "time is an argument of the engine");
}

#[test]
fn only_the_step_that_executes_calls_cronofy_and_only_accounts_get_tokens() {
    let calls = [".create_channel(", ".close_channel(", ".channels(token)", ".events(token", ".next_page(token"];
    let why = "only execute.rs performs the engine's steps";
    only(&["src/controller/subscription/execute.rs"], "src", &calls, why);
    let tokens = ["cronofy.refresh_token(", "cronofy.application_calendar("];
    only(
        &["src/controller/accounts.rs"],
        "src",
        &tokens,
        "a returned refresh token must be stored before it is needed",
    );
}

#[test]
fn only_the_status_step_and_the_mark_write_the_status_of_a_subscription() {
    only(
        &["src/controller/application.rs", "src/controller/subscription/status.rs", "src/webhook/mark.rs"],
        "src",
        &["patch_status(", "replace_status(", "patch_subresource("],
        "two writers would erase each other's fields",
    );
}

#[test]
fn spans_are_made_in_one_place_since_they_leave_the_cluster() {
    let making =
        ["span!(", "instrument(skip", "#[instrument", "tracing::instrument]", ".set_attribute(", ".add_event("];
    only(&["src/traces/mod.rs"], "src", &making, "what is exported is read over at one place");
}

#[test]
fn secrets_are_read_by_name_and_never_listed() {
    let listing = ["Api<Secret>> = Api::all", "watcher::<Secret>", "reflector::<Secret>"];
    only(&[], "src", &listing, "RBAC cannot limit a list to names");
    let rights = fs::read_to_string(root().join("charts/cronofy-operator/files/rbac.yaml")).unwrap();
    assert!(rights.contains("resources: [secrets]\n    verbs: [get, patch]\n"), "the rights on Secrets have grown");
}

#[test]
fn the_webhook_reads_no_calendar_and_the_store_knows_nothing_of_cronofy() {
    let reading = ["cronofy::Client", "EventsQuery", "crate::store", "crate::controller"];
    only(&[], "src/webhook", &reading, "the webhook verifies and marks");
    let cronofy = ["use cronofy::", "cronofy::Client", "crate::controller", "crate::webhook"];
    only(&[], "src/store", &cronofy, "a store takes snapshots, wherever they come from");
}

#[test]
fn files_stay_short_enough_to_be_read_in_one_sitting() {
    const LONG: usize = 600;
    for folder in ["src", "crates", "tests", "hack"] {
        for (name, text) in sources(folder) {
            let lines = text.lines().count();
            assert!(lines <= LONG, "{name} has {lines} lines: split it by what it is about");
        }
    }
}
