//! Field decoders for data that others write: what cannot be read counts as absent instead of failing its surroundings.
//!
//! Only for fields whose absence is harmless. A list that would be *acted upon* when it is short (channels, the pages of a
//! read) is decoded strictly.

use serde::de::{Deserialize, Deserializer, IgnoredAny};

/// A value that was readable as `T`, or some other well-formed JSON.
#[derive(serde::Deserialize)]
#[serde(untagged)]
pub(crate) enum Lenient<T> {
    Readable(T),
    Unreadable(IgnoredAny),
}

impl<T> Lenient<T> {
    pub(crate) fn readable(self) -> Option<T> {
        match self {
            Self::Readable(value) => Some(value),
            Self::Unreadable(_) => None,
        }
    }
}

/// `null`, a missing field and a value of another form are all `None`. Use with `#[serde(default)]`.
pub(crate) fn option<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Ok(Lenient::deserialize(deserializer)?.readable())
}

/// Like [`option`], with the type's default in place of `None`.
pub(crate) fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(option(deserializer)?.unwrap_or_default())
}

/// A list without its unreadable elements; what is not a list is empty.
pub(crate) fn list<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let elements: Vec<Lenient<T>> = or_default(deserializer)?;
    Ok(elements.into_iter().filter_map(Lenient::readable).collect())
}

/// A string, or a number in its shortest decimal form: Cronofy sends coordinates as strings, others as numbers.
pub(crate) fn text_or_number<'de, D>(deserializer: D) -> Result<Option<String>, D::Error>
where
    D: Deserializer<'de>,
{
    #[derive(serde::Deserialize)]
    #[serde(untagged)]
    enum TextOrNumber {
        Text(String),
        Number(serde_json::Number),
    }
    Ok(option(deserializer)?.map(|value| match value {
        TextOrNumber::Text(text) => text,
        TextOrNumber::Number(number) => number.to_string(),
    }))
}

/// Bytes of an identifier. Those of Cronofy have some dozens, those that calendar services make some hundreds.
pub(crate) const LONGEST_IDENTIFIER: usize = 1024;

/// An identifier: a string that is neither empty nor long. Identifiers are map keys to callers, who keep them.
pub(crate) fn identifier<'de, D>(deserializer: D) -> Result<String, D::Error>
where
    D: Deserializer<'de>,
{
    let text = String::deserialize(deserializer)?;
    match text.len() {
        0 => Err(serde::de::Error::custom("empty identifier")),
        1..=LONGEST_IDENTIFIER => Ok(text),
        _ => Err(serde::de::Error::custom("identifier too long")),
    }
}
