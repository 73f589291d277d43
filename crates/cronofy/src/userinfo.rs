//! Who an access token belongs to, and whether the calendar services behind it are connected.

use std::fmt;

use reqwest::Method;
use secrecy::SecretString;
use serde::Deserialize;

use crate::calendars::Calendar;
use crate::client::{Answer, Client};
use crate::error::{Endpoint, Error};
use crate::lenient;

open_enum! {
    /// What an access token belongs to.
    pub enum AccountKind else Other {
        /// A user's account.
        Account = "account",
        /// A service account, which acts for the users of an organisation.
        ServiceAccount = "service_account",
        /// A calendar that belongs to the application itself. It has no e-mail address, name or time zone.
        ApplicationCalendar = "application_calendar",
    }
}

open_enum! {
    /// State of an authorization. Only one value is documented.
    pub enum AuthorizationStatus else Other {
        /// In force.
        Active = "active",
    }
}

/// The account behind an access token.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "WireUserInfo")]
pub struct UserInfo {
    /// Identifier of the account.
    pub sub: String,
    /// What kind of account it is.
    pub kind: Option<AccountKind>,
    /// The user's e-mail address.
    pub email: Option<String>,
    /// The user's name.
    pub name: Option<String>,
    /// The user's IANA time zone.
    pub zoneinfo: Option<String>,
    /// The id that the application chose for its calendar; only for application calendars.
    pub application_calendar_id: Option<String>,
    /// What the user granted.
    pub authorization: Option<Authorization>,
    /// The calendar services of the account.
    pub profiles: Vec<Profile>,
    /// The conferencing services of the account.
    pub conferencing_profiles: Vec<Profile>,
    /// Only for service accounts.
    pub service_account: Option<ServiceAccount>,
}

/// What was granted.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Authorization {
    /// Granted scopes, separated by spaces.
    #[serde(default, deserialize_with = "lenient::option")]
    pub scope: Option<String>,
    /// Whether the grant is in force.
    #[serde(default, deserialize_with = "lenient::option")]
    pub status: Option<AuthorizationStatus>,
    /// Scopes that a service account can grant on, separated by spaces.
    #[serde(default, deserialize_with = "lenient::option")]
    pub delegated_scope: Option<String>,
}

/// A calendar or conferencing service of an account.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "WireProfile")]
pub struct Profile {
    /// Identifier, opaque.
    pub profile_id: String,
    /// For example `google` or `exchange`; any value is possible.
    pub provider_name: Option<String>,
    /// For example `gsuite` or `office365`; any value is possible.
    pub provider_service: Option<String>,
    /// Mostly the user's e-mail address there.
    pub profile_name: Option<String>,
    /// Whether Cronofy can reach the service. If not, the access token still works and answers with stale data until the user
    /// reconnects. Where the answer does not say, the absence of a relink URL is taken for yes.
    pub profile_connected: bool,
    /// Whether the first read of the service is still under way: its events are not complete yet.
    pub profile_initial_sync_required: bool,
    /// Where the user reconnects; documented for disconnected profiles only. Can hold an e-mail address.
    pub profile_relink_url: Option<String>,
    /// The service's calendars.
    pub profile_calendars: Vec<Calendar>,
}

/// The organisation that a service account acts in.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ServiceAccount {
    /// For example `exchange`; any value is possible.
    #[serde(default, deserialize_with = "lenient::option")]
    pub provider_name: Option<String>,
    /// Domain of the organisation.
    #[serde(default, deserialize_with = "lenient::option")]
    pub domain: Option<String>,
}

impl Client {
    /// Tells whom an access token belongs to. Profiles and calendars without an id are left out.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn userinfo(&self, access_token: &SecretString) -> Result<Answer<UserInfo>, Error> {
        let url = self.url(&["v1", "userinfo"])?;
        self.as_user(Endpoint::UserInfo, Method::GET, url, access_token).reply().await?.json()
    }
}

#[derive(Deserialize)]
struct WireUserInfo {
    #[serde(deserialize_with = "lenient::identifier")]
    sub: String,
    #[serde(default, rename = "cronofy.type", deserialize_with = "lenient::option")]
    kind: Option<AccountKind>,
    #[serde(default, deserialize_with = "lenient::option")]
    email: Option<String>,
    #[serde(default, deserialize_with = "lenient::option")]
    name: Option<String>,
    #[serde(default, deserialize_with = "lenient::option")]
    zoneinfo: Option<String>,
    #[serde(default, deserialize_with = "lenient::option")]
    application_calendar_id: Option<String>,
    #[serde(default, rename = "cronofy.data", deserialize_with = "lenient::or_default")]
    data: WireData,
}

