//! Objects that do not decode, as a server may hold them whose definitions are of another version: the operator tells of them,
//! and they stop nothing else.

use cronofy_operator::api::{CalendarSubscription, CronofyApplication};
use cronofy_operator::crds::crds;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};
use testenv::{ControlPlane, eventually};

use crate::support::{Operator, OwnPlane, PATIENCE, World, event};

/// Loosens the definitions: anything may stand in `spec.suspend` and in `spec.dataCenter`.
async fn loosen(plane: &ControlPlane) {
    let loosened = crds().into_iter().map(|crd| {
        let mut crd = json!(crd);
        let anything = json!({ "x-kubernetes-preserve-unknown-fields": true });
        let spec = &mut crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"];
        let field = ["suspend", "dataCenter"].into_iter().find(|field| spec.get(field).is_some());
        spec[field.unwrap()] = anything;
        serde_json::from_value(crd).unwrap()
    });
    plane.apply_crds(&loosened.collect::<Vec<_>>()).await.unwrap();
}

/// Changes the spec of an object, whatever its kind says of it.
async fn put<K>(world: &World, name: &str, spec: Value)
where
    K: kube::Resource<DynamicType = ()>,
{
    let kind = ApiResource::erase::<K>(&());
    let api: Api<DynamicObject> = Api::namespaced_with(world.client.clone(), world.ns(), &kind);
    let metadata = json!({ "name": name });
    let object = json!({ "apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, "spec": spec });
    // A definition that is changed comes into force a moment later.
    eventually("the object is taken", PATIENCE, || async {
        let taken = api.patch(name, &PatchParams::apply("test").force(), &Patch::Apply(&object)).await.ok()?;
        (taken.data["spec"] == object["spec"]).then_some(())
    })
    .await
    .unwrap();
}

fn spec(suspend: &Value) -> Value {
    json!({ "applicationRef": { "name": "app" }, "account": { "secretRef": { "name": "account" } }, "suspend": suspend })
}

/// Waits until it is logged that this object does not decode.
async fn told(operator: &Operator, kind: &str, name: &str) {
    let text = format!("the operator tells of {name}");
    let line = eventually(&text, PATIENCE, || async {
        let lines = operator.log().into_iter().filter_map(|line| serde_json::from_str::<Value>(&line).ok());
        lines.into_iter().find(|line| line["category"] == "Undecodable" && line["name"] == name)
    });
    let line = line.await.unwrap();
    assert_eq!((line["level"].as_str(), line["kind"].as_str()), (Some("ERROR"), Some(kind)), "{line}");
    let error = line["error"].as_str().unwrap();
    assert!(error.starts_with("the object does not decode: "), "{line}");
}

#[tokio::test]
async fn an_object_that_does_not_decode_is_told_of_and_stops_no_other() {
    // Its own, since the definitions hold for all of a server.
    let plane = OwnPlane::start().await;
    let world = World::on(*plane, "undecodable").await;
    loosen(world.plane).await;
    put::<CalendarSubscription>(&world, "odd", spec(&json!("on Mondays"))).await;
    let odd = json!({ "credentialsSecretRef": { "name": "app" }, "dataCenter": 7 });
    put::<CronofyApplication>(&world, "strange", odd).await;

    let operator = world.operator().await;
    world.sim.put_event(&world.account, event("one", 1)).unwrap();
    world.subscribe("team", json!({})).await;
    world.ready("team").await;
    told(&operator, "subscription", "odd").await;
    told(&operator, "application", "strange").await;
    for controller in ["calendarsubscription", "cronofyapplication"] {
        let name = format!("controller_runtime_terminal_reconcile_errors_total{{controller=\"{controller}\"}}");
        assert!(operator.metric(&name).await >= 1.0, "{name}");
    }

    // One that the operator knows becomes so, too. What Cronofy tells meanwhile reaches the others.
    world.subscribe("other", json!({})).await;
    world.ready("other").await;
    put::<CalendarSubscription>(&world, "other", spec(&json!("on Mondays"))).await;
    told(&operator, "subscription", "other").await;
    world.sim.put_event(&world.account, event("two", 2)).unwrap();
    world.titles("team", &["one", "two"]).await;

    // Mended, they are worked on as all others.
    for name in ["odd", "other"] {
        put::<CalendarSubscription>(&world, name, spec(&json!(false))).await;
        world.ready(name).await;
        world.titles(name, &["one", "two"]).await;
    }
    assert!(operator.terminate().await);
}
