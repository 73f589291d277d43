//! What a running operator serves at `/metrics`, read by Prometheus' own parsers and rule engine.

mod alerts;
mod dashboard;
mod objects;
mod parsers;
mod picture;
mod replicas;

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use testenv::{Tool, Tools};

/// Runs a program on this input; gives whether it succeeded, what it printed, and what it complained of.
fn piped(tool: Tool, arguments: &[&str], input: &str) -> (bool, String, String) {
    piped_in(Path::new("."), tool, arguments, input)
}

/// The same in a folder.
fn piped_in(folder: &Path, tool: Tool, arguments: &[&str], input: &str) -> (bool, String, String) {
    let program = Tools::find(&[tool]).unwrap().path(tool).unwrap();
    let mut command = Command::new(program);
    command.current_dir(folder).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let (mut stdin, input) = (child.stdin.take().unwrap(), input.to_owned());
    // Beside the reading of what it prints: neither pipe may fill up.
    let fed = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    let _ended_before_all_was_read = fed.join().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.success(), text(output.stdout), text(output.stderr))
}
