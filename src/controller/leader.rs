//! Who acts: the holder of a lease. Who loses it ends, so that nothing of a former leader goes on.

use std::time::Duration;

use k8s_controller::LeaderElection;
use kube::Client;
use tokio::sync::watch;

/// Name of the lease.
pub const LEASE: &str = "cronofy-operator";

/// How a lease is held.
#[derive(Clone, Debug)]
pub struct LeaseOptions {
    /// Namespace of the lease.
    pub namespace: String,
    /// How long a lease is valid after its last renewal.
    pub duration: Duration,
    /// After how long without a renewal the holder gives up.
    pub renew_deadline: Duration,
    /// Between two tries.
    pub retry_period: Duration,
}

/// The lease was lost: this process must not act any more.
#[derive(Debug, thiserror::Error)]
#[error("the lease was lost: another replica acts now, or the Kubernetes API could not be reached in time")]
pub struct LeaseLost;

/// This replica's part in the election.
pub struct Leader {
    election: Option<LeaderElection>,
    leading: watch::Sender<bool>,
}

impl Leader {
    /// Takes part in the election. Two candidates with one identity would both lead, so it gets a random end.
    #[must_use]
    pub fn elected(client: Client, options: &LeaseOptions, instance: &str) -> Self {
        let identity = format!("{instance}-{:08x}", fastrand::u32(..));
        let election = LeaderElection::new(client, &options.namespace, LEASE, &identity)
            .with_lease_duration(options.duration)
            .with_renew_deadline(options.renew_deadline)
            .with_retry_period(options.retry_period);
        Self { election: Some(election), leading: watch::Sender::new(false) }
    }

    /// Leads without asking anybody: for a single replica.
    #[must_use]
    pub fn alone() -> Self {
        Self { election: None, leading: watch::Sender::new(false) }
    }

    /// Whether this replica leads.
    #[must_use]
    pub fn leading(&self) -> watch::Receiver<bool> {
        self.leading.subscribe()
    }

    /// Holds the lease as soon as it is to be had, until dropped or lost.
    ///
    /// # Errors
    /// When it is lost. The process should end then.
    pub async fn hold(&self, told: impl Fn(bool)) -> Result<std::convert::Infallible, LeaseLost> {
        let lead = async {
            self.leading.send_replace(true);
            told(true);
            std::future::pending::<()>().await;
        };
        match &self.election {
            Some(election) => {
                let _lost = election.with_lease(lead).await;
            }
            None => lead.await,
        }
        self.leading.send_replace(false);
        told(false);
        Err(LeaseLost)
    }

    /// Hands the lease over, after all work has ended.
    pub async fn release(&self) {
        let led = self.leading.send_replace(false);
        if let Some(election) = self.election.as_ref().filter(|_| led) {
            election.release().await;
        }
    }
}
