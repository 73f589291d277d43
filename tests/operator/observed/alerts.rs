//! The alerts that matter most, from the bad state itself: a real operator is brought into it, and what it serves then is what
//! Prometheus' rule engine gets to see. Time is stretched there: what one scrape showed goes on for as long as the rule waits.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use cronofy_sim::{Signing, Verification};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use testenv::Tool;

use super::piped_in;
use super::replicas::{Replicas, Scrape};
use crate::support::past::{age_field, channel_made, let_pass_here, wake};
use crate::support::{World, event};

const RULES: &str = include_str!("../../../charts/cronofy-operator/files/alerts.yaml");

/// What a line of a page tells that some alert asks about: metric, labels and value.
fn asked_about(line: &str) -> Option<(&str, &str, f64)> {
    let (name, value) = line.rsplit_once(' ').filter(|_| !line.starts_with('#'))?;
    let (metric, labels) = name.split_once('{').unwrap_or((name, "}"));
    RULES.contains(&format!("{metric}{{")).then(|| (metric, labels, value.parse().unwrap()))
}

/// Whether a metric with this value is a time, and one that there is.
fn is_time(metric: &str, value: f64) -> bool {
    metric.ends_with("_timestamp_seconds") && value > 0.0
}

/// The minute of the first scrape. The rule engine's clock begins at zero, no time that is served may lie before that, and every
/// minute until then is evaluated.
fn begin(scrapes: &[(Scrape, u32)]) -> u32 {
    let ages = scrapes.iter().flat_map(|(Scrape { time, pages }, _)| {
        let times = pages.iter().flat_map(|page| page.lines()).filter_map(asked_about);
        let times = times.filter(|(metric, _, value)| is_time(metric, *value));
        times.map(|(_, _, value)| time.as_duration().as_secs_f64() - value)
    });
    let oldest = Duration::from_secs_f64(ages.fold(0.0, f64::max));
    1 + u32::try_from(oldest.as_secs() / 60).unwrap()
}

/// The scrapes from this minute on as input series of a unit test: what each showed goes on for so many minutes. A metric that is a time keeps its
/// distance from the scrape that showed it first.
fn input_series(scrapes: &[(Scrape, u32)], begin: u32) -> Vec<Value> {
    let mut series: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut minute = begin;
    for (Scrape { time, pages }, minutes) in scrapes {
        for (page, pod) in pages.iter().zip(["a", "b"]) {
            for (metric, labels, mut value) in page.lines().filter_map(asked_about) {
                if is_time(metric, value) {
                    value += f64::from(minute * 60) - time.as_duration().as_secs_f64();
                }
                let name =
                    format!("{metric}{{namespace=\"operators\", pod=\"calendars-cronofy-operator-{pod}\", {labels}");
                let repeated = minutes.checked_sub(1).map(|more| format!("{value}x{more}"));
                series.entry(name).or_insert_with(|| vec![format!("_x{begin}")]).extend(repeated);
            }
        }
        minute += minutes;
    }
    series.into_iter().map(|(name, values)| json!({ "series": name, "values": values.join(" ") })).collect()
}

/// At the end of the last of these scrapes these alerts fire and no others.
fn assert_fires(scrapes: &[(Scrape, u32)], alerts: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let selector = "{namespace=\"operators\", pod=~\"calendars-cronofy-operator-.*\"";
    let mut rules: Value = serde_saphyr::from_str(&RULES.replace("{JOB", selector)).unwrap();
    // Those of the calendar store stand only where the chart runs one.
    rules["groups"].as_array_mut().unwrap().retain(|group| group["name"] != "calendar-store");
    fs::write(folder.path().join("rules.yaml"), rules.to_string()).unwrap();
    let begin = begin(scrapes);
    let end = begin + scrapes.iter().map(|(_, minutes)| minutes).sum::<u32>() - 1;
    let fires = |alert: &&str| json!({ "labels": format!("{{alertname=\"{alert}\"}}"), "value": 1 });
    let expression = "count by (alertname) (ALERTS{alertstate=\"firing\"})";
    let test = json!({ "rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": [{
        "interval": "1m", "input_series": input_series(scrapes, begin), "promql_expr_test": [{
            "expr": expression, "eval_time": format!("{end}m"), "exp_samples": alerts.iter().map(fires).collect::<Vec<_>>(),
        }],
    }] });
    fs::write(folder.path().join("test.yaml"), test.to_string()).unwrap();
    let (as_expected, said, complaint) = piped_in(folder.path(), Tool::Promtool, &["test", "rules", "test.yaml"], "");
    assert!(as_expected, "{said}{complaint}");
}

