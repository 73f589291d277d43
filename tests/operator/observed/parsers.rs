//! Both formats of `/metrics`, by the parsers that scrape them, and promtool's opinion on the names.

use std::collections::BTreeMap;

use cronofy_operator::metrics::Metrics;
use cronofy_sim::Signing;
use serde_json::json;
use testenv::Tool;

use super::piped;
use crate::support::{Operator, World, event};

/// The page and its Content-Type for an `Accept` header, or for none.
async fn page(operator: &Operator, accept: Option<&str>) -> (String, String) {
    let mut request = reqwest::Client::new().get(format!("http://{}/metrics", operator.admin));
    if let Some(accept) = accept {
        request = request.header("accept", accept);
    }
    let answer = request.send().await.unwrap();
    let content_type = answer.headers()["content-type"].to_str().unwrap().to_owned();
    (content_type, answer.text().await.unwrap())
}

/// The families of a page: type and number of series, by name.
fn families(content_type: &str, page: &str) -> BTreeMap<String, (String, usize)> {
    let (taken, families, complaint) = piped(Tool::Exposition, &[content_type], page);
    assert!(taken, "{complaint}\n{page}");
    let family = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        (words[0].to_owned(), (words[1].to_owned(), words[2].parse().unwrap()))
    };
    families.lines().map(family).collect()
}

#[tokio::test]
async fn after_real_work_prometheus_reads_both_formats_and_has_nothing_against_the_names() {
    let world = World::start("scraped").await;
    let operator = world.operator().await;
    world.sim.put_event(&world.account, event("one", 1)).unwrap();
    world.subscribe("all", json!({})).await;
    world.at_rest("all").await;
    world.sim.put_event(&world.account, event("two", 2)).unwrap();
    world.titles("all", &["one", "two"]).await;
    world.sim.sign_with(Signing::Header(Some("bm90IHRoZSBzaWduYXR1cmU=".to_owned())));
    world.sim.put_event(&world.account, event("three", 3)).unwrap();
    world.at_rest("all").await;

    let (open, text) =
        ("application/openmetrics-text; version=1.0.0; charset=utf-8", "text/plain; version=0.0.4; charset=utf-8");
    let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1";
    for accept in [None, Some("*/*"), Some(prometheus), Some("application/openmetrics-text")] {
        assert_eq!(page(&operator, accept).await.0, open, "{accept:?}");
    }
    for accept in ["text/plain", "text/plain;version=0.0.4;q=1,*/*;q=0.1"] {
        assert_eq!(page(&operator, Some(accept)).await.0, text, "{accept}");
    }

    let (content_type, exposition) = page(&operator, None).await;
    let read = families(&content_type, &exposition);
    let born = families(open, &Metrics::new().encode());
    assert!(read.keys().eq(born.keys()), "no family comes or goes");
    for (name, (kind, series)) in &read {
        // Only histograms by the code of an answer grow.
        let grows = ["cronofy_operator_cronofy_request_duration_seconds"].contains(&name.as_str());
        assert!(
            kind == &born[name].0 && (*series == born[name].1 || grows && *series > born[name].1),
            "{name} {series}"
        );
    }
    assert!(operator.metric("cronofy_operator_webhook_requests_total{result=\"bad_signature\"}").await > 0.0);

    let (content_type, exposition) = page(&operator, Some("text/plain")).await;
    let older = families(&content_type, &exposition);
    let renamed = read.iter().map(|(name, (kind, series))| match kind.as_str() {
        "counter" => (format!("{name}_total"), ("counter".to_owned(), *series)),
        "info" => (format!("{name}_info"), ("gauge".to_owned(), *series)),
        _ => (name.clone(), (kind.clone(), *series)),
    });
    assert_eq!(older, renamed.collect());

    assert_eq!(piped(Tool::Promtool, &["check", "metrics"], &exposition), (true, String::new(), String::new()));
}

/// That nothing is complained of means something only if complaints are made.
#[test]
fn the_parsers_refuse_what_is_wrong() {
    let open = "application/openmetrics-text; version=1.0.0";
    for (page, complaint) in [
        ("# TYPE a gauge\na 1\n", "data does not end with # EOF"),
        ("# TYPE a gauge\na 1\na 1\n# EOF\n", "is there twice"),
        ("# TYPE a gauge\na 1\n# TYPE b gauge\nb 1\n# TYPE a gauge\n# EOF\n", "the family a is there twice"),
        ("# TYPE a counter\na 1\n# EOF\n", "stands among those of the counter a"),
        ("# TYPE a gauge\nb 1\n# EOF\n", "stands among those of the gauge a"),
        ("a 1\n# EOF\n", "belongs to no family"),
        ("# TYPE a gauge\na{b=c} 1\n# EOF\n", "parsing"),
    ] {
        let (taken, _, said) = piped(Tool::Exposition, &[open], page);
        assert!(!taken && said.contains(complaint), "{page}: {said}");
    }
    let (taken, _, said) =
        piped(Tool::Promtool, &["check", "metrics"], "# HELP a_total A.\n# TYPE a_total gauge\na_total 1\n");
    assert!(!taken && said.contains("non-counter metrics should not have"), "{said}");
}
