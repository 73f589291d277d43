//! The command line. Each flag can be given as an environment variable `CRONOFY_OPERATOR_…` too; the collector's endpoint by the
//! name that all exporters know, `OTEL_EXPORTER_OTLP_ENDPOINT`.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use calendar_store_client::{Address, InvalidAddress};
use clap::{Args, Parser, Subcommand};
use https_listener::{PairFile, PairFiles};
use tokio::signal::unix::{SignalKind, signal};
use url::Url;

use crate::leftovers;
use crate::probe::{self, Targets};
use crate::store::RemoteSettings;
use crate::telemetry::{self, LogFormat};
use crate::traces::{self, Exporter};

/// A Kubernetes operator that keeps a live copy of Cronofy calendars in the cluster.
#[derive(Debug, Parser)]
#[command(name = "cronofy-operator", version, propagate_version = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the operator, with access to Kubernetes as kubectl finds it.
    Run(Box<RunOptions>),
    /// Ask an operator that runs whether it is ready, and its webhook whether it answers. For the chart's test.
    Probe {
        /// Base URL of the admin port.
        #[arg(long, value_name = "URL")]
        admin: Option<Url>,
        /// Base URL of the webhook, as the operator knows it.
        #[arg(long, value_name = "URL")]
        webhook: Option<Url>,
        /// Take any certificate of a webhook with https: inside the cluster its Service has another name than the certificate.
        #[arg(long)]
        any_certificate: bool,
        /// Ask again and again for so many seconds before that counts as the answer: right after pods were replaced, one that
        /// goes may still be asked.
        #[arg(long, value_name = "SECONDS", default_value_t = 0)]
        wait: u16,
    },
    /// Fail while subscriptions are left that may have a channel at Cronofy: asked before the chart is uninstalled.
    Leftovers {
        /// Look only in this namespace; can be given several times. Default: all namespaces.
        #[arg(long, env = "CRONOFY_OPERATOR_NAMESPACE", value_name = "NAMESPACE", value_delimiter = ',', value_parser = namespace)]
        namespace: Vec<String>,
    },
    /// Print the `CustomResourceDefinitions` as YAML, or write them into a folder.
    Crds {
        /// Write one file per kind into this folder instead of printing.
        #[arg(long, value_name = "FOLDER")]
        dir: Option<PathBuf>,
    },
    /// Print the version.
    Version,
}

/// How to run.
#[derive(Clone, Debug, Args)]
pub struct RunOptions {
    /// Public URL under which Cronofy reaches the webhook; `/hook/…` is appended to it. https, unless --allow-http-callback.
    #[arg(long, env = "CRONOFY_OPERATOR_WEBHOOK_BASE_URL", value_name = "URL")]
    pub webhook_base_url: Option<Url>,

    /// Address that the webhook listens on.
    #[arg(long, env = "CRONOFY_OPERATOR_WEBHOOK_LISTEN", value_name = "ADDRESS", default_value = "0.0.0.0:8080")]
    pub webhook_listen: SocketAddr,

    /// Serve the webhook over TLS with the certificate in this PEM file, followed by its chain. Without: plain HTTP, for an ingress
    /// that ends TLS.
    #[arg(long, env = "CRONOFY_OPERATOR_WEBHOOK_TLS_CERT", value_name = "FILE")]
    pub webhook_tls_cert: Option<PathBuf>,

    /// The key of --webhook-tls-cert, a PEM file.
    #[arg(long, env = "CRONOFY_OPERATOR_WEBHOOK_TLS_KEY", value_name = "FILE")]
    pub webhook_tls_key: Option<PathBuf>,

    /// Between two looks at whether these two files have changed, in seconds.
    #[arg(long, env = "CRONOFY_OPERATOR_WEBHOOK_TLS_CHECK_PERIOD", value_name = "SECONDS", default_value = "10")]
    pub webhook_tls_check_period: NonZeroU16,

    /// Address that probes and metrics listen on.
    #[arg(long, env = "CRONOFY_OPERATOR_ADMIN_LISTEN", value_name = "ADDRESS", default_value = "0.0.0.0:9090")]
    pub admin_listen: SocketAddr,

    /// Watch only this namespace; can be given several times. Default: all namespaces.
    #[arg(long, env = "CRONOFY_OPERATOR_NAMESPACE", value_name = "NAMESPACE", value_delimiter = ',', value_parser = namespace)]
    pub namespace: Vec<String>,

