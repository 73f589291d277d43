//! The programs of `examples/read`, run as they stand there, with the rights and the token of its pod.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::civil::Date;
use jiff::{Timestamp, ToSpan as _};
use serde_json::{Value, json};
use testenv::eventually;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use super::{Stage, file, text};
use crate::support::{shared, token};

const POD: &str = "examples/read/pod.yaml";
/// Far from UTC, so that a day of the wrong zone is another day.
const ZONE: &str = "Pacific/Auckland";
/// Events that need more than one page.
const MANY: usize = 150;
const PATIENCE: Duration = Duration::from_secs(60);

/// The five, by their endings. Cargo builds its own together with all tests, and alone by `cargo build --package calendar-store --example today`.
const TODAY: [&str; 5] = ["today.sh", "today.py", "today.go", "today.mjs", "today.rs"];
const FOLLOW: [&str; 3] = ["follow.sh", "follow.py", "follow.mjs"];

fn command(program: &str) -> Command {
    let path = file("examples/read").join(program);
    let (name, arguments): (OsString, Vec<OsString>) = match program.rsplit('.').next().unwrap() {
        "sh" => ("sh".into(), vec![path.into()]),
        "py" => ("python3".into(), vec![path.into()]),
        "mjs" => ("node".into(), vec![path.into()]),
        "go" => ("go".into(), vec!["run".into(), path.into()]),
        "rs" => {
            let tests = std::env::current_exe().unwrap();
            (tests.parent().unwrap().parent().unwrap().join("examples/today").into(), Vec::new())
        }
        other => panic!("{other}"),
    };
    let mut command = Command::new(name);
    command.args(arguments).stdin(Stdio::null());
    // What this machine says of authorities and proxies is not what the pod says.
    for name in [
        "CURL_CA_BUNDLE",
        "SSL_CERT_DIR",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "http_proxy",
        "https_proxy",
        "all_proxy",
    ] {
        command.env_remove(name);
    }
    command
}

/// A stage with the objects of the pod, its token in a file, and its environment.
struct Pod {
    stage: Stage,
    account: String,
    audience: String,
}

impl Pod {
    async fn start() -> Self {
        let stage = Stage::start().await;
        let plane = shared().await;
        let path = file(POD);
        let arguments = ["apply", "--server-side", "--validate=strict", "-n", &stage.setting.namespace, "-f"];
        let applied = plane.kubectl(arguments.into_iter().chain([path.to_str().unwrap()])).await.unwrap();
        assert!(applied.status.success(), "{}", applied.stderr);
        let arguments = ["get", "pod", "on-call-today", "-o", "json", "-n", &stage.setting.namespace];
        let shown = plane.kubectl(arguments).await.unwrap();
        let pod: Value = serde_json::from_str(&shown.stdout).unwrap();
        let source = &pod["spec"]["volumes"][0]["projected"]["sources"][0]["serviceAccountToken"];
        assert_eq!(source["path"], "token");
        let word = |value: &Value| value.as_str().unwrap().to_owned();
        let mount = &pod["spec"]["containers"][0]["volumeMounts"][0];
        for program in TODAY.iter().chain(&FOLLOW) {
            let mounted = format!("{}/token", word(&mount["mountPath"]));
            assert!(text(&format!("examples/read/{program}")).contains(&mounted), "{program} reads {mounted}");
        }
        Self { account: word(&pod["spec"]["serviceAccountName"]), audience: word(&source["audience"]), stage }
    }

    async fn token(&self) -> String {
        token(shared().await, &self.stage.setting.namespace, &self.account, &[&self.audience]).await
    }

    fn token_file(&self) -> PathBuf {
        self.stage.setting.folder.path().join("token")
    }

    fn command(&self, program: &str) -> Command {
        let mut command = command(program);
        command.env("CALENDAR", self.stage.of("on-call")).env("TIME_ZONE", ZONE);
        command.env("TOKEN_FILE", self.token_file());
        command.env("SSL_CERT_FILE", self.stage.ca()).env("NODE_EXTRA_CA_CERTS", self.stage.ca());
        command
    }
}

