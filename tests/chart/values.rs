//! Wrong values are refused, and the answer names them.

use serde_json::Value;

use crate::helm::{chart, helm, helm_3, notes, objects, parsed, rendered, said, template, template_by};
use crate::render::MATRIX;

#[test]
fn helm_3_lints_the_chart_and_renders_the_same_as_helm_4() {
    let lint = helm_3(&["lint", "--strict", chart().to_str().unwrap()]);
    assert!(lint.status.success(), "{}{}", String::from_utf8_lossy(&lint.stdout), said(&lint));
    for values in MATRIX {
        // Its releases know a version of Kubernetes that it takes where there is no cluster; what is built here does not.
        let output = template_by(|arguments| helm_3(&[arguments, &["--kube-version", "1.37.2"]].concat()), values);
        assert!(output.status.success(), "{values:?}: {}", said(&output));
        let in_order = |mut objects: Vec<Value>| {
            objects.sort_by_key(|object| (object["kind"].to_string(), object["metadata"].to_string()));
            objects
        };
        let objects_of_3 = parsed(&String::from_utf8(output.stdout).unwrap());
        assert_eq!(in_order(objects_of_3), in_order(objects(values)), "{values:?}");
    }
}

#[test]
fn helm_lints_the_chart_without_a_warning() {
    let output = helm(&["lint", "--strict", chart().to_str().unwrap()]);
    assert!(output.status.success(), "{}{}", String::from_utf8_lossy(&output.stdout), said(&output));
}

#[test]
fn wrong_values_are_refused_by_name() {
    let table = [
        (r#"replicas="two""#, "/replicas"),
        ("replicas=11", "/replicas"),
        ("replica=2", "additional properties 'replica' not allowed"),
        (r#"webhook.baseUrl="calendars.example.org""#, "/webhook/baseUrl"),
        (r#"webhook.baseUrl="https://ana@example.org""#, "/webhook/baseUrl"),
        (r#"webhook.baseURL="https://example.org""#, "additional properties 'baseURL' not allowed"),
        ("webhook.containerPort=80", "/webhook/containerPort"),
        (r#"webhook.tls.secretName="TLS""#, "/webhook/tls/secretName"),
        (r#"webhook.tls.secret="tls""#, "additional properties 'secret' not allowed"),
        (r#"webhook.service.type="ExternalName""#, "/webhook/service/type"),
        (r#"watchNamespaces=["a","a"]"#, "/watchNamespaces"),
        (r#"watchNamespaces=["A"]"#, "/watchNamespaces/0"),
        (r#"watchNamespaces="a""#, "/watchNamespaces"),
        (r#"application.dataCenter="eu""#, "/application/dataCenter"),
        (r#"image.digest="latest""#, "/image/digest"),
        (r#"image.pullPolicy="Sometimes""#, "/image/pullPolicy"),
        (r#"log.format="xml""#, "/log/format"),
        (r#"tracing.endpoint="collector:4318""#, "/tracing/endpoint"),
        ("tracing.sampleRatio=1.5", "/tracing/sampleRatio"),
        ("terminationGracePeriodSeconds=10", "/terminationGracePeriodSeconds"),
        (r#"podDisruptionBudget.maxUnavailable="one""#, "/podDisruptionBudget/maxUnavailable"),
        (r#"commonLabels={"team": 1}"#, "/commonLabels/team"),
    ];
    for (value, named) in table {
        let output = template(&[value]);
        assert!(!output.status.success(), "{value} is taken");
        assert!(said(&output).contains(named), "{value}: {}", said(&output));
    }
}

#[test]
fn values_that_do_not_fit_together_are_refused_with_the_remedy() {
    let table: [(&[&str], &str); 8] = [
        (&["webhook.ingress.enabled=true"], "webhook.baseUrl must be set"),
        (
            &["webhook.httpRoute.enabled=true", r#"webhook.baseUrl="https://a.example.org""#],
            "parentRefs must name a Gateway",
        ),
        (&[r#"webhook.tls.secretName="tls""#], "webhook.baseUrl must be set"),
        (&["serviceAccount.create=false"], "serviceAccount.name must name an existing ServiceAccount"),
        (
            &["metrics.serviceMonitor.enabled=true", "metrics.service.enabled=false"],
            "needs metrics.service.enabled: true",
        ),
        (&["metrics.serviceMonitor.enabled=true", "metrics.podMonitor.enabled=true"], "enable one of them"),
        (&[r#"webhook.baseUrl="http://a.example.org""#], "webhook.allowHttp"),
        (&["drainSeconds=60"], "terminationGracePeriodSeconds must be at least"),
    ];
    for (values, remedy) in table {
        let output = template(values);
        assert!(!output.status.success(), "{values:?} are taken");
        assert!(said(&output).contains(remedy), "{values:?}: {}", said(&output));
    }
}

#[test]
fn the_notes_warn_of_an_address_that_cronofy_cannot_reach() {
    for host in ["localhost", "operator.calendars.svc", "10.1.2.3", "192.168.0.7", "gateway", "calendars.internal"] {
        let base = format!(r#"webhook.baseUrl="https://{host}/in""#);
        assert!(notes(&[&base]).contains("WARNING: webhook.baseUrl cannot work as it is"), "{host}");
    }
    let plain = notes(&["webhook.allowHttp=true", r#"webhook.baseUrl="http://calendars.example.org""#]);
    assert!(plain.contains("It does not begin with https://"), "{plain}");
    let good = notes(&[r#"webhook.baseUrl="https://calendars.example.org:8443/in/""#]);
    assert!(!good.contains("WARNING"), "{good}");
    assert!(good.contains("Cronofy calls https://calendars.example.org:8443/in/hook/…"), "{good}");
    let secured = notes(&[r#"webhook.baseUrl="https://calendars.example.org""#, r#"webhook.tls.secretName="tls""#]);
    assert!(secured.contains("-webhook, port 443, which speaks https."), "{secured}");
    assert!(notes(&[]).contains("subscriptions must say `mode: Poll`"));
}

#[test]
fn the_longest_base_url_is_the_one_that_the_operator_takes() {
    let room = calendar_sync::LONGEST_CALLBACK_URL - calendar_sync::channel::callback_url("", "", 1).len();
    let base = |length: usize| format!("https://{}", "a".repeat(length - "https://".len()));
    rendered(&[&format!(r#"webhook.baseUrl="{}""#, base(room))]);
    let output = template(&[&format!(r#"webhook.baseUrl="{}""#, base(room + 1))]);
    assert!(said(&output).contains("/webhook/baseUrl"), "{}", said(&output));
}
