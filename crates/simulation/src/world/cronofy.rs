//! Cronofy as far as the engine meets it: tokens, the account, channels, pages of events, and the notifications it sends.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use calendar_sync::{
    Account, ChannelFilter, EventsRequest, MOST_CHANNELS, NotificationType, Profile, Purpose, RemoteChannel,
    RemoteEvent, TimeZone,
};
use jiff::{SignedDuration, Timestamp};

use super::calendar::{Calendars, Key};
use super::faults::Refusal;
use super::later;

/// The calendar whose profile can be disconnected.
pub const FRAGILE: &str = "cal_b";
/// How long closed channels stay in the listing, where they do. For ever would fill the account, by its listing.
const LISTED_CLOSED: SignedDuration = SignedDuration::from_hours(24);
/// Addresses of pages that are remembered; older ones lead nowhere.
const MOST_PAGES: usize = 64;

/// What is not documented, or differs from one installation to the other.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "these are switches")]
pub struct Switches {
    /// An identical create makes a second channel instead of giving the one that exists.
    pub second_channel: bool,
    /// Closed channels stay in the listing, for a day.
    pub closed_listed: bool,
    /// Events on a page.
    pub page_size: usize,
    /// Later pages show events as they are by then, not as they were at the first page.
    pub live_pages: bool,
    /// Later pages are counted anew: what was deleted meanwhile moves the rest up, past the reader.
    pub shifting_pages: bool,
    /// Answers carry the server's time.
    pub tells_time: bool,
    /// A refresh gives another refresh token, and the one before is dead.
    pub rotates: bool,
    /// The one before is good until the other one is shown, as long as its answer may have been lost.
    pub grace: bool,
    /// Cronofy's clock less ours.
    pub skew: SignedDuration,
    /// How far `changes_since` is off the time of the change.
    pub changes_since_off: SignedDuration,
    /// How long a new channel is missing in the listing.
    pub listing_lag: SignedDuration,
}

impl Default for Switches {
    fn default() -> Self {
        Self {
            second_channel: false,
            closed_listed: false,
            page_size: 2,
            live_pages: false,
            shifting_pages: false,
            tells_time: true,
            rotates: false,
            grace: false,
            skew: SignedDuration::ZERO,
            changes_since_off: SignedDuration::ZERO,
            listing_lag: SignedDuration::ZERO,
        }
    }
}

/// A notification on its way.
#[derive(Clone, Debug, PartialEq)]
pub struct Notification {
    /// The channel it comes through.
    pub channel: RemoteChannel,
    /// Its type.
    pub kind: NotificationType,
    /// From when on changes are to be read.
    pub changes_since: Option<Timestamp>,
}

/// The state of the profile that can be disconnected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fragile {
    /// It is connected, and all its events are there.
    Connected,
    /// Its owner must connect it again.
    Disconnected,
    /// Connected again, but its events are not all read.
    InitialSync,
}

/// What the address of a later page leads to.
#[derive(Clone, Debug)]
enum Rest {
    /// The events as they were at the first page.
    Settled(Vec<(Key, RemoteEvent)>),
    /// What comes after so many events by then.
    Counted(usize),
}

/// The service.
#[derive(Clone, Debug)]
pub struct Cronofy {
    /// How it behaves.
    pub switches: Switches,
    /// The events.
    pub calendars: Calendars,
    /// The live channels.
    pub channels: Vec<RemoteChannel>,
    /// Closed channels, and until when they are listed, on Cronofy's clock.
    closed: Vec<(RemoteChannel, Timestamp)>,
    /// Channels that the listing does not show yet.
    unlisted: Vec<(String, Timestamp)>,
    /// Channels of other applications that count as well.
    pub strangers: usize,
    /// Notifications that are on their way.
    pub outbox: Vec<Notification>,
    /// The profile that can be disconnected.
    pub profile: Fragile,
    /// The next read of everything shows nothing, though nothing is gone.
    pub hiccup: bool,
    /// What every request is refused with, until a person mends it.
    pub refusing: Option<Refusal>,
    /// Requests that were sent.
    pub requests: usize,
    access_tokens: BTreeSet<u64>,
    /// The refresh token that is good.
    pub grant: u64,
    /// The one that it replaces, as long as that is good as well.
    former_grant: Option<u64>,
    pages: BTreeMap<u64, Rest>,
    last_id: u64,
    last_channel: u64,
}

