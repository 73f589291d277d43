//! Access tokens: one state per account, shared by its subscriptions, in memory only. One refresh at a time; a refresh token
//! that Cronofy returns is stored before the access token that came with it is used.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cronofy::secrecy::{ExposeSecret as _, SecretString};
use cronofy::{Answer, Credentials, Endpoint};
use kube::Client;
use tokio::time::Instant;
use tracing::Instrument as _;

use super::budget::{Budget, Lane, Paused};
use super::context::ApplicationKey;
use super::failure;
use super::secrets::{self, SecretKey, StoredToken};
use crate::metrics::Metrics;
use crate::traces;

/// How long an access token is taken for valid if Cronofy does not say; the shortest that it documents.
const ASSUMED_LIFETIME: Duration = Duration::from_secs(1800);
/// How long before its end a token is not used any more, at most.
const MARGIN: Duration = Duration::from_secs(60);

/// Whose tokens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Grant {
    /// Of which application.
    pub application: ApplicationKey,
    /// The Secret with its credentials.
    pub credentials: SecretKey,
    /// Address of the API: another one is another account.
    pub api: String,
    /// Which account.
    pub account: AccountKey,
}

/// Which account.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AccountKey {
    /// The one whose refresh token is in this Secret.
    Secret(SecretKey),
    /// An application calendar.
    ApplicationCalendar(String),
}

impl Grant {
    /// Stands for the account, in a status: another one means other people's calendars.
    #[must_use]
    pub fn source(&self) -> String {
        let account = match &self.account {
            AccountKey::Secret(secret) => ("Secret", secret.to_string()),
            AccountKey::ApplicationCalendar(id) => ("application calendar", id.clone()),
        };
        calendar_sync::fingerprint(&(&self.api, account))
    }

    /// A key for fairness among accounts.
    #[must_use]
    pub fn account_key(&self) -> String {
        match &self.account {
            AccountKey::Secret(secret) => secret.to_string(),
            AccountKey::ApplicationCalendar(id) => id.clone(),
        }
    }
}

/// The Secrets of a grant, as just read.
#[derive(Clone, Debug)]
pub struct Look {
    credentials: Credentials,
    stored: Option<StoredToken>,
    /// Changes whenever somebody else changes one of the Secrets. A refresh token that we store ourselves changes nothing: it
    /// must not pass for the mending that a failure waits for.
    pub version: String,
}

