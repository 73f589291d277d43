//! The alerts by Prometheus' own rule engine: `alerts/` has a file of unit tests for each, which promtool runs on the rules as
//! the chart renders them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use cronofy_operator::metrics::Metrics;
use serde_json::Value;
use testenv::{Tool, Tools};

use crate::helm::{objects, of_kind};

/// The alerts as they are rendered for the release that the tests speak of.
pub fn groups() -> Value {
    let objects = objects(&["metrics.prometheusRule.enabled=true", "store.enabled=true", "replicas=1"]);
    serde_json::json!({ "groups": of_kind(&objects, "PrometheusRule")[0]["spec"]["groups"] })
}

/// Of these groups what holds this alert and no other.
fn only(mut groups: Value, alert: &str) -> Value {
    let all = groups["groups"].as_array_mut().unwrap();
    for group in &mut *all {
        group["rules"].as_array_mut().unwrap().retain(|rule| rule["alert"] == alert);
    }
    all.retain(|group| group["rules"] != serde_json::json!([]));
    groups
}

fn names(groups: &Value) -> Vec<String> {
    let rules = groups["groups"].as_array().unwrap().iter().flat_map(|group| group["rules"].as_array().unwrap());
    let mut names: Vec<_> = rules.map(|rule| rule["alert"].as_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

/// The files of unit tests, in the order of their names.
fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/chart/alerts");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn name(file: &Path) -> &str {
    file.file_stem().unwrap().to_str().unwrap()
}

fn promtool(folder: &Path, arguments: &[&str]) -> (bool, String) {
    let program = Tools::find(&[Tool::Promtool]).unwrap().path(Tool::Promtool).unwrap();
    let output = Command::new(program).current_dir(folder).args(arguments).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

#[test]
fn the_rule_engine_takes_the_rules_and_each_fires_and_ends_as_its_unit_tests_say() {
    let folder = tempfile::tempdir().unwrap();
    let groups = groups();
    fs::write(folder.path().join("rules.yaml"), groups.to_string()).unwrap();
    let (taken, said) = promtool(folder.path(), &["check", "rules", "--lint=all", "--lint-fatal", "rules.yaml"]);
    assert!(taken && said.contains(&format!("{} rules found", files().len())), "{said}");

    // Each beside its own rule alone: the engine evaluates all that it is given, every minute.
    for file in files() {
        let own = folder.path().join(name(&file));
        fs::create_dir(&own).unwrap();
        fs::write(own.join("rules.yaml"), only(groups.clone(), name(&file)).to_string()).unwrap();
        fs::copy(&file, own.join("test.yaml")).unwrap();
    }
    let tests: Vec<String> = files().iter().map(|file| format!("{}/test.yaml", name(file))).collect();
    let arguments: Vec<&str> = ["test", "rules"].into_iter().chain(tests.iter().map(String::as_str)).collect();
    let (passed, said) = promtool(folder.path(), &arguments);
    assert!(passed, "{said}");
}

#[test]
fn each_alert_has_unit_tests_in_which_it_fires_and_does_not_and_a_runbook() {
    let alerts = names(&groups());
    assert_eq!(alerts, files().iter().map(|file| name(file).to_owned()).collect::<Vec<_>>());
    for file in files() {
        let tests: Value = serde_saphyr::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        let checks =
            tests["tests"].as_array().unwrap().iter().flat_map(|test| test["alert_rule_test"].as_array().unwrap());
        let (mut fires, mut rests) = (0, 0);
        for check in checks {
            assert_eq!(check["alertname"], name(&file));
            match check["exp_alerts"].as_array().unwrap().as_slice() {
                [] => rests += 1,
                expected => {
                    fires += 1;
                    for alert in expected {
                        let url = alert["exp_annotations"]["runbook_url"].as_str().unwrap();
                        assert!(url.ends_with(&format!("/docs/runbooks/{}.md", name(&file))), "{url}");
                        assert!(alert["exp_labels"]["severity"].is_string());
                    }
                }
            }
        }
        assert!(fires > 0 && rests > 2, "{}: {fires} {rests}", file.display());
        let runbook = format!("docs/runbooks/{}.md", name(&file));
        assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(&runbook).exists(), "{runbook}");
    }
}

/// A unit test on series that nobody serves would prove nothing.
#[test]
fn the_series_of_the_unit_tests_are_ones_that_the_operator_serves() {
    let served = Metrics::new().encode();
    let (mut checked, mut foreign, mut of_store) = (0, 0, 0);
    for file in files() {
        let tests: Value = serde_saphyr::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        let inputs =
            tests["tests"].as_array().unwrap().iter().flat_map(|test| test["input_series"].as_array().unwrap());
        for input in inputs {
            let (metric, labels) = input["series"].as_str().unwrap().split_once('{').unwrap();
            let labels: Vec<&str> = labels.trim_end_matches('}').split(", ").collect();
            // Held against a store that runs by the tests of its binary.
            if metric.starts_with("calendar_store_") {
                of_store += 1;
                continue;
            }
            if !labels.contains(&r#"namespace="operators""#)
                || !labels[1].starts_with(r#"pod="calendars-cronofy-operator-"#)
            {
                foreign += 1;
                continue;
            }
            let mut lines = served.lines().filter(|line| line.split(['{', ' ']).next() == Some(metric));
            assert!(
                lines.any(|line| labels[2..].iter().all(|label| line.contains(label))),
                "{}: {input}",
                file.display()
            );
            checked += 1;
        }
    }
    assert!(checked > 100 && foreign == 1 && of_store > 5, "{checked} {foreign} {of_store}");
}