    /// Let only the holder of a lease act, so that several replicas can run.
    #[arg(
        long,
        env = "CRONOFY_OPERATOR_LEADER_ELECTION",
        value_name = "BOOL",
        default_value_t = true,
        action = clap::ArgAction::Set,
        num_args = 0..=1,
        default_missing_value = "true"
    )]
    pub leader_election: bool,

    /// Namespace of the lease. Default: the namespace the operator runs in.
    #[arg(long, env = "CRONOFY_OPERATOR_LEASE_NAMESPACE", value_name = "NAMESPACE", value_parser = namespace)]
    pub lease_namespace: Option<String>,

    /// How long a lease is valid after its last renewal, in seconds.
    #[arg(long, env = "CRONOFY_OPERATOR_LEASE_DURATION", value_name = "SECONDS", default_value = "15")]
    pub lease_duration: NonZeroU16,

    /// After how many seconds without a renewal the leader gives up; less than the lease's duration.
    #[arg(long, env = "CRONOFY_OPERATOR_LEASE_RENEW_DEADLINE", value_name = "SECONDS", default_value = "10")]
    pub lease_renew_deadline: NonZeroU16,

    /// Between two tries to get or renew the lease, in seconds.
    #[arg(long, env = "CRONOFY_OPERATOR_LEASE_RETRY_PERIOD", value_name = "SECONDS", default_value = "2")]
    pub lease_retry_period: NonZeroU16,

    /// Subscriptions reconciled at the same time; those that wait for a request budget do not count.
    #[arg(long, env = "CRONOFY_OPERATOR_CONCURRENCY", value_name = "NUMBER", default_value = "16")]
    pub concurrency: NonZeroU16,

    /// Connections that the webhook serves at the same time.
    #[arg(long, env = "CRONOFY_OPERATOR_WEBHOOK_CONNECTIONS", value_name = "NUMBER", default_value = "1024")]
    pub webhook_connections: NonZeroU16,

    /// Let applications name an endpoint of their own instead of a data centre of Cronofy.
    #[arg(long, env = "CRONOFY_OPERATOR_ALLOW_CUSTOM_ENDPOINTS")]
    pub allow_custom_endpoints: bool,

    /// Take a --webhook-base-url with http: for tests and demonstrations only.
    #[arg(long, env = "CRONOFY_OPERATOR_ALLOW_HTTP_CALLBACK")]
    pub allow_http_callback: bool,

    /// Base URL of the calendar store for subscriptions with `spec.store.type: Remote`. https, or http on the same machine.
    /// Without: only those that --allow-remote-store names.
    #[arg(long, env = "CRONOFY_OPERATOR_STORE_URL", value_name = "URL")]
    pub store_url: Option<String>,

    /// A calendar store that subscriptions may name in `spec.store.remote.url`, besides --store-url; can be given several times.
    /// It is shown the operator's token.
    #[arg(long, env = "CRONOFY_OPERATOR_ALLOW_REMOTE_STORE", value_name = "URL", value_delimiter = ',')]
    pub allow_remote_store: Vec<String>,

    /// PEM file with the authorities that alone may vouch for calendar stores. Without: those of the system.
    #[arg(long, env = "CRONOFY_OPERATOR_STORE_CA", value_name = "FILE")]
    pub store_ca: Option<PathBuf>,

    /// File with the token that calendar stores are shown, of a service account and for the audience that they expect.
    #[arg(
        long,
        env = "CRONOFY_OPERATOR_STORE_TOKEN",
        value_name = "FILE",
        default_value = "/var/run/secrets/calendar-store/token"
    )]
    pub store_token: PathBuf,

    /// How logs are written, `json` or `text`; what is logged is set by `RUST_LOG`.
    #[arg(long, env = "CRONOFY_OPERATOR_LOG_FORMAT", value_name = "FORMAT", default_value_t = LogFormat::Json)]
    pub log_format: LogFormat,

    /// Export traces to this collector, by OTLP over HTTP; `/v1/traces` is appended. Without: no traces.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL")]
    pub otlp_endpoint: Option<Url>,

    /// The part of all traces that is recorded, from 0 to 1.
    #[arg(long, env = "CRONOFY_OPERATOR_TRACE_SAMPLE_RATIO", value_name = "RATIO", default_value = "1", value_parser = ratio)]
    pub trace_sample_ratio: f64,
}

