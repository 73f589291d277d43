//! The lines and answers of the API for writers.

use std::fmt;
use std::str::FromStr;

use calendar_sync::{Event, Visibility};
use jiff::Timestamp;
use jiff::civil::Date;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};

/// Names one state of a subscription's events among all that ever were: 32 hexadecimal digits, made up by whoever commits it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Head(String);

/// A word that names no head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a head consists of {} hexadecimal digits in lower case", Head::DIGITS)]
pub struct InvalidHead;

impl Head {
    const DIGITS: usize = 32;

    /// A head of these random bits.
    #[must_use]
    pub fn of(bits: u128) -> Self {
        Self(format!("{bits:032x}"))
    }

    /// Its digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Head {
    type Err = InvalidHead;

    fn from_str(text: &str) -> Result<Self, InvalidHead> {
        let digits = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if digits && text.len() == Self::DIGITS { Ok(Self(text.to_owned())) } else { Err(InvalidHead) }
    }
}

impl TryFrom<String> for Head {
    type Error = InvalidHead;

    fn try_from(text: String) -> Result<Self, InvalidHead> {
        text.parse()
    }
}

impl From<Head> for String {
    fn from(head: Head) -> Self {
        head.0
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What belongs to the events: how far they are read, and what they are altogether.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct State {
    /// The next delta reads from here; on the clock of Cronofy.
    pub cursor: Timestamp,
    /// What the events were read for.
    pub fingerprint: String,
    /// When everything was last read.
    pub last_full_sync: Timestamp,
    /// Whether every profile was connected and complete at that read.
    pub complete: bool,
    /// The first date, beyond the far edge, that has not been read.
    pub swept_through: Date,
    /// How much of the events is stored.
    pub visibility: Visibility,
    /// How many events there are.
    pub events: u64,
    /// Size of the events in bytes, each as one line of JSON.
    pub bytes: u64,
    /// SHA-256 of the events in their order, as the writer computes it.
    pub content_hash: String,
    /// Whether the events are to outlive their subscription, as its spec said at the commit.
    #[serde(default)]
    pub retain: bool,
}

/// What the lines of a commit are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scope {
    /// What differs from the head that the commit is on.
    Changes,
    /// All events: those that are not among them go.
    Everything,
}

/// First line of a commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CommitHeader {
    /// Namespace of the subscription.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The head that the commit was computed from; absent if there was nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<Head>,
    /// The head it makes. A commit that is repeated after a lost answer names the same.
    pub head: Head,
    /// What the lines are.
    pub scope: Scope,
    /// What belongs to the events afterwards.
    pub state: State,
}

/// First line of what is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HeadHeader {
    /// The head.
    pub head: Head,
    /// What belongs to the events; `None` if it is not what this release could have written. A commit of everything mends that.
    #[serde(default, deserialize_with = "readable")]
    pub state: Option<State>,
}

/// A document, if it is one of this form: of another form it is none, and no error.
fn readable<'de, D: Deserializer<'de>, T: DeserializeOwned>(deserializer: D) -> Result<Option<T>, D::Error> {
    Ok(serde_json::from_value(serde_json::Value::deserialize(deserializer)?).ok())
}

/// A subscription of which something is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stored {
    /// Its uid.
    pub uid: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Whether the events outlive it: they were released, or its spec said so at the last commit, or that cannot be read.
    pub kept: bool,
}

/// Some of those of which something is stored, in the order of their uids.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredPage {
    /// The subscriptions.
    pub items: Vec<Stored>,
    /// Whether there are others after these.
    pub more: bool,
}

/// Any other line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Line {
    /// This event is as follows.
    Put(Box<Event>),
    /// The event of this id is gone.
    Delete(String),
    /// The last line: so many came between the first and this one. A body without it was cut off.
    End(u64),
}

/// Answer to a commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Committed {
    /// The head.
    pub head: Head,
    /// How many events it changed.
    pub changes: u64,
}

/// Answer to a request that was refused, as RFC 9457 has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// HTTP status.
    pub status: u16,
    /// What it is about, in words.
    pub title: String,
    /// The same for programs.
    pub reason: Reason,
    /// What exactly is wrong, and what helps.
    pub detail: String,
    /// The parameter, header or line that is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
}

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reason {
    /// The request is not as documented.
    Invalid,
    /// No token, or one that says nothing.
    Unauthorized,
    /// The token does not allow it.
    Forbidden,
    /// There is nothing of that name.
    NotFound,
    /// The path does not take that method.
    MethodNotAllowed,
    /// Something else is stored by now.
    HeadMoved,
    /// The subscription's name is taken by another one.
    Conflict,
    /// The lines do not make up what the state says.
    Inconsistent,
    /// What is asked for is no longer told.
    Gone,
    /// The request is larger than it may be.
    TooLarge,
    /// Too many of them at a time.
    Busy,
    /// The store has failed.
    Defect,
    /// The database does not answer.
    Unavailable,
}
