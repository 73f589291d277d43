//! The remote calendars: their events, what changed when, and what a read shows of it.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, btree_map};
use std::iter::Peekable;
use std::ops::Bound;

use calendar_sync::{Event, EventTime, EventsRequest, FUTURE_DAYS, Filter, PAST_DAYS, RemoteEvent, TimeZone};
use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp, ToSpan};

use super::later;

/// Key of an entry: uid and calendar. An event that moved has a tombstone in the one and stands in the other.
pub type Key = (String, String);

/// What Cronofy does not document about changes.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "these are switches")]
pub struct Style {
    /// What becomes of an event that moves.
    pub moves: Moves,
    /// Deleted events just vanish instead of being shown as deleted.
    pub no_tombstones: bool,
    /// Reads show the latest start first.
    pub latest_first: bool,
    /// Reads show more than the range that was asked for.
    pub beyond_range: bool,
    /// The edges of Cronofy's own window are counted in the zone that is asked for, not in UTC.
    pub edges_in_zone: bool,
}

/// What becomes of an event that moves to another calendar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Moves {
    /// It keeps its uid; the calendar it left shows it as deleted.
    #[default]
    SameUid,
    /// It gets another uid; the old one is shown as deleted.
    NewUid,
    /// It keeps its uid, and the calendar it left shows nothing of it.
    Silently,
}

impl Style {
    /// Whether deltas show everything that happened.
    #[must_use]
    pub fn tells_all(self) -> bool {
        !self.no_tombstones && self.moves != Moves::Silently
    }
}

/// One event in one calendar, or what is left of it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The event as it is now, or was when it was deleted.
    pub event: Event,
    /// Whether the application manages it.
    pub managed: bool,
    /// When it changed, on Cronofy's clock.
    pub modified: Timestamp,
    /// Whether only a tombstone is left.
    pub deleted: bool,
    former: Vec<(EventTime, EventTime)>,
}

impl Entry {
    /// Whether it is in these dates, or was before it changed.
    #[must_use]
    pub fn touches(&self, dates: &Span, zone: &TimeZone) -> bool {
        let present = (self.event.start, self.event.end);
        dates.holds(present, zone) || self.former.iter().any(|former| dates.holds(*former, zone))
    }

    fn key(&self) -> Key {
        (self.event.id.clone(), self.event.calendar_id.clone())
    }
}

/// All calendars of the account.
#[derive(Clone, Debug)]
pub struct Calendars {
    /// How changes show.
    pub style: Style,
    /// By uid, and then in the order of the calendars' names.
    entries: BTreeMap<String, Vec<Entry>>,
    by_change: BTreeSet<(Timestamp, Key)>,
    /// Uids of events that vanished without a trace.
    vanished: BTreeSet<String>,
}

impl Calendars {
    /// Calendars without events.
    #[must_use]
    pub fn new(style: Style) -> Self {
        Self { style, entries: BTreeMap::new(), by_change: BTreeSet::new(), vanished: BTreeSet::new() }
    }

    /// The present event of that number, wherever it stands.
    #[must_use]
    pub fn find(&self, number: usize) -> Option<&Entry> {
        uids(number).iter().find_map(|uid| self.of(uid).iter().find(|entry| !entry.deleted))
    }

    /// The entries of one uid, in every calendar.
    #[must_use]
    pub fn of(&self, uid: &str) -> &[Entry] {
        self.entries.get(uid).map_or(&[], Vec::as_slice)
    }

