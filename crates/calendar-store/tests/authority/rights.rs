//! Who may read and write, and how long a right outlives its end.

use std::time::{Duration, Instant};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use calendar_store::Access as _;
use calendar_store::authority::{REFUSED, REMEMBERED};
use calendar_store_client::Reason;
use http::StatusCode;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{ClusterRole, RoleBinding};
use kube::api::{DeleteParams, ListParams};
use kube::{Api, ResourceExt as _};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::json;

use crate::support::{AUDIENCE, EVENTS, Store, bearer, commit, right, shared, token, user};

/// The API server remembers a valid token itself.
const SERVER_REMEMBERS: Duration = Duration::from_secs(10);
/// For a busy machine.
const SLACK: Duration = Duration::from_secs(3);

#[tokio::test]
async fn who_may_read_is_told_by_kubernetes() {
    let store = Store::on(shared().await).await;
    let (plane, here) = (store.plane, store.namespace.as_str());
    let there = plane.namespace("elsewhere").await.unwrap().name().to_owned();
    store.grant("reader", &[right("get", EVENTS, None)]).await;
    store.grant("team-reader", &[right("get", EVENTS, Some("team"))]).await;
    store.grant("lister", &[right("list", EVENTS, None)]).await;
    store.grant("subscriber", &[right("get", "calendarsubscriptions", None)]).await;
    let client = plane.admin().unwrap();
    testenv::grant(&client, testenv::Scope::Namespace(&there), (here, "foreigner"), &[right("get", EVENTS, None)])
        .await
        .unwrap();
    let for_store = async |account: &'static str| Some(store.token(account).await);
    let of_server = Some(token(plane, here, "reader", &[]).await);
    let of_other = Some(token(plane, here, "reader", &["another-store"]).await);
    let of_both = Some(token(plane, here, "reader", &["another-store", AUDIENCE]).await);
    let reader = for_store("reader").await;
    let broken = reader.as_ref().map(|token| token[..token.len() - 8].to_owned() + "AAAAAAAA");
    let expired = Some(signed(&store, "reader", -120).await);
    let fresh = Some(signed(&store, "reader", 600).await);
    let (unauthorized, forbidden) = (Some(Reason::Unauthorized), Some(Reason::Forbidden));
    let table = [
        ("a reader, the whole namespace", reader.clone(), here, "team", None),
        ("a reader, another subscription", reader.clone(), here, "other", None),
        ("a reader, one that does not exist", reader.clone(), here, "none", None),
        ("a reader, another namespace", reader.clone(), &there, "team", forbidden),
        ("by name, that name", for_store("team-reader").await, here, "team", None),
        ("by name, another name", for_store("team-reader").await, here, "other", forbidden),
        ("rights in another namespace, here", for_store("foreigner").await, here, "team", forbidden),
        ("rights in another namespace, there", for_store("foreigner").await, &there, "team", None),
        ("no rights", for_store("nobody").await, here, "team", forbidden),
        ("another verb", for_store("lister").await, here, "team", forbidden),
        ("the subscription but not its events", for_store("subscriber").await, here, "team", forbidden),
        ("the writer does not read", for_store("writer").await, here, "team", forbidden),
        ("several audiences", of_both, here, "team", None),
        ("the API server's audience", of_server, here, "team", unauthorized),
        ("another audience", of_other, here, "team", unauthorized),
        ("no token", None, here, "team", unauthorized),
        ("garbage", Some("garbage".to_owned()), here, "team", unauthorized),
        ("a broken signature", broken, here, "team", unauthorized),
        ("signed by hand, valid", fresh, here, "team", None),
        ("signed by hand, expired", expired, here, "team", unauthorized),
        ("no name", reader.clone(), here, "", Some(Reason::Invalid)),
        ("every name", reader.clone(), here, "*", Some(Reason::Invalid)),
    ];
    for (who, token, namespace, name, expected) in table {
        assert_eq!(store.reads_of(token.as_deref(), namespace, name).await, expected, "{who}");
    }

    let nobody = store.token("nobody").await;
    let refusal = store.authority.may_read(&bearer(Some(&nobody)), here, "team").await.unwrap_err();
    let said = format!("{refusal:?}");
    for word in ["nobody", "get", "calendarsubscriptions/events", "team", here, "cronofy-operator.dev"] {
        assert!(said.contains(word), "{word} is not in {said}");
    }
    assert!(!said.contains(&nobody));
}

