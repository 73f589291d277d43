//! What both kinds accept and refuse, and what they say about it: on our own and by a real API server.
#![allow(missing_docs, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod application;
mod cases;
mod kubectl;
mod offline;
mod schema;
mod server;
mod status;
mod subscription;
