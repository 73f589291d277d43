//! What a subscription refers to: Secrets, an application, a namespace, a time zone. Nothing is asked of Cronofy before all of
//! it is right.

use std::time::Duration;

use cronofy_sim::{Options, Simulator};
use futures::future::join_all;
use serde_json::{Value, json};
use testenv::eventually;

use super::{Bench, Requests, Told, Trial};
use crate::support::condition;
use crate::support::world::{CLIENT_ID, CLIENT_SECRET};

/// One of the two Secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    Account,
    Application,
}

type Values<'a> = &'a [(&'a str, &'a [u8])];

/// What a Secret holds instead, and what is said about it. `None` takes the Secret away.
const SECRETS: [(&str, Which, Option<Values<'_>>, &str, &str); 12] = [
    ("gone", Which::Account, None, "SecretNotFound", ""),
    ("other-key", Which::Account, Some(&[("token", b"rt")]), "SecretKeyMissing", "refresh_token"),
    ("empty", Which::Account, Some(&[("refresh_token", b"")]), "SecretKeyMissing", "refresh_token"),
    ("blank", Which::Account, Some(&[("refresh_token", b"\r\n")]), "SecretKeyMissing", "refresh_token"),
    ("not-utf8", Which::Account, Some(&[("refresh_token", b"\xff\xfe\x00")]), "SecretKeyInvalid", "refresh_token"),
    ("lines", Which::Account, Some(&[("refresh_token", b"rt\nrt\n")]), "SecretKeyInvalid", "refresh_token"),
    ("app-gone", Which::Application, None, "SecretNotFound", ""),
    ("app-no-id", Which::Application, Some(&[("client_secret", b"s")]), "SecretKeyMissing", "client_id"),
    ("app-no-secret", Which::Application, Some(&[("client_id", b"c")]), "SecretKeyMissing", "client_secret"),
    (
        "app-empty",
        Which::Application,
        Some(&[("client_id", b"c"), ("client_secret", b"")]),
        "SecretKeyMissing",
        "client_secret",
    ),
    (
        "app-not-utf8",
        Which::Application,
        Some(&[("client_id", b"\xc3\x28"), ("client_secret", b"s")]),
        "SecretKeyInvalid",
        "client_id",
    ),
    (
        "app-lines",
        Which::Application,
        Some(&[("client_id", b"c"), ("client_secret", b"s\ns")]),
        "SecretKeyInvalid",
        "client_secret",
    ),
];

fn secret_line(reason: &str, secret: &str, key: &str) -> String {
    match reason {
        "SecretNotFound" => format!("Secret {secret} does not exist: create it, or correct the reference"),
        "SecretKeyMissing" => format!("Secret {secret} has no key {key}, or an empty one: add it"),
        "SecretKeyInvalid" => format!(
            "key {key} of Secret {secret} is not plain text: store the credential as it was given, without further encoding"
        ),
        other => panic!("no line for {other}"),
    }
}

/// Waits until a refusal is told. The conditions that it is not about say that they were not looked at.
async fn refused(trial: &Trial<'_>, told: &Told) {
    let found = trial.explained(told).await;
    let others = ["CredentialsValid", "ChannelActive", "Synced"].into_iter().filter(|kind| !told.on.contains(kind));
    for kind in others {
        let (status, reason, message) = condition(&found, kind);
        let waiting = ("Unknown", told.reason, "not looked at until the cause is mended");
        assert_eq!((status.as_str(), reason.as_str(), message.as_str()), waiting, "{}: {kind}", trial.name);
    }
}

#[tokio::test]
async fn a_secret_that_is_not_as_it_should_be_is_named_with_its_key() {
    let bench = Bench::start("secrets", &[]).await;
    let trials = join_all(SECRETS.into_iter().map(async |(name, which, values, reason, key)| {
        let trial = Trial::prepare(&bench, name).await;
        let secret = if which == Which::Account { trial.name.clone() } else { trial.credentials() };
        match values {
            Some(values) => trial.put_values(&secret, values).await,
            None => bench.world.delete_secret(&secret).await,
        }
        let message = secret_line(reason, &format!("{}/{secret}", bench.world.ns()), key);
        trial.subscribe(json!({})).await;
        let told = Told { reason, message: message.clone(), on: &["CredentialsValid"], stalled: true };
        refused(&trial, &told).await;
        (trial, which, told)
    }))
    .await;
    bench.wake(&trials.iter().map(|(trial, ..)| trial).collect::<Vec<_>>(), 3).await;
    join_all(trials.iter().map(async |(trial, which, told)| {
        assert_eq!(trial.requests(), Requests::new(), "{}", trial.name);
        trial.told_once(told).await;
        match which {
            Which::Account => trial.authorize().await,
            Which::Application => trial.put_credentials(CLIENT_SECRET).await,
        }
        trial.request().await;
        trial.ready().await;
    }))
    .await;
}

#[tokio::test]
async fn an_application_says_itself_what_is_wrong_with_its_secret() {
    let bench = Bench::start("application", &[]).await;
    join_all(SECRETS.into_iter().filter(|(_, which, ..)| *which == Which::Application).map(
        async |(name, _, values, reason, key)| {
            let trial = Trial::prepare(&bench, name).await;
            let valid = "the credentials are complete and the endpoint may be used";
            trial.application_says("True", "Valid", valid).await;
            let (secret, broken) = (trial.credentials(), format!("{name}-broken"));
            if let Some(values) = values {
                trial.put_values(&broken, values).await;
            }
            trial.put_application(json!({ "credentialsSecretRef": { "name": broken } })).await;
            let message = secret_line(reason, &format!("{}/{broken}", bench.world.ns()), key);
            trial.application_says("False", reason, &message).await;
            trial.put_application(json!({ "credentialsSecretRef": { "name": secret } })).await;
            trial.application_says("True", "Valid", valid).await;
        },
    ))
    .await;
}

#[tokio::test]
async fn a_line_break_behind_a_credential_does_no_harm() {
    let bench = Bench::start("newline", &[]).await;
    join_all(["\n", "\r\n"].into_iter().enumerate().map(async |(number, ending)| {
        let trial = Trial::prepare(&bench, &format!("newline-{number}")).await;
        let token = trial.sim.issue_refresh_token(&trial.account, CLIENT_ID);
        let value = |text: &str| format!("{text}{ending}").into_bytes();
        trial.put_values(&trial.name, &[("refresh_token", &value(&token))]).await;
        let credentials = [("client_id", value(CLIENT_ID)), ("client_secret", value(CLIENT_SECRET))];
        let credentials: Vec<_> = credentials.iter().map(|(key, value)| (*key, value.as_slice())).collect();
        trial.put_values(&trial.credentials(), &credentials).await;
        trial.copied().await;
        // The webhook reads the same Secret: a notification signed with the real secret is accepted.
        trial.sim.put_event(&trial.account, crate::support::event("three", 1)).unwrap();
        trial.titles(&["one", "two", "three"]).await;
    }))
    .await;
}

#[tokio::test]
async fn an_application_that_does_not_exist_is_waited_for() {
    let bench = Bench::start("absent", &[]).await;
    let trial = Trial::prepare(&bench, "absent").await;
    bench.world.delete_application("absent").await;
    trial.subscribe(json!({})).await;
    let message = format!(
        "CronofyApplication {}/absent does not exist: create it, or correct spec.applicationRef",
        bench.world.ns()
    );
    let told = Told { reason: "ApplicationNotFound", message, on: &["CredentialsValid"], stalled: true };
    refused(&trial, &told).await;
    bench.wake(&[&trial], 3).await;
    assert_eq!(trial.requests(), Requests::new());
    trial.told_once(&told).await;
    trial.put_application(json!({})).await;
    trial.ready().await;
}

/// In the same words whether the application exists or not: that is not for everybody to know.
#[tokio::test]
async fn another_namespace_may_use_an_application_only_if_its_owner_says_so() {
    let tenant = testenv::shared().await.unwrap().namespace("tenant").await.unwrap();
    let bench = Bench::start("owner", &[tenant.name()]).await;
    let sim = async || Simulator::start(Options::default()).await.unwrap();
    let told = |name: &str| Told {
        reason: "NamespaceNotAllowed",
        message: format!(
            "namespace {owner} has no CronofyApplication {name} that namespace {tenant} may use: ask its owner to name this \
             namespace in spec.allowedNamespaces",
            owner = bench.world.ns(),
            tenant = tenant.name()
        ),
        on: &["CredentialsValid"],
        stalled: true,
    };
    let exists = Trial::with(&bench, tenant.name(), "exists", sim().await).await;
    let absent = Trial::with(&bench, tenant.name(), "lacking", sim().await).await;
    bench.world.delete_application("lacking").await;
    for trial in [&exists, &absent] {
        trial.subscribe(json!({})).await;
        refused(trial, &told(&trial.name)).await;
    }
    bench.wake(&[&exists, &absent], 3).await;
    let nobody = json!({ "from": "Selector", "selector": { "matchLabels": { "team": "another" } } });
    exists.put_application(json!({ "allowedNamespaces": nobody })).await;
    exists.application_says("True", "Valid", "the credentials are complete and the endpoint may be used").await;
    bench.wake(&[&exists], 1).await;
    assert_eq!(exists.requests(), Requests::new(), "a selector that does not match allows nothing");
    exists.told_once(&told("exists")).await;

    exists.put_application(json!({ "allowedNamespaces": { "from": "All" } })).await;
    exists.ready().await;
    exists.put_application(json!({ "allowedNamespaces": { "from": "Same" } })).await;
    let found = exists.until("is refused again", |found| condition(found, "Ready").1 == "NamespaceNotAllowed").await;
    assert_eq!(condition(&found, "Ready").2, told("exists").message);
    exists.sim.settle().await;
    exists.sim.clear_journal();
    bench.wake(&[&exists], 3).await;
    assert_eq!(exists.requests(), Requests::new(), "what is withdrawn is not used any more");
    assert_eq!(absent.requests(), Requests::new());
}

#[tokio::test]
async fn a_time_zone_that_does_not_exist_is_told_before_anything_is_asked() {
    let bench = Bench::start("zone", &[]).await;
    let trial = Trial::prepare(&bench, "zone").await;
    trial.subscribe(json!({ "timeZone": "Mars/Phobos" })).await;
    let message =
        "spec.timeZone: \"Mars/Phobos\" is not an IANA time zone: use a name such as Europe/Berlin or Etc/UTC";
    let told = Told { reason: "UnknownTimeZone", message: message.to_owned(), on: &["Synced"], stalled: true };
    refused(&trial, &told).await;
    bench.wake(&[&trial], 3).await;
    assert_eq!(trial.requests(), Requests::new());
    trial.told_once(&told).await;
    trial.subscribe(json!({ "timeZone": "Europe/Berlin" })).await;
    trial.ready().await;
}

/// The next look at a Secret that waits for a person comes after a minute. This test waits for it; all others ask for it.
#[tokio::test]
async fn a_mended_secret_is_seen_though_nobody_asks() {
    let bench = Bench::start("look", &[]).await;
    let account = Trial::prepare(&bench, "account").await;
    let application = Trial::prepare(&bench, "application").await;
    let revoked = Trial::prepare(&bench, "revoked").await;
    bench.world.delete_secret(&account.name).await;
    bench.world.delete_secret(&application.credentials()).await;
    revoked.sim.revoke(&revoked.account);
    let trials = [(&account, "SecretNotFound"), (&application, "SecretNotFound"), (&revoked, "AuthorizationRevoked")];
    for (trial, reason) in trials {
        trial.subscribe(Value::Null).await;
        trial.until(reason, |found| condition(found, "Stalled").1 == reason).await;
    }
    account.authorize().await;
    application.put_credentials(CLIENT_SECRET).await;
    revoked.authorize().await;
    let seen = eventually("all three are Ready", Duration::from_mins(4), async || {
        let all = join_all(trials.iter().map(async |(trial, _)| trial.is_ready().await)).await;
        all.into_iter().all(std::convert::identity).then_some(())
    });
    seen.await.unwrap();
}
