//! Serves HTTP/1.1, through TLS or not, with bounds on all that a client can hold up.
//!
//! - [`serve`]: accepts connections and serves an app on them, within [`Limits`].
//! - [`listen`]: the socket, whose connections hold a bounded part of an answer in the kernel.
//! - [`Transport`]: with TLS or without, and the [`Certificates`] that can change meanwhile, each by a [`server_config`]. A
//!   certificate and its key come from [`PairFiles`], and are a [`Pair`] once they are checked.
//!
//! What must hold: however slowly a client sends or takes, and however many there are, each holds a bounded amount of memory, and
//! one that does nothing is gone after a while.

mod certificates;
mod listener;
mod pair;
mod socket;

pub use certificates::{Certificates, server_config};
pub use listener::{Limits, Transport, serve};
pub use pair::{Fingerprint, Pair, PairFile, PairFiles, PairProblem, PairText};
pub use socket::listen;
