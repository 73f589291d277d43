//! The engine under test, in one binary.
//!
//! - [`decisions`]: each decision by itself, as tables.
//! - [`exploration`]: every state that a very small world can come to.
//! - [`properties`]: whatever happens, in any order, over a small [`world`](simulation::world) in virtual time.
#![allow(missing_docs, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod decisions;
mod exploration;
mod properties;
