//! The remote calendars: their events, what changed when, and what a read shows of it.

use std::collections::{BTreeMap, BTreeSet};

use calendar_sync::{Event, EventTime, EventsRequest, RemoteEvent};
use jiff::civil::Date;
use jiff::{Timestamp, ToSpan, tz};

/// Key of an entry: uid and calendar. An event that moved has a tombstone in the one and stands in the other.
pub type Key = (String, String);

/// What Cronofy does not document about changes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Style {
    pub moves: Moves,
    /// Deleted events just vanish instead of being shown as deleted.
    pub no_tombstones: bool,
    /// Reads show the latest start first.
    pub latest_first: bool,
    /// Reads show more than the range that was asked for.
    pub beyond_range: bool,
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
    pub fn tells_all(self) -> bool {
        !self.no_tombstones && self.moves != Moves::Silently
    }
}

#[derive(Clone, Debug)]
pub struct Entry {
    pub event: Event,
    pub managed: bool,
    /// On Cronofy's clock.
    pub modified: Timestamp,
    pub deleted: bool,
    former: Vec<(EventTime, EventTime)>,
}

#[derive(Clone, Debug)]
pub struct Calendars {
    pub style: Style,
    entries: BTreeMap<Key, Entry>,
}

impl Calendars {
    pub fn new(style: Style) -> Self {
        Self { style, entries: BTreeMap::new() }
    }

    /// The present event of that number, wherever it stands.
    pub fn find(&self, number: usize) -> Option<&Entry> {
        self.present().find(|entry| uids(number).contains(&entry.event.id))
    }

    pub fn present(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values().filter(|entry| !entry.deleted)
    }

    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    /// Puts an event into a calendar, new or instead of what it was. Gives the calendars it touches.
    pub fn put(&mut self, number: usize, mut event: Event, managed: bool, now: Timestamp) -> BTreeSet<String> {
        let mut touched = BTreeSet::from([event.calendar_id.clone()]);
        let before = self.find(number).map(|entry| entry.event.clone());
        event.id = before.as_ref().map_or_else(|| uids(number)[0].clone(), |before| before.id.clone());
        if let Some(before) = before.filter(|before| before.calendar_id != event.calendar_id) {
            touched.insert(before.calendar_id.clone());
            let left = (before.id.clone(), before.calendar_id.clone());
            match self.style.moves {
                Moves::SameUid => self.bury(&left, now),
                Moves::Silently => drop(self.entries.remove(&left)),
                Moves::NewUid => {
                    self.bury(&left, now);
                    event.id = uids(number).into_iter().find(|uid| *uid != before.id).unwrap();
                }
            }
        }
        let key = (event.id.clone(), event.calendar_id.clone());
        let mut former = Vec::new();
        if let Some(before) = self.entries.remove(&key) {
            former = before.former;
            former.push((before.event.start, before.event.end));
        }
        self.entries.insert(key, Entry { event, managed, modified: now, deleted: false, former });
        touched
    }

    /// Deletes an event, if there is one. Gives the calendar it touches.
    pub fn delete(&mut self, number: usize, now: Timestamp) -> BTreeSet<String> {
        let Some(event) = self.find(number).map(|entry| entry.event.clone()) else { return BTreeSet::new() };
        self.bury(&(event.id, event.calendar_id.clone()), now);
        BTreeSet::from([event.calendar_id])
    }

    fn bury(&mut self, key: &Key, now: Timestamp) {
        if self.style.no_tombstones {
            self.entries.remove(key);
        } else if let Some(entry) = self.entries.get_mut(key) {
            (entry.deleted, entry.modified) = (true, now);
        }
    }

    /// What a read shows, in its order. Calendars that are `hidden` cannot be read at present.
    pub fn read(&self, request: &EventsRequest, zone: &tz::TimeZone, hidden: &BTreeSet<String>) -> Vec<Key> {
        let mut shown: Vec<_> = self
            .entries
            .iter()
            .filter(|((_, calendar), entry)| !hidden.contains(calendar) && self.shows(entry, request, zone))
            .map(|(key, entry)| (instant(entry.event.start, zone), key.clone()))
            .collect();
        shown.sort();
        if self.style.latest_first {
            shown.reverse();
        }
        shown.into_iter().map(|(_, key)| key).collect()
    }

    /// The event as a read shows it now.
    pub fn show(&self, key: &Key) -> Option<RemoteEvent> {
        let entry = self.entries.get(key)?;
        Some(if entry.deleted {
            RemoteEvent::Deleted { id: key.0.clone(), calendar_id: key.1.clone() }
        } else {
            RemoteEvent::Present(Box::new(entry.event.clone()))
        })
    }

    fn shows(&self, entry: &Entry, request: &EventsRequest, zone: &tz::TimeZone) -> bool {
        let changes = request.modified_since;
        let range = (request.range.from, request.range.to);
        let inside = |(start, end)| within(start, end, range, zone);
        let in_range = self.style.beyond_range
            || inside((entry.event.start, entry.event.end))
            || (changes.is_some() && entry.former.iter().copied().any(inside));
        in_range
            && (changes.is_some() || !entry.deleted)
            && changes.is_none_or(|since| entry.modified.as_second() >= since.as_second())
            && wanted(entry, &request.filter)
    }
}

/// Whether a filter lets the entry through.
pub fn wanted(entry: &Entry, filter: &calendar_sync::Filter) -> bool {
    let calendar = filter.calendar_ids.as_ref().is_none_or(|ids| ids.contains(&entry.event.calendar_id));
    calendar && if filter.only_managed { entry.managed } else { filter.include_managed || !entry.managed }
}

/// Starts before the end of the range, ends on or after its begin: in that zone.
pub fn within(start: EventTime, end: EventTime, (from, to): (Date, Date), zone: &tz::TimeZone) -> bool {
    instant(start, zone) < midnight(to, zone) && instant(end, zone) >= midnight(from, zone)
}

pub fn midnight(date: Date, zone: &tz::TimeZone) -> Timestamp {
    zone.to_timestamp(date.at(0, 0, 0, 0)).unwrap()
}

pub fn instant(time: EventTime, zone: &tz::TimeZone) -> Timestamp {
    match time {
        EventTime::Instant(instant) => instant,
        EventTime::Date(date) => midnight(date, zone),
    }
}

/// The uids that an event of that number has in the course of its moves.
fn uids(number: usize) -> [String; 2] {
    [format!("evt_{number}"), format!("evt_{number}_moved")]
}

/// Times of an event that begins some days from now: an hour, a day, or three weeks as dates.
pub fn times(now: Timestamp, days: i32, form: usize) -> (EventTime, EventTime) {
    let date = tz::TimeZone::UTC.to_datetime(now).date().saturating_add(days.days());
    match form % 3 {
        0 => {
            let start = now.checked_add((i64::from(days) * 24).hours()).unwrap();
            (EventTime::Instant(start), EventTime::Instant(start.checked_add(1.hour()).unwrap()))
        }
        1 => (EventTime::Date(date), EventTime::Date(date.saturating_add(1.day()))),
        _ => (EventTime::Date(date), EventTime::Date(date.saturating_add(21.days()))),
    }
}
