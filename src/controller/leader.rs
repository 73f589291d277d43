//! Who acts: the holder of a lease. Who loses it ends, so that nothing of a former leader goes on.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_controller::LeaderElection;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::kubernetes;

/// Name of the lease.
pub const LEASE: &str = "cronofy-operator";

/// A leader that was there so long ago has left nothing of its requests that would count.
const RECENTLY: SignedDuration = SignedDuration::from_mins(1);

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

/// An election among replicas.
struct Election {
    lease: LeaderElection,
    leases: Api<Lease>,
    retry_period: Duration,
}

impl Election {
    /// Whether somebody has held the lease in the last minute, as far as it tells.
    async fn was_held(&self) -> bool {
        let lease = kubernetes::call(self.leases.get_opt(LEASE)).await.ok().flatten();
        lease.is_some_and(|lease| has_been_held(&lease, Timestamp::now()))
    }
}

/// Whether somebody has held this lease in the last minute. One that was released does not say when that was: it counts as just now.
fn has_been_held(lease: &Lease, now: Timestamp) -> bool {
    match lease.spec.as_ref().and_then(|spec| spec.renew_time.as_ref()) {
        Some(MicroTime(renewed)) => now.duration_since(*renewed) < RECENTLY,
        None => true,
    }
}

/// Whether this replica leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leads {
    /// Yes, and it follows nobody.
    First,
    /// Yes, in place of another one that led until a moment ago.
    Successor,
    /// No.
    No,
}

/// This replica's part in the election.
pub struct Leader {
    election: Option<Election>,
    leading: watch::Sender<bool>,
}

impl Leader {
    /// Takes part in the election. Two candidates with one identity would both lead, so it gets a random end.
    #[must_use]
    pub fn elected(client: Client, options: &LeaseOptions, instance: &str) -> Self {
        let identity = format!("{instance}-{:08x}", fastrand::u32(..));
        let leases = Api::namespaced(client.clone(), &options.namespace);
        let lease = LeaderElection::new(client, &options.namespace, LEASE, &identity)
            .with_lease_duration(options.duration)
            .with_renew_deadline(options.renew_deadline)
            .with_retry_period(options.retry_period);
        let election = Election { lease, leases, retry_period: options.retry_period };
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
    pub async fn hold(&self, told: impl Fn(Leads)) -> Result<std::convert::Infallible, LeaseLost> {
        let lead = async |leads| {
            told(leads);
            self.leading.send_replace(true);
            std::future::pending::<()>().await;
        };
        match &self.election {
            Some(election) => {
                let (was_held, begun) = (election.was_held().await, Instant::now());
                let elected = async {
                    let waited = begun.elapsed() > election.retry_period;
                    lead(if was_held || waited { Leads::Successor } else { Leads::First }).await;
                };
                let _lost = election.lease.with_lease(elected).await;
            }
            None => lead(Leads::First).await,
        }
        self.leading.send_replace(false);
        told(Leads::No);
        Err(LeaseLost)
    }

    /// Hands the lease over, after all work has ended.
    pub async fn release(&self) {
        let led = self.leading.send_replace(false);
        if let Some(election) = self.election.as_ref().filter(|_| led) {
            election.lease.release().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::coordination::v1::LeaseSpec;

    use super::*;

    #[test]
    fn a_lease_that_was_released_was_held_before() {
        let now: Timestamp = "2026-11-25T09:00:00Z".parse().unwrap();
        let renewed = |seconds| Some(MicroTime(now - SignedDuration::from_secs(seconds)));
        for (holder, renew_time, expected) in [
            (Some("one"), renewed(5), true),
            (Some("one"), renewed(70), false),
            (None, None, true),           // as k8s-controller leaves it
            (Some(""), renewed(5), true), // as client-go leaves it
        ] {
            let spec = LeaseSpec { holder_identity: holder.map(str::to_owned), renew_time, ..LeaseSpec::default() };
            let lease = Lease { spec: Some(spec), ..Lease::default() };
            assert_eq!(has_been_held(&lease, now), expected, "{lease:?}");
        }
    }
}
