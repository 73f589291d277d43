//! The command line. Each flag can be given as an environment variable `CALENDAR_STORE_…` too.

use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr as _;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use https_listener::{PairFile, PairFiles};
use jiff::{Span, SpanRelativeTo};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, Registry};

use crate::database::{self, Kind};
use crate::server::{self, redacted};

/// Keeps the events of calendars in SQLite or PostgreSQL, and serves them to programs and people.
#[derive(Debug, Parser)]
#[command(name = "calendar-store", version, propagate_version = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve calendars, with access to Kubernetes as kubectl finds it.
    Serve(Box<ServeOptions>),
    /// Copy a SQLite database while it is in use. A copy is a database itself: copied to where there is none, it is restored.
    Backup {
        /// The database, `sqlite:FILE`.
        #[arg(long, env = "CALENDAR_STORE_DATABASE", hide_env_values = true, value_name = "URL", value_parser = secret)]
        database: SecretString,
        /// The copy: a new file, or `-` for standard output.
        #[arg(long, value_name = "FILE", conflicts_with = "folder", required_unless_present = "folder")]
        to: Option<PathBuf>,
        /// Folder of the copy, which is named by the time.
        #[arg(long, value_name = "FOLDER")]
        folder: Option<PathBuf>,
        /// How many copies are left in --folder; the oldest go. Without: all.
        #[arg(long, value_name = "NUMBER", requires = "folder", conflicts_with = "to")]
        keep: Option<NonZeroU16>,
    },
}

/// How to serve.
#[derive(Clone, Debug, Args)]
pub struct ServeOptions {
    /// The database: `sqlite:FILE` or `postgres://USER:PASSWORD@HOST:PORT/NAME`. One with a password is better given by --database-file.
    #[arg(
        long,
        env = "CALENDAR_STORE_DATABASE",
        hide_env_values = true,
        value_name = "URL",
        value_parser = secret,
        conflicts_with = "database_file",
        required_unless_present = "database_file"
    )]
    pub database: Option<SecretString>,

    /// File with the database's URL, e.g. from the volume of a Secret.
    #[arg(long, env = "CALENDAR_STORE_DATABASE_FILE", value_name = "FILE")]
    pub database_file: Option<PathBuf>,

    /// Address that the API listens on. Default: 0.0.0.0:8443 with --tls-cert, 0.0.0.0:8080 without.
    #[arg(long, env = "CALENDAR_STORE_LISTEN", value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,

    /// Serve TLS with the certificate in this PEM file, followed by its chain. A new one is taken up without a restart.
    #[arg(long, env = "CALENDAR_STORE_TLS_CERT", value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,

    /// The key of --tls-cert, a PEM file.
    #[arg(long, env = "CALENDAR_STORE_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,

    /// Address that probes and metrics listen on.
    #[arg(long, env = "CALENDAR_STORE_ADMIN_LISTEN", value_name = "ADDRESS", default_value = "0.0.0.0:9090")]
    pub admin_listen: SocketAddr,

    /// Audience that tokens have to be requested for.
    #[arg(long, env = "CALENDAR_STORE_AUDIENCE", value_name = "AUDIENCE", default_value = "calendar-store", value_parser = word)]
    pub audience: String,

    /// A user that may write, `system:serviceaccount:NAMESPACE:NAME`; can be given several times.
    #[arg(long, env = "CALENDAR_STORE_WRITER", value_name = "USER", value_delimiter = ',', value_parser = writer)]
    pub writer: Vec<String>,

    /// How long deletions are told to readers that come back: e.g. `30d` or `36h`, at least an hour.
    #[arg(long, env = "CALENDAR_STORE_TOMBSTONES", value_name = "DURATION", default_value = "30d", value_parser = tombstones)]
    pub tombstones: Duration,

    /// Size of the largest commit, in bytes or as `256Mi`.
    #[arg(long, env = "CALENDAR_STORE_MAX_BODY", value_name = "SIZE", default_value = "256Mi", value_parser = size)]
    pub max_body: usize,

    /// How logs are written; what is logged is set by `RUST_LOG`.
    #[arg(long, env = "CALENDAR_STORE_LOG_FORMAT", value_name = "FORMAT", default_value_t = LogFormat::Json)]
    pub log_format: LogFormat,
}

