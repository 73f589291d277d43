//! Durations as Gateway API writes them (GEP-2257).

use std::borrow::Cow;
use std::fmt::{self, Display};
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize, Serializer};

/// The longest duration that one part of each unit can write: a little over 11 years.
const LONGEST: Duration = Duration::from_millis(((99_999 * 60 + 59) * 60 + 59) * 1000 + 999);

/// A duration such as `90m` or `1h30m`: one to four parts, each a whole number of `h`, `m`, `s` or `ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(transparent)]
pub struct Interval(kube::core::Duration);

impl Interval {
    /// The duration as the standard library has it.
    #[must_use]
    pub fn duration(self) -> Duration {
        self.0.into()
    }
}

/// Only whole milliseconds can be written, and no more than 99999 hours: the rest is left out.
impl From<Duration> for Interval {
    fn from(duration: Duration) -> Self {
        let duration = duration.min(LONGEST);
        let whole = Duration::new(duration.as_secs(), duration.subsec_millis() * 1_000_000);
        Self(whole.into())
    }
}

impl Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let duration = self.duration();
        let (seconds, millis) = (duration.as_secs(), u64::from(duration.subsec_millis()));
        let parts = [(seconds / 3600, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s"), (millis, "ms")];
        let mut parts = parts.iter().filter(|(number, _)| *number > 0).peekable();
        if parts.peek().is_none() {
            return f.write_str("0s");
        }
        parts.try_for_each(|(number, unit)| write!(f, "{number}{unit}"))
    }
}

/// In its shortest form. `kube::core::Duration` would write 168 hours as `604800s`, which has too many digits for GEP-2257.
impl Serialize for Interval {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_written_in_the_form_that_the_rules_accept() {
        let millis = |millis| Interval::from(Duration::from_millis(millis)).to_string();
        let table = [
            (0, "0s"),
            (1, "1ms"),
            (90_000, "1m30s"),
            (5_400_000, "1h30m"),
            (168 * 3_600_000, "168h"),
            (3_600_000 + 60_000 + 1_000 + 1, "1h1m1s1ms"),
            (u64::MAX, "99999h59m59s999ms"),
        ];
        for (number, text) in table {
            assert_eq!(millis(number), text);
        }
        assert_eq!(Interval::from(Duration::from_nanos(1_999_999)).to_string(), "1ms");
    }

    #[test]
    fn what_is_written_is_read_as_the_same() {
        for text in ["\"0s\"", "\"1ms\"", "\"1h30m\"", "\"99999h59m59s999ms\""] {
            let read: Interval = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&read).unwrap(), text);
        }
    }
}