    /// The entries of uids that are asked for in their order, from this one on.
    #[must_use]
    pub fn in_order(&self, first: &str) -> InOrder<'_, Vec<Entry>> {
        InOrder::from(&self.entries, first)
    }

    /// The entries of each uid.
    pub fn by_uid(&self) -> impl Iterator<Item = (&String, &[Entry])> {
        self.entries.iter().map(|(uid, entries)| (uid, entries.as_slice()))
    }

    /// The events that exist.
    pub fn present(&self) -> impl Iterator<Item = &Entry> {
        self.entries().filter(|entry| !entry.deleted)
    }

    /// The events that exist, and the tombstones.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values().flatten()
    }

    /// Puts an event into a calendar, new or instead of what it was. Gives the calendars it touches.
    pub fn put(&mut self, number: usize, mut event: Event, managed: bool, now: Timestamp) -> BTreeSet<String> {
        let mut touched = BTreeSet::from([event.calendar_id.clone()]);
        let [first, second] = uids(number);
        let before = self.find(number).map(|entry| entry.event.clone());
        event.id = before.as_ref().map_or_else(|| first.clone(), |before| before.id.clone());
        if let Some(before) = before.filter(|before| before.calendar_id != event.calendar_id) {
            touched.insert(before.calendar_id.clone());
            let left = (before.id.clone(), before.calendar_id.clone());
            match self.style.moves {
                Moves::SameUid => self.bury(&left, now),
                Moves::Silently => drop(self.remove(&left)),
                Moves::NewUid => {
                    self.bury(&left, now);
                    event.id = if before.id == first { second } else { first };
                }
            }
        }
        let key = (event.id.clone(), event.calendar_id.clone());
        let mut former = Vec::new();
        if let Some(before) = self.remove(&key) {
            former = before.former;
            former.push((before.event.start, before.event.end));
        }
        self.insert(Entry { event, managed, modified: now, deleted: false, former });
        touched
    }

    /// Deletes an event, if there is one. Gives the calendar it touches.
    pub fn delete(&mut self, number: usize, now: Timestamp) -> BTreeSet<String> {
        let Some(event) = self.find(number).map(|entry| entry.event.clone()) else { return BTreeSet::new() };
        self.bury(&(event.id, event.calendar_id.clone()), now);
        BTreeSet::from([event.calendar_id])
    }

    /// Lets an event vanish without a trace, if there is one.
    pub fn vanish(&mut self, number: usize) -> bool {
        let key = self.find(number).map(|entry| (entry.event.id.clone(), entry.event.calendar_id.clone()));
        let Some(key) = key else { return false };
        self.remove(&key);
        self.vanished.insert(key.0);
        true
    }

    /// Whether a change of this uid left no trace that a delta could show.
    #[must_use]
    pub fn is_untold(&self, uid: &str) -> bool {
        self.vanished.contains(uid)
    }

    /// Keeps only these of the uids that vanished without a trace: of the others the copy knows.
    pub fn retain_untold(&mut self, is_untold: impl Fn(&str) -> bool) {
        self.vanished.retain(|uid| is_untold(uid));
    }

    /// Forgets tombstones from before this time, and what ended before it: no read shows either.
    pub fn forget(&mut self, before: Timestamp) {
        let utc = TimeZone::utc();
        let old = |entry: &Entry| entry.modified < before && (entry.deleted || entry.event.end.instant(&utc) < before);
        let keys: Vec<_> = self.entries().filter(|entry| old(entry)).map(Entry::key).collect();
        for key in keys {
            self.remove(&key);
        }
    }

    fn insert(&mut self, entry: Entry) {
        let (key, modified) = (entry.key(), entry.modified);
        let entries = self.entries.entry(key.0.clone()).or_default();
        let place = entries.partition_point(|other| other.event.calendar_id < key.1);
        entries.insert(place, entry);
        self.by_change.insert((modified, key));
    }

    fn remove(&mut self, key: &Key) -> Option<Entry> {
        let entries = self.entries.get_mut(&key.0)?;
        let entry = entries.remove(entries.iter().position(|entry| entry.event.calendar_id == key.1)?);
        if entries.is_empty() {
            self.entries.remove(&key.0);
        }
        self.by_change.remove(&(entry.modified, key.clone()));
        Some(entry)
    }

    fn get(&self, (uid, calendar): &Key) -> Option<&Entry> {
        self.of(uid).iter().find(|entry| entry.event.calendar_id == *calendar)
    }

    fn bury(&mut self, key: &Key, now: Timestamp) {
        let Some(entry) = self.remove(key) else { return };
        if self.style.no_tombstones {
            self.vanished.insert(key.0.clone());
        } else {
            self.insert(Entry { deleted: true, modified: now, ..entry });
        }
    }

    /// What a read at `now`, on Cronofy's clock, shows, in its order. Calendars that are `hidden` cannot be read at present.
    #[must_use]
    pub fn read(
        &self,
        request: &EventsRequest,
        zone: &TimeZone,
        hidden: &BTreeSet<String>,
        now: Timestamp,
    ) -> Vec<Key> {
        let asked = Span::new((request.range.from, request.range.to), zone);
        let there = self.own_window(zone, now);
        let readable = |entry: &&Entry| !hidden.contains(&entry.event.calendar_id);
        let shown = |entry: &&Entry| self.shows(entry, request, zone, (&asked, &there));
        let placed = |entry: &Entry| (entry.event.start.instant(zone), entry.key());
        let mut keys: Vec<_> = match request.modified_since {
            None => self.entries().filter(readable).filter(shown).map(placed).collect(),
            Some(since) => {
                let from = Timestamp::from_second(since.as_second()).unwrap_or(since);
                let changed = self.by_change.range((from, Key::default())..).filter_map(|(_, key)| self.get(key));
                changed.filter(readable).filter(shown).map(placed).collect()
            }
        };
        keys.sort();
        if self.style.latest_first {
            keys.reverse();
        }
        keys.into_iter().map(|(_, key)| key).collect()
    }

    /// The event as a read shows it now.
    #[must_use]
    pub fn show(&self, key: &Key) -> Option<RemoteEvent> {
        let entry = self.get(key)?;
        Some(if entry.deleted {
            RemoteEvent::Deleted { id: key.0.clone(), calendar_id: key.1.clone() }
        } else {
            RemoteEvent::Present(Box::new(entry.event.clone()))
        })
    }

    /// Whether the event is one that the application manages.
    #[must_use]
    pub fn manages(&self, key: &Key) -> bool {
        self.get(key).is_some_and(|entry| entry.managed)
    }

    /// The dates that Cronofy keeps events of: it shows nothing else, and moves on without a word.
    fn own_window(&self, zone: &TimeZone, now: Timestamp) -> Span {
        let utc = TimeZone::utc();
        let zone = if self.style.edges_in_zone { zone } else { &utc };
        let today = zone.date(now);
        Span::new((today.saturating_add((-PAST_DAYS).days()), today.saturating_add(FUTURE_DAYS.days())), zone)
    }

    fn shows(&self, entry: &Entry, request: &EventsRequest, zone: &TimeZone, (asked, there): (&Span, &Span)) -> bool {
        let changes = request.modified_since.is_some();
        let times = (entry.event.start, entry.event.end);
        let kept =
            there.holds(times, zone) || (changes && entry.former.iter().any(|former| there.holds(*former, zone)));
        let in_range = self.style.beyond_range
            || asked.holds(times, zone)
            || (changes && entry.former.iter().any(|former| asked.holds(*former, zone)));
        kept && in_range && (changes || !entry.deleted) && wanted(entry, &request.filter)
    }
}

