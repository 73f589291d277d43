//! Where the programs come from.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
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
    /// The package installer, as of its version 3.
    Helm3,
    /// The rest of a node's and of a control plane's programs.
    Node(NodeTool),
    /// Checks of alerts and of what `/metrics` says.
    Promtool,
    /// Reads what `/metrics` says as strictly as Prometheus does.
    Exposition,
    /// Answers queries over what `/metrics` said.
    Evaluate,
    /// The state of objects as metrics.
    KubeStateMetrics,
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
            Self::Helm3 => "helm3",
            Self::Node(tool) => tool.name(),
            Self::Promtool => "promtool",
            Self::Exposition => "exposition",
            Self::Evaluate => "evaluate",
            Self::KubeStateMetrics => "kube-state-metrics",
            Self::Kubeconform => "kubeconform",
        }
    }
}

/// A program that only a [`Cluster`](crate::Cluster) needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeTool {
    /// Connects pods to their node.
    Bridge,
    /// Runs containers.
    Containerd,
    /// Stays with each pod.
    ContainerdShim,
    /// Names of Services.
    Coredns,
    /// Brings images to containerd.
    Ctr,
    /// Gives pods their addresses.
    HostLocal,
    /// Routes what is sent to Services.
    KubeProxy,
    /// Chooses nodes for pods.
    KubeScheduler,
    /// Runs pods.
    Kubelet,
    /// Gives pods their loopback.
    Loopback,
    /// Holds the namespaces of a pod.
    Pause,
}

impl NodeTool {
    pub(crate) const ALL: [Self; 11] = [
        Self::Bridge,
        Self::Containerd,
        Self::ContainerdShim,
        Self::Coredns,
        Self::Ctr,
        Self::HostLocal,
        Self::KubeProxy,
        Self::KubeScheduler,
        Self::Kubelet,
        Self::Loopback,
        Self::Pause,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::Containerd => "containerd",
            Self::ContainerdShim => "containerd-shim-runc-v2",
            Self::Coredns => "coredns",
            Self::Ctr => "ctr",
            Self::HostLocal => "host-local",
            Self::KubeProxy => "kube-proxy",
            Self::KubeScheduler => "kube-scheduler",
            Self::Kubelet => "kubelet",
            Self::Loopback => "loopback",
            Self::Pause => "pause",
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
        let names = needed.iter().map(|tool| tool.name());
        let dir = folder_by("build.sh", names, |script, status| Error::ToolBuild { script, status })?;
        Ok(Self { dir })
    }

    /// The folder.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
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

/// The folder with programs of Debian's packages, by the name of a set in `hack/tools/packages.sh`, fetched if they are missing.
/// Blocks.
///
/// # Errors
/// If the packages cannot be fetched.
pub fn packages(set: &str) -> Result<PathBuf, Error> {
    folder_by("packages.sh", [set], |script, status| Error::Script { script, status })
}

/// An interpreter of Python with the packages that `hack/tools/python/requirements.txt` pins, made if it is missing. Blocks.
///
/// # Errors
/// If there is no Python of a version that will do, or the packages cannot be fetched.
pub fn python() -> Result<PathBuf, Error> {
    let folder = folder_by("python.sh", [], |script, status| Error::Script { script, status })?;
    Ok(folder.join("bin/python"))
}

/// The folders with libraries below the root of unpacked packages, as `LD_LIBRARY_PATH` takes them.
pub(crate) fn libraries(root: &Path) -> String {
    let folders = ["usr/lib", "lib"].map(|folder| root.join(folder));
    let entries = folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
    let found = entries.map(|entry| entry.path()).filter(|path| path.to_string_lossy().ends_with("-linux-gnu"));
    // One package keeps some of its own in a folder of its own.
    let all = found.flat_map(|path| [path.join("pulseaudio"), path]);
    all.map(|path| path.display().to_string()).collect::<Vec<_>>().join(":")
}

/// The file of the checker for accessibility, fetched if it is missing. Blocks.
pub(crate) fn axe() -> Result<PathBuf, Error> {
    folder_by("axe.sh", [], |script, status| Error::Script { script, status })
}

/// The folder, or file, that a script of `hack/tools` prints. What it says meanwhile goes to standard error.
fn folder_by<'a>(
    script: &str,
    arguments: impl IntoIterator<Item = &'a str>,
    failed: impl FnOnce(PathBuf, ExitStatus) -> Error,
) -> Result<PathBuf, Error> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../hack/tools").join(script);
    let output = Command::new(&script)
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(Error::io(format!("run {}", script.display())))?;
    if !output.status.success() {
        return Err(failed(script, output.status));
    }
    Ok(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim_end()))
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
