//! One request and its answer: sent once, bounded in time and size, refused or decoded.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use reqwest::header::{DATE, HeaderMap, HeaderName, RETRY_AFTER};
use reqwest::{RequestBuilder, Response};
use serde::de::DeserializeOwned;

use crate::client::Answer;
use crate::error::{Endpoint, Error, TransportFault};
use crate::excerpt::Redactor;
use crate::json::{self, JsonFault};
use crate::refusal::Refused;

/// How much of a refusing answer is read. Its status says nearly all there is to say.
const REFUSAL_BYTES: usize = 64 * 1024;

/// The longest wait that a server can ask for. A longer one is more likely a fault than meant.
const MAX_RETRY_AFTER: Duration = Duration::from_hours(1);

/// A request that is ready to be sent.
pub(crate) struct Exchange<'a> {
    pub(crate) endpoint: Endpoint,
    pub(crate) request: RequestBuilder,
    /// Everything in the request that must never be shown.
    pub(crate) secrets: Vec<&'a str>,
    pub(crate) max_body_bytes: usize,
}

/// The body of a 2xx answer.
pub(crate) struct Reply {
    endpoint: Endpoint,
    date: Option<Timestamp>,
    body: Vec<u8>,
}

impl Exchange<'_> {
    /// Sends the request and reads the whole answer.
    pub(crate) async fn reply(self) -> Result<Reply, Error> {
        let (endpoint, limit) = (self.endpoint, self.max_body_bytes);
        let mut response = self.accepted().await?;
        let date = date(response.headers());
        let body = match read(&mut response, limit).await {
            Ok(Body::Complete(body)) => body,
            Ok(Body::Cut(_)) => return Err(Error::TooLarge { endpoint, limit }),
            Err(error) => return Err(transport_error(endpoint, error, TransportFault::CutBody)),
        };
        Ok(Reply { endpoint, date, body })
    }

    /// Sends the request and looks at the status only, for calls whose success has no content. Once the status says done, a
    /// fault in a body that nobody needs must not make it look undone.
    pub(crate) async fn done(self) -> Result<Answer<()>, Error> {
        let response = self.accepted().await?;
        Ok(Answer { value: (), date: date(response.headers()) })
    }

    async fn accepted(self) -> Result<Response, Error> {
        let Self { endpoint, request, secrets, max_body_bytes: _ } = self;
        let mut response =
            request.send().await.map_err(|error| transport_error(endpoint, error, TransportFault::Reset))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let retry_after = retry_after(response.headers());
        let body = match read(&mut response, REFUSAL_BYTES).await {
            Ok(Body::Complete(body) | Body::Cut(body)) => body,
            Err(_) => Vec::new(),
        };
        let refused = Refused { endpoint, status: status.as_u16(), retry_after, body: &body };
        Err(refused.into_error(&Redactor::new(&secrets)))
    }
}

impl Reply {
    pub(crate) fn json<T: DeserializeOwned>(self) -> Result<Answer<T>, Error> {
        let endpoint = self.endpoint;
        self.decode(|body| json::decode(body).map_err(|fault| malformed(endpoint, fault)))
    }

    pub(crate) fn decode<T>(self, decode: impl FnOnce(&[u8]) -> Result<T, Error>) -> Result<Answer<T>, Error> {
        Ok(Answer { value: decode(&self.body)?, date: self.date })
    }
}

pub(crate) fn malformed(endpoint: Endpoint, fault: JsonFault) -> Error {
    Error::Malformed { endpoint, fault }
}

enum Body {
    Complete(Vec<u8>),
    /// The first bytes of a body that is longer than the limit.
    Cut(Vec<u8>),
}

async fn read(response: &mut Response, limit: usize) -> Result<Body, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        let room = limit - body.len();
        match chunk.get(..room) {
            Some(fitting) if chunk.len() > room => {
                body.extend_from_slice(fitting);
                return Ok(Body::Cut(body));
            }
            _ => body.extend_from_slice(&chunk),
        }
    }
    Ok(Body::Complete(body))
}

