//! What can go wrong with a store, and what a person or the operator does about it.

use std::time::Duration;

use calendar_store_client::Error as Remote;
use calendar_sync::{Failure, Reason, Retry};

/// Between two looks at a name that somebody else holds: only a person can change that, and nothing tells us when.
const CONFLICT_CHECK: Duration = Duration::from_mins(5);
/// Between two tries in a namespace that is being deleted: they cannot succeed, but the subscription goes soon.
const TERMINATING_CHECK: Duration = Duration::from_mins(1);

/// A store did not do what it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Something else is stored by now than what the caller knew.
    #[error("the output was changed by somebody else meanwhile: it is read and written again")]
    HeadMoved,
    /// The name is taken.
    #[error("{object} belongs to {owner}: delete it, or set another spec.store.name")]
    Conflict {
        /// Kind, namespace and name of what is in the way.
        object: String,
        /// Whose it is.
        owner: String,
    },
    /// The events are too large for the store. What was stored before stays.
    #[error(
        "the events take {bytes} bytes, and an output holds at most {limit}: copy fewer calendars, a narrower window or with \
         a lower visibility; the last complete copy stays"
    )]
    TooLarge {
        /// Size of the events.
        bytes: usize,
        /// The most that fits.
        limit: usize,
    },
    /// There are too many events for the store. What was stored before stays.
    #[error(
        "there are {events} events, and an output holds at most {limit}: copy fewer calendars or a narrower window; the last \
         complete copy stays"
    )]
    TooMany {
        /// How many there are.
        events: usize,
        /// The most that fit.
        limit: usize,
    },
    /// One event is too large for any object. What was stored before stays.
    #[error(
        "event {} takes {bytes} bytes, and one {limit} at most: shorten its description, or copy with a lower visibility; the \
         last complete copy stays", .id.escape_debug()
    )]
    EventTooLarge {
        /// Its id.
        id: String,
        /// Its size.
        bytes: usize,
        /// The most that fits.
        limit: usize,
    },
    /// The API server finds an object too large. What was stored before stays.
    #[error(
        "the API server finds a {kind} with {bytes} bytes of the output too large: see whether others have put large labels or \
         annotations on it; the last complete copy stays"
    )]
    ObjectTooLarge {
        /// Kind of the object.
        kind: &'static str,
        /// Size of what it is to hold.
        bytes: usize,
    },
    /// A right is missing.
    #[error(
        "the operator may not {verb} {resource} in namespace {namespace}: grant its service account the verb \"{verb}\" there"
    )]
    Forbidden {
        /// The verb, as in a Role.
        verb: &'static str,
        /// The resource, as in a Role.
        resource: &'static str,
        /// Where.
        namespace: String,
    },
    /// A quota of the namespace is used up.
    #[error(
        "a ResourceQuota of namespace {namespace} leaves no room for the output: raise it, or remove what is not needed"
    )]
    QuotaExceeded {
        /// Where.
        namespace: String,
    },
    /// The namespace is being deleted or does not exist: nothing can be created in it.
    #[error("namespace {namespace} is being deleted: nothing can be written there any more")]
    NamespaceTerminating {
        /// Which.
        namespace: String,
    },
    /// The output is being deleted, but somebody's finalizer holds it.
    #[error(
        "{object} is being deleted and waits for its finalizers ({finalizers}): let their owner finish, or remove them"
    )]
    BeingDeleted {
        /// Kind, namespace and name.
        object: String,
        /// What it waits for.
        finalizers: String,
    },
    /// The API server refuses the object.
    #[error("the API server does not {verb} the output ({code} {reason}): {by}")]
    Refused {
        /// The verb.
        verb: &'static str,
        /// HTTP status.
        code: u16,
        /// The API server's word for it.
        reason: String,
        /// Who or what refuses, and what to look at.
        by: String,
    },
    /// The API server cannot at the moment. A write may have been done nevertheless.
    #[error("the API server cannot {verb} the output at the moment ({code}): it is tried again")]
    Unavailable {
        /// The verb.
        verb: &'static str,
        /// HTTP status.
        code: u16,
    },
    /// No answer within the limit. A write may have been done nevertheless.
    #[error("the API server did not {verb} the output within {} s: it is tried again", .limit.as_secs_f32())]
    TimedOut {
        /// The verb.
        verb: &'static str,
        /// The limit.
        limit: Duration,
    },
    /// No connection, or one that broke. A write may have been done nevertheless.
    #[error("the API server cannot be reached to {verb} the output ({cause}): it is tried again")]
    Unreachable {
        /// The verb.
        verb: &'static str,
        /// What the connection says.
        cause: String,
    },
    /// The answer is not what the API documents.
    #[error("the answer of the API server cannot be read: it is tried again; look for a proxy in between")]
    Unreadable,
    /// The events cannot be written as JSON.
    #[error("the events cannot be written as JSON: please report this")]
    Unencodable,
    /// A calendar store has events of another subscription under the name.
    #[error(
        "the calendar store at {url} still has events of an earlier subscription {calendar} (uid {uid}): have them erased there, \
         or use another name for the subscription"
    )]
    CalendarTaken {
        /// Where it is.
        url: String,
        /// Namespace and name of the subscription.
        calendar: String,
        /// Uid of the earlier one.
        uid: String,
    },
    /// Events stand in a calendar store that must not be called any more.
    #[error(
        "events stand in the calendar store at {url}, which the operator may not call any more, so that they cannot be removed: \
         run the operator with --allow-remote-store {url} until they are, or give them up by the annotation \
         cronofy-operator.dev/abandonStore: {url}"
    )]
    RemoteNotAllowed {
        /// Where it is.
        url: String,
    },
    /// A calendar store did not do it.
    #[error("the calendar store at {url}: {error}{}", advice(.error))]
    Remote {
        /// Where it is.
        url: String,
        /// What went wrong.
        error: Remote,
    },
}

