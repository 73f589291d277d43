use std::path::Path;

use testenv::{Authority, Issued};

use super::*;

fn files(folder: &Path) -> PairFiles {
    PairFiles {
        certificate: PairFile { flag: "webhook-tls-cert", path: folder.join("tls.crt") },
        key: PairFile { flag: "webhook-tls-key", path: folder.join("tls.key") },
    }
}

fn authority() -> Authority {
    testenv::install_tls_provider();
    Authority::generate().unwrap()
}

fn issue(authority: &Authority, year: i32) -> Issued {
    authority.issue_until(&["localhost"], year).unwrap()
}

fn check(certificate: &str, key: &str) -> Result<Pair, PairProblem> {
    let text = PairText { certificate: certificate.as_bytes().to_vec(), key: key.as_bytes().to_vec() };
    files(Path::new("/tls")).check(&text)
}

#[test]
fn a_pair_tells_when_its_certificate_expires() {
    let (authority, other) = (authority(), authority());
    let Issued { certificate, key, .. } = issue(&authority, 2041);
    let chain = certificate + &issue(&other, 2030).certificate + "\nnotes of somebody\n";
    let pair = check(&chain, &key).unwrap();
    assert_eq!(pair.expires, Some("2041-01-01T00:00:00Z".parse().unwrap()), "the first one counts");
    assert_eq!(pair.config.alpn_protocols, [b"http/1.1"]);
    assert_eq!(format!("{pair:?}"), "Pair { expires: Some(2041-01-01T00:00:00Z), .. }");
    let both = key + &chain;
    check(&both, &both).unwrap();
}

#[test]
fn what_is_no_pair_is_told_in_one_line_with_the_flag_and_nothing_of_the_key() {
    let authority = authority();
    let (one, two) = (issue(&authority, 2041), issue(&authority, 2042));
    let (certificate, key) = (one.certificate, one.key);
    let (other, secret) = (two.certificate, key.lines().nth(1).unwrap().to_owned());
    let torn = key.replace("-----END", "----END");
    let spoiled = certificate.replacen("MII", "MIJ", 1);
    let table = [
        (certificate.as_str(), two.key, "--webhook-tls-key /tls/tls.key is not the key of the first"),
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
    issue(&authority(), 2041).write(folder.path()).unwrap();
    let files = files(folder.path());
    let text = files.read().await.unwrap();
    assert_eq!(format!("{text:?}"), "PairText { .. }");
    files.check(&text).unwrap();
    std::fs::remove_file(&files.key.path).unwrap();
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
