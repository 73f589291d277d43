//! Grants, and the tokens they give.

use jiff::Timestamp;

use super::{AccessToken, Code, Model, RefreshToken};
use crate::settings::{RefreshWhileValid, Rotation, Use};

/// A token answer.
pub(crate) struct Tokens {
    pub access: String,
    pub refresh: Option<String>,
    pub expires_in: Option<i64>,
    pub account: String,
}

impl Model {
    pub fn issue_refresh_token(&mut self, account: &str, client_id: &str) -> String {
        let token = self.id("rt_");
        let grant = RefreshToken { account: account.to_owned(), client_id: client_id.to_owned(), access: None };
        self.refresh_tokens.insert(token.clone(), grant);
        token
    }

    /// What the owner's browser would bring back from an authorization.
    pub fn issue_code(&mut self, account: &str, client_id: &str, redirect_uri: &str) -> String {
        let code = self.id("code_");
        let content = Code {
            account: account.to_owned(),
            client_id: client_id.to_owned(),
            redirect_uri: redirect_uri.to_owned(),
        };
        self.codes.insert(code.clone(), content);
        code
    }

    /// Exchanges a code, which then is used. `None`: it is unknown, used, or was made for another application or URL.
    pub fn exchange(&mut self, code: &str, client_id: &str, redirect_uri: &str, now: Timestamp) -> Option<Tokens> {
        let code = self.codes.remove(code)?;
        if code.client_id != client_id || code.redirect_uri != redirect_uri {
            return None;
        }
        self.accounts.get_mut(&code.account)?.granted = true;
        Some(self.tokens(code.account, client_id, now))
    }

    /// New tokens of both kinds.
    pub fn tokens(&mut self, account: String, client_id: &str, now: Timestamp) -> Tokens {
        let refresh = self.issue_refresh_token(&account, client_id);
        let (access, expires_in) = self.access_token(&account, client_id, now);
        if let Some(grant) = self.refresh_tokens.get_mut(&refresh) {
            grant.access = Some(access.clone());
        }
        Tokens { access, refresh: Some(refresh), expires_in, account }
    }

    /// Uses a refresh token. `None`: the grant is not in force.
    pub fn refresh(&mut self, token: &str, client_id: &str, now: Timestamp) -> Option<Tokens> {
        let grant = self.refresh_tokens.get(token).filter(|grant| grant.client_id == client_id)?.clone();
        if !self.accounts.get(&grant.account)?.granted {
            return None;
        }
        let refresh = match self.settings.rotation {
            Rotation::Rotates => {
                self.refresh_tokens.remove(token);
                Some(self.issue_refresh_token(&grant.account, client_id))
            }
            Rotation::WithGrace => Some(self.issue_refresh_token(&grant.account, client_id)),
            Rotation::Stays => Some(token.to_owned()),
            Rotation::Absent => None,
        };
        let same = grant.access.filter(|_| self.settings.refresh_while_valid == RefreshWhileValid::SameToken);
        let known = same.and_then(|access| {
            let left = self.access_tokens.get(&access)?.expires.as_second() - now.as_second();
            (left > 0).then_some((access, left))
        });
        let (access, expires_in) = match known {
            Some((access, left)) => (access, Some(left)),
            None => self.access_token(&grant.account, client_id, now),
        };
        for token in [token, refresh.as_deref().unwrap_or_default()] {
            if let Some(grant) = self.refresh_tokens.get_mut(token) {
                grant.access = Some(access.clone());
            }
        }
        Some(Tokens { access, refresh, expires_in, account: grant.account })
    }

    /// A new access token, and for how many seconds it says it is valid.
    fn access_token(&mut self, account: &str, client_id: &str, now: Timestamp) -> (String, Option<i64>) {
        let token = self.id("at_");
        let said = self.settings.expires_in;
        let lifetime = said.unwrap_or(std::time::Duration::from_mins(30));
        let access = AccessToken {
            account: account.to_owned(),
            client_id: client_id.to_owned(),
            expires: crate::clock::add(now, lifetime),
        };
        self.access_tokens.insert(token.clone(), access);
        (token, said.map(|said| i64::try_from(said.as_secs()).unwrap_or(i64::MAX)))
    }

    /// Ends the grants of an account.
    pub fn revoke(&mut self, account: &str, now: Timestamp) {
        if let Some(account) = self.accounts.get_mut(account) {
            account.granted = false;
        }
        self.access_tokens.retain(|_, token| token.account != account);
        if self.settings_for(Use::change(account)).close_on_revoke {
            self.close_channels(account, now);
        }
    }
}
