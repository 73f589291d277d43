//! A read under way: pages are gathered aside, and become a snapshot only when all are there.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};

use crate::guard::Absence;
use crate::{DateRange, Desired, Event, EventsRequest, Purpose, RemoteEvent, Snapshot, Stored, Visibility};

/// How far the new cursor stays behind the server's clock: what Cronofy shows late is found by the next read.
pub const CURSOR_OVERLAP: SignedDuration = SignedDuration::from_mins(2);
/// The same where the server does not tell its clock.
pub const CURSOR_OVERLAP_WITHOUT_SERVER_TIME: SignedDuration = SignedDuration::from_hours(1);
/// Pages of one read; more means that Cronofy leads us in a circle.
pub const MOST_PAGES: u32 = 5_000;
/// Events of one read: more are taken by no store.
pub const MOST_EVENTS: usize = 200_000;
/// Bytes of text of the events of one read, as far as they are kept.
pub const MOST_BYTES: usize = 64_000_000;

/// Pages gathered so far.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    /// The request of the first page.
    pub request: EventsRequest,
    /// The page to ask for next.
    pub next_page: u32,
    /// The request for a full sync that this read answers.
    pub answers: Option<String>,
    /// Whether the channels were listed before it began: then it is the second half of a check.
    pub after_listing: bool,
    /// Cronofy's clock when it answered the first page, as far as it is known.
    time: Timestamp,
    started: Timestamp,
    seen: BTreeMap<String, Option<Event>>,
    /// Bytes of their texts.
    bytes: usize,
    /// Events that the application manages: nobody announces what it changes itself.
    managed: BTreeSet<String>,
    /// What it means that it does not show an event; judged once the last page is there.
    pub absence: Option<Absence>,
}

impl Reading {
    /// Begins with the answer to the first page.
    pub fn begin(
        desired: &Desired,
        request: EventsRequest,
        after_listing: bool,
        server_time: Option<Timestamp>,
        now: Timestamp,
    ) -> Self {
        let started = match server_time {
            Some(time) => back(time, CURSOR_OVERLAP),
            None => back(now, CURSOR_OVERLAP_WITHOUT_SERVER_TIME),
        };
        Self {
            request,
            next_page: 0,
            answers: desired.request.clone(),
            after_listing,
            time: server_time.unwrap_or(now),
            started,
            seen: BTreeMap::new(),
            bytes: 0,
            managed: BTreeSet::new(),
            absence: None,
        }
    }

    /// Takes a page. The later of two entries for one event counts, but what is gone from one calendar and stands in
    /// another was moved: it is not known in which order Cronofy shows that. Of each event only what may be shown is kept.
    pub fn take(&mut self, events: Vec<RemoteEvent>, managed: BTreeSet<String>, visibility: Visibility) {
        for event in events {
            let before = match event {
                RemoteEvent::Present(event) => {
                    let event = visibility.of(*event);
                    self.bytes = self.bytes.saturating_add(event.text_bytes());
                    self.seen.insert(event.id.clone(), Some(event)).flatten()
                }
                RemoteEvent::Deleted { id, calendar_id } => {
                    self.bytes = self.bytes.saturating_add(id.len());
                    let seen = self.seen.entry(id).or_default();
                    seen.take_if(|event| event.calendar_id == calendar_id)
                }
            };
            self.bytes = self.bytes.saturating_sub(before.as_ref().map_or(0, Event::text_bytes));
        }
        self.managed.extend(managed);
        self.next_page = self.next_page.saturating_add(1);
    }

    /// Whether it reads everything.
    pub fn is_full(&self) -> bool {
        match self.request.purpose {
            Purpose::Initial | Purpose::Full => true,
            Purpose::Delta | Purpose::Check | Purpose::Poll | Purpose::Sweep => false,
        }
    }

    /// Whether it shows all that changed since the cursor.
    pub fn shows_changes(&self) -> bool {
        self.request.purpose != Purpose::Sweep
    }

    /// The cursor after this read.
    pub fn cursor(&self) -> Timestamp {
        self.started
    }

    /// The dates that the copy covers after this read. Cronofy's clock decides about both edges: with a clock of ours that
    /// is wrong, what is still to come would be dropped, or what was never shown be taken for read.
    fn covered(&self, desired: &Desired, before: Option<&Snapshot>) -> DateRange {
        let (window, zone) = (desired.window, &desired.time_zone);
        let from = window.near_edge(self.time, zone);
        let read = self.request.range.to.min(window.horizon(self.time, zone, desired.intervals.horizon_sweep));
        let to = match (self.request.purpose, before) {
            (Purpose::Initial | Purpose::Full, _) | (_, None) => read,
            (Purpose::Sweep, Some(before)) => read.max(before.swept_through),
            (Purpose::Delta | Purpose::Check | Purpose::Poll, Some(before)) => before.swept_through,
        };
        DateRange { from, to }
    }

    /// How many of the stored events within this full read's range it does not show, and of how many.
    pub fn missing(&self, desired: &Desired, stored: &Stored) -> (usize, usize) {
        let Some(before) = stored.snapshot() else { return (0, 0) };
        let range = DateRange { to: self.request.range.to.min(before.swept_through), ..self.covered(desired, None) };
        let expected = before.events.values().filter(|event| is_wanted(desired, range, event));
        let (mut missing, mut of) = (0, 0);
        for event in expected {
            of += 1;
            missing += usize::from(!self.seen.get(&event.id).is_some_and(Option::is_some));
        }
        (missing, of)
    }

