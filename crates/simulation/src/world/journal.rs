//! What the drivers did: a hash of all of it, and the last of it in words.

use std::collections::VecDeque;
use std::fmt;

use calendar_sync::{EventsRequest, Step};
use jiff::Timestamp;

/// How much is kept in words.
const KEPT: usize = 50;

/// Equal runs have equal journals.
#[derive(Clone, Debug, Default)]
pub struct Journal {
    hash: Hash,
    lines: VecDeque<Line>,
    in_words: bool,
}

/// One step of one driver.
#[derive(Clone, Debug)]
struct Line {
    time: Timestamp,
    driver: usize,
    text: String,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.time, self.driver, self.text)
    }
}

impl Journal {
    /// Keeps the last of it in words from now on.
    pub fn speak(&mut self) {
        self.in_words = true;
    }

    /// Notes something else that happened.
    pub fn note_text(&mut self, time: Timestamp, text: impl FnOnce() -> String) {
        self.hash.take(time.as_nanosecond());
        if self.in_words {
            self.keep(Line { time, driver: 9, text: text() });
        }
    }

    pub(super) fn note(&mut self, time: Timestamp, driver: usize, step: &Step) {
        let (kind, number) = digest(step);
        self.hash.take(time.as_nanosecond());
        self.hash.take(i128::from(kind) << 64 | i128::from(number));
        if self.in_words {
            self.keep(Line { time, driver, text: words(step) });
        }
    }

    fn keep(&mut self, line: Line) {
        if self.lines.len() == KEPT {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    /// A hash of everything noted so far.
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.hash.0
    }

    /// The last of it, in words.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.lines.iter().map(ToString::to_string)
    }
}

/// FNV-1a over numbers: it only has to tell one run from another.
#[derive(Clone, Copy, Debug)]
struct Hash(u64);

impl Default for Hash {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hash {
    fn take(&mut self, number: i128) {
        for byte in number.to_le_bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

/// What kind of step it is, and a number that tells it from others of its kind.
fn digest(step: &Step) -> (u8, i64) {
    let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    match step {
        Step::Load => (0, 0),
        Step::RefreshToken => (1, 0),
        Step::CheckAccount => (2, 0),
        Step::ListChannels => (3, 0),
        Step::CreateChannel { callback_url, .. } => (4, callback_url.bytes().map(i64::from).sum()),
        Step::CloseChannel { id } => (5, id.bytes().map(i64::from).sum()),
        Step::ReadEvents(request) => (6, request.modified_since.map_or(0, Timestamp::as_second)),
        Step::Commit(snapshot) => (7, number(snapshot.events.len())),
        Step::Erase => (8, 0),
        Step::Record(record) => (9, record.channel.generation),
        Step::Wait { until, .. } => (10, until.map_or(0, Timestamp::as_second)),
        Step::Stop(_) => (11, 0),
        Step::Finish => (12, 0),
    }
}

/// Its kind in a word, for the table.
#[must_use]
pub fn kind(step: &Step) -> &'static str {
    match step {
        Step::Load => "look at the store",
        Step::RefreshToken => "get a token",
        Step::CheckAccount => "look at the account",
        Step::ListChannels => "list the channels",
        Step::CreateChannel { .. } => "make a channel",
        Step::CloseChannel { .. } => "close a channel",
        Step::ReadEvents(EventsRequest { page: 0, .. }) => "read the first page",
        Step::ReadEvents(_) => "read a later page",
        Step::Commit(_) => "store the events",
        Step::Erase => "erase the events",
        Step::Record(_) => "write the status",
        Step::Wait { .. } | Step::Stop(_) => "write the status and rest",
        Step::Finish => "let the object go",
    }
}

fn words(step: &Step) -> String {
    match step {
        Step::CreateChannel { callback_url, .. } => format!("create {callback_url}"),
        Step::CloseChannel { id } => format!("close {id}"),
        Step::ReadEvents(EventsRequest { range, modified_since, page, purpose, filter: _ }) => {
            let since = modified_since.map_or_else(|| "ever".to_owned(), |since| since.to_string());
            format!("read {purpose:?} {}..{} since {since}, page {page}", range.from, range.to)
        }
        Step::Commit(snapshot) => {
            let (cursor, swept) = (snapshot.cursor, snapshot.swept_through);
            format!("commit {} events, cursor {cursor}, swept through {swept}", snapshot.events.len())
        }
        Step::Record(record) => format!("record {:?} failures {:?}", record.channel, record.failures),
        Step::Load
        | Step::RefreshToken
        | Step::CheckAccount
        | Step::ListChannels
        | Step::Erase
        | Step::Wait { .. }
        | Step::Stop(_)
        | Step::Finish => format!("{step:?}"),
    }
}
