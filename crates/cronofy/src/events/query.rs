//! What a read of events asks for.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::Date;
use reqwest::Method;
use secrecy::SecretString;

use super::page::{EventsPage, PageUrl};
use crate::client::{Answer, Client};
use crate::error::{Endpoint, Error};

/// A time zone identifier as it is sent: IANA names such as `Europe/Berlin`. Checked for its form only, since Cronofy's list
/// of zones decides.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TzId(String);

/// The text has not the form of a time zone identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a time zone identifier: expected an IANA name such as `Europe/Berlin`")]
pub struct TzIdError;

impl TzId {
    /// The identifier.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// `Etc/UTC`, as Cronofy's SDKs have it.
impl Default for TzId {
    fn default() -> Self {
        Self("Etc/UTC".to_owned())
    }
}

impl FromStr for TzId {
    type Err = TzIdError;

    fn from_str(text: &str) -> Result<Self, TzIdError> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"/_+-".contains(&byte);
        let starts = text.starts_with(|first: char| first.is_ascii_alphabetic());
        if starts && text.len() <= 64 && text.bytes().all(fits) { Ok(Self(text.to_owned())) } else { Err(TzIdError) }
    }
}

impl fmt::Display for TzId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What a read of events asks for. The default asks for the external events of all calendars in Cronofy's default range.
///
/// ```
/// use cronofy::EventsQuery;
/// use cronofy::jiff::civil::date;
///
/// let query = EventsQuery {
///     from: Some(date(2026, 11, 1)),
///     to: Some(date(2027, 1, 1)),
///     include_deleted: true,
///     include_moved: true,
///     calendar_ids: ["cal_1".to_owned()].into(),
///     ..EventsQuery::default()
/// };
/// # assert_eq!(query.tzid.as_str(), "Etc/UTC");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "these are the API's independent switches")]
pub struct EventsQuery {
    /// In which zone days begin. Documented advice: always the same for one user, or events may be missed.
    pub tzid: TzId,
    /// Only events that end on or after this day. Default and minimum: 42 days ago (older documentation).
    pub from: Option<Date>,
    /// Only events that start before this day. Default and maximum: in 201 days (older documentation).
    pub to: Option<Date>,
    /// Only events that changed at or after this time. Sent in whole seconds, rounded down, so nothing is missed.
    pub last_modified: Option<Timestamp>,
    /// Also events that were deleted.
    pub include_deleted: bool,
    /// Also events that were once within the range, but have been moved out of it.
    pub include_moved: bool,
    /// Also events that the application manages. Without `from` and `to` these come from all time.
    pub include_managed: bool,
    /// Only events that the application manages. Without `from` and `to` these come from all time.
    pub only_managed: bool,
    /// Times as `{time, tzid}` with the event's own zone, as far as Cronofy knows it, instead of in UTC.
    pub localized_times: bool,
    /// With coordinates; [`Error::PaymentRequired`] if the plan lacks them.
    pub include_geo: bool,
    /// With [`Event::google_event_id`](crate::Event::google_event_id).
    pub google_event_ids: bool,
    /// Only these calendars; empty for all.
    pub calendar_ids: BTreeSet<String>,
}

impl EventsQuery {
    /// The parameters, in a fixed order. Switches are sent only when they are on: off is the default of each.
    fn parameters(&self) -> Vec<(&'static str, String)> {
        let Self {
            tzid,
            from,
            to,
            last_modified,
            include_deleted,
            include_moved,
            include_managed,
            only_managed,
            localized_times,
            include_geo,
            google_event_ids,
            calendar_ids,
        } = self;
        let mut parameters = vec![("tzid", tzid.to_string())];
        parameters.extend(from.map(|date| ("from", date.to_string())));
        parameters.extend(to.map(|date| ("to", date.to_string())));
        parameters.extend(last_modified.map(|time| ("last_modified", time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())));
        let switches = [
            ("include_deleted", include_deleted),
            ("include_moved", include_moved),
            ("include_managed", include_managed),
            ("only_managed", only_managed),
            ("localized_times", localized_times),
            ("include_geo", include_geo),
            ("google_event_ids", google_event_ids),
        ];
        parameters.extend(switches.into_iter().filter(|(_, on)| **on).map(|(name, _)| (name, "true".to_owned())));
        parameters.extend(calendar_ids.iter().map(|id| ("calendar_ids[]", id.clone())));
        parameters
    }
}