/// A combination of flags that cannot work.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidOptions {
    /// The callback URL is not https.
    #[error("--webhook-base-url must begin with https://: Cronofy's deliveries must not be read on the way")]
    NotHttps,
    /// The callback URL has parts that make no sense.
    #[error("--webhook-base-url must be scheme, host, port and path only: remove its {0}")]
    UrlPart(&'static str),
    /// The callback URL is too long.
    #[error("--webhook-base-url is {0} characters too long: with /hook/ and the token it must not exceed {max} characters", max = calendar_sync::LONGEST_CALLBACK_URL)]
    TooLong(usize),
    /// One file of the pair for TLS is missing.
    #[error("--{given} needs --{missing}: give both files, or neither to serve plain HTTP")]
    HalfOfPair {
        /// The flag that is given.
        given: &'static str,
        /// The flag that is not.
        missing: &'static str,
    },
    /// The collector's URL is none that can be called.
    #[error(
        "--otlp-endpoint must be an http or https URL without user name, password, query and fragment: what the collector asks \
             for goes into OTEL_EXPORTER_OTLP_HEADERS"
    )]
    OtlpEndpoint,
    /// The URL of a calendar store is none that can be called.
    #[error("--{flag} {error}")]
    Store {
        /// The flag.
        flag: &'static str,
        /// What is wrong with it.
        error: InvalidAddress,
    },
    /// The lease's times do not fit together.
    #[error("--lease-duration must be greater than --lease-renew-deadline, and that greater than --lease-retry-period")]
    LeaseTimes,
}

/// As clap ends the process for a flag that it refuses by itself.
const USAGE: u8 = 2;

impl Cli {
    /// Does it. Whatever goes wrong is said in one line on standard error, which is a line of the log once that is set up.
    #[must_use]
    pub fn execute(self) -> ExitCode {
        let result = match self.command {
            Command::Run(options) => match options.validate() {
                Ok(()) => run(*options),
                Err(invalid) => {
                    eprintln!("cronofy-operator: {invalid}");
                    return ExitCode::from(USAGE);
                }
            },
            Command::Probe { admin, webhook, any_certificate, wait } => {
                ask(&Targets { admin, webhook, any_certificate, wait: Duration::from_secs(wait.into()) })
            }
            Command::Leftovers { namespace } => leftovers(&namespace),
            Command::Crds { dir } => crds(dir.as_deref()),
            Command::Version => print(concat!("cronofy-operator ", env!("CARGO_PKG_VERSION"), "\n")),
        };
        result.unwrap_or_else(|message| {
            eprintln!("cronofy-operator: {message}");
            ExitCode::FAILURE
        })
    }
}

fn run(options: RunOptions) -> Result<ExitCode, String> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| error.to_string())?;
    let exporter = options.traces();
    let exporter =
        exporter.map(|traces| Exporter::new(&traces, &crate::run::instance(), runtime.handle().clone())).transpose();
    let exporter = exporter.map_err(|error| error.to_string())?;
    telemetry::init(options.log_format, exporter.as_ref()).map_err(|error| error.to_string())?;
    let result = runtime.block_on(async {
        let ending = |kind| signal(kind).map_err(|error| error.to_string());
        let (mut terminate, mut interrupt) = (ending(SignalKind::terminate())?, ending(SignalKind::interrupt())?);
        let stop = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        match Box::pin(crate::run::run(options, stop)).await {
            Ok(()) => Ok(ExitCode::SUCCESS),
            Err(error) => {
                tracing::error!(error = %error, "the operator ends");
                Ok(ExitCode::FAILURE)
            }
        }
    });
    if let Some(exporter) = exporter {
        exporter.finish();
    }
    result
}

/// Does something short.
fn block_on<T, E: ToString>(what: impl Future<Output = Result<T, E>>) -> Result<T, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| error.to_string())?.block_on(what).map_err(|error| error.to_string())
}

fn leftovers(namespaces: &[String]) -> Result<ExitCode, String> {
    block_on(leftovers::nothing_is_left(namespaces))?;
    print("no subscription is left\n")
}

fn ask(targets: &Targets) -> Result<ExitCode, String> {
    let answers = block_on(probe::probe(targets))?;
    print(&answers.into_iter().map(|line| line + "\n").collect::<String>())
}

fn crds(dir: Option<&Path>) -> Result<ExitCode, String> {
    match dir {
        Some(dir) => match crate::crds::write(dir) {
            Ok(()) => Ok(ExitCode::SUCCESS),
            Err(error) => Err(format!("{}: {error}", dir.display())),
        },
        None => print(&crate::crds::yaml().map_err(|error| error.to_string())?),
    }
}

/// Prints a text. Whoever stops reading has read enough.
fn print(text: &str) -> Result<ExitCode, String> {
    let mut output = io::stdout().lock();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(format!("standard output: {error}")),
        Ok(()) | Err(_) => Ok(ExitCode::SUCCESS),
    }
}

