//! A cluster with the operator's image on two nodes, and a simulated Cronofy on the host.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cronofy_sim::{AccountDraft, Options, Simulator};
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};
use testenv::{Cluster, Tool, eventually};

pub const RELEASE: &str = "calendars";
/// Where the operator is installed.
pub const OPERATORS: &str = "operators";
/// Where calendars are subscribed to.
pub const TEAM: &str = "team";
pub const PATIENCE: Duration = Duration::from_mins(3);

pub const CLIENT_ID: &str = "client-1";
pub const CLIENT_SECRET: &str = "secret-of-client-1";
/// Number of the webhook's Service address.
const WEBHOOK: u8 = 50;

pub struct Stage {
    pub cluster: Cluster,
    pub sim: Simulator,
}

pub fn chart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/cronofy-operator")
}

impl Stage {
    pub async fn start() -> Self {
        Self::trusting(String::new()).await
    }

    /// With a Cronofy that trusts further certificates.
    pub async fn trusting(trusted_certificates: String) -> Self {
        let cluster = Cluster::start(2).await.unwrap();
        let image = format!("target/image/cronofy-operator-{}.tar", env!("CARGO_PKG_VERSION"));
        let image = Path::new(env!("CARGO_MANIFEST_DIR")).join(image);
        assert!(image.exists(), "{} is missing: `make e2e` builds it first", image.display());
        cluster.load_images(&image).await.unwrap();
        let api_listen = Some(SocketAddr::from((cluster.host(), 0)));
        let sim = Simulator::start(Options { api_listen, trusted_certificates, ..Options::default() }).await.unwrap();
        sim.add_application(CLIENT_ID, &[CLIENT_SECRET]);
        let stage = Self { cluster, sim };
        stage.restricted_namespace(OPERATORS).await;
        stage.restricted_namespace(TEAM).await;
        stage
    }

    /// A namespace that takes only pods of the `restricted` standard.
    pub async fn restricted_namespace(&self, name: &str) {
        let metadata = json!({ "name": name, "labels": { "pod-security.kubernetes.io/enforce": "restricted" } });
        self.apply(&json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": metadata }).to_string()).await;
    }

    /// Where the webhook is reached from the host.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.webhook_address())
    }

    pub fn webhook_address(&self) -> String {
        self.cluster.service_address(WEBHOOK).to_string()
    }

    /// Runs kubectl. Gives what it said and whether it succeeded.
    pub async fn try_kubectl(&self, arguments: &[&str], input: &str) -> Result<String, String> {
        let output = self.cluster.kubectl(arguments, input).await.unwrap();
        if output.status.success() { Ok(output.stdout) } else { Err(output.stderr) }
    }

    pub async fn kubectl(&self, arguments: &[&str]) -> String {
        self.try_kubectl(arguments, "").await.unwrap_or_else(|error| panic!("kubectl {arguments:?}: {error}"))
    }

    pub async fn apply(&self, yaml: &str) {
        let applied = self.try_kubectl(&["apply", "--server-side", "--filename", "-"], yaml).await;
        applied.unwrap_or_else(|error| panic!("{error}: {yaml}"));
    }

