//! What a person sees through kubectl.

use std::fs;
use std::path::Path;
use std::time::Duration;

use cronofy_operator::crds;
use http::Request;
use serde_json::{Value, json};
use testenv::{ControlPlane, eventually};

use crate::server::{cluster, create};
use crate::{application, status, subscription};

const LIMIT: Duration = Duration::from_secs(30);

/// What kubectl prints; it must succeed and warn of nothing.
async fn kubectl(control_plane: &ControlPlane, arguments: &[&str], input: &str) -> String {
    let output = control_plane.kubectl_as(&control_plane.admin_access(), arguments, input).await.unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "kubectl {arguments:?}: {}", output.stderr);
    output.stdout
}

/// The cells of a table: kubectl sets at least three blanks between them.
fn cells(line: &str) -> Vec<&str> {
    line.split("   ").map(str::trim).filter(|cell| !cell.is_empty()).collect()
}

#[tokio::test]
async fn get_shows_at_a_glance_what_is_the_matter() {
    let (control_plane, namespace, client) = cluster().await;
    create(&client, namespace.name(), &application::complete()).await;
    create(&client, namespace.name(), &subscription::complete()).await;
    let path = format!(
        "/apis/cronofy-operator.dev/v1alpha1/namespaces/{}/calendarsubscriptions/on-call/status",
        namespace.name()
    );
    let body = serde_json::to_vec(&json!({ "status": status::complete() })).unwrap();
    let request = Request::patch(path).header("content-type", "application/merge-patch+json").body(body).unwrap();
    client.request::<Value>(request).await.unwrap();

    let get =
        async |what: &[&str]| kubectl(control_plane, &[&["get", "-n", namespace.name()], what].concat(), "").await;
    let table = get(&["calsub"]).await;
    let lines: Vec<_> = table.lines().map(cells).collect();
    assert_eq!(lines[0], ["NAME", "READY", "STATUS", "EVENTS", "CHANGED", "NEXT", "AGE"]);
    let [name, ready, message, events, changed, next, age] = lines[1][..] else { panic!("{table}") };
    let told = [name, ready, message, events, next];
    assert_eq!(told, ["on-call", "True", "12 events in ConfigMap on-call-events", "12", "2999-01-01T00:00:00Z"]);
    assert!([changed, age].iter().all(|ago| ago.ends_with(['s', 'm', 'h', 'd', 'y'])), "{table}");

    let wide = get(&["calsub", "-o", "wide"]).await;
    let lines: Vec<_> = wide.lines().map(cells).collect();
    assert_eq!(lines[0][7..], ["MODE", "PUSH", "CHANNEL"]);
    assert_eq!(lines[1][7..], ["Poll", "Unknown", "chn_6a1f"]);

    let applications = get(&["cronofyapp"]).await;
    let lines: Vec<_> = applications.lines().map(cells).collect();
    assert_eq!(lines[0], ["NAME", "READY", "STATUS", "DATA CENTER", "AGE"]);
    assert_eq!(lines[1][..2], ["calendars", "de"], "an application that nobody has looked at is not ready yet");

    let both = get(&["cronofy", "-o", "name"]).await;
    let both: Vec<_> = both.lines().collect();
    let wanted =
        ["calendarsubscription.cronofy-operator.dev/on-call", "cronofyapplication.cronofy-operator.dev/calendars"];
    assert_eq!(both, wanted);

    let select = |name: &str| format!("spec.applicationRef.name={name}");
    assert_eq!(get(&["calsub", "-o", "name", "--field-selector", &select("calendars")]).await.lines().count(), 1);
    assert_eq!(get(&["calsub", "-o", "name", "--field-selector", &select("others")]).await, "");
}

#[tokio::test]
async fn explain_tells_meaning_bounds_and_default() {
    let (control_plane, ..) = cluster().await;
    for (field, wanted) in [
        ("calsub", "A live copy of a calendar account's events in the cluster"),
        ("calsub.spec.window.pastDays", "Days before today, 0 to 42. Default: `42`."),
        ("calsub.spec.mode", "Default: `Push`."),
        ("cronofyapp.spec.limits.requestsPerMinute", "Requests in a minute, 1 to 1000000. Default: `500`."),
    ] {
        // What kubectl explains by is published a little after the kind is served.
        let text = eventually("the field is explained", LIMIT, || async {
            let output = control_plane.kubectl(["explain", field]).await.ok()?;
            output.status.success().then_some(output.stdout)
        });
        let text = text.await.unwrap();
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains(wanted), "{text}");
    }
}

#[tokio::test]
async fn the_files_can_be_applied_as_they_are() {
    let (control_plane, namespace, _) = cluster().await;
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files: Vec<_> = ["examples", "crds"]
        .iter()
        .flat_map(|folder| fs::read_dir(root.join(folder)).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    files.sort();
    assert!(files.len() >= 7, "{files:?}");
    let apply = [
        "apply",
        "--dry-run=server",
        "--validate=strict",
        "--server-side",
        "--force-conflicts",
        "-n",
        namespace.name(),
        "-f",
    ];
    for file in files {
        let applied = kubectl(control_plane, &[&apply[..], &[file.to_str().unwrap()]].concat(), "").await;
        assert!(!applied.is_empty(), "{}", file.display());
    }
    let printed = kubectl(control_plane, &[&apply[..], &["-"]].concat(), &crds::yaml().unwrap()).await;
    assert_eq!(printed.lines().count(), 2, "{printed}");
}
