//! A Kubernetes operator that keeps a live copy of Cronofy calendars in the cluster.

pub mod admin;
pub mod api;
pub mod metrics;
pub mod telemetry;
pub mod webhook;
