//! Prints today's events of the calendar at CALENDAR.

use std::env::var;

use anyhow::{Context as _, ensure};
use serde::Deserialize;

#[derive(Deserialize)]
struct Page {
    items: Vec<Event>,
    next: Option<String>,
}

#[derive(Deserialize)]
struct Event {
    start: String,
    summary: Option<String>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let zone = var("TIME_ZONE").unwrap_or("UTC".to_owned());
    let token_file = var("TOKEN_FILE").unwrap_or("/var/run/secrets/calendar-store/token".to_owned());
    let url = format!("{}/events", var("CALENDAR").context("CALENDAR")?);
    let today = jiff::Timestamp::now().in_tz(&zone)?.date();
    let (from, to) = (today.to_string(), today.tomorrow()?.to_string());
    let client = reqwest::Client::builder().timeout(std::time::Duration::from_secs(30)).build()?;
    let mut query = vec![("from", from), ("to", to), ("timeZone", zone)];
    loop {
        let token = std::fs::read_to_string(&token_file)?; // each time anew: it is replaced before it ends
        let answer = client.get(&url).query(&query).bearer_auth(token.trim()).send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        ensure!(status.is_success(), text);
        let page: Page = serde_json::from_str(&text)?;
        for Event { start, summary } in page.items {
            println!("{start}\t{}", summary.as_deref().unwrap_or("Busy"));
        }
        let Some(next) = page.next else { return Ok(()) };
        query.retain(|(name, _)| *name != "after");
        query.push(("after", next));
    }
}
