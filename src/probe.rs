//! Questions to an operator that runs, for the chart's test.

use std::time::{Duration, Instant};

use http::StatusCode;
use url::Url;

use calendar_sync::channel::HOOK_PATH;

use crate::cause::causes;

/// For each answer.
const LIMIT: Duration = Duration::from_secs(10);
/// Before a target is asked again.
const PAUSE: Duration = Duration::from_secs(1);

/// Where to ask.
#[derive(Clone, Debug, Default)]
pub struct Targets {
    /// The base URL of the admin port.
    pub admin: Option<Url>,
    /// The base URL of the webhook, as the operator knows it.
    pub webhook: Option<Url>,
    /// Take any certificate. Nothing that is sent is a secret, so all that is lost is the proof of who answers.
    pub any_certificate: bool,
    /// How long they are asked again before they count as not ready.
    pub wait: Duration,
}

/// Something does not answer as an operator does.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// There is nothing to ask.
    #[error("give --admin or --webhook, or both: there is nothing to ask")]
    NoTarget,
    /// No answer.
    #[error("{url} does not answer: {error}")]
    NoAnswer {
        /// What was asked.
        url: String,
        /// Why.
        error: String,
    },
    /// An answer that is not the expected one.
    #[error("{url} answers {status}, not as an operator that is ready does{body}")]
    Answer {
        /// What was asked.
        url: String,
        /// The status.
        status: StatusCode,
        /// The first line of the body after a colon, if there is one.
        body: String,
    },
}

/// Asks the admin port whether the operator is ready, and the webhook whether it refuses what no notification is. Gives a line
/// for each.
///
/// # Errors
/// The first target that does not answer as it should until the wait is over.
pub async fn probe(targets: &Targets) -> Result<Vec<String>, ProbeError> {
    let Targets { admin, webhook, any_certificate, wait } = targets;
    let begun = Instant::now();
    let asked = [
        admin.as_ref().map(|base| (below(base, "readyz"), StatusCode::OK)),
        webhook.as_ref().map(|base| (below(base, &format!("{HOOK_PATH}/probe")), StatusCode::METHOD_NOT_ALLOWED)),
    ];
    let mut answers = Vec::new();
    for (url, expected) in asked.into_iter().flatten() {
        answers.push(loop {
            match ask(url.clone(), expected, *any_certificate).await {
                Ok(answer) => break answer,
                Err(_) if begun.elapsed() < *wait => tokio::time::sleep(PAUSE).await,
                Err(error) => return Err(error),
            }
        });
    }
    if answers.is_empty() { Err(ProbeError::NoTarget) } else { Ok(answers) }
}

fn below(base: &Url, path: &str) -> String {
    format!("{}/{path}", base.as_str().trim_end_matches('/'))
}

async fn ask(url: String, expected: StatusCode, any_certificate: bool) -> Result<String, ProbeError> {
    let no_answer = |error: reqwest::Error| ProbeError::NoAnswer { url: url.clone(), error: causes(&error) };
    let client = reqwest::Client::builder()
        .timeout(LIMIT)
        .redirect(reqwest::redirect::Policy::none())
        .tls_danger_accept_invalid_certs(any_certificate)
        .build();
    let answer = client.map_err(no_answer)?.get(&url).send().await.map_err(no_answer)?;
    let status = answer.status();
    if status == expected {
        return Ok(format!("{url} answers {status}"));
    }
    let text = answer.text().await.map_err(no_answer)?;
    let body = text.lines().next().map(|line| format!(": {line}")).unwrap_or_default();
    Err(ProbeError::Answer { url, status, body })
}
