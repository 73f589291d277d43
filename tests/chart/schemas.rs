//! Every object of the chart by its published definition, those of other projects' kinds too: kubeconform with schemas made from
//! what a real API server publishes, and that server itself.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, iter};

use http::Request;
use serde_json::{Map, Value, json};
use testenv::{ControlPlane, Tool, Tools, eventually};

use crate::helm::rendered;
use crate::install::{self, PATIENCE, installed};
use crate::render::MATRIX;

const DEFINITIONS: &str = "#/definitions/";

/// The kinds of other projects that the chart can make objects of: where their definitions lie in these projects' Go modules.
const OTHERS: [(&str, &[&str]); 2] = [
    (
        "github.com/prometheus-operator/prometheus-operator",
        &[
            "example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml",
            "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
            "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
        ],
    ),
    ("sigs.k8s.io/gateway-api", &["config/crd/standard/gateway.networking.k8s.io_httproutes.yaml"]),
];

/// The folder of a Go module in the version that `hack/tools/definitions` pins; fetched if it is not there yet.
fn module(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("hack/tools/definitions");
    // The module of the definitions is not one of those that go.work joins.
    let output =
        Command::new("go").env("GOWORK", "off").current_dir(folder).args(["mod", "download", "-json", name]).output();
    let output = output.expect("go, which fetches the definitions of other projects' kinds");
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(output.status.success(), "{said} {}", String::from_utf8_lossy(&output.stderr));
    PathBuf::from(said["Dir"].as_str().unwrap())
}

/// An API server that knows all kinds of other projects that the chart can make objects of.
async fn plane_without_ours() -> ControlPlane {
    let plane = install::plane().await;
    for (name, files) in OTHERS {
        let module = module(name);
        for file in files {
            plane.apply_yaml(&fs::read_to_string(module.join(file)).unwrap()).await.unwrap();
        }
    }
    plane
}

/// One that knows ours, too.
async fn plane() -> ControlPlane {
    let plane = plane_without_ours().await;
    plane.apply_crds(&cronofy_operator::crds::crds()).await.unwrap();
    plane
}

/// What the server publishes, once it publishes the definitions that came last, too.
async fn published(plane: &ControlPlane) -> Value {
    let client = plane.admin().unwrap();
    let published = eventually("all kinds are published", PATIENCE, async || {
        let found: Value = client.request(Request::get("/openapi/v2").body(Vec::new()).unwrap()).await.ok()?;
        let kinds = ["com.coreos.monitoring.v1.ServiceMonitor", "io.k8s.networking.gateway.v1.HTTPRoute"];
        let ours = "dev.cronofy-operator.v1alpha1.CalendarSubscription";
        let known = |kind: &str| found["definitions"].get(kind).is_some();
        (kinds.into_iter().all(known) && known(ours)).then_some(found)
    });
    published.await.unwrap()
}

/// The schema as JSON Schema has it, with nothing allowed that it does not name.
fn strict(schema: &Value) -> Value {
    let Value::Object(fields) = schema else { return schema.clone() };
    if fields.get("format").is_some_and(|format| format == "int-or-string") {
        return json!({ "type": ["integer", "string"] });
    }
    let properties_of = |value: &Value| -> Value {
        let properties = value.as_object().unwrap().iter();
        Value::Object(properties.map(|(name, schema)| (name.clone(), strict(schema))).collect())
    };
    let each = |(key, value): (&String, &Value)| {
        let value = match key.as_str() {
            "properties" => properties_of(value),
            "items" | "additionalProperties" => strict(value),
            _ => value.clone(),
        };
        (key.clone(), value)
    };
    let mut strict: Map<String, Value> = fields.iter().map(each).collect();
    if fields.contains_key("properties") && fields.get("x-kubernetes-preserve-unknown-fields") != Some(&json!(true)) {
        strict.insert("additionalProperties".to_owned(), json!(false));
    }
    Value::Object(strict)
}

/// The definitions that a schema refers to.
fn references(schema: &Value) -> Vec<String> {
    match schema {
        Value::Object(fields) => {
            let own = fields.get("$ref").and_then(|reference| reference.as_str()?.strip_prefix(DEFINITIONS));
            own.map(ToOwned::to_owned).into_iter().chain(fields.values().flat_map(references)).collect()
        }
        Value::Array(values) => values.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}

/// Writes a file with the schema of each kind that these objects are of.
fn write_schemas(folder: &Path, published: &Value, objects: &[Value]) -> usize {
    let definitions: BTreeMap<&str, Value> = published["definitions"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, schema)| {
            let quantity = name.ends_with(".api.resource.Quantity");
            (name.as_str(), if quantity { json!({ "type": ["number", "string"] }) } else { strict(schema) })
        })
        .collect();
    let mut files = BTreeMap::new();
    for object in objects {
        let (version, kind) = (object["apiVersion"].as_str().unwrap(), object["kind"].as_str().unwrap());
        let (group, number) = version.split_once('/').unwrap_or(("", version));
        let names = json!({ "group": group, "kind": kind, "version": number });
        let is = |schema: &Value| {
            schema["x-kubernetes-group-version-kind"].as_array().is_some_and(|kinds| kinds.contains(&names))
        };
        let (name, _) = definitions.iter().find(|(_, schema)| is(schema)).unwrap_or_else(|| panic!("{names}"));
        let mut needed: BTreeMap<String, Value> = BTreeMap::new();
        let mut open = vec![(*name).to_owned()];
        while let Some(next) = open.pop() {
            let schema = &definitions[next.as_str()];
            if needed.insert(next, schema.clone()).is_none() {
                open.extend(references(schema).into_iter().filter(|reference| !needed.contains_key(reference)));
            }
        }
        let group = if group.is_empty() { number } else { group };
        let file = format!("{group}-{number}-{}.json", kind.to_lowercase());
        files.insert(file, json!({ "$ref": format!("{DEFINITIONS}{name}"), "definitions": needed }));
    }
    for (file, schema) in &files {
        fs::write(folder.join(file), schema.to_string()).unwrap();
    }
    files.len()
}

