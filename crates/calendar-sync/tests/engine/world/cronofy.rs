//! Cronofy as far as the engine meets it: tokens, the account, channels, pages of events, and the notifications it sends.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use calendar_sync::{
    Account, ChannelFilter, EventsRequest, MOST_CHANNELS, NotificationType, Profile, RemoteChannel, RemoteEvent,
};
use jiff::{SignedDuration, Timestamp, tz};

use super::calendar::{Calendars, Key};
use super::faults::Refusal;

/// The calendar whose profile can be disconnected.
pub const FRAGILE: &str = "cal_b";

/// What is not documented, or differs from one installation to the other.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "these are switches")]
pub struct Switches {
    /// An identical create makes a second channel instead of giving the one that exists.
    pub second_channel: bool,
    /// Closed channels stay in the listing.
    pub closed_listed: bool,
    pub page_size: usize,
    /// Later pages show events as they are by then, not as they were at the first page.
    pub live_pages: bool,
    /// Answers carry the server's time.
    pub tells_time: bool,
    /// Cronofy's clock less ours.
    pub skew: SignedDuration,
    /// How far `changes_since` is off the time of the change.
    pub changes_since_off: SignedDuration,
}

impl Default for Switches {
    fn default() -> Self {
        Self {
            second_channel: false,
            closed_listed: false,
            page_size: 2,
            live_pages: false,
            tells_time: true,
            skew: SignedDuration::ZERO,
            changes_since_off: SignedDuration::ZERO,
        }
    }
}

/// A notification on its way.
#[derive(Clone, Debug, PartialEq)]
pub struct Notification {
    pub channel: RemoteChannel,
    pub kind: NotificationType,
    pub changes_since: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fragile {
    Connected,
    Disconnected,
    /// Connected again, but its events are not all read.
    InitialSync,
}

#[derive(Clone, Debug)]
pub struct Cronofy {
    pub switches: Switches,
    pub calendars: Calendars,
    /// The live channels.
    pub channels: Vec<RemoteChannel>,
    closed: Vec<RemoteChannel>,
    pub outbox: Vec<Notification>,
    pub profile: Fragile,
    /// What every request is refused with, until a person mends it.
    pub refusing: Option<Refusal>,
    /// Requests that were sent.
    pub requests: usize,
    tokens: BTreeSet<u64>,
    /// What the addresses of later pages lead to: the events as they were at the first page.
    pages: BTreeMap<u64, Vec<(Key, RemoteEvent)>>,
    last_id: u64,
    last_channel: u64,
}

impl Cronofy {
    pub fn new(switches: Switches, calendars: Calendars) -> Self {
        Self {
            switches,
            calendars,
            channels: Vec::new(),
            closed: Vec::new(),
            outbox: Vec::new(),
            profile: Fragile::Connected,
            refusing: None,
            requests: 0,
            tokens: BTreeSet::new(),
            pages: BTreeMap::new(),
            last_id: 0,
            last_channel: 0,
        }
    }

    /// Cronofy's clock.
    pub fn clock(&self, now: Timestamp) -> Timestamp {
        now.checked_add(self.switches.skew).unwrap()
    }

    pub fn refresh(&mut self) -> u64 {
        let token = self.new_id();
        self.tokens.insert(token);
        token
    }

    pub fn accepts(&self, token: u64) -> bool {
        self.tokens.contains(&token)
    }

    pub fn expire_tokens(&mut self) {
        self.tokens.clear();
    }

    pub fn account(&self) -> Account {
        let profile = |id: &str, connected, initial_sync_required| Profile {
            id: id.to_owned(),
            connected,
            initial_sync_required,
            ..Profile::default()
        };
        let (connected, initial) = match self.profile {
            Fragile::Connected => (true, false),
            Fragile::Disconnected => (false, false),
            Fragile::InitialSync => (true, true),
        };
        Account {
            id: Some("acc_1".to_owned()),
            profiles: vec![profile("pro_a", true, false), profile("pro_b", connected, initial)],
        }
    }

