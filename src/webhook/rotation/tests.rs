use std::path::Path;

use testenv::Authority;

use super::*;
use crate::admin::Health;
use crate::metrics::exposition::sample;
use crate::webhook::fake::{files, issue};

struct Bench {
    folder: tempfile::TempDir,
    authority: Authority,
    health: Health,
    metrics: Metrics,
    rotation: Rotation,
    certificates: Certificates,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (health, metrics) = (Health::new(), Metrics::new());
        let component = health.component("webhook certificate");
        let (rotation, certificates) = Rotation::new(files(folder.path()), component, metrics.clone());
        Self { folder, authority: Authority::generate().unwrap(), health, metrics, rotation, certificates }
    }

    /// Looks, and gives whether what is served has changed.
    async fn look(&mut self) -> bool {
        let before = self.certificates.current();
        self.rotation.look().await;
        match (before, self.certificates.current()) {
            (Some(before), Some(after)) => !Arc::ptr_eq(&before, &after),
            (before, after) => before.is_some() != after.is_some(),
        }
    }

    fn expiry(&self) -> f64 {
        sample(&self.metrics, "cronofy_operator_webhook_certificate_expiry_timestamp_seconds", &[])
    }

    fn refused(&self) -> bool {
        sample(&self.metrics, "cronofy_operator_webhook_certificate_refused", &[]) == 1.0
    }
}

#[tokio::test]
async fn a_pair_that_is_missing_is_waited_for_and_taken_up_when_it_comes() {
    let mut bench = Bench::new();
    assert!(!bench.look().await);
    assert!(bench.refused());
    assert_eq!(bench.expiry(), 0.0);
    let pending = bench.health.pending();
    assert!(pending[0].starts_with("webhook certificate: --webhook-tls-cert "), "{pending:?}");
    assert!(pending[0].contains("tls.crt cannot be read: No such file"), "{pending:?}");

    let issued = issue(&bench.authority, 2041);
    let [_, key] = issued.write(bench.folder.path()).unwrap();
    std::fs::write(key, issue(&bench.authority, 2041).key).unwrap();
    assert!(!bench.look().await);
    assert!(
        bench.health.pending()[0].contains("is not the key of the first certificate"),
        "{:?}",
        bench.health.pending()
    );

    issued.write(bench.folder.path()).unwrap();
    assert!(bench.look().await);
    assert!(bench.health.pending().is_empty() && !bench.refused());
    assert_eq!(bench.expiry(), 2_240_611_200.0, "the beginning of 2041");
    assert_eq!(format!("{:?}", bench.certificates), "Certificates { present: true, .. }");
}

#[tokio::test]
async fn a_bad_pair_changes_nothing_but_the_metric_and_a_good_one_is_taken_up_once() {
    let mut bench = Bench::new();
    let first = issue(&bench.authority, 2041);
    let [certificate, _] = first.write(bench.folder.path()).unwrap();
    assert!(bench.look().await);
    assert!(!bench.look().await, "the same files are the same pair");

    for spoil in [
        |certificate: &Path| std::fs::write(certificate, "nothing of use").unwrap(),
        |certificate: &Path| std::fs::remove_file(certificate).unwrap(),
    ] {
        spoil(&certificate);
        assert!(!bench.look().await);
        assert!(bench.refused() && bench.health.pending().is_empty(), "it goes on to serve");
        assert_eq!(bench.expiry(), 2_240_611_200.0);
    }

    first.write(bench.folder.path()).unwrap();
    assert!(!bench.look().await, "what is served stands there again");
    assert!(!bench.refused());

    issue(&bench.authority, 2042).write(bench.folder.path()).unwrap();
    assert!(bench.look().await);
    assert_eq!(bench.expiry(), 2_272_147_200.0, "the beginning of 2042");
}

#[tokio::test]
async fn a_volume_that_is_swapped_by_its_link_is_seen() {
    let mut bench = Bench::new();
    let root = bench.folder.path().to_owned();
    let put = |name: &str, year: i32| {
        std::fs::create_dir(root.join(name)).unwrap();
        issue(&bench.authority, year).write(&root.join(name)).unwrap();
        std::os::unix::fs::symlink(name, root.join("..next")).unwrap();
        std::fs::rename(root.join("..next"), root.join("..data")).unwrap();
    };
    put("..one", 2041);
    for file in ["tls.crt", "tls.key"] {
        std::os::unix::fs::symlink(Path::new("..data").join(file), root.join(file)).unwrap();
    }
    bench.rotation.look().await;
    assert_eq!(bench.expiry(), 2_240_611_200.0);
    put("..two", 2042);
    bench.rotation.look().await;
    assert_eq!(bench.expiry(), 2_272_147_200.0);
}
