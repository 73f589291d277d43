//! The model: what Cronofy knows, and how it changes. No HTTP, no clock of its own, no randomness but a seeded one.

mod account;
mod change;
mod channel;
mod event;
mod token;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use serde_json::Value;

pub(crate) use change::Change;
pub use change::{ChangeKind, ChangeRecord};
pub(crate) use channel::Touched;
pub use channel::{Channel, Delivery, Filters, Notification, Pending, Waits};
pub(crate) use event::{Event, View, utc};
pub use event::{EventDraft, ReadQuery, When};
pub(crate) use token::Tokens;

use crate::faults::Drawing;
use crate::settings::{Notifications, Override, Settings, Tombstones, Use};

/// An application.
#[derive(Clone, Debug)]
pub(crate) struct Application {
    pub secrets: Vec<String>,
    pub requests: VecDeque<Timestamp>,
}

/// A new account.
#[derive(Clone, Debug)]
pub struct AccountDraft {
    /// Its id; `None` makes one.
    pub id: Option<String>,
    /// E-mail address.
    pub email: String,
    /// Name of the owner.
    pub name: String,
}

impl Default for AccountDraft {
    fn default() -> Self {
        Self { id: None, email: "owner@example.org".to_owned(), name: "Owner".to_owned() }
    }
}

/// A calendar service of an account.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Its id.
    pub id: String,
    /// The service.
    pub provider: String,
    /// Whether it can be read from.
    pub connected: bool,
    /// Whether it is still being read for the first time.
    pub initial_sync_required: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Calendar {
    pub id: String,
    pub name: String,
    pub profile: String,
    pub read_only: bool,
    pub deleted: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub email: String,
    pub name: String,
    pub application_calendar: Option<String>,
    pub profiles: Vec<Profile>,
    pub calendars: Vec<Calendar>,
    /// The grant is in force.
    pub granted: bool,
    /// Status that calls with its tokens answer instead: 402 or 403.
    pub refused_with: Option<u16>,
    /// What the grant allows, if it is less than usual.
    pub scope: Option<String>,
    /// Whether its conferencing service is connected, if it has one.
    pub conferencing: Option<bool>,
}

#[derive(Clone, Debug)]
pub(crate) struct AccessToken {
    pub account: String,
    pub client_id: String,
    pub expires: Timestamp,
}

#[derive(Clone, Debug)]
pub(crate) struct RefreshToken {
    pub account: String,
    pub client_id: String,
    /// The access token it gave last.
    pub access: Option<String>,
}

/// What an authorization gave, to be exchanged once.
#[derive(Clone, Debug)]
pub(crate) struct Code {
    pub account: String,
    pub client_id: String,
    pub redirect_uri: String,
}

/// A read whose further pages can be asked for.
#[derive(Clone, Debug)]
pub(crate) struct PagedRead {
    pub id: String,
    pub account: String,
    pub query: ReadQuery,
    /// The events when the first page was read.
    pub snapshot: Arc<Vec<Value>>,
    /// When its last page so far was read.
    pub read: Timestamp,
}

/// Reads whose further pages are kept; the oldest are forgotten first.
const MOST_READS: usize = 4_096;

/// Everything.
pub(crate) struct Model {
    pub settings: Settings,
    pub overrides: Vec<Override>,
    pub drawing: Option<Drawing>,
    pub random: fastrand::Rng,
    numbers: u64,
    pub applications: BTreeMap<String, Application>,
    pub accounts: BTreeMap<String, Account>,
    pub codes: BTreeMap<String, Code>,
    pub access_tokens: BTreeMap<String, AccessToken>,
    pub refresh_tokens: BTreeMap<String, RefreshToken>,
    pub events: BTreeMap<String, Event>,
    /// Changes that are not seen yet, since their profile is disconnected.
    pub unseen: Vec<Change>,
    pub changes: Vec<ChangeRecord>,
    pub channels: BTreeMap<String, Channel>,
    pub reads: VecDeque<PagedRead>,
    pub pending: Vec<Pending>,
}

impl Calendar {
    pub fn new(id: String, name: &str, profile: String) -> Self {
        Self { id, name: name.to_owned(), profile, read_only: false, deleted: false }
    }
}

