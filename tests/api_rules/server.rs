//! The same by a real API server, and what only it can show.

use cronofy_operator::crds;
use futures::{StreamExt as _, stream};
use http::Request;
use kube::Client;
use serde_json::Value;
use testenv::{ControlPlane, TestNamespace, shared};

use crate::cases::{By, Case, Kind, Outcome, table};

/// A namespace on a control plane that has the definitions.
async fn cluster() -> (&'static ControlPlane, TestNamespace, Client) {
    let control_plane = shared().await.unwrap();
    let warnings = control_plane.apply_crds(&crds::crds()).await.unwrap();
    assert_eq!(warnings, Vec::<String>::new(), "the API server finds fault with the definitions");
    let namespace = control_plane.namespace("rules").await.unwrap();
    let client = control_plane.admin().unwrap();
    (control_plane, namespace, client)
}

/// Creates an object for the look of it: nothing is stored.
async fn try_to_create(
    client: &Client,
    namespace: &str,
    kind: Kind,
    object: &Value,
) -> Result<Value, Box<kube::core::Status>> {
    let plural = match kind {
        Kind::Subscription => "calendarsubscriptions",
        Kind::Application => "cronofyapplications",
    };
    let path = format!(
        "/apis/cronofy-operator.dev/v1alpha1/namespaces/{namespace}/{plural}?dryRun=All&fieldValidation=Strict"
    );
    let body = serde_json::to_vec(object).unwrap();
    let request = Request::post(path).header("content-type", "application/json").body(body).unwrap();
    match client.request(request).await {
        Ok(created) => Ok(created),
        Err(kube::Error::Api(status)) => Err(status),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn the_api_server_says_what_the_table_says() {
    let (_, namespace, client) = cluster().await;
    let table = table();
    let wrong: Vec<_> = stream::iter(&table)
        .map(|case| async {
            wrong(case, try_to_create(&client, namespace.name(), case.kind, &case.object()).await)
                .map(|wrong| format!("{}: {wrong}", case.title()))
        })
        .buffer_unordered(8)
        .filter_map(|wrong| async { wrong })
        .collect()
        .await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is wrong with the answer to a case, if anything.
fn wrong(case: &Case, answer: Result<Value, Box<kube::core::Status>>) -> Option<String> {
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
