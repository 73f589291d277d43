//! The chart, as helm renders and installs it.
#![allow(missing_docs, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod alerts;
mod helm;
mod install;
mod render;
mod schemas;
mod store;
mod values;