impl Model {
    pub fn new(seed: u64, settings: Settings) -> Self {
        Self {
            settings,
            overrides: Vec::new(),
            drawing: None,
            random: fastrand::Rng::with_seed(seed),
            numbers: 0,
            applications: BTreeMap::new(),
            accounts: BTreeMap::new(),
            codes: BTreeMap::new(),
            access_tokens: BTreeMap::new(),
            refresh_tokens: BTreeMap::new(),
            events: BTreeMap::new(),
            unseen: Vec::new(),
            changes: Vec::new(),
            channels: BTreeMap::new(),
            reads: VecDeque::new(),
            pending: Vec::new(),
        }
    }

    /// The switches for one use, which is counted.
    pub fn settings_for(&mut self, wanted: Use<'_>) -> Settings {
        self.settings.for_use(&mut self.overrides, wanted)
    }

    /// What the schedule of faults makes of the next notification to an account.
    pub fn drawn_for_notification(&mut self, account: &str) -> Option<Notifications> {
        self.drawing.as_mut().and_then(|drawing| drawing.notification(account))
    }

    /// A number that was not given before.
    pub fn next_number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// A new id of this kind.
    pub fn id(&mut self, prefix: &str) -> String {
        format!("{prefix}{:016x}", self.random.u64(..))
    }

    pub fn add_account(&mut self, draft: AccountDraft, application_calendar: Option<String>) -> String {
        let prefix = if application_calendar.is_some() { "apc_" } else { "acc_" };
        let id = draft.id.unwrap_or_else(|| self.id(prefix));
        let (profile, calendar) = (self.id("pro_"), self.id("cal_"));
        let provider = if application_calendar.is_some() { "cronofy" } else { "google" };
        let account = Account {
            email: draft.email,
            name: draft.name,
            application_calendar,
            profiles: vec![Profile {
                id: profile.clone(),
                provider: provider.to_owned(),
                connected: true,
                initial_sync_required: false,
            }],
            calendars: vec![Calendar::new(calendar, "Home", profile)],
            granted: true,
            refused_with: None,
            scope: None,
            conferencing: None,
        };
        self.accounts.insert(id.clone(), account);
        id
    }

    /// First and last day (exclusive) of the sync window.
    pub fn window(&self, now: Timestamp) -> (Date, Date) {
        let today = now.to_zoned(TimeZone::UTC).date();
        let (past, future) = self.settings.window;
        (today.saturating_add((-past).days()), today.saturating_add(future.days()))
    }

    /// What a read shows, sorted by start.
    pub fn read(&self, account: &str, query: &ReadQuery, now: Timestamp) -> Vec<Value> {
        let window = self.window(now);
        let clamped = ReadQuery {
            from: query.from.map(|from| from.max(window.0)),
            to: query.to.map(|to| to.min(window.1)),
            ..query.clone()
        };
        let mut shown: Vec<View<'_>> = self
            .events
            .values()
            .filter(|event| event.account == account)
            .filter_map(|event| event.seen(&clamped, window))
            .filter(|view| view.deleted_at().is_none_or(|deleted| self.shows_tombstone(deleted, now)))
            .collect();
        shown.sort_by_key(|view| (view.event.draft.start.instant(&query.zone), view.event.uid.clone()));
        if self.settings.partial_initial_sync && self.is_syncing_initially(account) {
            shown.truncate(shown.len().div_ceil(2));
        }
        let rendered = shown.iter().enumerate();
        rendered.map(|(index, view)| view.render(&self.settings, query.localized, index)).collect()
    }

    fn shows_tombstone(&self, deleted: Timestamp, now: Timestamp) -> bool {
        self.settings.tombstones != Tombstones::Never
            && self.settings.tombstone_lifetime.is_none_or(|lifetime| crate::clock::add(deleted, lifetime) > now)
    }

    /// Keeps a read, so that its further pages can be asked for. Gives its id.
    pub fn keep_read(&mut self, account: &str, query: ReadQuery, events: &Arc<Vec<Value>>, now: Timestamp) -> String {
        let id = self.id("");
        if self.reads.len() >= MOST_READS {
            self.reads.pop_front();
        }
        let account = account.to_owned();
        self.reads.push_back(PagedRead { id: id.clone(), account, query, snapshot: events.clone(), read: now });
        id
    }
}
