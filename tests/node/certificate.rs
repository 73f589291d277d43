//! TLS that ends in the pods, with a certificate that is renewed in its Secret.

use std::time::Duration;

use kube::ResourceExt as _;
use serde_json::json;
use testenv::{Authority, Issued, eventually};

use crate::stage::{OPERATORS, PATIENCE, Stage, chart};
use crate::stream::Calendars;

const SECRET: &str = "webhook-tls";
/// Midnight of the first day of 2040 and of 2041, as a time in seconds.
const ENDS: [(i32, f64); 2] = [(2040, 2_208_988_800.0), (2041, 2_240_611_200.0)];

/// Puts a new certificate for the webhook's address into the Secret; it ends with the first day of this year.
async fn issue(stage: &Stage, authority: &Authority, ends: i32) {
    let Issued { certificate, key, .. } = authority.issue_until(&[&stage.webhook_address()], ends).unwrap();
    let secret = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "metadata": { "name": SECRET, "namespace": OPERATORS },
        "stringData": { "tls.crt": certificate, "tls.key": key },
    });
    stage.apply(&secret.to_string()).await;
}

/// Waits until all replicas serve the certificate that ends then.
async fn served(stage: &Stage, ends: f64) {
    const METRIC: &str = "cronofy_operator_webhook_certificate_expiry_timestamp_seconds ";
    let client = reqwest::Client::builder().timeout(Duration::from_secs(10)).build().unwrap();
    let all = eventually("both replicas serve it", PATIENCE, async || {
        for pod in stage.ready_pods(2).await {
            let address = pod.status?.pod_ip?;
            let text = client.get(format!("http://{address}:9090/metrics")).send().await.ok()?.text().await.ok()?;
            let value: f64 = text.lines().find_map(|line| line.strip_prefix(METRIC))?.parse().ok()?;
            (value.total_cmp(&ends).is_eq()).then_some(())?;
        }
        Some(())
    });
    all.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_renewed_in_its_secret_and_no_notification_is_refused() {
    let authority = Authority::generate().unwrap();
    let mut stage = Stage::trusting(authority.pem()).await;
    let [(first, first_ends), (second, second_ends)] = ENDS;
    issue(&stage, &authority, first).await;
    let base = format!("webhook.baseUrl={}", json!(format!("https://{}", stage.webhook_address())));
    let secret = format!("webhook.tls.secretName={}", json!(SECRET));
    stage.install(&chart(), &[&base, "webhook.allowHttp=false", &secret]).await;
    served(&stage, first_ends).await;

    let mut calendars = Calendars::subscribe(&stage).await;
    let renewal = async |stage: &mut Stage| {
        issue(stage, &authority, second).await;
        // The kubelet looks at mounted Secrets about once a minute, and at once when a pod has changed.
        for pod in stage.pods().await {
            stage.kubectl(&["annotate", "pod", &pod.name_any(), "turn=two", "--namespace", OPERATORS]).await;
        }
        served(stage, second_ends).await;
    };
    assert_eq!(calendars.survive(&mut stage, "renewal of the certificate", renewal).await, 0);
    let tested = stage.helm(&["test", crate::stage::RELEASE, "--timeout", "60s", "--logs"]).await;
    assert!(tested.contains("Succeeded"), "{tested}");
}
