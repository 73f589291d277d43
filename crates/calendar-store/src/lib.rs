//! Keeps the events of calendars in SQLite or PostgreSQL, and serves them to programs and people.
//!
//! - [`database`]: what is kept, and the few steps that change it, each one transaction.
//! - [`mod@write`]: the API of the operator, which alone writes.
//! - [`read`]: the API of readers.
//! - [`page`]: the same for people, in a browser.
//! - [`Access`]: who asks, and what they may; [`authority`] asks Kubernetes.
//! - [`feeds`]: tokens for calendar programs that cannot show one of Kubernetes.
//! - [`server`]: the process around it, and [`cli`]: its command line.
//! - [`Problem`]: how a request is refused.

mod access;
pub mod authority;
pub mod cli;
pub mod database;
pub mod feeds;
pub mod page;
mod problem;
pub mod read;
pub mod server;
mod spool;
pub mod write;

pub use access::{Access, Credentials, FeedVerb};
pub use problem::Problem;
pub use spool::{Limits, Spooled};
