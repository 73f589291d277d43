//! Of a cluster nothing is left behind, also if the process that started it is killed. Needs root on Linux: `make e2e`.
#![allow(missing_docs, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(60);

/// A `testenv cluster` and what it said about itself.
struct Cluster {
    child: Child,
    dir: PathBuf,
    bridge: String,
}

impl Cluster {
    fn start() -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_testenv"))
            .args(["cluster", "--nodes", "1"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let said: Value = serde_json::from_str(&line).unwrap();
        let network = said["host"].as_str().unwrap().split('.').nth(2).unwrap().to_owned();
        Self { child, dir: said["directory"].as_str().unwrap().into(), bridge: format!("testenv{network}") }
    }

    /// What it has made on the host.
    fn traces(&self) -> BTreeSet<String> {
        let name = self.dir.file_name().unwrap().to_str().unwrap();
        let mut traces = BTreeSet::new();
        if self.dir.exists() {
            traces.insert("the folder".to_owned());
        }
        for controller in fs::read_dir("/sys/fs/cgroup").unwrap().filter_map(|entry| Some(entry.ok()?.path())) {
            if controller.join(name).exists() {
                traces.insert(format!("the group {}", controller.join(name).display()));
            }
        }
        for entry in fs::read_dir("/sys/class/net").unwrap() {
            let link = entry.unwrap().file_name().into_string().unwrap();
            if link == self.bridge || link.starts_with(&format!("{}m", self.bridge)) {
                traces.insert(format!("the link {link}"));
            }
        }
        let routes = fs::read_to_string("/proc/net/route").unwrap();
        if routes.lines().any(|line| line.split_whitespace().next() == Some(self.bridge.as_str())) {
            traces.insert("a route".to_owned());
        }
        for folder in fs::read_dir("/proc").unwrap().filter_map(|entry| Some(entry.ok()?.path())) {
            if fs::read_link(folder.join("cwd")).is_ok_and(|cwd| cwd.starts_with(&self.dir)) {
                traces.insert(format!("process {}", folder.display()));
            }
        }
        traces
    }

    fn assert_leaves_nothing(&self) {
        let deadline = Instant::now() + LIMIT;
        loop {
            let traces = self.traces();
            if traces.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "left behind: {traces:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// What is set for the whole machine.
fn settings() -> Vec<String> {
    ["vm/overcommit_memory", "kernel/panic", "kernel/panic_on_oops", "net/ipv4/ip_forward"]
        .map(|name| fs::read_to_string(Path::new("/proc/sys").join(name)).unwrap())
        .to_vec()
}

#[test]
fn nothing_is_left_of_a_cluster_whether_it_is_ended_or_killed() {
    let before = settings();
    let mut ended = Cluster::start();
    assert!(ended.traces().len() > 4, "the test sees what there is: {:?}", ended.traces());
    assert_eq!(settings(), before, "nothing is set for the whole machine");
    drop(ended.child.stdin.take());
    assert!(ended.child.wait().unwrap().success());
    ended.assert_leaves_nothing();

    let mut killed = Cluster::start();
    killed.child.kill().unwrap();
    killed.child.wait().unwrap();
    killed.assert_leaves_nothing();
    assert_eq!(settings(), before);
}
