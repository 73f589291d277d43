//! One page of a read of events.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use url::Url;

use super::event::Event;
use crate::error::{Endpoint, Error};
use crate::exchange::malformed;
use crate::json;
use crate::lenient;

/// One page of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventsPage {
    /// The events of this page.
    pub events: Vec<Event>,
    /// How many entries of this page were not readable as events: without ids, or without start or end although not deleted.
    pub skipped: usize,
    /// The number of this page, from 1.
    pub current: Option<u64>,
    /// The number of pages.
    pub total: Option<u64>,
    /// The next page; `None` on the last one.
    pub next: Option<PageUrl>,
}

/// The address of a further page. Only a [`Client`](crate::Client) makes one, from an answer, and only if it is on the
/// configured API: the access token goes along to it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PageUrl(Url);

impl PageUrl {
    fn new(url: Url, api: &Url) -> Result<Self, Error> {
        let origin = |url: &Url| (url.scheme().to_owned(), url.host().map(|host| host.to_owned()), port(url));
        // User and password in the address would replace the access token in the request.
        if origin(&url) == origin(api) && url.username().is_empty() && url.password().is_none() {
            Ok(Self(url))
        } else {
            Err(Error::ForeignPage { origin: shown_origin(&url) })
        }
    }

    /// The address, if it is on this API.
    pub(crate) fn on(&self, api: &Url) -> Result<Url, Error> {
        Self::new(self.0.clone(), api).map(|page| page.0)
    }
}

fn port(url: &Url) -> Option<u16> {
    url.port_or_known_default()
}

/// Scheme, host and port, cut: of a foreign address nothing else may be shown.
fn shown_origin(url: &Url) -> String {
    let scheme = url.scheme();
    let host: String = url.host_str().unwrap_or_default().chars().take(253).collect();
    match url.port() {
        Some(port) => format!("{scheme}://{host}:{port}"),
        None => format!("{scheme}://{host}"),
    }
}

// Whoever has a page's address and a token sees the page; a log needs neither.
impl fmt::Debug for PageUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PageUrl({}/…)", shown_origin(&self.0))
    }
}

/// `pages` and `events` are required: an answer without them must not pass for the last page of an empty calendar.
#[derive(Deserialize)]
struct Wire<'a> {
    pages: WirePages,
    #[serde(borrow)]
    events: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct WirePages {
    #[serde(default, deserialize_with = "lenient::option")]
    current: Option<u64>,
    #[serde(default, deserialize_with = "lenient::option")]
    total: Option<u64>,
    /// Strict: an unreadable address must not pass for the end of the read.
    #[serde(default)]
    next_page: Option<Url>,
}

impl EventsPage {
    pub(super) fn decode(endpoint: Endpoint, body: &[u8], api: &Url) -> Result<Self, Error> {
        let text = String::from_utf8_lossy(body);
        let Wire { pages, events: entries } =
            json::decode(text.as_bytes()).map_err(|fault| malformed(endpoint, fault))?;
        let WirePages { current, total, next_page } = pages;
        let next = next_page.map(|url| PageUrl::new(url, api)).transpose()?;
        let events: Vec<Event> = entries.iter().filter_map(|entry| event(entry)).collect();
        Ok(Self { skipped: entries.len() - events.len(), events, current, total, next })
    }
}

fn event(entry: &RawValue) -> Option<Event> {
    let event = serde_json::from_str(entry.get()).ok().or_else(|| event_of_readable_fields(entry));
    event.filter(Event::is_complete)
}

