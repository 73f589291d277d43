//! The calendar store as the chart runs it: read with a right of Kubernetes, gone and back again, copied and restored.

use std::os::unix::fs::chown;
use std::process::Stdio;
use std::time::Duration;

use cronofy_sim::EventDraft;
use jiff::ToSpan as _;
use kube::ResourceExt as _;
use serde_json::{Value, json};
use testenv::{Authority, Issued, Postgres, Tool, eventually};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::main_job::as_harmless_as_the_chart_says;
use crate::stage::{OPERATORS, PATIENCE, RELEASE, Stage, TEAM, chart};

const NAME: &str = "calendars-cronofy-operator";
const STORE: &str = "calendars-cronofy-operator-store";
const CLASS: &str = "by-hand";
/// As the chart names its volume's class, since nobody provides one here.
const ON_A_VOLUME: &str = r#"store.database.persistence.storageClassName="by-hand""#;
const EVENTS: &str = "/v1/namespaces/team/calendarsubscriptions/on-call/events?from=2020-01-01&to=2040-01-01";
const CHANGES: &str = "/v1/namespaces/team/calendarsubscriptions/on-call/changes";

/// A folder of this machine as the volume of a claim in the operator's namespace.
async fn volume(stage: &Stage, claim: &str) {
    let folder = stage.cluster.dir().join("volumes").join(claim);
    std::fs::create_dir_all(&folder).unwrap();
    // What a driver does for the pod's group, and nobody for a folder.
    chown(&folder, Some(65532), Some(65532)).unwrap();
    let volume = json!({
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": { "name": claim },
        "spec": {
            "capacity": { "storage": "20Gi" },
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": CLASS,
            "claimRef": { "namespace": OPERATORS, "name": claim },
            "hostPath": { "path": folder },
        },
    });
    stage.apply(&volume.to_string()).await;
}

/// An example as it is for this release, with these words in place of others.
async fn apply_example(stage: &Stage, example: &str, words: &[(&str, &str)]) {
    let own = [
        ("claimName: cronofy-operator-store", "claimName: calendars-cronofy-operator-store"),
        ("app.kubernetes.io/instance: cronofy-operator", "app.kubernetes.io/instance: calendars"),
        ("  accessModes:", "  storageClassName: by-hand\n  accessModes:"),
    ];
    let filled = own.iter().chain(words).fold(example.to_owned(), |text, (word, here)| text.replace(word, here));
    assert_ne!(filled, example);
    let applied = stage.try_kubectl(&["apply", "--namespace", OPERATORS, "--filename", "-"], &filled).await;
    applied.unwrap();
}

/// Whoever reads the store's API with the token of a service account.
struct Reader {
    client: reqwest::Client,
    base: String,
    token: String,
    /// The way into the pod, where there is one.
    _forwarding: Option<Child>,
}

impl Reader {
    /// Gets a status, and a document if there is one.
    async fn get(&self, path: &str) -> Option<(u16, Value)> {
        let answer = self.client.get(format!("{}{path}", self.base)).bearer_auth(&self.token).send().await.ok()?;
        let status = answer.status().as_u16();
        Some((status, answer.json().await.unwrap_or_default()))
    }

    /// Waits until the one event is called so.
    async fn sees(&self, stage: &Stage, title: &str) {
        let what = format!("{title} is read");
        let seen = eventually(&what, PATIENCE, async || {
            let (status, document) = self.get(EVENTS).await?;
            let items = document["items"].as_array()?;
            (status == 200 && items.len() == 1 && items[0]["summary"] == title).then_some(())
        });
        if let Err(error) = seen.await {
            let describe = stage.kubectl(&["describe", "calsub", "--namespace", TEAM]).await;
            panic!("{error}: {:?}\n{describe}\n{}", self.get(EVENTS).await, stage.what_pods_say().await);
        }
    }

    /// How far changes have been told.
    async fn sequence(&self) -> String {
        let (status, document) = self.get(CHANGES).await.unwrap();
        assert_eq!(status, 200, "{document}");
        document["sequence"].as_str().map_or_else(|| document["sequence"].to_string(), ToOwned::to_owned)
    }
}

fn client() -> reqwest::ClientBuilder {
    reqwest::Client::builder().timeout(Duration::from_secs(10))
}