impl Cronofy {
    /// A service with these calendars, and nothing else yet.
    #[must_use]
    pub fn new(switches: Switches, calendars: Calendars) -> Self {
        Self {
            switches,
            calendars,
            channels: Vec::new(),
            closed: Vec::new(),
            unlisted: Vec::new(),
            strangers: 0,
            outbox: Vec::new(),
            profile: Fragile::Connected,
            hiccup: false,
            refusing: None,
            requests: 0,
            access_tokens: BTreeSet::new(),
            grant: 0,
            former_grant: None,
            pages: BTreeMap::new(),
            last_id: 0,
            last_channel: 0,
        }
    }

    /// Cronofy's clock.
    #[must_use]
    pub fn clock(&self, now: Timestamp) -> Timestamp {
        later(now, self.switches.skew)
    }

    /// An access token and the refresh token to use next, unless the one shown is dead.
    pub fn refresh(&mut self, shown: u64) -> Option<(u64, u64)> {
        if !self.knows(shown) {
            return None;
        }
        let token = self.new_id();
        self.access_tokens.insert(token);
        if self.switches.rotates && shown == self.grant {
            self.former_grant = self.switches.grace.then_some(shown);
            self.grant += 1;
        }
        Some((token, self.grant))
    }

    /// Whether a refresh token is good.
    #[must_use]
    pub fn knows(&self, shown: u64) -> bool {
        shown == self.grant || self.former_grant == Some(shown)
    }

    /// The owner takes the authorization back.
    pub fn revoke(&mut self) {
        self.grant += 1_000;
        self.former_grant = None;
        self.expire_tokens();
    }

    /// Whether an access token is good.
    #[must_use]
    pub fn accepts(&self, token: u64) -> bool {
        self.access_tokens.contains(&token)
    }

    /// Makes every access token worthless.
    pub fn expire_tokens(&mut self) {
        self.access_tokens.clear();
    }

    /// The account with its profiles.
    #[must_use]
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

    /// The channels that are listed.
    #[must_use]
    pub fn list(&self, now: Timestamp) -> Vec<RemoteChannel> {
        let time = self.clock(now);
        let shown =
            |channel: &&RemoteChannel| !self.unlisted.iter().any(|(id, from)| *id == channel.id && *from > time);
        let closed = self.closed.iter().filter(|(_, until)| *until > time).map(|(channel, _)| channel);
        let strangers = (0..self.strangers).map(|number| RemoteChannel {
            id: format!("foreign_{number:03}"),
            callback_url: format!("https://elsewhere.example.org/hook/{number}"),
            filter: ChannelFilter::default(),
        });
        self.channels.iter().filter(shown).chain(closed).cloned().chain(strangers).collect()
    }

    /// Makes a channel, or gives the identical one; `None` if the account is full.
    pub fn create(&mut self, callback_url: &str, filter: &ChannelFilter, now: Timestamp) -> Option<String> {
        let same = |channel: &&RemoteChannel| channel.callback_url == callback_url && channel.filter == *filter;
        if let Some(existing) = self.channels.iter().find(same)
            && !self.switches.second_channel
        {
            return Some(existing.id.clone());
        }
        if self.channels.len() + self.strangers >= MOST_CHANNELS {
            return None;
        }
        self.last_channel += 1;
        let id = format!("chn_{:03}", self.last_channel);
        let channel = RemoteChannel { id: id.clone(), callback_url: callback_url.to_owned(), filter: filter.clone() };
        self.channels.push(channel.clone());
        let time = self.clock(now);
        self.unlisted.retain(|(_, from)| *from > time);
        if self.switches.listing_lag > SignedDuration::ZERO {
            self.unlisted.push((id.clone(), later(time, self.switches.listing_lag)));
        }
        self.outbox.push(Notification { channel, kind: NotificationType::Verification, changes_since: None });
        Some(id)
    }

    /// Closes a channel; whether it was there.
    pub fn close(&mut self, id: &str, now: Timestamp) -> bool {
        let (closed, live): (Vec<_>, Vec<_>) = self.channels.drain(..).partition(|channel| channel.id == id);
        self.channels = live;
        let found = !closed.is_empty();
        if self.switches.closed_listed {
            let time = self.clock(now);
            self.closed.retain(|(_, until)| *until > time);
            let until = later(time, LISTED_CLOSED);
            self.closed.extend(closed.into_iter().map(|channel| (channel, until)));
        }
        found
    }

