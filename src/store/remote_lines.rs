//! A calendar as a calendar store has it: a state, and events as lines of JSON. What differs between two of them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use calendar_store_client::{Contents, HeadHeader, LARGEST_LINE, Line, State};
use calendar_sync::{Event, Output, Snapshot};
use sha2::{Digest as _, Sha256};

use super::content;
use super::{Damage, StoreError};

/// The most events of one output in a calendar store.
pub const MOST_REMOTE_EVENTS: usize = calendar_sync::MOST_EVENTS;
/// The most bytes of events of one output: a reconcile holds them in memory, several times over.
const MOST_REMOTE_BYTES: usize = calendar_sync::MOST_BYTES;

/// What a line has besides the event: `{"put":`, `}` and its end.
const AROUND_EVENT: usize = 9;

/// The events that are known to be stored: a hash of each, by id.
pub(super) type Known = BTreeMap<String, [u8; 32]>;

/// What a commit to a calendar store is conditional on.
#[derive(Clone, PartialEq)]
pub(super) struct RemoteVersion {
    /// What is stored.
    pub header: HeadHeader,
    /// Its events; `None` if they are not what was written.
    pub known: Option<Arc<Known>>,
}

impl fmt::Debug for RemoteVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { header, known } = self;
        f.debug_struct("Version").field("head", &header.head).field("whole", &known.is_some()).finish_non_exhaustive()
    }
}

/// A snapshot as it is to be stored.
pub(super) struct Encoded {
    /// What belongs to the events.
    pub state: State,
    /// The events by hash.
    pub known: Known,
    /// The events as lines, if they are no more than was asked for.
    pub lines: Option<String>,
}

impl Encoded {
    /// The documents for a snapshot whose events outlive their subscription or not, with its lines if these have at most so many
    /// bytes.
    ///
    /// # Errors
    /// If there are too many events, or they are too large.
    pub fn of(snapshot: &Snapshot, retain: bool, most_lines: usize) -> Result<Self, StoreError> {
        // Destructured without `..`: what a snapshot gains has to be stored.
        let Snapshot { cursor, fingerprint, last_full_sync, complete, swept_through, visibility, events } = snapshot;
        if events.len() > MOST_REMOTE_EVENTS {
            return Err(StoreError::TooMany { events: events.len(), limit: MOST_REMOTE_EVENTS });
        }
        let (mut known, mut lines, mut failed) = (Known::new(), Some(String::new()), None);
        let texts = content::in_order(events.values()).into_iter().map_while(|event| match line(event) {
            Ok(line) => {
                known.insert(event.id.clone(), Sha256::digest(&line).into());
                lines = lines.take().filter(|lines| lines.len() + line.len() <= most_lines);
                if let Some(lines) = &mut lines {
                    lines.push_str(&line);
                }
                Some(line)
            }
            Err(error) => {
                failed = Some(error);
                None
            }
        });
        let (bytes, content_hash) = content::digest(texts);
        if let Some(error) = failed {
            return Err(error);
        }
        let limit = MOST_REMOTE_BYTES;
        if bytes + AROUND_EVENT * events.len() > limit {
            return Err(StoreError::TooLarge { bytes, limit });
        }
        let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let state = State {
            cursor: *cursor,
            fingerprint: fingerprint.clone(),
            last_full_sync: *last_full_sync,
            complete: *complete,
            swept_through: *swept_through,
            visibility: *visibility,
            events: number(events.len()),
            bytes: number(bytes),
            content_hash,
            retain,
        };
        Ok(Self { state, known, lines })
    }
}

/// An event as a line, its end included.
fn line(event: &Event) -> Result<String, StoreError> {
    let mut line = serde_json::to_string(event).map_err(|_| StoreError::Unencodable)?;
    line.push('\n');
    let bytes = line.len() + AROUND_EVENT;
    if bytes > LARGEST_LINE {
        let id = event.id.chars().take(100).collect();
        return Err(StoreError::EventTooLarge { id, bytes, limit: LARGEST_LINE });
    }
    Ok(line)
}

/// The snapshot that these events were written from, as far as the state does not tell more of them.
///
/// # Errors
/// What shows that they are not what was written.
pub(super) fn snapshot(state: &State, events: Option<Vec<Event>>) -> Result<Snapshot, Damage> {
    let events = events.ok_or(Damage::Unreadable)?;
    let count = events.len();
    let events: BTreeMap<String, Event> = events.into_iter().map(|event| (event.id.clone(), event)).collect();
    if events.len() != count {
        return Err(Damage::Content);
    }
    let State { cursor, fingerprint, last_full_sync, complete, swept_through, visibility, .. } = state.clone();
    Ok(Snapshot { cursor, fingerprint, last_full_sync, complete, swept_through, visibility, events })
}

/// The lines that make what is known into the snapshot; all events if nothing is.
pub(super) fn differences<'a>(
    snapshot: &'a Snapshot,
    encoded: &'a Encoded,
    known: Option<&'a Known>,
) -> impl Iterator<Item = Line> + Send + 'a {
    let is_stored = move |id: &str| known.is_some_and(|known| known.get(id) == encoded.known.get(id));
    let puts = snapshot.events.values().filter(move |event| !is_stored(&event.id));
    let gone = known.into_iter().flat_map(BTreeMap::keys).filter(|id| !snapshot.events.contains_key(*id));
    puts.map(|event| Line::Put(Box::new(event.clone()))).chain(gone.map(|id| Line::Delete(id.clone())))
}

/// An output in numbers. It has no slices.
pub(super) fn output(state: &State, name: &str, url: &str) -> Output {
    let number = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
    Output {
        kind: "Remote".to_owned(),
        name: name.to_owned(),
        events: number(state.events),
        slices: 0,
        bytes: number(state.bytes),
        content_hash: state.content_hash.clone(),
        url: Some(url.to_owned()),
    }
}

/// A header and its events as one text, to be remembered.
pub(super) fn remembered(header: &HeadHeader, lines: &str) -> Option<String> {
    Some(serde_json::to_string(header).ok()? + "\n" + lines)
}

/// What was remembered.
pub(super) fn recalled(text: &str) -> Option<Contents> {
    let (header, events) = text.split_once('\n')?;
    let header = serde_json::from_str(header).ok()?;
    let events: Result<Vec<Event>, _> = events.lines().map(serde_json::from_str).collect();
    Some(Contents { header, events: Some(events.ok()?) })
}
