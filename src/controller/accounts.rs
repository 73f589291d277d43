//! Access tokens: one state per account, shared by its subscriptions, in memory only. One refresh at a time; a refresh token
//! that Cronofy returns is stored before the access token that came with it is used.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cronofy::secrecy::{ExposeSecret as _, SecretString};
use cronofy::{Answer, Credentials, Endpoint};
use kube::{Client, ResourceExt as _};
use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::Instrument as _;

use super::budget::{Budget, Lane, Paused};
use super::budgets::Holder;
use super::context::ApplicationKey;
use super::failure;
use super::secrets::{self, SecretKey, StoredToken};
use super::turns::Turn;
use crate::api::CalendarSubscription;
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

impl AccountKey {
    /// The account that a subscription names.
    #[must_use]
    pub fn of(subscription: &CalendarSubscription) -> Option<Self> {
        let account = &subscription.spec.account;
        match (&account.secret_ref, &account.application_calendar_id) {
            (Some(secret), _) => {
                let namespace = subscription.namespace().unwrap_or_default();
                Some(Self::Secret(SecretKey { namespace, name: secret.name.clone() }))
            }
            (None, Some(id)) => Some(Self::ApplicationCalendar(id.clone())),
            (None, None) => None,
        }
    }
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

impl Look {
    /// Whose budget requests with these credentials are taken from.
    #[must_use]
    pub fn holder(&self, grant: &Grant) -> Holder {
        Holder::of(&grant.api, &self.credentials)
    }
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
    /// Wakes all who wait for their turn to refresh it: there is one now.
    renewed: Notify,
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
        turn: &Turn,
    ) -> Result<SecretString, Error> {
        let state =
            self.states.lock().unwrap_or_else(PoisonError::into_inner).entry(grant.clone()).or_default().clone();
        {
            let mut unstored = turn.aside(state.refreshing.lock()).await;
            if unstored.0.is_some() {
                self.store_left_over(&state, &mut self.look(grant).await?, &mut unstored).await?;
            }
        }
        let account = grant.account_key();
        // Before the account is locked: who waits behind a less urgent one would wait as long as that one.
        let waited = loop {
            let renewed = state.renewed.notified(); // from before the look, so that none is missed
            if let Some(token) = state.valid() {
                return Ok(token);
            }
            tokio::select! {
                biased;
                waited = turn.aside(budget.acquire(lane, &account)) => break waited?,
                () = renewed => {}
            }
        };
        let place = budget.place();
        let mut unstored = turn.aside(state.refreshing.lock()).await;
        if let Some(token) = state.valid() {
            return Ok(token); // somebody else was faster
        }
        let mut look = self.look(grant).await?;
        self.store_left_over(&state, &mut look, &mut unstored).await?;
        place.used();
        self.metrics.budget_wait(lane.into(), waited);
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
        state.renewed.notify_waiters();
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

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD;
    use cronofy_sim::{Options, Simulator};
    use futures::future;
    use http::{Request, Response};
    use kube::client::Body;
    use serde_json::json;
    use tokio::sync::mpsc;

    use super::*;
    use crate::controller::budget::Limits;
    use crate::controller::turns::{Claim, Name, Turns};

    /// An API server that has the credentials of an application, and nothing else.
    fn credentials(client_id: &str, client_secret: &str) -> Client {
        let values = [("client_id", client_id), ("client_secret", client_secret)];
        let data: HashMap<_, _> = values.map(|(key, value)| (key, BASE64_STANDARD.encode(value))).into();
        let metadata = json!({ "name": "app", "namespace": "rooms", "uid": "1", "resourceVersion": "1" });
        let secret = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data }).to_string();
        let answer = move |_: Request<Body>| {
            future::ready(Ok::<_, Infallible>(Response::new(Body::from(secret.clone().into_bytes()))))
        };
        Client::new(tower::service_fn(answer), "default")
    }

    #[tokio::test]
    async fn a_new_subscription_does_not_wait_behind_a_sweep_that_waits_to_refresh_the_same_token() {
        let sim = Simulator::start(Options::default()).await.unwrap();
        sim.add_application("client", &["secret"]);
        let accounts = Accounts::new(credentials("client", "secret"), Metrics::new());
        let cronofy = cronofy::Client::new(cronofy::Options::new(sim.api_url().parse().unwrap())).unwrap();
        let application = ApplicationKey { namespace: "rooms".to_owned(), name: "app".to_owned() };
        let account = AccountKey::ApplicationCalendar("room".to_owned());
        let grant = Grant {
            application: application.clone(),
            credentials: SecretKey { namespace: "rooms".to_owned(), name: "app".to_owned() },
            api: sim.api_url().clone(),
            account: account.clone(),
        };
        let (turns, (call, _called)) = (Turns::new(16), mpsc::channel(16));
        let turn = |name, lane| {
            let claim = Claim { lane, application: application.clone(), account: Some(account.clone()) };
            turns.take(&Name::new(name), claim, &call).unwrap()
        };
        let (sweep, newcomer) = (turn("sweep", Lane::Sweep), turn("newcomer", Lane::New));

        let budget = Budget::new(Limits { per_second: 10, per_minute: 100_000 });
        for _ in 0..10 {
            budget.acquire(Lane::Sweep, "others").await.unwrap();
        }
        let gone = AtomicUsize::new(0);
        let others = future::join_all((0..30).map(|number| {
            let (budget, gone) = (&budget, &gone);
            async move {
                budget.acquire(Lane::Sweep, &format!("other {number}")).await.unwrap();
                gone.fetch_add(1, Ordering::Relaxed);
            }
        }));
        let regular = accounts.refresh(&grant, &cronofy, &budget, Lane::Sweep, &sweep);
        let new = async {
            tokio::task::yield_now().await; // the sweep waits by now
            let token = accounts.refresh(&grant, &cronofy, &budget, Lane::New, &newcomer).await;
            (token, gone.load(Ordering::Relaxed))
        };
        let (_, regular, (new, gone)) = tokio::join!(others, regular, new);
        assert!(gone < 30, "it waits for all that came before the sweep");
        assert_eq!(regular.unwrap().expose_secret(), new.unwrap().expose_secret());
        assert_eq!(sim.requests().len(), 1, "they share one request");
    }
}