/// A service account of the team, which may read if it is called so.
async fn token(stage: &Stage, account: &str) -> String {
    let of_team = |arguments: &[&'static str]| [arguments, &["--namespace", TEAM]].concat();
    if stage.try_kubectl(&[&of_team(&["get", "serviceaccount"])[..], &[account]].concat(), "").await.is_err() {
        stage.kubectl(&[&of_team(&["create", "serviceaccount"])[..], &[account]].concat()).await;
    }
    let token = [&of_team(&["create", "token", "--audience", "calendar-store"])[..], &[account]].concat();
    stage.kubectl(&token).await.trim().to_owned()
}

/// As the notes of the installation say.
async fn let_the_reader_read(stage: &Stage) {
    token(stage, "reader").await;
    let role = format!("--clusterrole={NAME}-events-reader");
    let bind = ["create", "rolebinding", "read-events", &role, "--serviceaccount=team:reader", "--namespace", TEAM];
    stage.kubectl(&bind).await;
}

/// By `kubectl port-forward`, into the pod whose store listens nowhere else.
async fn forwarded(stage: &Stage, account: &str) -> Reader {
    let (kubectl, target) = (stage.cluster.tools().path(Tool::Kubectl).unwrap(), format!("deployment/{NAME}"));
    let begun = eventually("a port is forwarded", PATIENCE, async || {
        let mut child = Command::new(&kubectl)
            .env("KUBECONFIG", stage.cluster.kubeconfig_path())
            .args(["port-forward", "--namespace", OPERATORS, &target, ":8081"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // "Forwarding from 127.0.0.1:40000 -> 8081"
        let line = lines.next_line().await.ok()??;
        let address = line.strip_prefix("Forwarding from ")?.split(' ').next()?.to_owned();
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Some((address, child))
    });
    let (address, child) = begun.await.unwrap();
    let token = token(stage, account).await;
    Reader { client: client().build().unwrap(), base: format!("http://{address}"), token, _forwarding: Some(child) }
}

/// One event, and a subscription whose output is in the store. Gives the event.
async fn subscribed(stage: &Stage) -> String {
    stage.add_application().await;
    let account = stage.subscribe_with("on-call", &json!({ "store": { "type": "Remote" } })).await;
    let start = stage.sim.now() + 24.hours();
    let draft = EventDraft::new("Primary: payments", start, start + 1.hours());
    let event = stage.sim.put_event(&account, draft).unwrap();
    stage.all_ready().await;
    // It may have been read without the event, which is announced then.
    let stored = "--for=jsonpath={.status.output.events}=1";
    stage.kubectl(&["wait", "calsub/on-call", stored, "--timeout=120s", "--namespace", TEAM]).await;
    event
}

async fn output_url(stage: &Stage) -> String {
    let get = ["get", "calsub", "on-call", "--namespace", TEAM, "--output", "jsonpath={.status.output.url}"];
    stage.kubectl(&get).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_over_sqlite_keeps_everything_when_its_pod_is_killed_and_is_restored_from_a_copy() {
    let stage = Stage::start().await;
    for claim in [STORE, "calendar-store-copies", "calendar-store-restored"] {
        volume(&stage, claim).await;
    }
    let values = ["store.enabled=true", "replicas=1", ON_A_VOLUME];
    stage.install(&chart(), &values).await;
    let event = subscribed(&stage).await;
    assert_eq!(output_url(&stage).await, "http://127.0.0.1:8081");
    let described = stage.kubectl(&["describe", "calsub", "on-call", "--namespace", TEAM]).await;
    println!("$ kubectl describe calsub on-call\n{described}");
    assert!(described.contains("1 event, kept current by push"), "{described}");
    let no_copy = stage.kubectl(&["get", "configmaps", "--namespace", TEAM, "--output", "name"]).await;
    assert!(!no_copy.contains("on-call"), "nothing of it is in the cluster's own database: {no_copy}");

    let_the_reader_read(&stage).await;
    let reader = forwarded(&stage, "reader").await;
    reader.sees(&stage, "Primary: payments").await;
    let stranger = forwarded(&stage, "stranger").await;
    assert_eq!(stranger.get(EVENTS).await.unwrap().0, 403);
    // The next read that nobody asks for is hours away.
    stage.sim.rename_event(&event, "Primary: search").unwrap();
    reader.sees(&stage, "Primary: search").await;
    let before = reader.sequence().await;
    assert_eq!(as_harmless_as_the_chart_says(&stage, "/calendar-store").len(), 1);
    let tested = stage.helm(&["test", RELEASE, "--timeout", "120s", "--logs"]).await;
    assert!(tested.contains(&format!("http://{NAME}-metrics:9091/readyz answers 200")), "{tested}");

    // Without a warning, while it works.
    let pod = stage.ready_pods(1).await.remove(0).name_any();
    let delete = ["delete", "pod", &pod, "--namespace", OPERATORS, "--grace-period", "0", "--force"];
    stage.kubectl(&delete).await;
    stage.ready_pods(1).await;
    let reader = forwarded(&stage, "reader").await;
    reader.sees(&stage, "Primary: search").await;
    let (status, document) = reader.get(&format!("{CHANGES}?since={before}")).await.unwrap();
    assert_eq!(status, 200, "whoever follows changes goes on: {document}");
    stage.sim.rename_event(&event, "Primary: before the copy").unwrap();
    reader.sees(&stage, "Primary: before the copy").await;

    let copy = copied(&stage).await;
    let at_the_copy = reader.sequence().await;
    stage.sim.rename_event(&event, "Primary: after the copy").unwrap();
    reader.sees(&stage, "Primary: after the copy").await;

    let of_example = "calendar-store-20261129T031700Z.db";
    apply_example(&stage, include_str!("../../examples/store-restore.yaml"), &[(of_example, &copy)]).await;
    completed(&stage, "calendar-store-restore").await;
    let restored = r#"store.database.persistence.existingClaim="calendar-store-restored""#;
    stage.install(&chart(), &[&values[..], &[restored]].concat()).await;
    stage.only_pods_left(1).await;
    let reader = forwarded(&stage, "reader").await;
    reader.sees(&stage, "Primary: after the copy").await;
    let (status, document) = reader.get(&format!("{CHANGES}?since={at_the_copy}")).await.unwrap();
    assert_eq!(status, 410, "what is told from now on is not what was told: {document}");
    stage.all_ready().await;
    println!("the sidecar's pod was killed and its database restored from {copy}: no event lost");

    stage.kubectl(&["delete", "calsub", "on-call", "--namespace", TEAM, "--timeout", "120s"]).await;
    assert_eq!(reader.get(EVENTS).await.unwrap().0, 404, "and erased with its subscription");
}

/// Waits until a Job has done its work.
async fn completed(stage: &Stage, job: &str) {
    let name = format!("job/{job}");
    let wait = ["wait", &name, "--for=condition=Complete", "--timeout=120s", "--namespace", OPERATORS];
    if let Err(error) = stage.try_kubectl(&wait, "").await {
        let described = stage.kubectl(&["describe", "pods", "--namespace", OPERATORS]).await;
        panic!("{error}{described}\n{}", stage.what_pods_say().await);
    }
}

/// Copies the database by the example, and to a file of who asks for one. Gives the name of the copy.
async fn copied(stage: &Stage) -> String {
    apply_example(stage, include_str!("../../examples/store-backup.yaml"), &[]).await;
    let now = ["create", "job", "now", "--from=cronjob/calendar-store-backup", "--namespace", OPERATORS];
    stage.kubectl(&now).await;
    completed(stage, "now").await;
    let said = stage.kubectl(&["logs", "job/now", "--namespace", OPERATORS]).await;
    let copy = said.trim().strip_prefix("/copies/").unwrap_or_else(|| panic!("{said}"));

    let led = Command::new(stage.cluster.tools().path(Tool::Kubectl).unwrap())
        .env("KUBECONFIG", stage.cluster.kubeconfig_path())
        .args(["exec", "--namespace", OPERATORS, &format!("deployment/{NAME}"), "--container", "store", "--"])
        .args(["/calendar-store", "backup", "--database", "sqlite:/var/lib/calendar-store/store.db", "--to", "-"])
        .output()
        .await
        .unwrap();
    assert!(
        led.status.success() && led.stdout.starts_with(b"SQLite format 3\0"),
        "{}",
        String::from_utf8_lossy(&led.stderr)
    );
    let kept = std::fs::metadata(stage.cluster.dir().join("volumes/calendar-store-copies").join(copy)).unwrap();
    assert_eq!(kept.len(), led.stdout.len() as u64, "the same state, copied twice");
    copy.to_owned()
}

/// A certificate for the store's Service, and the authority that signed it.
async fn issue(stage: &Stage) -> String {
    let authority = Authority::generate().unwrap();
    let host = format!("{STORE}.{OPERATORS}.svc");
    let Issued { certificate, key, .. } = authority.issue(&[&host]).unwrap();
    let secret = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "metadata": { "name": "store-tls", "namespace": OPERATORS },
        // As cert-manager fills it.
        "stringData": { "tls.crt": certificate, "tls.key": key, "ca.crt": authority.pem() },
    });
    stage.apply(&secret.to_string()).await;
    authority.pem()
}

/// By the store's Service, where whoever is told its URL reaches it.
async fn through_the_service(stage: &Stage, authority: &str) -> Reader {
    let host = format!("{STORE}.{OPERATORS}.svc");
    let base = format!("https://{host}:8443");
    assert_eq!(output_url(stage).await, base);
    let get = ["get", "service", STORE, "--namespace", OPERATORS, "--output", "jsonpath={.spec.clusterIP}"];
    let address = format!("{}:8443", stage.kubectl(&get).await).parse().unwrap();
    let_the_reader_read(stage).await;
    let client = client()
        .tls_certs_only([reqwest::Certificate::from_pem(authority.as_bytes()).unwrap()])
        .resolve(&host, address)
        // A connection to a pod that is gone would be asked again.
        .pool_max_idle_per_host(0)
        .build()
        .unwrap();
    Reader { client, base, token: token(stage, "reader").await, _forwarding: None }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_of_its_own_is_read_over_tls_and_moves_into_the_operators_pod_with_all_it_has() {
    let stage = Stage::start().await;
    volume(&stage, STORE).await;
    let authority = issue(&stage).await;
    let values = ["store.enabled=true", r#"store.tls.secretName="store-tls""#, ON_A_VOLUME];
    stage.install(&chart(), &[&values[..], &[r#"store.mode="deployment""#]].concat()).await;
    let event = subscribed(&stage).await;
    let reader = through_the_service(&stage, &authority).await;
    reader.sees(&stage, "Primary: payments").await;
    let before = reader.sequence().await;
    assert_eq!(as_harmless_as_the_chart_says(&stage, "/calendar-store").len(), 1);
    let selector = "app.kubernetes.io/name=cronofy-operator-store";
    stage
        .kubectl(&["delete", "pod", "--selector", selector, "--namespace", OPERATORS, "--grace-period", "0", "--force"])
        .await;
    stage.sim.rename_event(&event, "Primary: search").unwrap();
    reader.sees(&stage, "Primary: search").await;
    let tested = stage.helm(&["test", RELEASE, "--timeout", "120s", "--logs"]).await;
    assert!(tested.contains(&format!("http://{STORE}:9091/readyz answers 200")), "{tested}");

    stage.install(&chart(), &[&values[..], &["replicas=1"]].concat()).await;
    stage.only_pods_left(1).await;
    let gone = eventually("the store's own pod is gone", PATIENCE, async || {
        let pods = ["get", "pods", "--selector", selector, "--namespace", OPERATORS, "--output", "name"];
        stage.kubectl(&pods).await.is_empty().then_some(())
    });
    gone.await.unwrap();
    reader.sees(&stage, "Primary: search").await;
    stage.sim.rename_event(&event, "Primary: identity").unwrap();
    reader.sees(&stage, "Primary: identity").await;
    let (status, document) = reader.get(&format!("{CHANGES}?since={before}")).await.unwrap();
    assert_eq!(status, 200, "the same database: {document}");
    assert_eq!(output_url(&stage).await, reader.base);
    stage.all_ready().await;
    println!("the store moved from a pod of its own into the operator's, at the same address: no event lost");
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_over_postgresql_serve_on_when_pods_are_killed_and_when_the_database_was_away() {
    let stage = Stage::start().await;
    let mut postgres = Postgres::start_at(stage.cluster.host().into()).await.unwrap();
    let url = postgres.database().await.unwrap();
    let secret = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": { "name": "calendar-database", "namespace": OPERATORS },
        "stringData": { "url": postgres.network_url(&url).unwrap() },
    });
    stage.apply(&secret.to_string()).await;
    let authority = issue(&stage).await;
    let values = [
        "store.enabled=true",
        r#"store.mode="deployment""#,
        "store.replicas=2",
        r#"store.tls.secretName="store-tls""#,
        r#"store.database.type="postgres""#,
        r#"store.database.postgres.existingSecret="calendar-database""#,
    ];
    stage.install(&chart(), &values).await;
    let event = subscribed(&stage).await;
    let reader = through_the_service(&stage, &authority).await;
    reader.sees(&stage, "Primary: payments").await;
    let before = reader.sequence().await;

    let selector = "app.kubernetes.io/name=cronofy-operator-store";
    let named = ["get", "pods", "--selector", selector, "--namespace", OPERATORS, "--output", "name"];
    for title in ["Primary: search", "Primary: identity"] {
        let pods = stage.kubectl(&named).await;
        let pod = pods.lines().next().unwrap();
        stage.kubectl(&["delete", pod, "--namespace", OPERATORS, "--grace-period", "0", "--force"]).await;
        stage.sim.rename_event(&event, title).unwrap();
        reader.sees(&stage, title).await;
    }

    postgres.kill();
    stage.sim.rename_event(&event, "Primary: while it was away").unwrap();
    let told = eventually("the condition says so", PATIENCE, async || {
        let describe = ["describe", "calsub", "on-call", "--namespace", TEAM];
        stage.kubectl(&describe).await.contains("StoreUnavailable").then_some(())
    });
    told.await.unwrap();
    postgres.start_again().await.unwrap();
    reader.sees(&stage, "Primary: while it was away").await;
    let (status, document) = reader.get(&format!("{CHANGES}?since={before}")).await.unwrap();
    assert_eq!(status, 200, "whoever follows changes goes on: {document}");
    stage.all_ready().await;
    println!("two replicas over PostgreSQL: pods killed, and the database; no event lost");
}