/// Why there is no access token.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The Secrets.
    #[error(transparent)]
    Secret(#[from] secrets::Error),
    /// Cronofy.
    #[error(transparent)]
    Cronofy(#[from] cronofy::Error),
    /// The application's turn.
    #[error(transparent)]
    Paused(#[from] Paused),
}

/// The token states of all accounts.
pub struct Accounts {
    client: Client,
    metrics: Metrics,
    states: Mutex<HashMap<Grant, Arc<State>>>,
}

#[derive(Default)]
struct State {
    /// Held while a token is refreshed.
    refreshing: tokio::sync::Mutex<Unstored>,
    access: Mutex<Option<Access>>,
    written: Mutex<Option<Written>>,
}

/// Our last write to an account's Secret.
#[derive(Clone)]
struct Written {
    /// The version that it made.
    version: String,
    /// The version that somebody else made last before.
    on: String,
}

/// A refresh token that Cronofy returned and that could not be stored yet, in place of the one it replaces.
#[derive(Default)]
struct Unstored(Option<(SecretString, SecretString)>);

#[derive(Clone)]
struct Access {
    token: SecretString,
    until: Instant,
}

impl Accounts {
    /// No tokens yet.
    #[must_use]
    pub fn new(client: Client, metrics: Metrics) -> Self {
        Self { client, metrics, states: Mutex::default() }
    }

    /// A valid access token, if one is at hand.
    #[must_use]
    pub fn cached(&self, grant: &Grant) -> Option<SecretString> {
        self.known(grant)?.valid()
    }

    fn known(&self, grant: &Grant) -> Option<Arc<State>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner).get(grant).cloned()
    }

    /// Reads the Secrets of a grant.
    ///
    /// # Errors
    /// Names the Secret, the key and the remedy.
    pub async fn look(&self, grant: &Grant) -> Result<Look, secrets::Error> {
        let (credentials, mut version) = secrets::credentials(&self.client, &grant.credentials).await?;
        let stored = match &grant.account {
            AccountKey::Secret(key) => {
                let stored = secrets::refresh_token(&self.client, key).await?;
                let own = self.known(grant).and_then(|state| state.written_on(&stored.version));
                version = format!("{version}/{}", own.as_ref().unwrap_or(&stored.version));
                Some(stored)
            }
            AccountKey::ApplicationCalendar(_) => None,
        };
        Ok(Look { credentials, stored, version })
    }

    /// Gets an access token: the one at hand, or a new one from Cronofy. Those who ask at the same time share one request.
    ///
    /// # Errors
    /// If a Secret or Cronofy refuses. A returned refresh token that could not be stored is kept and stored first next time.
    pub async fn refresh(
        &self,
        grant: &Grant,
        cronofy: &cronofy::Client,
        budget: &Budget,
        lane: Lane,
    ) -> Result<SecretString, Error> {
        let state =
            self.states.lock().unwrap_or_else(PoisonError::into_inner).entry(grant.clone()).or_default().clone();
        let mut unstored = state.refreshing.lock().await;
        if let Some(token) = state.valid() {
            return Ok(token); // somebody else was faster
        }
        let mut look = self.look(grant).await?;
        self.store_left_over(&state, &mut look, &mut unstored).await?;
        self.metrics.budget_wait(lane.into(), budget.acquire(lane, &grant.account_key()).await?);
        let asked = Instant::now();
        let (endpoint, span, answer) = match (&grant.account, &look.stored) {
            (AccountKey::ApplicationCalendar(id), _) => {
                let span = traces::cronofy(Endpoint::ApplicationCalendar);
                let asked = cronofy.application_calendar(&look.credentials, id).instrument(span.clone());
                (Endpoint::ApplicationCalendar, span, asked.await)
            }
            (AccountKey::Secret(_), Some(stored)) => {
                let span = traces::cronofy(Endpoint::RefreshToken);
                let asked = cronofy.refresh_token(&look.credentials, &stored.token).instrument(span.clone());
                (Endpoint::RefreshToken, span, asked.await)
            }
            (AccountKey::Secret(key), None) => return Err(secrets::Error::NotFound(key.clone()).into()),
        };
        let status = failure::answered_with(&answer);
        traces::cronofy_answered(&span, status);
        drop(span);
        self.metrics.cronofy_request(endpoint, status, asked.elapsed());
        let Answer { value: token, .. } = answer?;
        if let (Some(stored), Some(returned)) = (&look.stored, token.refresh_token)
            && returned.expose_secret() != stored.token.expose_secret()
        {
            // Whether the old one stays valid is not documented: the new one must not be lost.
            unstored.0 = Some((stored.token.clone(), returned));
            self.store_left_over(&state, &mut look, &mut unstored).await?;
        }
        let lifetime = token.expires_in.unwrap_or(ASSUMED_LIFETIME);
        let access =
            Access { token: token.access_token, until: asked + lifetime.saturating_sub(MARGIN.min(lifetime / 10)) };
        let token = access.token.clone();
        *state.access.lock().unwrap_or_else(PoisonError::into_inner) = Some(access);
        Ok(token)
    }

    /// Drops an access token that Cronofy refused, unless a newer one is at hand.
    pub fn invalidate(&self, grant: &Grant, token: &SecretString) {
        let Some(state) = self.known(grant) else { return };
        let mut access = state.access.lock().unwrap_or_else(PoisonError::into_inner);
        if access.as_ref().is_some_and(|access| access.token.expose_secret() == token.expose_secret()) {
            *access = None;
        }
    }

    /// Stores what could not be stored before. A token that a person has stored meanwhile counts more.
    async fn store_left_over(&self, state: &State, look: &mut Look, unstored: &mut Unstored) -> Result<(), Error> {
        let (Some(stored), Some((replaces, returned))) = (&mut look.stored, unstored.0.clone()) else { return Ok(()) };
        if stored.token.expose_secret() != replaces.expose_secret() {
            unstored.0 = None;
            return Ok(());
        }
        let version = match secrets::store_refresh_token(&self.client, stored, &returned).await {
            Err(secrets::Error::Changed(key)) => {
                *stored = secrets::refresh_token(&self.client, &key).await?;
                if stored.token.expose_secret() != replaces.expose_secret() {
                    unstored.0 = None;
                    return Ok(());
                }
                secrets::store_refresh_token(&self.client, stored, &returned).await?
            }
            other => other?,
        };
        unstored.0 = None;
        state.wrote(&stored.version, &version);
        stored.version = version;
        stored.token = returned;
        Ok(())
    }
}

impl State {
    fn valid(&self) -> Option<SecretString> {
        let access = self.access.lock().unwrap_or_else(PoisonError::into_inner);
        access.as_ref().filter(|access| Instant::now() < access.until).map(|access| access.token.clone())
    }

    /// Notes a write of our own onto the version `before`.
    fn wrote(&self, before: &str, version: &str) {
        let on = self.written_on(before).unwrap_or_else(|| before.to_owned());
        let written = Written { version: version.to_owned(), on };
        *self.written.lock().unwrap_or_else(PoisonError::into_inner) = Some(written);
    }

    /// The version that somebody else made, if `version` is nothing but our own writes on top of it.
    fn written_on(&self, version: &str) -> Option<String> {
        let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.as_ref().filter(|written| written.version == version).map(|written| written.on.clone())
    }
}
