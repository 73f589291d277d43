//! The operator as it is installed: its image in pods on real nodes, by the chart, under the real helm and kubectl.
//!
//! Not part of `cargo test`: `make e2e` builds the image first, and needs root on Linux. Each test has a cluster of its own.
#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used
)]

mod certificate;
mod main_job;
mod releases;
mod replaced;
mod stage;
mod startup;
mod store;
mod stream;
