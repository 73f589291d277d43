//! Nothing is left behind, whatever ends the process that started a control plane.
#![allow(missing_docs, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

use std::{
    io::{BufRead, BufReader},
    net::TcpStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
use testenv::{ControlPlane, Options};

const LIMIT: Duration = Duration::from_secs(30);

/// A `testenv up` and what it said about itself.
struct Up {
    child: Child,
    dir: PathBuf,
    address: String,
    pids: Vec<u32>,
}

impl Up {
    fn start() -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_testenv"))
            .arg("up")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let up: Value = serde_json::from_str(&line).unwrap();
        Self {
            child,
            dir: up["directory"].as_str().unwrap().into(),
            address: up["server"].as_str().unwrap().trim_start_matches("https://").into(),
            pids: up["pids"]
                .as_object()
                .unwrap()
                .values()
                .map(|pid| pid.as_u64().unwrap().try_into().unwrap())
                .collect(),
        }
    }

    fn assert_runs(&self) {
        assert_eq!(self.pids.len(), 2);
        assert!(self.pids.iter().all(|pid| runs(*pid)));
        assert!(TcpStream::connect(&self.address).is_ok());
        assert!(self.dir.join("kubeconfig").exists());
    }

    fn assert_leaves_nothing(&self) {
        wait_until("the servers are gone", || !self.pids.iter().any(|pid| runs(*pid)));
        wait_until("the folder is gone", || !self.dir.exists());
        assert!(TcpStream::connect(&self.address).is_err());
    }
}

/// Whether this pid is a process that has not ended. One that nobody has collected yet has ended.
fn runs(pid: u32) -> bool {
    let output = Command::new("ps").args(["-o", "stat=", "-p", &pid.to_string()]).output().unwrap();
    let state = String::from_utf8_lossy(&output.stdout);
    !state.trim().is_empty() && !state.starts_with('Z')
}

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {LIMIT:?}: {what}");
        std::thread::sleep(Duration::from_millis(25));
    }
}

fn signal(signal: &str, pid: u32) {
    let kill = Command::new("sh").args(["-c", "kill \"-$1\" \"$2\"", "kill", signal, &pid.to_string()]).status();
    assert!(kill.unwrap().success());
}

#[test]
fn a_process_killed_with_sigkill_leaves_nothing() {
    let mut up = Up::start();
    up.assert_runs();
    up.child.kill().unwrap();
    up.child.wait().unwrap();
    up.assert_leaves_nothing();
}

// Not a stronger form of the test above: a stopped process that loses its parent gets a SIGHUP from the kernel.
#[test]
fn a_process_killed_while_its_servers_are_paused_leaves_nothing() {
    let mut up = Up::start();
    for pid in &up.pids {
        signal("STOP", *pid);
    }
    up.child.kill().unwrap();
    up.child.wait().unwrap();
    up.assert_leaves_nothing();
}

#[test]
fn the_program_ends_well_with_its_input_or_on_sigterm() {
    let mut up = Up::start();
    up.assert_runs();
    drop(up.child.stdin.take());
    assert!(up.child.wait().unwrap().success());
    up.assert_leaves_nothing();

    let mut up = Up::start();
    signal("TERM", up.child.id());
    assert!(up.child.wait().unwrap().success());
    up.assert_leaves_nothing();
}

#[tokio::test]
async fn dropping_it_returns_when_the_servers_and_the_folder_are_gone() {
    let control_plane = ControlPlane::start(Options::default()).await.unwrap();
    let (dir, pids) = (control_plane.dir().to_owned(), control_plane.pids());
    assert!(dir.exists() && pids.iter().all(|(_, pid)| runs(*pid)));
    drop(control_plane);
    assert!(!dir.exists());
    assert!(!pids.iter().any(|(_, pid)| runs(*pid)));
}

#[tokio::test]
async fn a_server_that_does_not_start_is_named_with_the_end_of_its_log() {
    let options = Options { apiserver_arguments: vec!["--no-such-flag".into()], ..Options::default() };
    let error = ControlPlane::start(options).await.unwrap_err().to_string();
    assert!(error.starts_with("kube-apiserver ended (exit status: 1)"), "{error}");
    assert!(error.contains("unknown flag: --no-such-flag"), "{error}");
}
