//! `CronofyApplication`: credentials of an application at Cronofy, its limits, and who may use it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::SecretRef;

/// An application registered at Cronofy.
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
    derive = "PartialEq"
)]
#[serde(rename_all = "camelCase")]
pub struct CronofyApplicationSpec {
    /// Cronofy's data centre that the application is registered in. Default: `us`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_center: Option<DataCenter>,
    /// Base URL used instead of the data centre; refused unless the operator runs with `--allow-custom-endpoints`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Secret in the same namespace with the keys `client_id`, `client_secret` and, while secrets rotate, `client_secret_previous`.
    pub credentials_secret_ref: SecretRef,
    /// Cronofy's request limits of the application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// Who may refer to the application from other namespaces. Default: nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_namespaces: Option<AllowedNamespaces>,
}

/// Cronofy's data centres; each is a separate instance.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "lowercase")]
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
    /// Requests in a second. Default: 50.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_second: Option<i32>,
    /// Requests in a minute. Default: 500.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<i32>,
}

/// Who may refer to the application from other namespaces.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct AllowedNamespaces {
    /// `Same` (default): only its own namespace. `All`: every namespace. `Selector`: those whose labels `selector` matches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<NamespacesFrom>,
    /// Labels of the allowed namespaces; with `from: Selector` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
}

/// From which namespaces the application may be used.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready` sums up; `Reconciling` and `Stalled` tell whether to wait or to act.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}
