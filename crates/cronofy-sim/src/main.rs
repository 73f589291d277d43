//! `cronofy-sim`: the simulator as a program.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use cronofy_sim::{AccountDraft, Options, Schedule, ScheduledFault, Settings, Simulator};
use jiff::Timestamp;
use serde_json::{Value, json};

/// Simulates the Cronofy calendar API. Prints one line of JSON with addresses and credentials, and runs until it is told to end.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Address that the API listens on.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    api_listen: SocketAddr,
    /// Address that the control API listens on.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    control_listen: SocketAddr,
    /// iCalendar files to begin with.
    #[arg(long, value_name = "FILE")]
    ics: Vec<PathBuf>,
    /// Client id of the application.
    #[arg(long, default_value = "demo-client")]
    client_id: String,
    /// Client secret of the application; given twice, both are active.
    #[arg(long, default_value = "demo-secret")]
    client_secret: Vec<String>,
    /// Makes ids, and chooses the faults by chance: the same seed gives the same ones.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// What the clock shows at the start; real time by default.
    #[arg(long, value_name = "TIME")]
    now: Option<Timestamp>,
    /// Count no requests against limits.
    #[arg(long)]
    no_rate_limit: bool,
    /// Another value for a switch, as JSON or a word, such as `page_size=3` or `rotation=stays`.
    #[arg(long, value_name = "SWITCH=VALUE", value_parser = switch)]
    set: Vec<(String, Value)>,
    /// A fault by chance, such as `server_error=0.1`. The README lists them.
    #[arg(long, value_name = "KIND=PROBABILITY", value_parser = probability)]
    fault: Vec<(ScheduledFault, f64)>,
}

/// A value that is no JSON is a word.
fn switch(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("write SWITCH=VALUE")?;
    Ok((name.to_owned(), serde_json::from_str(value).unwrap_or_else(|_| json!(value))))
}

fn probability(text: &str) -> Result<(ScheduledFault, f64), String> {
    let (kind, probability) = text.split_once('=').ok_or("write KIND=PROBABILITY")?;
    let kind = serde_json::from_value(json!(kind)).map_err(|error| error.to_string())?;
    Ok((kind, probability.parse().map_err(|_| format!("{probability:?} is not a number"))?))
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cronofy-sim: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let mut settings = Settings::default().patched(&arguments.set.into_iter().collect())?;
    if arguments.no_rate_limit {
        settings.rate_limit = None;
    }
    let sim = Simulator::start(Options {
        seed: arguments.seed,
        now: arguments.now,
        settings,
        schedule: (!arguments.fault.is_empty())
            .then(|| Schedule { seed: arguments.seed, probabilities: arguments.fault.into_iter().collect() }),
        control: true,
        trusted_certificates: String::new(),
        api_listen: Some(arguments.api_listen),
        control_listen: Some(arguments.control_listen),
    })
    .await?;
    let secrets: Vec<&str> = arguments.client_secret.iter().map(String::as_str).collect();
    sim.add_application(&arguments.client_id, &secrets);
    let account = sim.add_account(AccountDraft::default());
    for path in &arguments.ics {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        sim.import_ics(&account, &text).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    let line = json!({
        "api": sim.api_url(),
        "control": sim.control_url(),
        "client_id": arguments.client_id,
        "client_secret": secrets.first(),
        "account": account,
        "refresh_token": sim.issue_refresh_token(&account, &arguments.client_id),
    });
    println!("{line}");
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        _ = terminate.recv() => {}
        result = tokio::signal::ctrl_c() => result?,
    }
    Ok(())
}
