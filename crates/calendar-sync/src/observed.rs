//! What is known of a subscription: what the status holds, what the store holds, and what this pass has learned.

use std::collections::BTreeSet;

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};

use crate::reading::Reading;
use crate::{Failures, Output, RemoteChannel, Stored};

/// All that is known. The driver makes it from the status at the start of a pass and keeps [`Observed::memory`] between
/// passes; losing that costs a request or two, never correctness.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "these are independent facts of one pass")]
pub struct Observed {
    /// What the status holds.
    pub record: Record,
    /// Notifications that are pending.
    pub mark: Mark,
    /// What is remembered between passes.
    pub memory: Memory,
    /// What the store holds.
    pub stored: Stored,
    /// Whether an access token is at hand. The driver says so at the start; the engine takes it away on a 401.
    pub token: bool,
    /// Sequence of the mark that was acted on and may be cleared.
    pub acted_on: Option<i64>,
    /// The channel could not be closed and was given up: somebody should be told.
    pub leaked: bool,

    /// The listing of this pass, less what was closed since.
    pub(crate) channels: Option<Vec<RemoteChannel>>,
    /// The read under way.
    pub(crate) reading: Option<Reading>,
    /// Reads in this pass that began anew because a page was gone.
    pub(crate) restarts: u32,
    /// The output was removed in this pass.
    pub(crate) output_removed: bool,
    /// The record must be written down before the next step.
    pub(crate) unrecorded: bool,
    /// The token was got in this pass, and Cronofy has not accepted it yet.
    pub(crate) untried_token: bool,
    /// Times in this pass that the store had changed under a commit.
    pub(crate) moved_heads: u32,
    /// The store holds other events than were written last: what came after those has to be read.
    pub(crate) store_differs: bool,
    /// The account was checked in this pass.
    pub(crate) account_checked: bool,
}

/// What the status holds: enough to go on after a crash.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record {
    /// The channel.
    pub channel: ChannelRecord,
    /// The account, once asked for.
    pub account: Option<Account>,
    /// When everything was last read.
    pub last_full_sync: Option<Timestamp>,
    /// When the stored events last changed.
    pub last_change: Option<Timestamp>,
    /// The far edge up to which was read.
    pub swept_through: Option<Date>,
    /// When the events were erased on the owner's demand.
    pub erased: Option<Timestamp>,
    /// The request for a full sync that was acted on last.
    pub handled_request: Option<String>,
    /// Events that a full read did not show and that are kept until a second one agrees.
    pub held: Option<Held>,
    /// What was stored last.
    pub output: Option<Output>,
    /// Failures in a row.
    pub failures: Option<Failures>,
}

/// Deletions that are held back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// How many events were missing.
    pub missing: usize,
    /// Of how many.
    pub of: usize,
    /// When they were missing first.
    pub time: Timestamp,
}

/// The channel, as the status holds it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChannelRecord {
    /// Cronofy's id, once known.
    pub id: Option<String>,
    /// Number of the present channel; 0 before the first.
    pub generation: i64,
    /// Number of the channel that is being made: the intent, written before the create.
    pub next: Option<i64>,
    /// When Cronofy reached us through the channel that is being made, before its id was known.
    pub next_verified: Option<Timestamp>,
    /// [`channel::configuration`](crate::channel::configuration) that the present channel was made with.
    pub configuration: Option<String>,
    /// When it was made or adopted.
    pub created: Option<Timestamp>,
    /// When Cronofy reached the callback URL first.
    pub verified: Option<Timestamp>,
    /// When the last notification that was acted on arrived.
    pub last_notification: Option<Timestamp>,
    /// When it was last seen in a listing.
    pub last_check: Option<Timestamp>,
    /// Since when changes come that no notification announced.
    pub suspect: Option<Timestamp>,
}

impl ChannelRecord {
    /// Whether there may be one at Cronofy: the present one, or one that was to be made.
    #[must_use]
    pub fn may_exist(&self) -> bool {
        self.id.is_some() || self.next.is_some()
    }

    /// The highest generation that any of the subscription's channels may have.
    #[must_use]
    pub fn newest(&self) -> i64 {
        self.next.unwrap_or_default().max(self.generation)
    }

    /// What stays while it is left: it counts no more, and is looked for until nothing of it is listed. So whoever wants push
    /// again after a crash in between does not take it for alive.
    #[must_use]
    pub fn left(&self) -> Self {
        Self { next: self.may_exist().then(|| self.newest()), ..self.closed() }
    }