    /// A page: the first one of a request, or one that an address leads to; `None` if there is no such page. With it, the ids
    /// of the events that the application manages, and the address of the next page.
    pub fn read(
        &mut self,
        request: &EventsRequest,
        zone: &TimeZone,
        address: Option<u64>,
        now: Timestamp,
    ) -> Option<Page> {
        let now = self.clock(now);
        let everything = request.modified_since.is_none();
        let size = self.switches.page_size;
        let (mut shown, before) = match address.map(|address| self.pages.get(&address).cloned()) {
            Some(None) => return None,
            Some(Some(Rest::Settled(rest))) => (rest, 0),
            Some(Some(Rest::Counted(before))) => {
                let mut all = self.shown(request, zone, now);
                (all.split_off(all.len().min(before)), before)
            }
            None if is_full(request) && std::mem::take(&mut self.hiccup) => (Vec::new(), 0),
            None => (self.shown(request, zone, now), 0),
        };
        let rest = shown.split_off(shown.len().min(size));
        let live = self.switches.live_pages;
        let managed = shown.iter().filter(|(key, _)| self.calendars.manages(key)).map(|(key, _)| key.0.clone());
        let managed = managed.collect();
        let show = |(key, settled): (Key, RemoteEvent)| if live { self.calendars.show(&key) } else { Some(settled) };
        // A read of everything shows no deleted events.
        let visible = |event: &RemoteEvent| !everything || matches!(event, RemoteEvent::Present(_));
        let events = shown.into_iter().filter_map(show).filter(visible).collect();
        let next = (!rest.is_empty()).then(|| self.new_id());
        if let Some(next) = next {
            let counted = self.switches.shifting_pages;
            self.pages.insert(next, if counted { Rest::Counted(before + size) } else { Rest::Settled(rest) });
            if self.pages.len() > MOST_PAGES {
                self.pages.pop_first();
            }
        }
        Some(Page { events, managed, next })
    }

    fn shown(&self, request: &EventsRequest, zone: &TimeZone, now: Timestamp) -> Vec<(Key, RemoteEvent)> {
        let keys = self.calendars.read(request, zone, &self.hidden(), now);
        keys.into_iter().filter_map(|key| Some((key.clone(), self.calendars.show(&key)?))).collect()
    }

    /// What the address of a page leads to.
    #[must_use]
    pub fn page(&self, address: u64) -> impl fmt::Debug {
        self.pages.get(&address)
    }

    /// Calendars that cannot be read at present.
    #[must_use]
    pub fn hidden(&self) -> BTreeSet<String> {
        match self.profile {
            Fragile::Connected => BTreeSet::new(),
            Fragile::Disconnected | Fragile::InitialSync => BTreeSet::from([FRAGILE.to_owned()]),
        }
    }

    /// Tells every channel that is about one of the calendars.
    pub fn announce_change(&mut self, touched: &BTreeSet<String>, now: Timestamp) {
        let time = later(self.clock(now), self.switches.changes_since_off);
        let changes_since = Timestamp::from_second(time.as_second()).ok();
        for channel in self.channels.iter().filter(|channel| is_about(channel, touched)) {
            let kind = NotificationType::Change;
            self.outbox.push(Notification { channel: channel.clone(), kind, changes_since });
        }
    }

    /// Tells every channel of something else than a change.
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

fn is_full(request: &EventsRequest) -> bool {
    match request.purpose {
        Purpose::Initial | Purpose::Full => true,
        Purpose::Delta | Purpose::Check | Purpose::Poll | Purpose::Sweep => false,
    }
}

/// A page of events.
#[derive(Clone, Debug)]
pub struct Page {
    /// Its events.
    pub events: Vec<RemoteEvent>,
    /// Ids of those that the application manages.
    pub managed: BTreeSet<String>,
    /// The address of the next page.
    pub next: Option<u64>,
}

/// Whether a change in one of these calendars is told through the channel.
#[must_use]
pub fn is_about(channel: &RemoteChannel, touched: &BTreeSet<String>) -> bool {
    // Changes by the application itself are told to nobody, so that a channel for managed events alone tells of nothing.
    let ids = channel.filter.calendar_ids.as_ref();
    !channel.filter.only_managed
        && !touched.is_empty()
        && ids.is_none_or(|ids| ids.iter().any(|id| touched.contains(id)))
}
