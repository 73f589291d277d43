//! Reads bodies: what is wrong with one is said by the field's name and the remedy.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::wrong;

/// A JSON object of this form. No body is an empty object; `Content-Type` does not matter.
pub(super) struct Body<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let bytes = Bytes::from_request(request, state).await.map_err(axum::response::IntoResponse::into_response)?;
        let bytes = if bytes.is_empty() { Bytes::from_static(b"{}") } else { bytes };
        let fields: Map<String, Value> = serde_json::from_slice(&bytes)
            .map_err(|error| wrong("body", &format!("send a JSON object: {error}")).into_response())?;
        parse(&fields).map(Body).map_err(|(field, remedy)| wrong(&field, &remedy))
    }
}

/// The object as its type, or the field that is wrong and the remedy.
fn parse<T: DeserializeOwned>(fields: &Map<String, Value>) -> Result<T, (String, String)> {
    let attempt = |fields: &Map<String, Value>| serde_json::from_value::<T>(Value::Object(fields.clone()));
    let problem = match attempt(fields) {
        Ok(parsed) => return Ok(parsed),
        Err(error) => error.to_string(),
    };
    let named = || problem.split('`').nth(1).unwrap_or("body").to_owned();
    if problem.starts_with("missing field") {
        return Err((named(), problem));
    }
    // Without the field that is wrong, the problem is gone or is another one.
    let culprit = fields.keys().find(|key| {
        let mut others = fields.clone();
        others.remove(*key);
        attempt(&others).err().map(|error| error.to_string()).as_deref() != Some(problem.as_str())
    });
    Err((culprit.cloned().unwrap_or_else(named), problem))
}

/// A field that may be `null`, which is another thing than absent.
#[derive(Default)]
pub(super) enum Field<T> {
    #[default]
    Absent,
    Is(Option<T>),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Field<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::<T>::deserialize(deserializer).map(Self::Is)
    }
}
