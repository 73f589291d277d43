//! Starting and stopping a control plane.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use http::Request;
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client, api::ListParams};
use secrecy::SecretString;

use crate::{
    Access, AuditLog, Error, Tool, Tools,
    audit::{self, AuditTail},
    certificates::{Authority, token_keys},
    eventually, install_tls_provider,
    ports::free_ports,
    server::Server,
    state_dir::StateDir,
};

/// A start that loses a port to another program is tried again with other ports.
const START_ATTEMPTS: usize = 5;

/// Ready in two to three seconds on an idle machine; the limit is for one that is busy with everything else.
const READY: Duration = Duration::from_mins(2);

/// One look at the API server's readiness.
const READINESS_PROBE: Duration = Duration::from_secs(2);

/// What to start beyond etcd and kube-apiserver.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Run kube-controller-manager too, with the garbage collector and the namespace controller only. It takes a few
    /// seconds more to act, and learns of new kinds every 30 seconds.
    pub controller_manager: bool,
    /// Further arguments for kube-apiserver, such as `--feature-gates=…`.
    pub apiserver_arguments: Vec<String>,
}

/// A running control plane. Dropping it stops the servers, waits for their end and removes their folder.
pub struct ControlPlane {
    options: Options,
    tools: Tools,
    ports: Ports,
    pub(crate) admin: Access,
    audit: AuditTail,
    // Before the folder, since fields are dropped in this order.
    servers: Mutex<Servers>,
    dir: StateDir,
}

struct Ports {
    etcd: u16,
    etcd_peer: u16,
    apiserver: u16,
}

/// A server that a test has stopped is absent.
#[derive(Default)]
pub(crate) struct Servers {
    pub(crate) controller_manager: Option<Server>,
    pub(crate) apiserver: Option<Server>,
    pub(crate) etcd: Option<Server>,
}

impl ControlPlane {
    /// Starts a control plane and waits until it is ready: a few seconds, and once some minutes before that if the
    /// programs have to be built (see [`Tools::find`]).
    ///
    /// # Errors
    /// If the programs are missing and cannot be built, a server ends while starting (the error has the end of its
    /// log), or it is not ready after two minutes.
    pub async fn start(options: Options) -> Result<Self, Error> {
        install_tls_provider();
        let mut needed = vec![Tool::Etcd, Tool::KubeApiserver, Tool::Kubectl];
        if options.controller_manager {
            needed.push(Tool::KubeControllerManager);
        }
        let tools = tokio::task::spawn_blocking(move || Tools::find(&needed))
            .await
            .map_err(|error| Error::io("find the control plane's programs")(error.into()))??;
        let mut attempt = 1;
        let control_plane = loop {
            let control_plane = Self::launch(options.clone(), tools.clone())?;
            match control_plane.wait_until_ready().await {
                Ok(()) => break control_plane,
                Err(error) if error.is_port_clash() && attempt < START_ATTEMPTS => attempt += 1,
                Err(error) => return Err(error),
            }
        };
        // Not before: it ends by itself if the API server is not ready within ten seconds.
        if options.controller_manager {
            let controller_manager = control_plane.spawn_controller_manager()?;
            control_plane.servers().controller_manager = Some(controller_manager);
        }
        Ok(control_plane)
    }

