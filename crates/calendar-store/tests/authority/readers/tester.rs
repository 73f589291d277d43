//! The API as its document describes it, by a tester that reads the document: Schemathesis. It asks the binary for what is right and what is
//! wrong, on SQLite with events in it, and prints its summary.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};

use super::Stage;
use crate::support::{AUDIENCE, EVENTS, right, shared, token};

/// For each operation, in each of the ways to make them up.
const EXAMPLES: usize = 40;
/// It takes half a minute.
const LIMIT: Duration = Duration::from_secs(300);
/// What a defect would be found by.
const CHECKS: [&str; 11] = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "positive_data_acceptance",
    "unsupported_method",
    "allow_header_conformance",
    "use_after_free",
    "ignored_auth",
];

fn events() -> Vec<Value> {
    let hours = (0..30).map(|hour| {
        let (day, hour) = (25 + hour / 24, hour % 24);
        json!({
            "id": format!("evt_{day}_{hour}"), "calendarId": "cal_1", "allDay": false, "summary": format!("Titel {hour} ü"),
            "start": format!("2026-11-{day}T{hour:02}:00:00Z"), "end": format!("2026-11-{day}T{hour:02}:30:00Z"),
            "status": "confirmed", "updated": "2026-11-01T00:00:00Z", "timeZone": "Europe/Berlin",
        })
    });
    let all_day = json!({
        "id": "day", "calendarId": "cal_1", "allDay": true, "start": "2026-11-25", "end": "2026-11-27", "recurring": true,
        "series": "days", "location": "Berlin", "description": "two days", "transparency": "transparent", "participation": "accepted",
        "organizer": { "email": "o@example.org", "name": "O" }, "meetingUrl": "https://meet.example.org/1",
        "attendees": [{ "email": "a@example.org", "status": "accepted" }, { "name": "A" }],
    });
    hours.chain([all_day]).collect()
}

#[tokio::test]
async fn a_tester_that_reads_the_document_finds_nothing_wrong() {
    let stage = Stage::start().await;
    let namespace = stage.setting.namespace.clone();
    let feeds = ["create", "list", "delete"].map(|verb| right(verb, "calendarsubscriptions/feeds", None));
    let rules = [&[right("get", EVENTS, None), right("list", EVENTS, None)][..], &feeds].concat();
    let (client, here) = (shared().await.admin().unwrap(), testenv::Scope::Namespace(&namespace));
    testenv::grant(&client, here, (&namespace, "tester"), &rules).await.unwrap();
    let tester = token(shared().await, &namespace, "tester", &[AUDIENCE]).await;
    stage.put(&events()).await;
    stage.put_as("empty", &[]).await;

    let get = async |rest: &str| -> Value {
        let answer = stage.client.get(stage.of("on-call") + rest).bearer_auth(&tester).send().await.unwrap();
        answer.json().await.unwrap()
    };
    let page = get("/events").await;
    let made = stage.client.post(stage.of("on-call") + "/feeds").bearer_auth(&tester).body(r#"{"label":"tester"}"#);
    let made = made.send().await.unwrap();
    assert_eq!(made.status(), StatusCode::CREATED);
    let feed: Value = made.json().await.unwrap();
    let word = |value: &Value| value.as_str().unwrap().to_owned();
    let folder = tempfile::tempdir().unwrap();
    let examples = EXAMPLES.to_string();
    let put_in = [
        ("URL", stage.url()),
        ("HOOKS", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/authority/readers/formats.py").to_owned()),
        ("CA", stage.ca().to_str().unwrap().to_owned()),
        ("TOKEN", tester.clone()),
        ("FEED", word(&feed["token"])),
        ("EXAMPLES", examples),
        ("NAMESPACE", namespace.clone()),
        ("SEQUENCE", word(&page["sequence"])),
    ];
    let configuration = include_str!("schemathesis.toml");
    let configuration = put_in.iter().fold(configuration.to_owned(), |text, (name, value)| {
        text.replace(&format!("\"{name}\""), &format!("\"{value}\""))
            .replace(&format!("= {name}\n"), &format!("= {value}\n"))
    });
    let (settings, report) = (folder.path().join("schemathesis.toml"), folder.path().join("report.ndjson"));
    std::fs::write(&settings, configuration).unwrap();

    let python = tokio::task::spawn_blocking(|| testenv::python().unwrap()).await.unwrap();
    let mut command = Command::new(python);
    command.args(["-m", "schemathesis.cli", "--no-color", "--config-file"]).arg(&settings);
    command.arg("run").arg(format!("{}/v1/openapi.json", stage.url())).args(["--checks", &CHECKS.join(",")]);
    command.arg("--report-ndjson-path").arg(&report);
    // Its summary goes where the tests' own output goes, also if they succeed.
    command.current_dir(folder.path()).stdin(Stdio::null());
    let mut command = tokio::process::Command::from(command);
    let run = command.kill_on_drop(true).status();
    let status = tokio::time::timeout(LIMIT, run).await.expect("it ends").unwrap();
    assert!(status.success(), "the summary above says what is wrong");

    // It has got through to what there is, and has been refused for each cause.
    let answers = answers(&std::fs::read_to_string(&report).unwrap());
    let document: Value = serde_json::from_str(&calendar_store::read::document()).unwrap();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            let operation = format!("{} {path}", method.to_uppercase());
            // It takes the document from there, and asks for nothing else.
            if path == "/v1/openapi.json" {
                continue;
            }
            let told = answers.get(&operation).unwrap_or_else(|| panic!("{operation} was not asked for: {answers:?}"));
            assert!(told.keys().any(|status| (200..300).contains(status)), "{operation}: {told:?}");
            if path.contains("{namespace}") {
                for status in [400, 401] {
                    assert!(told.contains_key(&status), "{operation} never answered {status}: {told:?}");
                }
            }
        }
    }
    stage.end().await;
}

/// How often each operation answered with each status.
fn answers(report: &str) -> BTreeMap<String, BTreeMap<u64, usize>> {
    let mut answers = BTreeMap::<String, BTreeMap<u64, usize>>::new();
    for line in report.lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        let recorder = &event["ScenarioFinished"]["recorder"];
        for (id, interaction) in recorder["interactions"].as_object().into_iter().flatten() {
            let case = &recorder["cases"][id]["value"];
            let (method, path) =
                (case["method"].as_str().unwrap_or_default(), case["path"].as_str().unwrap_or_default());
            if let Some(status) = interaction["response"]["status_code"].as_u64() {
                *answers.entry(format!("{method} {path}")).or_default().entry(status).or_default() += 1;
            }
        }
    }
    answers
}
