//! What can go wrong, with the remedy where there is one.

use std::{io, path::PathBuf, process::ExitStatus, time::Duration};

/// Why a control plane did not start, or a call on it failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// `KUBEBUILDER_ASSETS` names a folder without this program.
    #[error(
        "no {tool} in {} (KUBEBUILDER_ASSETS): put it there, or unset KUBEBUILDER_ASSETS to have hack/tools/build.sh build it",
        dir.display()
    )]
    ToolMissing {
        /// File name of the program.
        tool: &'static str,
        /// The folder that was searched.
        dir: PathBuf,
    },
    /// `hack/tools/build.sh` failed. Its own message, which names the remedy, went to standard error.
    #[error("{} failed ({status}); its message above says what is missing", script.display())]
    ToolBuild {
        /// The script.
        script: PathBuf,
        /// How it ended.
        status: ExitStatus,
    },
    /// A cluster with nodes makes namespaces, links and control groups.
    #[error("a cluster with nodes needs root on Linux: run it as root, for example by `sudo`")]
    NotRoot,
    /// A script that fetches or prepares something failed. Its own message went to standard error.
    #[error("{} failed ({status}); its message above says why", script.display())]
    Script {
        /// The script.
        script: PathBuf,
        /// How it ended.
        status: ExitStatus,
    },
    /// A program refused what it was asked for.
    #[error("{0}")]
    Refused(String),
    /// A file, process or socket operation failed.
    #[error("cannot {action}")]
    Io {
        /// What was attempted, in the infinitive.
        action: String,
        /// Why it failed.
        source: io::Error,
    },
    /// A certificate or key could not be made.
    #[error("cannot make a certificate")]
    Certificate(#[from] rcgen::Error),
    /// A server ended by itself, usually while starting.
    #[error("{server} ended ({status}); the end of its log:\n{log}")]
    ServerEnded {
        /// Which one.
        server: &'static str,
        /// How it ended.
        status: ExitStatus,
        /// The last lines it wrote.
        log: String,
    },
    /// What was waited for did not come about.
    #[error("not within {limit:?}: {what}")]
    TimedOut {
        /// What was waited for, with what was seen last.
        what: String,
        /// How long was waited.
        limit: Duration,
    },
    /// The API server answered with an error, or not at all.
    #[error("request to the API server failed")]
    Kube(#[from] kube::Error),
    /// A text is not YAML, or not a Kubernetes object.
    #[error("malformed Kubernetes object: {0}")]
    Malformed(String),
    /// A complete line of the audit log is not an audit event.
    #[error("unreadable line in the audit log: {line}")]
    Audit {
        /// The line.
        line: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

impl Error {
    /// For `map_err`: an I/O error with what was attempted, e.g. `"write the audit policy"`.
    pub(crate) fn io(action: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let action = action.into();
        move |source| Self::Io { action, source }
    }

    /// Whether another program took a port between our choosing it and the server's binding it.
    pub(crate) fn is_port_clash(&self) -> bool {
        matches!(self, Self::ServerEnded { log, .. } if log.contains("address already in use"))
    }
}
