//! `CronofyApplication`: credentials of an application at Cronofy, its limits, and who may use it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{SecretRef, foreign, rules};

/// An application registered at Cronofy.
#[allow(clippy::duplicated_attributes, reason = "each column has a type of its own")]
#[derive(CustomResource, KubeSchema, Clone, Debug, Deserialize, Serialize, PartialEq)]
#[kube(
    group = "cronofy-operator.dev",
    version = "v1alpha1",
    kind = "CronofyApplication",
    plural = "cronofyapplications",
    shortname = "cronofyapp",
    category = "cronofy",
    namespaced,
    status = "CronofyApplicationStatus",
    derive = "PartialEq",
    cel,
    doc = "An application registered at Cronofy: its credentials, its request limits, and who may use it.",
    printcolumn(
        name = "Ready",
        type_ = "string",
        description = "Whether the application can be used",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(
        name = "Status",
        type_ = "string",
        description = "Why, and what to do about it",
        json_path = ".status.conditions[?(@.type==\"Ready\")].message"
    ),
    printcolumn(
        name = "Data Center",
        type_ = "string",
        description = "Cronofy's data centre; empty stands for us",
        json_path = ".spec.dataCenter"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct CronofyApplicationSpec {
    /// Cronofy's data centre that the application is registered in: `us` United States, `uk` United Kingdom, `de` Germany, `au`
    /// Australia, `ca` Canada, `sg` Singapore. Each is a separate instance. Default: `us`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_center: Option<DataCenter>,
    /// Base URL of the API, used instead of the data centre's: http or https, at most 2048 characters, without user info, query
    /// and fragment. Refused unless the operator runs with `--allow-custom-endpoints`. Default: that of `dataCenter`.
    #[schemars(length(max = 2048))]
    #[x_kube(validation = rules::ENDPOINT)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Secret in the same namespace with the keys `client_id` and `client_secret`, and `client_secret_previous` while secrets
    /// are changed: notifications signed with either are accepted then.
    pub credentials_secret_ref: SecretRef,
    /// Cronofy's request limits of the application, which all its subscriptions share. The operator stays below them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// Which namespaces' subscriptions may use the application, and so its credentials and request budget. Taking a namespace
    /// away here takes effect at once; labels of a namespace are looked at whenever its subscriptions have work to do, at
    /// least every 12 hours. Default: only its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_namespaces: Option<AllowedNamespaces>,
}

/// Cronofy's data centres; each is a separate instance.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(description = "")] // the field says it
pub enum DataCenter {
    /// United States.
    #[default]
    Us,
    /// United Kingdom.
    Uk,
    /// Germany.
    De,
    /// Australia.
    Au,
    /// Canada.
    Ca,
    /// Singapore.
    Sg,
}

/// Request limits that all subscriptions of the application share.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Requests in a second, 1 to 10000. Default: `50`.
    #[schemars(range(min = 1, max = 10000))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_second: Option<i32>,
    /// Requests in a minute, 1 to 1000000. Default: `500`.
    #[schemars(range(min = 1, max = 1_000_000))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<i32>,
}

/// Who may refer to the application from other namespaces.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[x_kube(validation = rules::SELECTOR_WITH_FROM)]
#[serde(rename_all = "camelCase")]
pub struct AllowedNamespaces {
    /// `Same`: only the application's own namespace. `All`: every namespace. `Selector`: its own and those whose labels `selector`
    /// matches. Default: `Same`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<NamespacesFrom>,
    /// Labels of the namespaces that may use it; with `from: Selector`, and only then. An empty selector matches every namespace.
    #[schemars(schema_with = "foreign::label_selector")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
}

/// From which namespaces the application may be used.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
#[schemars(description = "")] // the field says it
pub enum NamespacesFrom {
    /// Only the application's own.
    #[default]
    Same,
    /// Every namespace.
    All,
    /// Those whose labels the selector matches.
    Selector,
}

/// What the operator knows about the application.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct CronofyApplicationStatus {
    /// The generation of the spec that this status describes; -1 before the first visit.
    #[schemars(range(min = -1))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`: the application can be used. `Reconciling`: the operator tries again by itself. `Stalled`: nothing goes on until a
    /// person acts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "foreign::conditions")]
    pub conditions: Vec<Condition>,
}
