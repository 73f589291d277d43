//! The calendar store as a child process, so that it can be killed as pods are.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use k8s_openapi::api::rbac::v1::PolicyRule;
use serde_json::Value;
use testenv::{Scope, eventually};

use super::operator::{Operator, OperatorOptions};
use super::switch::{Switch, switched};
use super::world::World;

/// A database that was just killed takes its time.
const LONG: Duration = Duration::from_mins(3);
/// What tokens for it are requested for.
pub const AUDIENCE: &str = "calendar-store";

/// How a calendar store is started.
pub struct CalendarStoreOptions {
    database: String,
    kubeconfig: PathBuf,
    writer: String,
    /// The file with the writer's token.
    pub token: PathBuf,
}

/// A running calendar store.
pub struct CalendarStore {
    child: Child,
    pub address: SocketAddr,
    log: Arc<Mutex<Vec<String>>>,
}

impl CalendarStoreOptions {
    /// One for this world's operator.
    pub async fn new(world: &World, database: &str) -> Self {
        let access = world.plane.service_account_access(world.ns(), "store").await.unwrap();
        let account = (world.ns(), "store");
        let token = world.plane.service_account_token(world.ns(), "operator", &[AUDIENCE]).await.unwrap();
        let kubeconfig = world.write_kubeconfig(&access);
        let file = kubeconfig.with_extension("token");
        std::fs::write(&file, token).unwrap();
        testenv::grant(&world.client, Scope::Cluster, account, &testenv::auth_delegator()).await.unwrap();
        Self {
            database: database.to_owned(),
            kubeconfig,
            writer: format!("system:serviceaccount:{}:operator", world.ns()),
            token: file,
        }
    }

    /// Copies its database, which is one of SQLite, while it is in use.
    pub async fn back_up(&self, to: &Path) {
        let mut backup = tokio::process::Command::new(program());
        backup.args(["backup", "--database", &self.database, "--to"]).arg(to);
        let done = backup.output().await.unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
}

/// A token of a `ServiceAccount` that may read this subscription of this world from the store, and no other.
pub async fn reader_token(world: &World, subscription: &str) -> String {
    let right = PolicyRule {
        resource_names: Some(vec![subscription.to_owned()]),
        ..testenv::rule("cronofy-operator.dev", "calendarsubscriptions/events", "get")
    };
    let token = world.plane.service_account_token(world.ns(), "reader", &[AUDIENCE]).await.unwrap();
    let here = Scope::Namespace(world.ns());
    testenv::grant(&world.client, here, (world.ns(), "reader"), &[right]).await.unwrap();
    token
}

impl CalendarStore {
    /// Starts one and waits until it serves.
    pub async fn start(options: &CalendarStoreOptions) -> Self {
        let CalendarStoreOptions { database, kubeconfig, writer, token: _ } = options;
        let mut child = Command::new(program())
            .args(["serve", "--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0", "--database", database])
            .args(["--writer", writer, "--audience", AUDIENCE])
            .env("KUBECONFIG", kubeconfig)
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::<Mutex<Vec<String>>>::default();
        let (lines, written) = (BufReader::new(child.stderr.take().unwrap()), log.clone());
        std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                written.lock().unwrap().push(line);
            }
        });
        let serving = eventually("the calendar store serves", LONG, || async {
            let log = log.lock().unwrap();
            let lines = log.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            lines.into_iter().find(|line| line["message"] == "serving")?["listen"].as_str()?.parse().ok()
        });
        match serving.await {
            Ok(address) => Self { child, address, log },
            Err(error) => {
                let _ = child.kill();
                panic!("{error}; its log:\n{}", log.lock().unwrap().join("\n"))
            }
        }
    }

    /// SIGKILL: it gets to do nothing.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for CalendarStore {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("log of the calendar store at {}:\n{}", self.address, self.log.lock().unwrap().join("\n"));
        }
    }
}

/// An operator and the store that is its own, each behind an address that stays.
pub struct Installed {
    operator_options: OperatorOptions,
    operator: Option<Operator>,
    webhook_switch: Switch,
    pub store_options: CalendarStoreOptions,
    store: Option<CalendarStore>,
    store_switch: Switch,
}

impl Installed {
    /// Both, over this database.
    pub async fn start(world: &World, database: &str) -> Self {
        let store_options = CalendarStoreOptions::new(world, database).await;
        let (webhook_switch, mut operator_options) = switched(world).await;
        let store_switch = Switch::start().await;
        let url = format!("http://{}", store_switch.address());
        let token = store_options.token.to_str().unwrap();
        // A lease would keep the next one waiting; that two of them do no harm is another test.
        let arguments = ["--store-url", &url, "--store-token", token, "--leader-election=false"];
        operator_options.arguments = arguments.map(ToOwned::to_owned).to_vec();
        let (operator, store) = (None, None);
        let mut installed = Self { operator_options, operator, webhook_switch, store_options, store, store_switch };
        installed.start_store().await;
        installed.start_operator().await;
        installed
    }

    /// Where readers reach a subscription of this world.
    pub fn calendar(&self, world: &World, subscription: &str) -> String {
        let (address, namespace) = (self.store_switch.address(), world.ns());
        format!("http://{address}/v1/namespaces/{namespace}/calendarsubscriptions/{subscription}")
    }

    pub fn kill_operator(&mut self) {
        self.operator.take().unwrap().kill();
    }

    pub fn kill_store(&mut self) {
        self.store.take().unwrap().kill();
    }

    pub async fn start_operator(&mut self) {
        let operator = Operator::start(&self.operator_options).await;
        self.webhook_switch.to(operator.webhook);
        self.operator = Some(operator);
    }

    pub async fn start_store(&mut self) {
        let store = CalendarStore::start(&self.store_options).await;
        self.store_switch.to(store.address);
        self.store = Some(store);
    }
}

/// It is of another package, so it lies where the whole workspace is built to.
fn program() -> PathBuf {
    let program = Path::new(env!("CARGO_BIN_EXE_cronofy-operator")).with_file_name("calendar-store");
    assert!(program.is_file(), "{} is not there: build it by cargo test --workspace --no-run", program.display());
    program
}
