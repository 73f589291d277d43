//! A Kubernetes operator that keeps a live copy of Cronofy calendars in the cluster.
//!
//! `docs/architecture.md` tells where things are and what each must never do.

pub mod admin;
pub mod api;
mod cause;
pub mod cli;
mod controller;
pub mod crds;
pub mod kubernetes;
pub mod leftovers;
pub mod metrics;
pub mod probe;
mod run;
pub mod store;
pub mod telemetry;
pub mod traces;
pub mod webhook;
