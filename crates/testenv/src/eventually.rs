//! Waiting for a condition.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::Error;

/// Between two attempts: short against a request, long against a busy loop.
const PAUSE: Duration = Duration::from_millis(25);

/// Tries until `attempt` gives a value, which is returned.
///
/// Attempts follow each other after 25 ms. An attempt that runs when the limit passes is cut off.
///
/// # Errors
/// [`Error::TimedOut`] with `what` once `limit` has passed.
pub async fn eventually<T, F, Fut>(what: &str, limit: Duration, mut attempt: F) -> Result<T, Error>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Option<T>>,
{
    let deadline = Instant::now() + limit;
    let attempts = async {
        loop {
            if let Some(value) = attempt().await {
                return value;
            }
            sleep(PAUSE).await;
        }
    };
    tokio::time::timeout_at(deadline, attempts).await.map_err(|_| Error::TimedOut { what: what.to_owned(), limit })
}
