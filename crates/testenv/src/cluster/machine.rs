//! A machine: namespaces of processes, mounts, host name and network, in which its servers run.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use super::network::Network;
use crate::{Error, eventually, server::Server, state_dir::StateDir};

/// Runs as the machine's init.
const SCRIPT: &str = include_str!("machine.sh");

/// A process that was started or killed is seen in a moment.
const MOMENT: Duration = Duration::from_secs(30);

/// What a machine is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Holds the control plane.
    Control,
    /// Runs pods.
    Worker,
}

/// What all machines of a cluster have in common.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) network: Network,
    pub(super) programs: PathBuf,
    pub(super) packages: PathBuf,
    pub(super) dir: StateDir,
}

/// One machine. Dropped, its power goes.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) name: String,
    pub(super) number: u8,
    role: Role,
    folder: PathBuf,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    /// Starts the namespaces, and ends with them.
    server: Server,
    /// Their init.
    init: u32,
}

impl Site {
    /// The control group of a machine's pods. The janitor takes away the group that has the folder's name.
    pub(super) fn cgroup(&self, machine: &str) -> String {
        let folder = self.dir.path().file_name().unwrap_or_default().to_string_lossy();
        format!("{folder}/{machine}")
    }
}

impl Machine {
    pub(super) fn new(site: &Site, name: String, number: u8, role: Role) -> Result<Self, Error> {
        let folder = site.dir.path().join(&name);
        std::fs::create_dir(&folder).map_err(Error::io("make a machine's folder"))?;
        Ok(Self { name, number, role, folder, running: None })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Starts it, if it does not run.
    pub(super) async fn power_on(&mut self, site: &Site) -> Result<(), Error> {
        if self.running.is_some() {
            return Ok(());
        }
        let search = [site.programs.clone(), site.packages.join("usr/sbin")]
            .into_iter()
            .chain(std::env::var_os("PATH").iter().flat_map(std::env::split_paths).collect::<Vec<_>>());
        let search = std::env::join_paths(search).map_err(|_| Error::Refused("a folder's name has a colon".into()))?;
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--pid", "--net", "--uts", "--fork", "--kill-child", "--mount-proc"])
            .args(["bash", "-c", SCRIPT, "machine"])
            .arg(match self.role {
                Role::Control => "control",
                Role::Worker => "worker",
            })
            .env("PATH", search)
            .env("LD_LIBRARY_PATH", libraries(&site.packages))
            .env("NAME", &self.name)
            .env("ADDRESS", site.network.address(self.number).to_string())
            .env("CGROUP", site.cgroup(&self.name))
            .env("PODS", site.network.pods())
            .env("SERVICES", site.network.services());
        let server = Server::spawn_in("machine", &command, &self.folder, &site.dir)?;
        let parent = server.pid();
        let init = eventually(&format!("{} has an init", self.name), MOMENT, async || init_below(parent)).await?;
        self.running = Some(Running { server, init });
        site.network.connect(self.number, init)
    }

    /// Ends all that runs on it at once, as if its power had gone. What it has on disk stays.
    pub(super) async fn power_off(&mut self) -> Result<(), Error> {
        let Some(Running { server, init }) = self.running.take() else { return Ok(()) };
        drop(server);
        let gone = PathBuf::from(format!("/proc/{init}"));
        eventually(&format!("{} is off", self.name), MOMENT, async || (!gone.exists()).then_some(())).await
    }

    /// The init of its namespaces, while it runs.
    pub(super) fn init(&self) -> Option<u32> {
        self.running.as_ref().map(|running| running.init)
    }

    /// An error if it has ended by itself.
    pub(super) fn check_running(&mut self) -> Result<(), Error> {
        self.running.as_mut().map_or(Ok(()), |running| running.server.check_running())
    }
}

/// The child of a process that is in another process namespace than we are.
fn init_below(parent: u32) -> Option<u32> {
    let namespace = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let ours = namespace("self")?;
    let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok()?;
    let init = children.split_whitespace().find(|pid| namespace(pid).is_some_and(|theirs| theirs != ours))?;
    init.parse().ok()
}

/// Where Debian puts libraries, by the processor.
fn libraries(packages: &Path) -> PathBuf {
    packages.join(format!("usr/lib/{}-linux-gnu", std::env::consts::ARCH))
}
