//! Starts and ends of events.

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Deserializer};

use crate::lenient;

/// Start or end of an event.
///
/// Cronofy writes it in five forms, and any of them is accepted whatever was asked for:
///
/// | JSON | meaning |
/// | --- | --- |
/// | `"2026-12-03"` | all-day |
/// | `"2026-11-23T09:00:00Z"` | instant |
/// | `{"time":"2026-12-09T15:30:00+01:00","tzid":"Europe/Berlin"}` | instant with its zone |
/// | `{"time":"2026-12-09T14:30:00Z","tzid":"Etc/UTC"}` | instant whose zone is not known |
/// | `{"time":"2026-12-03","tzid":"Europe/Berlin"}` | all-day with a zone |
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum EventTime {
    /// A whole day. As the end of an event it is exclusive: an event of 3 and 4 December ends on the 5th.
    Date {
        /// The day.
        date: Date,
        /// IANA zone, if the answer has one.
        zone: Option<String>,
    },
    /// A point in time.
    Instant {
        /// The point.
        timestamp: Timestamp,
        /// IANA zone, if the answer has one; `Etc/UTC` also where Cronofy does not know the zone. As sent, not checked.
        zone: Option<String>,
    },
}

impl EventTime {
    fn read(text: &str, zone: Option<String>) -> Option<Self> {
        if let Some(date) = plain_date(text) {
            return Some(Self::Date { date, zone });
        }
        text.parse().ok().map(|timestamp| Self::Instant { timestamp, zone })
    }
}

/// A date and nothing else: a time without an offset also starts with a date, but is not a day.
fn plain_date(text: &str) -> Option<Date> {
    let is_plain = text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    if is_plain { text.parse().ok() } else { None }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Wire {
    Text(String),
    Zoned {
        time: String,
        #[serde(default, deserialize_with = "lenient::option")]
        tzid: Option<String>,
    },
}

impl<'de> Deserialize<'de> for EventTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (text, zone) = match Wire::deserialize(deserializer)? {
            Wire::Text(text) => (text, None),
            Wire::Zoned { time, tzid } => (time, tzid.filter(|zone| !zone.is_empty())),
        };
        Self::read(&text, zone).ok_or_else(|| serde::de::Error::custom("neither a date nor an instant"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::decode;

    fn date(date: &str, zone: Option<&str>) -> EventTime {
        EventTime::Date { date: date.parse().unwrap(), zone: zone.map(str::to_owned) }
    }

    fn instant(timestamp: &str, zone: Option<&str>) -> EventTime {
        EventTime::Instant { timestamp: timestamp.parse().unwrap(), zone: zone.map(str::to_owned) }
    }

    #[test]
    fn all_five_forms_are_read() {
        let table = [
            (r#""2026-12-03""#, date("2026-12-03", None)),
            (r#""0000-12-29""#, date("0000-12-29", None)),
            (r#""2026-11-23T09:00:00Z""#, instant("2026-11-23T09:00:00Z", None)),
            (r#""2026-11-23T10:00:00+01:00""#, instant("2026-11-23T09:00:00Z", None)),
            (r#""2026-11-23T09:00:00.250Z""#, instant("2026-11-23T09:00:00.250Z", None)),
            (r#""0000-12-29T00:00:00Z""#, instant("0000-12-29T00:00:00Z", None)),
            (
                r#"{"time":"2026-12-09T15:30:00+01:00","tzid":"Europe/Berlin"}"#,
                instant("2026-12-09T14:30:00Z", Some("Europe/Berlin")),
            ),
            (r#"{"time":"2026-12-09T14:30:00Z","tzid":"Etc/UTC"}"#, instant("2026-12-09T14:30:00Z", Some("Etc/UTC"))),
            (r#"{"time":"2026-12-03","tzid":"Europe/Berlin"}"#, date("2026-12-03", Some("Europe/Berlin"))),
            (r#"{"time":"2026-12-03","tzid":null,"x":[1]}"#, date("2026-12-03", None)),
            (r#"{"time":"2026-12-03","tzid":""}"#, date("2026-12-03", None)),
            (r#"{"time":"2026-12-03"}"#, date("2026-12-03", None)),
        ];
        for (json, time) in table {
            assert_eq!(decode(json.as_bytes()), Ok(time), "{json}");
        }
    }

    #[test]
    fn what_names_neither_a_day_nor_an_instant_is_refused() {
        for json in [
            r#""""#,
            r#""2026-11-23T09:00:00""#,
            r#""2026-11-23 09:00""#,
            r#""2026-02-30""#,
            r#""2026-13-01T00:00:00Z""#,
            r#""20261203""#,
            r#""tomorrow""#,
            r#"{"time":"2026-11-23T09:00:00","tzid":"Europe/Berlin"}"#,
            r#"{"tzid":"Europe/Berlin"}"#,
            r#"{"time":null}"#,
            "1764000000",
            "null",
            "[]",
        ] {
            assert!(decode::<EventTime>(json.as_bytes()).is_err(), "{json}");
        }
    }
}
