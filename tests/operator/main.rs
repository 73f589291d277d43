//! The operator as a whole, on a real API server: one file a subject, one server and one namespace a test.
#![allow(missing_docs, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod support;

mod agenda_page;
#[path = "../../crates/calendar-store/tests/browser/tab.rs"]
mod browser_tab;
mod bursts;
#[path = "../calendar/mod.rs"]
mod calendar;
mod certificates;
mod channels;
mod custom_endpoints;
mod deletion;
mod describe;
mod drift;
mod durability;
mod filters;
mod hostile_reader;
mod idle;
mod isolation;
mod killed;
mod large;
mod marks;
mod months;
mod observed;
mod owners;
mod pages;
mod privacy;
mod recipes;
mod remote_store;
mod replicas;
mod restored;
mod rights;
mod secret_store;
#[path = "../served/mod.rs"]
mod served;
mod signatures;
mod startup;
mod store;
mod sync;
mod tokens;
mod traces;
mod trouble;
mod undecodable;
mod undocumented;