#[derive(Default, Deserialize)]
struct WireData {
    #[serde(default, deserialize_with = "lenient::option")]
    authorization: Option<Authorization>,
    #[serde(default, deserialize_with = "lenient::list")]
    profiles: Vec<Profile>,
    #[serde(default, deserialize_with = "lenient::list")]
    conferencing_profiles: Vec<Profile>,
    #[serde(default, deserialize_with = "lenient::option")]
    service_account: Option<ServiceAccount>,
    #[serde(default, deserialize_with = "lenient::option")]
    application_calendar: Option<WireApplicationCalendar>,
}

#[derive(Deserialize)]
struct WireApplicationCalendar {
    application_calendar_id: String,
}

#[derive(Deserialize)]
struct WireProfile {
    #[serde(deserialize_with = "lenient::identifier")]
    profile_id: String,
    #[serde(default, deserialize_with = "lenient::option")]
    provider_name: Option<String>,
    #[serde(default, deserialize_with = "lenient::option")]
    provider_service: Option<String>,
    #[serde(default, deserialize_with = "lenient::option")]
    profile_name: Option<String>,
    #[serde(default, deserialize_with = "lenient::option")]
    profile_connected: Option<bool>,
    #[serde(default, deserialize_with = "lenient::or_default")]
    profile_initial_sync_required: bool,
    #[serde(default, deserialize_with = "lenient::option")]
    profile_relink_url: Option<String>,
    #[serde(default, deserialize_with = "lenient::list")]
    profile_calendars: Vec<Calendar>,
}

impl From<WireUserInfo> for UserInfo {
    fn from(wire: WireUserInfo) -> Self {
        let WireUserInfo { sub, kind, email, name, zoneinfo, application_calendar_id, data } = wire;
        let WireData { authorization, profiles, conferencing_profiles, service_account, application_calendar } = data;
        Self {
            sub,
            kind,
            email,
            name,
            zoneinfo,
            // Documented in both places.
            application_calendar_id: application_calendar_id
                .or(application_calendar.map(|calendar| calendar.application_calendar_id)),
            authorization,
            profiles,
            conferencing_profiles,
            service_account,
        }
    }
}

impl From<WireProfile> for Profile {
    fn from(wire: WireProfile) -> Self {
        let WireProfile {
            profile_id,
            provider_name,
            provider_service,
            profile_name,
            profile_connected,
            profile_initial_sync_required,
            profile_relink_url,
            profile_calendars,
        } = wire;
        Self {
            profile_id,
            provider_name,
            provider_service,
            profile_name,
            profile_connected: profile_connected.unwrap_or(profile_relink_url.is_none()),
            profile_initial_sync_required,
            profile_relink_url,
            profile_calendars,
        }
    }
}

