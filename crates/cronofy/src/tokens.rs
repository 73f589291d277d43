//! Getting, refreshing and giving up tokens.

use std::fmt;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use crate::client::{Answer, Client};
use crate::error::{Endpoint, Error};
use crate::lenient;

/// What identifies an application towards Cronofy.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// Public identifier.
    pub client_id: String,
    /// Also the key of webhook signatures, see [`signature`](crate::signature).
    pub client_secret: SecretString,
}

/// A token answer.
#[derive(Clone, Deserialize)]
pub struct Token {
    /// Authenticates calls in the user's name.
    #[serde(deserialize_with = "secret")]
    pub access_token: SecretString,
    /// Gets further access tokens. Keep it *before* the new access token is used: whether the previous refresh token stays
    /// valid is not documented. `None` if the answer has none; the one in use then goes on.
    #[serde(default, deserialize_with = "optional_secret")]
    pub refresh_token: Option<SecretString>,
    /// How long the access token is valid from now on. Documented examples: 1 h for users, 30 min for service accounts. Take
    /// it literally: a repeated refresh may give the same access token with the rest of its time.
    #[serde(default, deserialize_with = "seconds")]
    pub expires_in: Option<Duration>,
    /// Granted scopes, separated by spaces.
    #[serde(default, deserialize_with = "lenient::option")]
    pub scope: Option<String>,
    /// The account.
    #[serde(default, deserialize_with = "lenient::option")]
    pub account_id: Option<String>,
    /// The subject: an account, an application calendar or a service account.
    #[serde(default, deserialize_with = "lenient::option")]
    pub sub: Option<String>,
    /// The application calendar's id as the application chose it; only for application calendars.
    #[serde(default, deserialize_with = "lenient::option")]
    pub application_calendar_id: Option<String>,
    /// The calendar service that the user just authorised; only for an authorization code.
    #[serde(default, deserialize_with = "lenient::option")]
    pub linking_profile: Option<LinkingProfile>,
}

/// The calendar service that an authorization added to the account.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct LinkingProfile {
    /// Identifier of the profile.
    #[serde(deserialize_with = "lenient::identifier")]
    pub profile_id: String,
    /// For example `google`; any value is possible.
    #[serde(default, deserialize_with = "lenient::option")]
    pub provider_name: Option<String>,
    /// For example `gsuite`; any value is possible.
    #[serde(default, deserialize_with = "lenient::option")]
    pub provider_service: Option<String>,
    /// Mostly the user's e-mail address there.
    #[serde(default, deserialize_with = "lenient::option")]
    pub profile_name: Option<String>,
}

/// What [`Client::revoke`] revokes.
#[derive(Clone, Copy, Debug)]
pub enum Revocation<'a> {
    /// The authorization that this token belongs to; the refresh token is the better one, since it does not expire.
    Token(&'a SecretString),
    /// The authorization of this account.
    Subject(&'a str),
}

impl Client {
    /// Gets an access token for a refresh token.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidGrant`] if the user has revoked the authorization, [`Error::InvalidClient`] if the application's
    /// credentials are wrong.
    pub async fn refresh_token(
        &self,
        application: &Credentials,
        refresh_token: &SecretString,
    ) -> Result<Answer<Token>, Error> {
        let grant = Grant::RefreshToken { refresh_token: refresh_token.expose_secret() };
        self.token(Endpoint::RefreshToken, application, grant, refresh_token).await
    }

    /// Exchanges the code that came back from the user's authorization in the browser. `redirect_uri` must be the one the
    /// authorization was asked for with. A code works once.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidGrant`] if the code is unknown, used, or belongs to another `redirect_uri`;
    /// [`Error::InvalidClient`] if the application's credentials are wrong.
    pub async fn exchange_code(
        &self,
        application: &Credentials,
        code: &SecretString,
        redirect_uri: &str,
    ) -> Result<Answer<Token>, Error> {
        let grant = Grant::AuthorizationCode { code: code.expose_secret(), redirect_uri };
        self.token(Endpoint::ExchangeCode, application, grant, code).await
    }

    /// Gets tokens for a calendar that belongs to the application itself, and creates it if there is none with this id. No
    /// user and no browser takes part.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidClient`] if the application's credentials are wrong, [`Error::Invalid`] if the id is not accepted.
    pub async fn application_calendar(
        &self,
        application: &Credentials,
        application_calendar_id: &str,
    ) -> Result<Answer<Token>, Error> {
        let body = ApplicationBody::new(application, ApplicationCalendarBody { application_calendar_id });
        let secrets = vec![application.client_secret.expose_secret()];
        self.as_application(Endpoint::ApplicationCalendar, &["v1", "application_calendars"], &body, secrets)?
            .reply()
            .await?
            .json()
    }

    /// Gives up an authorization; only the user can grant it again. A token that is unknown or revoked already counts as
    /// success.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidClient`] if the application's credentials are wrong.
    pub async fn revoke(&self, application: &Credentials, what: Revocation<'_>) -> Result<Answer<()>, Error> {
        let mut secrets = vec![application.client_secret.expose_secret()];
        let body = match what {
            Revocation::Token(token) => {
                secrets.push(token.expose_secret());
                RevocationBody::Token(token.expose_secret())
            }
            Revocation::Subject(sub) => RevocationBody::Sub(sub),
        };
        let body = ApplicationBody::new(application, body);
        self.as_application(Endpoint::Revoke, &["oauth", "token", "revoke"], &body, secrets)?.done().await
    }

    async fn token(
        &self,
        endpoint: Endpoint,
        application: &Credentials,
        grant: Grant<'_>,
        secret: &SecretString,
    ) -> Result<Answer<Token>, Error> {
        let body = ApplicationBody::new(application, grant);
        let secrets = vec![application.client_secret.expose_secret(), secret.expose_secret()];
        self.as_application(endpoint, &["oauth", "token"], &body, secrets)?.reply().await?.json()
    }
}

#[derive(Serialize)]
struct ApplicationBody<'a, T> {
    client_id: &'a str,
    client_secret: &'a str,
    #[serde(flatten)]
    rest: T,
}

