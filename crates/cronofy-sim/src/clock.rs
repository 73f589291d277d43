//! The simulator's clock: runs with real time, or stands still and is moved by hand.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

/// A clock that can be frozen and moved.
#[derive(Clone, Debug)]
pub struct Clock {
    at: Timestamp,
    /// The real instant that `at` belongs to; `None` while frozen.
    running_since: Option<Instant>,
}

impl Clock {
    /// A running clock that shows `now`.
    #[must_use]
    pub fn running(now: Timestamp) -> Self {
        Self { at: now, running_since: Some(Instant::now()) }
    }

    /// What it shows.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let passed = self.running_since.map_or(Duration::ZERO, |since| since.elapsed());
        add(self.at, passed)
    }

    /// Stops it.
    pub fn freeze(&mut self) {
        *self = Self { at: self.now(), running_since: None };
    }

    /// Lets it run on from what it shows.
    pub fn run(&mut self) {
        *self = Self::running(self.now());
    }

    /// Sets it.
    pub fn set(&mut self, now: Timestamp) {
        self.at = now;
        if self.running_since.is_some() {
            self.running_since = Some(Instant::now());
        }
    }

    /// How much real time passes until it shows `time`; `None` if it stands still before that.
    #[must_use]
    pub fn until(&self, time: Timestamp) -> Option<Duration> {
        let rest = time.duration_since(self.now());
        if rest.is_negative() || rest.is_zero() {
            return Some(Duration::ZERO);
        }
        self.running_since.map(|_| rest.unsigned_abs())
    }
}

/// `time` plus `span`, at the end of time at the latest.
pub(crate) fn add(time: Timestamp, span: Duration) -> Timestamp {
    let span = SignedDuration::try_from(span).unwrap_or(SignedDuration::MAX);
    time.checked_add(span).unwrap_or(Timestamp::MAX)
}
