//! Who may what, by a real API server; and the binary as a whole.
#![allow(missing_docs, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod backup;
mod binary;
mod feeds;
mod outages;
mod rights;
mod support;
