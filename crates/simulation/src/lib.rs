//! Runs the engine through years of virtual time, against a model of Cronofy, with faults.
//!
//! - [`world`]: one subscription and all that is around it, one step at a time. The engine's own tests use it as well.
//! - [`plant`]: bugs that are put between the engine and the world, to see whether they are found.

pub mod plant;
pub mod world;