impl<'a, T> ApplicationBody<'a, T> {
    fn new(application: &'a Credentials, rest: T) -> Self {
        let Credentials { client_id, client_secret } = application;
        Self { client_id, client_secret: client_secret.expose_secret(), rest }
    }
}

#[derive(Serialize)]
#[serde(tag = "grant_type", rename_all = "snake_case")]
enum Grant<'a> {
    RefreshToken { refresh_token: &'a str },
    AuthorizationCode { code: &'a str, redirect_uri: &'a str },
}

#[derive(Serialize)]
struct ApplicationCalendarBody<'a> {
    application_calendar_id: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum RevocationBody<'a> {
    Token(&'a str),
    Sub(&'a str),
}

fn secret<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<SecretString, D::Error> {
    lenient::identifier(deserializer).map(SecretString::from)
}

/// An empty refresh token would replace the one in use and end the authorization, so it counts as absent.
fn optional_secret<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<SecretString>, D::Error> {
    let text: Option<String> = lenient::option(deserializer)?;
    Ok(text.filter(|text| !text.is_empty()).map(SecretString::from))
}

fn seconds<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    Ok(lenient::option(deserializer)?.map(Duration::from_secs))
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            access_token,
            refresh_token,
            expires_in,
            scope,
            account_id,
            sub,
            application_calendar_id,
            linking_profile,
        } = self;
        // The secrets print as redacted by their own type.
        f.debug_struct("Token")
            .field("access_token", access_token)
            .field("refresh_token", refresh_token)
            .field("expires_in", expires_in)
            .field("scope", scope)
            .field("account_id", account_id)
            .field("sub", sub)
            .field("application_calendar_id", application_calendar_id)
            .field("linking_profile", linking_profile)
            .finish()
    }
}

impl fmt::Debug for LinkingProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { profile_id, provider_name, provider_service, profile_name: _ } = self;
        f.debug_struct("LinkingProfile")
            .field("profile_id", profile_id)
            .field("provider_name", provider_name)
            .field("provider_service", provider_service)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::{JsonFaultKind, decode};

    #[test]
    fn a_full_answer_is_read_and_its_secrets_are_not_shown() {
        let token: Token = decode(
            br#"{"token_type":"bearer","access_token":"at_canary1","expires_in":3600,"refresh_token":"rt_canary2",
                 "scope":"list_calendars read_events","account_id":"acc_1","sub":"acc_1","later":{"x":1},
                 "linking_profile":{"provider_name":"google","provider_service":"gsuite","profile_id":"pro_1",
                                    "profile_name":"canary3@example.org"}}"#,
        )
        .unwrap();
        assert_eq!(token.access_token.expose_secret(), "at_canary1");
        assert_eq!(token.refresh_token.as_ref().unwrap().expose_secret(), "rt_canary2");
        assert_eq!(token.expires_in, Some(Duration::from_hours(1)));
        assert_eq!(token.scope.as_deref(), Some("list_calendars read_events"));
        assert_eq!(token.linking_profile.as_ref().unwrap().profile_name.as_deref(), Some("canary3@example.org"));
        let shown = format!("{token:?} {token:#?}");
        assert!(!shown.contains("canary"), "{shown}");
    }

    #[test]
    fn an_answer_with_an_access_token_alone_is_enough() {
        for body in [
            r#"{"access_token":"at_1"}"#,
            r#"{"access_token":"at_1","expires_in":null,"refresh_token":null,"scope":null,"linking_profile":null}"#,
            r#"{"access_token":"at_1","expires_in":-1,"refresh_token":"","scope":[],"linking_profile":{"x":1}}"#,
        ] {
            let token: Token = decode(body.as_bytes()).unwrap();
            assert!(token.refresh_token.is_none(), "{body}");
            assert_eq!((token.expires_in, token.scope, token.linking_profile), (None, None, None), "{body}");
        }
    }

    #[test]
    fn an_answer_without_an_access_token_is_no_token() {
        for body in [r"{}", r#"{"access_token":null}"#, r#"{"access_token":""}"#, r#"{"access_token":5}"#, "[]"] {
            assert_eq!(decode::<Token>(body.as_bytes()).unwrap_err().kind, JsonFaultKind::Shape, "{body}");
        }
    }
}
