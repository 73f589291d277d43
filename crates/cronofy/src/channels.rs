//! Push notification channels.

use std::collections::BTreeSet;

use reqwest::Method;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::client::{Answer, Client};
use crate::error::{Endpoint, Error};
use crate::lenient;

/// A channel as Cronofy has it. There is no state in it: a channel that was closed is absent from the list, or so it is
/// believed; it is not documented.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Channel {
    /// Identifier, opaque.
    #[serde(deserialize_with = "lenient::identifier")]
    pub channel_id: String,
    /// Where Cronofy sends notifications.
    pub callback_url: String,
    /// What it sends notifications about.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub filters: Filters,
}

/// Which changes a channel notifies about; the default is all of them.
///
/// Cronofy answers with the filters that differ from the default, or with all: use [`Filters::same_as`] to compare, not `==`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Filters {
    /// Only changes in these calendars; `None` for all.
    #[serde(default, deserialize_with = "lenient::option")]
    pub calendar_ids: Option<Vec<String>>,
    /// Only changes of events that the application manages. Default false.
    #[serde(default, deserialize_with = "lenient::option")]
    pub only_managed: Option<bool>,
}

impl Filters {
    /// Whether both mean the same: defaults filled in, calendars compared as sets.
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        self.meaning() == other.meaning()
    }

    /// No list and an empty list are the same, since a list "must" name at least one calendar (documented).
    fn meaning(&self) -> (BTreeSet<&str>, bool) {
        let Self { calendar_ids, only_managed } = self;
        let calendar_ids = calendar_ids.iter().flatten().map(String::as_str).collect();
        (calendar_ids, only_managed.unwrap_or(false))
    }
}

/// A channel to be created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewChannel {
    /// Where Cronofy is to send notifications: `https`, or `http`; at most 128 characters by older documentation.
    pub callback_url: String,
    /// What it is to send notifications about.
    pub filters: Filters,
}

impl Client {
    /// Creates a channel, or returns the one that is identical to it: so it bears repetition, but two callers with the same
    /// callback URL and filters share one channel. Cronofy does not check that the callback answers; it sends a
    /// `verification` notification, possibly before this call returns.
    ///
    /// Calendar ids are sent sorted and without repetition, since it is not documented whether their order makes a difference.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidRequest`] without a call if `calendar_ids` is an empty list or the callback URL is empty;
    /// [`Error::Invalid`] if Cronofy does not accept the channel, probably also above 128 channels for the account.
    pub async fn create_channel(
        &self,
        access_token: &SecretString,
        channel: &NewChannel,
    ) -> Result<Answer<Channel>, Error> {
        let NewChannel { callback_url, filters } = channel;
        let Filters { calendar_ids, only_managed } = filters;
        if callback_url.is_empty() {
            return Err(Error::InvalidRequest { reason: "the callback URL is empty" });
        }
        if calendar_ids.as_ref().is_some_and(Vec::is_empty) {
            return Err(Error::InvalidRequest { reason: "a filter by calendars names no calendar" });
        }
        let filters = FiltersBody {
            calendar_ids: calendar_ids.as_ref().map(|ids| ids.iter().map(String::as_str).collect()),
            only_managed: *only_managed,
        };
        let url = self.url(&["v1", "channels"])?;
        let mut exchange = self.as_user(Endpoint::CreateChannel, Method::POST, url, access_token);
        exchange.request = exchange.request.json(&NewChannelBody { callback_url, filters });
        let answer = exchange.reply().await?.json::<ChannelAnswer>()?;
        Ok(answer.map(|answer| answer.channel))
    }

    /// Lists the account's channels, of this application.
    ///
    /// # Errors
    ///
    /// See [`Error`]. A list with one unreadable channel is [`Error::Malformed`] as a whole: a caller would take a channel
    /// that is missing for closed.
    pub async fn channels(&self, access_token: &SecretString) -> Result<Answer<Vec<Channel>>, Error> {
        let url = self.url(&["v1", "channels"])?;
        let exchange = self.as_user(Endpoint::ListChannels, Method::GET, url, access_token);
        let answer = exchange.reply().await?.json::<ChannelsAnswer>()?;
        Ok(answer.map(|answer| answer.channels))
    }