/// The event without the fields that no decoder accepts, such as a title that was cut in the middle of a surrogate pair.
fn event_of_readable_fields(entry: &RawValue) -> Option<Event> {
    let fields: BTreeMap<String, &RawValue> = serde_json::from_str(entry.get()).ok()?;
    let readable = |(name, value): (String, &RawValue)| Some((name, serde_json::from_str(value.get()).ok()?));
    let fields: Map<String, Value> = fields.into_iter().filter_map(readable).collect();
    serde_json::from_value(Value::Object(fields)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api() -> Url {
        "https://api.example.org/base".parse().unwrap()
    }

    fn decode(body: &str) -> Result<EventsPage, Error> {
        EventsPage::decode(Endpoint::Events, body.as_bytes(), &api())
    }

    fn next(url: &str) -> Result<EventsPage, Error> {
        decode(&format!(r#"{{"pages":{{"current":1,"total":2,"next_page":{url}}},"events":[]}}"#))
    }

    #[test]
    fn a_first_and_a_last_page_are_read() {
        let first = decode(
            r#"{"pages":{"current":1,"total":2,"next_page":"https://api.example.org/v1/events/pages/6a1f"},"events":[
                {"calendar_id":"cal_1","event_uid":"evt_1","start":"2026-11-23T09:00:00Z","end":"2026-11-23T09:15:00Z"}]}"#,
        )
        .unwrap();
        assert_eq!((first.current, first.total, first.skipped, first.events.len()), (Some(1), Some(2), 0, 1));
        assert!(first.next.is_some());
        for pages in [r#"{"current":2,"total":2}"#, r#"{"current":2,"total":2,"next_page":null}"#, "{}"] {
            let last = decode(&format!(
                r#"{{"pages":{pages},"events":[{{"calendar_id":"cal_1","event_uid":"evt_2","deleted":true}}]}}"#
            ))
            .unwrap();
            assert_eq!((last.next, last.events.len()), (None, 1), "{pages}");
        }
    }

    #[test]
    fn an_unreadable_event_is_counted_and_the_others_stay() {
        let good = r#"{"calendar_id":"c","event_uid":"e","start":"2026-12-03","end":"2026-12-05"}"#;
        for bad in [
            "null",
            "7",
            r#""text""#,
            "[]",
            "{}",
            r#"{"calendar_id":"c","start":"2026-12-03","end":"2026-12-05"}"#,
            r#"{"calendar_id":"c","event_uid":"","start":"2026-12-03","end":"2026-12-05"}"#,
            r#"{"calendar_id":"c","event_uid":7,"start":"2026-12-03","end":"2026-12-05"}"#,
            &format!(r#"{{"calendar_id":"c","event_uid":"{}","deleted":true}}"#, "x".repeat(1025)),
            r#"{"calendar_id":"c","event_uid":"e","start":"2026-12-03"}"#,
            r#"{"calendar_id":"c","event_uid":"e","start":"2026-12-03","end":"soon"}"#,
            r#"{"calendar_id":"c","event_uid":"\ud83d","start":"2026-12-03","end":"2026-12-05"}"#,
        ] {
            let page = decode(&format!(r#"{{"pages":{{}},"events":[{good},{bad},{good}]}}"#)).unwrap();
            assert_eq!((page.events.len(), page.skipped), (2, 1), "{bad}");
        }
    }

    #[test]
    fn a_field_that_no_decoder_accepts_costs_itself_only() {
        let deep = format!("{}{}", "[".repeat(1000), "]".repeat(1000));
        for field in [r#""summary":"cut \ud83d""#, r#""x":1e999"#, r#""url":"a","url":"b""#, &format!(r#""x":{deep}"#)]
        {
            let event = format!(
                r#"{{"calendar_id":"c","event_uid":"e",{field},"start":"2026-12-03","end":"2026-12-05","event_id":"own"}}"#
            );
            let page = decode(&format!(r#"{{"pages":{{}},"events":[{event}]}}"#)).unwrap();
            assert_eq!((page.events.len(), page.skipped), (1, 0), "{field}");
            assert_eq!((page.events[0].event_id.as_deref(), page.events[0].summary.as_deref()), (Some("own"), None));
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced() {
        let mut body =
            br#"{"pages":{},"events":[{"calendar_id":"c","event_uid":"e","deleted":true,"summary":"?"}]}"#.to_vec();
        let at = body.iter().position(|byte| *byte == b'?').unwrap();
        body[at] = 0xff;
        let page = EventsPage::decode(Endpoint::Events, &body, &api()).unwrap();
        assert_eq!(page.events[0].summary.as_deref(), Some("\u{fffd}"));
    }

    #[test]
    fn what_is_no_page_is_not_an_empty_page() {
        for body in [
            "",
            "{}",
            "[]",
            "null",
            "<html></html>",
            r#"{"events":[]}"#,
            r#"{"pages":{}}"#,
            r#"{"pages":{},"events":null}"#,
            r#"{"pages":null,"events":[]}"#,
            r#"{"pages":{"next_page":5},"events":[]}"#,
            r#"{"pages":{"next_page":""},"events":[]}"#,
            r#"{"pages":{"next_page":"/v1/events/pages/2"},"events":[]}"#,
            r#"{"pages":{},"events":[{"calendar_id":"c"#,
            r#"{"pages":{},"events":[]"#,
        ] {
            assert_eq!(decode(body).unwrap_err().category(), "MalformedAnswer", "{body}");
        }
    }

    #[test]
    fn a_page_is_followed_on_the_same_origin_only() {
        for url in ["https://api.example.org/x?y=z", "https://API.example.org:443/", "HTTPS://api.example.org/../x"] {
            assert!(next(&format!("{url:?}")).unwrap().next.is_some(), "{url}");
        }
        let table = [
            ("https://evil.example.org/v1?t=canary", "https://evil.example.org"),
            ("https://api.example.org.evil.org/canary", "https://api.example.org.evil.org"),
            ("http://api.example.org/canary", "http://api.example.org"),
            ("https://api.example.org:8443/canary", "https://api.example.org:8443"),
            ("https://canary:canary@api.example.org/", "https://api.example.org"),
            ("https://api.example.org@evil.org/", "https://evil.org"),
            ("file:///canary", "file://"),
            ("data:canary,x", "data://"),
        ];
        for (url, origin) in table {
            let error = next(&format!("{url:?}")).unwrap_err();
            assert_eq!(error, Error::ForeignPage { origin: origin.to_owned() }, "{url}");
            assert!(!format!("{error} {error:?}").contains("canary"), "{url}");
        }
    }

    #[test]
    fn a_pages_address_is_not_shown() {
        let page = next(r#""https://api.example.org/v1/events/pages/canary?x=canary""#).unwrap();
        assert!(!format!("{page:?}").contains("canary"));
    }
}