impl Client {
    /// Reads the first page of events. The read is complete only when a page without [`EventsPage::next`] has come; the
    /// server's [`date`](Answer::date) of *this* page is what the next read may ask changes from.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidRequest`] without a call if `to` is not after `from` or a calendar id is empty; [`Error::Invalid`] if
    /// Cronofy does not accept a parameter; [`Error::ForeignPage`] if the next page is not on this API.
    pub async fn events(&self, access_token: &SecretString, query: &EventsQuery) -> Result<Answer<EventsPage>, Error> {
        if let (Some(from), Some(to)) = (query.from, query.to)
            && to <= from
        {
            return Err(Error::InvalidRequest { reason: "the range of days is empty" });
        }
        if query.calendar_ids.contains("") {
            return Err(Error::InvalidRequest { reason: "a calendar's identifier is empty" });
        }
        let mut url = self.url(&["v1", "events"])?;
        url.query_pairs_mut().extend_pairs(query.parameters());
        let exchange = self.as_user(Endpoint::Events, Method::GET, url, access_token);
        exchange.reply().await?.decode(|body| EventsPage::decode(Endpoint::Events, body, self.api()))
    }

    /// Reads a further page.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] if the page is gone: start again with the first; [`Error::ForeignPage`] without a call if the page
    /// comes from a client of another API.
    pub async fn next_page(&self, access_token: &SecretString, page: &PageUrl) -> Result<Answer<EventsPage>, Error> {
        let url = page.on(self.api())?;
        let exchange = self.as_user(Endpoint::EventsPage, Method::GET, url, access_token);
        exchange.reply().await?.decode(|body| EventsPage::decode(Endpoint::EventsPage, body, self.api()))
    }

    /// Decodes a page that was recorded elsewhere, by the same rules as one that was just read.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`], [`Error::ForeignPage`].
    pub fn decode_events_page(&self, body: &[u8]) -> Result<EventsPage, Error> {
        EventsPage::decode(Endpoint::EventsPage, body, self.api())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(query: &EventsQuery) -> String {
        url::form_urlencoded::Serializer::new(String::new()).extend_pairs(query.parameters()).finish()
    }

    #[test]
    fn a_query_is_written_as_documented() {
        assert_eq!(encoded(&EventsQuery::default()), "tzid=Etc%2FUTC");
        let query = EventsQuery {
            tzid: "Europe/Berlin".parse().unwrap(),
            from: Some("2026-11-01".parse().unwrap()),
            to: Some("2027-01-01".parse().unwrap()),
            last_modified: Some("2026-11-20T07:41:05.999Z".parse().unwrap()),
            include_deleted: true,
            include_moved: true,
            include_managed: true,
            only_managed: true,
            localized_times: true,
            include_geo: true,
            google_event_ids: true,
            calendar_ids: ["cal_b".to_owned(), "cal_x@Yz_1-2".to_owned(), "cal_b".to_owned()].into(),
        };
        assert_eq!(
            encoded(&query),
            "tzid=Europe%2FBerlin&from=2026-11-01&to=2027-01-01&last_modified=2026-11-20T07%3A41%3A05Z\
             &include_deleted=true&include_moved=true&include_managed=true&only_managed=true&localized_times=true\
             &include_geo=true&google_event_ids=true&calendar_ids%5B%5D=cal_b&calendar_ids%5B%5D=cal_x%40Yz_1-2"
        );
    }

    #[test]
    fn fractions_of_a_second_are_rounded_down_before_1970_too() {
        let query =
            EventsQuery { last_modified: Some("1969-12-31T23:59:58.5Z".parse().unwrap()), ..EventsQuery::default() };
        assert!(encoded(&query).ends_with("last_modified=1969-12-31T23%3A59%3A58Z"), "{}", encoded(&query));
    }

    #[test]
    fn only_what_looks_like_a_zone_is_a_zone() {
        for text in ["Etc/UTC", "UTC", "America/Argentina/Buenos_Aires", "Etc/GMT+5", "America/Port-au-Prince"] {
            assert_eq!(text.parse::<TzId>().unwrap().as_str(), text);
        }
        for text in ["", " UTC", "+01:00", "Europe Berlin", "Europe/Zürich", "a\n", &"x".repeat(65)] {
            assert_eq!(text.parse::<TzId>(), Err(TzIdError), "{text:?}");
        }
    }
}
