//! What can go wrong with one step.

use std::time::Duration;

use calendar_sync::{Failure, Outcome, Reason, Retry};

/// A fault that strikes a step that leaves the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It has no effect, and is answered like this.
    Refused(Refusal),
    /// It takes effect, but the answer is lost.
    AnswerLost,
}

impl Fault {
    /// Whether few of a subscription's steps can suffer it.
    #[must_use]
    pub fn is_of_few_steps(self) -> bool {
        self == Fault::Refused(Refusal::PageGone)
    }
}

/// An answer other than the one hoped for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// 500.
    Unavailable,
    /// No answer in time.
    Timeout,
    /// 401.
    Unauthorized,
    /// 404, where a page is asked for.
    PageGone,
    /// 429, with or without `Retry-After`.
    RateLimited(Option<u64>),
    /// 400 `invalid_grant`, from the token endpoint.
    InvalidGrant,
    /// 402.
    PlanRequired,
    /// 403.
    Forbidden,
    /// 422.
    Unprocessable,
}

/// Refusals that only a person can mend.
pub const TERMINAL: [Refusal; 4] =
    [Refusal::InvalidGrant, Refusal::PlanRequired, Refusal::Forbidden, Refusal::Unprocessable];

impl Refusal {
    /// What the driver makes of it.
    #[must_use]
    pub fn outcome(self) -> Outcome {
        let (reason, retry) = match self {
            Refusal::Unauthorized => return Outcome::Unauthorized,
            Refusal::PageGone => return Outcome::NotFound,
            Refusal::Unavailable => (Reason::CronofyUnavailable, Retry::Backoff),
            Refusal::Timeout => (Reason::CronofyUnreachable, Retry::Backoff),
            Refusal::RateLimited(None) => (Reason::RateLimited, Retry::Backoff),
            Refusal::RateLimited(Some(seconds)) => (Reason::RateLimited, Retry::After(Duration::from_secs(seconds))),
            Refusal::InvalidGrant => (Reason::AuthorizationRevoked, Retry::Never),
            Refusal::PlanRequired => (Reason::PlanRequired, Retry::Never),
            Refusal::Forbidden => (Reason::InsufficientScope, Retry::Never),
            Refusal::Unprocessable => (Reason::InvalidRequest, Retry::Never),
        };
        failed(reason, retry)
    }
}

/// A failed step.
#[must_use]
pub fn failed(reason: Reason, retry: Retry) -> Outcome {
    Outcome::Failed(Failure { reason, message: "why, and what to do".to_owned(), retry })
}
