//! Refresh tokens: the one that Cronofy returns is stored before anything else is asked for, by one request at a time.

use cronofy_sim::{Answer, ConcurrentRefresh, Endpoint, Fault, Rotation};
use futures::future::join_all;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::rbac::v1::PolicyRule;
use kube::Api;
use serde_json::json;
use testenv::{Scope, eventually, rule};

use crate::support::world::{Rights, rights};
use crate::support::{Operator, PATIENCE, World, condition, event};

/// The refresh token in the account's Secret.
async fn stored(world: &World) -> String {
    let api: Api<Secret> = Api::namespaced(world.client.clone(), world.ns());
    let data = api.get("account").await.unwrap().data.unwrap();
    String::from_utf8(data["refresh_token"].0.clone()).unwrap()
}

fn endpoints(world: &World) -> Vec<(Endpoint, u16)> {
    world.sim.requests().iter().map(|request| (request.endpoint, request.status)).collect()
}

/// The old token dies as it is used, so that only the one in the Secret brings the account back.
#[tokio::test]
async fn a_returned_token_is_stored_before_the_first_request_so_that_a_kill_then_loses_nothing() {
    let world = World::start("kept").await;
    assert_eq!(world.sim.current_settings().rotation, Rotation::Rotates);
    let given = stored(&world).await;
    let hold = world.sim.hold(Endpoint::UserInfo, 1);
    let operator = world.operator().await;
    world.subscribe("all", json!({})).await;
    hold.arrived().await;
    assert_ne!(stored(&world).await, given, "the new token is stored by now");
    operator.kill();
    hold.release();

    let _operator = world.operator().await;
    world.ready("all").await;
    let tokens: Vec<_> = endpoints(&world).into_iter().filter(|(endpoint, _)| *endpoint == Endpoint::Token).collect();
    assert_eq!(tokens, [(Endpoint::Token, 200), (Endpoint::Token, 200)]);
}

/// The same for the renewal of a subscription that has a copy.
#[tokio::test]
async fn a_renewed_token_is_stored_before_it_is_used_so_that_a_kill_then_loses_nothing() {
    let world = World::start("renewed").await;
    let operator = world.operator().await;
    world.subscribe("all", json!({})).await;
    world.at_rest("all").await;
    let before = stored(&world).await;
    world.sim.inject(Fault::next(1, Endpoint::Events, Answer::status(401)));
    let renewal = world.sim.hold(Endpoint::Token, 1);
    world.sim.put_event(&world.account, event("one", 1)).unwrap();
    renewal.arrived().await;
    // The read that follows the renewal waits.
    let read = world.sim.hold(Endpoint::Events, 1);
    renewal.release();
    read.arrived().await;
    assert_ne!(stored(&world).await, before, "the new token is stored by now");
    operator.kill();
    read.release();

    let _operator = world.operator().await;
    world.titles("all", &["one"]).await;
    world.ready("all").await;
    assert!(endpoints(&world).iter().all(|(endpoint, status)| *endpoint != Endpoint::Token || *status == 200));
}

/// What the operator may do without the right to change Secrets.
fn reading_secrets() -> Vec<PolicyRule> {
    let mut objects = rights().objects;
    for rule in &mut objects {
        if rule.resources.iter().flatten().any(|resource| resource == "secrets") {
            rule.verbs.retain(|verb| verb != "patch");
        }
    }
    objects
}

#[tokio::test]
async fn a_returned_token_that_may_not_be_stored_is_kept_and_nothing_is_asked_for_until_it_may() {
    let world = World::start("unstored").await;
    let limited = (world.ns(), "limited");
    let Rights { namespaces, lease, .. } = rights();
    for rules in [&reading_secrets(), &lease] {
        testenv::grant(&world.client, Scope::Namespace(world.ns()), limited, rules).await.unwrap();
    }
    testenv::grant(&world.client, Scope::Cluster, limited, &namespaces).await.unwrap();
    let access = world.plane.service_account_access(limited.0, limited.1).await.unwrap();
    let mut options = world.operator_options().await;
    options.kubeconfig = world.write_kubeconfig(&access);
    let _operator = Operator::start(&options).await;
    let given = stored(&world).await;
    world.sim.put_event(&world.account, event("one", 1)).unwrap();
    world.subscribe("all", json!({})).await;
    let message = world.refused("all", "SecretUnavailable").await;
    let wanted = format!(
        "the operator may not patch Secret {}/account: grant its service account patch on secrets there",
        world.ns()
    );
    assert_eq!(message, wanted);
    let found = world.subscriptions().get("all").await.unwrap();
    assert_eq!(condition(&found, "CredentialsValid").1, "SecretUnavailable");
    assert_eq!(condition(&found, "Stalled").0, "True");
    assert_eq!(endpoints(&world), [(Endpoint::Token, 200)], "its access token is not used");

    // A person who asks for a look before it is mended costs nothing.
    world.annotate("all", "cronofy-operator.dev/requestedAt", "too early").await;
    let log = || world.plane.audit().unwrap().service_account(limited.0, limited.1);
    let denied = eventually("it is tried again", PATIENCE, async || {
        (log().verb("patch").resource("secrets").len() >= 2).then_some(())
    });
    denied.await.unwrap();
    assert_eq!(endpoints(&world), [(Endpoint::Token, 200)]);
    assert_eq!(stored(&world).await, given);

    testenv::grant(&world.client, Scope::Namespace(world.ns()), limited, &[rule("", "secrets", "patch")])
        .await
        .unwrap();
    world.annotate("all", "cronofy-operator.dev/requestedAt", "mended").await;
    world.ready("all").await;
    world.titles("all", &["one"]).await;
    let tokens: Vec<_> = endpoints(&world).into_iter().filter(|(endpoint, _)| *endpoint == Endpoint::Token).collect();
    assert_eq!(tokens, [(Endpoint::Token, 200); 2], "the token that was held, since the one before is dead");
    assert_ne!(stored(&world).await, given);
}

/// A second refresh at the same time would be refused, and with it the account.
#[tokio::test]
async fn subscriptions_of_one_account_share_one_token_request() {
    const COUNT: usize = 10;
    let world = World::start("together").await;
    world.sim.settings(|settings| settings.concurrent_refresh = ConcurrentRefresh::SecondRefused);
    let hold = world.sim.hold(Endpoint::Token, COUNT);
    let _operator = world.operator().await;
    let names: Vec<String> = (0..COUNT).map(|number| format!("all-{number}")).collect();
    join_all(names.iter().map(|name| world.subscribe(name, json!({})))).await;
    hold.arrived().await;
    // Every one looks at its output before it asks for a token.
    let log = || world.plane.audit().unwrap().service_account(world.ns(), "operator").verb("get");
    let waiting = eventually("all of them wait", PATIENCE, async || {
        let looked = |name: &String| log().iter().any(|entry| entry.name == format!("{name}-events"));
        names.iter().all(looked).then_some(())
    });
    waiting.await.unwrap();
    hold.release();
    for name in &names {
        world.ready(name).await;
    }
    assert_eq!(world.sim.count(Endpoint::Token), 1);
}
