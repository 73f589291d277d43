//! A read under way: pages are gathered aside, and become a snapshot only when all are there.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::{Desired, Event, EventsRequest, RemoteEvent, Snapshot, Stored};

/// How far the new cursor stays behind the server's clock: what Cronofy shows late is found by the next read.
pub const CURSOR_OVERLAP: SignedDuration = SignedDuration::from_mins(2);
/// The same where the server does not tell its clock.
pub const CURSOR_OVERLAP_WITHOUT_SERVER_TIME: SignedDuration = SignedDuration::from_hours(1);
/// Pages of one read; more means that Cronofy leads us in a circle.
pub const MOST_PAGES: u32 = 5_000;

/// Pages gathered so far.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    /// The request of the first page.
    pub request: EventsRequest,
    /// The page to ask for next.
    pub next_page: u32,
    /// The request for a full sync that this read answers.
    pub answers: Option<String>,
    started: Timestamp,
    seen: BTreeMap<String, Option<Event>>,
    complete: bool,
}

impl Reading {
    /// Begins with the answer to the first page.
    pub fn begin(desired: &Desired, request: EventsRequest, server_time: Option<Timestamp>, now: Timestamp) -> Self {
        let started = match server_time {
            Some(time) => back(time, CURSOR_OVERLAP),
            None => back(now, CURSOR_OVERLAP_WITHOUT_SERVER_TIME),
        };
        Self {
            request,
            next_page: 0,
            answers: desired.request.clone(),
            started,
            seen: BTreeMap::new(),
            complete: false,
        }
    }

    /// Takes a page. The later of two entries for one event counts.
    pub fn take(&mut self, events: Vec<RemoteEvent>, more: bool) {
        for event in events {
            match event {
                RemoteEvent::Present(event) => self.seen.insert(event.id.clone(), Some(*event)),
                RemoteEvent::Deleted { id } => self.seen.insert(id, None),
            };
        }
        self.next_page = self.next_page.saturating_add(1);
        self.complete = !more;
    }

    /// Whether the last page is there.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// Whether it reads everything.
    pub fn is_full(&self) -> bool {
        self.request.modified_since.is_none()
    }

    /// What the copy becomes by this read on top of `stored`.
    ///
    /// With `absence_deletes`, a full read drops what it does not show; without (a profile is not connected, or still being
    /// read for the first time), what is within the window stays.
    pub fn snapshot(&self, desired: &Desired, stored: &Stored, absence_deletes: bool, now: Timestamp) -> Snapshot {
        let range = self.request.range;
        let wanted = |event: &Event| range.holds(event, &desired.time_zone) && desired.filter.holds(&event.calendar_id);
        let base = match stored {
            Stored::Present(snapshot) => Some(snapshot.as_ref()),
            Stored::Unread | Stored::Absent | Stored::Damaged => None,
        };
        let keep_absent = !self.is_full() || !absence_deletes;
        let mut events: BTreeMap<String, Event> = match base {
            Some(snapshot) if keep_absent => snapshot
                .events
                .iter()
                .filter(|(id, event)| !self.seen.contains_key(*id) && wanted(event))
                .map(|(id, event)| (id.clone(), desired.visibility.of(event.clone())))
                .collect(),
            Some(_) | None => BTreeMap::new(),
        };
        let present = self.seen.values().flatten().filter(|event| wanted(event));
        events.extend(present.map(|event| (event.id.clone(), desired.visibility.of(event.clone()))));

        let fingerprint = desired.content_fingerprint();
        match base {
            Some(before) if !self.is_full() => Snapshot {
                cursor: self.started.max(before.cursor),
                fingerprint,
                last_full_sync: before.last_full_sync,
                complete: before.complete,
                swept_through: before.swept_through,
                visibility: desired.visibility,
                events,
            },
            Some(_) | None => Snapshot {
                cursor: self.started,
                fingerprint,
                last_full_sync: now,
                complete: absence_deletes,
                swept_through: range.to,
                visibility: desired.visibility,
                events,
            },
        }
    }
}

/// `time` less `span`, at the beginning of time at the latest.
fn back(time: Timestamp, span: SignedDuration) -> Timestamp {
    time.checked_sub(span).unwrap_or(Timestamp::MIN)
}