#[tokio::test]
async fn only_who_may_list_all_of_a_namespace_is_given_its_names() {
    let store = Store::on(shared().await).await;
    let here = store.namespace.as_str();
    store.grant("lister", &[right("list", EVENTS, None)]).await;
    store.grant("lister-of-one", &[right("list", EVENTS, Some("team"))]).await;
    store.grant("reader", &[right("get", EVENTS, None)]).await;
    let (unauthorized, forbidden) = (Some(Reason::Unauthorized), Some(Reason::Forbidden));
    let lister = store.token("lister").await;
    for (who, token, namespace, expected) in [
        ("a lister", Some(lister.clone()), here, None),
        ("a lister, elsewhere", Some(lister), "default", forbidden),
        ("a lister of one name", Some(store.token("lister-of-one").await), here, forbidden),
        ("a reader", Some(store.token("reader").await), here, forbidden),
        ("nobody", None, here, unauthorized),
        ("garbage", Some("garbage".to_owned()), here, unauthorized),
        ("every namespace", Some(store.token("lister").await), "", Some(Reason::Invalid)),
    ] {
        let answer = store.authority.may_list(&bearer(token.as_deref()), namespace).await;
        assert_eq!(answer.err().map(|problem| problem.reason()), expected, "{who}");
    }
    let reader = store.token("reader").await;
    let said = format!("{:?}", store.authority.may_list(&bearer(Some(&reader)), here).await.unwrap_err());
    for word in ["reader", "list", "calendarsubscriptions/events", here] {
        assert!(said.contains(word), "{word} is not in {said}");
    }
    assert_eq!(store.authority.who(&bearer(Some(&reader))).await.unwrap(), user(here, "reader"));
    assert_eq!(store.authority.who(&bearer(None)).await.unwrap_err().reason(), Reason::Unauthorized);
}

#[tokio::test]
async fn only_a_writer_writes() {
    let store = Store::on(shared().await).await;
    let path = "/write/v1/subscriptions/uid-team";
    let writer = store.token("writer").await;
    let foreign = store.plane.namespace("elsewhere").await.unwrap().name().to_owned();
    let namesake = token(store.plane, &foreign, "writer", &[AUDIENCE]).await;
    store.grant("reader", &[right("get", EVENTS, None), right("*", "*", None)]).await;
    let reader = store.token("reader").await;
    let of_server = token(store.plane, &store.namespace, "writer", &[]).await;
    for (who, token, expected) in [
        ("the writer", Some(&writer), StatusCode::OK),
        ("one who may do everything but is no writer", Some(&reader), StatusCode::FORBIDDEN),
        ("the writer's namesake of another namespace", Some(&namesake), StatusCode::FORBIDDEN),
        ("the writer for another audience", Some(&of_server), StatusCode::UNAUTHORIZED),
        ("nobody", None, StatusCode::UNAUTHORIZED),
    ] {
        let (status, answer) = store.ask("GET", path, token.map(String::as_str), Vec::new()).await;
        assert_eq!(status, expected, "{who}: {answer}");
        let (status, answer) = store.ask("GET", "/write/v1/subscriptions", token.map(String::as_str), Vec::new()).await;
        assert_eq!(status, expected, "{who}: {answer}");
        let body = commit(&store.namespace, "team", Some(1), 1, &["a", "b"]);
        let (status, answer) = store.ask("PUT", path, token.map(String::as_str), body).await;
        assert_eq!(status, expected, "{who}: {answer}");
    }
    let (_, said) = store.ask("GET", path, Some(&reader), Vec::new()).await;
    let expected = format!("{0} may not write: start the store with --writer {0}", user(&store.namespace, "reader"));
    assert_eq!(said["detail"], expected);
}

#[tokio::test]
async fn what_many_ask_at_a_time_is_reviewed_once() {
    let store = Store::on(shared().await).await;
    store.grant("reader", &[right("get", EVENTS, None)]).await;
    let token = store.token("reader").await;
    let reviews = || {
        let log = store.plane.audit().unwrap().service_account(&store.namespace, "store");
        [log.resource("tokenreviews").count(), log.resource("subjectaccessreviews").count()]
            .map(|counts| counts.values().sum::<usize>())
    };
    let before = reviews();
    let all = futures::future::join_all((0..200).map(|_| store.reads(Some(&token)))).await;
    assert!(all.iter().all(Option::is_none), "{all:?}");
    let after = testenv::eventually("the reviews are in the log", Duration::from_secs(10), async || {
        let after = reviews();
        (after[1] > before[1]).then_some(after)
    });
    assert_eq!(after.await.unwrap(), before.map(|count| count + 1));
}

