//! Starts a real etcd and kube-apiserver for tests, the demo and benchmarks, and takes them down again.
//!
//! ```no_run
//! # async fn example() -> Result<(), testenv::Error> {
//! let control_plane = testenv::shared().await?;
//! let namespace = control_plane.namespace("bookings").await?;
//! let client = control_plane.service_account(namespace.name(), "operator").await?;
//! # Ok(()) }
//! ```
//!
//! # What runs
//!
//! One etcd and one kube-apiserver, on loopback ports of their own, in a folder of their own, with their own
//! certificate authority. RBAC is on, so a [`ControlPlane::service_account`] may do nothing until [`grant`] says so.
//! Every request is in the [audit log](ControlPlane::audit). There is no scheduler, no kubelet and, unless
//! [`Options::controller_manager`] asks for it, nothing that collects garbage or finishes the deletion of a
//! namespace.
//!
//! The programs come from the folder in `KUBEBUILDER_ASSETS`, or else from `hack/tools/build.sh`, which builds the
//! pinned versions once, outside the clone.
//!
//! # Which one to use
//!
//! [`shared`] is one control plane for all tests of a test binary: use it with a [`ControlPlane::namespace`] per test.
//! A test that pauses, restarts or otherwise harms the servers starts its own with [`ControlPlane::start`]: any
//! number of them run side by side.
//!
//! A [`kube::Client`] belongs to the tokio runtime it was made in, and every `#[tokio::test]` has its own: so each
//! call gives a fresh client, and the control plane itself holds nothing of any runtime.
//!
//! # Nothing is left behind
//!
//! Dropping a [`ControlPlane`] kills its servers, waits for them and removes the folder. Where nothing is dropped (the
//! process exits with statics alive, is killed with SIGKILL, aborts) the same happens without us: every server has a
//! guard, a shell of two lines that reads from a pipe of which only this process holds the other end. The kernel
//! closes that end with the process, whatever ended it, and the guard kills its server. A third shell waits for the
//! servers in the same manner and then removes the folder. They are in process groups of their own, so a Ctrl-C or a
//! runner that kills the test's group does not take them along. What it cannot survive is being killed itself, e.g.
//! when the whole container goes: then the servers go too and at most the folder stays.
//!
//! Unix only. etcd has no password: whoever may connect to loopback ports of this machine may read what tests store.

mod access;
mod apply;
mod audit;
mod browser;
mod certificates;
mod cluster;
mod control_plane;
mod error;
mod eventually;
mod faults;
mod kubectl;
mod namespace;
mod ports;
mod postgres;
mod proxy;
mod rbac;
mod server;
mod state_dir;
mod tools;

pub use access::Access;
pub use audit::{AuditEntry, AuditLog};
pub use browser::Browser;
pub use certificates::{Authority, Issued};
pub use cluster::Cluster;
pub use control_plane::{ControlPlane, Options};
pub use error::Error;
pub use eventually::eventually;
pub use kubectl::KubectlOutput;
pub use namespace::{TestNamespace, unique_name};
pub use postgres::Postgres;
pub use proxy::Proxy;
pub use rbac::{Scope, auth_delegator, grant, rule};
pub use tools::{NodeTool, Tool, Tools, packages, python};

/// The control plane that all tests of this process share, started at the first call.
///
/// Safe to call from several runtimes at once: one caller starts it, the others wait; if the starting test is
/// cancelled, the next one takes over. It lives as long as the process.
///
/// # Errors
/// As [`ControlPlane::start`]. A failure is not remembered: the next caller tries again.
pub async fn shared() -> Result<&'static ControlPlane, Error> {
    static SHARED: tokio::sync::OnceCell<ControlPlane> = tokio::sync::OnceCell::const_new();
    SHARED.get_or_try_init(|| ControlPlane::start(Options::default())).await
}

/// The PostgreSQL server that all tests of this process share, started at the first call; each takes a
/// [database](Postgres::database) of its own.
///
/// # Errors
/// As [`Postgres::start`].
pub async fn postgres() -> Result<&'static Postgres, Error> {
    static SHARED: tokio::sync::OnceCell<Postgres> = tokio::sync::OnceCell::const_new();
    SHARED.get_or_try_init(Postgres::start).await
}

/// The browser that all tests of this process share, started at the first call; each opens a
/// session of its own.
///
/// # Errors
/// As [`Browser::start`].
pub async fn browser() -> Result<&'static Browser, Error> {
    static SHARED: tokio::sync::OnceCell<Browser> = tokio::sync::OnceCell::const_new();
    SHARED.get_or_try_init(Browser::start).await
}

/// Makes aws-lc-rs the TLS provider of this process, unless one is installed already.
///
/// All clients of this crate call it. Call it first in a test that makes its own client before any of ours.
pub fn install_tls_provider() {
    // An error only says that somebody was first, which is what we want to know exists.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
