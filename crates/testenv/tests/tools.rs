//! What a person is told when the programs are not there.
#![allow(missing_docs, clippy::panic, clippy::unwrap_used)]

use std::{
    os::unix::fs::symlink,
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

/// A folder for `PATH` with what the script needs, but without Go.
fn path_without_go() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let search: Vec<PathBuf> = std::env::split_paths(&std::env::var_os("PATH").unwrap()).collect();
    for name in ["bash", "awk", "cat", "cut", "dirname", "sha256sum", "shasum", "tr", "uname"] {
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
    let output = build_script().arg("kubelet").env_remove("KUBEBUILDER_ASSETS").output().unwrap();
    assert!(errors(&output).contains("no such program: kubelet"));
}
