//! What TLS is served with at the moment.

use std::fmt;
use std::sync::Arc;

use rustls::ServerConfig;
use tokio::sync::watch;

/// The certificate that new connections are served with. Clones see the same.
#[derive(Clone)]
pub struct Certificates(watch::Receiver<Option<Arc<ServerConfig>>>);

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").field("present", &self.current().is_some()).finish_non_exhaustive()
    }
}

impl Certificates {
    /// None yet, and who sets them.
    #[must_use]
    pub fn none() -> (watch::Sender<Option<Arc<ServerConfig>>>, Self) {
        let (served, current) = watch::channel(None);
        (served, Self(current))
    }

    /// What a connection that begins now is served with; `None` until there has been a pair that can be served.
    #[must_use]
    pub fn current(&self) -> Option<Arc<ServerConfig>> {
        self.0.borrow().clone()
    }
}
