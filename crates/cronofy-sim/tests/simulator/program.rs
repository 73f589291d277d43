//! The simulator as a program.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

/// The program, ended with the test.
struct Program(Child);

impl Program {
    /// Starts it; gives the line it prints.
    fn start(arguments: &[&str]) -> (Self, Value) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_cronofy-sim"))
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        (Self(child), serde_json::from_str(&line).unwrap())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

fn refused(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_cronofy-sim")).args(arguments).output().unwrap();
    assert!(!output.status.success());
    assert!(output.stdout.is_empty());
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test]
async fn it_prints_addresses_and_credentials_that_work_with_switches_and_faults() {
    let file = std::env::temp_dir().join(format!("cronofy-sim-{}.ics", std::process::id()));
    let calendar = "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nUID:a\r\nSUMMARY:Review\r\nDTSTART:20261201T090000Z\r\n\
                    RRULE:FREQ=DAILY;COUNT=3\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";
    std::fs::File::create(&file).unwrap().write_all(calendar.as_bytes()).unwrap();
    let path = file.to_str().unwrap();
    let (program, line) = Program::start(&[
        "--ics",
        path,
        "--now",
        "2026-11-25T12:00:00Z",
        "--set",
        "page_size=2",
        "--set",
        "rotation=stays",
        "--fault",
        "rate_limited=1",
        "--seed",
        "5",
    ]);
    std::fs::remove_file(&file).unwrap();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let text = |field: &str| line[field].as_str().unwrap().to_owned();
    let control = text("control");
    let schedule: Value = http.get(format!("{control}/schedule")).send().await.unwrap().json().await.unwrap();
    assert_eq!(schedule["schedule"], json!({ "seed": 5, "probabilities": { "rate_limited": 1.0 } }));
    let refresh = json!({
        "client_id": line["client_id"], "client_secret": line["client_secret"], "grant_type": "refresh_token",
        "refresh_token": line["refresh_token"],
    });
    let request = || http.post(format!("{}/oauth/token", text("api"))).json(&refresh).send();
    assert_eq!(request().await.unwrap().status(), 429);
    http.delete(format!("{control}/schedule")).send().await.unwrap();
    let tokens: Value = request().await.unwrap().json().await.unwrap();
    assert_eq!(tokens["refresh_token"], line["refresh_token"], "it stays");
    let read = http.get(format!("{}/v1/events?tzid=Etc%2FUTC", text("api")));
    let read: Value =
        read.bearer_auth(tokens["access_token"].as_str().unwrap()).send().await.unwrap().json().await.unwrap();
    assert_eq!((&read["pages"]["total"], &read["events"][0]["summary"]), (&json!(2), &json!("Review")));
    drop(program);
}

#[test]
fn what_is_wrong_on_the_command_line_is_said() {
    for (arguments, said) in [
        (["--set", "page_size=many"], "page_size: invalid type"),
        (["--set", "colour=blue"], "colour: there is no such switch"),
        (["--set", "page_size"], "write SWITCH=VALUE"),
        (["--fault", "boredom=0.1"], "unknown variant `boredom`"),
        (["--fault", "cut=often"], "\"often\" is not a number"),
        (["--fault", "cut=3"], "give a probability from 0 to 1"),
        (["--ics", "/nowhere/at.ics"], "/nowhere/at.ics"),
    ] {
        let error = refused(&arguments);
        assert!(error.contains(said), "{arguments:?}: {error}");
    }
}
