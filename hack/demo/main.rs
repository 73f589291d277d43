//! `make demo`: the operator's main job on a real API server, with a simulated Cronofy. It says what it does, shows what a
//! person would look at, and cleans up all it started, however it ends.

use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use calendar_reader::{Kind, Reader};
use clap::Parser;
use cronofy_sim::{AccountDraft, Options, Simulator};
use jiff::{SignedDuration, Timestamp};
use testenv::{Access, ControlPlane, Scope};
use tokio::signal::unix::{Signal, SignalKind, signal};

use self::moved::{Moved, choose, time};

mod moved;

/// Runs the operator's main job once, on a control plane and a simulated Cronofy of its own.
#[derive(Parser)]
struct Arguments {
    /// Exit by itself when all is shown.
    #[arg(long)]
    once: bool,
    /// Take this iCalendar file instead of the one that comes with the project.
    #[arg(long, value_name = "FILE")]
    ics: Option<PathBuf>,
}

const NAMESPACE: &str = "demo";
const CLIENT_ID: &str = "your-client-id";
const CLIENT_SECRET: &str = "your-client-secret";
const PATIENCE: Duration = Duration::from_mins(1);
const CALENDAR: &str = include_str!("calendar.ics");

#[tokio::main]
async fn main() -> ExitCode {
    match demo(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\ndemo failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn demo(arguments: Arguments) -> Result<()> {
    let mut ending = Ending::listen()?; // first, so that nothing is left behind from the very start
    testenv::install_tls_provider();
    let stage = tokio::select! {
        shown = show(&arguments) => shown?,
        () = ending.asked() => bail!("interrupted; all that was started is stopped"),
    };
    if arguments.once {
        ensure!(stage.operator.stop().await?, "the operator did not end cleanly");
        println!("\nDone.");
        return Ok(());
    }
    stage.go_on()?;
    ending.asked().await;
    println!("\nCleaning up ...");
    stage.operator.stop().await?;
    Ok(())
}

/// All that runs. Dropped, all of it ends.
struct Stage {
    operator: Operator,
    sim: Simulator,
    plane: ControlPlane,
}

/// Sets the stage, and shows on it what the operator does.
async fn show(arguments: &Arguments) -> Result<Stage> {
    let given = arguments.ics.as_deref();
    let ics = match given {
        Some(path) => {
            let remedy = || format!("{} cannot be read: name an iCalendar file by ICS or --ics", path.display());
            std::fs::read_to_string(path).with_context(remedy)?
        }
        None => CALENDAR.to_owned(),
    };

    let step = Step::begin("etcd and kube-apiserver");
    let plane = ControlPlane::start(testenv::Options::default()).await?;
    let shell = Shell::new(&plane)?;
    step.done(&format!("at {}", plane.admin_access().url()));

    let step = Step::begin("Cronofy, simulated");
    let sim = Simulator::start(Options { control: true, ..Options::default() }).await?;
    sim.add_application(CLIENT_ID, &[CLIENT_SECRET]);
    let account = sim.add_account(AccountDraft::default());
    let calendar = sim.add_calendar(&account, "Demo");
    let file = || given.unwrap_or(Path::new("hack/demo/calendar.ics")).display().to_string();
    let count = sim.import_ics(&calendar, &ics).with_context(file)?;
    let token = sim.issue_refresh_token(&account, CLIENT_ID);
    step.done(&format!("at {}, with {count} events", sim.api_url()));

    let step = Step::begin("custom resource definitions, rights");
    plane.apply_yaml(&cronofy_operator::crds::yaml()?).await?;
    shell.apply(&format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {NAMESPACE}}}")).await?;
    let operator_access = operator_access(&plane).await?;
    step.done("");

    let step = Step::begin("operator");
    let mut operator = Operator::start(&plane, &operator_access)?;
    operator.ready().await?;
    step.done(&format!("webhook at http://{}, metrics at http://{}/metrics", operator.webhook, operator.admin));

    let step = Step::begin("examples/application.yaml, examples/subscription.yaml");
    shell.apply(&example(include_str!("../../examples/application.yaml"), sim.api_url().as_ref(), &token)?).await?;
    shell.apply(&example(include_str!("../../examples/subscription.yaml"), sim.api_url().as_ref(), &token)?).await?;
    wait_until_ready(&shell).await?;
    step.done("Ready");

    shell.show(&["get", "calsub"]).await?;
    shell.show(&["describe", "calsub", "on-call"]).await?;
    show_events(&shell, sim.now()).await?;
    move_one_event(&shell, &sim, &account, given.is_none()).await?;
    Ok(Stage { operator, sim, plane })
}

/// Waits until the subscription is Ready. If it does not become so, its condition says why.
async fn wait_until_ready(shell: &Shell<'_>) -> Result<()> {
    let wait = async |condition| shell.kubectl(&["wait", "calsub/on-call", condition, "--timeout=60s"]).await;
    let ready = tokio::select! {
        ready = wait("--for=condition=Ready") => ready.is_ok(),
        Ok(_) = wait("--for=condition=Stalled") => false,
    };
    if !ready {
        let message = r#"jsonpath={.status.conditions[?(@.type=="Ready")].message}"#;
        bail!("the subscription is not Ready: {}", shell.kubectl(&["get", "calsub", "on-call", "-o", message]).await?);
    }
    Ok(())
}

/// Prints the events in the `ConfigMap`: those that end after now, as many as fit on a screen.
async fn show_events(shell: &Shell<'_>, now: Timestamp) -> Result<()> {
    const SHOWN: usize = 10;
    println!("\nThe events in the ConfigMap from now on (docs/reading-events.md says how to read them all):");
    let text = shell.events().await?;
    let ahead: Vec<&str> = text.lines().filter(|line| ends_after(line, now)).collect();
    for line in ahead.iter().take(SHOWN) {
        println!("{line}");
    }
    if ahead.is_empty() {
        println!("(none)");
    }
    println!("... {} in all", text.lines().filter(|line| line.starts_with('{')).count());
    Ok(())
}

/// Whether a line of the `ConfigMap` is an event that ends after `now`.
fn ends_after(line: &str, now: Timestamp) -> bool {
    let event: Option<serde_json::Value> = serde_json::from_str(line.trim_end_matches(',')).ok();
    event.is_some_and(|event| event.get("end").and_then(serde_json::Value::as_str) > Some(now.to_string().as_str()))
}

/// Moves an event by an hour in the calendar, and waits until the `ConfigMap` shows it.
async fn move_one_event(shell: &Shell<'_>, sim: &Simulator, account: &str, bundled: bool) -> Result<()> {
    let events: Vec<serde_json::Value> = serde_json::from_str(&shell.events().await?)?;
    let event = match choose(&events, sim.now(), bundled)? {
        Moved::Ahead(event) => event,
        Moved::Past(event) => {
            println!("\nNo event that lies ahead in your calendar has a time of day: one that has begun is moved.");
            event
        }
        Moved::Nothing => {
            println!(
                "\nYour calendar has no event with a time of day within the days that are copied: nothing to move."
            );
            return Ok(());
        }
    };
    let uid = event["id"].as_str().context("an event has an id")?;
    let (Some(start), Some(end)) = (time(&event["start"]), time(&event["end"])) else { bail!("an event has times") };
    let hour = SignedDuration::from_hours(1);
    let title = event["summary"].as_str().unwrap_or("an event");
    println!("\nMoving \"{title}\" from {start} to {} in the calendar of account {account} ...", start + hour);
    let begun = Instant::now();
    sim.move_event(uid, start + hour, end + hour)?;
    loop {
        let events: Vec<serde_json::Value> = serde_json::from_str(&shell.events().await?)?;
        let moved = |event: &serde_json::Value| event["id"] == uid && time(&event["start"]) == Some(start + hour);
        if events.iter().any(moved) {
            break;
        }
        ensure!(begun.elapsed() < PATIENCE, "the ConfigMap did not follow");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    println!("The ConfigMap followed after {} ms:", begun.elapsed().as_millis());
    for line in shell.events().await?.lines().filter(|line| line.contains(uid)) {
        println!("  {line}");
    }
    Ok(())
}

/// An example as it stands in examples/, with the simulator's address and credentials in place of yours.
fn example(yaml: &str, api: &str, token: &str) -> Result<String> {
    let filled = yaml
        .replace("  dataCenter: us", &format!("  endpoint: {api}"))
        .replace("the-refresh-token-of-the-account", token);
    ensure!(filled != yaml, "the example has the places to fill in");
    Ok(filled)
}

/// A `ServiceAccount` with the chart's rights.
async fn operator_access(plane: &ControlPlane) -> Result<Access> {
    #[derive(serde::Deserialize)]
    struct Rights {
        objects: Vec<k8s_openapi::api::rbac::v1::PolicyRule>,
        namespaces: Vec<k8s_openapi::api::rbac::v1::PolicyRule>,
        lease: Vec<k8s_openapi::api::rbac::v1::PolicyRule>,
    }
    let rights: Rights = serde_saphyr::from_str(include_str!("../../charts/cronofy-operator/files/rbac.yaml"))?;
    let (client, account) = (plane.admin()?, (NAMESPACE, "cronofy-operator"));
    let access = plane.service_account_access(account.0, account.1).await?;
    for (scope, rules) in [
        (Scope::Cluster, &rights.objects),
        (Scope::Cluster, &rights.namespaces),
        (Scope::Namespace(NAMESPACE), &rights.lease),
    ] {
        testenv::grant(&client, scope, account, rules).await?;
    }
    Ok(access)
}

impl Stage {
    /// Says how to go on.
    fn go_on(&self) -> Result<()> {
        let kubeconfig = self.plane.dir().join("demo.kubeconfig");
        self.plane.admin_access().with_namespace(NAMESPACE).write_kubeconfig(&kubeconfig)?;
        let kubectl = self.plane.kubectl_path()?;
        println!(
            "\nAll of it stays up until Ctrl-C. In another terminal:\n
  export KUBECONFIG={}
  {kubectl} get configmap on-call-events -o yaml --watch
  {kubectl} annotate --overwrite calsub on-call cronofy-operator.dev/requestedAt=\"$(date)\"
  curl {}    # what the simulator can do: move events, lose notifications, fail

The simulated Cronofy API is at {}. The operator's log is {}.",
            kubeconfig.display(),
            self.sim.control_url(),
            self.sim.api_url(),
            self.operator.log.display(),
            kubectl = kubectl.display(),
        );
        Ok(())
    }
}

/// The wish to end: Ctrl-C, or SIGTERM.
struct Ending {
    interrupt: Signal,
    terminate: Signal,
}

impl Ending {
    fn listen() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// kubectl, as a person would use it.
struct Shell<'a> {
    plane: &'a ControlPlane,
    access: Access,
    reader: Reader,
}

impl<'a> Shell<'a> {
    fn new(plane: &'a ControlPlane) -> Result<Self> {
        let reader = Reader::new(plane.admin()?, NAMESPACE, "on-call-events", Kind::ConfigMap);
        Ok(Self { plane, access: plane.admin_access().with_namespace(NAMESPACE), reader })
    }

    async fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        self.run(arguments, "").await
    }

    async fn apply(&self, yaml: &str) -> Result<()> {
        self.run(&["apply", "--server-side", "-f", "-"], yaml).await.map(drop)
    }

    async fn run(&self, arguments: &[&str], input: &str) -> Result<String> {
        let output = self.plane.kubectl_as(&self.access, arguments.iter().copied(), input).await?;
        ensure!(output.status.success(), "kubectl {}: {}", arguments.join(" "), output.stderr.trim());
        Ok(output.stdout)
    }

    async fn show(&self, arguments: &[&str]) -> Result<()> {
        println!("\n$ kubectl {}", arguments.join(" "));
        println!("{}", self.kubectl(arguments).await?.trim_end());
        Ok(())
    }

    /// The events as stored. Not by kubectl, which takes longer to start than the operator to act.
    async fn events(&self) -> Result<String> {
        let calendar = self.reader.read().await?;
        let lines: serde_json::Result<Vec<String>> = calendar.events.iter().map(serde_json::to_string).collect();
        Ok(format!("[\n{}\n]\n", lines?.join(",\n")))
    }
}

/// Becomes the operator, after leaving a guard behind: standard input is a pipe from the demo, and when it ends without a
/// line the demo is gone, and the guard ends the operator.
const GUARD: &str = r#"
exec 4<&0 </dev/null
(read -r released <&4 || kill -KILL "$$") &
exec "$@" 4<&-
"#;

/// The operator's binary as a child, which ends with the demo, even if that is killed.
struct Operator {
    child: Child,
    guard: io::PipeWriter,
    webhook: SocketAddr,
    admin: SocketAddr,
    log: PathBuf,
}

impl Operator {
    fn start(plane: &ControlPlane, access: &Access) -> Result<Self> {
        let kubeconfig = plane.dir().join("operator.kubeconfig");
        access.write_kubeconfig(&kubeconfig)?;
        let (webhook, admin) = (free_address()?, free_address()?);
        let log = plane.dir().join("operator.log");
        let (read_end, guard) = io::pipe()?;
        let child = Command::new("sh")
            .args(["-c", GUARD, "operator"])
            .arg(binary()?)
            .args(["run", "--allow-http-callback", "--allow-custom-endpoints", "--log-format", "text"])
            .arg("--webhook-base-url")
            .arg(format!("http://{webhook}"))
            .args(["--webhook-listen", &webhook.to_string(), "--admin-listen", &admin.to_string()])
            .args(["--lease-namespace", NAMESPACE])
            .env("KUBECONFIG", kubeconfig)
            .stdin(read_end)
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log)?)
            .process_group(0) // Ctrl-C is for the demo, which then stops the operator
            .spawn()
            .context("the operator's binary")?;
        Ok(Self { child, guard, webhook, admin, log })
    }

    async fn ready(&mut self) -> Result<()> {
        let (begun, url) = (Instant::now(), format!("http://{}/readyz", self.admin));
        while !reqwest::get(&url).await.is_ok_and(|answer| answer.status().is_success()) {
            ensure!(
                begun.elapsed() < PATIENCE && self.child.try_wait()?.is_none(),
                "the operator did not become ready: {}",
                std::fs::read_to_string(&self.log).unwrap_or_default()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// Asks it to end, as Kubernetes does. Gives whether it ended cleanly.
    async fn stop(mut self) -> Result<bool> {
        Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status()?;
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status.success());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(false)
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        // Errors mean that it has ended already. The guard is released only when the pid is of no use to it any more.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = self.guard.write_all(b"released\n");
    }
}

/// The binary stands beside the folder that this example was built into.
fn binary() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let path = own.parent().and_then(Path::parent).context("a build folder")?.join("cronofy-operator");
    ensure!(path.is_file(), "{} is missing: run `make demo`, which builds it", path.display());
    Ok(path)
}

fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?)
}

/// A line that says what is done, and how long it took.
struct Step(Instant);

impl Step {
    fn begin(what: &str) -> Self {
        print!("starting {what} ... ");
        let _ = io::stdout().flush();
        Self(Instant::now())
    }

    fn done(self, more: &str) {
        println!("done in {:.1} s {more}", self.0.elapsed().as_secs_f64());
    }
}
