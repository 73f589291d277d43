//! Durations as Gateway API writes them (GEP-2257).

use std::borrow::Cow;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A duration such as `90m` or `1h30m`: one to four parts of `h`, `m`, `s`, `ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(transparent)]
pub struct Interval(kube::core::Duration);

impl Interval {
    /// The duration as the standard library has it.
    #[must_use]
    pub fn duration(self) -> Duration {
        self.0.into()
    }
}

impl From<Duration> for Interval {
    fn from(duration: Duration) -> Self {
        Self(duration.into())
    }
}

impl JsonSchema for Interval {
    fn schema_name() -> Cow<'static, str> {
        "Interval".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        // The form is checked by the rule of each field, together with its minimum: so a person gets one message with both.
        json_schema!({ "type": "string", "maxLength": 32 })
    }
}
