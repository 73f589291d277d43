//! What a person is told when the programs are not there.
#![allow(missing_docs, clippy::panic, clippy::unwrap_used)]

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;
use testenv::{Tool, Tools};

fn build_script() -> Command {
    Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../hack/tools/build.sh"))
}

fn errors(output: &Output) -> String {
    assert!(!output.status.success());
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// What the script needs, Go aside. Not every system has all of them.
const NEEDED: [&str; 15] = [
    "bash",
    "awk",
    "cat",
    "chmod",
    "cut",
    "dirname",
    "flock",
    "mkdir",
    "mv",
    "rm",
    "sha256sum",
    "shasum",
    "sleep",
    "tr",
    "uname",
];

/// A folder for `PATH` with what the script needs, but without Go.
fn path_without_go() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let search: Vec<PathBuf> = std::env::split_paths(&std::env::var_os("PATH").unwrap()).collect();
    for name in NEEDED {
        if let Some(program) = search.iter().map(|dir| dir.join(name)).find(|path| path.is_file()) {
            symlink(program, dir.path().join(name)).unwrap();
        }
    }
    dir
}

#[test]
fn a_folder_in_the_environment_that_lacks_a_program_is_named_with_the_remedy() {
    let empty = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_testenv"))
        .arg("up")
        .env("KUBEBUILDER_ASSETS", empty.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        // Standard input stays open until the program has ended.
        .map(|mut child| (child.stdin.take(), child.wait_with_output()))
        .map(|(_stdin, output)| output.unwrap())
        .unwrap();
    let errors = errors(&output);
    assert!(errors.contains(&format!("no etcd in {} (KUBEBUILDER_ASSETS)", empty.path().display())), "{errors}");
    assert!(errors.contains("hack/tools/build.sh"), "{errors}");
}

#[test]
fn a_build_without_go_names_what_to_install_or_to_set() {
    let (path, cache) = (path_without_go(), tempfile::tempdir().unwrap());
    let output = build_script()
        .arg("etcd")
        .env_remove("KUBEBUILDER_ASSETS")
        .env("PATH", path.path())
        .env("CRONOFY_OPERATOR_CACHE", cache.path())
        .output()
        .unwrap();
    let errors = errors(&output);
    assert!(errors.contains("etcd must be built, and go is not installed"), "{errors}");
    assert!(errors.contains("https://go.dev") && errors.contains("KUBEBUILDER_ASSETS"), "{errors}");
}

#[test]
fn what_is_built_is_found_without_go() {
    if std::env::var_os("KUBEBUILDER_ASSETS").is_some_and(|dir| !dir.is_empty()) {
        return; // Nothing is built then.
    }
    let built = Tools::find(&[Tool::Etcd]).unwrap().path(Tool::Etcd).unwrap();
    let path = path_without_go();
    let output = build_script().arg("etcd").env("PATH", path.path()).output().unwrap();
    let dir = String::from_utf8(output.stdout).unwrap();
    assert_eq!(Path::new(dir.trim_end()).join("etcd"), built);
}

#[test]
fn a_name_that_is_no_program_is_refused() {
    let output = build_script().arg("minikube").env_remove("KUBEBUILDER_ASSETS").output().unwrap();
    assert!(errors(&output).contains("no such program: minikube"));
}

/// Stands in for Go: notes that it ran, takes long enough for another caller to come by, and makes the program.
const SLOW_GO: &str = r#"#!/usr/bin/env bash
echo ran >>"$RUNS"
sleep 0.3
while [ "$1" != -o ]; do shift; done
echo program >"$2"
chmod +x "$2"
"#;

#[test]
fn of_two_callers_at_once_one_builds_and_both_find_the_result() {
    let (path, cache) = (path_without_go(), tempfile::tempdir().unwrap());
    if !path.path().join("flock").exists() {
        return; // Then both build, which is right as well.
    }
    let (go, runs) = (path.path().join("go"), cache.path().join("runs"));
    fs::write(&go, SLOW_GO).unwrap();
    fs::set_permissions(&go, fs::Permissions::from_mode(0o755)).unwrap();
    let start = || {
        build_script()
            .arg("etcd")
            .env_remove("KUBEBUILDER_ASSETS")
            .env("PATH", path.path())
            .env("CRONOFY_OPERATOR_CACHE", cache.path())
            .env("RUNS", &runs)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let outputs = [start(), start()].map(|child| child.wait_with_output().unwrap());
    for output in &outputs {
        let dir = String::from_utf8(output.stdout.clone()).unwrap();
        let built = Path::new(dir.trim_end()).join("etcd");
        assert_eq!(fs::read_to_string(&built).unwrap(), "program\n", "{output:?}");
        let files = fs::read_dir(dir.trim_end()).unwrap().map(|file| file.unwrap().file_name());
        assert!(!files.into_iter().any(|name| name.to_string_lossy().ends_with(".part")), "{output:?}");
    }
    assert_eq!(fs::read_to_string(&runs).unwrap(), "ran\n");
}
