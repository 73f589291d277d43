//! The engine under test, in one binary.
//!
//! - [`decisions`]: each decision by itself, as tables.
//! - [`properties`]: whatever happens, in any order, over a small [`world`] in virtual time.
#![allow(missing_docs, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod decisions;
mod properties;
mod world;
