//! What the store holds of one subscription: the events and, in the same piece, how far they are read.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;

use crate::{Event, Visibility};

/// A complete, consistent state of the copy. It is stored in one atomic step, so that the cursor never passes data that
/// is not stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The next delta reads from here; on the clock of Cronofy.
    pub cursor: Timestamp,
    /// [`Desired::content_fingerprint`](crate::Desired::content_fingerprint) that the events were read for.
    pub fingerprint: String,
    /// When everything was last read.
    pub last_full_sync: Timestamp,
    /// Whether every profile was connected and complete at that read: only then does absence mean deletion.
    pub complete: bool,
    /// The first date, beyond the far edge, that has not been read.
    pub swept_through: Date,
    /// How much of the events it holds: what a later one no longer allows must not stay anywhere.
    pub visibility: Visibility,
    /// The events, by id.
    pub events: BTreeMap<String, Event>,
}

/// What is known of the store's content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Stored {
    /// Not looked at in this pass.
    #[default]
    Unread,
    /// There is none.
    Absent,
    /// There is something, but not what was written last: it is written anew from a full read.
    Damaged,
    /// This.
    Present(Box<Snapshot>),
}

impl Stored {
    /// The snapshot, if there is one to build on.
    #[must_use]
    pub fn snapshot(&self) -> Option<&Snapshot> {
        match self {
            Stored::Present(snapshot) => Some(snapshot),
            Stored::Unread | Stored::Absent | Stored::Damaged => None,
        }
    }
}

impl Snapshot {
    /// The same with no more than this of each event. What is gone comes back only by a read of everything, so it counts as
    /// read for nothing that could be wanted.
    #[must_use]
    pub fn narrowed(&self, visibility: Visibility) -> Self {
        let events = self.events.iter().map(|(id, event)| (id.clone(), visibility.of(event.clone()))).collect();
        Self { visibility, fingerprint: String::new(), events, ..self.clone() }
    }
}

/// What a commit wrote, for the status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// Kind of the output, for example `ConfigMap`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Number of events.
    pub events: usize,
    /// Number of slices.
    pub slices: usize,
    /// Size of the events in bytes.
    pub bytes: usize,
    /// SHA-256 of the events as stored, in hexadecimal.
    pub content_hash: String,
    /// The store that it is in, if that is not the cluster itself.
    pub url: Option<String>,
}

impl Output {
    /// Whether it is the same output with other events.
    #[must_use]
    pub fn differs_from(&self, other: &Self) -> bool {
        let same_place = (&self.kind, &self.name, &self.url) == (&other.kind, &other.name, &other.url);
        same_place && self.content_hash != other.content_hash
    }
}
