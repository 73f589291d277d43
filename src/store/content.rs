//! The two documents of an output: `events.json` for everybody, and `index.json` with how far they are read.
//!
//! Both are functions of the snapshot alone, so equal snapshots are equal texts, and a text that is not exactly what its
//! own content would be written as has been touched by somebody.

use std::collections::BTreeMap;
use std::fmt;

use calendar_sync::{Event, EventTime, Output, Snapshot, TimeZone, Visibility};
use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::StoreError;
use super::target::hex;

/// Key of the events: a JSON array, sorted by start (a date counts as midnight UTC), then id; one event a line.
pub(super) const EVENTS: &str = "events.json";
/// Key of the index.
pub(super) const INDEX: &str = "index.json";

/// The most bytes of events that one object takes: the API server refuses more than 1 MiB of data (measured on 1.37), and
/// the index and what others add need some of it.
pub const LARGEST_EVENTS: usize = 900_000;

/// What a reader can rely on. Another number means that the documents are to be read differently.
const FORMAT_VERSION: u32 = 1;

/// Why an output is not what was written last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// A label or an owner reference is missing or wrong.
    #[error("its labels or owner references are not as they should be")]
    Metadata,
    /// A copy of the content stands in an annotation.
    #[error("an annotation holds a copy of it")]
    Annotation,
    /// It has been made immutable.
    #[error("it was made immutable")]
    Immutable,
    /// A key is missing, or there are others.
    #[error("keys were added or removed")]
    Keys,
    /// A document cannot be read.
    #[error("its content cannot be read")]
    Unreadable,
    /// A release with another format has written it.
    #[error("its format is that of another release")]
    Format,
    /// A document is not what was written.
    #[error("its content was changed")]
    Content,
    /// It is the content of another subscription.
    #[error("its content is that of another subscription")]
    OtherSubscription,
}

/// The documents of one snapshot.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Content {
    /// `events.json`.
    pub events: String,
    /// `index.json`.
    pub index: String,
    /// How many events there are.
    pub count: usize,
    /// SHA-256 of `events.json`.
    pub hash: String,
    /// Hash of everything in the index, and by its content hash of the events too.
    pub seal: String,
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { events: _, index: _, count, hash, seal } = self;
        f.debug_struct("Content").field("count", count).field("hash", hash).field("seal", seal).finish_non_exhaustive()
    }
}

impl Content {
    /// The documents for a snapshot of the subscription with this uid.
    pub fn encode(snapshot: &Snapshot, subscription_uid: &str) -> Result<Self, StoreError> {
        // Destructured without `..`: what a snapshot gains has to be stored.
        let Snapshot { cursor, fingerprint, visibility, last_full_sync, complete, swept_through, events: by_id } =
            snapshot;
        let events = events_json(by_id).map_err(|_| StoreError::Unencodable)?;
        let hash = sha256(&events);
        let mut index = Index {
            format_version: FORMAT_VERSION,
            subscription: subscription_uid.to_owned(),
            events: by_id.len(),
            bytes: events.len(),
            cursor: *cursor,
            swept_through: *swept_through,
            last_full_sync: *last_full_sync,
            complete: *complete,
            fingerprint: fingerprint.clone(),
            visibility: *visibility,
            content_hash: hash.clone(),
            seal: String::new(),
        };
        index.seal = calendar_sync::fingerprint(&index);
        let text = serde_json::to_string_pretty(&index).map_err(|_| StoreError::Unencodable)? + "\n";
        Ok(Self { events, index: text, count: by_id.len(), hash, seal: index.seal })
    }

    /// The snapshot that these documents were written from, and themselves.
    pub fn decode(events: &str, index: &str, subscription_uid: &str) -> Result<(Snapshot, Self), Damage> {
        let FormatVersion { format_version } = serde_json::from_str(index).map_err(|_| Damage::Unreadable)?;
        if format_version != FORMAT_VERSION {
            return Err(Damage::Format);
        }
        let known: Index = serde_json::from_str(index).map_err(|_| Damage::Unreadable)?;
        if known.subscription != subscription_uid {
            return Err(Damage::OtherSubscription);
        }
        if known.content_hash != sha256(events) {
            return Err(Damage::Content);
        }
        let list: Vec<Event> = serde_json::from_str(events).map_err(|_| Damage::Unreadable)?;
        let snapshot = Snapshot {
            cursor: known.cursor,
            fingerprint: known.fingerprint,
            visibility: known.visibility,
            last_full_sync: known.last_full_sync,
            complete: known.complete,
            swept_through: known.swept_through,
            events: list.into_iter().map(|event| (event.id.clone(), event)).collect(),
        };
        // Written anew it must be the same: that checks the seal, the counts, the order and that no id stands there twice.
        let content = Self::encode(&snapshot, subscription_uid).map_err(|_| Damage::Unreadable)?;
        if content.events != events || content.index != index {
            return Err(Damage::Content);
        }
        Ok((snapshot, content))
    }

    /// The same in numbers.
    pub fn output(&self, kind: &str, name: &str) -> Output {
        Output {
            kind: kind.to_owned(),
            name: name.to_owned(),
            events: self.count,
            slices: 1,
            bytes: self.events.len(),
            content_hash: self.hash.clone(),
        }
    }
}

/// SHA-256 of a text in hexadecimal, as `sha256sum` prints it.
pub(super) fn sha256(text: &str) -> String {
    hex(&Sha256::digest(text))
}

/// All but the events. The order of the fields is that of the document.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Index {
    format_version: u32,
    subscription: String,
    events: usize,
    bytes: usize,
    cursor: Timestamp,
    swept_through: Date,
    last_full_sync: Timestamp,
    complete: bool,
    fingerprint: String,
    visibility: Visibility,
    content_hash: String,
    seal: String,
}

/// As much of an index as every format has.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FormatVersion {
    format_version: u32,
}

fn events_json(by_id: &BTreeMap<String, Event>) -> serde_json::Result<String> {
    let mut events: Vec<&Event> = by_id.values().collect();
    events.sort_by(|a, b| position(a).cmp(&position(b)));
    if events.is_empty() {
        return Ok("[]\n".to_owned());
    }
    let mut text = String::new();
    for event in events {
        text.push_str(if text.is_empty() { "[\n" } else { ",\n" });
        text.push_str(&serde_json::to_string(event)?);
    }
    text.push_str("\n]\n");
    Ok(text)
}

fn position(event: &Event) -> (Timestamp, bool, &str) {
    let at_a_time = match event.start {
        EventTime::Date(_) => false,
        EventTime::Instant(_) => true,
    };
    (event.start.instant(&TimeZone::utc()), at_a_time, &event.id)
}
