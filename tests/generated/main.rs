//! Files that are made from the code stay as the code says. `make crds` writes them anew.
#![allow(missing_docs, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod named;
mod reference;

use std::path::Path;
use std::{env, fs};

use cronofy_operator::crds;

/// Compares a file with what it is to be, or writes it if `UPDATE` is set.
fn check(path: &str, wanted: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if env::var_os("UPDATE").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, wanted).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(found == wanted, "{} is not what the code says: run `make crds`", path.display());
}

#[test]
fn the_definitions_are_as_the_types_say() {
    let files = crds::files().unwrap();
    for (name, text) in &files {
        check(&format!("crds/{name}"), text);
    }
    let folder = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("crds")).unwrap();
    assert_eq!(folder.count(), files.len(), "crds/ holds a file that no kind is the source of: remove it");
}

#[test]
fn the_reference_is_as_the_definitions_say() {
    check("docs/reference/api.md", &reference::page());
}
