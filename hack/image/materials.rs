//! The bill of materials: every crate that the binaries are linked from, in the form of `CycloneDX` 1.6.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use anyhow::{Context as _, ensure};
use serde::Deserialize;
use serde_json::{Value, json};

/// What cargo says of the workspace, as far as it is of interest.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<DependencyKind>,
}

#[derive(Deserialize)]
struct DependencyKind {
    /// `None` for what is linked, else `build` or `dev`.
    kind: Option<String>,
}

/// The bill for this commit, of the packages of these names and all that is linked into them.
pub fn cyclonedx(revision: &str, programs: &[&str]) -> anyhow::Result<String> {
    let Metadata { packages, resolve } = metadata()?;
    let packages: BTreeMap<&str, &Package> = packages.iter().map(|package| (package.id.as_str(), package)).collect();
    let nodes: BTreeMap<&str, &Node> = resolve.nodes.iter().map(|node| (node.id.as_str(), node)).collect();
    let named = |name: &str| {
        let package = packages.values().copied().find(|package| package.name == name);
        package.with_context(|| format!("cargo knows no package {name}"))
    };
    let operator = named(env!("CARGO_PKG_NAME"))?;
    let programs = programs.iter().map(|name| named(name)).collect::<anyhow::Result<Vec<_>>>()?;

    let mut linked: BTreeSet<&str> = BTreeSet::new();
    let mut open: Vec<&str> = programs.iter().map(|package| package.id.as_str()).collect();
    while let Some(id) = open.pop() {
        if linked.insert(id) {
            let node = nodes.get(id).context("cargo resolves each package")?;
            let is_linked = |dependency: &&Dependency| dependency.dep_kinds.iter().any(|kind| kind.kind.is_none());
            open.extend(node.deps.iter().filter(is_linked).map(|dependency| dependency.pkg.as_str()));
        }
    }
    let others = linked.iter().filter(|id| **id != operator.id).filter_map(|id| packages.get(id));
    let is_program = |package: &Package| programs.iter().any(|program| program.id == package.id);
    let component_of =
        |package: &&Package| component(if is_program(package) { "application" } else { "library" }, package);
    let bill = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": component("application", operator),
            "properties": [{ "name": "revision", "value": revision }],
        },
        "components": others.map(component_of).collect::<Vec<_>>(),
    });
    Ok(serde_json::to_string_pretty(&bill)? + "\n")
}

fn component(kind: &str, package: &Package) -> Value {
    let Package { name, version, license, .. } = package;
    let license = license.as_deref().unwrap_or("NOASSERTION").replace('/', " OR ");
    json!({
        "type": kind,
        "bom-ref": format!("{name}@{version}"),
        "name": name,
        "version": version,
        "purl": format!("pkg:cargo/{name}@{version}"),
        "licenses": [{ "expression": license }],
    })
}

fn metadata() -> anyhow::Result<Metadata> {
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--locked", "--format-version=1", "--filter-platform", &platform])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()?;
    ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}
