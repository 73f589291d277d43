//! The documents of an output: `index.json` with how far the events are read, and the events themselves in `events.json`, be
//! it one beside the index or one in each slice.
//!
//! All are functions of the snapshot, and of what is to be removed later. So equal snapshots are equal texts, and a text that
//! is not exactly what its own content would be written as has been touched by somebody.

use std::fmt;

use calendar_sync::{Event, EventTime, Output, Snapshot, TimeZone, hex};
use jiff::Timestamp;
use serde::Deserialize as _;
use sha2::{Digest, Sha256};

use super::cuts::{self, Piece};
use super::index::{FORMAT_VERSION, Index, Retired, SliceEntry};
use super::{Damage, StoreError, Target};

/// Key of the events: a JSON array, sorted by start (a date counts as midnight UTC), then id; one event a line.
pub(super) const EVENTS: &str = "events.json";
/// Key of the index.
pub(super) const INDEX: &str = "index.json";

/// Up to this size the events stand beside the index; what is larger is cut into slices.
pub const LARGEST_INLINE: usize = 20_000;
/// The most bytes that a single event takes, alone in its slice: the API server refuses more than 1 MiB of data (measured on
/// 1.37), and what others add to the object needs some of it.
pub const LARGEST_EVENTS: usize = 900_000;
/// The most events of one output.
pub const MOST_EVENTS: usize = 100_000;
/// The most bytes of events of one output: some 1,600 slices, whose index still is one object.
pub const MOST_BYTES: usize = 32_000_000;

/// What an event takes besides its own text: a comma and the end of its line.
const AROUND_EVENT: usize = 2;

/// The documents of one snapshot.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Content {
    /// What `index.json` says.
    pub index: Index,
    /// The events.
    pub body: Body,
}

/// Where the events stand.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Body {
    /// Beside the index.
    Inline(String),
    /// In slices, in their order.
    Slices(Vec<Slice>),
}

/// One slice.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Slice {
    /// How the index names it.
    pub entry: SliceEntry,
    /// Its `events.json`.
    pub text: String,
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Content").field("index", &self.index).finish_non_exhaustive()
    }
}

impl fmt::Debug for Slice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slice").field("entry", &self.entry).finish_non_exhaustive()
    }
}

impl Content {
    /// The documents for a snapshot. What is to be removed later is not known to them yet.
    ///
    /// # Errors
    /// If there are too many events, or they are too large.
    pub fn encode(snapshot: &Snapshot, target: &Target) -> Result<Self, StoreError> {
        // Destructured without `..`: what a snapshot gains has to be stored.
        let Snapshot { cursor, fingerprint, last_full_sync, complete, swept_through, visibility, events: by_id } =
            snapshot;
        if by_id.len() > MOST_EVENTS {
            return Err(StoreError::TooMany { events: by_id.len(), limit: MOST_EVENTS });
        }
        let lines = Lines::of(by_id.values())?;
        let body = if lines.bytes() <= LARGEST_INLINE {
            Body::Inline(document(lines.0.iter().map(|(_, text)| text.as_str())))
        } else {
            Body::Slices(lines.slices(target)?)
        };
        let (bytes, content_hash) = digest(body.texts());
        if bytes > MOST_BYTES {
            return Err(StoreError::TooLarge { bytes, limit: MOST_BYTES });
        }
        let slices = match &body {
            Body::Inline(_) => Vec::new(),
            Body::Slices(slices) => slices.iter().map(|slice| slice.entry.clone()).collect(),
        };
        let index = Index {
            format_version: FORMAT_VERSION,
            subscription: target.owner().uid.clone(),
            visibility: *visibility,
            events: by_id.len(),
            bytes,
            cursor: *cursor,
            swept_through: *swept_through,
            last_full_sync: *last_full_sync,
            complete: *complete,
            fingerprint: fingerprint.clone(),
            content_hash,
            slices,
            retired: Vec::new(),
            seal: String::new(),
        };
        Ok(Self { index: index.sealed(), body })
    }

    /// The same, with what is to be removed later.
    pub fn retiring(self, retired: Vec<Retired>) -> Self {
        Self { index: Index { retired, ..self.index }.sealed(), body: self.body }
    }
}

impl Body {
    /// The texts of the events, in their order.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        let (inline, slices) = match self {
            Body::Inline(text) => (Some(text.as_str()), [].as_slice()),
            Body::Slices(slices) => (None, slices.as_slice()),
        };
        inline.into_iter().chain(slices.iter().map(|slice| slice.text.as_str()))
    }
}