fn today() -> Date {
    Timestamp::now().in_tz(ZONE).unwrap().date()
}

/// Events of a day in the zone, its first and its last minute among them; of tomorrow and yesterday the same.
fn events(day: Date) -> Vec<Value> {
    let at = |hour: i8, minute: i8| day.at(hour, minute, 0, 0).in_tz(ZONE).unwrap().timestamp();
    let event = |number: usize, start: Timestamp, summary: Option<&str>| {
        let mut event = json!({
            "id": format!("{day}-{number}"), "calendarId": "cal_1", "allDay": false,
            "start": start, "end": start + 1.minute(),
        });
        if let Some(summary) = summary {
            event["summary"] = summary.into();
        }
        event
    };
    let mut events = vec![
        event(1, at(0, 0), Some("first, \"quoted\" – über 😀")),
        event(2, at(23, 59), None),
        json!({
            "id": format!("{day}-3"), "calendarId": "cal_1", "allDay": true, "summary": "all day",
            "start": day, "end": day.tomorrow().unwrap(),
        }),
    ];
    events.extend((0..MANY).map(|number| event(10 + number, at(12, 0), Some(&format!("number {number}")))));
    events
}

/// What a program is to print of a day: start and title, in order of start.
fn lines(day: Date) -> Vec<String> {
    let written = |event: &Value| {
        let start = event["start"].as_str().unwrap();
        let start = match start.parse::<Timestamp>() {
            Ok(start) => {
                let zone = jiff::tz::TimeZone::get(ZONE).unwrap();
                start.display_with_offset(zone.to_offset(start)).to_string()
            }
            Err(_) => start.to_owned(),
        };
        format!("{start}\t{}", event["summary"].as_str().unwrap_or("Busy"))
    };
    let mut lines: Vec<String> = events(day).iter().map(written).collect();
    lines.sort();
    lines
}

fn printed(program: &str, output: &Output) -> Vec<String> {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {said}");
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let mut lines: Vec<String> = if program == "today.sh" {
        let page: Value = serde_json::from_str(&text).unwrap();
        assert!(page.get("next").is_none());
        let line = |event: &Value| {
            format!("{}\t{}", event["start"].as_str().unwrap(), event["summary"].as_str().unwrap_or("Busy"))
        };
        page["items"].as_array().unwrap().iter().map(line).collect()
    } else {
        text.lines().map(str::to_owned).collect()
    };
    lines.sort();
    lines
}

async fn run(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

#[tokio::test]
async fn each_program_prints_the_events_of_its_day_from_the_pod_of_the_example() {
    let pod = Pod::start().await;
    let around = -2..=3;
    let all: Vec<Value> = around.flat_map(|days| events(today() + days.days())).collect();
    pod.stage.put(&all).await;
    for program in TODAY {
        std::fs::write(pod.token_file(), "of yesterday").unwrap();
        let refused = run(pod.command(program)).await;
        let said = String::from_utf8([refused.stderr, refused.stdout].concat()).unwrap();
        assert!(!refused.status.success() && said.contains("request a new one"), "{program} says why: {said}");

        std::fs::write(pod.token_file(), pod.token().await + "\n").unwrap();
        // It may begin on one day and end on the next.
        let before = today();
        let output = run(pod.command(program)).await;
        let printed = printed(program, &output);
        assert!([before, today()].iter().any(|day| printed == lines(*day)), "{program}: {printed:#?}");
        println!("{program} printed {} events", printed.len());

        let mut stranger = pod.command(program);
        let nothing = pod.stage.setting.folder.path().join("nothing.crt");
        std::fs::write(&nothing, "").unwrap();
        stranger.env("SSL_CERT_FILE", &nothing).env_remove("NODE_EXTRA_CA_CERTS");
        let refused = run(stranger).await;
        assert!(!refused.status.success(), "{program} speaks to whoever answers");
    }
    pod.stage.end().await;
}

/// A program that goes on, and the lines that it has printed.
struct Follower {
    child: tokio::process::Child,
    printed: Arc<Mutex<Vec<Value>>>,
}

impl Follower {
    fn start(command: Command) -> Self {
        let mut command = tokio::process::Command::from(command);
        // A group of its own: a shell's children end with it.
        let mut child =
            command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true).spawn().unwrap();
        let printed = Arc::<Mutex<Vec<Value>>>::default();
        let (mut lines, kept) = (BufReader::new(child.stdout.take().unwrap()).lines(), Arc::clone(&printed));
        tokio::spawn(async move {
            while let Some(line) = lines.next_line().await.unwrap() {
                kept.lock().unwrap().push(serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line}")));
            }
        });
        Self { child, printed }
    }

    /// Waits until it has printed so many, and gives them as id and title, which is `-` of what is gone.
    async fn printed(&self, count: usize) -> Vec<String> {
        let enough = eventually("it prints what has changed", PATIENCE, async || {
            (self.printed.lock().unwrap().len() >= count).then_some(())
        });
        let found = enough.await;
        let printed = self.printed.lock().unwrap();
        let word = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        let told =
            printed.iter().map(|change| word(&change["id"]) + " " + &word(&change["event"]["summary"])).collect();
        assert!(found.is_ok(), "{told:?}");
        told
    }

    async fn end(mut self) {
        let group = format!("-{}", self.child.id().unwrap());
        assert!(Command::new("kill").args(["-KILL", "--", &group]).status().unwrap().success());
        self.child.wait().await.unwrap();
    }
}

