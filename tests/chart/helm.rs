//! The real helm.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Mutex;

use serde_json::Value;
use testenv::{Tool, Tools};

pub fn chart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/cronofy-operator")
}

/// Runs helm without a cluster.
pub fn helm(arguments: &[&str]) -> Output {
    helm_on(Path::new("/nonexistent"), arguments)
}

/// Runs helm against a cluster, with a home of its own, so that nobody's settings take part.
pub fn helm_on(kubeconfig: &Path, arguments: &[&str]) -> Output {
    run(Tool::Helm, kubeconfig, arguments)
}

/// Runs helm 3 without a cluster.
pub fn helm_3(arguments: &[&str]) -> Output {
    run(Tool::Helm3, Path::new("/nonexistent"), arguments)
}

fn run(version: Tool, kubeconfig: &Path, arguments: &[&str]) -> Output {
    let program = Tools::find(&[version]).unwrap().path(version).unwrap();
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(program);
    for variable in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
        command.env(variable, home.path());
    }
    command.env("KUBECONFIG", kubeconfig).args(arguments).output().unwrap()
}

/// What the chart becomes with these `--set` values, as a text: rendered once for all tests.
pub fn rendered(values: &[&str]) -> String {
    static RENDERED: Mutex<BTreeMap<Vec<String>, String>> = Mutex::new(BTreeMap::new());
    let key: Vec<_> = values.iter().map(ToString::to_string).collect();
    if let Some(text) = RENDERED.lock().unwrap().get(&key) {
        return text.clone();
    }
    let output = template(values);
    assert!(output.status.success(), "{values:?}: {}", said(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    RENDERED.lock().unwrap().insert(key, text.clone());
    text
}

pub fn template(values: &[&str]) -> Output {
    template_by(helm, values)
}

pub fn template_by(helm: impl Fn(&[&str]) -> Output, values: &[&str]) -> Output {
    let chart = chart();
    let mut arguments = vec!["template", "calendars", chart.to_str().unwrap(), "--namespace", "operators"];
    for value in values {
        arguments.extend(["--set-json", value]);
    }
    helm(&arguments)
}

/// The objects that the chart becomes.
pub fn objects(values: &[&str]) -> Vec<Value> {
    parsed(&rendered(values))
}

pub fn parsed(text: &str) -> Vec<Value> {
    let objects: Vec<Value> = serde_saphyr::from_multiple(text).unwrap();
    objects.into_iter().filter(|object| !object.is_null()).collect()
}

/// The notes that follow an installation.
pub fn notes(values: &[&str]) -> String {
    let chart = chart();
    let mut arguments = vec!["install", "calendars", chart.to_str().unwrap(), "--dry-run=client"];
    for value in values {
        arguments.extend(["--set-json", value]);
    }
    let output = helm(&arguments);
    assert!(output.status.success(), "{}", said(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    text.split_once("NOTES:").unwrap().1.to_owned()
}

pub fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| object["kind"] == kind).collect()
}

pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
