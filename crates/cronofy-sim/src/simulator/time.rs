//! The clock, and waiting for what is due.

use std::time::Duration;

use jiff::Timestamp;

use crate::{Simulator, clock, delivery};

impl Simulator {
    /// What the clock shows.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.inner.state().clock.now()
    }

    /// Sets the clock. What was due meanwhile is due at once.
    pub fn set_clock(&self, now: Timestamp) {
        self.inner.state().clock.set(now);
        self.inner.wake.notify_one();
    }

    /// Stops the clock.
    pub fn freeze(&self) {
        self.inner.state().clock.freeze();
        self.inner.wake.notify_one();
    }

    /// Lets the clock run on.
    pub fn run(&self) {
        self.inner.state().clock.run();
        self.inner.wake.notify_one();
    }

    /// Puts the clock forward, through all that becomes due on the way.
    pub async fn advance(&self, by: Duration) {
        let end = clock::add(self.now(), by);
        loop {
            self.settle().await;
            let next = {
                let mut state = self.inner.state();
                let next = delivery::next_due(&state).filter(|due| *due <= end);
                let now = state.clock.now();
                state.clock.set(next.unwrap_or(end).max(now));
                next
            };
            self.inner.wake.notify_one();
            if next.is_none() {
                return;
            }
        }
    }

    /// Waits until no delivery is due or in flight.
    pub async fn settle(&self) {
        self.inner.settle().await;
    }
}
