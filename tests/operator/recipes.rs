//! The shell recipes of docs/reading-events.md, run as they stand there with the real kubectl.

use std::path::{Path, PathBuf};
use std::process::Output;

use calendar_reader::{Kind, Reader};
use calendar_sync::Event;
use cronofy_operator::api::StoreKind;
use cronofy_operator::store::EventStore as _;
use kube::api::DeleteParams;
use testenv::shared;

use crate::calendar::{event, snapshot};
use crate::store::Cluster;

const DOCUMENT: &str = include_str!("../../docs/reading-events.md");

/// A recipe: its text, and whether it needs jq.
struct Recipe {
    script: PathBuf,
    jq: bool,
}

/// Writes the recipes into files. The one with jq only where there is jq; the other one needs nothing that is not there.
fn recipes(dir: &Path) -> Vec<Recipe> {
    let blocks = DOCUMENT.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let all: Vec<Recipe> = blocks
        .enumerate()
        .map(|(number, text)| {
            let script = dir.join(format!("read-events-{number}.sh"));
            std::fs::write(&script, text).unwrap();
            Recipe { script, jq: text.contains("jq ") }
        })
        .collect();
    assert_eq!(all.iter().map(|recipe| recipe.jq).collect::<Vec<_>>(), [true, false]);
    let jq = std::process::Command::new("jq").arg("--version").output().is_ok();
    if !jq {
        eprintln!("there is no jq on this machine: only the recipe without it is run");
    }
    all.into_iter().filter(|recipe| jq || !recipe.jq).collect()
}

/// Runs recipes against outputs of a namespace, with the right to get them and no other.
struct Shell {
    dir: PathBuf,
    path: std::ffi::OsString,
}

impl Shell {
    async fn new(cluster: &Cluster, kind: StoreKind) -> Self {
        let plane = shared().await.unwrap();
        let namespace = cluster.namespace.name();
        let dir = plane.dir().join(format!("recipes-{namespace}"));
        std::fs::create_dir_all(&dir).unwrap();
        crate::store::allow(&cluster.admin, namespace, "reader", kind, &["get"]).await;
        let access = plane.service_account_access(namespace, "reader").await.unwrap();
        access.write_kubeconfig(&dir.join("kubeconfig")).unwrap();
        let kubectl = plane.kubectl_path().unwrap();
        let rest = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::iter::once(kubectl.parent().unwrap().to_owned()).chain(std::env::split_paths(&rest));
        Self { path: std::env::join_paths(folders).unwrap(), dir }
    }

    async fn run(&self, recipe: &Recipe, cluster: &Cluster, kind: StoreKind) -> Output {
        let mut command = tokio::process::Command::new("sh");
        command.arg(&recipe.script).args([cluster.namespace.name(), "primary-events"]);
        if kind == StoreKind::Secret {
            command.arg("secret");
        }
        command.env("PATH", &self.path).env("KUBECONFIG", self.dir.join("kubeconfig")).env("HOME", &self.dir);
        command.output().await.unwrap()
    }
}

/// The events that a recipe printed: an array, or one a line.
fn printed(output: &Output, recipe: &Recipe) -> Vec<Event> {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    if recipe.jq {
        serde_json::from_str(&text).unwrap()
    } else {
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

#[tokio::test]
async fn the_recipes_print_every_event_of_small_and_large_calendars_in_both_kinds() {
    let verbs = ["get", "list", "patch", "create", "update", "delete"];
    for kind in [StoreKind::ConfigMap, StoreKind::Secret] {
        let cluster = Cluster::of_kind(kind, &verbs).await;
        let shell = Shell::new(&cluster, kind).await;
        let target = cluster.target();
        let reader_kind = if kind == StoreKind::Secret { Kind::Secret } else { Kind::ConfigMap };
        let reader = Reader::new(cluster.admin.clone(), cluster.namespace.name(), target.name(), reader_kind);
        // The last one has replaced slices beside those it lists.
        for (count, title) in
            [(0, ""), (3, "Umlaute \u{e4}\u{f6} \"quoted\",\n[{\u{1F4C5}"), (400, "one"), (400, "other")]
        {
            let events = (0..count)
                .map(|number| event(&format!("evt_{number:05}"), if number == 2 { title } else { "Board meeting" }));
            let head = cluster.store.head(&target).await.unwrap();
            cluster.store.commit(&target, head.version.as_ref(), &snapshot(events)).await.unwrap();
            let calendar = reader.read().await.unwrap();
            assert_eq!(calendar.events.len(), count);
            assert_eq!(calendar.slices > 1, count > 100);
            for recipe in recipes(&shell.dir) {
                let output = shell.run(&recipe, &cluster, kind).await;
                assert_eq!(printed(&output, &recipe), calendar.events, "{kind:?}, {count}, jq: {}", recipe.jq);
            }
        }
    }
}

#[tokio::test]
async fn a_recipe_prints_nothing_of_a_calendar_that_is_not_whole() {
    let cluster = Cluster::new().await;
    let shell = Shell::new(&cluster, StoreKind::ConfigMap).await;
    let target = cluster.target();
    let events = (0..400).map(|number| event(&format!("evt_{number:05}"), "Board meeting"));
    cluster.store.commit(&target, None, &snapshot(events)).await.unwrap();
    let slices = cluster.config_maps().list(&kube::api::ListParams::default()).await.unwrap().items;
    let mut slices = slices.into_iter().filter_map(|slice| slice.metadata.name);
    let last = slices.rfind(|name| name.starts_with("primary-events-")).unwrap();
    cluster.config_maps().delete(&last, &DeleteParams::default()).await.unwrap();
    let recipes = recipes(&shell.dir);
    let runs = recipes.iter().map(|recipe| shell.run(recipe, &cluster, StoreKind::ConfigMap));
    for output in futures::future::join_all(runs).await {
        assert!(!output.status.success());
        assert!(output.stdout.is_empty());
        assert!(String::from_utf8_lossy(&output.stderr).contains("is no whole calendar"));
    }
}
