//! The calendar store in the chart: the ways to run it, and the wrong ones.

use clap::Parser as _;
use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use serde_json::{Value, json};

use crate::helm::{chart, helm, notes, objects, of_kind, parsed, said, template};
use crate::install::{NAMESPACE, installed, plane};
use crate::render::{DEPLOYMENT_POSTGRES, DEPLOYMENT_SQLITE, SIDECAR_POSTGRES, SIDECAR_SQLITE, as_it_was, containers};

const NAME: &str = "calendars-cronofy-operator-store";
const TLS: &str = r#"store.tls.secretName="store-tls""#;
const DEPLOYMENT: &str = r#"store.mode="deployment""#;
const POSTGRES: &str = r#"store.database.type="postgres""#;
const SECRET: &str = r#"store.database.postgres.existingSecret="database""#;

#[test]
fn each_way_to_run_it_is_as_it_was() {
    for (name, values) in [
        ("sidecar_sqlite", SIDECAR_SQLITE),
        ("sidecar_postgres", SIDECAR_POSTGRES),
        ("deployment_sqlite", DEPLOYMENT_SQLITE),
        ("deployment_postgres", DEPLOYMENT_POSTGRES),
    ] {
        as_it_was(name, values);
    }
}

#[test]
fn combinations_that_cannot_work_are_refused_with_the_remedy() {
    let table: &[(&[&str], &str)] = &[
        (
            &["replicas=2"],
            "replicas is 2, and with store.mode sidecar each replica would have a SQLite database of its own, of which only \
             the leader's is current: set replicas=1, or store.mode=deployment, or store.database.type=postgres",
        ),
        (
            &[DEPLOYMENT, TLS, "store.replicas=2"],
            "store.replicas is 2, and a SQLite database takes one process that writes: set store.replicas=1, or \
             store.database.type=postgres",
        ),
        (&["replicas=1", "store.replicas=2"], "store.replicas counts with store.mode deployment only"),
        (&[DEPLOYMENT], "store.tls.secretName must name a Secret with the store's certificate"),
        (&[POSTGRES], "store.database.postgres.existingSecret must name a Secret with the URL of the database"),
        (
            &["replicas=1", SECRET],
            "store.database.postgres.existingSecret is set, but store.database.type is sqlite: set \
             store.database.type=postgres",
        ),
        (
            &[POSTGRES, SECRET, r#"store.database.persistence.existingClaim="data""#],
            "store.database.persistence is of SQLite only",
        ),
        (
            &[POSTGRES, SECRET, "store.database.persistence.ephemeral=true"],
            "store.database.persistence is of SQLite only",
        ),
        (
            &[
                "replicas=1",
                "store.database.persistence.ephemeral=true",
                r#"store.database.persistence.existingClaim="data""#,
            ],
            "existingClaim and store.database.persistence.ephemeral exclude each other",
        ),
        (
            &["replicas=1", TLS, r#"store.tls.authority.secretName="a""#, r#"store.tls.authority.configMapName="b""#],
            "authority.secretName and store.tls.authority.configMapName exclude each other",
        ),
        (
            &["replicas=1", "store.adminPort=9090"],
            "store.adminPort and metrics.containerPort are both 9090, in one pod",
        ),
        (
            &["replicas=1", "store.containerPort=8080"],
            "store.containerPort and webhook.containerPort are both 8080, in one pod",
        ),
        (
            &[DEPLOYMENT, TLS, "store.adminPort=8443"],
            "store.containerPort and store.adminPort are both 8443: choose another",
        ),
        (
            &[DEPLOYMENT, TLS, "store.serviceAccount.create=false"],
            "store.serviceAccount.name must name an existing ServiceAccount",
        ),
    ];
    for (values, remedy) in table {
        let output = template(&[&["store.enabled=true"], *values].concat());
        assert!(!output.status.success(), "{values:?} are taken");
        assert!(said(&output).contains(remedy), "{values:?}: {}", said(&output));
        // What is not run is not looked at.
        if !values.iter().any(|value| value.starts_with("store.enabled")) {
            assert!(template(&[&["store.enabled=false"], *values].concat()).status.success(), "{values:?}");
        }
    }
}

#[test]
fn wrong_values_are_refused_by_name() {
    for (value, named) in [
        (r#"store.mode="daemonset""#, "/store/mode"),
        (r#"store.enabled="yes""#, "/store/enabled"),
        ("store.replicas=11", "/store/replicas"),
        (r#"store.database.type="mysql""#, "/store/database/type"),
        (r#"store.database.url="sqlite:x""#, "additional properties 'url' not allowed"),
        (r#"store.database.persistence.size="a lot""#, "/store/database/persistence/size"),
        (r#"store.database.persistence.accessModes=["ReadWriteMany"]"#, "/store/database/persistence/accessModes/0"),
        ("store.database.persistence.accessModes=[]", "/store/database/persistence/accessModes"),
        (r#"store.database.persistence.existingClaim="Data""#, "/store/database/persistence/existingClaim"),
        (r#"store.database.postgres.key="a b""#, "/store/database/postgres/key"),
        (r#"store.database.postgres.url="postgres://u:p@h/d""#, "additional properties 'url' not allowed"),
        (r#"store.tls.secretName="TLS""#, "/store/tls/secretName"),
        (r#"store.tls.authority.key="""#, "/store/tls/authority/key"),
        (r#"store.audience="two words""#, "/store/audience"),
        (r#"store.tombstones="forever""#, "/store/tombstones"),
        ("store.containerPort=80", "/store/containerPort"),
        ("store.adminPort=0", "/store/adminPort"),
        ("store.spoolSize=1", "/store/spoolSize"),
        ("store.extraArgs=[1]", "/store/extraArgs/0"),
        (r#"networkPolicy.storeFrom="all""#, "/networkPolicy/storeFrom"),
    ] {
        let output = template(&["store.enabled=true", "replicas=1", value]);
        assert!(!output.status.success(), "{value} is taken");
        assert!(said(&output).contains(named), "{value}: {}", said(&output));
    }
}

/// The Deployment of this name.
fn deployment<'a>(objects: &'a [Value], name: &str) -> &'a Value {
    of_kind(objects, "Deployment").into_iter().find(|deployment| deployment["metadata"]["name"] == name).unwrap()
}

fn arguments(container: &Value) -> Vec<&str> {
    container["args"].as_array().unwrap().iter().map(|argument| argument.as_str().unwrap()).collect()
}

#[test]
fn no_second_process_is_started_beside_one_that_writes_to_sqlite() {
    for (values, name, strategy) in [
        (SIDECAR_SQLITE, "calendars-cronofy-operator", "Recreate"),
        (DEPLOYMENT_SQLITE, NAME, "Recreate"),
        (DEPLOYMENT_SQLITE, "calendars-cronofy-operator", "RollingUpdate"),
        (SIDECAR_POSTGRES, "calendars-cronofy-operator", "RollingUpdate"),
        (DEPLOYMENT_POSTGRES, NAME, "RollingUpdate"),
    ] {
        let objects = objects(values);
        let deployment = deployment(&objects, name);
        assert_eq!(deployment["spec"]["strategy"]["type"], strategy, "{values:?}");
        if strategy == "Recreate" {
            assert_eq!(deployment["spec"]["replicas"], 1);
            assert_eq!(deployment["spec"]["strategy"], json!({ "type": "Recreate" }), "nothing of the other strategy");
        }
    }
    // Whatever is asked for.
    let asked =
        [SIDECAR_SQLITE, &[r#"updateStrategy={"type":"RollingUpdate","rollingUpdate":{"maxSurge":2}}"#]].concat();
    let objects = objects(&asked);
    assert_eq!(deployment(&objects, "calendars-cronofy-operator")["spec"]["strategy"], json!({ "type": "Recreate" }));
}

/// Token and events go in the clear inside one pod only; operator and readers name the store alike.
#[test]
fn what_is_not_inside_one_pod_is_spoken_over_tls_by_the_name_of_the_service() {
    for (values, own_pods, port) in
        [(SIDECAR_POSTGRES, false, 8443), (DEPLOYMENT_SQLITE, true, 8443), (DEPLOYMENT_POSTGRES, true, 9443)]
    {
        let objects = objects(values);
        let operator = &deployment(&objects, "calendars-cronofy-operator")["spec"]["template"];
        let runs = if own_pods { &deployment(&objects, NAME)["spec"]["template"] } else { operator };
        let store = containers(runs).into_iter().find(|container| container["name"] == "store").unwrap();
        assert!(arguments(store).contains(&format!("--listen=0.0.0.0:{port}").as_str()));
        assert!(arguments(store).contains(&"--tls-cert=/etc/calendar-store/tls/tls.crt"));
        let client = containers(operator).into_iter().find(|container| container["name"] == "operator").unwrap();
        let host = format!("{NAME}.operators.svc");
        assert!(arguments(client).contains(&format!("--store-url=https://{host}:{port}").as_str()));
        assert!(arguments(client).contains(&"--store-ca=/var/run/secrets/calendar-store/ca.crt"));
        let service =
            of_kind(&objects, "Service").into_iter().find(|service| service["metadata"]["name"] == NAME).unwrap();
        assert_eq!(service["spec"]["ports"][0]["port"], port, "as in the URL");
        // A sidecar is called without a way out of the pod and back.
        let aliases = if own_pods { Value::Null } else { json!([{ "ip": "127.0.0.1", "hostnames": [host] }]) };
        assert_eq!(operator["spec"]["hostAliases"], aliases);
    }
    let objects = objects(SIDECAR_SQLITE);
    let pod = &deployment(&objects, "calendars-cronofy-operator")["spec"]["template"];
    let [store, operator] = containers(pod)[..] else { panic!("two containers: {pod}") };
    assert!(arguments(store).contains(&"--listen=127.0.0.1:8081") && !arguments(store).join(" ").contains("tls"));
    assert!(arguments(operator).contains(&"--store-url=http://127.0.0.1:8081"));
    assert!(of_kind(&objects, "Service").iter().all(|service| service["metadata"]["name"] != NAME));
}

#[test]
fn rights_and_files_are_those_of_who_needs_them() {
    for (values, reviewer) in [
        (SIDECAR_SQLITE, "calendars-cronofy-operator"),
        (SIDECAR_POSTGRES, "calendars-cronofy-operator"),
        (DEPLOYMENT_SQLITE, NAME),
        (DEPLOYMENT_POSTGRES, NAME),
    ] {
        let objects = objects(values);
        let delegators: Vec<&Value> = of_kind(&objects, "ClusterRoleBinding")
            .into_iter()
            .filter(|binding| binding["roleRef"]["name"] == "system:auth-delegator")
            .collect();
        let [delegator] = delegators.as_slice() else { panic!("{delegators:?}") };
        assert_eq!(
            delegator["subjects"],
            json!([{ "kind": "ServiceAccount", "name": reviewer, "namespace": "operators" }])
        );
        let role = "calendars-cronofy-operator-events-reader";
        let reader =
            of_kind(&objects, "ClusterRole").into_iter().find(|found| found["metadata"]["name"] == role).unwrap();
        let rules = json!([{ "apiGroups": ["cronofy-operator.dev"], "resources": ["calendarsubscriptions/events"], "verbs": ["get"] }]);
        assert_eq!(reader["rules"], rules);
        assert!(of_kind(&objects, "ClusterRoleBinding").iter().all(|binding| binding["roleRef"]["name"] != role));

        for deployment in of_kind(&objects, "Deployment") {
            let pod = &deployment["spec"]["template"];
            assert_eq!(pod["spec"]["automountServiceAccountToken"], false);
            for container in containers(pod) {
                let mounts = container["volumeMounts"].as_array().unwrap();
                let mounted = |name: &str| mounts.iter().any(|mount| mount["name"] == name);
                let is_store = container["name"] == "store";
                for of_store in ["store-data", "store-database", "store-tls"] {
                    assert!(is_store || !mounted(of_store), "the operator sees neither database nor key");
                }
                assert_eq!(mounted("calendar-store"), !is_store, "the token is the operator's");
                assert!(mounted("access"), "both call the API server");
            }
        }
    }
    let objects = objects(DEPLOYMENT_POSTGRES);
    let volumes = deployment(&objects, NAME)["spec"]["template"]["spec"]["volumes"].as_array().unwrap();
    let database = volumes.iter().find(|volume| volume["name"] == "store-database").unwrap();
    assert_eq!(database["secret"]["items"], json!([{ "key": "uri", "path": "url" }]), "the one key");
}

#[test]
fn the_volume_is_of_the_group_that_writes_to_it_unless_the_platform_chooses_the_group() {
    let group = |values: &[&str]| {
        let objects = objects(values);
        deployment(&objects, "calendars-cronofy-operator")["spec"]["template"]["spec"]["securityContext"]["fsGroup"]
            .clone()
    };
    let with = |value: &str| group(&[SIDECAR_SQLITE, &[value]].concat());
    assert_eq!(group(SIDECAR_SQLITE), 65532);
    assert_eq!(with("podSecurityContext.fsGroup=2000"), 2000);
    assert_eq!(with("podSecurityContext.runAsGroup=null"), Value::Null);
    assert_eq!(group(SIDECAR_POSTGRES), Value::Null);
}

#[test]
fn the_claim_stays_unless_one_says_otherwise_and_is_not_made_where_there_is_one() {
    let claim = |value: &str| {
        let objects = objects(&[SIDECAR_SQLITE, &[value]].concat());
        let claims: Vec<Value> = of_kind(&objects, "PersistentVolumeClaim").into_iter().cloned().collect();
        let pod = deployment(&objects, "calendars-cronofy-operator")["spec"]["template"]["spec"]["volumes"].clone();
        let data = pod.as_array().unwrap().iter().find(|volume| volume["name"] == "store-data").unwrap().clone();
        (claims, data)
    };
    let (claims, data) = claim(r#"store.database.persistence.size="2Gi""#);
    assert_eq!(claims[0]["metadata"]["annotations"]["helm.sh/resource-policy"], "keep");
    assert_eq!(claims[0]["spec"]["resources"]["requests"]["storage"], "2Gi");
    assert_eq!(data["persistentVolumeClaim"]["claimName"], claims[0]["metadata"]["name"]);
    let (claims, _) = claim("store.database.persistence.keep=false");
    assert_eq!(claims[0]["metadata"]["annotations"], Value::Null);
    let (claims, data) = claim(r#"store.database.persistence.existingClaim="mine""#);
    assert!(claims.is_empty() && data["persistentVolumeClaim"]["claimName"] == "mine");
    let (claims, data) = claim("store.database.persistence.ephemeral=true");
    assert!(claims.is_empty() && data["emptyDir"].is_object());
}

#[test]
fn the_network_policies_open_the_store_to_readers_and_its_way_to_the_database() {
    let policies = |values: &[&str]| {
        let objects = objects(&[values, &["networkPolicy.enabled=true"]].concat());
        let policies = of_kind(&objects, "NetworkPolicy").into_iter();
        let policies =
            policies.map(|policy| (policy["metadata"]["name"].as_str().unwrap().to_owned(), policy["spec"].clone()));
        policies.collect::<std::collections::BTreeMap<_, _>>()
    };
    let opens = |policy: &Value, way: &str, port: Value| {
        policy[way]
            .as_array()
            .unwrap()
            .iter()
            .any(|rule| rule["ports"].as_array().unwrap().iter().any(|open| open["port"] == port))
    };
    let operator = "calendars-cronofy-operator";
    let plain = policies(SIDECAR_SQLITE);
    assert!(!opens(&plain[operator], "ingress", json!("store")), "it listens inside the pod only");
    assert!(
        opens(&plain[operator], "ingress", json!("store-metrics")) && !opens(&plain[operator], "egress", json!(5432))
    );
    let sidecar = policies(SIDECAR_POSTGRES);
    assert!(sidecar.len() == 1 && opens(&sidecar[operator], "ingress", json!("store")));
    assert!(opens(&sidecar[operator], "egress", json!(5432)));
    let own = policies(DEPLOYMENT_POSTGRES);
    assert!(opens(&own[operator], "egress", json!(9443)) && !opens(&own[operator], "egress", json!(5432)));
    assert!(opens(&own[NAME], "egress", json!(5432)) && opens(&own[NAME], "egress", json!(6443)));
    // With a list of readers the operator is let in besides.
    let from = &own[NAME]["ingress"][0]["from"];
    assert_eq!(from.as_array().unwrap().len(), 2);
    assert_eq!(from[1]["podSelector"]["matchLabels"]["app.kubernetes.io/name"], "cronofy-operator");
}

#[test]
fn the_notes_tell_how_to_read_and_what_is_missing() {
    let plain = notes(SIDECAR_SQLITE);
    assert!(plain.contains("port-forward deployment/calendars-cronofy-operator 8081"), "{plain}");
    assert!(plain.contains("http://127.0.0.1:8081/v1/namespaces/TEAM/calendarsubscriptions/NAME/events"), "{plain}");
    assert!(
        plain.contains("--clusterrole=calendars-cronofy-operator-events-reader") && !plain.contains("WARNING"),
        "{plain}"
    );
    let own = notes(DEPLOYMENT_POSTGRES);
    assert!(own.contains("must be for calendars-cronofy-operator-store.default.svc") && !own.contains("port-forward"));
    let fleeting =
        notes(&[SIDECAR_SQLITE, &["store.database.persistence.ephemeral=true", "rbac.create=false"]].concat());
    assert!(
        fleeting.contains("the database goes with its pod") && fleeting.contains("system:auth-delegator"),
        "{fleeting}"
    );
    assert!(!notes(&[]).contains("calendar store"));
}

/// The manifests for copies name what the chart makes for the release that they speak of.
#[test]
fn the_examples_for_copies_fit_the_chart() {
    let release =
        ["template", "cronofy-operator", chart().to_str().unwrap(), "--set-json", "store.enabled=true", "--set-json"]
            .map(ToOwned::to_owned);
    let rendered = |value: &str| {
        let arguments: Vec<&str> = release.iter().map(String::as_str).chain([value]).collect();
        let output = helm(&arguments);
        assert!(output.status.success(), "{}", said(&output));
        parsed(&String::from_utf8(output.stdout).unwrap())
    };
    let sidecar = rendered("replicas=1");
    let own = rendered(r#"store={"enabled":true,"mode":"deployment","tls":{"secretName":"tls"}}"#);
    let backup = parsed(include_str!("../../examples/store-backup.yaml"));
    let restore = parsed(include_str!("../../examples/store-restore.yaml"));
    let jobs = [
        &of_kind(&backup, "CronJob")[0]["spec"]["jobTemplate"]["spec"]["template"],
        &of_kind(&restore, "Job")[0]["spec"]["template"],
    ];
    let runs = &jobs[0]["spec"]["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][0];
    let runs = runs["labelSelector"]["matchLabels"].as_object().unwrap();
    for (objects, name) in [(&sidecar, "cronofy-operator"), (&own, "cronofy-operator-store")] {
        let claim = of_kind(objects, "PersistentVolumeClaim")[0]["metadata"]["name"].as_str().unwrap();
        assert_eq!(claim, jobs[0]["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"]);
        let pod = &deployment(objects, name)["spec"]["template"];
        assert!(runs.iter().all(|(key, value)| &pod["metadata"]["labels"][key] == value), "{name} is found");
        let store = containers(pod).into_iter().find(|container| container["name"] == "store").unwrap();
        for job in jobs {
            let container = containers(job)[0];
            for same in ["image", "command", "securityContext"] {
                assert_eq!(container[same], store[same], "{same}");
            }
            assert_eq!(job["spec"]["securityContext"], pod["spec"]["securityContext"]);
        }
        assert!(arguments(store).contains(&arguments(containers(jobs[0])[0])[1]), "the same database");
    }
    for job in jobs {
        let arguments = arguments(containers(job)[0]).into_iter();
        calendar_store::cli::Cli::try_parse_from(std::iter::once("calendar-store").chain(arguments)).unwrap();
    }
}

#[tokio::test]
async fn a_release_takes_up_a_store_and_moves_it_and_the_server_takes_each_way() {
    let plane = plane().await;
    let deployments: Api<Deployment> = Api::namespaced(plane.admin().unwrap(), NAMESPACE);
    let strategy = async |name: &str| {
        let strategy = deployments.get(name).await.unwrap().spec.strategy.unwrap();
        (strategy.type_.unwrap(), strategy.rolling_update.is_some())
    };
    // From no store on, as a person would go.
    installed(&plane, &["replicas=2"]);
    let operator = "calendars-cronofy-operator";
    assert_eq!(strategy(operator).await, ("RollingUpdate".to_owned(), true));
    installed(&plane, &["replicas=1", "store.enabled=true"]);
    assert_eq!(strategy(operator).await, ("Recreate".to_owned(), false));
    let account = plane.service_account_access(NAMESPACE, operator).await.unwrap();
    let may = async |access: &testenv::Access, verb: &str, resource: &str| {
        let asked = ["auth", "can-i", verb, resource];
        plane.kubectl_as(access, asked, "").await.unwrap().status.success()
    };
    let reviews = ["tokenreviews.authentication.k8s.io", "subjectaccessreviews.authorization.k8s.io"];
    for review in reviews {
        assert!(may(&account, "create", review).await, "the sidecar asks with the operator's rights");
    }
    let own = ["store.enabled=true", TLS, DEPLOYMENT];
    installed(&plane, &own);
    assert_eq!(strategy(operator).await, ("RollingUpdate".to_owned(), true));
    assert_eq!(strategy(NAME).await, ("Recreate".to_owned(), false));
    let store = plane.service_account_access(NAMESPACE, NAME).await.unwrap();
    for review in reviews {
        assert!(may(&store, "create", review).await && !may(&account, "create", review).await, "whose right it is");
    }
    assert!(!may(&store, "list", "calendarsubscriptions.cronofy-operator.dev").await, "it reads no subscriptions");
    installed(&plane, &[&own[..], &[POSTGRES, SECRET, "store.replicas=2"]].concat());
    assert_eq!(strategy(NAME).await, ("RollingUpdate".to_owned(), true));
    installed(&plane, &["store.enabled=true", TLS, POSTGRES, SECRET]);
    assert!(deployments.get_opt(NAME).await.unwrap().is_none());
    let claims = ["get", "pvc", "--namespace", NAMESPACE, "--output", "name"];
    assert!(plane.kubectl(claims).await.unwrap().stdout.contains(NAME), "the claim is kept");
}
