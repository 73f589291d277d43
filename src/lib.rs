//! A Kubernetes operator that keeps a live copy of Cronofy calendars in the cluster.

pub mod api;
pub mod crds;
pub mod store;
