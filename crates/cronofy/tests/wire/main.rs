//! The client against servers on the loopback: what it sends, what it makes of each answer, and of none.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod calls;
mod endpoints;
mod refusals;
mod server;
mod transport;