    /// Writes the files and starts etcd and the API server, without waiting for them.
    fn launch(options: Options, tools: Tools) -> Result<Self, Error> {
        let dir = StateDir::create()?;
        let [etcd, etcd_peer, apiserver] = free_ports()?;
        let authority = Authority::generate()?;
        let certificate = authority.api_server()?;
        let token_keys = token_keys()?;
        let admin_token = random_token()?;
        let controller_manager_token = random_token()?;
        let write = |name: &str, content: &str| {
            std::fs::write(dir.path().join(name), content).map_err(Error::io(format!("write {name}")))
        };
        write("apiserver.crt", &certificate.certificate)?;
        write("apiserver.key", &certificate.key)?;
        write("service-account.key", &token_keys.private)?;
        write("service-account.pub", &token_keys.public)?;
        write("audit-policy.yaml", audit::POLICY)?;
        write(
            "tokens.csv",
            &format!(
                "{admin_token},admin,admin,system:masters\n\
                 {controller_manager_token},system:kube-controller-manager,controller-manager,system:masters\n"
            ),
        )?;
        let admin = Access {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, apiserver)),
            authority_pem: authority.pem(),
            authority_der: authority.der(),
            token: SecretString::from(admin_token),
            impersonate: None,
            namespace: "default".into(),
        };
        admin.write_kubeconfig(&dir.path().join("kubeconfig"))?;
        let controller_manager = Access { token: SecretString::from(controller_manager_token), ..admin.clone() };
        controller_manager.write_kubeconfig(&dir.path().join("controller-manager.kubeconfig"))?;

        let control_plane = Self {
            audit: AuditTail::new(dir.path().join("audit.log")),
            ports: Ports { etcd, etcd_peer, apiserver },
            servers: Mutex::default(),
            options,
            tools,
            admin,
            dir,
        };
        {
            let mut servers = control_plane.servers();
            servers.etcd = Some(control_plane.spawn_etcd()?);
            servers.apiserver = Some(control_plane.spawn_apiserver()?);
        }
        Ok(control_plane)
    }

    /// Where the API server listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.admin.address
    }

    /// The folder with logs (`etcd.log`, `kube-apiserver.log`, `audit.log`), keys and data. Goes with the control
    /// plane; a test may put files here.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A kubeconfig file of the administrator.
    #[must_use]
    pub fn kubeconfig_path(&self) -> PathBuf {
        self.dir().join("kubeconfig")
    }

    /// The programs in use.
    #[must_use]
    pub fn tools(&self) -> &Tools {
        &self.tools
    }

    /// Path of kubectl.
    ///
    /// # Errors
    /// As [`Tools::path`].
    pub fn kubectl_path(&self) -> Result<PathBuf, Error> {
        self.tools.path(Tool::Kubectl)
    }

    /// Path of helm. Blocks at the first call on a machine, when helm has to be built.
    ///
    /// # Errors
    /// As [`Tools::path`].
    pub fn helm_path(&self) -> Result<PathBuf, Error> {
        self.tools.path(Tool::Helm)
    }

    /// All requests so far, but for those of the API server to itself.
    ///
    /// A request is logged when it has been answered, a watch when it begins. The line of an answer longer than a few
    /// kilobytes may come a moment after the answer: wait for it with [`eventually`].
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Audit`] if the log cannot be read.
    pub fn audit(&self) -> Result<AuditLog, Error> {
        self.audit.read()
    }

    /// Pids of the servers that run, by program name.
    #[must_use]
    pub fn pids(&self) -> Vec<(&'static str, u32)> {
        let servers = self.servers();
        [
            (Tool::Etcd, &servers.etcd),
            (Tool::KubeApiserver, &servers.apiserver),
            (Tool::KubeControllerManager, &servers.controller_manager),
        ]
        .into_iter()
        .filter_map(|(tool, server)| Some((tool.name(), server.as_ref()?.pid())))
        .collect()
    }

    /// Held for a moment only, never across an await.
    pub(crate) fn servers(&self) -> MutexGuard<'_, Servers> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ready, with the namespaces that the API server makes itself, which it does not count as being ready.
    pub(crate) async fn wait_until_ready(&self) -> Result<(), Error> {
        let mut config = self.admin_access().config()?;
        // We ask again sooner than the client would.
        config.default_retry = false;
        let client = Client::try_from(config)?;
        let outcome = eventually("the API server is ready", READY, || async {
            if let Err(error) = self.check_running() {
                return Some(Err(error));
            }
            let ready = tokio::time::timeout(READINESS_PROBE, is_ready(&client)).await;
            matches!(ready, Ok(Ok(true))).then_some(Ok(()))
        })
        .await;
        outcome.unwrap_or_else(|timed_out| {
            let log = self.servers().apiserver.as_ref().map(Server::log_tail).unwrap_or_default();
            Err(Error::TimedOut { what: format!("{timed_out}; the end of its log:\n{log}"), limit: READY })
        })
    }

    fn check_running(&self) -> Result<(), Error> {
        let Servers { controller_manager, apiserver, etcd } = &mut *self.servers();
        [etcd, apiserver, controller_manager].into_iter().flatten().try_for_each(Server::check_running)
    }

    pub(crate) fn spawn_etcd(&self) -> Result<Server, Error> {
        let client_url = format!("http://127.0.0.1:{}", self.ports.etcd);
        let arguments = [
            "--data-dir=etcd".to_owned(),
            format!("--listen-client-urls={client_url}"),
            format!("--advertise-client-urls={client_url}"),
            format!("--listen-peer-urls=http://127.0.0.1:{}", self.ports.etcd_peer),
            // Data has to survive a killed process, not a lost machine.
            "--unsafe-no-fsync".to_owned(),
            // It is alone, so nobody can call an election too early.
            "--heartbeat-interval=50".to_owned(),
            "--election-timeout=250".to_owned(),
            "--log-level=warn".to_owned(),
        ];
        self.spawn(Tool::Etcd, &arguments)
    }

    pub(crate) fn spawn_apiserver(&self) -> Result<Server, Error> {
        let mut arguments = vec![
            format!("--etcd-servers=http://127.0.0.1:{}", self.ports.etcd),
            "--bind-address=127.0.0.1".to_owned(),
            format!("--secure-port={}", self.ports.apiserver),
            // Without a default route it would find no address by itself, and nobody needs the endpoints.
            "--advertise-address=127.0.0.1".to_owned(),
            "--endpoint-reconciler-type=none".to_owned(),
            "--cert-dir=.".to_owned(),
            "--tls-cert-file=apiserver.crt".to_owned(),
            "--tls-private-key-file=apiserver.key".to_owned(),
            "--token-auth-file=tokens.csv".to_owned(),
            "--authorization-mode=RBAC".to_owned(),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            "--service-account-key-file=service-account.pub".to_owned(),
            "--service-account-signing-key-file=service-account.key".to_owned(),
            "--service-cluster-ip-range=10.0.0.0/24".to_owned(),
            "--audit-policy-file=audit-policy.yaml".to_owned(),
            "--audit-log-path=audit.log".to_owned(),
            // In megabytes: never rotated, since the log is followed by its length.
            "--audit-log-maxsize=100000".to_owned(),
        ];
        arguments.extend_from_slice(&self.options.apiserver_arguments);
        self.spawn(Tool::KubeApiserver, &arguments)
    }

    fn spawn_controller_manager(&self) -> Result<Server, Error> {
        let arguments = [
            "--kubeconfig=controller-manager.kubeconfig",
            "--controllers=garbage-collector-controller,namespace-controller",
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
            // No port of its own: nobody asks for its metrics.
            "--secure-port=0",
            "--cert-dir=.",
        ]
        .map(String::from);
        self.spawn(Tool::KubeControllerManager, &arguments)
    }

    fn spawn(&self, tool: Tool, arguments: &[String]) -> Result<Server, Error> {
        Server::spawn(tool.name(), &self.tools.path(tool)?, arguments, &self.dir)
    }
}

pub(crate) async fn is_ready(client: &Client) -> Result<bool, kube::Error> {
    let request = Request::get("/readyz").body(Vec::new()).map_err(kube::Error::HttpError)?;
    if client.request_text(request).await? != "ok" {
        return Ok(false);
    }
    let namespaces = Api::<Namespace>::all(client.clone()).list(&ListParams::default()).await?;
    let exists = |name| namespaces.items.iter().any(|namespace| namespace.metadata.name.as_deref() == Some(name));
    Ok(exists("default") && exists("kube-system"))
}

impl std::fmt::Debug for ControlPlane {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("ControlPlane")
            .field("address", &self.address())
            .field("dir", &self.dir())
            .field("pids", &self.pids())
            .finish_non_exhaustive()
    }
}

/// 256 bits, since a loopback port is open to everybody on the machine.
pub(crate) fn random_token() -> Result<String, Error> {
    let mut bytes = [0; 32];
    rustls::crypto::aws_lc_rs::default_provider()
        .secure_random
        .fill(&mut bytes)
        .map_err(|_| Error::io("get random bytes")(std::io::ErrorKind::Other.into()))?;
    Ok(BASE64_URL_SAFE_NO_PAD.encode(bytes))
}
