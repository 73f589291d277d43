//! What may be told about a body that did not decode: where and in which way, never what it says.

use std::fmt;

use serde::de::DeserializeOwned;

/// Why a body did not decode. Carries no part of the body: bodies hold people's calendars.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JsonFault {
    /// The kind of fault.
    pub kind: JsonFaultKind,
    /// Line of the fault, from 1; 0 if it has no place.
    pub line: usize,
    /// Column of the fault in bytes, from 1; 0 if the line is empty or has no place.
    pub column: usize,
}

/// The kind of a [`JsonFault`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonFaultKind {
    /// Not JSON, for example an HTML page of a proxy, or nested too deeply.
    Syntax,
    /// JSON that ends too early; also an empty body.
    EndOfInput,
    /// JSON of another form than documented, for example without a required field.
    Shape,
}

impl fmt::Display for JsonFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            JsonFaultKind::Syntax => "not JSON",
            JsonFaultKind::EndOfInput => "JSON ends too early",
            JsonFaultKind::Shape => "JSON of an unexpected form",
        };
        write!(f, "{kind} at line {} column {}", self.line, self.column)
    }
}

impl std::error::Error for JsonFault {}

impl From<serde_json::Error> for JsonFault {
    // The message of a `serde_json::Error` can quote the value it stumbled over, so it is dropped here.
    fn from(error: serde_json::Error) -> Self {
        let kind = match error.classify() {
            serde_json::error::Category::Eof => JsonFaultKind::EndOfInput,
            serde_json::error::Category::Data => JsonFaultKind::Shape,
            serde_json::error::Category::Syntax | serde_json::error::Category::Io => JsonFaultKind::Syntax,
        };
        Self { kind, line: error.line(), column: error.column() }
    }
}

pub(crate) fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, JsonFault> {
    serde_json::from_slice(body).map_err(JsonFault::from)
}
