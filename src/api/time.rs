//! Moments as Kubernetes writes them.

use std::borrow::Cow;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A moment, written in whole seconds of UTC. It is the one of Kubernetes, with a schema: the library has one for this type only
/// together with those of its hundreds of others, which would all be compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "meta::Time", into = "meta::Time")]
pub struct Time(pub Timestamp);

impl From<meta::Time> for Time {
    fn from(meta::Time(time): meta::Time) -> Self {
        Self(time)
    }
}

impl From<Time> for meta::Time {
    fn from(Time(time): Time) -> Self {
        Self(time)
    }
}

impl JsonSchema for Time {
    fn schema_name() -> Cow<'static, str> {
        "Time".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "date-time" })
    }
}
