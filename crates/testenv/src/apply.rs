//! Server-side apply of definitions and manifests.

use std::time::Duration;

use http::{HeaderMap, Request, header::WARNING};
use k8s_openapi::{
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
    apimachinery::pkg::apis::meta::v1::APIResourceList,
};
use kube::{
    Client, Resource,
    api::{DynamicObject, GroupVersionKind, Patch, PatchParams, TypeMeta, ValidationDirective},
    client::Body,
    core::{Status, request},
    discovery::{self, Scope},
};
use serde_json::Value;

use crate::{ControlPlane, Error, eventually};

/// Field manager of what tests apply.
const FIELD_MANAGER: &str = "testenv";

/// From an accepted definition to a served resource: usually a few tenths of a second.
const SERVED: Duration = Duration::from_secs(30);

/// Two tests that create the same object at once: one of them is told so and tries again.
const CONFLICT_ATTEMPTS: usize = 5;

impl ControlPlane {
    /// Applies definitions and waits until each is established and its resources are served in every version.
    ///
    /// Returns the warnings of the API server, which are the messages of its `Warning` headers. Unknown fields are an
    /// error. Any number of tests may apply the same definitions at once.
    ///
    /// # Errors
    /// [`Error::Kube`] with the API server's reasons if it refuses one, [`Error::TimedOut`] if one is not served.
    pub async fn apply_crds(&self, crds: &[CustomResourceDefinition]) -> Result<Vec<String>, Error> {
        let client = self.admin()?;
        let mut warnings = Vec::new();
        for crd in crds {
            let object = serde_json::to_value(crd).map_err(kube::Error::SerdeError)?;
            warnings.extend(apply(&client, &object).await?);
        }
        // Only now, so that the API server works on all of them at once.
        for crd in crds {
            wait_until_served(&client, crd).await?;
        }
        Ok(warnings)
    }

    /// Applies the objects of a text with any number of YAML documents, in their order, as [`ControlPlane::apply_crds`]
    /// does. Objects without a namespace go to `default`.
    ///
    /// # Errors
    /// [`Error::Malformed`] if the text is no YAML or a document is no object, else as [`ControlPlane::apply_crds`].
    pub async fn apply_yaml(&self, text: &str) -> Result<Vec<String>, Error> {
        let objects: Vec<Value> =
            serde_saphyr::from_multiple(text).map_err(|error| Error::Malformed(error.to_string()))?;
        let client = self.admin()?;
        let mut warnings = Vec::new();
        for object in objects.iter().filter(|object| !object.is_null()) {
            warnings.extend(apply(&client, object).await?);
            if object.get("kind").is_some_and(|kind| kind == "CustomResourceDefinition") {
                let crd = serde_json::from_value(object.clone()).map_err(kube::Error::SerdeError)?;
                wait_until_served(&client, &crd).await?;
            }
        }
        Ok(warnings)
    }
}

/// Applies one object of any kind. Returns the API server's warnings.
async fn apply(client: &Client, object: &Value) -> Result<Vec<String>, Error> {
    let not_an_object = |error: serde_json::Error| Error::Malformed(error.to_string());
    let types: TypeMeta = serde_json::from_value(object.clone()).map_err(not_an_object)?;
    let metadata = |field: &str| object.get("metadata")?.get(field)?.as_str();
    let name = metadata("name").ok_or_else(|| Error::Malformed(format!("no metadata.name in a {}", types.kind)))?;

    let kind = GroupVersionKind::try_from(&types).map_err(|error| Error::Malformed(error.to_string()))?;
    let (resource, capabilities) = discovery::pinned_kind(client, &kind).await?;
    let namespace = match capabilities.scope {
        Scope::Namespaced => Some(metadata("namespace").unwrap_or("default")),
        Scope::Cluster => None,
    };
    let mut params = PatchParams::apply(FIELD_MANAGER).force();
    params.field_validation = Some(ValidationDirective::Strict);
    let request = request::Request::new(DynamicObject::url_path(&resource, namespace))
        .patch(name, &params, &Patch::Apply(object))
        .map_err(kube::Error::BuildRequest)?;

    let mut attempt = 1;
    loop {
        match send(client, request.clone()).await {
            Err(Error::Kube(kube::Error::Api(status))) if status.code == 409 && attempt < CONFLICT_ATTEMPTS => {
                attempt += 1;
            }
            outcome => return outcome,
        }
    }
}

/// Sends a request whose answer's headers matter. [`Client`]'s own methods give the body only.
async fn send(client: &Client, request: Request<Vec<u8>>) -> Result<Vec<String>, Error> {
    let response = client.send(request.map(Body::from)).await?;
    let code = response.status();
    let warnings = warnings(response.headers());
    if code.is_success() {
        return Ok(warnings);
    }
    let body = response.into_body().collect_bytes().await?;
    let status = serde_json::from_slice(&body)
        .unwrap_or_else(|_| Status::failure(&String::from_utf8_lossy(&body), "Unknown").with_code(code.as_u16()));
    Err(kube::Error::Api(status.boxed()).into())
}

/// The texts of headers such as `Warning: 299 - "unknown field \"x\""` (RFC 7234, section 5.5).
fn warnings(headers: &HeaderMap) -> Vec<String> {
    let text = |value: &str| {
        let (_, quoted) = value.split_once('"')?;
        let (text, _) = quoted.rsplit_once('"')?;
        Some(text.replace("\\\"", "\"").replace("\\\\", "\\"))
    };
    headers
        .get_all(WARNING)
        .iter()
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        .map(|value| text(&value).unwrap_or(value))
        .collect()
}

/// Waits until the resources of a definition can be discovered and listed in every served version.
///
/// The condition `Established` alone is not enough: the API server sets it a moment before it answers requests.
async fn wait_until_served(client: &Client, crd: &CustomResourceDefinition) -> Result<(), Error> {
    let (group, plural) = (&crd.spec.group, &crd.spec.names.plural);
    for version in crd.spec.versions.iter().filter(|version| version.served) {
        let base = format!("/apis/{group}/{}", version.name);
        eventually(&format!("{base}/{plural} is served"), SERVED, || async {
            let discovered: APIResourceList = client.request(Request::get(&base).body(Vec::new()).ok()?).await.ok()?;
            discovered.resources.iter().find(|resource| resource.name == *plural)?;
            let list = Request::get(format!("{base}/{plural}?limit=1")).body(Vec::new()).ok()?;
            client.request_text(list).await.ok().map(drop)
        })
        .await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_warning_is_given_without_its_code_and_quotes() {
        let mut headers = HeaderMap::new();
        headers.append(WARNING, HeaderValue::from_static(r#"299 - "unknown field \"spec.x\"""#));
        headers.append(WARNING, HeaderValue::from_static(r#"299 - "policy/v1beta1 is deprecated""#));
        assert_eq!(warnings(&headers), [r#"unknown field "spec.x""#, "policy/v1beta1 is deprecated"]);
    }
}
