//! The client: where it calls, within which bounds, and the parts all calls share. The calls themselves stand next to the
//! types they exchange.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use reqwest::{Method, RequestBuilder};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use url::{Host, Url};

use crate::data_center::DataCenter;
use crate::error::{Endpoint, Error};
use crate::exchange::Exchange;

/// Where and how a [`Client`] calls.
#[derive(Clone, Debug)]
pub struct Options {
    /// Base address of the API: a data centre's ([`DataCenter::api_url`]), or another one, for example of a simulator, also
    /// with plain `http` and with a path in front.
    pub api: Url,
    /// `User-Agent` of every request.
    pub user_agent: String,
    /// Bound on connecting, TLS included. Default 5 s.
    pub connect_timeout: Duration,
    /// Bound on a whole call, from connecting to the last byte of the answer. Default 30 s.
    pub request_timeout: Duration,
    /// Bound on the body of a successful answer, in bytes. Default 16 MiB.
    pub max_body_bytes: usize,
}

impl Options {
    /// Options with the defaults for the API at this address.
    #[must_use]
    pub fn new(api: Url) -> Self {
        Self {
            api,
            user_agent: concat!("cronofy-rust/", env!("CARGO_PKG_VERSION")).to_owned(),
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(30),
            max_body_bytes: 16 * 1024 * 1024,
        }
    }
}

impl From<DataCenter> for Options {
    fn from(data_center: DataCenter) -> Self {
        Self::new(data_center.api_url())
    }
}

/// What a successful call returns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer<T> {
    /// The content.
    pub value: T,
    /// The server's clock as it answered (header `Date`, whole seconds), if it told. What a later read compares with
    /// ([`EventsQuery::last_modified`](crate::EventsQuery::last_modified)) is best taken from here, not from the local clock.
    pub date: Option<Timestamp>,
}

impl<T> Answer<T> {
    /// The same answer with other content.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Answer<U> {
        Answer { value: f(self.value), date: self.date }
    }
}

/// A client of one Cronofy API.
///
/// Cloning is cheap, and clones share their connections. The client keeps no credentials: each call gets its own, so one
/// client serves any number of accounts and applications of a data centre.
///
/// Each call is one request. There are no retries, no token refresh behind the scenes and no rate limiter, since these are
/// decisions for an application as a whole; [`Error`] is made to take them. Dropping a call's future cancels the call, which
/// may have taken effect by then.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    api: Arc<Url>,
    max_body_bytes: usize,
}

impl Client {
    /// Makes a client. Connects to nothing.
    ///
    /// Proxies are taken from the environment (`HTTPS_PROXY` and its kin), except if the API is on this machine's loopback.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidRequest`] if the address is not `http` or `https` with a host, or holds credentials, a query or a
    /// fragment; if the user agent cannot be a header; or if the platform's TLS cannot be set up.
    pub fn new(options: Options) -> Result<Self, Error> {
        let Options { api, user_agent, connect_timeout, request_timeout, max_body_bytes } = options;
        let invalid = |reason| Err(Error::InvalidRequest { reason });
        if !matches!(api.scheme(), "http" | "https") || !api.has_host() {
            return invalid("the API's address is not an http or https URL");
        }
        if !api.username().is_empty() || api.password().is_some() || api.query().is_some() || api.fragment().is_some() {
            return invalid("the API's address holds credentials, a query or a fragment");
        }
        let mut builder = reqwest::Client::builder()
            .user_agent(user_agent)
            .connect_timeout(connect_timeout)
            .timeout(request_timeout)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .https_only(api.scheme() == "https");
        if is_loopback(&api) {
            builder = builder.no_proxy();
        }
        match builder.build() {
            Ok(http) => Ok(Self { http, api: Arc::new(api), max_body_bytes }),
            Err(_) => invalid("the user agent cannot be a header, or TLS cannot be set up"),
        }
    }

    /// Base address of the API.
    #[must_use]
    pub fn api(&self) -> &Url {
        &self.api
    }

