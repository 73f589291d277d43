//! The engine under test, in one binary: [`decisions`] one by one, as tables.
#![allow(missing_docs, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod decisions;