    /// Runs helm. Gives what it said and whether it succeeded.
    pub async fn try_helm(&self, arguments: &[&str]) -> Result<String, String> {
        let home = tempfile::tempdir().unwrap();
        let mut command = tokio::process::Command::new(self.cluster.tools().path(Tool::Helm).unwrap());
        for variable in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
            command.env(variable, home.path());
        }
        command.env("KUBECONFIG", self.cluster.kubeconfig_path()).args(["--namespace", OPERATORS]).args(arguments);
        let output = command.output().await.unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() {
            Ok(text(&output.stdout))
        } else {
            Err(text(&output.stderr) + &text(&output.stdout))
        }
    }

    pub async fn helm(&self, arguments: &[&str]) -> String {
        match self.try_helm(arguments).await {
            Ok(said) => said,
            Err(said) => panic!("helm {arguments:?}: {said}\n{}", self.what_pods_say().await),
        }
    }

    /// Installs or upgrades the release with a chart and waits until it is ready, as helm sees it.
    pub async fn install(&self, chart: &Path, values: &[&str]) {
        let own = self.values();
        let mut arguments = vec!["upgrade", "--install", RELEASE, chart.to_str().unwrap(), "--wait", "--timeout", "3m"];
        for value in own.iter().map(String::as_str).chain(values.iter().copied()) {
            arguments.extend(["--set-json", value]);
        }
        self.helm(&arguments).await;
    }

    /// What differs here from an installation for others: no certificate, Cronofy on this host, and a replica on each node.
    pub fn values(&self) -> Vec<String> {
        let address = self.cluster.service_address(WEBHOOK);
        let spread = json!([{
            "maxSkew": 1,
            "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": { "matchLabels": { "app.kubernetes.io/instance": RELEASE } },
            "matchLabelKeys": ["pod-template-hash"],
        }]);
        vec![
            format!("webhook.baseUrl={}", json!(self.base_url())),
            "webhook.allowHttp=true".to_owned(),
            format!("webhook.service.extraSpec={}", json!({ "clusterIP": address })),
            "allowCustomEndpoints=true".to_owned(),
            r#"image.pullPolicy="Never""#.to_owned(),
            format!("topologySpreadConstraints={spread}"),
        ]
    }

    /// The application, with its credentials.
    pub async fn add_application(&self) {
        self.secret("application", &json!({ "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET })).await;
        let spec = json!({ "endpoint": self.sim.api_url(), "credentialsSecretRef": { "name": "application" } });
        self.object("CronofyApplication", "app", &spec).await;
    }

    /// A new account, and a subscription to it. Gives the account.
    pub async fn subscribe(&self, name: &str) -> String {
        self.subscribe_with(name, &json!({})).await
    }

    /// The same with these fields of its spec besides.
    pub async fn subscribe_with(&self, name: &str, more: &Value) -> String {
        let account = self.sim.add_account(AccountDraft::default());
        let token = self.sim.issue_refresh_token(&account, CLIENT_ID);
        self.secret(name, &json!({ "refresh_token": token })).await;
        let mut spec = json!({ "applicationRef": { "name": "app" }, "account": { "secretRef": { "name": name } } });
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.object("CalendarSubscription", name, &spec).await;
        account
    }

    /// Waits until all subscriptions are Ready.
    pub async fn all_ready(&self) {
        let wait = ["wait", "calsub", "--all", "--for=condition=Ready", "--timeout=120s", "--namespace", TEAM];
        if let Err(error) = self.try_kubectl(&wait, "").await {
            let describe = self.kubectl(&["describe", "calsub", "--namespace", TEAM]).await;
            panic!("{error}{describe}\n{}", self.what_pods_say().await);
        }
    }

    async fn secret(&self, name: &str, data: &Value) {
        let metadata = json!({ "name": name, "namespace": TEAM });
        let secret = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data });
        self.apply(&secret.to_string()).await;
    }

    async fn object(&self, kind: &str, name: &str, spec: &Value) {
        let metadata = json!({ "name": name, "namespace": TEAM });
        let version = "cronofy-operator.dev/v1alpha1";
        self.apply(&json!({ "apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec }).to_string())
            .await;
    }

    /// The operator's pods, with those that are draining.
    async fn all_pods(&self) -> Vec<Pod> {
        let pods: Api<Pod> = Api::namespaced(self.cluster.admin().unwrap(), OPERATORS);
        let ours = ListParams::default().labels("app.kubernetes.io/name=cronofy-operator");
        pods.list(&ours).await.unwrap().items
    }

    /// The operator's pods that are not being deleted.
    pub async fn pods(&self) -> Vec<Pod> {
        let pods = self.all_pods().await.into_iter();
        pods.filter(|pod| pod.metadata.deletion_timestamp.is_none()).collect()
    }

    /// Waits until the pods that were replaced have drained and are gone.
    pub async fn only_pods_left(&self, count: usize) {
        let gone = eventually("the pods that were replaced are gone", PATIENCE, async || {
            (self.all_pods().await.len() == count).then_some(())
        });
        gone.await.unwrap();
    }

    /// Waits until so many pods are Ready.
    pub async fn ready_pods(&self, count: usize) -> Vec<Pod> {
        self.ready_pods_beside(count, "").await
    }

    /// Waits until so many pods are Ready on other nodes than this one.
    pub async fn ready_pods_beside(&self, count: usize, node: &str) -> Vec<Pod> {
        let what = format!("{count} pods are Ready");
        let pods = eventually(&what, PATIENCE, async || {
            let pods = self.pods().await.into_iter();
            let ready: Vec<_> = pods.filter(|pod| is_ready(pod) && node_of(pod) != node).collect();
            (ready.len() == count).then_some(ready)
        });
        match pods.await {
            Ok(pods) => pods,
            Err(error) => panic!("{error}\n{}", self.what_pods_say().await),
        }
    }

    /// The pod that holds the lease, once one of those that run does.
    pub async fn leader(&self) -> Pod {
        let pod = eventually("a pod leads", PATIENCE, async || {
            let lease = ["get", "lease", "cronofy-operator", "--namespace", OPERATORS, "--output"];
            let holder =
                self.try_kubectl(&[&lease[..], &["jsonpath={.spec.holderIdentity}"]].concat(), "").await.ok()?;
            self.pods().await.into_iter().find(|pod| holder.starts_with(&pod.name_any()))
        });
        pod.await.unwrap()
    }

    /// For a failed test.
    pub async fn what_pods_say(&self) -> String {
        let pods = self.kubectl(&["get", "pods", "--all-namespaces", "--output", "wide"]).await;
        let events = self.kubectl(&["get", "events", "--namespace", OPERATORS]).await;
        let selector = "app.kubernetes.io/instance=calendars";
        let logs = ["logs", "--namespace", OPERATORS, "--selector", selector, "--tail", "20", "--prefix"];
        let logs = self.try_kubectl(&logs, "").await.unwrap_or_else(|error| error);
        format!("{pods}\n{events}\n{logs}")
    }
}

pub fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.is_some_and(|all| all.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True"))
}

pub fn node_of(pod: &Pod) -> String {
    pod.spec.as_ref().unwrap().node_name.clone().unwrap()
}