/// Checks files by the schemas in a folder.
fn kubeconform(folder: &Path, files: &[PathBuf]) -> (bool, String) {
    let program = Tools::find(&[Tool::Kubeconform]).unwrap().path(Tool::Kubeconform).unwrap();
    let schemas = folder.join("{{.Group}}-{{.ResourceAPIVersion}}-{{.ResourceKind}}.json");
    let schemas = schemas.to_str().unwrap();
    let arguments = ["-strict", "-summary", "-verbose", "-schema-location", schemas];
    let output = Command::new(program).args(arguments).args(files).output().unwrap();
    (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

#[tokio::test]
async fn every_object_of_every_combination_is_as_its_kind_is_published() {
    let plane = plane().await;
    let published = published(&plane).await;
    let folder = tempfile::tempdir().unwrap();
    let mut objects: Vec<Value> = Vec::new();
    let mut files = Vec::new();
    for (number, values) in MATRIX.iter().enumerate() {
        let text = rendered(values);
        let file = folder.path().join(format!("{number}.yaml"));
        fs::write(&file, &text).unwrap();
        files.push(file);
        objects.extend(
            serde_saphyr::from_multiple::<Value>(&text).unwrap().into_iter().filter(|object| !object.is_null()),
        );
    }
    let kinds = write_schemas(folder.path(), &published, &objects);
    assert!(kinds > 18, "{kinds}");
    let (valid, said) = kubeconform(folder.path(), &files);
    let all = format!(
        "{count} resources found in {} files - Valid: {count}, Invalid: 0, Errors: 0, Skipped: 0",
        MATRIX.len(),
        count = objects.len()
    );
    assert!(valid && said.contains(&all), "{all}; {said}");

    // That nothing is complained of means something only if complaints are made.
    let spoiled = folder.path().join("spoiled.yaml");
    for (kind, field, value) in [
        ("Deployment", "/spec/template/spec", json!({ "unknown": 1 })),
        ("ServiceMonitor", "/spec", json!({ "endpoint": [] })),
        ("HTTPRoute", "/spec", json!({ "hostname": "calendars.example.org" })),
        ("Service", "/spec", json!({ "ports": "all" })),
        ("PrometheusRule", "/spec/groups/0/rules/0", json!({ "fore": "5m" })),
    ] {
        let mut object = objects.iter().find(|object| object["kind"] == kind).unwrap().clone();
        let part = object.pointer_mut(field).unwrap().as_object_mut().unwrap();
        part.extend(value.as_object().unwrap().clone());
        fs::write(&spoiled, object.to_string()).unwrap();
        let (valid, said) = kubeconform(folder.path(), std::slice::from_ref(&spoiled));
        assert!(!valid && said.contains("Invalid: 1"), "{kind}: {said}");
    }
}

/// All that can be on at the same time is on.
#[tokio::test]
async fn with_everything_on_a_strict_server_takes_the_chart_without_a_warning() {
    const ALL: [&str; 10] = [
        r#"webhook.baseUrl="https://calendars.example.org/in""#,
        "webhook.httpRoute.enabled=true",
        r#"webhook.httpRoute.parentRefs=[{"name":"public","namespace":"gateways"}]"#,
        "webhook.ingress.enabled=true",
        "metrics.prometheusRule.enabled=true",
        "metrics.dashboard.enabled=true",
        "networkPolicy.enabled=true",
        "application.create=true",
        "secretOutputs=true",
        r#"metrics.prometheusRule.alertLabels={"team":"platform"}"#,
    ];
    let relabelings = r#"[{"action":"labeldrop","regex":"instance"}]"#;
    let plane = plane().await;
    for (monitor, also) in [("serviceMonitor", None), ("podMonitor", Some("metrics.serviceMonitor.enabled=false"))] {
        let of = |field: &str, value: &str| format!("metrics.{monitor}.{field}={value}");
        let monitored = [
            of("enabled", "true"),
            of("interval", "\"30s\""),
            of("scrapeTimeout", "\"10s\""),
            of("relabelings", relabelings),
            of("metricRelabelings", relabelings),
        ];
        let values: Vec<&str> = ALL
            .into_iter()
            .chain(monitored.iter().map(String::as_str))
            .chain(also)
            .chain(iter::once("replicas=2"))
            .collect();
        let warnings = plane.apply_yaml(&rendered(&values)).await.unwrap();
        assert!(warnings.is_empty(), "{warnings:?}");
    }
    let fresh = plane_without_ours().await;
    let monitored = ["metrics.serviceMonitor.enabled=true"];
    // An application can come only with an upgrade: helm looks its kind up before it installs the definitions.
    installed(&fresh, &ALL.into_iter().chain(monitored).chain(["application.create=false"]).collect::<Vec<_>>());
    installed(&fresh, &ALL.into_iter().chain(monitored).collect::<Vec<_>>());
    for kind in
        ["httproutes", "servicemonitors", "prometheusrules", "ingresses", "networkpolicies", "cronofyapplications"]
    {
        let found = fresh.kubectl(["get", kind, "--namespace", "operators", "--output", "name"]).await.unwrap();
        assert_eq!(found.stdout.lines().count(), 1, "{kind}: {found:?}");
    }
}
