//! Starting, harming and stopping a control plane.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::Request;
use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::ServiceAccount,
};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};
use secrecy::SecretString;

use crate::{
    Access, AuditLog, Error, Tool, Tools,
    access::Impersonation,
    audit::{self, AuditTail},
    certificates::{CertificateAuthority, token_keys},
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

/// Long enough for any test run: tokens are not renewed.
const TOKEN_SECONDS: i64 = 24 * 60 * 60;

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
    admin: Access,
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
struct Servers {
    controller_manager: Option<Server>,
    apiserver: Option<Server>,
    etcd: Option<Server>,
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
        loop {
            let control_plane = Self::launch(options.clone(), tools.clone())?;
            match control_plane.wait_until_ready().await {
                Ok(()) => return Ok(control_plane),
                Err(error) if error.is_port_clash() && attempt < START_ATTEMPTS => attempt += 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// Writes the files and starts the servers, without waiting for them.
    fn launch(options: Options, tools: Tools) -> Result<Self, Error> {
        let dir = StateDir::create()?;
        let [etcd, etcd_peer, apiserver] = free_ports()?;
        let authority = CertificateAuthority::generate()?;
        let certificate = authority.server()?;
        let token_keys = token_keys()?;
        let admin_token = random_token();
        let controller_manager_token = random_token();
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
            if control_plane.options.controller_manager {
                servers.controller_manager = Some(control_plane.spawn_controller_manager()?);
            }
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

    /// Path of helm, built at the first call if need be.
    ///
    /// # Errors
    /// As [`Tools::path`].
    pub fn helm_path(&self) -> Result<PathBuf, Error> {
        self.tools.path(Tool::Helm)
    }

    /// The administrator `admin` (group `system:masters`), who may do everything.
    #[must_use]
    pub fn admin_access(&self) -> Access {
        self.admin.clone()
    }

    /// A client of the current runtime for the administrator.
    ///
    /// # Errors
    /// [`Error::Kube`] if the client cannot be made.
    pub fn admin(&self) -> Result<Client, Error> {
        self.admin.client()
    }

    /// Any user with any groups, by impersonation. `system:authenticated` is added.
    #[must_use]
    pub fn user_access(&self, name: &str, groups: &[&str]) -> Access {
        let groups = groups.iter().map(|group| (*group).to_owned()).collect();
        Access { impersonate: Some(Impersonation { user: name.to_owned(), groups }), ..self.admin_access() }
    }

    /// A client of the current runtime for any user with any groups.
    ///
    /// # Errors
    /// [`Error::Kube`] if the client cannot be made.
    pub fn user(&self, name: &str, groups: &[&str]) -> Result<Client, Error> {
        self.user_access(name, groups).client()
    }

    /// A `ServiceAccount`, made now if it is absent, by a token of its own that is good for a day. It may do nothing
    /// until [`grant`](crate::grant) says so.
    ///
    /// # Errors
    /// [`Error::Kube`] if the API server refuses, e.g. since there is no such namespace.
    pub async fn service_account_access(&self, namespace: &str, name: &str) -> Result<Access, Error> {
        let accounts = Api::<ServiceAccount>::namespaced(self.admin()?, namespace);
        let account = ServiceAccount {
            metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
            ..ServiceAccount::default()
        };
        match accounts.create(&PostParams::default(), &account).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.is_already_exists() => {}
            Err(error) => return Err(error.into()),
        }
        let request = TokenRequest {
            spec: Some(TokenRequestSpec { expiration_seconds: Some(TOKEN_SECONDS), ..TokenRequestSpec::default() }),
            ..TokenRequest::default()
        };
        let answer = accounts.create_token_request(name, &PostParams::default(), &request).await?;
        let token = answer
            .status
            .and_then(|status| status.token)
            .ok_or_else(|| Error::Malformed("the answer to a TokenRequest has no token".into()))?;
        Ok(Access { token: SecretString::from(token), namespace: namespace.to_owned(), ..self.admin_access() })
    }

    /// A client of the current runtime for a `ServiceAccount`, made now if it is absent.
    ///
    /// # Errors
    /// As [`ControlPlane::service_account_access`].
    pub async fn service_account(&self, namespace: &str, name: &str) -> Result<Client, Error> {
        self.service_account_access(namespace, name).await?.client()
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
    /// # Errors
    /// As [`ControlPlane::start`].
    pub async fn restart(&self) -> Result<(), Error> {
        self.stop_apiserver();
        self.start_apiserver().await
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

    fn servers(&self) -> MutexGuard<'_, Servers> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn wait_until_ready(&self) -> Result<(), Error> {
        let client = self.admin()?;
        let outcome = eventually("the API server is ready", READY, || async {
            if let Err(error) = self.check_running() {
                return Some(Err(error));
            }
            let request = Request::get("/readyz").body(Vec::new()).ok()?;
            let answer = tokio::time::timeout(READINESS_PROBE, client.request_text(request)).await;
            matches!(answer, Ok(Ok(text)) if text == "ok").then_some(Ok(()))
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

    fn spawn_etcd(&self) -> Result<Server, Error> {
        let client_url = format!("http://127.0.0.1:{}", self.ports.etcd);
        let arguments = [
            "--data-dir=etcd".to_owned(),
            format!("--listen-client-urls={client_url}"),
            format!("--advertise-client-urls={client_url}"),
            format!("--listen-peer-urls=http://127.0.0.1:{}", self.ports.etcd_peer),
            // Data has to survive a killed process, not a lost machine.
            "--unsafe-no-fsync".to_owned(),
            "--log-level=warn".to_owned(),
        ];
        self.spawn(Tool::Etcd, &arguments)
    }

    fn spawn_apiserver(&self) -> Result<Server, Error> {
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

/// Guards a control plane on loopback that lives for minutes: unguessable in practice is enough.
fn random_token() -> String {
    std::iter::repeat_with(fastrand::alphanumeric).take(32).collect()
}
