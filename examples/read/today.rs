//! Prints today's events of the calendar at CALENDAR.

use std::env::var;

use anyhow::{Context as _, ensure};
use serde_json::Value;

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
        let page: Value = serde_json::from_str(&text)?;
        for event in page["items"].as_array().context("items")? {
            println!(
                "{}\t{}",
                event["start"].as_str().unwrap_or_default(),
                event["summary"].as_str().unwrap_or("Busy")
            );
        }
        let Some(next) = page["next"].as_str() else { return Ok(()) };
        query.retain(|(name, _)| *name != "after");
        query.push(("after", next.to_owned()));
    }
}
