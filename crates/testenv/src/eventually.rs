//! Waiting for a condition.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::Error;

/// Between the first attempts: short against a request, long against a busy loop.
const SHORTEST: Duration = Duration::from_millis(25);
/// Between attempts at what takes long: many tests wait at a time, and what they ask costs more than what they wait for.
const LONGEST: Duration = Duration::from_millis(250);

/// Tries until `attempt` gives a value, which is returned.
///
/// Attempts follow each other after an eighth of the time waited so far, and at least 25 ms, at most 250 ms. An attempt
/// that runs when the limit passes is cut off.
///
/// # Errors
/// [`Error::TimedOut`] with `what` once `limit` has passed.
pub async fn eventually<T, F, Fut>(what: &str, limit: Duration, mut attempt: F) -> Result<T, Error>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Option<T>>,
{
    let begun = Instant::now();
    let deadline = begun + limit;
    let attempts = async {
        loop {
            if let Some(value) = attempt().await {
                return value;
            }
            sleep((begun.elapsed() / 8).clamp(SHORTEST, LONGEST)).await;
        }
    };
    tokio::time::timeout_at(deadline, attempts).await.map_err(|_| Error::TimedOut { what: what.to_owned(), limit })
}
