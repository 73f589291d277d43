//! What owners of accounts do, and what becomes of their grants and calendar services.

use crate::model::{AccountDraft, Notification, Profile};
use crate::{Error, Simulator};

impl Simulator {
    /// Adds an account with one connected profile and one calendar.
    #[must_use]
    pub fn add_account(&self, draft: AccountDraft) -> String {
        self.inner.state().model.add_account(draft, None)
    }

    /// The account of an application calendar, made if need be.
    #[must_use]
    pub fn application_calendar(&self, client_id: &str, id: &str) -> String {
        self.inner.state().model.application_calendar(client_id, id)
    }

    /// A refresh token, as an authorization by the owner would give.
    #[must_use]
    pub fn issue_refresh_token(&self, account: &str, client_id: &str) -> String {
        self.inner.state().model.issue_refresh_token(account, client_id)
    }

    /// A code, as an authorization by the owner brings to the `redirect_uri`. It can be exchanged once.
    #[must_use]
    pub fn issue_code(&self, account: &str, client_id: &str, redirect_uri: &str) -> String {
        self.inner.state().model.issue_code(account, client_id, redirect_uri)
    }

    /// Links another calendar service to an account; gives the profile's id.
    ///
    /// # Errors
    /// If there is no such account.
    pub fn add_profile(&self, account: &str, provider: &str) -> Result<String, Error> {
        let profile = self.inner.state().model.add_profile(account, provider);
        profile.ok_or_else(|| Error::Unknown { kind: "account", id: account.to_owned() })
    }

    /// The account's calendar services, the first one first.
    #[must_use]
    pub fn profiles(&self, account: &str) -> Vec<Profile> {
        let state = self.inner.state();
        state.model.accounts.get(account).map(|account| account.profiles.clone()).unwrap_or_default()
    }

    /// Ends the account's grants: its refresh tokens answer `invalid_grant`.
    pub fn revoke(&self, account: &str) {
        let mut state = self.inner.state();
        let now = state.clock.now();
        state.model.revoke(account, now);
    }

    /// The owner authorizes again.
    pub fn grant(&self, account: &str) {
        if let Some(account) = self.inner.state().model.accounts.get_mut(account) {
            account.granted = true;
        }
    }

    /// Calls with the account's tokens answer this status (402, 403), or are answered again.
    pub fn refuse(&self, account: &str, status: Option<u16>) {
        if let Some(account) = self.inner.state().model.accounts.get_mut(account) {
            account.refused_with = status;
        }
    }

    /// What the grant allows from now on: calls that need more are answered 403. `None`: the usual.
    pub fn limit_scope(&self, account: &str, scope: Option<&str>) {
        if let Some(account) = self.inner.state().model.accounts.get_mut(account) {
            account.scope = scope.map(ToOwned::to_owned);
        }
    }

    /// The account is deleted at Cronofy: tokens die, channels are closed, nobody is told.
    pub fn delete_account(&self, account: &str) {
        let mut state = self.inner.state();
        let now = state.clock.now();
        state.model.delete_account(account, now);
    }

    /// Breaks the calendar services of an account, or one by its own id, off and says so, or connects it again. That is not
    /// told, but what changed meanwhile is.
    pub fn connect_profile(&self, owner: &str, connected: bool) {
        let mut state = self.inner.state();
        let now = state.clock.now();
        state.model.connect_profile(owner, connected, now);
        drop(state);
        self.inner.wake.notify_one();
    }

    /// Begins or completes the first read of the account's calendar service; its completion is told.
    pub fn initial_sync(&self, account: &str, required: bool) {
        if let Some(account) = self.inner.state().model.accounts.get_mut(account) {
            account.profiles.iter_mut().for_each(|profile| profile.initial_sync_required = required);
        }
        if !required {
            self.tell(account, &Notification::new("profile_initial_sync_completed"));
        }
    }

    /// Connects a conferencing service, or breaks it off and says so.
    pub fn connect_conferencing(&self, account: &str, connected: bool) {
        if let Some(account) = self.inner.state().model.accounts.get_mut(account) {
            account.conferencing = Some(connected);
        }
        if !connected {
            self.tell(account, &Notification::new("conferencing_profile_disconnected"));
        }
    }

    /// The owner demands erasure.
    pub fn request_gdpr(&self, account: &str) {
        let mut state = self.inner.state();
        let now = state.clock.now();
        state.model.request_gdpr(account, now);
        drop(state);
        self.inner.wake.notify_one();
    }
}