    pub fn list(&self) -> Vec<RemoteChannel> {
        let closed = self.closed.iter().filter(|_| self.switches.closed_listed);
        self.channels.iter().chain(closed).cloned().collect()
    }

    /// Makes a channel, or gives the identical one; `None` if the account is full.
    pub fn create(&mut self, callback_url: &str, filter: &ChannelFilter) -> Option<String> {
        let same = |channel: &&RemoteChannel| channel.callback_url == callback_url && channel.filter == *filter;
        if let Some(existing) = self.channels.iter().find(same)
            && !self.switches.second_channel
        {
            return Some(existing.id.clone());
        }
        if self.channels.len() >= MOST_CHANNELS {
            return None;
        }
        self.last_channel += 1;
        let id = format!("chn_{:03}", self.last_channel);
        let channel = RemoteChannel { id: id.clone(), callback_url: callback_url.to_owned(), filter: filter.clone() };
        self.channels.push(channel.clone());
        self.outbox.push(Notification { channel, kind: NotificationType::Verification, changes_since: None });
        Some(id)
    }

    /// Closes a channel; whether it was there.
    pub fn close(&mut self, id: &str) -> bool {
        let (closed, live): (Vec<_>, Vec<_>) = self.channels.drain(..).partition(|channel| channel.id == id);
        self.channels = live;
        let found = !closed.is_empty();
        self.closed.extend(closed);
        found
    }

    /// A page: the first one of a request, or one that an address leads to; `None` if there is no such page.
    pub fn read(
        &mut self,
        request: &EventsRequest,
        zone: &tz::TimeZone,
        address: Option<u64>,
    ) -> Option<(Vec<RemoteEvent>, Option<u64>)> {
        let mut shown = if let Some(address) = address {
            self.pages.get(&address)?.clone()
        } else {
            let keys = self.calendars.read(request, zone, &self.hidden());
            keys.into_iter().filter_map(|key| Some((key.clone(), self.calendars.show(&key)?))).collect()
        };
        let rest = shown.split_off(shown.len().min(self.switches.page_size));
        let live = self.switches.live_pages;
        let show = |(key, frozen): (Key, RemoteEvent)| if live { self.calendars.show(&key) } else { Some(frozen) };
        // A read of everything shows no deleted events.
        let changes = request.modified_since.is_some();
        let visible = |event: &RemoteEvent| changes || matches!(event, RemoteEvent::Present(_));
        let events = shown.into_iter().filter_map(show).filter(visible).collect();
        let next = (!rest.is_empty()).then(|| self.new_id());
        if let Some(next) = next {
            self.pages.insert(next, rest);
        }
        Some((events, next))
    }

    /// What the address of a page leads to.
    pub fn page(&self, address: u64) -> impl fmt::Debug {
        self.pages.get(&address)
    }

    /// Calendars that cannot be read at present.
    pub fn hidden(&self) -> BTreeSet<String> {
        match self.profile {
            Fragile::Connected => BTreeSet::new(),
            Fragile::Disconnected | Fragile::InitialSync => BTreeSet::from([FRAGILE.to_owned()]),
        }
    }

    /// Tells every channel that is about one of the calendars.
    pub fn announce_change(&mut self, touched: &BTreeSet<String>, now: Timestamp) {
        let about = |channel: &&RemoteChannel| {
            channel.filter.calendar_ids.as_ref().is_none_or(|ids| ids.iter().any(|id| touched.contains(id)))
        };
        let time = self.clock(now).checked_add(self.switches.changes_since_off).unwrap();
        let changes_since = Timestamp::from_second(time.as_second()).ok();
        for channel in self.channels.iter().filter(about) {
            let kind = NotificationType::Change;
            self.outbox.push(Notification { channel: channel.clone(), kind, changes_since });
        }
    }

    pub fn announce(&mut self, kind: NotificationType) {
        for channel in &self.channels {
            self.outbox.push(Notification { channel: channel.clone(), kind, changes_since: None });
        }
    }

    fn new_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }
}
