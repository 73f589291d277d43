//! What the chart becomes.

use std::path::Path;

use clap::Parser as _;
use cronofy_operator::cli::{Cli, Command};
use cronofy_operator::metrics::Metrics;
use serde_json::{Value, json};

use crate::helm::{objects, of_kind, rendered};

const BASE: &str = r#"webhook.baseUrl="https://calendars.example.org/in""#;

const TLS: &str = r#"webhook.tls.secretName="calendars-tls""#;

/// Sets of values that between them use every part of the chart.
pub const MATRIX: [&[&str]; 14] = [
    &[],
    &[BASE],
    &[
        BASE,
        "webhook.ingress.enabled=true",
        r#"webhook.ingress.className="nginx""#,
        r#"webhook.ingress.tlsSecretName="tls""#,
    ],
    &[BASE, "webhook.httpRoute.enabled=true", r#"webhook.httpRoute.parentRefs=[{"name":"public"}]"#],
    &[r#"watchNamespaces=["one","two"]"#, "secretOutputs=true", "rbac.namespaceLabels=false", "rbac.aggregate=false"],
    &[
        "metrics.serviceMonitor.enabled=true",
        r#"metrics.serviceMonitor.interval="30s""#,
        "metrics.prometheusRule.enabled=true",
        "metrics.dashboard.enabled=true",
        "networkPolicy.enabled=true",
        r#"tracing.endpoint="http://collector.observability:4318""#,
        "tracing.sampleRatio=0.1",
        r#"networkPolicy.metricsFrom=[{"namespaceSelector":{}}]"#,
        "application.create=true",
        r#"application.allowedNamespaces={"from":"All"}"#,
    ],
    &[BASE, TLS, "webhook.httpRoute.enabled=true", r#"webhook.httpRoute.parentRefs=[{"name":"public"}]"#],
    &[
        "replicas=1",
        "metrics.podMonitor.enabled=true",
        "metrics.service.enabled=false",
        r#"namespaceOverride="elsewhere""#,
        r#"fullnameOverride="cal""#,
        "crds.install=false",
        "serviceAccount.create=false",
        r#"serviceAccount.name="given""#,
    ],
    &[
        r#"commonLabels={"team":"platform"}"#,
        r#"podLabels={"injected":"no"}"#,
        r#"podAnnotations={"checksum":"1"}"#,
        r#"extraEnv=[{"name":"HTTPS_PROXY","value":"http://proxy.example.org:3128"}]"#,
        r#"extraArgs=["--leader-election=false"]"#,
        r#"extraVolumes=[{"name":"ca","configMap":{"name":"ca"}}]"#,
        r#"extraVolumeMounts=[{"name":"ca","mountPath":"/etc/ssl/certs"}]"#,
        r#"extraObjects=[{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"extra"}},"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}-more\n"]"#,
        r#"nodeSelector={"kubernetes.io/os":"linux"}"#,
        r#"tolerations=[{"operator":"Exists"}]"#,
        r#"priorityClassName="system-cluster-critical""#,
        r#"imagePullSecrets=[{"name":"registry"}]"#,
        "podSecurityContext.runAsUser=null",
        "allowCustomEndpoints=true",
        "webhook.allowHttp=true",
        r#"webhook.baseUrl="http://calendars.example.org""#,
    ],
    SIDECAR_SQLITE,
    SIDECAR_POSTGRES,
    DEPLOYMENT_SQLITE,
    DEPLOYMENT_POSTGRES,
    &[
        BASE,
        "store.enabled=true",
        "replicas=1",
        "store.database.persistence.ephemeral=true",
        "podSecurityContext.runAsUser=null",
        "podSecurityContext.runAsGroup=null",
        "rbac.create=false",
        "metrics.service.enabled=false",
        "networkPolicy.enabled=true",
        "metrics.prometheusRule.enabled=true",
    ],
];

/// The calendar store in the ways that it is run in.
pub const SIDECAR_SQLITE: &[&str] = &[BASE, "crds.install=false", "store.enabled=true", "replicas=1"];
pub const SIDECAR_POSTGRES: &[&str] = &[
    BASE,
    "crds.install=false",
    "store.enabled=true",
    r#"store.database.type="postgres""#,
    r#"store.database.postgres.existingSecret="calendars-database""#,
    r#"store.tls.secretName="store-tls""#,
    "networkPolicy.enabled=true",
    r#"networkPolicy.storeFrom=[{"namespaceSelector":{"matchLabels":{"reads":"calendars"}}}]"#,
    "metrics.podMonitor.enabled=true",
];
pub const DEPLOYMENT_SQLITE: &[&str] = &[
    BASE,
    "crds.install=false",
    "store.enabled=true",
    r#"store.mode="deployment""#,
    r#"store.tls.secretName="store-tls""#,
    r#"store.database.persistence.storageClassName="fast""#,
    r#"store.database.persistence.accessModes=["ReadWriteOncePod"]"#,
    r#"store.database.persistence.annotations={"backup":"daily"}"#,
    "metrics.serviceMonitor.enabled=true",
];
pub const DEPLOYMENT_POSTGRES: &[&str] = &[
    BASE,
    "crds.install=false",
    "store.enabled=true",
    r#"store.mode="deployment""#,
    "store.replicas=3",
    r#"store.tls.secretName="store-tls""#,
    r#"store.tls.authority.configMapName="authorities""#,
    r#"store.database.type="postgres""#,
    r#"store.database.postgres.existingSecret="calendars-database""#,
    r#"store.database.postgres.key="uri""#,
    "store.containerPort=9443",
    r#"store.extraArgs=["--max-body=64Mi"]"#,
    r#"store.extraEnv=[{"name":"PGSSLROOTCERT","value":"/etc/postgres/ca.crt"}]"#,
    r#"store.extraVolumes=[{"name":"postgres-ca","configMap":{"name":"postgres-ca"}}]"#,
    r#"store.extraVolumeMounts=[{"name":"postgres-ca","mountPath":"/etc/postgres"}]"#,
    r#"store.affinity={"podAntiAffinity":{}}"#,
    r#"store.service.annotations={"mesh":"no"}"#,
    "networkPolicy.enabled=true",
    r#"networkPolicy.storeFrom=[{"namespaceSelector":{}}]"#,
    "metrics.podMonitor.enabled=true",
];

#[test]
fn every_combination_gives_named_labelled_objects_that_are_there_once() {
    for values in MATRIX {
        let objects = objects(values);
        let mut names: Vec<String> = objects
            .iter()
            .map(|object| {
                format!("{} {}/{}", object["kind"], object["metadata"]["namespace"], object["metadata"]["name"])
            })
            .collect();
        let all = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), all, "{values:?}: {names:#?}");
        for object in objects.iter().filter(|object| object["metadata"]["name"] != "extra") {
            let metadata = &object["metadata"];
            assert!(metadata["name"].is_string() && object["apiVersion"].is_string(), "{values:?}: {object}");
            if metadata["name"] != "calendars-more" {
                assert_eq!(metadata["labels"]["app.kubernetes.io/instance"], "calendars", "{values:?}: {object}");
            }
        }
    }
}

/// What the pods of the operator's Deployment, of its test and of the look before uninstallation are.
fn pods(objects: &[Value]) -> [&Value; 3] {
    let one = |kind| of_kind(objects, kind).into_iter().find(|object| !is_of_store(object)).unwrap();
    [&one("Deployment")["spec"]["template"], one("Pod"), &one("Job")["spec"]["template"]]
}

fn is_of_store(object: &Value) -> bool {
    object["metadata"]["labels"]["app.kubernetes.io/name"].as_str().unwrap().contains("-store")
}

/// What the pods of the calendar store's own are: of its Deployment and of its test.
fn store_pods(objects: &[Value]) -> Vec<&Value> {
    let of_store = |kind| of_kind(objects, kind).into_iter().filter(|object| is_of_store(object));
    of_store("Deployment").map(|deployment| &deployment["spec"]["template"]).chain(of_store("Pod")).collect()
}

/// All containers of a pod, the sidecars too.
pub fn containers(pod: &Value) -> Vec<&Value> {
    let lists = ["initContainers", "containers"].map(|list| pod["spec"][list].as_array());
    lists.into_iter().flatten().flatten().collect()
}

#[test]
fn the_arguments_are_flags_that_the_programs_take_together() {
    let (mut operators, mut stores) = (0, 0);
    for values in MATRIX {
        let objects = objects(values);
        for container in pods(&objects).into_iter().chain(store_pods(&objects)).flat_map(containers) {
            let arguments = container["args"].as_array().unwrap().iter().map(|argument| argument.as_str().unwrap());
            if container["command"] == json!(["/calendar-store"]) {
                calendar_store::cli::Cli::try_parse_from(std::iter::once("calendar-store").chain(arguments)).unwrap();
                stores += 1;
                continue;
            }
            assert!(container["command"].is_null(), "the image's own");
            let cli = Cli::try_parse_from(std::iter::once("cronofy-operator").chain(arguments)).unwrap();
            if let Command::Run(options) = cli.command {
                options.validate().unwrap();
                operators += 1;
            }
        }
    }
    assert_eq!((operators, stores), (MATRIX.len(), 5));
}

#[test]
fn pods_are_restricted_and_selectors_find_those_of_their_deployment_only() {
    for values in MATRIX {
        let objects = objects(values);
        let deployment =
            of_kind(&objects, "Deployment").into_iter().find(|deployment| !is_of_store(deployment)).unwrap();
        for pod in pods(&objects).into_iter().chain(store_pods(&objects)) {
            let security = &pod["spec"]["securityContext"];
            assert_eq!(security["runAsNonRoot"], true);
            assert_eq!(security["seccompProfile"], json!({ "type": "RuntimeDefault" }));
            let wanted = json!({ "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
                "capabilities": { "drop": ["ALL"] } });
            for container in containers(pod) {
                assert_eq!(container["securityContext"], wanted);
            }
        }
        let selector = deployment["spec"]["selector"]["matchLabels"].as_object().unwrap();
        assert!(selector.keys().all(|key| key == "app.kubernetes.io/name" || key == "app.kubernetes.io/instance"));
        let selects = |labels: &Value| selector.iter().all(|(key, value)| &labels[key] == value);
        let selected: Vec<bool> = pods(&objects).iter().map(|pod| selects(&pod["metadata"]["labels"])).collect();
        assert_eq!(selected, [true, false, false], "none of those that run once");
        assert!(store_pods(&objects).iter().all(|pod| !selects(&pod["metadata"]["labels"])), "nor the store's own");
        let mut budgets = 0;
        for deployment in of_kind(&objects, "Deployment") {
            let labels = &deployment["spec"]["template"]["metadata"]["labels"];
            let selector = deployment["spec"]["selector"]["matchLabels"].as_object().unwrap();
            assert!(selector.iter().all(|(key, value)| &labels[key] == value), "its own pods");
            budgets += usize::from(deployment["spec"]["replicas"].as_u64().unwrap() > 1);
        }
        assert_eq!(of_kind(&objects, "PodDisruptionBudget").len(), budgets);
        for service in of_kind(&objects, "Service") {
            let selector = service["spec"]["selector"].as_object().unwrap();
            let selected =
                |deployment: &&Value| deployment["spec"]["selector"]["matchLabels"].as_object() == Some(selector);
            let deployments: Vec<_> = of_kind(&objects, "Deployment").into_iter().filter(selected).collect();
            let [deployment] = deployments.as_slice() else { panic!("{service} leads to no pods") };
            for port in service["spec"]["ports"].as_array().unwrap() {
                let named = |container: &Value| {
                    container["ports"].as_array().into_iter().flatten().any(|has| has["name"] == port["targetPort"])
                };
                let pod = &deployment["spec"]["template"];
                assert!(containers(pod).into_iter().any(named), "{port} is open");
            }
        }
    }
}

#[test]
fn only_the_hook_is_exposed() {
    let ingress = objects(MATRIX[2]);
    let rule = &of_kind(&ingress, "Ingress")[0]["spec"]["rules"][0];
    assert_eq!(rule["host"], "calendars.example.org");
    assert_eq!(rule["http"]["paths"].as_array().unwrap().len(), 1);
    assert_eq!(rule["http"]["paths"][0]["path"], "/in/hook/");
    let route = objects(MATRIX[3]);
    let route = &of_kind(&route, "HTTPRoute")[0]["spec"];
    assert_eq!(route["hostnames"], json!(["calendars.example.org"]));
    assert_eq!(route["rules"][0]["matches"], json!([{ "path": { "type": "PathPrefix", "value": "/in/hook/" } }]));
    assert!(
        of_kind(&objects(&[]), "Service")
            .iter()
            .all(|service| service["metadata"]["name"] != "calendars-cronofy-operator-webhook")
    );
}

#[test]
fn with_a_certificate_https_is_spoken_up_to_the_pod() {
    let secured =
        objects(&[BASE, TLS, "webhook.httpRoute.enabled=true", r#"webhook.httpRoute.parentRefs=[{"name":"a"}]"#]);
    let service = |objects: &[Value]| {
        let webhook = |service: &&&Value| service["metadata"]["name"] == "calendars-cronofy-operator-webhook";
        of_kind(objects, "Service").iter().find(webhook).unwrap()["spec"]["ports"].clone()
    };
    let port = |port: u16, protocol: Value| {
        let mut port = json!({ "name": "webhook", "port": port, "targetPort": "webhook" });
        if protocol.is_string() {
            port["appProtocol"] = protocol;
        }
        json!([port])
    };
    assert_eq!(service(&secured), port(443, json!("https")));
    assert_eq!(service(&objects(&[BASE, TLS, "webhook.service.port=8443"])), port(8443, json!("https")));
    assert_eq!(service(&objects(&[BASE])), port(80, Value::Null));
    let backend = &of_kind(&secured, "HTTPRoute")[0]["spec"]["rules"][0]["backendRefs"];
    assert_eq!(backend[0]["port"], 443);

    let [deployment, test, _] = pods(&secured);
    let arguments = test["spec"]["containers"][0]["args"].as_array().unwrap();
    let wanted = ["--webhook=https://calendars-cronofy-operator-webhook:443/in", "--any-certificate"];
    assert!(wanted.iter().all(|wanted| arguments.contains(&json!(wanted))), "{arguments:?}");
    let pod = &deployment["spec"];
    let volume = pod["volumes"].as_array().unwrap().iter().find(|volume| volume["name"] == "tls").unwrap();
    let wanted = json!({ "secretName": "calendars-tls", "defaultMode": 0o444, "optional": true });
    assert_eq!(volume["secret"], wanted);
    let container = &pod["containers"][0];
    let mount = json!({ "name": "tls", "mountPath": "/etc/cronofy-operator/tls", "readOnly": true });
    assert!(container["volumeMounts"].as_array().unwrap().contains(&mount), "without subPath, which is never replaced");
    for flag in
        ["--webhook-tls-cert=/etc/cronofy-operator/tls/tls.crt", "--webhook-tls-key=/etc/cronofy-operator/tls/tls.key"]
    {
        assert!(container["args"].as_array().unwrap().contains(&json!(flag)), "{flag}");
    }
}

#[test]
fn the_way_to_the_collector_is_open_and_no_other() {
    let egress = |endpoint: &str| {
        let endpoint = format!("tracing.endpoint={}", json!(endpoint));
        let objects = objects(&["networkPolicy.enabled=true", &endpoint]);
        of_kind(&objects, "NetworkPolicy")[0]["spec"]["egress"].as_array().unwrap().clone()
    };
    let without = egress("");
    for (endpoint, port) in [
        ("http://collector.observability:4318", 4318),
        ("https://traces.example.org/otlp", 443),
        ("http://[fd00::1]/otlp", 80),
        ("http://[fd00::1]:4318", 4318),
    ] {
        let mut wanted = without.clone();
        wanted.push(json!({ "ports": [{ "port": port }] }));
        assert_eq!(egress(endpoint), wanted, "{endpoint}");
    }
}

#[test]
fn definitions_are_kept_unless_one_says_otherwise() {
    let kept = |values: &[&str]| -> Vec<Value> {
        let objects = objects(values);
        let annotations =
            of_kind(&objects, "CustomResourceDefinition").into_iter().map(|crd| crd["metadata"]["annotations"].clone());
        annotations.collect()
    };
    assert_eq!(kept(&[]), vec![json!({ "helm.sh/resource-policy": "keep" }); 2]);
    let other =
        kept(&["crds.keep=false", r#"crds.annotations={"argocd.argoproj.io/sync-options":"ServerSideApply=true"}"#]);
    assert_eq!(other, vec![json!({ "argocd.argoproj.io/sync-options": "ServerSideApply=true" }); 2]);
    assert!(kept(&["crds.install=false"]).is_empty());
}

/// The whole of it as a person sees it, the definitions aside.
#[test]
fn the_default_render_is_as_it_was() {
    as_it_was("default", &[BASE, "crds.install=false"]);
}

pub fn as_it_was(name: &str, values: &[&str]) {
    let text = rendered(values);
    insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!(name, text);
    });
}

const ALERTS: &[&str] = &[
    "metrics.prometheusRule.enabled=true",
    "store.enabled=true",
    "replicas=1",
    r#"metrics.prometheusRule.alertLabels={"team":"platform"}"#,
];

fn alerts(values: &[&str]) -> Vec<Value> {
    let objects = objects(values);
    let groups = of_kind(&objects, "PrometheusRule")[0]["spec"]["groups"].as_array().unwrap();
    groups.iter().flat_map(|group| group["rules"].as_array().unwrap()).cloned().collect()
}

/// The metrics that an expression selects.
fn metrics_of(expression: &str) -> Vec<&str> {
    let is_name = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let names = expression.match_indices('{').map(|(at, _)| &expression[..at]);
    names.map(|before| before.rsplit(|character| !is_name(character)).next().unwrap()).collect()
}

#[test]
fn each_alert_asks_for_metrics_that_exist_and_has_a_runbook() {
    let exposition = Metrics::new().encode();
    let alerts = alerts(ALERTS);
    assert!(alerts.len() >= 13, "{}", alerts.len());
    for alert in &alerts {
        let (name, expression) = (alert["alert"].as_str().unwrap(), alert["expr"].as_str().unwrap());
        assert_eq!(alert["labels"]["team"], "platform");
        assert!(!expression.contains("JOB") && expression.contains(r#"namespace="operators""#), "{expression}");
        let asked = metrics_of(expression);
        assert!(!asked.is_empty(), "{expression}");
        // Those of the calendar store are held against one that runs by the tests of its binary.
        for metric in asked.into_iter().filter(|metric| !metric.starts_with("calendar_store_")) {
            let mut served = exposition.lines().map(|line| line.split(['{', ' ']).next());
            assert!(served.any(|served| served == Some(metric)), "{name} asks for {metric}");
        }
        let runbook = format!("docs/runbooks/{name}.md");
        assert!(alert["annotations"]["runbook_url"].as_str().unwrap().ends_with(&runbook));
        let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(&runbook)).unwrap();
        assert!(
            page.starts_with(&format!("# {name}\n")) && page.contains("## Look") && page.contains("## Mend"),
            "{runbook}"
        );
    }
    let pages = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/runbooks")).unwrap().count();
    assert_eq!(pages, alerts.len(), "a runbook for each alert and no other");
}

#[test]
fn an_alert_that_is_not_wanted_is_left_out() {
    let fewer = alerts(&[ALERTS, &[r#"metrics.prometheusRule.disabled=["CronofyPushUnhealthy"]"#]].concat());
    assert_eq!(fewer.len() + 1, alerts(ALERTS).len());
    assert!(fewer.iter().all(|alert| alert["alert"] != "CronofyPushUnhealthy"));
    let without_store = alerts(&[ALERTS[0]]);
    assert_eq!(without_store.len() + 3, alerts(ALERTS).len(), "no alerts of what does not run");
}

#[test]
fn each_panel_of_the_dashboard_asks_for_metrics_that_exist() {
    let objects = objects(&["metrics.dashboard.enabled=true"]);
    let map = of_kind(&objects, "ConfigMap")[0];
    assert_eq!(map["metadata"]["labels"]["grafana_dashboard"], "1");
    let dashboard: Value = serde_json::from_str(map["data"]["cronofy-operator.json"].as_str().unwrap()).unwrap();
    let exposition = Metrics::new().encode();
    let mut asked = 0;
    for panel in dashboard["panels"].as_array().unwrap().iter().filter(|panel| panel["type"] != "row") {
        for target in panel["targets"].as_array().unwrap() {
            for metric in metrics_of(target["expr"].as_str().unwrap()) {
                assert!(exposition.contains(&format!("\n{metric}{{")), "{} asks for {metric}", panel["title"]);
                asked += 1;
            }
        }
    }
    assert!(asked > 15, "{asked}");
}
