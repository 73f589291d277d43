//! `make demo` cleans up all it started, however it ends.
#![allow(missing_docs, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_mins(1);

/// The demo, staying up.
struct Demo {
    child: Child,
    /// Open as long as it runs, since it goes on to write.
    _output: BufReader<ChildStdout>,
    /// Of the operator.
    webhook: String,
    folder: PathBuf,
}

impl Demo {
    /// Starts it and reads on until it stays up. Cargo builds it, and the operator, together with all tests.
    fn start() -> Self {
        let tests = std::env::current_exe().unwrap();
        let program = tests.parent().and_then(Path::parent).unwrap().join("examples/demo");
        let mut command = Command::new(program);
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut child = child.expect("built before, if need be by `cargo build --example demo`");
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut said = String::new();
        while !said.contains("The simulated Cronofy API is at") && output.read_line(&mut said).unwrap() > 0 {}
        let after = |words: &str| {
            let rest = said.split(words).nth(1).unwrap_or_else(|| panic!("the demo does not say {words:?}:\n{said}"));
            rest.split([',', '\n']).next().unwrap().to_owned()
        };
        let folder = PathBuf::from(after("KUBECONFIG=")).parent().unwrap().to_owned();
        Self { child, _output: output, webhook: after("webhook at http://"), folder }
    }
}

#[tokio::test]
async fn the_demo_leaves_nothing_behind_whether_it_is_told_to_end_or_killed() {
    for signal in ["TERM", "KILL"] {
        let Demo { mut child, _output, webhook, folder } = Demo::start();
        assert!(folder.exists() && TcpStream::connect(&webhook).is_ok());
        assert!(
            Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status().unwrap().success()
        );
        assert_eq!(child.wait().unwrap().success(), signal == "TERM", "SIG{signal}");
        let gone = testenv::eventually("all that the demo started is gone", PATIENCE, || {
            let gone = !folder.exists() && TcpStream::connect(&webhook).is_err();
            async move { gone.then_some(()) }
        });
        gone.await.unwrap_or_else(|_| panic!("after SIG{signal} something is left of {webhook}, {}", folder.display()));
    }
}
