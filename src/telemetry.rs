//! What the operator writes to its log.
//!
//! The convention, everywhere in this crate: the message is constant, everything that varies is a field, an object is the two
//! fields `namespace` and `name`. An error is logged once, where it is dealt with, with its `category`. `error` means that a
//! person must act, `warn` that something is tried again, `info` that something changed its state. A body, a signature, a
//! token, a path of the webhook, the text of an event and an e-mail address never stand in a log.

use std::io::{self, Write};

use tracing::Subscriber;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, Registry, fmt};

/// The form of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line, fields beside the message.
    #[default]
    Json,
    /// Text for people.
    Text,
}

/// A word that names no [`LogFormat`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the log format is `json` or `text`")]
pub struct UnknownLogFormat;

impl std::str::FromStr for LogFormat {
    type Err = UnknownLogFormat;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "json" => Ok(Self::Json),
            "text" => Ok(Self::Text),
            _ => Err(UnknownLogFormat),
        }
    }
}

impl std::fmt::Display for LogFormat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Json => "json",
            Self::Text => "text",
        })
    }
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// `RUST_LOG` does not parse.
    #[error("RUST_LOG is not understood: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// Another subscriber was installed before.
    #[error("the log is already set up")]
    AlreadySet(#[from] tracing_subscriber::util::TryInitError),
}

/// Sends the process's log to standard error. `RUST_LOG` chooses what is logged; without it, `info` and above.
///
/// # Errors
///
/// If `RUST_LOG` does not parse, or if the log was set up before.
pub fn init(format: LogFormat) -> Result<(), TelemetryError> {
    let filter = std::env::var(EnvFilter::DEFAULT_ENV).unwrap_or_default();
    subscriber(format, &filter, io::stderr)?.try_init()?;
    Ok(())
}

/// The client of the Kubernetes API logs an answer that it cannot decode as a whole, and an answer can be a Secret.
const NEVER: &str = "kube_client::client=error";

fn subscriber<W>(
    format: LogFormat,
    filter: &str,
    writer: W,
) -> Result<impl Subscriber + Send + Sync + 'static, TelemetryError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
    for<'a> <W as MakeWriter<'a>>::Writer: Write,
{
    let filter = if filter.trim().is_empty() { "info" } else { filter };
    let filter = EnvFilter::builder().parse(filter)?.add_directive(NEVER.parse()?);
    let layer = match format {
        LogFormat::Json => fmt::layer()
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .with_writer(writer)
            .boxed(),
        LogFormat::Text => fmt::layer().with_ansi(false).with_writer(writer).boxed(),
    };
    Ok(Registry::default().with(filter).with(layer))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex, PoisonError};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, filter: &str, log: impl FnOnce()) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = subscriber(format, filter, move || writer.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, log);
        String::from_utf8(lines.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn a_json_line_holds_the_constant_message_and_the_fields_beside_it() {
        let text = logged(LogFormat::Json, "", || {
            tracing::info!(namespace = "rooms", name = "maple", "channel verified");
            tracing::debug!("too fine");
        });
        let line: serde_json::Value = serde_json::from_str(text.trim_end()).unwrap();
        assert_eq!(line["message"], "channel verified");
        assert_eq!(line["namespace"], "rooms");
        assert_eq!(line["name"], "maple");
        assert_eq!(line["level"], "INFO");
        assert_eq!(text.lines().count(), 1, "info is the default");
    }

    #[test]
    fn text_has_no_control_characters() {
        let text = logged(LogFormat::Text, "debug", || tracing::debug!(attempt = 2, "retried"));
        assert!(text.contains("retried attempt=2"), "{text}");
        assert!(!text.contains('\u{1b}'));
    }

    #[test]
    fn answers_that_the_kubernetes_client_cannot_decode_are_logged_at_no_filter() {
        for filter in ["", "trace", "kube_client=trace", "kube_client::client=trace"] {
            let text = logged(LogFormat::Json, filter, || {
                tracing::warn!(target: "kube_client::client", "canary");
            });
            assert_eq!(text, "", "{filter}");
        }
    }

    #[test]
    fn a_filter_that_does_not_parse_is_an_error() {
        assert!(matches!(subscriber(LogFormat::Json, "=what=", io::stderr), Err(TelemetryError::Filter(_))));
        assert_eq!("yaml".parse::<LogFormat>(), Err(UnknownLogFormat));
        for format in [LogFormat::Json, LogFormat::Text] {
            assert_eq!(format.to_string().parse(), Ok(format));
        }
    }
}
