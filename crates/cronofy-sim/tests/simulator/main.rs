//! The simulator over HTTP, held to what Cronofy documents, by a client that knows nothing of ours: one file a subject.
#![allow(missing_docs, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod support;

mod accounts;
mod channels;
mod control;
mod deliveries;
mod events;
mod ics;
mod limits;
mod notifications;
mod pages;
mod program;
mod schedule;
mod scopes;
mod tokens;
mod transport;