    /// The address of an endpoint; each segment is percent-encoded.
    pub(crate) fn url(&self, segments: &[&str]) -> Result<Url, Error> {
        // These would vanish from the path, and the request would reach another resource.
        if segments.iter().any(|segment| matches!(*segment, "" | "." | "..")) {
            return Err(Error::InvalidRequest { reason: "an identifier is empty or dots only" });
        }
        let mut url = Url::clone(&self.api);
        url.path_segments_mut()
            .map_err(|()| Error::InvalidRequest { reason: "the API's address cannot have a path" })?
            .pop_if_empty()
            .extend(segments);
        Ok(url)
    }

    /// A call in the name of a user.
    pub(crate) fn as_user<'a>(
        &self,
        endpoint: Endpoint,
        method: Method,
        url: Url,
        access_token: &'a SecretString,
    ) -> Exchange<'a> {
        let token = access_token.expose_secret();
        self.exchange(endpoint, self.http.request(method, url).bearer_auth(token), vec![token])
    }

    /// A call in the name of the application, whose credentials are in the body.
    pub(crate) fn as_application<'a>(
        &self,
        endpoint: Endpoint,
        segments: &[&str],
        body: &impl Serialize,
        secrets: Vec<&'a str>,
    ) -> Result<Exchange<'a>, Error> {
        let request = self.http.post(self.url(segments)?).json(body);
        Ok(self.exchange(endpoint, request, secrets))
    }

    fn exchange<'a>(&self, endpoint: Endpoint, request: RequestBuilder, secrets: Vec<&'a str>) -> Exchange<'a> {
        let request = request.header(reqwest::header::ACCEPT, "application/json");
        Exchange { endpoint, request, secrets, max_body_bytes: self.max_body_bytes }
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(api: &str) -> Options {
        Options::new(api.parse().unwrap())
    }

    #[test]
    fn an_address_that_cannot_be_an_api_is_refused() {
        for api in [
            "ftp://example.org",
            "data:text/plain,x",
            "https://u:p@example.org",
            "https://x.org?a=b",
            "https://x.org#a",
        ] {
            assert_eq!(Client::new(options(api)).unwrap_err().category(), "InvalidRequest", "{api}");
        }
        let mut options = Options::from(DataCenter::US);
        options.user_agent = "line\nbreak".to_owned();
        assert_eq!(Client::new(options).unwrap_err().category(), "InvalidRequest");
    }

    #[test]
    fn identifiers_are_one_segment_of_the_path_whatever_they_hold() {
        let table = [
            ("https://api.cronofy.com", "chn_6a1f", "https://api.cronofy.com/v1/channels/chn_6a1f"),
            ("http://127.0.0.1:80/base/", "a/b", "http://127.0.0.1/base/v1/channels/a%2Fb"),
            ("http://[::1]:81/base", "a?b#c d%2F..", "http://[::1]:81/base/v1/channels/a%3Fb%23c%20d%252F.."),
            ("https://x.org", "é\u{0}", "https://x.org/v1/channels/%C3%A9%00"),
        ];
        for (api, id, url) in table {
            assert_eq!(Client::new(options(api)).unwrap().url(&["v1", "channels", id]).unwrap().as_str(), url);
        }
        for id in ["", ".", ".."] {
            let error = Client::new(options("https://x.org")).unwrap().url(&["v1", "channels", id]).unwrap_err();
            assert_eq!(error.category(), "InvalidRequest", "{id:?}");
        }
    }

    #[test]
    fn loopback_is_known_in_all_its_forms() {
        for (url, loopback) in [
            ("http://127.0.0.1:1", true),
            ("http://127.9.9.9", true),
            ("http://[::1]", true),
            ("http://localhost:8080", true),
            ("http://api.localhost", true),
            ("https://api.cronofy.com", false),
            ("http://localhost.example.org", false),
            ("http://10.0.0.1", false),
        ] {
            assert_eq!(is_loopback(&url.parse().unwrap()), loopback, "{url}");
        }
    }
}