#[tokio::test]
async fn refused_notifications_fire_an_alert_that_accepted_ones_end() {
    let world = World::start("unsigned").await;
    let replicas = Replicas::start(&world).await;
    world.subscribe("all", json!({})).await;
    world.at_rest("all").await;
    let mut scrapes = vec![(replicas.scrape().await, 90)];
    world.sim.put_event(&world.account, event("accepted", 1)).unwrap();
    world.titles("all", &["accepted"]).await;
    world.at_rest("all").await;
    scrapes.push((replicas.scrape().await, 60));
    assert_fires(&scrapes, &[]);

    // Longer than an hour after the last that was accepted.
    scrapes.push((replicas.scrape().await, 30));
    world.sim.sign_with(Signing::Header(Some("bm90IHRoZSBzaWduYXR1cmU=".to_owned())));
    let channel = world.channel(world.ns(), "all", &world.account).await.id;
    for _ in 0..3 {
        world.sim.notify(&channel, &cronofy_sim::Notification::change(Timestamp::now()));
        world.sim.settle().await;
        assert_eq!(world.sim.deliveries().last().unwrap().status, Some(401));
        scrapes.push((replicas.scrape().await, 20));
    }
    assert_fires(&scrapes, &["CronofyNotificationsRefused"]);

    world.sim.sign_with(Signing::Valid);
    world.sim.put_event(&world.account, event("again", 2)).unwrap();
    world.titles("all", &["accepted", "again"]).await;
    scrapes.push((replicas.scrape().await, 10));
    assert_fires(&scrapes, &[]);
}

/// Aged: the channel that waits for Cronofy, by the minutes after which it is not trusted.
#[tokio::test]
async fn a_channel_that_cronofy_never_reaches_fires_an_alert_and_one_that_it_reaches_does_not() {
    let world = World::start("unreached").await;
    let replicas = Replicas::start(&world).await;
    let end = world.sim.settings_for(cronofy_sim::Scope::account(&world.account), |settings| {
        settings.verification = Verification::Never;
    });
    world.subscribe("all", json!({})).await;
    let pending = replicas.once("cronofy_operator_channels{state=\"pending\"}", |count| count > 0.0).await;
    channel_made(&world, "all").await;
    assert_fires(&[(pending, 30)], &[]);

    age_field(&world, "all", "/channel/createdTime", SignedDuration::from_mins(3)).await;
    wake(&world, "all").await;
    let suspect = || replicas.once("cronofy_operator_channels{state=\"suspect\"}", |count| count > 0.0);
    assert_fires(&[(suspect().await, 55)], &[]);
    let mut scrapes = vec![(suspect().await, 70)];
    // Without push it is not Ready either.
    assert_fires(&scrapes, &["CronofyPushUnhealthy", "CronofySubscriptionNotReady"]);

    // Cronofy reaches it again, and says so with the next change.
    assert!(world.sim.end_override(end));
    world.sim.put_event(&world.account, event("one", 1)).unwrap();
    scrapes.push((replicas.once("cronofy_operator_channels{state=\"verified\"}", |count| count > 0.0).await, 10));
    assert_fires(&scrapes, &[]);
}

/// Aged: all that is remembered of the subscription, by 14 hours.
#[tokio::test]
async fn a_copy_that_cannot_be_proven_current_for_long_fires_an_alert_until_it_is() {
    let world = World::start("freshness").await;
    let mut replicas = Replicas::start(&world).await;
    world.subscribe("all", json!({})).await;
    world.at_rest("all").await;
    let fresh = "cronofy_operator_freshness_timestamp_seconds{bound=\"oldest\"}";
    let known = |time: f64| time > 0.0;
    let healthy = replicas.once(fresh, known).await;
    assert_fires(&[(healthy, 12 * 60)], &[]);

    replicas.kill();
    world.sim.down(true);
    let_pass_here(&world, "all", SignedDuration::from_hours(14)).await;
    replicas.start_again().await;
    world.until("all", "a read has failed", |found| found.status.as_ref().unwrap().failure.is_some()).await;
    let mut scrapes = vec![(replicas.once(fresh, known).await, 30)];
    assert_fires(&scrapes, &["CronofyFreshnessLost"]);

    world.sim.down(false);
    world.annotate("all", "cronofy-operator.dev/requestedAt", "now").await;
    let bad = scrapes[0].0.time.as_duration().as_secs_f64();
    scrapes.push((replicas.once(fresh, |time| time > bad).await, 10));
    assert_fires(&scrapes, &[]);
}

/// Aged: all that is remembered of the subscription, by four days in which nothing happened. The next full read is days away.
#[tokio::test]
async fn a_quiet_calendar_is_proven_current_by_looks_at_its_channel_and_fires_nothing() {
    let world = World::start("quiet").await;
    let mut replicas = Replicas::start(&world).await;
    world.subscribe("all", json!({})).await;
    world.at_rest("all").await;
    replicas.kill();
    let_pass_here(&world, "all", SignedDuration::from_hours(96)).await;
    let full_sync = world.subscriptions().get("all").await.unwrap().status.unwrap().sync.unwrap().last_full_sync_time;
    replicas.start_again().await;
    let begun = Timestamp::now().as_duration().as_secs_f64() - 3_600.0;
    let fresh = "cronofy_operator_freshness_timestamp_seconds{bound=\"oldest\"}";
    let looked_at = replicas.once(fresh, |time| time > begun).await;
    assert_fires(&[(looked_at, 12 * 60)], &[]);
    let now = world.subscriptions().get("all").await.unwrap().status.unwrap().sync.unwrap().last_full_sync_time;
    assert_eq!(now, full_sync, "by no full read");
}
