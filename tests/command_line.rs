//! The command line: what is wrong is said in one line, with the exit code that tells whose turn it is.
#![allow(missing_docs, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

use std::process::{Command, Output, Stdio};

fn operator(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cronofy-operator"));
    command.args(arguments).env_clear().env("KUBECONFIG", "/nonexistent/kubeconfig").stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> Output {
    operator(&[&["run"], arguments].concat()).output().unwrap()
}

#[test]
fn flags_that_cannot_work_are_named_with_the_remedy_and_end_it_as_wrong_usage() {
    let long = format!("https://calendars.example.org/{}", "x".repeat(100));
    let table: [(&[&str], &str); 19] = [
        (&["--webhook-base-url=calendars.example.org"], "--webhook-base-url"),
        (&["--webhook-base-url=http://calendars.example.org"], "--webhook-base-url must begin with https://"),
        (&["--webhook-base-url=ftp://calendars.example.org", "--allow-http-callback"], "--webhook-base-url must begin"),
        (&["--webhook-base-url=https://ana:secret@example.org"], "remove its user name or password"),
        (&["--webhook-base-url=https://example.org?a=b"], "remove its query"),
        (&["--webhook-base-url", &long], "characters too long"),
        (&["--webhook-listen=8080"], "--webhook-listen"),
        (&["--webhook-tls-cert=/tls.crt"], "--webhook-tls-cert needs --webhook-tls-key: give both files, or neither"),
        (&["--webhook-tls-key=/tls.key"], "--webhook-tls-key needs --webhook-tls-cert"),
        (&["--namespace="], "must be the name of a namespace"),
        (&["--namespace=one,../two"], "must be the name of a namespace"),
        (&["--lease-namespace=-"], "must be the name of a namespace"),
        (&["--lease-duration=5"], "--lease-duration must be greater than --lease-renew-deadline"),
        (&["--concurrency=0"], "--concurrency"),
        (&["--otlp-endpoint=collector:4318"], "--otlp-endpoint must be an http or https URL"),
        (&["--otlp-endpoint=https://ana:secret@example.org"], "goes into OTEL_EXPORTER_OTLP_HEADERS"),
        (&["--trace-sample-ratio=2"], "must be a number from 0 to 1"),
        (&["--trace-sample-ratio=NaN"], "must be a number from 0 to 1"),
        (&["--log-format=yaml"], "`json` or `text`"),
    ];
    for (arguments, said) in table {
        let output = run(arguments);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {text}");
        assert!(text.lines().next().unwrap().contains(said), "{arguments:?}: {text}");
        assert!(!text.contains("secret"), "{text}");
    }
}

#[test]
fn what_goes_wrong_later_is_one_line_of_the_log() {
    let output = run(&[]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    let line: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(line["error"].as_str().unwrap().contains("set KUBECONFIG, or run inside a cluster"), "{text}");
}

#[test]
fn the_definitions_that_are_printed_are_those_in_the_files() {
    let output = operator(&["crds"]).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let printed = String::from_utf8(output.stdout).unwrap();
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("crds");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort_unstable();
    // Each begins with a line that tells where it comes from.
    let file = |path| std::fs::read_to_string(path).unwrap().split_once('\n').unwrap().1.to_owned();
    let files: Vec<String> = files.into_iter().map(file).collect();
    assert_eq!(printed.split("---\n").collect::<Vec<_>>(), files);
}

#[test]
fn who_stops_reading_what_is_printed_is_no_trouble() {
    for arguments in [["crds"], ["version"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = operator(&arguments).stdout(writer).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{arguments:?}: {output:?}");
    }
    let output = operator(&["version"]).output().unwrap();
    assert_eq!(output.stdout, concat!("cronofy-operator ", env!("CARGO_PKG_VERSION"), "\n").as_bytes());
}
