//! By what a reader knows that it has an answer already.

use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::cursor::mark;

/// Names an answer: what is stored, what was asked of it, and which release answered.
#[derive(Clone, Debug)]
pub struct Tag(HeaderValue);

impl Tag {
    /// The tag of the answer to `query` from what `head` names. Weak, since an answer may be compressed.
    pub fn new(head: &str, query: &impl serde::Serialize) -> Self {
        let text = format!("W/\"{head}-{}\"", mark(&(env!("CARGO_PKG_VERSION"), query)));
        Self(HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("W/\"\"")))
    }

    /// The answer, if it is known to who asks.
    pub fn known(&self, headers: &HeaderMap) -> Option<Response> {
        let own = self.0.as_bytes();
        let tags = headers
            .get_all(header::IF_NONE_MATCH)
            .iter()
            .flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
        let strong = |tag: &[u8]| tag.strip_prefix(b"W/").map(<[u8]>::to_vec).unwrap_or(tag.to_vec());
        let known = tags.map(<[u8]>::trim_ascii).any(|tag| tag == b"*" || strong(tag) == strong(own));
        known.then(|| self.on(StatusCode::NOT_MODIFIED.into_response()))
    }

    /// An answer with its tag.
    pub fn on(&self, mut response: Response) -> Response {
        response.headers_mut().insert(header::ETAG, self.0.clone());
        response
    }
}
