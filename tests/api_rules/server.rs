//! The same by a real API server, and what only it can show.

use cronofy_operator::crds;
use futures::{StreamExt as _, stream};
use http::Request;
use kube::Client;
use serde_json::{Value, json};
use testenv::{ControlPlane, TestNamespace, shared};

use crate::cases::{By, Case, Kind, Outcome, table};
use crate::{application, subscription};

const API: &str = "/apis/cronofy-operator.dev/v1alpha1";

/// What the API server answers.
type Answer = Result<Value, Box<kube::core::Status>>;

/// A namespace on a control plane that has the definitions.
pub async fn cluster() -> (&'static ControlPlane, TestNamespace, Client) {
    let control_plane = shared().await.unwrap();
    let warnings = control_plane.apply_crds(&crds::crds()).await.unwrap();
    assert_eq!(warnings, Vec::<String>::new(), "the API server finds fault with the definitions");
    let namespace = control_plane.namespace("rules").await.unwrap();
    let client = control_plane.admin().unwrap();
    (control_plane, namespace, client)
}

/// Creates an object for the look of it: nothing is stored.
async fn try_to_create(client: &Client, namespace: &str, kind: Kind, object: &Value) -> Answer {
    let plural = match kind {
        Kind::Subscription => "calendarsubscriptions",
        Kind::Application => "cronofyapplications",
    };
    let path = format!("{API}/namespaces/{namespace}/{plural}?dryRun=All&fieldValidation=Strict");
    let body = serde_json::to_vec(object).unwrap();
    let request = Request::post(path).header("content-type", "application/json").body(body).unwrap();
    answer(client, request).await
}

/// Creates an object.
pub async fn create(client: &Client, namespace: &str, object: &Value) -> Value {
    let plural = format!("{}s", object["kind"].as_str().unwrap().to_lowercase());
    let path = format!("{API}/namespaces/{namespace}/{plural}?fieldValidation=Strict");
    let body = serde_json::to_vec(object).unwrap();
    let request = Request::post(path).header("content-type", "application/json").body(body).unwrap();
    answer(client, request).await.unwrap()
}

/// Writes a status for the look of it: nothing is stored.
async fn try_to_write_status(client: &Client, namespace: &str, object: &Value) -> Answer {
    let name = object["metadata"]["name"].as_str().unwrap();
    let path =
        format!("{API}/namespaces/{namespace}/calendarsubscriptions/{name}/status?dryRun=All&fieldValidation=Strict");
    let body = serde_json::to_vec(&json!({ "status": object["status"] })).unwrap();
    let request = Request::patch(path).header("content-type", "application/merge-patch+json").body(body).unwrap();
    answer(client, request).await
}

async fn answer(client: &Client, request: Request<Vec<u8>>) -> Answer {
    match client.request(request).await {
        Ok(object) => Ok(object),
        Err(kube::Error::Api(status)) => Err(status),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn the_api_server_says_of_specs_what_the_table_says() {
    let (_, namespace, client) = cluster().await;
    let answer = async |case: &Case| try_to_create(&client, namespace.name(), case.kind, &case.object()).await;
    let table: Vec<_> = table().into_iter().filter(|case| !case.of_status()).collect();
    assert!(table.len() > 500, "{}", table.len());
    assert_all_answers(&table, answer).await;
}

#[tokio::test]
async fn the_api_server_says_of_statuses_what_the_table_says() {
    let (_, namespace, client) = cluster().await;
    create(&client, namespace.name(), &subscription::complete()).await;
    let answer = async |case: &Case| try_to_write_status(&client, namespace.name(), &case.object()).await;
    let table: Vec<_> = table().into_iter().filter(Case::of_status).collect();
    assert!(table.len() > 40, "{}", table.len());
    assert_all_answers(&table, answer).await;
}

async fn assert_all_answers(table: &[Case], answer: impl AsyncFn(&Case) -> Answer) {
    let wrong = async |case: &Case| wrong(case, answer(case).await).map(|wrong| format!("{}: {wrong}", case.title()));
    let answers = stream::iter(table).map(wrong).buffer_unordered(8);
    let wrong: Vec<_> = answers.filter_map(std::future::ready).collect().await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn a_new_object_has_a_status_that_nobody_takes_for_ready() {
    let (_, namespace, client) = cluster().await;
    for object in [subscription::complete(), application::complete()] {
        let created = create(&client, namespace.name(), &object).await;
        assert_eq!(created["status"], json!({ "observedGeneration": -1 }));
        assert_eq!(created["spec"], object["spec"], "what a person wrote is kept as it is, and nothing is added");
    }
}

#[tokio::test]
async fn a_spec_can_be_changed_in_every_field() {
    let (_, namespace, client) = cluster().await;
    create(&client, namespace.name(), &subscription::complete()).await;
    let path = format!("{API}/namespaces/{}/calendarsubscriptions/on-call?fieldValidation=Strict", namespace.name());
    let spec = json!({
        "applicationRef": { "name": "others", "namespace": null },
        "account": { "secretRef": null, "applicationCalendarId": "room" },
        "calendarIds": ["b"], "onlyManaged": true, "includeManaged": null, "timeZone": "UTC",
        "window": null, "mode": "Push", "intervals": { "poll": "1h" }, "visibility": "Full",
        "store": { "name": "other" }, "deletionPolicy": "Delete", "suspend": null
    });
    let body = serde_json::to_vec(&json!({ "spec": spec })).unwrap();
    let request = Request::patch(path).header("content-type", "application/merge-patch+json").body(body).unwrap();
    let changed = answer(&client, request).await.unwrap();
    assert_eq!(changed["spec"]["account"], json!({ "applicationCalendarId": "room" }));
    assert_eq!(changed["metadata"]["generation"], 2);
}

/// What is wrong with the answer to a case, if anything.
fn wrong(case: &Case, answer: Answer) -> Option<String> {
    match (&case.outcome, answer) {
        (Outcome::Accepted, Ok(_)) => None,
        (Outcome::Accepted, Err(status)) => Some(format!("is refused: {}", status.message)),
        (Outcome::Refused { says, .. }, Ok(_)) => Some(format!("is accepted instead of {says:?}")),
        (Outcome::Refused { by: By::Reading, says, .. }, Err(status)) => {
            (!status.message.contains(says)).then(|| format!("gives {:?} instead of {says:?}", status.message))
        }
        (Outcome::Refused { at, says, .. }, Err(status)) => {
            let causes = status.details.as_ref().map(|details| details.causes.as_slice()).unwrap_or_default();
            let at = if at.is_empty() { "<nil>" } else { at };
            let said = causes.iter().any(|cause| cause.field == at && cause.message.contains(says));
            (!said).then(|| format!("gives {causes:?} instead of {at:?} {says:?}"))
        }
    }
}
