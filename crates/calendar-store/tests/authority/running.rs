//! The binary as it runs.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use http::StatusCode;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::{AUDIENCE, EVENTS, right, shared, token, user};

/// Nothing here takes so long.
pub const LIMIT: Duration = Duration::from_secs(120);

const PROGRAM: &str = env!("CARGO_BIN_EXE_calendar-store");

/// A command without what this process was told.
pub fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).env_remove("RUST_LOG").env_remove("KUBECONFIG");
    command
}

/// A running store.
pub struct Running {
    child: Child,
    log: Option<std::thread::JoinHandle<String>>,
    pub public: String,
    pub admin: String,
}

impl Running {
    pub fn start(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let mut log = String::new();
        let serving = loop {
            let mut line = String::new();
            assert!(lines.read_line(&mut line).unwrap() > 0, "{log}");
            log += &line;
            let line: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{log}"));
            if line["message"] == "serving" {
                break line;
            }
        };
        let address = |field: &str| serving[field].as_str().unwrap().to_owned();
        let (public, admin) = (address("listen"), address("admin"));
        let log = std::thread::spawn(move || {
            lines.read_to_string(&mut log).unwrap();
            log
        });
        Self { child, log: Some(log), public, admin }
    }

    pub async fn readiness(&self) -> (StatusCode, String) {
        let answer = reqwest::get(format!("http://{}/readyz", self.admin)).await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    }

    pub async fn metrics(&self) -> String {
        reqwest::get(format!("http://{}/metrics", self.admin)).await.unwrap().text().await.unwrap()
    }

    pub async fn ready(&self) {
        let ready = testenv::eventually("the store is ready", Duration::from_secs(30), async || {
            (self.readiness().await.0 == StatusCode::OK).then_some(())
        });
        ready.await.unwrap();
    }

    /// The address of the API.
    pub fn address(&self) -> SocketAddr {
        self.public.parse().unwrap()
    }

    /// The path of what is asked about the subscription `team`.
    pub fn path(&self, setting: &Setting, rest: &str) -> String {
        format!("http://{}/v1/namespaces/{}/calendarsubscriptions/team/{rest}", self.public, setting.namespace)
    }

    /// Its process.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// A line of `/proc`'s status, in KiB: `VmHWM` is the most memory that was ever resident, `VmRSS` what is now.
    pub fn memory(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// How many files and sockets are open.
    pub fn files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.process())).unwrap().count()
    }

    /// A value of its metrics.
    pub async fn metric(&self, name: &str) -> u64 {
        let text = self.metrics().await;
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).unwrap();
        value.parse().unwrap()
    }

    /// Whoever holds this has sent so much, and reads nothing yet.
    pub async fn sends(&self, text: impl AsRef<[u8]>) -> TcpStream {
        let mut stream = TcpStream::connect(self.address()).await.unwrap();
        // It may be refused before all of it is sent.
        let _ = stream.write_all(text.as_ref()).await;
        stream
    }

    /// Sends this and gives all that comes until the other side closes.
    pub async fn raw(&self, text: impl AsRef<[u8]>) -> String {
        until_closed(self.sends(text).await).await
    }

    pub fn terminate(&self) {
        let kill = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(kill.success());
    }

    pub async fn end(mut self) -> (ExitStatus, String) {
        let ended = move || {
            let log = self.log.take().unwrap();
            (self.child.wait().unwrap(), log.join().unwrap())
        };
        tokio::task::spawn_blocking(ended).await.unwrap()
    }
}

pub struct Setting {
    pub namespace: String,
    pub folder: TempDir,
    pub url: String,
}

impl Setting {
    pub async fn new() -> Self {
        testenv::install_tls_provider();
        let plane = shared().await;
        let namespace = plane.namespace("binary").await.unwrap().name().to_owned();
        let folder = tempfile::tempdir().unwrap();
        let access = plane.service_account_access(&namespace, "store").await.unwrap();
        access.write_kubeconfig(&folder.path().join("kubeconfig")).unwrap();
        let url = format!("sqlite:{}", folder.path().join("store.db").display());
        Self { namespace, folder, url }
    }

    pub async fn grant(&self) {
        let (client, account) = (shared().await.admin().unwrap(), (self.namespace.as_str(), "store"));
        testenv::grant(&client, testenv::Scope::Cluster, account, &testenv::auth_delegator()).await.unwrap();
    }

    pub async fn grant_reader(&self) {
        let (client, here) = (shared().await.admin().unwrap(), testenv::Scope::Namespace(&self.namespace));
        let rules = [right("get", EVENTS, None), right("create", "calendarsubscriptions/feeds", None)];
        testenv::grant(&client, here, (&self.namespace, "reader"), &rules).await.unwrap();
    }

    /// A store that is ready, with its writer's and a reader's token.
    pub async fn ready(more: &[&str]) -> (Self, Running, String, String) {
        let setting = Self::new().await;
        setting.grant().await;
        setting.grant_reader().await;
        let database = format!("--database={}", setting.url);
        let running = Running::start(setting.serve(&[&[database.as_str()], more].concat()));
        running.ready().await;
        let writer = token(shared().await, &setting.namespace, "writer", &[AUDIENCE]).await;
        let reader = token(shared().await, &setting.namespace, "reader", &[AUDIENCE]).await;
        (setting, running, writer, reader)
    }

    pub fn serve(&self, more: &[&str]) -> Command {
        let mut command = program(&["serve", "--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0"]);
        command.args(more).env("KUBECONFIG", self.folder.path().join("kubeconfig"));
        command.env("CALENDAR_STORE_WRITER", user(&self.namespace, "writer"));
        command
    }
}

/// All that comes until the other side closes, in whatever way.
pub async fn until_closed(mut stream: TcpStream) -> String {
    let mut text = Vec::new();
    let read = async {
        let mut part = vec![0; 64 * 1024];
        while let Ok(length @ 1..) = stream.read(&mut part).await {
            text.extend_from_slice(&part[..length]);
        }
    };
    timeout(LIMIT, read).await.expect("the connection stays open");
    String::from_utf8_lossy(&text).into_owned()
}

/// The status of an answer, 0 if there is none.
pub fn status(answer: &str) -> u16 {
    answer.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok()).unwrap_or_default()
}

impl Drop for Running {
    fn drop(&mut self) {
        // A test that fails leaves none behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
