//! What the operator and its calendar store say to each other.
//!
//! A store keeps for each subscription the events and a [`State`] that belongs to them. Each commit gives the whole a new
//! *head*, a random word of the writer's, and names the head that it was computed from: a writer that has been overtaken is
//! refused. Bodies are lines of JSON, so that neither side has to hold a calendar in memory.

mod address;
mod answer;
mod client;
mod documents;
mod error;

pub use address::{Address, InvalidAddress, LONGEST_URL};
pub use client::{Client, Contents, Found, Options, Sent, Token};
pub use documents::{
    CommitHeader, Committed, Head, HeadHeader, InvalidHead, Line, Problem, Reason, Scope, State, Stored, StoredPage,
};
pub use error::Error;

/// Media type of a body of lines.
pub const LINES: &str = "application/jsonl";

/// Path of a subscription in the API for writers; its uid follows.
pub const SUBSCRIPTIONS: &str = "/write/v1/subscriptions/";

/// Subscriptions on one page of those of which something is stored.
pub const STORED_AT_A_TIME: usize = 100;

/// The most bytes of a body that a store takes, unless it is told otherwise.
pub const LARGEST_BODY: usize = 256 * 1024 * 1024;

/// The most bytes of one line, its end included, that a store takes, unless it is told otherwise.
pub const LARGEST_LINE: usize = 1024 * 1024;
