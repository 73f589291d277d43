//! One call to the API server, and what its failure means.
//!
//! The API server's own messages are not passed on as they are: an admission rule may quote the object it refuses.

use std::time::Duration;

use kube::Client;
use kube::core::{Status, request};
use serde::de::DeserializeOwned;

use super::StoreError;
use crate::cause::causes;

/// What is called for, as far as a failure is to be explained by it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call<'a> {
    /// The verb, as in a Role.
    pub verb: &'static str,
    /// The resource, as in a Role.
    pub resource: &'static str,
    /// Kind of the output.
    pub kind: &'static str,
    /// Where.
    pub namespace: &'a str,
    /// Size of the texts sent.
    pub bytes: usize,
}

/// Why a call failed.
#[derive(Debug)]
pub(super) enum CallError {
    /// 404: the object does not exist.
    NotFound,
    /// 409: it exists already, or is not what the call was conditional on.
    Conflict,
    /// Anything else.
    Failed(StoreError),
}

impl From<CallError> for StoreError {
    /// For a caller that counted on the object as it knew it.
    fn from(error: CallError) -> Self {
        match error {
            CallError::NotFound | CallError::Conflict => Self::HeadMoved,
            CallError::Failed(error) => error,
        }
    }
}

impl Call<'_> {
    /// Sends the request and reads the answer, both within `time_limit`.
    ///
    /// Not by way of [`kube::Api`], which logs an answer that it cannot read in full: here that would be event text.
    pub async fn send<T: DeserializeOwned>(
        self,
        client: &Client,
        request: Result<http::Request<Vec<u8>>, request::Error>,
        time_limit: Duration,
    ) -> Result<T, CallError> {
        let request = request.map_err(|_| CallError::Failed(StoreError::Unencodable))?;
        match tokio::time::timeout(time_limit, client.request_text(request)).await {
            Ok(Ok(text)) => serde_json::from_str(&text).map_err(|_| CallError::Failed(StoreError::Unreadable)),
            Ok(Err(error)) => Err(self.failed(error)),
            Err(_) => Err(CallError::Failed(StoreError::TimedOut { verb: self.verb, limit: time_limit })),
        }
    }

    fn failed(self, error: kube::Error) -> CallError {
        let Self { verb, .. } = self;
        CallError::Failed(match error {
            kube::Error::Api(status) => return self.answered(&status),
            kube::Error::Service(error) => StoreError::Unreachable { verb, cause: causes(error.as_ref()) },
            kube::Error::HyperError(error) => StoreError::Unreachable { verb, cause: causes(&error) },
            kube::Error::Auth(_) => StoreError::Unreachable { verb, cause: "no valid credentials".to_owned() },
            // Their texts may quote what was read.
            _ => StoreError::Unreadable,
        })
    }

    fn answered(self, status: &Status) -> CallError {
        let Self { verb, resource, kind, namespace, bytes } = self;
        let namespace = || namespace.to_owned();
        let says = |text: &str| status.message.contains(text);
        let missing_namespace = status.details.as_ref().is_some_and(|details| details.kind == "namespaces");
        let too_large = match status.code {
            413 => true,
            422 => says("Too long"),
            // What etcd refuses comes as if the server had failed; it does so every time.
            500 => says("request is too large") || says("larger than max"),
            _ => false,
        };
        CallError::Failed(match status.code {
            _ if too_large => StoreError::ObjectTooLarge { kind, bytes },
            404 if missing_namespace => StoreError::NamespaceTerminating { namespace: namespace() },
            404 => return CallError::NotFound,
            409 => return CallError::Conflict,
            403 if is_terminating(status) => StoreError::NamespaceTerminating { namespace: namespace() },
            403 if says("exceeded quota") => StoreError::QuotaExceeded { namespace: namespace() },
            403 if says(&format!("cannot {verb} resource")) => {
                StoreError::Forbidden { verb, resource, namespace: namespace() }
            }
            code @ (429 | 500..=599) => StoreError::Unavailable { verb, code },
            code => StoreError::Refused { verb, code, reason: word(&status.reason), by: refuser(&status.message) },
        })
    }
}

fn is_terminating(status: &Status) -> bool {
    let causes = status.details.as_ref().map(|details| details.causes.as_slice()).unwrap_or_default();
    causes.iter().any(|cause| cause.reason == "NamespaceTerminating")
}

/// A reason as Kubernetes has them: one word. An admission webhook may answer with anything.
fn word(reason: &str) -> String {
    let is_word = reason.len() <= 64 && reason.chars().all(|character| character.is_ascii_alphanumeric());
    if is_word { reason.to_owned() } else { String::new() }
}

/// The name of what refuses a request: all of the message that is safe to repeat.
fn refuser(message: &str) -> String {
    let quoted = |kind: &str, quote: char| {
        let (_, rest) = message.split_once(kind)?;
        let name = rest.trim_start().strip_prefix(quote)?.split(quote).next()?;
        let is_name = |character: char| character.is_ascii_alphanumeric() || matches!(character, '.' | '-' | '_' | ':');
        (name.len() <= 253 && name.chars().all(is_name)).then(|| format!("{kind} {name} does not let it pass"))
    };
    quoted("admission webhook", '"')
        .or_else(|| quoted("ValidatingAdmissionPolicy", '\''))
        .unwrap_or_else(|| "its audit log tells why".to_owned())
}
