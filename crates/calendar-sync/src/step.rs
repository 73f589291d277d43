//! The one thing to do next, and what came of it.

use std::collections::BTreeSet;

use jiff::Timestamp;

#[cfg(doc)]
use crate::Observed;
use crate::{
    Account, ChannelFilter, DateRange, Event, Failure, Filter, Mark, Output, Reason, Record, RemoteChannel, Snapshot,
    Stored,
};

/// The one thing to do next.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Look at what the store holds. → [`Outcome::Loaded`]
    Load,
    /// Get an access token. → [`Outcome::TokenReady`]
    RefreshToken,
    /// Ask for the account and its profiles. → [`Outcome::Account`]
    CheckAccount,
    /// List the account's channels. → [`Outcome::Channels`]
    ListChannels,
    /// Create a channel. → [`Outcome::ChannelCreated`]
    CreateChannel {
        /// Where it delivers to.
        callback_url: String,
        /// What it is restricted to.
        filter: ChannelFilter,
    },
    /// Close a channel. → [`Outcome::ChannelClosed`], also if it was gone
    CloseChannel {
        /// Cronofy's id.
        id: String,
    },
    /// Read one page of events. → [`Outcome::Page`]
    ReadEvents(EventsRequest),
    /// Store this in one atomic step, on top of what was loaded. → [`Outcome::Committed`] or [`Outcome::HeadMoved`]
    Commit(Box<Snapshot>),
    /// Remove the stored events. → [`Outcome::Erased`]
    Erase,
    /// Write this into the status before anything else, and clear the mark if [`Observed::acted_on`] is still its
    /// sequence. → [`Outcome::Recorded`]
    Record(Box<Record>),
    /// Nothing to do before this time, or before something changes.
    Wait {
        /// When to look again; `None`: when something changes.
        until: Option<Timestamp>,
        /// What for.
        why: Why,
    },
    /// Nothing goes on until a person acts.
    Stop(Stop),
    /// The deletion is complete: let the object go.
    Finish,
}

impl Step {
    /// Whether it asks Cronofy for something that only an access token opens.
    #[must_use]
    pub fn needs_token(&self) -> bool {
        match self {
            Step::CheckAccount
            | Step::ListChannels
            | Step::CreateChannel { .. }
            | Step::CloseChannel { .. }
            | Step::ReadEvents(_) => true,
            Step::Load
            | Step::RefreshToken
            | Step::Commit(_)
            | Step::Erase
            | Step::Record(_)
            | Step::Wait { .. }
            | Step::Stop(_)
            | Step::Finish => false,
        }
    }
}

/// One page of events.
#[derive(Clone, Debug, PartialEq)]
pub struct EventsRequest {
    /// Dates to read.
    pub range: DateRange,
    /// Only what changed at or after this time, with deleted and moved events; `None`: everything, present events only.
    pub modified_since: Option<Timestamp>,
    /// Which events.
    pub filter: Filter,
    /// 0 is the first page; any other follows the one before, whose address the driver keeps.
    pub page: u32,
    /// What for: decides the lane of the request budget.
    pub purpose: Purpose,
}

/// What a read is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The first read of a subscription.
    Initial,
    /// Everything once more.
    Full,
    /// What a notification announced.
    Delta,
    /// What should have been announced, after a look at the channel.
    Check,
    /// What changed, where nobody announces it.
    Poll,
    /// What entered the far edge of the window.
    Sweep,
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The next full sync.
    FullSync,
    /// The next read of what enters the far edge of the window.
    HorizonSweep,
    /// The next look at the channel.
    ChannelCheck,
    /// The next channel.
    ChannelRenewal,
    /// Cronofy's first delivery through a new channel.
    Verification,
    /// The next read in poll mode.
    Poll,
    /// The next read while push is not known to work.
    FallbackPoll,
    /// The second look at events that are missing all at once.
    Confirmation,
    /// The next look at a profile that needs its owner or is still being read for the first time.
    AccountCheck,
    /// The next read: the last one has just ended.
    Delta,
    /// The next try after a failure.
    Retry,
    /// The subscription is suspended.
    Suspended,
}

impl Why {
    /// The word, for the status.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Why::FullSync => "FullSync",
            Why::HorizonSweep => "HorizonSweep",
            Why::ChannelCheck => "ChannelCheck",
            Why::ChannelRenewal => "ChannelRenewal",
            Why::Verification => "Verification",
            Why::Poll => "Poll",
            Why::FallbackPoll => "FallbackPoll",
            Why::Confirmation => "Confirmation",
            Why::AccountCheck => "AccountCheck",
            Why::Delta => "Delta",
            Why::Retry => "Retry",
            Why::Suspended => "Suspended",
        }
    }
}

/// Why nothing goes on until a person acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// A failure that no retry mends.
    Failed(Reason),
    /// The events were erased on the owner's demand.
    Erased,
}

/// An event as a read shows it.
#[derive(Clone, Debug, PartialEq)]
pub enum RemoteEvent {
    /// It exists like this.
    Present(Box<Event>),
    /// It was deleted.
    Deleted {
        /// Its id.
        id: String,
        /// The calendar it was deleted from.
        calendar_id: String,
    },
}

/// What came of a step.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// What the store holds.
    Loaded {
        /// The content; never [`Stored::Unread`].
        stored: Stored,
        /// The same in numbers; `None` unless it is [`Stored::Present`].
        output: Option<Output>,
    },
    /// An access token is at hand.
    TokenReady,
    /// The account.
    Account(Account),
    /// The account's channels.
    Channels(Vec<RemoteChannel>),
    /// The channel exists now.
    ChannelCreated {
        /// Cronofy's id; may be that of a channel that existed.
        id: String,
    },
    /// The channel does not exist any more.
    ChannelClosed {
        /// Cronofy's id.
        id: String,
    },
    /// A page of events.
    Page {
        /// Its events.
        events: Vec<RemoteEvent>,
        /// Ids of those that the application manages itself.
        managed: BTreeSet<String>,
        /// Whether another page follows.
        more: bool,
        /// The server's clock when it answered.
        server_time: Option<Timestamp>,
    },
    /// The snapshot is stored.
    Committed {
        /// What was written.
        output: Output,
        /// Whether the events differ from those stored before.
        changed: bool,
    },
    /// The store holds something else than what was loaded: nothing was written.
    HeadMoved,
    /// The stored events are gone.
    Erased,
    /// The record is written. The mark is what is pending now, after the one acted on was cleared.
    Recorded(Mark),
    /// The access token was refused (401).
    Unauthorized,
    /// What was asked for does not exist (404, 410): a page, or a channel.
    NotFound,
    /// Anything else.
    Failed(Failure),
}
