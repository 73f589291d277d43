use std::path::Path;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose, date_time_ymd,
};

use super::*;

/// Issues certificates for `localhost`.
pub(in crate::webhook) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate with its key.
pub(in crate::webhook) struct Issued {
    pub(in crate::webhook) certificate: Certificate,
    pub(in crate::webhook) key: KeyPair,
}

impl Authority {
    pub(in crate::webhook) fn new() -> Self {
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        Self(CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap())
    }

    /// One that expires at the beginning of a year.
    pub(in crate::webhook) fn issue(&self, expires: i32) -> Issued {
        let mut parameters = CertificateParams::new(["localhost".to_owned()]).unwrap();
        parameters.not_after = date_time_ymd(expires, 1, 1);
        let key = KeyPair::generate().unwrap();
        Issued { certificate: parameters.signed_by(&key, &self.0).unwrap(), key }
    }

    pub(in crate::webhook) fn certificate(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }
}

impl Issued {
    /// Writes both halves into a folder.
    pub(in crate::webhook) fn write(&self, folder: &Path) -> PairFiles {
        let files = files(folder);
        std::fs::write(&files.certificate, self.certificate.pem()).unwrap();
        std::fs::write(&files.key, self.key.serialize_pem()).unwrap();
        files
    }
}

pub(in crate::webhook) fn files(folder: &Path) -> PairFiles {
    PairFiles { certificate: folder.join("tls.crt"), key: folder.join("tls.key") }
}

fn check(certificate: &str, key: &str) -> Result<Pair, PairProblem> {
    let text = PairText { certificate: certificate.as_bytes().to_vec(), key: key.as_bytes().to_vec() };
    files(Path::new("/tls")).check(&text)
}

#[test]
fn a_pair_tells_when_its_certificate_expires() {
    let (authority, other) = (Authority::new(), Authority::new());
    let Issued { certificate, key } = authority.issue(2041);
    let chain = certificate.pem() + &other.issue(2030).certificate.pem() + "\nnotes of somebody\n";
    let pair = check(&chain, &key.serialize_pem()).unwrap();
    assert_eq!(pair.expires, Some("2041-01-01T00:00:00Z".parse().unwrap()), "the first one counts");
    assert_eq!(pair.config.alpn_protocols, [b"http/1.1"]);
    assert_eq!(format!("{pair:?}"), "Pair { expires: Some(2041-01-01T00:00:00Z), .. }");
    let both = key.serialize_pem() + &chain;
    check(&both, &both).unwrap();
}

#[test]
fn what_is_no_pair_is_told_in_one_line_with_the_flag_and_nothing_of_the_key() {
    let authority = Authority::new();
    let (one, two) = (authority.issue(2041), authority.issue(2042));
    let (certificate, key) = (one.certificate.pem(), one.key.serialize_pem());
    let (other, secret) = (two.certificate.pem(), key.lines().nth(1).unwrap().to_owned());
    let torn = key.replace("-----END", "----END");
    let spoiled = certificate.replacen("MII", "MIJ", 1);
    let table = [
        (certificate.as_str(), two.key.serialize_pem(), "--webhook-tls-key /tls/tls.key is not the key of the first"),
        (&(other + &certificate), key.clone(), "put the certificate before its chain"),
        ("", key.clone(), "--webhook-tls-cert /tls/tls.crt holds no certificate"),
        (&key, key.clone(), "--webhook-tls-cert /tls/tls.crt holds no certificate"),
        (&certificate, String::new(), "--webhook-tls-key /tls/tls.key holds no private key"),
        (&certificate, certificate.clone(), "--webhook-tls-key /tls/tls.key holds no private key"),
        (&certificate, torn, "--webhook-tls-key /tls/tls.key holds no private key"),
        (&certificate, key.replace("PRIVATE", "ENCRYPTED PRIVATE"), "not encrypted"),
        (&certificate, key.replace(&secret, &secret[1..]), "--webhook-tls-"),
        (&spoiled, key.clone(), "the certificate in --webhook-tls-cert /tls/tls.crt cannot be served"),
    ];
    for (certificate, key, said) in table {
        let problem = check(certificate, &key).unwrap_err();
        let text = problem.to_string();
        assert!(text.contains(said) && text.lines().count() == 1, "{said}: {text}");
        for shown in [text, format!("{problem:?}")] {
            assert!(!shown.contains(&secret[..20]) && !shown.contains("BEGIN"), "{shown}");
        }
    }
}

#[tokio::test]
async fn a_file_that_is_not_there_is_named_and_what_is_read_is_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let files = Authority::new().issue(2041).write(folder.path());
    let text = files.read().await.unwrap();
    assert_eq!(format!("{text:?}"), "PairText { .. }");
    files.check(&text).unwrap();
    std::fs::remove_file(&files.key).unwrap();
    let problem = files.read().await.unwrap_err().to_string();
    assert!(
        problem.starts_with("--webhook-tls-key ") && problem.contains("tls.key cannot be read: No such"),
        "{problem}"
    );
}

#[test]
fn a_fingerprint_tells_every_change() {
    let text = |certificate: &str, key: &str| PairText { certificate: certificate.into(), key: key.into() };
    let all = [text("a", "b"), text("ab", ""), text("", "ab"), text("a", "c")].map(|text| text.fingerprint());
    assert!((1..all.len()).all(|at| !all[..at].contains(&all[at])));
    assert_eq!(text("a", "b").fingerprint(), all[0]);
}