    /// Closes a channel.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] if there is no such channel, which to most callers is as good as closed.
    pub async fn close_channel(&self, access_token: &SecretString, channel_id: &str) -> Result<Answer<()>, Error> {
        let url = self.url(&["v1", "channels", channel_id])?;
        self.as_user(Endpoint::CloseChannel, Method::DELETE, url, access_token).done().await
    }
}

#[derive(Serialize)]
struct NewChannelBody<'a> {
    callback_url: &'a str,
    filters: FiltersBody<'a>,
}

#[derive(Serialize)]
struct FiltersBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    calendar_ids: Option<BTreeSet<&'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    only_managed: Option<bool>,
}

#[derive(Deserialize)]
struct ChannelAnswer {
    channel: Channel,
}

#[derive(Deserialize)]
struct ChannelsAnswer {
    channels: Vec<Channel>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::decode;

    fn filters(calendar_ids: Option<&[&str]>, only_managed: Option<bool>) -> Filters {
        Filters { calendar_ids: calendar_ids.map(|ids| ids.iter().map(ToString::to_string).collect()), only_managed }
    }

    #[test]
    fn filters_are_compared_by_what_they_mean() {
        let none = Filters::default();
        let same = [
            (filters(None, Some(false)), none.clone()),
            (filters(Some(&[]), None), none.clone()),
            (filters(Some(&["b", "a", "b"]), None), filters(Some(&["a", "b"]), Some(false))),
        ];
        let different = [
            (filters(None, Some(true)), none.clone()),
            (filters(Some(&["a"]), None), none),
            (filters(Some(&["a"]), None), filters(Some(&["a", "b"]), None)),
        ];
        for (a, b) in same {
            assert!(a.same_as(&b) && b.same_as(&a), "{a:?} {b:?}");
        }
        for (a, b) in different {
            assert!(!a.same_as(&b) && !b.same_as(&a), "{a:?} {b:?}");
        }
    }

    #[test]
    fn a_channel_is_read_with_and_without_filters() {
        let table = [
            (r#""filters":{"calendar_ids":["cal_x@Yz_1-2"]}"#, filters(Some(&["cal_x@Yz_1-2"]), None)),
            (r#""filters":{"only_managed":false,"organizer_only":true}"#, filters(None, Some(false))),
            (r#""filters":{"calendar_ids":null,"only_managed":null}"#, Filters::default()),
            (r#""filters":{}"#, Filters::default()),
            (r#""filters":null"#, Filters::default()),
            (r#""scheduling_conversations":{"enabled":true}"#, Filters::default()),
        ];
        for (text, filters) in table {
            let body = format!(r#"{{"channel_id":"chn_1","callback_url":"https://h.example.org/1",{text}}}"#);
            let channel: Channel = decode(body.as_bytes()).unwrap();
            assert_eq!(channel.channel_id, "chn_1");
            assert_eq!(channel.callback_url, "https://h.example.org/1");
            assert_eq!(channel.filters, filters, "{text}");
        }
    }

    #[test]
    fn a_list_with_an_unreadable_channel_is_not_taken_for_a_shorter_list() {
        for body in [
            r#"{"channels":[{"channel_id":"chn_1","callback_url":"u"},{"callback_url":"u"}]}"#,
            r#"{"channels":[{"channel_id":"chn_1"}]}"#,
            r#"{"channels":null}"#,
            r"{}",
        ] {
            assert!(decode::<ChannelsAnswer>(body.as_bytes()).is_err(), "{body}");
        }
        assert!(decode::<ChannelsAnswer>(br#"{"channels":[]}"#).unwrap().channels.is_empty());
    }
}