/// The form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// Text for people.
    Text,
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Json => "json",
            Self::Text => "text",
        })
    }
}

/// As clap ends the process for a flag that it refuses by itself.
const USAGE: u8 = 2;

/// Why nothing was done.
enum Failure {
    Usage(String),
    Other(String),
}

impl Cli {
    /// Does it. Whatever goes wrong is said in one line on standard error, which is a line of the log once that is set up.
    #[must_use]
    pub fn execute(self) -> ExitCode {
        let result = match self.command {
            Command::Serve(options) => options.checked().map_err(Failure::Usage).and_then(serve),
            Command::Backup { database, to, folder, keep } => {
                backup(database.expose_secret(), to.as_deref(), folder.as_deref(), keep)
            }
        };
        let (message, code) = match result {
            Ok(code) => return code,
            Err(Failure::Usage(message)) => (message, ExitCode::from(USAGE)),
            Err(Failure::Other(message)) => (message, ExitCode::FAILURE),
        };
        eprintln!("calendar-store: {message}");
        code
    }
}

impl ServeOptions {
    /// Checks what the flags' types cannot say, and reads the database's file.
    fn checked(self: Box<Self>) -> Result<(LogFormat, server::Options), String> {
        let Self {
            database,
            database_file,
            listen,
            tls_cert,
            tls_key,
            admin_listen,
            audience,
            writer,
            tombstones,
            max_body,
            log_format,
        } = *self;
        let database = match (database, database_file) {
            (Some(url), _) => url,
            (None, Some(path)) => {
                let text = std::fs::read_to_string(&path)
                    .map_err(|error| format!("--database-file {} cannot be read: {error}", path.display()))?;
                SecretString::from(text.trim())
            }
            (None, None) => return Err("--database or --database-file is needed".to_owned()),
        };
        let _: Kind = database.expose_secret().parse().map_err(|error: database::Error| error.to_string())?;
        let tls = tls_cert.zip(tls_key).map(|(certificate, key)| PairFiles {
            certificate: PairFile { flag: "tls-cert", path: certificate },
            key: PairFile { flag: "tls-key", path: key },
        });
        let port = if tls.is_some() { 8443 } else { 8080 };
        let listen = listen.unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], port)));
        let writers = writer.into_iter().collect();
        let options = server::Options { database, listen, tls, admin_listen, audience, writers, tombstones, max_body };
        Ok((log_format, options))
    }
}

fn serve((format, options): (LogFormat, server::Options)) -> Result<ExitCode, Failure> {
    let other = |error: io::Error| Failure::Other(error.to_string());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(other)?;
    log(format).map_err(Failure::Usage)?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).map_err(other)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(other)?;
        let stop = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        if options.writers.is_empty() {
            tracing::warn!("no --writer: nobody may write");
        }
        match Box::pin(server::run(options, stop)).await {
            Ok(()) => Ok(ExitCode::SUCCESS),
            Err(error) => {
                tracing::error!(%error, "the store ends");
                Ok(ExitCode::FAILURE)
            }
        }
    })
}

fn backup(url: &str, to: Option<&Path>, folder: Option<&Path>, keep: Option<NonZeroU16>) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Other(error.to_string()))?;
    let mut output = io::stdout().lock();
    let copied = match (to, folder) {
        (Some(to), _) if to == Path::new("-") && output.is_terminal() => {
            return Err(Failure::Usage("--to - writes a database to standard output: lead it into a file".to_owned()));
        }
        (Some(to), _) if to == Path::new("-") => runtime.block_on(database::backup_through(url, &mut output)),
        (Some(to), _) => runtime.block_on(database::backup(url, to)),
        (None, Some(folder)) => runtime.block_on(database::backup_into(url, folder, keep)).map(|copy| {
            // Whoever reads no more has read enough.
            let _ = writeln!(output, "{}", copy.display());
        }),
        (None, None) => return Err(Failure::Usage("--to or --folder is needed".to_owned())),
    };
    copied.map(|()| ExitCode::SUCCESS).map_err(|error| Failure::Other(redacted(&error.to_string(), url)))
}

