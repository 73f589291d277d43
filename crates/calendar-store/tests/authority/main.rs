//! Who may what, by a real API server; and the binary as a whole.
#![allow(missing_docs, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod attacks;
mod backup;
mod binary;
mod crowds;
mod feeds;
mod floods;
mod outages;
mod readers;
mod rights;
mod running;
mod slowness;
mod starts;
mod support;
