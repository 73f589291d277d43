//! `make demo` shows what it says, of the calendar that it is given, fails if it cannot, and cleans up all it started,
//! however it ends.
#![allow(missing_docs, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::Duration;

use jiff::{Timestamp, ToSpan as _};
use serde_json::json;

#[path = "../hack/demo/moved.rs"]
mod moved;

use moved::{Moved, choose, time};

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

/// The demo. Cargo builds it, and the operator, together with all tests.
fn demo() -> Command {
    let tests = std::env::current_exe().unwrap();
    let program = tests.parent().and_then(Path::parent).unwrap().join("examples/demo");
    assert!(program.is_file(), "built before, if need be by `cargo build --example demo`");
    let mut command = Command::new(program);
    command.stdin(Stdio::null());
    command
}

impl Demo {
    /// Starts it and reads on until it stays up.
    fn start() -> Self {
        let mut child = demo().stdout(Stdio::piped()).spawn().unwrap();
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

/// A file of one's own with one event, whose start and end these lines say.
fn file(folder: &Path, times: &str) -> PathBuf {
    let event = format!("BEGIN:VEVENT\nUID:dentist\nSUMMARY:Dentist\n{times}\nEND:VEVENT\n");
    let text = format!("BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:-//own//EN\n{event}END:VCALENDAR\n");
    let path = folder.join("own.ics");
    std::fs::write(&path, text.replace('\n', "\r\n")).unwrap();
    path
}

/// All that it says of this file, and how it ends.
fn once(file: &Path) -> (Output, String, String) {
    let output = demo().args(["--once", "--ics"]).arg(file).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let (said, complained) = (text(&output.stdout), text(&output.stderr));
    (output, said, complained)
}

#[test]
fn the_demo_of_your_own_calendar_moves_an_event_of_it_and_ends_well() {
    let folder = tempfile::tempdir().unwrap();
    let (start, end) = (Timestamp::now() + 48.hours(), Timestamp::now() + 49.hours());
    let utc = |time: Timestamp| time.strftime("%Y%m%dT%H%M00Z").to_string();
    let (output, said, complained) = once(&file(folder.path(), &format!("DTSTART:{}\nDTEND:{}", utc(start), utc(end))));
    assert!(output.status.success() && complained.is_empty(), "{complained}\n{said}");
    let moved = (start + 1.hour()).strftime("%Y-%m-%dT%H:%M:00Z").to_string();
    assert!(said.contains("with 1 events"), "{said}");
    assert!(said.contains("Moving \"Dentist\"") && said.contains(&format!("to {moved} in the calendar")), "{said}");
    let followed = said.split("The ConfigMap followed after").nth(1).unwrap_or_else(|| panic!("{said}"));
    assert!(followed.contains(&format!("\"start\":\"{moved}\"")) && followed.ends_with("\nDone.\n"), "{said}");
}

#[test]
fn a_calendar_of_yours_without_times_of_day_is_shown_and_nothing_in_it_is_moved() {
    let folder = tempfile::tempdir().unwrap();
    let day = |days: i64| (Timestamp::now() + (24 * days).hours()).strftime("%Y%m%d").to_string();
    let times = format!("DTSTART;VALUE=DATE:{}\nDTEND;VALUE=DATE:{}", day(3), day(4));
    let (output, said, complained) = once(&file(folder.path(), &times));
    assert!(output.status.success() && complained.is_empty(), "{complained}\n{said}");
    assert!(said.contains("\"summary\":\"Dentist\"") && said.contains("... 1 in all"), "{said}");
    assert!(said.contains("Your calendar has no event with a time of day") && !said.contains("Moving"), "{said}");
}

#[test]
fn the_demo_fails_at_what_it_cannot_read_and_names_it_with_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing.ics");
    let (output, said, complained) = once(&missing);
    assert_eq!((output.status.code(), said.as_str()), (Some(1), ""), "{complained}");
    let (missing, remedy) = (missing.display(), "name an iCalendar file by ICS or --ics");
    assert!(
        complained.contains(&format!("demo failed: {missing} cannot be read: {remedy}: No such file")),
        "{complained}"
    );

    let broken = folder.path().join("broken.ics");
    std::fs::write(&broken, "Dentist, on Monday").unwrap();
    let (output, said, complained) = once(&broken);
    assert_eq!(output.status.code(), Some(1), "{complained}\n{said}");
    let broken = broken.display();
    assert!(complained.contains(&format!("demo failed: {broken}: not an iCalendar file: ")), "{complained}");
    assert!(!said.contains("starting operator"), "{said}");
}

#[test]
fn the_demo_moves_what_lies_ahead_and_fails_where_its_own_calendar_has_nothing_to_move() {
    let now: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
    let event = |start: &str| json!({ "start": start, "allDay": !start.contains('T') });
    let [past, ahead, day] = ["2026-11-23T12:00:00Z", "2026-11-23T12:00:01Z", "2026-12-24"].map(event);
    let events = [past.clone(), day.clone(), ahead.clone()];
    for bundled in [true, false] {
        assert_eq!(choose(&events, now, bundled).unwrap(), Moved::Ahead(&ahead));
    }
    for (events, moved) in [(vec![day.clone(), past.clone()], Moved::Past(&past)), (vec![day], Moved::Nothing)] {
        assert_eq!(choose(&events, now, false).unwrap(), moved);
        let error = choose(&events, now, true).unwrap_err().to_string();
        assert!(error.contains("nothing to move: mend hack/demo/calendar.ics"), "{error}");
    }
    assert!(choose(&[], now, true).is_err());
    assert_eq!(time(&ahead["start"]), Some(now + 1.second()));
}
