//! `cronofy-sim`: the simulator as a program.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use cronofy_sim::{AccountDraft, Options, Settings, Simulator};
use jiff::Timestamp;
use serde_json::json;

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
    /// Makes ids.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// What the clock shows at the start; real time by default.
    #[arg(long, value_name = "TIME")]
    now: Option<Timestamp>,
    /// Count no requests against limits.
    #[arg(long)]
    no_rate_limit: bool,
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
    let mut settings = Settings::default();
    if arguments.no_rate_limit {
        settings.rate_limit = None;
    }
    let sim = Simulator::start(Options {
        seed: arguments.seed,
        now: arguments.now,
        settings,
        control: true,
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