/// The name of a namespace: it becomes part of a path.
fn namespace(name: &str) -> Result<String, &'static str> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let ends = [name.bytes().next(), name.bytes().next_back()];
    if name.len() > 63 || !name.bytes().all(allowed) || ends.iter().any(|end| matches!(end, None | Some(b'-'))) {
        return Err(
            "must be the name of a namespace: 1 to 63 lower case letters, digits and '-', with a letter or digit at \
                    both ends",
        );
    }
    Ok(name.to_owned())
}

/// A part of a whole.
fn ratio(text: &str) -> Result<f64, &'static str> {
    let ratio = text.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
    ratio.ok_or("must be a number from 0 to 1")
}

impl RunOptions {
    /// Checks what the flags' types cannot say.
    ///
    /// # Errors
    /// Names the flag and the remedy.
    pub fn validate(&self) -> Result<(), InvalidOptions> {
        if let Some(url) = &self.webhook_base_url {
            match url.scheme() {
                "https" => {}
                "http" if self.allow_http_callback => {}
                _ => return Err(InvalidOptions::NotHttps),
            }
            let parts = [
                ("user name or password", !url.username().is_empty() || url.password().is_some()),
                ("query", url.query().is_some()),
                ("fragment", url.fragment().is_some()),
            ];
            if let Some((part, _)) = parts.into_iter().find(|(_, present)| *present) {
                return Err(InvalidOptions::UrlPart(part));
            }
            let length = calendar_sync::channel::callback_url(url.as_str(), "", 1).len();
            if let Some(excess) = length.checked_sub(calendar_sync::LONGEST_CALLBACK_URL).filter(|excess| *excess > 0) {
                return Err(InvalidOptions::TooLong(excess));
            }
        }
        if let Some(url) = &self.otlp_endpoint {
            let bare = url.username().is_empty()
                && url.password().is_none()
                && url.query().is_none()
                && url.fragment().is_none();
            if !bare || !url.has_host() || !matches!(url.scheme(), "http" | "https") {
                return Err(InvalidOptions::OtlpEndpoint);
            }
        }
        let own = self.store_url.iter().map(|url| ("store-url", url));
        for (flag, url) in own.chain(self.allow_remote_store.iter().map(|url| ("allow-remote-store", url))) {
            url.parse::<Address>().map_err(|error| InvalidOptions::Store { flag, error })?;
        }
        let (cert, key) = ("webhook-tls-cert", "webhook-tls-key");
        match (&self.webhook_tls_cert, &self.webhook_tls_key) {
            (Some(_), None) => return Err(InvalidOptions::HalfOfPair { given: cert, missing: key }),
            (None, Some(_)) => return Err(InvalidOptions::HalfOfPair { given: key, missing: cert }),
            (Some(_), Some(_)) | (None, None) => {}
        }
        if !(self.lease_duration > self.lease_renew_deadline && self.lease_renew_deadline > self.lease_retry_period) {
            return Err(InvalidOptions::LeaseTimes);
        }
        Ok(())
    }

    /// The base of callback URLs, without a slash at its end.
    #[must_use]
    pub fn callback_base(&self) -> Option<String> {
        self.webhook_base_url.as_ref().map(|url| url.as_str().trim_end_matches('/').to_owned())
    }

    /// The files that the webhook serves TLS with, if it is to.
    #[must_use]
    pub fn tls_files(&self) -> Option<PairFiles> {
        let (certificate, key) = self.webhook_tls_cert.clone().zip(self.webhook_tls_key.clone())?;
        let file = |flag, path| PairFile { flag, path };
        Some(PairFiles { certificate: file("webhook-tls-cert", certificate), key: file("webhook-tls-key", key) })
    }

    /// The calendar stores that may be called.
    #[must_use]
    pub fn stores(&self) -> RemoteSettings {
        RemoteSettings {
            default: self.store_url.as_ref().and_then(|url| url.parse().ok()),
            allowed: self.allow_remote_store.iter().filter_map(|url| url.parse().ok()).collect(),
            authorities: self.store_ca.clone(),
            token: self.store_token.clone(),
        }
    }

    /// Where traces go, if they are to be exported.
    #[must_use]
    pub fn traces(&self) -> Option<traces::Settings> {
        let endpoint = self.otlp_endpoint.clone()?;
        Some(traces::Settings { endpoint, sample_ratio: self.trace_sample_ratio })
    }

    /// Duration, renew deadline and retry period of the lease.
    #[must_use]
    pub fn lease_times(&self) -> [Duration; 3] {
        [self.lease_duration, self.lease_renew_deadline, self.lease_retry_period]
            .map(|seconds| Duration::from_secs(u64::from(seconds.get())))
    }
}
