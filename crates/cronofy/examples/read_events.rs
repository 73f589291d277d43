//! Prints the events of the next seven days of one account.
//!
//! ```sh
//! CRONOFY_CLIENT_ID=… CRONOFY_CLIENT_SECRET=… CRONOFY_REFRESH_TOKEN=… cargo run --example read_events
//! ```
//!
//! `CRONOFY_DATA_CENTER` (default `us`) or `CRONOFY_API_URL` say where.

use std::env;
use std::error::Error;

use cronofy::jiff::{ToSpan as _, Zoned};
use cronofy::secrecy::SecretString;
use cronofy::{Client, Credentials, DataCenter, EventTime, EventsQuery, Options};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let options = match env::var("CRONOFY_API_URL") {
        Ok(url) => Options::new(url.parse()?),
        Err(_) => env::var("CRONOFY_DATA_CENTER").as_deref().unwrap_or("us").parse::<DataCenter>()?.into(),
    };
    let client = Client::new(options)?;
    let application = Credentials {
        client_id: required("CRONOFY_CLIENT_ID")?,
        client_secret: required("CRONOFY_CLIENT_SECRET")?.into(),
    };
    let refresh_token = SecretString::from(required("CRONOFY_REFRESH_TOKEN")?);

    let token = client.refresh_token(&application, &refresh_token).await?.value;
    if token.refresh_token.is_some() {
        eprintln!("note: a service has to keep the refresh token that came back; this example forgets it");
    }

    let today = Zoned::now().date();
    let query = EventsQuery {
        from: Some(today),
        to: Some(today.checked_add(7.days())?),
        include_managed: true,
        localized_times: true,
        ..EventsQuery::default()
    };
    let mut page = client.events(&token.access_token, &query).await?.value;
    loop {
        for event in &page.events {
            let start = event.start.as_ref().map(shown).unwrap_or_default();
            println!("{start}  {}", event.summary.as_deref().unwrap_or("(no title)"));
        }
        let Some(next) = page.next else { return Ok(()) };
        page = client.next_page(&token.access_token, &next).await?.value;
    }
}

fn required(name: &str) -> Result<String, String> {
    env::var(name).map_err(|_| format!("set {name}"))
}

fn shown(time: &EventTime) -> String {
    match time {
        EventTime::Date { date, zone: _ } => format!("{date} all day"),
        EventTime::Instant { timestamp, zone } => match zone.as_deref().and_then(|zone| timestamp.in_tz(zone).ok()) {
            Some(local) => local.strftime("%Y-%m-%d %H:%M %Z").to_string(),
            None => timestamp.strftime("%Y-%m-%d %H:%M UTC").to_string(),
        },
    }
}
