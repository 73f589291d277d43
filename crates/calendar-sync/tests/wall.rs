//! The engine is pure: what it may depend on, and what its code may not mention.
#![allow(missing_docs, clippy::unwrap_used)]

use std::fs;
use std::path::Path;

/// Data, dates, hashes, errors. Nothing here runs tasks, opens connections or reads a clock.
const ALLOWED: [&str; 6] = ["base64", "jiff", "serde", "serde_json", "sha2", "thiserror"];

/// Ways to the outside.
const OUTSIDE: [&str; 12] = [
    "Timestamp::now",
    "Zoned::now",
    "TimeZone::system",
    "SystemTime",
    "Instant::now",
    "std::env",
    "std::fs",
    "std::io",
    "std::net",
    "std::process",
    "std::thread",
    "async ",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_engine_depends_on_nothing_that_reaches_outside() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let mut table = "";
    let mut dependencies = Vec::new();
    for line in manifest.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if line.starts_with('[') {
            table = line;
            let plain = ["[package]", "[dependencies]", "[dev-dependencies]", "[lints]"];
            assert!(plain.contains(&table), "{table} may bring dependencies that this test does not see");
        } else if table == "[dependencies]" {
            dependencies.push(line.split(['.', ' ', '=']).next().unwrap());
        }
    }
    assert!(!dependencies.is_empty());
    let foreign: Vec<_> = dependencies.iter().filter(|name| !ALLOWED.contains(name)).collect();
    assert!(foreign.is_empty(), "{foreign:?}: the engine is told everything and does nothing itself");
}

#[test]
fn the_engine_is_told_the_time_and_looks_at_nothing_itself() {
    let mut files = 0;
    for entry in fs::read_dir(root().join("src")).unwrap() {
        let path = entry.unwrap().path();
        assert!(path.extension().is_some_and(|ending| ending == "rs"), "{} is not looked at here", path.display());
        let text = fs::read_to_string(&path).unwrap();
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
            let found = OUTSIDE.iter().find(|way| line.contains(*way));
            assert_eq!(found, None, "{}:{}", path.display(), number + 1);
        }
        files += 1;
    }
    assert!(files > 10);
}
