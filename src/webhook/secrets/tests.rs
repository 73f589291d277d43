use cronofy::signature::sign;
use futures::future::join_all;

use super::*;
use crate::webhook::fake::{Fake, Fault};

type Values<'a> = &'a [(&'a str, &'a str)];

const BODY: &[u8] = br#"{"example":"well-known"}"#;

fn signed(secret: &str) -> Vec<u8> {
    sign(&SecretString::from(secret), BODY).into_bytes()
}

fn reader(fake: &Fake) -> SecretReader {
    SecretReader::new(fake.client())
}

fn reads(fake: &Fake) -> usize {
    fake.state().reads("secrets")
}

#[tokio::test(start_paused = true)]
async fn a_secret_is_read_once_a_minute_however_many_ask() {
    let fake = Fake::default();
    fake.secret("credentials", &[("client_secret", "one")]);
    let reader = reader(&fake);
    let all = join_all((0..100).map(|_| reader.secrets("platform", "credentials"))).await;
    assert!(
        all.iter().all(|secrets| secrets.as_ref().unwrap().verify(&signed("one"), BODY) == Ok(SecretSlot::Current))
    );
    assert_eq!(reads(&fake), 1);
    tokio::time::advance(Duration::from_millis(59_999)).await;
    reader.secrets("platform", "credentials").await.unwrap();
    assert_eq!(reads(&fake), 1);
    tokio::time::advance(Duration::from_millis(1)).await;
    reader.secrets("platform", "credentials").await.unwrap();
    assert_eq!(reads(&fake), 2);
    assert!(fake.state().requests.iter().all(|r| r == "GET /api/v1/namespaces/platform/secrets/credentials"));
}

#[tokio::test(start_paused = true)]
async fn an_exchanged_secret_is_found_by_one_more_read_and_forged_requests_cause_few() {
    let fake = Fake::default();
    fake.secret("credentials", &[("client_secret", "one")]);
    let reader = reader(&fake);
    let known = reader.secrets("platform", "credentials").await.unwrap();
    tokio::time::advance(SPACING).await;
    fake.secret("credentials", &[("client_secret", "two"), ("client_secret_previous", "one")]);
    let all = join_all((0..1_000).map(|_| reader.newer("platform", "credentials", &known))).await;
    for newer in all {
        let newer = newer.unwrap();
        assert_eq!(newer.verify(&signed("two"), BODY), Ok(SecretSlot::Current));
        assert_eq!(newer.verify(&signed("one"), BODY), Ok(SecretSlot::Previous));
        assert_eq!(newer.verify(&signed("three"), BODY), Err(SignatureError::Mismatch));
    }
    assert_eq!(reads(&fake), 2);
    let known = reader.secrets("platform", "credentials").await.unwrap();
    for _ in 0..100 {
        tokio::time::advance(Duration::from_millis(100)).await;
        let _ = reader.newer("platform", "credentials", &known).await;
    }
    assert!(reads(&fake) <= 2 + 2, "{} reads in ten seconds", reads(&fake));
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_cannot_be_read_is_tried_again_after_a_while_only() {
    let fake = Fake::default();
    let reader = reader(&fake);
    for (fault, expected) in [(Fault::None, 1), (Fault::Status(500), 2), (Fault::Hang, 3)] {
        fake.state().secret_fault = fault;
        for _ in 0..20 {
            assert_eq!(reader.secrets("platform", "credentials").await.unwrap_err(), Unreadable, "{fault:?}");
        }
        assert_eq!(reads(&fake), expected, "{fault:?}");
        tokio::time::advance(SPACING).await;
    }
    fake.state().secret_fault = Fault::None;
    fake.secret("credentials", &[("client_secret", "one")]);
    reader.secrets("platform", "credentials").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_was_withdrawn_does_not_outlive_its_minute() {
    let fake = Fake::default();
    fake.secret("credentials", &[("client_secret", "one")]);
    let reader = reader(&fake);
    reader.secrets("platform", "credentials").await.unwrap();
    fake.state().secrets.clear();
    tokio::time::advance(LIFETIME).await;
    assert!(reader.secrets("platform", "credentials").await.is_err());
    assert!(reader.secrets("platform", "credentials").await.is_err());
}

#[tokio::test(start_paused = true)]
async fn values_are_taken_as_they_are_meant() {
    let table: [(Values, &str, Option<SecretSlot>); 9] = [
        (&[("client_secret", "one\n")], "one", Some(SecretSlot::Current)),
        (&[("client_secret", "one\r\n")], "one", Some(SecretSlot::Current)),
        (&[("client_secret", "one\n\n")], "one\n", Some(SecretSlot::Current)),
        (&[("client_secret", " one")], " one", Some(SecretSlot::Current)),
        (&[("client_secret", " one")], "one", None),
        (&[("client_secret", ""), ("client_secret_previous", "one")], "one", Some(SecretSlot::Previous)),
        (&[("client_secret_previous", "one")], "one", Some(SecretSlot::Previous)),
        (&[("client_secret", "two"), ("client_id", "one")], "one", None),
        (&[("client_secret", "\n"), ("client_secret_previous", "two")], "", None),
    ];
    for (values, signer, slot) in table {
        let fake = Fake::default();
        fake.secret("credentials", values);
        let secrets = reader(&fake).secrets("platform", "credentials").await.unwrap();
        assert_eq!(secrets.verify(&signed(signer), BODY).ok(), slot, "{values:?}");
    }
    for values in [&[][..], &[("client_secret", "")], &[("client_secret", "\n")], &[("client_id", "one")]] {
        let fake = Fake::default();
        fake.secret("credentials", values);
        assert!(reader(&fake).secrets("platform", "credentials").await.is_err(), "{values:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn secrets_that_nobody_asks_for_are_forgotten() {
    let fake = Fake::default();
    let reader = reader(&fake);
    for index in 0..20 {
        let name = format!("credentials-{index}");
        fake.secret(&name, &[("client_secret", "one")]);
        reader.secrets("platform", &name).await.unwrap();
    }
    tokio::time::advance(MEMORY).await;
    reader.secrets("platform", "credentials-3").await.unwrap();
    fake.secret("another", &[("client_secret", "one")]);
    reader.secrets("platform", "another").await.unwrap();
    assert_eq!(reader.0.entries.lock().unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn neither_debug_nor_an_error_shows_a_secret() {
    let fake = Fake::default();
    fake.secret("credentials", &[("client_secret", "canary")]);
    let reader = reader(&fake);
    let secrets = reader.secrets("platform", "credentials").await.unwrap();
    assert!(!format!("{reader:?} {secrets:?} {Unreadable}").contains("canary"));
}

#[test]
fn nobodys_secrets_match_nothing() {
    let nobody = ClientSecrets::nobodys();
    for secret in ["", "one"] {
        assert_eq!(nobody.verify(&signed(secret), BODY), Err(SignatureError::Mismatch));
    }
}