#[tokio::test]
async fn a_right_that_is_taken_away_ends_within_the_stated_time() {
    let store = Store::on(shared().await).await;
    store.grant("reader", &[right("get", EVENTS, None)]).await;
    let token = store.token("reader").await;
    assert_eq!(store.reads(Some(&token)).await, None);

    let bindings = Api::<RoleBinding>::namespaced(store.plane.admin().unwrap(), &store.namespace);
    for binding in bindings.list(&ListParams::default()).await.unwrap() {
        bindings.delete(&binding.name_any(), &DeleteParams::default()).await.unwrap();
    }
    let ended = ended(&store, &token, Reason::Forbidden, REMEMBERED + SLACK).await;
    println!("a deleted RoleBinding let its user in for another {ended:?}");

    store.grant("reader", &[right("get", EVENTS, None)]).await;
    let granted = Instant::now();
    testenv::eventually("the right is taken up", REFUSED + SLACK, async || {
        store.reads(Some(&token)).await.is_none().then_some(())
    })
    .await
    .unwrap();
    println!("a right that is granted was taken up after {:?}", granted.elapsed());
}

#[tokio::test]
async fn a_deleted_service_account_is_let_in_no_longer_than_stated() {
    let store = Store::on(shared().await).await;
    store.grant("reader", &[right("get", EVENTS, None)]).await;
    let token = store.token("reader").await;
    assert_eq!(store.reads(Some(&token)).await, None);
    let accounts = Api::<ServiceAccount>::namespaced(store.plane.admin().unwrap(), &store.namespace);
    accounts.delete("reader", &DeleteParams::default()).await.unwrap();
    let ended = ended(&store, &token, Reason::Unauthorized, REMEMBERED + SERVER_REMEMBERS + SLACK).await;
    println!("a deleted ServiceAccount was let in for another {ended:?}");
}

#[tokio::test]
async fn the_role_that_is_asked_for_exists_and_has_the_rights() {
    let roles = Api::<ClusterRole>::all(shared().await.admin().unwrap());
    let role = roles.get("system:auth-delegator").await.unwrap();
    assert_eq!(role.rules.unwrap(), testenv::auth_delegator());
}

/// When they were refused for the first time.
async fn ended(store: &Store, token: &str, reason: Reason, limit: Duration) -> Duration {
    let begin = Instant::now();
    testenv::eventually("the right ends", limit, async || match store.reads(Some(token)).await {
        None => None,
        Some(other) => {
            assert_eq!(other, reason);
            Some(())
        }
    })
    .await
    .unwrap();
    begin.elapsed()
}

/// A token of a `ServiceAccount` that ends in so many seconds, signed by the API server's own key: it gives none for less than ten
/// minutes.
async fn signed(store: &Store, account: &str, seconds: i64) -> String {
    let accounts = Api::<ServiceAccount>::namespaced(store.plane.admin().unwrap(), &store.namespace);
    let uid = accounts.get(account).await.unwrap().uid().unwrap();
    let now = Timestamp::now().as_second();
    let header = json!({ "alg": "ES256", "typ": "JWT" });
    let claims = json!({
        "iss": "https://kubernetes.default.svc", "aud": [AUDIENCE], "sub": user(&store.namespace, account),
        "iat": now - 3600, "nbf": now - 3600, "exp": now + seconds,
        "kubernetes.io": { "namespace": store.namespace, "serviceaccount": { "name": account, "uid": uid } },
    });
    let encode = |text: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(text);
    let text = format!("{}.{}", encode(header.to_string().as_bytes()), encode(claims.to_string().as_bytes()));
    let key = PrivateKeyDer::from_pem_file(store.plane.dir().join("service-account.key")).unwrap();
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key.secret_der()).unwrap();
    let signature = key.sign(&SystemRandom::new(), text.as_bytes()).unwrap();
    format!("{text}.{}", encode(signature.as_ref()))
}
