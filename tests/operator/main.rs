//! The operator as a whole, on a real API server: one file a subject, one server and one namespace a test.
#![allow(missing_docs, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod support;

mod channels;
mod deletion;
mod describe;
mod hostile_reader;
mod large;
mod marks;
mod recipes;
mod replicas;
mod secret_store;
mod store;
mod sync;
