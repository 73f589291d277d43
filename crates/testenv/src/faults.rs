//! Faults of the servers. Those of the network are in `proxy.rs`.

use crate::{ControlPlane, Error, control_plane::Servers, server::Server};

/// Not for a [shared](crate::shared) control plane: other tests would suffer.
impl ControlPlane {
    /// Stops the API server in its tracks: connections stay open, nothing is answered, until
    /// [`ControlPlane::resume`].
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::ServerEnded`] if it does not run.
    pub fn pause(&self) -> Result<(), Error> {
        self.servers().apiserver.as_mut().map_or(Ok(()), Server::pause)
    }

    /// Lets a paused API server go on.
    ///
    /// # Errors
    /// As [`ControlPlane::pause`].
    pub fn resume(&self) -> Result<(), Error> {
        self.servers().apiserver.as_mut().map_or(Ok(()), Server::resume)
    }

    /// Kills the API server, as in a crash. Its port stays free for [`ControlPlane::start_apiserver`].
    pub fn stop_apiserver(&self) {
        self.servers().apiserver = None;
    }

    /// Starts a stopped API server on the same port and waits until it is ready.
    ///
    /// # Errors
    /// As [`ControlPlane::start`].
    pub async fn start_apiserver(&self) -> Result<(), Error> {
        {
            let mut servers = self.servers();
            if servers.apiserver.is_none() {
                servers.apiserver = Some(self.spawn_apiserver()?);
            }
        }
        self.wait_until_ready().await
    }

    /// Kills the API server and starts it again: same port, same data.
    ///
    /// Its watch history is gone: a watch from a version before the restart is answered with 410 (`Expired`) if
    /// anything of that kind was written since that version.
    ///
    /// # Errors
    /// As [`ControlPlane::start`].
    pub async fn restart(&self) -> Result<(), Error> {
        self.stop_apiserver();
        self.start_apiserver().await
    }

    /// Ends all its servers for good, as dropping it does: for one that lives as long as its process. What is in its folder stays.
    pub fn stop(&self) {
        *self.servers() = Servers::default();
    }

    /// Kills etcd, as in a crash. The API server goes on without it.
    pub fn stop_etcd(&self) {
        self.servers().etcd = None;
    }

    /// Starts a stopped etcd with its data and waits until the API server is ready again.
    ///
    /// # Errors
    /// As [`ControlPlane::start`].
    pub async fn start_etcd(&self) -> Result<(), Error> {
        {
            let mut servers = self.servers();
            if servers.etcd.is_none() {
                servers.etcd = Some(self.spawn_etcd()?);
            }
        }
        self.wait_until_ready().await
    }
}