/// What helps, where a calendar store's own words do not say it.
fn advice(error: &Remote) -> &'static str {
    match error {
        Remote::TooLarge => {
            ": raise its limits, or copy fewer calendars or with a lower visibility; the last complete copy stays"
        }
        Remote::Unauthorized | Remote::Forbidden => "; see --store-token",
        Remote::File { .. } => ": mount the file that --store-token or --store-ca names",
        Remote::Unreachable { .. } | Remote::TimedOut { .. } => {
            ": it is tried again; check that its Service has ready pods, that a NetworkPolicy lets the operator through, and that \
             --store-ca names the authority of its certificate"
        }
        Remote::Busy { .. } | Remote::Unavailable { .. } => ": it is tried again; its log tells why",
        Remote::Unreadable => ": it is tried again; look for a proxy in between",
        Remote::HeadMoved
        | Remote::Conflict { .. }
        | Remote::Inconsistent
        | Remote::Refused { .. }
        | Remote::Unencodable => "",
    }
}

/// Stable word for what went wrong with a calendar store.
fn remote_category(error: &Remote) -> &'static str {
    match error {
        Remote::HeadMoved => "HeadMoved",
        Remote::Conflict { .. } => "Conflict",
        Remote::TooLarge => "TooLarge",
        Remote::Unauthorized | Remote::Forbidden | Remote::File { .. } => "Forbidden",
        Remote::Busy { .. } | Remote::Unavailable { .. } => "Unavailable",
        Remote::Inconsistent | Remote::Refused { .. } => "Refused",
        Remote::TimedOut { .. } => "TimedOut",
        Remote::Unreachable { .. } => "Unreachable",
        Remote::Unreadable => "Unreadable",
        Remote::Unencodable => "Unencodable",
    }
}

