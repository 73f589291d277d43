//! What went wrong, in the terms of what happens next.

use std::time::Duration;

use jiff::Timestamp;
use sha2::{Digest, Sha256};

/// One word per cause that a person can act on; a stable interface: the reason of conditions and Events, the label of
/// metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Cronofy refused the application's client id and secret.
    ClientCredentialsInvalid,
    /// The account's refresh token is revoked or unknown.
    AuthorizationRevoked,
    /// Access tokens are refused although they are fresh.
    Unauthorized,
    /// 402: the application's plan lacks the feature.
    PlanRequired,
    /// 403: the account's authorization lacks a scope.
    InsufficientScope,
    /// 422: Cronofy refuses what is asked.
    InvalidRequest,
    /// 404 where nothing else explains it.
    NotFound,
    /// 423: the account or profile is locked.
    Locked,
    /// 429: the application's request budget at Cronofy is spent.
    RateLimited,
    /// The account has as many channels as Cronofy allows.
    ChannelLimitReached,
    /// 5xx from Cronofy.
    CronofyUnavailable,
    /// No answer from Cronofy: connection, TLS, DNS, time limit, cut body.
    CronofyUnreachable,
    /// An answer that is not what Cronofy documents.
    MalformedAnswer,
    /// A page address that leads to another host.
    ForeignPage,
    /// The output belongs to somebody else.
    Conflict,
    /// The events do not fit into the store.
    TooLarge,
    /// The store did not take or give the events.
    StoreUnavailable,
    /// A Secret could not be read or written.
    SecretUnavailable,
    /// No callback URL: the operator runs without one.
    NoCallbackUrl,
    /// The callback URL is longer than Cronofy takes.
    CallbackUrlTooLong,
    /// This version does not act on the setting.
    NotSupported,
}

impl Reason {
    /// All of them.
    pub const ALL: [Reason; 21] = [
        Reason::ClientCredentialsInvalid,
        Reason::AuthorizationRevoked,
        Reason::Unauthorized,
        Reason::PlanRequired,
        Reason::InsufficientScope,
        Reason::InvalidRequest,
        Reason::NotFound,
        Reason::Locked,
        Reason::RateLimited,
        Reason::ChannelLimitReached,
        Reason::CronofyUnavailable,
        Reason::CronofyUnreachable,
        Reason::MalformedAnswer,
        Reason::ForeignPage,
        Reason::Conflict,
        Reason::TooLarge,
        Reason::StoreUnavailable,
        Reason::SecretUnavailable,
        Reason::NoCallbackUrl,
        Reason::CallbackUrlTooLong,
        Reason::NotSupported,
    ];

    /// Whether it is the store that failed, not Cronofy.
    #[must_use]
    pub fn is_of_store(self) -> bool {
        matches!(self, Reason::Conflict | Reason::TooLarge | Reason::StoreUnavailable)
    }

    /// Whether a person may mend it where nothing tells us of it: at Cronofy, or by a right that is granted.
    #[must_use]
    pub fn is_mended_unseen(self) -> bool {
        matches!(
            self,
            Reason::AuthorizationRevoked | Reason::PlanRequired | Reason::InsufficientScope | Reason::SecretUnavailable
        )
    }

    /// The reason of that word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == word)
    }

    /// The word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::ClientCredentialsInvalid => "ClientCredentialsInvalid",
            Reason::AuthorizationRevoked => "AuthorizationRevoked",
            Reason::Unauthorized => "Unauthorized",
            Reason::PlanRequired => "PlanRequired",
            Reason::InsufficientScope => "InsufficientScope",
            Reason::InvalidRequest => "InvalidRequest",
            Reason::NotFound => "NotFound",
            Reason::Locked => "Locked",
            Reason::RateLimited => "RateLimited",
            Reason::ChannelLimitReached => "ChannelLimitReached",
            Reason::CronofyUnavailable => "CronofyUnavailable",
            Reason::CronofyUnreachable => "CronofyUnreachable",
            Reason::MalformedAnswer => "MalformedAnswer",
            Reason::ForeignPage => "ForeignPage",
            Reason::Conflict => "Conflict",
            Reason::TooLarge => "TooLarge",
            Reason::StoreUnavailable => "StoreUnavailable",
            Reason::SecretUnavailable => "SecretUnavailable",
            Reason::NoCallbackUrl => "NoCallbackUrl",
            Reason::CallbackUrlTooLong => "CallbackUrlTooLong",
            Reason::NotSupported => "NotSupported",
        }
    }
}

/// When to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Not before a person changed something.
    Never,
    /// Not before this has passed.
    After(Duration),
    /// After a time that doubles with each failure in a row.
    Backoff,
}

/// A step that did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Why.
    pub reason: Reason,
    /// One line for a person: cause and remedy.
    pub message: String,
    /// When to try again.
    pub retry: Retry,
}

/// Failures in a row, as kept in the status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failures {
    /// How many.
    pub count: u32,
    /// The last one.
    pub last: Failure,
    /// When it was.
    pub time: Timestamp,
    /// When to try again; `None` waits for a person.
    pub next_retry: Option<Timestamp>,
    /// Only the channel failed: events are read meanwhile.
    pub about_channel: bool,
}

/// The longest wait between two tries.
pub const LONGEST_BACKOFF: Duration = Duration::from_hours(1);
/// The longest before the store is looked at again, which costs no request to Cronofy.
pub const LONGEST_STORE_BACKOFF: Duration = Duration::from_mins(5);
/// The shortest: a server that asks for none at all must not be asked again in the same breath.
pub const SHORTEST_WAIT: Duration = Duration::from_secs(1);
const FIRST_BACKOFF: Duration = Duration::from_secs(2);

/// The wait after `count` failures in a row: doubling, at most the longest, spread over its upper half.
///
/// The spread comes from a hash instead of a random number, so that the engine stays a function of its input; subscriptions
/// that failed together still come back apart.
#[must_use]
pub fn backoff(uid: &str, count: u32, longest: Duration) -> Duration {
    let full = FIRST_BACKOFF.saturating_mul(2_u32.saturating_pow(count.saturating_sub(1))).min(longest);
    full / 2 + spread(&(uid, count), full / 2)
}

/// A part of `range` that depends on `key` alone, evenly over all keys.
pub(crate) fn spread(key: &impl serde::Serialize, range: Duration) -> Duration {
    let digest = Sha256::digest(serde_json::to_vec(key).unwrap_or_default());
    let byte = |at: usize| u32::from(digest.get(at).copied().unwrap_or_default());
    range.saturating_mul(byte(0) << 8 | byte(1)) / (1 << 16)
}
