//! Addresses that are none of Cronofy's: used only where whoever runs the operator allows it.

use cronofy_operator::api::CronofyApplication;
use kube::Api;
use serde_json::json;
use testenv::eventually;

use crate::support::{Operator, PATIENCE, World, condition, event};

const REFUSED: &str = "spec.endpoint of the CronofyApplication is refused, since the operator runs without \
                       --allow-custom-endpoints: use spec.dataCenter, or ask who runs the operator";

/// Waits until the application says this of itself.
async fn application_says(world: &World, status: &str, reason: &str, message: &str) {
    let api: Api<CronofyApplication> = Api::namespaced(world.client.clone(), world.ns());
    let conditions = async || api.get("app").await.unwrap().status.unwrap_or_default().conditions;
    let said = eventually("the application says so", PATIENCE, async || {
        let ready = conditions().await.into_iter().find(|condition| condition.type_ == "Ready")?;
        ((status, reason, message) == (&ready.status, &ready.reason, &ready.message)).then_some(())
    });
    if let Err(error) = said.await {
        panic!("{error}; it says {:#?}", conditions().await);
    }
}

#[tokio::test]
async fn an_endpoint_of_its_own_is_refused_until_the_operator_runs_with_the_flag() {
    let world = World::start("endpoint").await;
    let mut options = world.operator_options().await;
    options.custom_endpoints = false;
    let operator = Operator::start(&options).await;
    world.sim.put_event(&world.account, event("one", 1)).unwrap();
    world.subscribe("all", json!({})).await;
    assert_eq!(world.refused("all", "EndpointNotAllowed").await, REFUSED);
    application_says(&world, "False", "EndpointNotAllowed", REFUSED).await;
    let found = world.subscriptions().get("all").await.unwrap();
    for (kind, status) in [("CredentialsValid", "False"), ("Stalled", "True")] {
        let said = (status.to_owned(), "EndpointNotAllowed".to_owned(), REFUSED.to_owned());
        assert_eq!(condition(&found, kind), said, "{kind}");
    }
    // Also somebody who asks for it at once gets the same answer.
    world.annotate("all", "cronofy-operator.dev/requestedAt", "now").await;
    assert!(operator.terminate().await);
    assert!(world.sim.requests().is_empty(), "{:#?}", world.sim.requests());
    assert!(world.output("all-events").await.is_none());

    options.custom_endpoints = true;
    let _operator = Operator::start(&options).await;
    world.ready("all").await;
    world.titles("all", &["one"]).await;
    application_says(&world, "True", "Valid", "the credentials are complete and the endpoint may be used").await;
}
