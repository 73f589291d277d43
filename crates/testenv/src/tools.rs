//! Where the programs come from.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::Error;

/// A program this crate can run or point to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Tool {
    /// The key-value store.
    Etcd,
    /// The API server.
    KubeApiserver,
    /// Garbage collection and deletion of namespaces.
    KubeControllerManager,
    /// The command line client.
    Kubectl,
    /// The package installer.
    Helm,
    /// Checks of alerts and of what `/metrics` says.
    Promtool,
    /// Checks of objects by their schemas.
    Kubeconform,
}

impl Tool {
    /// File name of the program.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::KubeApiserver => "kube-apiserver",
            Self::KubeControllerManager => "kube-controller-manager",
            Self::Kubectl => "kubectl",
            Self::Helm => "helm",
            Self::Promtool => "promtool",
            Self::Kubeconform => "kubeconform",
        }
    }
}

/// The folder with the programs: the one in `KUBEBUILDER_ASSETS`, or the cache that `hack/tools/build.sh` fills.
#[derive(Debug, Clone)]
pub struct Tools {
    dir: PathBuf,
}

impl Tools {
    /// Finds the folder and makes sure that it holds these programs, building what is missing.
    ///
    /// Blocks: building kube-apiserver takes minutes, once for each set of pinned versions. Progress goes to standard
    /// error. Any number of processes may call at once.
    ///
    /// # Errors
    /// [`Error::ToolMissing`] if `KUBEBUILDER_ASSETS` is set and lacks one of them, [`Error::ToolBuild`] if building
    /// fails.
    pub fn find(needed: &[Tool]) -> Result<Self, Error> {
        if let Some(dir) = given_dir() {
            for tool in needed {
                require(&dir, *tool)?;
            }
            return Ok(Self { dir });
        }
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../hack/tools/build.sh");
        let output = Command::new(&script)
            .args(needed.iter().map(|tool| tool.name()))
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .map_err(Error::io(format!("run {}", script.display())))?;
        if !output.status.success() {
            return Err(Error::ToolBuild { script, status: output.status });
        }
        let dir = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim_end());
        Ok(Self { dir })
    }

    /// Path of a program, built now if it is missing.
    ///
    /// # Errors
    /// As [`Tools::find`].
    pub fn path(&self, tool: Tool) -> Result<PathBuf, Error> {
        if require(&self.dir, tool).is_err() {
            Self::find(&[tool])?;
        }
        Ok(self.dir.join(tool.name()))
    }
}

fn given_dir() -> Option<PathBuf> {
    std::env::var_os("KUBEBUILDER_ASSETS").filter(|dir| !dir.is_empty()).map(PathBuf::from)
}

fn require(dir: &Path, tool: Tool) -> Result<(), Error> {
    if dir.join(tool.name()).is_file() {
        return Ok(());
    }
    Err(Error::ToolMissing { tool: tool.name(), dir: dir.to_owned() })
}
