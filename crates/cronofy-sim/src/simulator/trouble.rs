//! What goes wrong with calls: faults, holds, outages, restarts; and what was called.

use std::sync::Arc;

use tokio::sync::{Semaphore, watch};

use crate::faults::{Drawing, Endpoint, Fault, Gate, Hold, Schedule, ScheduleError};
use crate::{RequestRecord, Simulator};

/// What Cronofy remembers after a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Restart {
    /// All.
    StateKept,
    /// All but channels, and what was due to them: not even a closed one is left.
    ChannelsLost,
}

impl Simulator {
    /// Restarts Cronofy: all connections end.
    pub fn restart(&self, restart: Restart) {
        if restart == Restart::ChannelsLost {
            let mut state = self.inner.state();
            state.model.channels.clear();
            state.model.pending.clear();
        }
        self.inner.restarts.send_modify(|restarts| *restarts += 1);
        self.inner.wake.notify_one();
    }

    /// Lets calls and notifications run into faults by chance, or not any more. It begins anew, also if it is the same one.
    ///
    /// # Errors
    /// If a probability is not from 0 to 1, or their sum is above 1.
    pub fn schedule(&self, schedule: Option<Schedule>) -> Result<(), ScheduleError> {
        if let Some(schedule) = &schedule {
            schedule.check()?;
        }
        self.inner.state().model.drawing = schedule.map(Drawing::new);
        Ok(())
    }

    /// No call gets an answer any more, or all do again.
    pub fn down(&self, down: bool) {
        self.inner.state().down = down;
    }

    /// Lets the next calls run into a fault.
    pub fn inject(&self, fault: Fault) {
        self.inner.state().faults.push(fault);
    }

    /// Forgets the faults that nobody ran into.
    pub fn clear_faults(&self) {
        self.inner.state().faults.clear();
    }

    /// Makes the next `count` calls to an endpoint wait.
    #[must_use]
    pub fn hold(&self, endpoint: Endpoint, count: usize) -> Hold {
        let gate = Arc::new(Semaphore::new(0));
        let arrived = watch::Sender::new(0);
        let hold = Hold { arrived: arrived.subscribe(), gate: gate.clone() };
        self.inner.state().gates.push(Gate { endpoint, left: count, arrived, open: gate });
        hold
    }

    /// Requests so far.
    #[must_use]
    pub fn requests(&self) -> Vec<RequestRecord> {
        self.inner.state().requests.clone()
    }

    /// Number of requests to an endpoint so far.
    #[must_use]
    pub fn count(&self, endpoint: Endpoint) -> usize {
        self.inner.state().requests.iter().filter(|request| request.endpoint == endpoint).count()
    }

    /// Forgets requests, deliveries and changes so far.
    pub fn clear_journal(&self) {
        let mut state = self.inner.state();
        state.requests.clear();
        state.deliveries.clear();
        state.model.changes.clear();
    }
}
