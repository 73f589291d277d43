//! A whole cluster: a control plane and nodes that run pods.
//!
//! Each machine is a set of Linux namespaces with an init of its own, on a bridge that it shares with the host. The control plane's
//! machine also routes what the host sends to a Service, as the load balancer in front of a cluster does, so that it goes on when a
//! node is without power. There is no internet, no storage class, and nothing enforces a `NetworkPolicy`.
//!
//! - `files.rs` what the servers read
//! - `network.rs` addresses, the bridge, the cables
//! - `machine.rs`, `machine.sh` the namespaces and what runs in them
//! - `janitor.sh` what takes everything away at the end, also after a crash
//! - `pause.rs` the one image that every pod needs

mod files;
mod machine;
mod network;
mod pause;

use std::{
    ffi::OsStr,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use k8s_openapi::api::core::v1::Node;
use kube::{Api, Client, api::ListParams};
use secrecy::SecretString;
use tokio::process::Command;

use self::{
    machine::{Machine, Role, Site},
    network::Network,
};
use crate::{
    Access, Error, KubectlOutput, NodeTool, Tool, Tools, audit,
    certificates::{Authority, token_keys},
    control_plane::{is_ready, random_token},
    install_tls_provider, kubectl,
    state_dir::StateDir,
    tools::packages,
};

/// The number of the control plane's machine.
const CONTROL: u8 = 2;
/// Ready in about 10 seconds on an idle machine; the limit is for one that is busy with everything else.
const READY: Duration = Duration::from_mins(3);
/// One look at the API server's readiness.
const READINESS_PROBE: Duration = Duration::from_secs(2);
const PAUSE_BETWEEN_PROBES: Duration = Duration::from_millis(100);

/// A running cluster. Dropping it ends all its machines and takes away what it made on the host.
#[derive(Debug)]
pub struct Cluster {
    admin: Access,
    tools: Tools,
    control: Machine,
    workers: Vec<Machine>,
    // Last, since fields are dropped in this order.
    site: Site,
}

impl Cluster {
    /// Starts a cluster with so many nodes, at most three, and waits until all of them are ready: some seconds, and once some minutes
    /// before that if programs have to be built.
    ///
    /// # Errors
    /// [`Error::NotRoot`] without root. If programs or packages are missing and cannot be made, or it is not ready after three
    /// minutes.
    pub async fn start(nodes: u8) -> Result<Self, Error> {
        if !rustix::process::geteuid().is_root() || !cfg!(target_os = "linux") {
            return Err(Error::NotRoot);
        }
        install_tls_provider();
        let (tools, packages) = tokio::task::spawn_blocking(programs)
            .await
            .map_err(|error| Error::io("find the cluster's programs")(error.into()))??;
        let mut cluster = Self::prepared(nodes, tools, packages)?;
        cluster.boot().await?;
        Ok(cluster)
    }

    /// The files of all machines, which do not run yet.
    fn prepared(nodes: u8, tools: Tools, packages: PathBuf) -> Result<Self, Error> {
        let network = Network::take()?;
        let dir = StateDir::with_janitor(include_str!("janitor.sh"), &[&network.bridge()])?;
        let site = Site { network, programs: tools.dir().to_owned(), packages, dir };
        let root = site.dir.path();
        let write = |path: PathBuf, content: &str| {
            std::fs::write(&path, content).map_err(Error::io(format!("write {}", path.display())))
        };

        let address = site.network.address(CONTROL);
        let authority = Authority::generate()?;
        let names = [&address.to_string(), &site.network.service(1).to_string(), "kubernetes.default.svc"];
        let certificate = authority.api_server_at(&names.map(|name| name as &str))?;
        let keys = token_keys()?;
        let access = |token: String| Access {
            address: SocketAddr::from((address, 6443)),
            authority_pem: authority.pem(),
            authority_der: authority.der(),
            token: SecretString::from(token),
            impersonate: None,
            namespace: "default".into(),
        };
        let (admin_token, controllers_token) = (random_token()?, random_token()?);
        let mut tokens = vec![
            format!("{admin_token},admin,admin,system:masters"),
            format!("{controllers_token},controllers,controllers,system:masters"),
        ];
        write(root.join("authority.crt"), &authority.pem())?;
        write(root.join("apiserver.crt"), &certificate.certificate)?;
        write(root.join("apiserver.key"), &certificate.key)?;
        write(root.join("service-account.key"), &keys.private)?;
        write(root.join("service-account.pub"), &keys.public)?;
        write(root.join("audit-policy.yaml"), audit::POLICY)?;
        let admin = access(admin_token);
        admin.write_kubeconfig(&root.join("kubeconfig"))?;
        access(controllers_token).write_kubeconfig(&root.join("controllers.kubeconfig"))?;
        pause::write(&tools.path(Tool::Node(NodeTool::Pause))?, &root.join("pause.tar"))?;

        let control = Machine::new(&site, "control".into(), CONTROL, Role::Control)?;
        write(control.folder().join("Corefile"), &files::coredns(&site.network))?;
        let mut workers = Vec::new();
        for index in 1..=nodes.min(3) {
            let machine = Machine::new(&site, format!("node-{index}"), CONTROL + index, Role::Worker)?;
            let (name, number, folder) = (&machine.name, machine.number, machine.folder());
            let token = random_token()?;
            tokens.push(format!("{token},system:node:{name},{name},system:nodes"));
            access(token).write_kubeconfig(&folder.join("kubelet.kubeconfig"))?;
            let kubelet = files::kubelet(folder, &site.network, number, &site.cgroup(name));
            write(folder.join("kubelet.yaml"), &kubelet.to_string())?;
            write(folder.join("containerd.toml"), &files::containerd(folder, tools.dir()))?;
            std::fs::create_dir(folder.join("cni")).map_err(Error::io("make a folder"))?;
            write(folder.join("cni/pods.conflist"), &files::pod_network(&site.network, number).to_string())?;
            workers.push(machine);
        }
        write(root.join("tokens.csv"), &tokens.join("\n"))?;
        Ok(Self { admin, tools, control, workers, site })
    }

    /// Starts all machines, connects them, and waits until they are ready.
    async fn boot(&mut self) -> Result<(), Error> {
        self.control.power_on(&self.site).await?;
        self.site.network.route(&self.site.network.services(), CONTROL, None)?;
        for machine in &mut self.workers {
            machine.power_on(&self.site).await?;
        }
        self.connect_pods()?;
        let names: Vec<_> = self.workers.iter().map(|machine| machine.name.clone()).collect();
        for name in names {
            self.wait_until_ready(&name).await?;
        }
        Ok(())
    }

    /// Every machine and the host know where every machine's pods are.
    fn connect_pods(&self) -> Result<(), Error> {
        let network = &self.site.network;
        for worker in self.workers.iter().filter(|worker| worker.init().is_some()) {
            let pods = network.pods_of(worker.number);
            network.route(&pods, worker.number, None)?;
            for other in self.workers.iter().chain([&self.control]).filter(|other| other.number != worker.number) {
                if let Some(init) = other.init() {
                    network.route(&pods, worker.number, Some(init))?;
                }
            }
        }
        Ok(())
    }

    /// Waits until a node says that it is ready, which it does anew after each start.
    async fn wait_until_ready(&mut self, node: &str) -> Result<(), Error> {
        let mut config = self.admin.config()?;
        // We ask again sooner than the client would.
        config.default_retry = false;
        let client = Client::try_from(config)?;
        let become_ready = async {
            loop {
                self.check_running()?;
                let ready =
                    async { Ok::<_, kube::Error>(is_ready(&client).await? && node_is_ready(&client, node).await?) };
                if matches!(tokio::time::timeout(READINESS_PROBE, ready).await, Ok(Ok(true))) {
                    return Ok(());
                }
                tokio::time::sleep(PAUSE_BETWEEN_PROBES).await;
            }
        };
        let what = format!("the API server and {node} are ready");
        tokio::time::timeout(READY, become_ready).await.unwrap_or(Err(Error::TimedOut { what, limit: READY }))
    }

    fn check_running(&mut self) -> Result<(), Error> {
        self.workers.iter_mut().chain([&mut self.control]).try_for_each(Machine::check_running)
    }

    /// The folder with everything, a folder in it for each machine with its `logs/`. Goes with the cluster.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.site.dir.path()
    }

    /// A kubeconfig file of the administrator.
    #[must_use]
    pub fn kubeconfig_path(&self) -> PathBuf {
        self.dir().join("kubeconfig")
    }

    /// The administrator.
    #[must_use]
    pub fn admin_access(&self) -> Access {
        self.admin.clone()
    }

    /// A client of the administrator, of the current tokio runtime.
    ///
    /// # Errors
    /// As [`Access::client`].
    pub fn admin(&self) -> Result<Client, Error> {
        self.admin.client()
    }

    /// The programs in use.
    #[must_use]
    pub fn tools(&self) -> &Tools {
        &self.tools
    }

    /// Names of the nodes.
    #[must_use]
    pub fn nodes(&self) -> Vec<String> {
        self.workers.iter().map(|machine| machine.name.clone()).collect()
    }

    /// Where pods reach programs of this host.
    #[must_use]
    pub fn host(&self) -> Ipv4Addr {
        self.site.network.host()
    }

    /// An address for a Service, by a number from 10 to 250. The host and all pods reach it.
    #[must_use]
    pub fn service_address(&self, number: u8) -> Ipv4Addr {
        self.site.network.service(number)
    }

    /// Runs kubectl as administrator, with `input` as its standard input.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be run. That kubectl itself fails is no error, see [`KubectlOutput::status`].
    pub async fn kubectl<I, S>(&self, arguments: I, input: &str) -> Result<KubectlOutput, Error>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        kubectl::run(&self.tools.path(Tool::Kubectl)?, self.dir(), &self.admin, arguments, input).await
    }

    /// Brings the images of an archive (of `docker save`, or OCI) to every node that runs.
    ///
    /// # Errors
    /// [`Error::Refused`] with what containerd says of it.
    pub async fn load_images(&self, archive: &Path) -> Result<(), Error> {
        let program = self.tools.path(Tool::Node(NodeTool::Ctr))?;
        for worker in self.workers.iter().filter(|worker| worker.init().is_some()) {
            let output = Command::new(&program)
                .arg("--address")
                .arg(worker.folder().join("containerd.sock"))
                .args(["--namespace", "k8s.io", "images", "import"])
                .arg(archive)
                .stdin(Stdio::null())
                .output()
                .await
                .map_err(Error::io("run ctr"))?;
            if !output.status.success() {
                let said = String::from_utf8_lossy(&output.stderr);
                return Err(Error::Refused(format!("{}: {}", archive.display(), said.trim())));
            }
        }
        Ok(())
    }

    /// Takes a node's power: kubelet, containerd and all pods end at the same instant. What it has on disk stays.
    ///
    /// # Errors
    /// [`Error::Refused`] if there is no such node, [`Error::TimedOut`] if something on it does not end.
    pub async fn power_off(&mut self, node: &str) -> Result<(), Error> {
        self.worker(node)?.power_off().await
    }

    /// Gives a node its power again, and waits until it is ready.
    ///
    /// # Errors
    /// As [`Cluster::start`].
    pub async fn power_on(&mut self, node: &str) -> Result<(), Error> {
        let machine = self.workers.iter_mut().find(|machine| machine.name == node);
        machine.ok_or_else(|| no_node(node))?.power_on(&self.site).await?;
        self.connect_pods()?;
        self.wait_until_ready(node).await
    }

    fn worker(&mut self, node: &str) -> Result<&mut Machine, Error> {
        self.workers.iter_mut().find(|machine| machine.name == node).ok_or_else(|| no_node(node))
    }
}

fn no_node(name: &str) -> Error {
    Error::Refused(format!("there is no node {name}"))
}

async fn node_is_ready(client: &Client, name: &str) -> Result<bool, kube::Error> {
    let nodes = Api::<Node>::all(client.clone()).list(&ListParams::default()).await?;
    let node = nodes.items.into_iter().find(|node| node.metadata.name.as_deref() == Some(name));
    let conditions = node.and_then(|node| node.status?.conditions).unwrap_or_default();
    Ok(conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True"))
}

/// The programs, built and fetched if they are missing. Blocks.
fn programs() -> Result<(Tools, PathBuf), Error> {
    let control = [Tool::Etcd, Tool::KubeApiserver, Tool::KubeControllerManager, Tool::Kubectl];
    let needed: Vec<_> = control.into_iter().chain(NodeTool::ALL.map(Tool::Node)).collect();
    let tools = Tools::find(&needed)?;
    Ok((tools, packages("node")?))
}
