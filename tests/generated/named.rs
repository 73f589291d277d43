//! What the documents name exists: files, flags, targets of make, metrics, annotations.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use clap::CommandFactory as _;
use cronofy_operator::cli::Cli;
use cronofy_operator::metrics::Metrics;

use crate::root;

/// Flags of other programs that the documents name; of the simulator, too.
const FLAGS_OF_OTHERS: [&str; 34] = [
    "--all",
    "--as",
    "--bench",
    "--clusterrole",
    "--container",
    "--create-namespace",
    "--fail",
    "--fail-with-body",
    "--fault",
    "--header",
    "--ics",
    "--locked",
    "--max-time",
    "--namespace",
    "--no-buffer",
    "--nocapture",
    "--nodes",
    "--oauth",
    "--overwrite",
    "--previous",
    "--reuse-values",
    "--seed",
    "--server-side",
    "--serviceaccount",
    "--set",
    "--show-error",
    "--silent",
    "--speed-limit",
    "--speed-time",
    "--test",
    "--validate",
    "--wait",
    "--watch",
    "--workspace",
];

/// The documents for people, by path.
fn documents() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "md") {
                found.push(path);
            }
        }
    }
    found.extend(["README.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(|name| root().join(name)));
    found.extend(
        ["calendar-reader", "cronofy", "cronofy-sim"].map(|name| root().join("crates").join(name).join("README.md")),
    );
    found.into_iter().map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

/// The words of a text that begin with `start` and go on with these characters.
fn words<'a>(text: &'a str, start: &str, goes_on: impl Fn(char) -> bool) -> BTreeSet<&'a str> {
    let begins = text.match_indices(start).filter(|(at, _)| {
        let before = text[..*at].chars().next_back();
        before.is_none_or(|character| !character.is_alphanumeric() && !matches!(character, '-' | '_' | '/' | '.'))
    });
    let whole = begins.map(|(at, _)| {
        let rest = &text[at..];
        let end =
            rest[start.len()..].find(|character: char| !goes_on(character)).map_or(rest.len(), |end| end + start.len());
        &rest[..end]
    });
    whole.collect()
}

#[test]
fn every_link_to_a_file_leads_to_one() {
    let mut links = 0;
    for (path, text) in documents() {
        for (at, _) in text.match_indices("](") {
            // A pattern in code is none.
            let line = text[..at].rsplit('\n').next().unwrap();
            if line.matches('`').count() % 2 == 1 {
                continue;
            }
            let target = text[at + 2..].split(')').next().unwrap();
            if target.contains("://") || target.starts_with('#') {
                continue;
            }
            let file = target.split('#').next().unwrap();
            assert!(path.parent().unwrap().join(file).exists(), "{} links to {target}", path.display());
            links += 1;
        }
    }
    assert!(links > 5, "{links}");
}

#[test]
fn every_flag_exists() {
    let commands = [Cli::command(), calendar_store::cli::Cli::command()];
    let own: BTreeSet<String> = commands
        .iter()
        .flat_map(|command| std::iter::once(command).chain(command.get_subcommands()))
        .flat_map(clap::Command::get_arguments)
        .filter_map(|argument| Some(format!("--{}", argument.get_long()?)))
        .chain(["--help".to_owned(), "--version".to_owned()])
        .collect();
    for (path, text) in documents() {
        for flag in words(&text, "--", |character| character.is_ascii_lowercase() || character == '-') {
            let known = flag.trim_matches('-').is_empty() || own.contains(flag) || FLAGS_OF_OTHERS.contains(&flag);
            assert!(known, "{} names {flag}", path.display());
        }
    }
}

#[test]
fn every_target_of_make_exists() {
    let makefile = fs::read_to_string(root().join("Makefile")).unwrap();
    for (path, text) in documents() {
        for target in words(&text, "make ", |character| {
            character.is_ascii_lowercase() || character.is_ascii_digit() || character == '-'
        }) {
            let name = target.trim_start_matches("make ");
            // Only where it is typed, not where it is a word of a sentence.
            let typed = text.contains(&format!("`{target}")) || text.contains(&format!("\n{target}"));
            assert!(!typed || makefile.contains(&format!("\n{name}:")), "{} names {target}", path.display());
        }
    }
}

#[test]
fn every_metric_exists() {
    let exposition = Metrics::new().encode();
    for (path, text) in documents() {
        for name in words(&text, "cronofy_operator_", |character| character.is_ascii_alphanumeric() || character == '_')
        {
            assert!(exposition.contains(name), "{} names {name}", path.display());
        }
    }
}

#[test]
fn every_path_of_the_architecture_exists() {
    let text = fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    for start in ["src/", "crates/"] {
        for path in words(&text, start, |character| character.is_ascii_alphanumeric() || "/_-.".contains(character)) {
            let path = path.trim_end_matches('.');
            assert!(root().join(path).exists(), "docs/architecture.md names {path}");
        }
    }
}