/// Sends the log to standard error. `RUST_LOG` chooses what is logged; without it, `info` and above.
fn log(format: LogFormat) -> Result<(), String> {
    // The client of the Kubernetes API logs answers that it cannot decode, and an answer to a review has the token in it; sqlx
    // logs slow statements, and may log what they are about.
    const NEVER: [&str; 2] = ["kube_client::client=error", "sqlx::query=off"];
    let wanted = std::env::var(EnvFilter::DEFAULT_ENV).unwrap_or_default();
    let filter = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into());
    let mut filter = filter.parse(wanted).map_err(|error| format!("RUST_LOG is not understood: {error}"))?;
    for never in NEVER {
        filter = filter.add_directive(never.parse().map_err(|error| format!("{never}: {error}"))?);
    }
    let layer = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    let layer = match format {
        LogFormat::Json => layer.json().flatten_event(true).boxed(),
        LogFormat::Text => layer.with_ansi(false).boxed(),
    };
    // Of the whole log, not of its one layer: such a filter remembers what sqlx asks after a slow statement, whether that would be
    // logged, and takes the answer for one about the next line, which is lost then.
    Registry::default().with(filter).with(layer).try_init().map_err(|error| error.to_string())
}

#[expect(clippy::unnecessary_wraps, reason = "what clap calls")]
fn secret(text: &str) -> Result<SecretString, std::convert::Infallible> {
    Ok(SecretString::from(text))
}

fn word(text: &str) -> Result<String, &'static str> {
    let word = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    if word { Ok(text.to_owned()) } else { Err("must be a word without spaces") }
}

fn writer(user: &str) -> Result<String, &'static str> {
    let account = user.strip_prefix("system:serviceaccount:").and_then(|account| account.split_once(':'));
    let named = |word: &str| {
        !word.is_empty()
            && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte))
    };
    match account {
        Some((namespace, name)) if named(namespace) && named(name) => Ok(user.to_owned()),
        Some(_) | None => Err("must be system:serviceaccount:NAMESPACE:NAME"),
    }
}

fn tombstones(text: &str) -> Result<Duration, &'static str> {
    let span = Span::from_str(text).ok();
    let duration = span.and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()).ok());
    let duration = duration.and_then(|duration| Duration::try_from(duration).ok());
    // No further back than there are times.
    let allowed = Duration::from_hours(1)..=Duration::from_hours(24 * 3660);
    duration.filter(|duration| allowed.contains(duration)).ok_or("must be a time from 1h to 3660d, e.g. 30d or 36h")
}

fn size(text: &str) -> Result<usize, &'static str> {
    let units = [("Ki", 1 << 10), ("Mi", 1 << 20), ("Gi", 1 << 30)];
    let (digits, unit) = units
        .into_iter()
        .find_map(|(suffix, unit)| Some((text.strip_suffix(suffix)?, unit)))
        .unwrap_or((text, 1_usize));
    let size = digits.parse::<usize>().ok().and_then(|number| number.checked_mul(unit));
    size.filter(|size| *size > 0).ok_or("must be a number of bytes, or one with Ki, Mi or Gi")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_have_units_and_bounds() {
        let days = |days: u64| Some(Duration::from_hours(24 * days));
        for (text, expected) in [
            ("30d", days(30)),
            ("36h", Some(Duration::from_hours(36))),
            ("1m", None),
            ("-1d", None),
            ("9999999d", None),
            ("soon", None),
        ] {
            assert_eq!(tombstones(text).ok(), expected, "{text}");
        }
        for (text, expected) in
            [("1", Some(1)), ("2Ki", Some(2048)), ("0", None), ("-1", None), ("1M", None), ("99999999999999Gi", None)]
        {
            assert_eq!(size(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn the_url_of_the_database_is_not_shown() {
        let arguments = ["calendar-store", "serve", "--database", "postgres://store:canary@host/db"];
        let cli = Cli::try_parse_from(arguments).unwrap();
        assert!(!format!("{cli:?}").contains("canary"));
    }
}
