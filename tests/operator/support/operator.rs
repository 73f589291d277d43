//! The operator as a child process: as users run it, so that it can be stopped and killed as pods are.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use testenv::eventually;

/// How long a test waits for anything before it gives up. Nothing is asserted about how long it took.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// How an operator is started.
#[derive(Clone, Debug)]
pub struct OperatorOptions {
    pub kubeconfig: PathBuf,
    pub namespaces: Vec<String>,
    pub lease_namespace: String,
    /// Base URL that Cronofy is told; `None` puts the operator's own webhook address there.
    pub webhook_base_url: Option<String>,
    /// Without: it runs without a base URL, and nobody is to call.
    pub webhook: bool,
    /// Whether applications may name addresses that are none of Cronofy's, as that of the simulator.
    pub custom_endpoints: bool,
    pub environment: BTreeMap<String, String>,
    pub arguments: Vec<String>,
}

/// A running operator.
pub struct Operator {
    child: Child,
    pub webhook: SocketAddr,
    scheme: &'static str,
    pub admin: SocketAddr,
    log: Arc<Mutex<Vec<String>>>,
}

impl Operator {
    /// Starts one and waits until it is ready to serve (which a standby is, too).
    pub async fn start(options: &OperatorOptions) -> Self {
        let operator = Self::spawn(options).await;
        operator.wait_ready().await;
        operator
    }

    /// Starts one, ready or not.
    pub async fn spawn(options: &OperatorOptions) -> Self {
        let (webhook, admin) = (free_address(), free_address());
        let scheme = if options.arguments.iter().any(|flag| flag == "--webhook-tls-cert") { "https" } else { "http" };
        let base = options.webhook_base_url.clone().unwrap_or_else(|| format!("{scheme}://{webhook}"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_cronofy-operator"));
        command
            .args(["run", "--allow-http-callback", "--log-format", "json"])
            .args(options.custom_endpoints.then_some("--allow-custom-endpoints"))
            .args(options.webhook.then_some(["--webhook-base-url", &base]).into_iter().flatten())
            .args(["--webhook-listen", &webhook.to_string(), "--admin-listen", &admin.to_string()])
            .args(["--lease-namespace", &options.lease_namespace])
            // Short, so that another one takes over soon; long enough for an API server that shares a busy machine.
            .args(["--lease-duration", "8", "--lease-renew-deadline", "6", "--lease-retry-period", "1"])
            .args(&options.arguments)
            .env("KUBECONFIG", &options.kubeconfig)
            .env("RUST_LOG", "info")
            .envs(&options.environment)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        for namespace in &options.namespaces {
            command.args(["--namespace", namespace]);
        }
        let mut child = command.spawn().expect("the operator starts");
        // A port that was free may be taken by now: then it ends at once, and another one is tried.
        tokio::time::sleep(Duration::from_millis(150)).await;
        if child.try_wait().unwrap().is_some() {
            return Box::pin(Self::spawn(options)).await;
        }
        let log = Arc::<Mutex<Vec<String>>>::default();
        let outputs: [Box<dyn std::io::Read + Send>; 2] =
            [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
        for output in outputs {
            let log = log.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    log.lock().unwrap().push(line);
                }
            });
        }
        Self { child, webhook, scheme, admin, log }
    }

    /// Waits until it serves.
    pub async fn wait_ready(&self) {
        let url = format!("http://{}/readyz", self.admin);
        let ready = eventually("the operator is ready", PATIENCE, || async {
            reqwest::get(&url).await.ok().filter(|answer| answer.status().is_success())
        });
        assert!(ready.await.is_ok(), "the operator did not become ready; its log:\n{}", self.log().join("\n"));
    }

    /// Waits until it says this of what it waits for, and gives the line.
    pub async fn says(&self, what: &str) -> String {
        let url = format!("http://{}/readyz", self.admin);
        let said = eventually(what, PATIENCE, || async {
            let answer = reqwest::get(&url).await.ok().filter(|answer| answer.status().as_u16() == 503)?;
            let text = answer.text().await.ok()?;
            text.lines().find(|line| line.contains(what)).map(ToOwned::to_owned)
        });
        said.await.unwrap_or_else(|error| panic!("{error}; its log:\n{}", self.log().join("\n")))
    }

    /// The callback base it tells Cronofy, unless a test gave another.
    pub fn base(&self) -> String {
        format!("{}://{}", self.scheme, self.webhook)
    }

    /// Everything it has logged so far.
    pub fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// What it serves at `/metrics`.
    pub async fn metrics(&self) -> String {
        reqwest::get(format!("http://{}/metrics", self.admin)).await.unwrap().text().await.unwrap()
    }

    /// The value of one metric line, which begins with `name` and its labels.
    pub async fn metric(&self, name: &str) -> f64 {
        let text = self.metrics().await;
        let line = text.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.rsplit(' ').next()).and_then(|value| value.parse().ok()).unwrap_or(0.0)
    }

    /// Whether it holds the lease.
    pub async fn leads(&self) -> bool {
        self.metric("leader_election_master_status").await > 0.0
    }

    /// SIGTERM: it gets to tidy up. Waits for the exit and gives whether it was clean.
    pub async fn terminate(mut self) -> bool {
        signal(self.child.id(), "TERM");
        let status = eventually("the operator ends", PATIENCE, || {
            let ended = self.child.try_wait().unwrap();
            async move { ended }
        });
        status.await.expect("the operator ends after SIGTERM").success()
    }

    /// Waits until it ends by itself; gives whether that was clean.
    pub async fn ends(mut self) -> bool {
        let status = eventually("the operator ends by itself", PATIENCE, || {
            let ended = self.child.try_wait().unwrap();
            async move { ended }
        });
        status.await.expect("the operator ends by itself").success()
    }

    /// SIGKILL: it gets to do nothing.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Holds it still, as a paused node would.
    pub fn pause(&self) {
        signal(self.child.id(), "STOP");
    }

    /// Lets it go on.
    pub fn resume(&self) {
        signal(self.child.id(), "CONT");
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("log of the operator at {}:\n{}", self.admin, self.log().join("\n"));
        }
    }
}

fn signal(pid: u32, name: &str) {
    let status = Command::new("kill").args([format!("-{name}"), pid.to_string()]).status().unwrap();
    assert!(status.success(), "signal {name} to {pid}");
}

/// A loopback address that is free now.
pub fn free_address() -> SocketAddr {
    std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap()
}
