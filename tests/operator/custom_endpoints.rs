//! Addresses that are none of Cronofy's: used only where whoever runs the operator allows it.

use serde_json::json;

use crate::support::{Operator, World, condition, event};

const REFUSED: &str = "spec.endpoint of the CronofyApplication is refused, since the operator runs without \
                       --allow-custom-endpoints: use spec.dataCenter, or ask who runs the operator";

#[tokio::test]
async fn an_endpoint_of_its_own_is_refused_until_the_operator_runs_with_the_flag() {
    let world = World::start("endpoint").await;
    let mut options = world.operator_options().await;
    options.custom_endpoints = false;
    let operator = Operator::start(&options).await;
    world.sim.put_event(&world.account, event("one", 1)).unwrap();
    world.subscribe("all", json!({})).await;
    assert_eq!(world.refused("all", "EndpointNotAllowed").await, REFUSED);
    world.application_says("app", "False", "EndpointNotAllowed", REFUSED).await;
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
    world.application_says("app", "True", "Valid", "the credentials are complete and the endpoint may be used").await;
}