/// The snapshot that an index and its events were written from.
///
/// # Errors
/// What shows that they are not what was written.
pub(super) fn snapshot<'a>(index: &Index, texts: impl Iterator<Item = &'a str> + Clone) -> Result<Snapshot, Damage> {
    let (bytes, content_hash) = digest(texts.clone());
    if content_hash != index.content_hash {
        return Err(Damage::Content);
    }
    let mut events = Vec::with_capacity(index.events);
    for text in texts {
        let mut reader = serde_json::Deserializer::from_str(text);
        events.append(&mut Vec::<Event>::deserialize(&mut reader).map_err(|_| Damage::Unreadable)?);
    }
    // In their order, no id twice, and none more or less than the index tells.
    let ordered = events.iter().zip(events.iter().skip(1)).all(|(one, next)| position(one) < position(next));
    let count = events.len();
    let by_id = events.into_iter().map(|event| (event.id.clone(), event)).collect();
    let snapshot = Snapshot {
        cursor: index.cursor,
        fingerprint: index.fingerprint.clone(),
        last_full_sync: index.last_full_sync,
        complete: index.complete,
        swept_through: index.swept_through,
        visibility: index.visibility,
        events: by_id,
    };
    let counted = count == index.events && snapshot.events.len() == count && bytes == index.bytes;
    if ordered && counted { Ok(snapshot) } else { Err(Damage::Content) }
}

/// An output in numbers.
pub(super) fn output(index: &Index, kind: &str, name: &str) -> Output {
    Output {
        kind: kind.to_owned(),
        name: name.to_owned(),
        events: index.events,
        slices: index.slices.len().max(1),
        bytes: index.bytes,
        content_hash: index.content_hash.clone(),
        url: None,
    }
}

/// Size and SHA-256 of texts, one after the other.
pub(super) fn digest<T: AsRef<str>>(texts: impl Iterator<Item = T>) -> (usize, String) {
    let (mut bytes, mut hash) = (0, Sha256::new());
    for text in texts {
        bytes += text.as_ref().len();
        hash.update(text.as_ref());
    }
    (bytes, hex(&hash.finalize()))
}

/// Events in the order in which they are stored.
pub(super) fn in_order<'a>(events: impl Iterator<Item = &'a Event>) -> Vec<&'a Event> {
    let mut events: Vec<&Event> = events.collect();
    events.sort_by(|a, b| position(a).cmp(&position(b)));
    events
}

/// SHA-256 of a text in hexadecimal, as `sha256sum` prints it.
pub(super) fn sha256(text: &str) -> String {
    hex(&Sha256::digest(text))
}

/// The events in their order, each with its id and the line it stands on.
struct Lines<'a>(Vec<(&'a str, String)>);

impl<'a> Lines<'a> {
    fn of(events: impl Iterator<Item = &'a Event>) -> Result<Self, StoreError> {
        let events = in_order(events);
        let line = |event: &'a Event| Ok((event.id.as_str(), serde_json::to_string(event)?));
        let lines: serde_json::Result<Vec<_>> = events.into_iter().map(line).collect();
        lines.map(Self).map_err(|_| StoreError::Unencodable)
    }

    fn bytes(&self) -> usize {
        self.0.iter().map(|(_, text)| text.len() + AROUND_EVENT).sum()
    }

    fn slices(&self, target: &Target) -> Result<Vec<Slice>, StoreError> {
        let pieces: Vec<Piece> = self.0.iter().map(|(id, text)| Piece::new(id, text.len() + AROUND_EVENT)).collect();
        let counts = cuts::cuts(&pieces);
        let mut lines = self.0.as_slice();
        let mut slices = Vec::with_capacity(counts.len());
        for count in counts {
            let Some((these, rest)) = lines.split_at_checked(count) else { break };
            lines = rest;
            let text = document(these.iter().map(|(_, text)| text.as_str()));
            if let [(id, _)] = these
                && text.len() > LARGEST_EVENTS
            {
                return Err(StoreError::EventTooLarge {
                    id: id.chars().take(100).collect(),
                    bytes: text.len(),
                    limit: LARGEST_EVENTS,
                });
            }
            let hash = sha256(&text);
            let entry = SliceEntry { name: target.slice_name(&hash), events: count, bytes: text.len(), hash };
            slices.push(Slice { entry, text });
        }
        Ok(slices)
    }
}

/// Events as a document.
fn document<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    let mut text = String::new();
    for line in lines {
        text.push_str(if text.is_empty() { "[\n" } else { ",\n" });
        text.push_str(line);
    }
    text.push_str(if text.is_empty() { "[]\n" } else { "\n]\n" });
    text
}

fn position(event: &Event) -> (Timestamp, bool, &str) {
    let at_a_time = match event.start {
        EventTime::Date(_) => false,
        EventTime::Instant(_) => true,
    };
    (event.start.instant(&TimeZone::utc()), at_a_time, &event.id)
}
