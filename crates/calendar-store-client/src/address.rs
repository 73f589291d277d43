//! Where a calendar store is.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use reqwest::Url;

/// The longest address.
pub const LONGEST_URL: usize = 512;

/// Base URL of a calendar store: `https`, or `http` on the same machine, and nothing that would not be shown to everybody.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address(String);

/// A URL that is none of a calendar store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAddress {
    /// It is no URL, or has no host.
    #[error("must be a URL of at most {LONGEST_URL} characters, such as https://calendar-store.calendars.svc")]
    NoUrl,
    /// Whoever is on the way could read token and events.
    #[error("must begin with https://; http:// is taken for 127.0.0.1, [::1] and localhost only")]
    Scheme,
    /// It has parts that make no sense, or that are secret.
    #[error("must be scheme, host, port and path only: remove user name, password, query and fragment")]
    Parts,
}

impl Address {
    /// The URL, without a slash at its end.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is on the same machine.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        Url::parse(&self.0).is_ok_and(|url| is_loopback(&url))
    }
}

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let url = Url::parse(text).ok().filter(|url| url.has_host() && text.len() <= LONGEST_URL);
        let url = url.ok_or(InvalidAddress::NoUrl)?;
        match url.scheme() {
            "https" => {}
            "http" if is_loopback(&url) => {}
            _ => return Err(InvalidAddress::Scheme),
        }
        let bare =
            url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none();
        if !bare || text.contains('@') {
            return Err(InvalidAddress::Parts);
        }
        Ok(Self(url.as_str().trim_end_matches('/').to_owned()))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_carries_no_secret_and_leads_nowhere_in_the_clear() {
        for (text, expected) in [
            ("https://store.calendars.svc/", Ok("https://store.calendars.svc")),
            ("https://store:8443/a/b/", Ok("https://store:8443/a/b")),
            ("http://127.0.0.1:8081", Ok("http://127.0.0.1:8081")),
            ("http://[::1]:8081", Ok("http://[::1]:8081")),
            ("http://localhost", Ok("http://localhost")),
            ("http://localhost.example.com", Err(InvalidAddress::Scheme)),
            ("http://store.calendars.svc", Err(InvalidAddress::Scheme)),
            ("ftp://store", Err(InvalidAddress::Scheme)),
            ("https://user:password@store", Err(InvalidAddress::Parts)),
            ("https://@store", Err(InvalidAddress::Parts)),
            ("http://127.0.0.1@store", Err(InvalidAddress::Scheme)),
            ("https://store?token=1", Err(InvalidAddress::Parts)),
            ("https://store#a", Err(InvalidAddress::Parts)),
            ("store", Err(InvalidAddress::NoUrl)),
            ("", Err(InvalidAddress::NoUrl)),
        ] {
            let parsed = text.parse::<Address>();
            assert_eq!(parsed.as_ref().map(Address::as_str).map_err(|error| *error), expected, "{text}");
        }
        assert_eq!(format!("https://{}", "a".repeat(600)).parse::<Address>(), Err(InvalidAddress::NoUrl));
    }
}