impl StoreError {
    /// The calendar store that may never do it, whatever the others can.
    #[must_use]
    pub fn out_of_reach(&self) -> Option<&str> {
        match self {
            Self::Remote { url, .. } | Self::RemoteNotAllowed { url } => Some(url),
            Self::HeadMoved
            | Self::Conflict { .. }
            | Self::CalendarTaken { .. }
            | Self::TooLarge { .. }
            | Self::TooMany { .. }
            | Self::EventTooLarge { .. }
            | Self::ObjectTooLarge { .. }
            | Self::Forbidden { .. }
            | Self::QuotaExceeded { .. }
            | Self::NamespaceTerminating { .. }
            | Self::BeingDeleted { .. }
            | Self::Refused { .. }
            | Self::Unavailable { .. }
            | Self::TimedOut { .. }
            | Self::Unreachable { .. }
            | Self::Unreadable
            | Self::Unencodable => None,
        }
    }

    /// One word for the cause; stable, for metrics.
    #[must_use]
    pub fn category(&self) -> &'static str {
        match self {
            Self::HeadMoved => "HeadMoved",
            Self::Conflict { .. } | Self::CalendarTaken { .. } => "Conflict",
            Self::Remote { error, .. } => remote_category(error),
            Self::TooLarge { .. } | Self::TooMany { .. } | Self::EventTooLarge { .. } | Self::ObjectTooLarge { .. } => {
                "TooLarge"
            }
            Self::Forbidden { .. } | Self::RemoteNotAllowed { .. } => "Forbidden",
            Self::QuotaExceeded { .. } => "QuotaExceeded",
            Self::NamespaceTerminating { .. } => "NamespaceTerminating",
            Self::BeingDeleted { .. } => "BeingDeleted",
            Self::Refused { .. } => "Refused",
            Self::Unavailable { .. } => "Unavailable",
            Self::TimedOut { .. } => "TimedOut",
            Self::Unreachable { .. } => "Unreachable",
            Self::Unreadable => "Unreadable",
            Self::Unencodable => "Unencodable",
        }
    }

    /// When to try again. Never is no answer here: calendars shrink, rights are granted, and nothing tells us.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            Self::Conflict { .. } | Self::CalendarTaken { .. } => Retry::After(CONFLICT_CHECK),
            Self::NamespaceTerminating { .. } => Retry::After(TERMINATING_CHECK),
            Self::HeadMoved
            | Self::TooLarge { .. }
            | Self::TooMany { .. }
            | Self::EventTooLarge { .. }
            | Self::ObjectTooLarge { .. }
            | Self::Forbidden { .. }
            | Self::QuotaExceeded { .. }
            | Self::BeingDeleted { .. }
            | Self::Refused { .. }
            | Self::Unavailable { .. }
            | Self::TimedOut { .. }
            | Self::Unreachable { .. }
            | Self::Unreadable
            | Self::RemoteNotAllowed { .. }
            | Self::Remote { .. }
            | Self::Unencodable => Retry::Backoff,
        }
    }

    /// The same for the engine, with the error's text as the message.
    #[must_use]
    pub fn failure(&self) -> Failure {
        let reason = match self {
            Self::Conflict { .. } | Self::CalendarTaken { .. } => Reason::Conflict,
            Self::Remote { error: Remote::TooLarge, .. } => Reason::TooLarge,
            Self::TooLarge { .. } | Self::TooMany { .. } | Self::EventTooLarge { .. } | Self::ObjectTooLarge { .. } => {
                Reason::TooLarge
            }
            Self::HeadMoved
            | Self::Forbidden { .. }
            | Self::QuotaExceeded { .. }
            | Self::NamespaceTerminating { .. }
            | Self::BeingDeleted { .. }
            | Self::Refused { .. }
            | Self::Unavailable { .. }
            | Self::TimedOut { .. }
            | Self::Unreachable { .. }
            | Self::Unreadable
            | Self::RemoteNotAllowed { .. }
            | Self::Remote { .. }
            | Self::Unencodable => Reason::StoreUnavailable,
        };
        Failure { reason, message: self.to_string(), retry: self.retry() }
    }
}
