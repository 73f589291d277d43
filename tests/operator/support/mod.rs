//! What integration tests stand on: a real API server, a simulated Cronofy over HTTP, the operator as a child process with just
//! the rights that the chart gives it.

pub mod calendar_store;
pub mod hook;
pub mod operator;
pub mod past;
pub mod plane;
pub mod switch;
pub mod times;
pub mod usage;
pub mod world;

pub use operator::{Operator, PATIENCE};
pub use plane::OwnPlane;
pub use times::{event, on};
pub use world::{World, condition, observed, pending};