// Neither the user's name and address, nor what may hold them.
impl fmt::Debug for UserInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserInfo")
            .field("sub", &self.sub)
            .field("kind", &self.kind)
            .field("authorization", &self.authorization)
            .field("profiles", &self.profiles)
            .field("conferencing_profiles", &self.conferencing_profiles)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Profile")
            .field("profile_id", &self.profile_id)
            .field("provider_name", &self.provider_name)
            .field("provider_service", &self.provider_service)
            .field("profile_connected", &self.profile_connected)
            .field("profile_initial_sync_required", &self.profile_initial_sync_required)
            .field("profile_calendars", &self.profile_calendars)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::decode;

    #[test]
    fn an_account_is_read_and_nothing_personal_is_shown() {
        let info: UserInfo = decode(
            br#"{"sub":"acc_1","email":"canary1@example.org","name":"canary2","zoneinfo":"Europe/Berlin",
                 "cronofy.type":"account","cronofy.data":{
                   "authorization":{"scope":"read_write","status":"active"},
                   "profiles":[
                     {"provider_name":"google","provider_service":"gsuite","profile_id":"pro_1",
                      "profile_name":"canary3@example.org","profile_connected":true,
                      "profile_initial_sync_required":false,
                      "profile_calendars":[{"calendar_id":"cal_1","calendar_name":"canary4","calendar_readonly":false,
                        "calendar_deleted":false,"calendar_primary":true,"calendar_attachments_available":false}]},
                     {"provider_name":"apple","provider_service":"icloud","profile_id":"pro_2",
                      "profile_name":"canary5@example.net","profile_connected":false,
                      "profile_initial_sync_required":true,
                      "profile_relink_url":"https://app.example.org/relink?email=canary6%40example.net",
                      "profile_calendars":[]}],
                   "conferencing_profiles":[
                     {"provider_name":"zoom","profile_id":"pro_3","profile_name":"canary7","profile_connected":true}]}}"#,
        )
        .unwrap();
        assert_eq!(info.kind, Some(AccountKind::Account));
        assert_eq!(info.zoneinfo.as_deref(), Some("Europe/Berlin"));
        assert_eq!(info.authorization.as_ref().unwrap().status, Some(AuthorizationStatus::Active));
        let [google, apple] = info.profiles.as_slice() else { panic!("{info:?}") };
        assert!(google.profile_connected && !google.profile_initial_sync_required);
        assert_eq!(google.profile_calendars[0].calendar_id, "cal_1");
        assert!(!apple.profile_connected && apple.profile_initial_sync_required);
        assert!(apple.profile_relink_url.as_ref().unwrap().starts_with("https://app.example.org/relink"));
        assert_eq!(info.conferencing_profiles[0].provider_name.as_deref(), Some("zoom"));
        let shown = format!("{info:?}");
        assert!(!shown.contains("canary"), "{shown}");
    }

    #[test]
    fn a_service_account_and_an_application_calendar_are_read() {
        let service: UserInfo = decode(
            br#"{"sub":"ser_1","cronofy.type":"service_account","email":"cal@example.org","cronofy.data":{
                 "service_account":{"provider_name":"exchange","domain":"example.org"},
                 "authorization":{"scope":"service_account/accounts/manage","status":"paused",
                                  "delegated_scope":"read_write"}}}"#,
        )
        .unwrap();
        assert_eq!(service.kind, Some(AccountKind::ServiceAccount));
        assert_eq!(service.service_account.unwrap().domain.as_deref(), Some("example.org"));
        let authorization = service.authorization.unwrap();
        assert_eq!(authorization.status, Some(AuthorizationStatus::Other("paused".to_owned())));
        assert_eq!(authorization.delegated_scope.as_deref(), Some("read_write"));

        for body in [
            r#"{"sub":"apc_1","cronofy.type":"application_calendar","application_calendar_id":"room-7","cronofy.data":{}}"#,
            r#"{"sub":"apc_1","cronofy.type":"application_calendar",
                "cronofy.data":{"application_calendar":{"application_calendar_id":"room-7"}}}"#,
        ] {
            let calendar: UserInfo = decode(body.as_bytes()).unwrap();
            assert_eq!(calendar.kind, Some(AccountKind::ApplicationCalendar));
            assert_eq!(calendar.application_calendar_id.as_deref(), Some("room-7"));
            assert_eq!((calendar.email, calendar.name), (None, None));
        }
    }

    #[test]
    fn an_unknown_kind_and_missing_parts_are_no_failure() {
        for body in [r#"{"sub":"x"}"#, r#"{"sub":"x","cronofy.data":null}"#, r#"{"sub":"x","cronofy.data":[]}"#] {
            let info: UserInfo = decode(body.as_bytes()).unwrap();
            assert_eq!((info.kind, info.profiles.len()), (None, 0), "{body}");
        }
        let info: UserInfo =
            decode(br#"{"sub":"x","cronofy.type":"robot","cronofy.data":{"profiles":[{}, null]}}"#).unwrap();
        assert_eq!(info.kind.unwrap().as_str(), "robot");
        assert!(decode::<UserInfo>(br#"{"cronofy.type":"account"}"#).is_err());
    }

    #[test]
    fn a_profile_that_does_not_say_is_connected_unless_it_asks_to_be_relinked() {
        let connected = |text: &str| decode::<Profile>(text.as_bytes()).unwrap().profile_connected;
        assert!(connected(r#"{"profile_id":"pro_1"}"#));
        assert!(!connected(r#"{"profile_id":"pro_1","profile_relink_url":"https://x.example.org"}"#));
        assert!(!connected(r#"{"profile_id":"pro_1","profile_connected":false}"#));
        assert!(connected(r#"{"profile_id":"pro_1","profile_connected":true,"profile_relink_url":"https://x.org"}"#));
    }
}
