//! Files that are made from the code stay as the code says. `make crds` writes them anew.
#![allow(missing_docs, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod named;
mod reference;
mod rights;
mod values;

use std::path::Path;
use std::{env, fs};

use cronofy_operator::crds;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Compares a file with what it is to be, or writes it if `UPDATE` is set.
fn check(path: &str, wanted: &str) {
    let path = root().join(path);
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
    for folder in ["crds", "charts/cronofy-operator/files/crds"] {
        for (name, text) in &files {
            check(&format!("{folder}/{name}"), text);
        }
        let found = fs::read_dir(root().join(folder)).unwrap();
        assert_eq!(found.count(), files.len(), "{folder} holds a file that no kind is the source of: remove it");
    }
}

#[test]
fn the_reference_is_as_the_definitions_say() {
    check("docs/reference/api.md", &reference::page());
}

#[test]
fn the_page_of_rights_is_as_the_chart_gives_them() {
    check("docs/reference/rights.md", &rights::page());
}

#[test]
fn the_table_of_values_is_as_the_values_are() {
    check("charts/cronofy-operator/README.md", &values::readme());
}