    /// How many events it shows.
    pub fn present(&self) -> usize {
        self.seen.values().flatten().count()
    }

    /// Whether it shows more than any store takes.
    pub fn is_too_large(&self) -> bool {
        self.seen.len() > MOST_EVENTS || self.bytes > MOST_BYTES
    }

    /// From when on it shows what changed.
    pub fn begins_at(&self) -> Timestamp {
        self.request.modified_since.unwrap_or(Timestamp::MIN)
    }

    /// Whether it shows a change that Cronofy should have announced: not one that the application made itself.
    pub fn shows_news(&self, desired: &Desired, stored: &Stored) -> bool {
        self.differs(desired, stored, |id| !self.managed.contains(id))
    }

    /// Whether it shows a change that the application made itself.
    pub fn shows_managed_news(&self, desired: &Desired, stored: &Stored) -> bool {
        self.differs(desired, stored, |id| self.managed.contains(id))
    }

    fn differs(&self, desired: &Desired, stored: &Stored, of: impl Fn(&str) -> bool) -> bool {
        let Some(before) = stored.snapshot() else { return false };
        let range = self.covered(desired, Some(before));
        self.seen.iter().filter(|(id, _)| of(id)).any(|(id, seen)| {
            let is = seen.as_ref().filter(|event| is_wanted(desired, range, event));
            let is = is.map(|event| desired.visibility.of(event.clone()));
            is.as_ref() != before.events.get(id).filter(|event| is_wanted(desired, range, event))
        })
    }

    /// What the copy becomes by this read on top of `stored`.
    ///
    /// If absence deletes, a full read drops what it does not show; if not (a profile is not connected, or still being
    /// read for the first time, or too much is missing at once), what is within the window stays, and so does the cursor:
    /// only a delta shows deletions then.
    pub fn snapshot(&self, desired: &Desired, stored: &Stored, absence: &Absence, now: Timestamp) -> Snapshot {
        let before = stored.snapshot();
        let range = self.covered(desired, before);
        let keep_absent = !self.is_full() || !absence.deletes;
        let mut events: BTreeMap<String, Event> = match before {
            Some(before) if keep_absent => before
                .events
                .iter()
                .filter(|(id, event)| !self.seen.contains_key(*id) && is_wanted(desired, range, event))
                .map(|(id, event)| (id.clone(), desired.visibility.of(event.clone())))
                .collect(),
            Some(_) | None => BTreeMap::new(),
        };
        let present = self.seen.values().flatten().filter(|event| is_wanted(desired, range, event));
        events.extend(present.map(|event| (event.id.clone(), desired.visibility.of(event.clone()))));

        let (visibility, fingerprint) = (desired.visibility, desired.content_fingerprint());
        match before {
            Some(before) if !self.is_full() => Snapshot {
                cursor: if self.shows_changes() { self.started.max(before.cursor) } else { before.cursor },
                fingerprint: before.fingerprint.clone(),
                // What was stored as less stays less until everything is read.
                visibility: before.visibility.min(visibility),
                last_full_sync: before.last_full_sync,
                // What a profile had to show that was not connected is behind the cursor and behind the edge now.
                complete: before.complete && absence.told,
                swept_through: range.to,
                events,
            },
            Some(_) | None => Snapshot {
                cursor: match before {
                    // What was deleted since is still to be read.
                    Some(before) if keep_absent => self.started.min(before.cursor),
                    Some(_) | None => self.started,
                },
                // What was read for another filter is read again at once.
                fingerprint: before
                    .filter(|_| absence.filtered)
                    .map_or(fingerprint, |before| before.fingerprint.clone()),
                visibility,
                last_full_sync: now,
                complete: absence.deletes,
                swept_through: range.to,
                events,
            },
        }
    }
}

/// Whether an event belongs into the copy.
fn is_wanted(desired: &Desired, range: DateRange, event: &Event) -> bool {
    range.holds(event, &desired.time_zone) && desired.filter.holds(&event.calendar_id)
}

/// The dates that a read for this purpose asks for.
pub(crate) fn range(desired: &Desired, purpose: Purpose, swept_through: Option<Date>, now: Timestamp) -> DateRange {
    let (window, zone) = (desired.window, &desired.time_zone);
    let near = window.near_edge(now, zone);
    let horizon = window.horizon(now, zone, desired.intervals.horizon_sweep);
    let (from, to) = match (purpose, swept_through) {
        (Purpose::Initial | Purpose::Full, _) | (_, None) => (near, horizon),
        (Purpose::Sweep, Some(swept_through)) => {
            (near.max(crate::window::shift(swept_through, -SWEEP_OVERLAP)), horizon)
        }
        (Purpose::Delta | Purpose::Check | Purpose::Poll, Some(swept_through)) => {
            (near, swept_through.min(crate::window::cronofys_far_edge(now, zone)))
        }
    };
    DateRange { from, to: to.max(crate::window::shift(from, 1)) }
}

/// Days that a sweep reads once more.
const SWEEP_OVERLAP: i32 = 2;

/// `time` less `span`, at the beginning of time at the latest.
fn back(time: Timestamp, span: SignedDuration) -> Timestamp {
    time.checked_sub(span).unwrap_or(Timestamp::MIN)
}
