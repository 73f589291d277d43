//! Sends spans to a collector: OTLP over HTTP, in batches, from a thread of its own.
//!
//! Nothing waits for it. What does not fit into the queue is dropped, and so is what the collector does not take: traces are a
//! help, never a reason to stand still.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider};
use tokio::runtime::Handle;
use url::Url;

use crate::cause::causes;

/// For one batch.
const SEND_LIMIT: Duration = Duration::from_secs(5);
/// For what is left at the end.
const LAST_LIMIT: Duration = Duration::from_secs(3);
/// Spans that wait at a time; further ones are dropped. A reconcile makes a dozen.
const QUEUE: usize = 4096;
/// Spans of one request.
const BATCH: usize = 512;
/// Between two requests, unless a batch is full before.
const DELAY: Duration = Duration::from_secs(2);
/// Bytes that are read of an answer. One that says all went well has none.
const ANSWER_BYTES: usize = 16 * 1024;

/// Where spans go.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Base URL of the collector; `/v1/traces` is appended.
    pub endpoint: Url,
    /// The part of all traces that is recorded, from 0 to 1.
    pub sample_ratio: f64,
}

/// Why there is no exporter.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The settings do not make one.
    #[error("traces cannot be exported: {0}")]
    Exporter(#[from] ExporterBuildError),
    /// The HTTP client could not be made.
    #[error("traces cannot be exported: {0}")]
    Client(#[from] reqwest::Error),
}

/// Collects spans and sends them. Call [`Exporter::finish`] at the end.
pub struct Exporter {
    provider: SdkTracerProvider,
}

impl std::fmt::Debug for Exporter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The provider would show what the collector is told in headers.
        f.debug_struct("Exporter").finish_non_exhaustive()
    }
}

impl Exporter {
    /// One that sends from this runtime, in the name of this replica.
    ///
    /// # Errors
    /// If the settings, or the standard `OTEL_EXPORTER_OTLP_…` variables beside them, cannot be used.
    pub fn new(settings: &Settings, instance: &str, runtime: Handle) -> Result<Self, ExportError> {
        let Settings { endpoint, sample_ratio } = settings;
        let endpoint = format!("{}/v1/traces", endpoint.as_str().trim_end_matches('/'));
        let client = reqwest::Client::builder().timeout(SEND_LIMIT).redirect(reqwest::redirect::Policy::none());
        let sender = Sender(Arc::new(Shared { http: client.build()?, failing: AtomicBool::new(false) }), runtime);
        let exporter = SpanExporter::builder().with_http().with_http_client(sender);
        let exporter = exporter.with_endpoint(endpoint).with_timeout(SEND_LIMIT).build()?;
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(QUEUE)
            .with_max_export_batch_size(BATCH)
            .with_scheduled_delay(DELAY)
            .build();
        let resource = Resource::builder()
            .with_service_name(env!("CARGO_PKG_NAME"))
            .with_attributes([
                KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
                KeyValue::new("service.instance.id", instance.to_owned()),
            ])
            .build();
        let provider = SdkTracerProvider::builder()
            .with_span_processor(BatchSpanProcessor::builder(exporter).with_batch_config(batches).build())
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(*sample_ratio))))
            .with_resource(resource)
            .build();
        Ok(Self { provider })
    }

    /// What makes spans.
    #[must_use]
    pub fn tracer(&self) -> SdkTracer {
        self.provider.tracer(env!("CARGO_PKG_NAME"))
    }

    /// Sends what is left, for at most 3 s. Blocks; the runtime must go on meanwhile.
    pub fn finish(self) {
        if let Err(error) = self.provider.shutdown_with_timeout(LAST_LIMIT) {
            tracing::warn!(error = %error, "the last traces were not exported");
        }
    }
}

/// Sends batches with the client that the rest of the process uses, too. The thread that asks has no runtime: the work is done
/// on that of the process.
#[derive(Clone, Debug)]
struct Sender(Arc<Shared>, Handle);

#[derive(Debug)]
struct Shared {
    http: reqwest::Client,
    /// The last batch was not taken: told once, until one is taken again.
    failing: AtomicBool,
}

type Sent = Result<http::Response<Bytes>, HttpError>;

impl HttpClient for Sender {
    fn send_bytes<'a, 'b>(&'a self, request: http::Request<Bytes>) -> Pin<Box<dyn Future<Output = Sent> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        let Self(shared, runtime) = self.clone();
        let sent = runtime.spawn(async move {
            let sent = shared.send(request).await;
            shared.tell(&sent);
            sent
        });
        Box::pin(async move { sent.await? })
    }
}

impl Shared {
    async fn send(&self, request: http::Request<Bytes>) -> Sent {
        let mut answer = self.http.execute(request.try_into()?).await?;
        let mut told = http::Response::new(Bytes::new());
        *told.status_mut() = answer.status();
        let mut body = Vec::new();
        while let Some(part) = answer.chunk().await? {
            if body.len() + part.len() > ANSWER_BYTES {
                return Err("the collector's answer is too long".into());
            }
            body.extend_from_slice(&part);
        }
        *told.body_mut() = body.into();
        Ok(told)
    }

    fn tell(&self, sent: &Sent) {
        let why = match sent {
            Ok(answer) if answer.status().is_success() => {
                if self.failing.swap(false, Ordering::Relaxed) {
                    tracing::info!("traces are exported again");
                }
                return;
            }
            Ok(answer) => format!("the collector answers {}", answer.status()),
            Err(error) => causes(error.as_ref()),
        };
        if !self.failing.swap(true, Ordering::Relaxed) {
            tracing::warn!(cause = why, "traces are not exported and are dropped until the collector takes them again");
        }
    }
}
