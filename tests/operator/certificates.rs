//! TLS in the pod: notifications arrive over it, certificates are replaced while it runs, and nobody can hold it up.
#![allow(clippy::float_cmp, reason = "whole seconds are exact")]

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cronofy_sim::Options;
use reqwest::tls::TlsInfo;
use serde_json::json;
use testenv::{Authority, Issued, eventually};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::support::hook::{self, post_signed, raw};
use crate::support::world::CLIENT_SECRET;
use crate::support::{Operator, PATIENCE, World, event};

const REFUSED: &str = "cronofy_operator_webhook_certificate_refused";
const EXPIRY: &str = "cronofy_operator_webhook_certificate_expiry_timestamp_seconds";

/// A world whose Cronofy trusts an authority of its own, and a folder with what the webhook serves.
struct Bench {
    world: World,
    folder: tempfile::TempDir,
    authority: Authority,
}

impl Bench {
    async fn start(name: &str) -> Self {
        let authority = Authority::generate().unwrap();
        let cronofy = Options { trusted_certificates: authority.pem(), ..Options::default() };
        let world = World::with(testenv::shared().await.unwrap(), name, cronofy).await;
        Self { world, folder: tempfile::tempdir().unwrap(), authority }
    }

    /// Issues one that expires at the beginning of a year.
    fn issue(&self, year: i32) -> Issued {
        self.authority.issue_until(&["127.0.0.1"], year).unwrap()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Replaces both files in one step, as the kubelet does for the volume of a Secret.
    fn put(&self, name: &str, certificate: &str, key: &str) {
        std::fs::create_dir(self.file(name)).unwrap();
        std::fs::write(self.file(name).join("tls.crt"), certificate).unwrap();
        std::fs::write(self.file(name).join("tls.key"), key).unwrap();
        std::os::unix::fs::symlink(name, self.file("..next")).unwrap();
        std::fs::rename(self.file("..next"), self.file("..data")).unwrap();
        for file in ["tls.crt", "tls.key"] {
            let _there_already = std::os::unix::fs::symlink(PathBuf::from("..data").join(file), self.file(file));
        }
    }

    async fn spawn(&self, environment: &[(&str, &str)]) -> Operator {
        let mut options = self.world.operator_options().await;
        let (certificate, key) = (self.file("tls.crt"), self.file("tls.key"));
        options.arguments = ["--webhook-tls-cert", certificate.to_str().unwrap()].map(ToOwned::to_owned).to_vec();
        options.arguments.extend(["--webhook-tls-key", key.to_str().unwrap()].map(ToOwned::to_owned));
        options.arguments.extend(["--webhook-tls-check-period", "1"].map(ToOwned::to_owned));
        options.environment.extend(environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        Operator::spawn(&options).await
    }

    /// A client as Cronofy's: each request on a connection of its own.
    fn client(&self) -> reqwest::Client {
        let authority = reqwest::Certificate::from_pem(self.authority.pem().as_bytes()).unwrap();
        let builder = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).timeout(PATIENCE);
        builder.tls_certs_only([authority]).tls_info(true).build().unwrap()
    }

    /// The certificate that a new connection is served with.
    async fn served(&self, operator: &Operator) -> Option<Vec<u8>> {
        let answer = self.client().get(operator.base()).send().await.ok()?;
        Some(answer.extensions().get::<TlsInfo>()?.peer_certificate()?.to_vec())
    }

    async fn serves(&self, operator: &Operator, pair: &Issued) {
        let seen = eventually("new connections see the new certificate", PATIENCE, async || {
            (self.served(operator).await? == pair.der).then_some(())
        });
        seen.await.unwrap_or_else(|error| panic!("{error}; the log is\n{}", operator.log().join("\n")));
    }
}

/// The lines of the log with this text.
fn logged(operator: &Operator, text: &str) -> usize {
    operator.log().iter().filter(|line| line.contains(text)).count()
}

#[tokio::test]
async fn notifications_arrive_over_tls_and_none_is_refused_while_the_certificate_is_replaced() {
    let bench = Bench::start("tls").await;
    let first = bench.issue(2041);
    bench.put("..1", &first.certificate, &first.key);
    let operator = bench.spawn(&[]).await;
    operator.wait_ready().await;
    let world = &bench.world;
    world.subscribe("all", json!({})).await;
    world.at_rest("all").await;
    world.sim.put_event(&world.account, event("over TLS", 1)).unwrap();
    world.titles("all", &["over TLS"]).await;
    let deliveries = world.sim.deliveries();
    assert!(deliveries.iter().any(|delivery| delivery.kind == "change"));
    assert!(deliveries.iter().all(|delivery| delivery.status == Some(204)), "{deliveries:?}");
    assert_eq!(operator.metric(EXPIRY).await, 2_240_611_200.0);

    let channel = world.channel(world.ns(), "all", &world.account).await;
    assert!(channel.callback_url.starts_with("https://"), "{}", channel.callback_url);
    let over = Arc::new(AtomicBool::new(false));
    let knocking = tokio::spawn({
        let (client, over, channel) = (bench.client(), Arc::clone(&over), channel.clone());
        async move {
            let mut accepted = 0;
            while !over.load(Ordering::Relaxed) {
                let body = hook::change(&channel, hook::minutes_ago(1));
                let answer = post_signed(&client, &channel.callback_url, CLIENT_SECRET, &body).await;
                assert_eq!(answer.bare(), 204, "after {accepted}");
                accepted += 1;
            }
            accepted
        }
    });
    let (second, third) = (bench.issue(2042), bench.issue(2043));
    bench.put("..2", &second.certificate, &second.key);
    bench.serves(&operator, &second).await;
    assert_eq!(operator.metric(EXPIRY).await, 2_272_147_200.0);

    // A pair that does not match changes nothing, and is told once.
    bench.put("..3", &third.certificate, &second.key);
    let told = async || (operator.metric(REFUSED).await > 0.0).then_some(());
    eventually("the metric tells that the pair is refused", PATIENCE, told).await.unwrap();
    assert_eq!(bench.served(&operator).await.unwrap(), second.der);
    assert_eq!(operator.metric(EXPIRY).await, 2_272_147_200.0);
    operator.wait_ready().await;

    bench.put("..4", &third.certificate, &third.key);
    bench.serves(&operator, &third).await;
    let told = async || (operator.metric(REFUSED).await < 1.0).then_some(());
    eventually("the metric tells that all is well", PATIENCE, told).await.unwrap();
    let refusals = logged(&operator, "is not the key of the first certificate");
    assert_eq!(refusals, 1, "{:#?}", operator.log());

    over.store(true, Ordering::Relaxed);
    let accepted: usize = knocking.await.unwrap();
    assert!(accepted > 0);
    assert!(operator.terminate().await);
}

#[tokio::test]
async fn a_pair_that_is_missing_at_the_start_is_told_and_taken_up_without_a_restart() {
    let bench = Bench::start("tls-late").await;
    let pair = bench.issue(2041);
    let operator = bench.spawn(&[("RUST_LOG", "trace")]).await;
    let said = operator.says("webhook certificate: ").await;
    let missing =
        format!("webhook certificate: --webhook-tls-cert {} cannot be read: ", bench.file("tls.crt").display());
    assert!(said.starts_with(&missing) && said.ends_with("taken up without a restart"), "{said}");
    assert!(bench.served(&operator).await.is_none());

    bench.put("..1", &pair.certificate, "-----BEGIN PRIVATE KEY-----\nbm90IGEga2V5\n-----END PRIVATE KEY-----\n");
    operator.says("the certificate in --webhook-tls-cert").await;
    bench.put("..2", &pair.certificate, &pair.key);
    operator.wait_ready().await;
    assert_eq!(bench.served(&operator).await.unwrap(), pair.der);
    assert_eq!(logged(&operator, "the webhook has no certificate yet"), 2, "one line for each cause");
    let log = operator.log().join("\n");
    assert!(log.contains("\"TRACE\""), "everything is logged");
    for line in pair.key.lines().filter(|line| !line.starts_with("-----")).chain(["bm90IGEga2V5"]) {
        assert!(!log.contains(line), "the log has a part of the key");
    }

    // Asked as the chart's test asks it, under the name of a Service, and as a stranger would.
    let ask = async |more: &[&str]| {
        let webhook = format!("https://localhost:{}", operator.webhook.port());
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_cronofy-operator"));
        let output = command.args(["probe", "--webhook", &webhook]).args(more).output().await.unwrap();
        (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    };
    let (success, said) = ask(&["--any-certificate"]).await;
    assert!(success && said.contains("answers 405"), "{said}");
    let (success, said) = ask(&[]).await;
    assert!(!success && said.contains("does not answer") && said.contains("certificate"), "{said}");
    assert!(operator.terminate().await);
}

#[tokio::test]
async fn who_speaks_no_tls_and_half_open_handshakes_do_not_hold_a_notification_up() {
    let bench = Bench::start("tls-slow").await;
    let pair = bench.issue(2041);
    bench.put("..1", &pair.certificate, &pair.key);
    let operator = bench.spawn(&[]).await;
    operator.wait_ready().await;
    let world = &bench.world;
    world.subscribe("all", json!({})).await;
    world.at_rest("all").await;

    let plain =
        raw(operator.webhook, b"POST /hook/x HTTP/1.1\r\nHost: hooks.example.org\r\nContent-Length: 2\r\n\r\n{}").await;
    assert!(!plain.contains("HTTP/1.1"), "{plain}");
    let mut open = Vec::new();
    for number in 0..200 {
        let mut stream = TcpStream::connect(operator.webhook).await.unwrap();
        // Nothing, or the head of a record that announces more.
        let begun: &[u8] = if number % 2 == 0 { &[] } else { &[0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00] };
        stream.write_all(begun).await.unwrap();
        open.push(stream);
    }
    world.sim.put_event(&world.account, event("in time", 1)).unwrap();
    world.sim.settle().await;
    let deliveries = world.sim.deliveries();
    let changes: Vec<_> = deliveries.iter().filter(|delivery| delivery.kind == "change").collect();
    assert_eq!(changes.len(), 1, "Cronofy has to deliver but once");
    assert_eq!(changes[0].status, Some(204));
    world.titles("all", &["in time"]).await;
    eventually("the half-open handshakes are ended", PATIENCE, async || {
        (operator.metric("cronofy_operator_webhook_connections").await < 1.0).then_some(())
    })
    .await
    .unwrap();
    assert!(operator.metric("cronofy_operator_webhook_tls_handshake_failures_total").await >= 201.0);
    drop(open);
}