/// Values of keys that are asked for in their order: cheaper than to search for each.
#[derive(Debug)]
pub struct InOrder<'a, V> {
    rest: Peekable<btree_map::Range<'a, String, V>>,
}

impl<'a, V> InOrder<'a, V> {
    /// From that key on.
    #[must_use]
    pub fn from(map: &'a BTreeMap<String, V>, first: &str) -> Self {
        Self { rest: map.range::<str, _>((Bound::Included(first), Bound::Unbounded)).peekable() }
    }

    /// The value of a key behind those that were asked for before.
    pub fn next(&mut self, key: &str) -> Option<&'a V> {
        loop {
            let (next, _) = self.rest.peek()?;
            match next.as_str().cmp(key) {
                Ordering::Less => self.rest.next()?,
                Ordering::Equal => return self.rest.next().map(|(_, value)| value),
                Ordering::Greater => return None,
            };
        }
    }
}

/// From one midnight to another.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    from: Timestamp,
    to: Timestamp,
}

impl Span {
    /// From the first moment of one date to that of another.
    #[must_use]
    pub fn new((from, to): (Date, Date), zone: &TimeZone) -> Self {
        Self { from: zone.start_of(from), to: zone.start_of(to) }
    }

    /// The same, but not before this time.
    #[must_use]
    pub fn from_later(self, time: Timestamp) -> Self {
        Self { from: self.from.max(time), ..self }
    }

    /// The same, but not beyond this time.
    #[must_use]
    pub fn to_earlier(self, time: Timestamp) -> Self {
        Self { to: self.to.min(time), ..self }
    }

    /// Whether an event that ends then leaves the range within a day.
    #[must_use]
    pub fn is_left_soon(&self, end: EventTime, zone: &TimeZone) -> bool {
        end.instant(zone) < later(self.from, SignedDuration::from_hours(24))
    }

    /// Whether an event with these times starts before its end, and ends on or after its begin.
    #[must_use]
    pub fn holds(&self, (start, end): (EventTime, EventTime), zone: &TimeZone) -> bool {
        start.instant(zone) < self.to && end.instant(zone) >= self.from
    }
}

/// Whether a filter lets the entry through.
#[must_use]
pub fn wanted(entry: &Entry, filter: &Filter) -> bool {
    let calendar = filter.calendar_ids.as_ref().is_none_or(|ids| ids.contains(&entry.event.calendar_id));
    calendar && if filter.only_managed { entry.managed } else { filter.include_managed || !entry.managed }
}

/// The uids that an event of that number has in the course of its moves.
#[must_use]
pub fn uids(number: usize) -> [String; 2] {
    [format!("evt_{number}"), format!("evt_{number}_moved")]
}

/// An event with a summary and a description that name its version.
#[must_use]
pub fn event(calendar: &str, (start, end): (EventTime, EventTime), version: usize) -> Event {
    Event {
        id: String::new(),
        calendar_id: calendar.to_owned(),
        start,
        end,
        all_day: start.is_date(),
        time_zone: None,
        summary: Some(format!("version {version}")),
        status: None,
        transparency: None,
        participation: None,
        recurring: None,
        series: None,
        location: None,
        description: Some(format!("described in version {version}")),
        organizer: None,
        attendees: Vec::new(),
        meeting_url: None,
        updated: None,
    }
}

/// Times of an event that begins some days from now: an hour, a day, or three weeks as dates.
#[must_use]
pub fn times(now: Timestamp, days: i32, form: usize) -> (EventTime, EventTime) {
    let date = TimeZone::utc().date(now).saturating_add(days.days());
    match form % 3 {
        0 => {
            let start = later(now, SignedDuration::from_hours(i64::from(days) * 24));
            (EventTime::Instant(start), EventTime::Instant(later(start, SignedDuration::from_hours(1))))
        }
        1 => (EventTime::Date(date), EventTime::Date(date.saturating_add(1.day()))),
        _ => (EventTime::Date(date), EventTime::Date(date.saturating_add(21.days()))),
    }
}
