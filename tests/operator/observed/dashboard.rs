//! The dashboard over a real operator's work: each of its queries has an answer, by Prometheus' own query engine. With `UPDATE` set
//! the answers are drawn as `docs/dashboard.svg`.

use std::collections::BTreeMap;
use std::path::Path;
use std::{env, fs};

use cronofy_sim::{AccountDraft, Signing, Verification};
use jiff::SignedDuration;
use serde::Deserialize;
use serde_json::{Value, json};
use testenv::Tool;

use super::replicas::{Replicas, Scrape};
use super::{picture, piped};
use crate::support::past::{age_field, channel_made, wake};
use crate::support::world::CLIENT_ID;
use crate::support::{World, event};

const DASHBOARD: &str = include_str!("../../../charts/cronofy-operator/files/dashboard.json");

/// Between two scrapes, in the time that the dashboard is shown.
const MINUTE: f64 = 60.0;
/// Rounds of work, each followed by a scrape: enough for rates, and for a picture worth looking at.
const ROUNDS: u32 = 8;
const ROUNDS_TO_DRAW: u32 = 31;

/// A line of a graph: its labels, and its values by time.
#[derive(Deserialize)]
pub struct Series {
    pub labels: BTreeMap<String, String>,
    pub values: Vec<(f64, f64)>,
}

/// A panel with the answers to its queries, each with the text for its legend.
pub struct Panel {
    pub definition: Value,
    pub answers: Vec<(String, Vec<Series>)>,
}

/// What goes on while the dashboard is looked at: a busy owner, another one whose calendar is polled, one whom Cronofy never
/// reaches; for a while notifications are not signed as they should be.
async fn work(world: &World, replicas: &Replicas, rounds: u32) -> Vec<Scrape> {
    let mut scrapes = Vec::new();
    for round in 0..rounds {
        world.sim.sign_with(match round % 16 {
            4..6 => Signing::Header(Some("bm90IHRoZSBzaWduYXR1cmU=".to_owned())),
            _ => Signing::Valid,
        });
        for number in 0..=round % 4 {
            let title = format!("round {round} event {number}");
            world.sim.put_event(&world.account, event(&title, i64::from(round))).unwrap();
        }
        if round % 10 == 5 {
            world.annotate("all", "cronofy-operator.dev/requestedAt", &format!("round {round}")).await;
        }
        world.at_rest("all").await;
        scrapes.push(replicas.scrape().await);
    }
    scrapes
}

async fn begun(world: &World) {
    world.subscribe("all", json!({})).await;
    world.at_rest("all").await;
    world.subscribe("polled", json!({ "mode": "Poll" })).await;
    world.ready("polled").await;
    let account = world.sim.add_account(AccountDraft::default());
    world
        .sim
        .settings_for(cronofy_sim::Scope::account(&account), |settings| settings.verification = Verification::Never);
    world.secret("other", &[("refresh_token", &world.sim.issue_refresh_token(&account, CLIENT_ID))]).await;
    world.subscribe("unreached", json!({ "account": { "secretRef": { "name": "other" } } })).await;
    channel_made(world, "unreached").await;
    age_field(world, "unreached", "/channel/createdTime", SignedDuration::from_mins(3)).await;
    wake(world, "unreached").await;
}

/// A page as if it had been scraped at another time.
fn moved(page: &str, from: f64, to: f64) -> String {
    let line = |line: &str| {
        let (name, value) = line.rsplit_once(' ').unwrap_or((line, ""));
        let metric = name.split('{').next().unwrap();
        match value.parse::<f64>() {
            Ok(value) if metric.ends_with("_timestamp_seconds") && value > 0.0 => {
                format!("{name} {}\n", value - from + to)
            }
            _ => format!("{line}\n"),
        }
    };
    page.lines().map(line).collect()
}

/// The panels of the dashboard, with what its queries find in the scrapes.
fn panels(scrapes: &[Scrape]) -> Vec<Panel> {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let begin = scrapes[0].time.as_duration().as_secs_f64().floor();
    let mut pages = Vec::new();
    let mut time = begin;
    for Scrape { time: scraped, pages: both } in scrapes {
        for (page, pod) in both.iter().zip(["a", "b"]) {
            let labels = json!({ "namespace": "operators", "pod": format!("calendars-cronofy-operator-{pod}") });
            let page = moved(page, scraped.as_duration().as_secs_f64(), time);
            pages.push(json!({ "Time": time, "Labels": labels, "Page": page }));
        }
        time += MINUTE;
    }
    let targets: Vec<(usize, &Value)> = dashboard["panels"]
        .as_array()
        .unwrap()
        .iter()
        .enumerate()
        .flat_map(|(number, panel)| {
            panel["targets"].as_array().into_iter().flatten().map(move |target| (number, target))
        })
        .collect();
    let query = |target: &Value| {
        // As Grafana puts them in, with a scrape each minute.
        target["expr"].as_str().unwrap().replace("$namespace", "operators").replace("$__rate_interval", "4m")
    };
    let queries: Vec<String> = targets.iter().map(|(_, target)| query(target)).collect();
    let end = time - MINUTE;
    let request = json!({ "Scrapes": pages, "Queries": queries, "Start": begin, "End": end, "Step": MINUTE });
    let (answered, answers, complaint) = piped(Tool::Evaluate, &[], &request.to_string());
    assert!(answered, "{complaint}");
    let answers: Vec<Vec<Series>> = serde_json::from_str(&answers).unwrap();
    let mut panels: Vec<Panel> = dashboard["panels"]
        .as_array()
        .unwrap()
        .iter()
        .map(|panel| Panel { definition: panel.clone(), answers: Vec::new() })
        .collect();
    for ((number, target), answer) in targets.into_iter().zip(answers) {
        panels[number].answers.push((target["legendFormat"].as_str().unwrap().to_owned(), answer));
    }
    panels
}

#[tokio::test]
async fn each_query_of_the_dashboard_finds_something_in_what_a_working_operator_serves() {
    let world = World::start("dashboard").await;
    let replicas = Replicas::start(&world).await;
    begun(&world).await;
    let draws = env::var_os("UPDATE").is_some();
    let panels = panels(&work(&world, &replicas, if draws { ROUNDS_TO_DRAW } else { ROUNDS }).await);
    let mut answered = 0;
    for Panel { definition, answers } in &panels {
        assert_eq!(answers.is_empty(), definition["type"] == "row", "{}", definition["title"]);
        for (legend, series) in answers {
            let values = series.iter().map(|series| series.values.len()).sum::<usize>();
            assert!(values > 0, "the panel {} shows nothing for {legend}", definition["title"]);
            answered += 1;
        }
    }
    assert!(answered >= 20, "{answered}");
    if draws {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/dashboard.svg");
        fs::write(file, picture::drawn(&panels)).unwrap();
    }
}