    /// What stays once it is closed: generations go on, so that no callback URL comes twice.
    #[must_use]
    pub fn closed(&self) -> Self {
        Self { generation: self.newest(), ..Self::default() }
    }
}

/// An account at Cronofy, without names or addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Cronofy's id, if told.
    pub id: Option<String>,
    /// Its profiles.
    pub profiles: Vec<Profile>,
}

/// A calendar service that an account is connected to.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Profile {
    /// Cronofy's id.
    pub id: String,
    /// The service, for example `google`.
    pub provider: Option<String>,
    /// Whether Cronofy can read from it.
    pub connected: bool,
    /// Whether Cronofy has not yet read all of it.
    pub initial_sync_required: bool,
    /// Where its owner connects it again. May hold an e-mail address.
    pub relink_url: Option<String>,
}

impl std::fmt::Debug for Profile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Profile")
            .field("id", &self.id)
            .field("connected", &self.connected)
            .field("initial_sync_required", &self.initial_sync_required)
            .finish_non_exhaustive()
    }
}

impl Account {
    /// Whether every profile is connected.
    #[must_use]
    pub fn connected(&self) -> bool {
        self.profiles.iter().all(|profile| profile.connected)
    }

    /// Whether Cronofy still reads some profile for the first time.
    #[must_use]
    pub fn initial_sync_pending(&self) -> bool {
        self.profiles.iter().any(|profile| profile.connected && profile.initial_sync_required)
    }

    /// Whether an event that a complete read does not show is really gone.
    #[must_use]
    pub fn complete(&self) -> bool {
        self.connected() && !self.initial_sync_pending()
    }
}

/// The durable mark of pending notifications, as the status holds it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// Grows with every mark.
    pub sequence: i64,
    /// When the first of the pending ones arrived.
    pub received: Option<Timestamp>,
    /// The smallest time they ask to read from.
    pub changes_since: Option<Timestamp>,
    /// Their types; empty means that nothing is pending.
    pub types: BTreeSet<NotificationType>,
    /// The newest channel, by its generation, that one of them came through.
    pub generation: Option<i64>,
}

impl Mark {
    /// Whether something is pending.
    #[must_use]
    pub fn pending(&self) -> bool {
        !self.types.is_empty()
    }

    pub(crate) fn has(&self, wanted: NotificationType) -> bool {
        self.types.contains(&wanted)
    }
}

/// The types of notification that are acted on; all others are answered and forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NotificationType {
    /// Events changed.
    Change,
    /// Cronofy tests the callback URL of a new channel.
    Verification,
    /// A profile needs its owner.
    ProfileDisconnected,
    /// A profile's events are complete.
    ProfileInitialSyncCompleted,
    /// The owner wants the data erased.
    GdprRequested,
}

impl NotificationType {
    /// All of them.
    pub const ALL: [NotificationType; 5] = [
        NotificationType::Change,
        NotificationType::Verification,
        NotificationType::ProfileDisconnected,
        NotificationType::ProfileInitialSyncCompleted,
        NotificationType::GdprRequested,
    ];

    /// Cronofy's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            NotificationType::Change => "change",
            NotificationType::Verification => "verification",
            NotificationType::ProfileDisconnected => "profile_disconnected",
            NotificationType::ProfileInitialSyncCompleted => "profile_initial_sync_completed",
            NotificationType::GdprRequested => "gdpr_requested",
        }
    }

    /// The type of that name, if it is acted on.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == name)
    }
}

/// What is remembered between passes of one process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// [`Desired::inputs`](crate::Desired::inputs) at the last failure that waits for a person.
    pub blocked_on: Option<String>,
    /// When the last read of events ended.
    pub last_read: Option<Timestamp>,
    /// When the last read ended that showed all changes.
    pub last_look: Option<Timestamp>,
    /// When the account was checked last.
    pub last_account_check: Option<Timestamp>,
    /// The account was checked, and no events were read since: a read that waits for its turn does not ask again each time.
    pub account_fresh: bool,
    /// The read of everything, by its time, after which a delta told what is gone, or nothing was there that could be.
    pub deletions_known: Option<Timestamp>,
    /// How far Cronofy's clock is ahead of ours, where that is more than a trifle.
    pub clock_difference: SignedDuration,
}
