//! Calls to the Kubernetes API: each has a time limit of its own, since the client has none over all its retries.

use std::time::Duration;

/// How long one call may take, retries of the client included. The client has no such limit, and repeats what was answered by
/// 429, 503 or 504.
pub const CALL_LIMIT: Duration = Duration::from_secs(8);

/// There is no way to the Kubernetes API.
#[derive(Debug, thiserror::Error)]
#[error("no access to Kubernetes: {0}; set KUBECONFIG, or run inside a cluster")]
pub struct NoAccess(String);

impl NoAccess {
    /// For this cause, without the excerpt of a kubeconfig that follows in further lines.
    #[must_use]
    pub fn new(cause: &dyn std::error::Error) -> Self {
        Self(cause.to_string().lines().next().unwrap_or_default().to_owned())
    }
}

/// Why a call to the Kubernetes API failed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// No answer in time.
    #[error("the Kubernetes API did not answer within {} s", CALL_LIMIT.as_secs())]
    TimedOut,
    /// Refused, or not reached.
    #[error("Kubernetes API: {}", summary(.0))]
    Failed(#[from] kube::Error),
}

impl CallError {
    /// The object does not exist.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.code() == Some(404)
    }

    /// The API server knows the kind, and says that there is no object of this name: not that it does not serve the kind at
    /// present, or not in this version.
    #[must_use]
    pub fn is_absence_of(&self, name: &str) -> bool {
        let CallError::Failed(kube::Error::Api(status)) = self else { return false };
        let about = status.details.as_ref().is_some_and(|details| details.name == name);
        status.code == 404 && status.reason == "NotFound" && about
    }

    /// Somebody else was faster: read again.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        self.code() == Some(409)
    }

    /// A right is missing.
    #[must_use]
    pub fn is_forbidden(&self) -> bool {
        self.code() == Some(403)
    }

    /// The HTTP status of a refusal.
    #[must_use]
    pub fn code(&self) -> Option<u16> {
        match self {
            CallError::Failed(kube::Error::Api(status)) => Some(status.code),
            CallError::TimedOut | CallError::Failed(_) => None,
        }
    }
}

/// One line without the object's content: an API server quotes refused values.
fn summary(error: &kube::Error) -> String {
    match error {
        // Where the answer is no Status, as for a kind that is not installed, the client puts a sentence of its own there.
        kube::Error::Api(status) if status.reason.contains(' ') => format!("refused with {}", status.code),
        kube::Error::Api(status) => format!("refused with {} {}", status.code, status.reason),
        kube::Error::Service(_) | kube::Error::HyperError(_) => "not reached".to_owned(),
        other => other.to_string().lines().next().unwrap_or_default().chars().take(200).collect(),
    }
}

/// Awaits a call for at most [`CALL_LIMIT`].
///
/// # Errors
/// If it fails or takes longer. A call that timed out may have had its effect.
pub async fn call<T>(request: impl Future<Output = kube::Result<T>>) -> Result<T, CallError> {
    match tokio::time::timeout(CALL_LIMIT, request).await {
        Ok(answer) => answer.map_err(CallError::from),
        Err(_elapsed) => Err(CallError::TimedOut),
    }
}

#[cfg(test)]
mod tests {
    use http::{Request, Response, StatusCode};
    use kube::client::Body;
    use kube::core::DynamicObject;
    use kube::discovery::ApiResource;
    use kube::{Api, Client};

    use super::*;

    async fn refused(body: &'static str) -> CallError {
        let service = tower::service_fn(move |_: Request<Body>| async move {
            let mut answer = Response::new(Body::from(body.as_bytes().to_vec()));
            *answer.status_mut() = StatusCode::NOT_FOUND;
            Ok::<_, std::convert::Infallible>(answer)
        });
        let kind = ApiResource::erase::<k8s_openapi::api::core::v1::Secret>(&());
        let api = Api::<DynamicObject>::namespaced_with(Client::new(service, "default"), "default", &kind);
        call(api.get("account")).await.unwrap_err()
    }

    #[tokio::test]
    async fn a_refusal_is_told_by_its_code_and_by_its_reason_if_it_gives_one() {
        let status = r#"{"kind":"Status","status":"Failure","message":"canary","reason":"NotFound","code":404}"#;
        assert_eq!(refused(status).await.to_string(), "Kubernetes API: refused with 404 NotFound");
        assert_eq!(refused("404 page not found").await.to_string(), "Kubernetes API: refused with 404");
    }

    #[tokio::test]
    async fn an_object_is_absent_only_if_the_server_says_so_of_this_very_object() {
        let of = r#"{"kind":"Status","status":"Failure","message":"","reason":"NotFound","details":{"name":"account"},"code":404}"#;
        assert!(refused(of).await.is_absence_of("account"));
        assert!(!refused(of).await.is_absence_of("other"));
        let of_the_kind =
            r#"{"kind":"Status","status":"Failure","message":"","reason":"NotFound","details":{},"code":404}"#;
        for not_served in [of_the_kind, "404 page not found"] {
            assert!(!refused(not_served).await.is_absence_of("account"), "{not_served}");
        }
    }
}