fn transport_error(endpoint: Endpoint, error: reqwest::Error, otherwise: TransportFault) -> Error {
    if error.is_builder() {
        return Error::InvalidRequest { reason: "a token or parameter cannot be part of an HTTP request" };
    }
    // A timeout while connecting is a failure to connect: nothing was sent.
    let fault = if error.is_connect() {
        TransportFault::Connect
    } else if error.is_timeout() {
        TransportFault::Timeout
    } else {
        otherwise
    };
    // The URL is left out: the query of an events request names calendars, a page's address is its own key.
    let error = error.without_url();
    let mut detail = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        detail = format!("{detail}: {cause}");
        source = cause.source();
    }
    Error::Transport { endpoint, fault, detail: Redactor::new(&[]).text(&detail, crate::excerpt::BODY_CHARS) }
}

fn date(headers: &HeaderMap) -> Option<Timestamp> {
    http_date(header(headers, &DATE)?)
}

/// RFC 9110 section 10.2.3: seconds, or a date. A date is measured by the server's own clock if the answer tells it.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = header(headers, &RETRY_AFTER)?;
    let wait = if value.bytes().all(|byte| byte.is_ascii_digit()) && !value.is_empty() {
        // More digits than fit are a long time as well.
        Duration::from_secs(value.parse().unwrap_or(u64::MAX))
    } else {
        let until = http_date(value)?;
        let now = date(headers).unwrap_or_else(Timestamp::now);
        Duration::try_from(until.duration_since(now)).unwrap_or(Duration::ZERO)
    };
    Some(wait.min(MAX_RETRY_AFTER))
}

fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

fn http_date(value: &str) -> Option<Timestamp> {
    static PARSER: DateTimeParser = DateTimeParser::new().relaxed_weekday(true);
    PARSER.parse_timestamp(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    }

    #[test]
    fn the_servers_date_is_read() {
        let parsed = date(&headers(&[(DATE, "Fri, 20 Nov 2026 07:41:05 GMT")]));
        assert_eq!(parsed, Some("2026-11-20T07:41:05Z".parse().unwrap()));
        for garbage in ["", "now", "2026-11-20T07:41:05Z", "99999999999999999999"] {
            assert_eq!(date(&headers(&[(DATE, garbage)])), None, "{garbage:?}");
        }
        assert_eq!(date(&HeaderMap::new()), None);
    }

    #[test]
    fn retry_after_is_read_in_both_forms_and_bounded() {
        let now = "Fri, 20 Nov 2026 07:41:05 GMT";
        let table = [
            ("0", Some(0)),
            ("7", Some(7)),
            (" 7 ", Some(7)),
            ("3600", Some(3600)),
            ("86400", Some(3600)),
            ("99999999999999999999999", Some(3600)),
            ("Fri, 20 Nov 2026 07:41:35 GMT", Some(30)),
            ("Fri, 20 Nov 2026 07:41:00 GMT", Some(0)),
            ("Sat, 20 Nov 2027 07:41:05 GMT", Some(3600)),
            ("", None),
            ("-1", None),
            ("soon", None),
            ("1.5", None),
        ];
        for (value, seconds) in table {
            let wait = retry_after(&headers(&[(DATE, now), (RETRY_AFTER, value)]));
            assert_eq!(wait, seconds.map(Duration::from_secs), "{value:?}");
        }
        assert_eq!(retry_after(&headers(&[(DATE, now)])), None);
    }

    #[test]
    fn without_a_date_of_the_server_a_retry_date_is_measured_by_the_local_clock() {
        let past = retry_after(&headers(&[(RETRY_AFTER, "Thu, 20 Nov 1980 07:41:05 GMT")]));
        assert_eq!(past, Some(Duration::ZERO));
        let future = retry_after(&headers(&[(RETRY_AFTER, "Wed, 20 Nov 2999 07:41:05 GMT")]));
        assert_eq!(future, Some(MAX_RETRY_AFTER));
    }
}