fn titled(id: &str, summary: &str) -> Value {
    json!({
        "id": id, "calendarId": "cal_1", "allDay": false, "summary": summary,
        "start": "2026-11-25T10:00:00Z", "end": "2026-11-25T11:00:00Z",
    })
}

#[tokio::test]
async fn each_program_that_follows_misses_nothing_and_gets_nothing_twice() {
    for program in FOLLOW {
        let pod = Pod::start().await;
        let position = pod.stage.setting.folder.path().join("position");
        let command = || {
            let mut command = pod.command(program);
            command.env("POSITION_FILE", &position);
            command
        };
        pod.stage.put(&[titled("a", "one"), titled("b", "zwei ü")]).await;
        // A token that is refused: it reads the next one.
        std::fs::write(pod.token_file(), "of yesterday").unwrap();
        let follower = Follower::start(command());
        let came = eventually("it has come with the first token", PATIENCE, async || {
            (pod.stage.proxy.accepted() > 0).then_some(())
        });
        came.await.unwrap();
        std::fs::write(pod.token_file(), pod.token().await).unwrap();
        assert_eq!(follower.printed(2).await, ["a one", "b zwei ü"], "{program}");
        pod.stage.put(&[titled("a", "two")]).await;
        let mut told = follower.printed(4).await;
        told[2..].sort();
        assert_eq!(told[2..], ["a two", "b -"], "{program}");

        pod.stage.proxy.cut();
        pod.stage.put(&[titled("a", "two"), titled("c", "three")]).await;
        pod.stage.put(&[titled("a", "two"), titled("c", "four")]).await;
        pod.stage.proxy.resume();
        assert_eq!(follower.printed(5).await[4..], ["c four"], "{program} goes on after an interruption");

        let kept = || std::fs::read_to_string(&position).unwrap_or_default().trim().to_owned();
        let last = follower.printed.lock().unwrap()[4]["sequence"].as_str().unwrap().to_owned();
        eventually("it has kept where it is", PATIENCE, async || (kept() == last).then_some(())).await.unwrap();
        follower.end().await;
        pod.stage.put(&[titled("c", "five")]).await;
        let again = Follower::start(command());
        let mut told = again.printed(2).await;
        told.sort();
        assert_eq!(told, ["a -", "c five"], "{program} goes on where it ended");
        // What it kept is of a database that is not there any more.
        eventually("it has kept where it is", PATIENCE, async || (kept() != last).then_some(())).await.unwrap();
        again.end().await;
        std::fs::write(&position, "another.7").unwrap();
        let anew = Follower::start(command());
        assert_eq!(anew.printed(2).await, ["- -", "c five"], "{program} is told that it begins anew");
        anew.end().await;
        pod.stage.end().await;
    }
}
