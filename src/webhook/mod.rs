//! A notification's way, from the socket to the durable mark.
//!
//! Every replica serves; none of this reads a calendar or reconciles. In the order in which a request passes:
//!
//! - [`listener`]: accepts connections, ends TLS if it is asked to, and bounds what a client can hold up.
//! - [`rotation`]: keeps the certificate that TLS is served with as its files are.
//! - [`receive`]: decides. Path token in memory, raw bytes, signature, JSON, channel, mark, answer.
//! - [`routes`]: which subscription a path token belongs to, kept in memory from the watch.
//! - [`secrets`]: the client secrets that signatures are checked with.
//! - [`mark`]: writes the durable mark, at most one write at a time for each subscription.
//! - [`pending`]: what a mark says, and how marks merge. Pure.
//!
//! What must hold:
//! - No 2xx for a notification that is acted on, unless a mark was committed whose write began after it arrived.
//! - No request to the Kubernetes API on behalf of a request whose signature was not checked, but for reads of the one Secret
//!   to check it with, which are few in time however many requests come.
//! - Nothing of a request, neither body nor header nor path, reaches a log, a metric or a message.

pub mod listener;
pub mod mark;
pub mod pending;
pub mod receive;
pub mod rotation;
pub mod routes;
pub mod secrets;

#[cfg(test)]
mod fake;
