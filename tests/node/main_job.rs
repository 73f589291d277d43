//! What the README promises: one install, one apply, and `kubectl describe` says Ready.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cronofy_sim::{AccountDraft, EventDraft};
use jiff::ToSpan as _;
use testenv::eventually;

use crate::stage::{CLIENT_ID, CLIENT_SECRET, PATIENCE, RELEASE, Stage};

/// The first `helm install` of the README, as words.
fn command_of_the_readme() -> Vec<String> {
    let readme = include_str!("../../README.md");
    let (_, command) = readme.split_once("\nhelm install ").expect("the README installs the chart");
    let (command, _) = command.split_once("```").unwrap();
    command.replace('\\', " ").split_whitespace().map(ToOwned::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_install_and_one_apply_make_a_live_copy_and_describe_says_so() {
    let stage = Stage::start().await;
    let mut words = command_of_the_readme();
    words[1] = Path::new(env!("CARGO_MANIFEST_DIR")).join(&words[1]).to_str().unwrap().to_owned();
    // There is no ingress controller here: Cronofy is on the host, and reaches the Service itself.
    for (word, here) in [
        ("webhook.baseUrl=https://calendars.example.org", format!("webhook.baseUrl={}", stage.base_url())),
        ("webhook.ingress.enabled=true", "webhook.ingress.enabled=false".to_owned()),
    ] {
        *words.iter_mut().find(|found| *found == word).expect("the README sets it") = here;
    }
    let namespace = words[words.iter().position(|word| word == "--namespace").unwrap() + 1].clone();
    let release = words[0].clone();
    // The namespace is made before, so that it takes no pod that is not `restricted`.
    stage.restricted_namespace(&namespace).await;
    let own = stage.values();
    let mut command = vec!["install"];
    command.extend(words.iter().map(String::as_str));
    for value in &own {
        command.extend(["--set-json", value]);
    }
    command.extend(["--wait", "--timeout", "3m"]);
    let notes = stage.helm(&command).await;
    assert!(notes.contains("It does not begin with https://"), "the notes warn of what works in tests only: {notes}");

    let account = stage.sim.add_account(AccountDraft::default());
    let start = stage.sim.now() + 24.hours();
    let event = stage.sim.put_event(&account, EventDraft::new("Primary: payments", start, start + 1.hours())).unwrap();
    let token = stage.sim.issue_refresh_token(&account, CLIENT_ID);
    let endpoint = format!("  endpoint: {}", stage.sim.api_url());
    for example in [include_str!("../../examples/application.yaml"), include_str!("../../examples/subscription.yaml")] {
        let filled = example
            .replace("  dataCenter: us", &endpoint)
            .replace("your-client-id", CLIENT_ID)
            .replace("your-client-secret", CLIENT_SECRET)
            .replace("the-refresh-token-of-the-account", &token);
        assert_ne!(filled, example);
        stage.apply(&filled).await;
    }
    stage.kubectl(&["wait", "calsub/on-call", "--for=condition=Ready", "--timeout=120s"]).await;
    let describe = stage.kubectl(&["describe", "calsub", "on-call"]).await;
    println!("$ kubectl describe calsub on-call\n{describe}");
    for said in ["1 event, kept current by push", "Type:                  Ready", "on-call-events"] {
        assert!(describe.contains(said), "{said}: {describe}");
    }

    // Notified through the Service: the next read that nobody asks for is hours away.
    stage.sim.rename_event(&event, "Primary: search").unwrap();
    let copied = eventually("the ConfigMap has changed", PATIENCE, async || {
        let events = ["get", "configmap", "on-call-events", "--output", r"jsonpath={.data.events\.json}"];
        stage.kubectl(&events).await.contains("Primary: search").then_some(())
    });
    copied.await.unwrap();

    let operators = as_harmless_as_the_chart_says(&stage, "/cronofy-operator");
    assert_eq!(operators.len(), 2, "both replicas");
    for folder in operators {
        let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap_or_default();
        connected_as_the_network_policy_says(&stage, &(read("net/tcp") + &read("net/tcp6")));
    }
    let tested = stage.helm(&["test", &release, "--namespace", &namespace, "--timeout", "60s", "--logs"]).await;
    assert!(tested.contains("Succeeded") && tested.contains("/readyz answers 200"), "{tested}");
    assert_ne!(RELEASE, release, "the other tests take another name, so that no name is built in");
}

/// What the kernel says of the processes in the pods that run this program: no root, no capability, no way to more, system calls
/// filtered, nothing to write. Gives what it knows of each.
pub fn as_harmless_as_the_chart_says(stage: &Stage, program: &str) -> Vec<PathBuf> {
    let cluster = stage.cluster.dir().file_name().unwrap().to_str().unwrap();
    let mut seen = Vec::new();
    for folder in std::fs::read_dir("/proc").unwrap().filter_map(|entry| Some(entry.ok()?.path())) {
        let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap_or_default();
        // In a pod, it is the first process of its namespace.
        let status = read("status");
        let first = status.lines().any(|line| line.starts_with("NSpid:") && line.ends_with("\t1"));
        let ours = first && read("cgroup").contains(cluster);
        if !ours || read("cmdline").split('\0').next() != Some(program) {
            continue;
        }
        for line in ["Uid:\t65532\t65532\t65532\t65532", "NoNewPrivs:\t1", "Seccomp:\t2"] {
            assert!(status.lines().any(|found| found == line), "{line}: {status}");
        }
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            assert!(status.contains(&format!("{set}:\t0000000000000000")), "{set}: {status}");
        }
        let mounts = read("mountinfo");
        let root = mounts.lines().find(|line| line.split(' ').nth(4) == Some("/")).unwrap();
        assert!(root.split(' ').nth(5).unwrap().split(',').any(|option| option == "ro"), "{root}");
        seen.push(folder);
    }
    seen
}

/// The pod listens at the ports of webhook and metrics alone, and has called the API server and Cronofy alone. `connections` is the
/// kernel's table of them.
fn connected_as_the_network_policy_says(stage: &Stage, connections: &str) {
    const LISTENS: &str = "0A";
    let port = |address: &str| u16::from_str_radix(address.rsplit(':').next().unwrap(), 16).ok();
    let rows = connections.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    // A header has no port.
    let rows: Vec<_> = rows.filter_map(|row| Some((port(row[1])?, port(row[2])?, row[3].to_owned()))).collect();
    let listening: BTreeSet<_> = rows.iter().filter(|row| row.2 == LISTENS).map(|row| row.0).collect();
    assert_eq!(listening, BTreeSet::from([8080, 9090]), "{connections}");
    let cronofy = stage.sim.api_url().trim_end_matches('/').rsplit(':').next().unwrap().parse().unwrap();
    let called = rows.iter().filter(|row| row.2 != LISTENS && !listening.contains(&row.0)).map(|row| row.1);
    let called: BTreeSet<u16> = called.collect();
    assert!(called.contains(&443) && called.is_subset(&BTreeSet::from([443, cronofy])), "{called:?}: {connections}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_leads_to_the_webhook_but_by_its_path() {
    let stage = Stage::start().await;
    stage.install(&crate::stage::chart(), &[]).await;
    let client = reqwest::Client::builder().timeout(Duration::from_secs(10)).build().unwrap();
    let base = stage.base_url();
    for (path, status) in [("/hook/unknown", 404), ("/", 404), ("/metrics", 404), ("/readyz", 404)] {
        let answer = client.post(format!("{base}{path}")).body("{}").send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{path}");
    }
}
