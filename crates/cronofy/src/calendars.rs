//! The account's calendars.

use std::fmt;

use reqwest::Method;
use secrecy::SecretString;
use serde::Deserialize;

use crate::client::{Answer, Client};
use crate::error::{Endpoint, Error};
use crate::lenient;

/// A calendar. A deleted one stays listed, see [`Calendar::calendar_deleted`].
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct Calendar {
    /// Identifier, opaque.
    #[serde(deserialize_with = "lenient::identifier")]
    pub calendar_id: String,
    /// Name, as the user chose it.
    #[serde(default, deserialize_with = "lenient::option")]
    pub calendar_name: Option<String>,
    /// Whether events can only be read.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub calendar_readonly: bool,
    /// Whether the calendar has been deleted.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub calendar_deleted: bool,
    /// Whether it is the profile's main calendar.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub calendar_primary: bool,
    /// Whether the provider adds conferencing by itself.
    #[serde(default, deserialize_with = "lenient::option")]
    pub calendar_integrated_conferencing_available: Option<bool>,
    /// Whether events can have attachments.
    #[serde(default, deserialize_with = "lenient::option")]
    pub calendar_attachments_available: Option<bool>,
    /// What the application may do; `sandbox` and `unrestricted` have been seen.
    #[serde(default, deserialize_with = "lenient::option")]
    pub permission_level: Option<String>,
    /// The profile it belongs to; absent where the calendar is listed within its profile.
    #[serde(default, deserialize_with = "lenient::option")]
    pub profile_id: Option<String>,
    /// The profile's name, mostly an e-mail address.
    #[serde(default, deserialize_with = "lenient::option")]
    pub profile_name: Option<String>,
    /// The profile's provider, for example `google`; any value is possible.
    #[serde(default, deserialize_with = "lenient::option")]
    pub provider_name: Option<String>,
}

impl Client {
    /// Lists the account's calendars over all its profiles. A calendar without an id is left out.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn calendars(&self, access_token: &SecretString) -> Result<Answer<Vec<Calendar>>, Error> {
        let url = self.url(&["v1", "calendars"])?;
        let exchange = self.as_user(Endpoint::Calendars, Method::GET, url, access_token);
        let answer = exchange.reply().await?.json::<CalendarsAnswer>()?;
        Ok(answer.map(|answer| answer.calendars.into_iter().filter_map(lenient::Lenient::readable).collect()))
    }
}

#[derive(Deserialize)]
struct CalendarsAnswer {
    calendars: Vec<lenient::Lenient<Calendar>>,
}

// Names are the user's own words, and often an e-mail address.
impl fmt::Debug for Calendar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Calendar")
            .field("calendar_id", &self.calendar_id)
            .field("calendar_readonly", &self.calendar_readonly)
            .field("calendar_deleted", &self.calendar_deleted)
            .field("calendar_primary", &self.calendar_primary)
            .field("permission_level", &self.permission_level)
            .field("profile_id", &self.profile_id)
            .field("provider_name", &self.provider_name)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::decode;

    #[test]
    fn a_calendar_is_read_and_its_names_are_not_shown() {
        let calendar: Calendar = decode(
            br#"{"provider_name":"google","profile_id":"pro_1","profile_name":"canary@example.org",
                 "calendar_id":"cal_x@Yz_1-2","calendar_name":"canary work","calendar_readonly":false,
                 "calendar_deleted":true,"calendar_primary":true,"calendar_integrated_conferencing_available":true,
                 "permission_level":"sandbox","colour":"red"}"#,
        )
        .unwrap();
        assert_eq!(calendar.calendar_id, "cal_x@Yz_1-2");
        assert_eq!(calendar.calendar_name.as_deref(), Some("canary work"));
        assert_eq!(calendar.calendar_integrated_conferencing_available, Some(true));
        assert!(calendar.calendar_deleted && calendar.calendar_primary && !calendar.calendar_readonly);
        assert!(!format!("{calendar:?}").contains("canary"));
    }

    #[test]
    fn a_calendar_needs_nothing_but_its_id() {
        let answer: CalendarsAnswer =
            decode(br#"{"calendars":[{"calendar_id":"cal_1","calendar_readonly":null},{"calendar_name":"x"},7]}"#)
                .unwrap();
        let calendars: Vec<_> = answer.calendars.into_iter().filter_map(lenient::Lenient::readable).collect();
        assert_eq!(calendars.len(), 1);
        assert_eq!((calendars[0].calendar_id.as_str(), calendars[0].calendar_readonly), ("cal_1", false));
        assert!(decode::<CalendarsAnswer>(br"{}").is_err());
    }
}
