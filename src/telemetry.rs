//! What the operator writes to its log.
//!
//! The convention, everywhere in this crate: the message is constant, everything that varies is a field, an object is the two
//! fields `namespace` and `name`. An error is logged once, where it is dealt with, with its `category`. `error` means that a
//! person must act, `warn` that something is tried again, `info` that something changed its state. A body, a signature, a
//! token, a path of the webhook, the text of an event and an e-mail address never stand in a log.

use std::io::{self, Write};

use tracing::Subscriber;
use tracing::subscriber::SetGlobalDefaultError;
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::fmt::format::{JsonFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{EnvFilter, Layer as _, Registry, fmt};

use crate::traces::{self, Exporter};

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
    AlreadySet(#[from] SetGlobalDefaultError),
}

/// Sends the process's log to standard error, and its spans to the exporter if there is one. `RUST_LOG` chooses what is logged;
/// without it, `info` and above. It has no say in what is exported.
///
/// # Errors
///
/// If `RUST_LOG` does not parse, or if the log was set up before.
pub fn init(format: LogFormat, exporter: Option<&Exporter>) -> Result<(), TelemetryError> {
    let filter = std::env::var(EnvFilter::DEFAULT_ENV).unwrap_or_default();
    // Without the records of the `log` crate: a library that asks whether one of them would be logged, and is refused, would lose us
    // the next line, since filters of layers take that answer for one about it.
    tracing::subscriber::set_global_default(subscriber(format, &filter, io::stderr, exporter)?)?;
    Ok(())
}

/// The client of the Kubernetes API logs an answer that it cannot decode as a whole, and an answer can be a Secret.
const NEVER: &str = "kube_client::client=error";

fn subscriber<W>(
    format: LogFormat,
    filter: &str,
    writer: W,
    exporter: Option<&Exporter>,
) -> Result<impl Subscriber + Send + Sync + 'static, TelemetryError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
    for<'a> <W as MakeWriter<'a>>::Writer: Write,
{
    let filter = if filter.trim().is_empty() { "info" } else { filter };
    let spans = format!("{}=off", traces::TARGET);
    let filter = EnvFilter::builder().parse(filter)?.add_directive(NEVER.parse()?).add_directive(spans.parse()?);
    let log = match format {
        LogFormat::Json => {
            let line = fmt::format().json().flatten_event(true).with_current_span(true).with_span_list(false);
            fmt::layer().event_format(InTrace(line)).fmt_fields(JsonFields::new()).with_writer(writer).boxed()
        }
        LogFormat::Text => {
            fmt::layer().event_format(InTrace(fmt::format())).with_ansi(false).with_writer(writer).boxed()
        }
    };
    let spans = exporter.map(|exporter| {
        let layer = tracing_opentelemetry::layer()
            .with_tracer(exporter.tracer())
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_level(false)
            .with_target(false);
        // Our own spans, and no line of the log: what stands in one is not meant for a collector.
        let ours = filter_fn(|metadata| metadata.is_span() && metadata.target() == traces::TARGET);
        layer.with_filter(ours.with_max_level_hint(LevelFilter::INFO))
    });
    Ok(Registry::default().with(spans).with(log.with_filter(filter)))
}

/// Lines of the log with the id of the trace that they belong to, if there is one.
struct InTrace<F>(F);

impl<S, N, F> FormatEvent<S, N> for InTrace<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &tracing::Event<'_>,
    ) -> std::fmt::Result {
        let Some(trace) = traces::trace_id() else { return self.0.format_event(context, writer, event) };
        let mut line = String::new();
        self.0.format_event(context, Writer::new(&mut line), event)?;
        let line = line.trim_end();
        match line.strip_suffix('}') {
            Some(object) if line.starts_with('{') => writeln!(writer, "{object},\"trace_id\":\"{trace}\"}}"),
            Some(_) | None => writeln!(writer, "{line} trace_id={trace}"),
        }
    }
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
        let subscriber = subscriber(format, filter, move || writer.clone(), None).unwrap();
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

    #[tokio::test]
    async fn a_line_within_a_trace_has_its_id_and_any_other_line_has_none() {
        let settings = traces::Settings { endpoint: "http://127.0.0.1:9".parse().unwrap(), sample_ratio: 1.0 };
        let exporter = Exporter::new(&settings, "test", tokio::runtime::Handle::current()).unwrap();
        for format in [LogFormat::Json, LogFormat::Text] {
            let lines = Lines::default();
            let writer = lines.clone();
            let subscriber = subscriber(format, "", move || writer.clone(), Some(&exporter)).unwrap();
            let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".parse().unwrap();
            tracing::subscriber::with_default(subscriber, || {
                tracing::info!("outside");
                let span = traces::reconcile(Some(parent), "subscription", "rooms", "maple");
                span.in_scope(|| tracing::info!(attempt = 2, "inside"));
            });
            let bytes = lines.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let text = String::from_utf8(bytes).unwrap();
            let [outside, inside] = text.lines().collect::<Vec<_>>()[..] else { panic!("{text}") };
            assert!(!outside.contains("trace_id") && !text.contains("maple"), "spans stand in no line: {text}");
            if format == LogFormat::Json {
                let line: serde_json::Value = serde_json::from_str(inside).unwrap();
                assert_eq!(line["trace_id"], "0af7651916cd43dd8448eb211c80319c");
                assert_eq!((&line["message"], &line["attempt"]), (&"inside".into(), &2.into()));
            } else {
                assert!(inside.ends_with("inside attempt=2 trace_id=0af7651916cd43dd8448eb211c80319c"), "{inside}");
            }
        }
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
        assert!(matches!(subscriber(LogFormat::Json, "=what=", io::stderr, None), Err(TelemetryError::Filter(_))));
        assert_eq!("yaml".parse::<LogFormat>(), Err(UnknownLogFormat));
        for format in [LogFormat::Json, LogFormat::Text] {
            assert_eq!(format.to_string().parse(), Ok(format));
        }
    }
}
