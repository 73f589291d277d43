//! Runs the engine through years of virtual time, against a model of Cronofy, with faults.
//!
//! - [`world`]: one subscription and all that is around it, one step at a time. The engine's own tests use it as well.
//! - [`plan`]: what a seed makes of it: a subscription, and all that will [happen](happening).
//! - [`run`]: plays a plan. Everything is judged as it happens, with a [`ledger`] of what the copy lacks, and since when.
//! - [`campaign`]: many runs over all cores, and the table of what they came to.
//! - [`plant`]: bugs that are put between the engine and the world, to see whether they are found.

pub mod campaign;
pub mod happening;
pub mod ledger;
pub mod plan;
pub mod plant;
pub mod run;
pub mod world;
