//! Waits after reconciles that failed outside of the engine: the Kubernetes API away, a time limit, a panic.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The wait after the first failure, at most.
const FIRST: Duration = Duration::from_millis(500);
/// The longest wait.
const LONGEST: Duration = Duration::from_secs(300);

/// Failures in a row, by uid. Exponential with full jitter, so that what failed together does not come back together.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: Mutex<HashMap<String, u32>>,
}

impl Backoff {
    /// Counts a failure and gives the wait before the next try.
    #[must_use]
    pub fn next(&self, uid: &str) -> Duration {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let count = failures.entry(uid.to_owned()).or_default();
        let limit = FIRST.saturating_mul(2_u32.saturating_pow(*count)).min(LONGEST);
        *count = count.saturating_add(1);
        // Never nothing: a failure that comes at once must not become a loop.
        FIRST / 10 + limit.mul_f64(fastrand::f64())
    }

    /// A reconcile succeeded.
    pub fn reset(&self, uid: &str) {
        self.forget(uid);
    }

    /// The object is gone.
    pub fn forget(&self, uid: &str) {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_the_longest_and_success_starts_anew() {
        let backoff = Backoff::default();
        for _ in 0..1_000 {
            assert!(backoff.next("a") <= LONGEST + FIRST);
        }
        backoff.reset("a");
        assert!(backoff.next("a") <= FIRST * 2);
        assert!(backoff.next("b") <= FIRST * 2, "objects do not share their failures");
        backoff.forget("a");
        backoff.forget("b");
        assert!(backoff.failures.lock().unwrap().is_empty());
    }
}
