//! Faults by chance, but the same chance each time: a seed gives the same faults for the same calls.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Answer, Endpoint};
use crate::settings::Notifications;

/// How often which fault happens.
///
/// Whether the `n`th call to an endpoint on behalf of an account runs into one follows from the seed, the endpoint, the account
/// and `n`, and whether the `n`th notification to an account does, from the seed, the account and `n`. So what else goes on, or in
/// which order, changes nothing for them. Faults that were injected come first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Chooses.
    pub seed: u64,
    /// The probability of each kind, from 0 to 1. The sums for calls and for notifications are at most 1.
    pub probabilities: BTreeMap<ScheduledFault, f64>,
}

/// A fault that a [`Schedule`] chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScheduledFault {
    /// A call is answered 500.
    ServerError,
    /// A call is answered 503.
    Unavailable,
    /// A call is answered 429 without `Retry-After`.
    RateLimited,
    /// A call with an access token is answered 401.
    Unauthorized,
    /// A call's connection ends before anything takes place.
    Cut,
    /// A call takes place, and its connection ends without an answer.
    LostAnswer,
    /// Half of a call's answer arrives.
    Truncated,
    /// A call takes place a tenth of a second late.
    Slow,
    /// A notification is never sent.
    NotificationLost,
    /// A notification is sent twice.
    NotificationDuplicated,
    /// A notification is sent after `notification_delay`.
    NotificationDelayed,
    /// A notification is sent after the next one.
    NotificationReordered,
    /// A notification is sent again after `replay_after`.
    NotificationReplayed,
}

/// What is wrong with a schedule.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ScheduleError {
    /// Not a probability.
    #[error("{kind:?} is {probability}: give a probability from 0 to 1")]
    OutOfRange {
        /// Of which fault.
        kind: ScheduledFault,
        /// The value.
        probability: f64,
    },
    /// Together they are more than certain.
    #[error("the probabilities for {of} add up to {sum}: keep them at 1 or less")]
    Excess {
        /// Calls or notifications.
        of: &'static str,
        /// Their sum.
        sum: f64,
    },
}

impl ScheduledFault {
    fn answer(self, endpoint: Endpoint) -> Option<Answer> {
        match self {
            Self::ServerError => Some(Answer::status(500)),
            Self::Unavailable => Some(Answer::status(503)),
            Self::RateLimited => Some(Answer::rate_limited(None)),
            Self::Unauthorized => endpoint.needs_access_token().then(|| Answer::status(401)),
            Self::Cut => Some(Answer::Cut),
            Self::LostAnswer => Some(Answer::LostAnswer),
            Self::Truncated => Some(Answer::Truncated),
            Self::Slow => Some(Answer::Slow(Duration::from_millis(100))),
            Self::NotificationLost
            | Self::NotificationDuplicated
            | Self::NotificationDelayed
            | Self::NotificationReordered
            | Self::NotificationReplayed => None,
        }
    }

    fn way(self) -> Option<Notifications> {
        match self {
            Self::NotificationLost => Some(Notifications::Lost),
            Self::NotificationDuplicated => Some(Notifications::Duplicated),
            Self::NotificationDelayed => Some(Notifications::Delayed),
            Self::NotificationReordered => Some(Notifications::Reordered),
            Self::NotificationReplayed => Some(Notifications::Replayed),
            Self::ServerError
            | Self::Unavailable
            | Self::RateLimited
            | Self::Unauthorized
            | Self::Cut
            | Self::LostAnswer
            | Self::Truncated
            | Self::Slow => None,
        }
    }

    fn is_of_a_call(self) -> bool {
        self.way().is_none()
    }
}

impl Schedule {
    /// Checks the probabilities.
    ///
    /// # Errors
    /// If one is not from 0 to 1, or their sum is above 1.
    pub fn check(&self) -> Result<(), ScheduleError> {
        for (&kind, &probability) in &self.probabilities {
            if !(0.0..=1.0).contains(&probability) {
                return Err(ScheduleError::OutOfRange { kind, probability });
            }
        }
        for (of, calls) in [("calls", true), ("notifications", false)] {
            let own = self.probabilities.iter().filter(|(kind, _)| kind.is_of_a_call() == calls);
            let sum: f64 = own.map(|(_, probability)| probability).sum();
            if sum > 1.0 + 1e-9 {
                return Err(ScheduleError::Excess { of, sum });
            }
        }
        Ok(())
    }

    /// The fault that the `n`th thing of a name runs into, if any.
    fn draw(&self, name: &str, n: u64, calls: bool) -> Option<ScheduledFault> {
        // FNV-1a, spread by the generator: any even hash would do.
        let hash = name
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
        let mut random = fastrand::Rng::with_seed(hash ^ self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let spread = random.u64(..);
        random.seed(spread ^ n.wrapping_mul(0xd134_2543_de82_ef95));
        let mut left = random.f64();
        for (&kind, &probability) in self.probabilities.iter().filter(|(kind, _)| kind.is_of_a_call() == calls) {
            if left < probability {
                return Some(kind);
            }
            left -= probability;
        }
        None
    }
}

/// A schedule under way: how often each thing was drawn for.
#[derive(Clone, Debug)]
pub(crate) struct Drawing {
    pub schedule: Schedule,
    counts: BTreeMap<String, u64>,
}

impl Drawing {
    pub fn new(schedule: Schedule) -> Self {
        Self { schedule, counts: BTreeMap::new() }
    }

    fn draw(&mut self, name: &str, calls: bool) -> Option<ScheduledFault> {
        let count = self.counts.entry(name.to_owned()).or_default();
        *count += 1;
        self.schedule.draw(name, *count, calls)
    }

    /// What the next call of an account to an endpoint runs into.
    pub fn call(&mut self, endpoint: Endpoint, account: Option<&str>) -> Option<Answer> {
        self.draw(&format!("{endpoint:?} {}", account.unwrap_or_default()), true)?.answer(endpoint)
    }

    /// What becomes of the next notification to an account.
    pub fn notification(&mut self, account: &str) -> Option<Notifications> {
        self.draw(&format!("notification {account}"), false)?.way()
    }
}
