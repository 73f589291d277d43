//! Waiting for a condition.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::Error;

/// Between the first two attempts.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
/// Between two attempts at most: many tests that wait at a time shall not keep each other waiting.
const LONGEST_PAUSE: Duration = Duration::from_millis(160);

/// Tries until `attempt` gives a value, which is returned.
///
/// Attempts follow each other after 20 ms, then after twice as long each time, up to 160 ms. An attempt that runs when the limit passes is cut off.
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
        let mut pause = FIRST_PAUSE;
        loop {
            if let Some(value) = attempt().await {
                return value;
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    };
    tokio::time::timeout_at(deadline, attempts).await.map_err(|_| Error::TimedOut { what: what.to_owned(), limit })
}
