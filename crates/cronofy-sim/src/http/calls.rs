//! What each call does: who asks, whether that is allowed, and then the call itself, on the model.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::{Call, Reply, channels, events, http_date, tokens};
use crate::faults::Endpoint;
use crate::model::{Model, RefreshToken};
use crate::settings::{AccessTokens, RetryAfter, Use};
use crate::{Inner, State};

/// A call as it arrived: what held then may not hold any more when it is performed.
pub(crate) struct Arrival {
    /// Of which account.
    pub account: Option<String>,
    /// The refresh token it uses.
    pub refresh: Option<Refresh>,
}

/// A refresh under way, until this is dropped.
pub(crate) struct Refresh {
    inner: Arc<Inner>,
    pub token: String,
    /// What the token was good for.
    pub grant: RefreshToken,
    /// Another refresh with the same token was under way.
    pub second: bool,
}

impl Drop for Refresh {
    fn drop(&mut self) {
        let mut state = self.inner.state();
        if let Some(index) = state.refreshing.iter().position(|token| *token == self.token) {
            state.refreshing.swap_remove(index);
        }
    }
}

/// Notes who calls.
pub(crate) fn arrive(inner: &Arc<Inner>, call: &Call) -> Arrival {
    let mut state = inner.state();
    let of_bearer = call.bearer.as_ref().and_then(|token| state.model.access_tokens.get(token));
    let mut arrival = Arrival { account: of_bearer.map(|token| token.account.clone()), refresh: None };
    if call.endpoint == Endpoint::Token {
        let fields = fields(call);
        let token = text(&fields, "refresh_token");
        if let Some(grant) = state.model.refresh_tokens.get(token).cloned() {
            arrival.account = Some(grant.account.clone());
            let second = state.refreshing.iter().any(|other| other == token);
            state.refreshing.push(token.to_owned());
            arrival.refresh = Some(Refresh { inner: inner.clone(), token: token.to_owned(), grant, second });
        }
    }
    arrival
}

/// Performs a call on the model. Also gives how far `Date` is off.
pub(crate) fn perform(inner: &Inner, call: &Call, arrival: &Arrival) -> (Reply, i64) {
    let mut state = inner.state();
    let now = state.clock.now();
    let channel = call.path.last().filter(|_| call.endpoint == Endpoint::CloseChannel);
    let wanted = Use::call(call.endpoint, arrival.account.as_deref(), channel.map(String::as_str));
    // The switches of this call hold while it is performed.
    let settings = state.model.settings_for(wanted);
    let date_skew = settings.date_skew;
    let usual = std::mem::replace(&mut state.model.settings, settings);
    let reply = match call.endpoint {
        Endpoint::Token => tokens::token(&mut state, call, arrival, now),
        Endpoint::Revoke => tokens::revoke(&mut state, call, now),
        Endpoint::ApplicationCalendars => tokens::application_calendar(&mut state, call, now),
        Endpoint::Unknown => Reply::empty(404),
        _ => as_user(inner, &mut state, call, now),
    };
    state.model.settings = usual;
    (reply, date_skew)
}

/// The fields of a token request, JSON or form.
pub(super) fn fields(call: &Call) -> Map<String, Value> {
    if call.form {
        let pairs = url::form_urlencoded::parse(&call.body).into_owned();
        return pairs.map(|(key, value)| (key, Value::String(value))).collect();
    }
    serde_json::from_slice::<Value>(&call.body).ok().and_then(|value| value.as_object().cloned()).unwrap_or_default()
}

pub(super) fn text<'a>(fields: &'a Map<String, Value>, key: &str) -> &'a str {
    fields.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// Counts a request against the application's limits.
pub(super) fn count(model: &mut Model, client_id: &str, now: Timestamp) -> Result<(), Reply> {
    let Some((per_second, per_minute)) = model.settings.rate_limit else { return Ok(()) };
    let retry_after = model.settings.retry_after;
    let Some(application) = model.applications.get_mut(client_id) else { return Ok(()) };
    let age = |time: &Timestamp| now.duration_since(*time).as_millis();
    application.requests.retain(|time| age(time) < 60_000);
    let last_second = application.requests.iter().filter(|time| age(time) < 1_000).count();
    let (over_second, over_minute) = (last_second >= per_second, application.requests.len() >= per_minute);
    if over_second || over_minute {
        let wait = if over_minute { 60 } else { 1 };
        let retry_after = match retry_after {
            RetryAfter::Seconds => Some(wait.to_string()),
            RetryAfter::Date => Some(http_date(crate::clock::add(now, std::time::Duration::from_secs(wait)))),
            RetryAfter::Absent => None,
        };
        return Err(Reply { retry_after, ..Reply::empty(429) });
    }
    application.requests.push_back(now);
    Ok(())
}

pub(super) fn put(body: &mut Value, key: &str, value: Option<Value>) {
    if let (Some(fields), Some(value)) = (body.as_object_mut(), value) {
        fields.insert(key.to_owned(), value);
    }
}

/// What a call needs to be allowed.
fn scope(endpoint: Endpoint) -> Option<&'static str> {
    match endpoint {
        Endpoint::Calendars => Some("list_calendars"),
        Endpoint::Events
        | Endpoint::EventsPage
        | Endpoint::ListChannels
        | Endpoint::CreateChannel
        | Endpoint::CloseChannel => Some("read_events"),
        Endpoint::PutEvent => Some("create_event"),
        Endpoint::DeleteEvent => Some("delete_event"),
        Endpoint::Token
        | Endpoint::Revoke
        | Endpoint::ApplicationCalendars
        | Endpoint::UserInfo
        | Endpoint::Profiles
        | Endpoint::RevokeProfile
        | Endpoint::Account
        | Endpoint::Unknown => None,
    }
}

/// Calls with an access token.
fn as_user(inner: &Inner, state: &mut State, call: &Call, now: Timestamp) -> Reply {
    let token = call.bearer.as_ref().and_then(|token| state.model.access_tokens.get(token)).cloned();
    let Some(token) = token.filter(|token| token.expires > now) else { return Reply::empty(401) };
    let (account, client_id) = (token.account, token.client_id);
    let named = |reply| Reply { account: Some(account.clone()), client_id: Some(client_id.clone()), ..reply };
    let refused = match state.model.accounts.get(&account) {
        Some(account) if account.granted => account.refused_with,
        Some(_) | None => Some(401),
    };
    let refused = refused.or((state.model.settings.access_tokens == AccessTokens::Refused).then_some(401));
    if let Some(status) = refused {
        return named(Reply::empty(status));
    }
    let counts = call.endpoint != Endpoint::EventsPage || state.model.settings.rate_limit_pages;
    if counts && let Err(reply) = count(&mut state.model, &client_id, now) {
        return named(reply);
    }
    if scope(call.endpoint).is_some_and(|scope| state.model.lacks(&account, scope)) {
        return named(Reply::empty(403));
    }
    named(match call.endpoint {
        Endpoint::UserInfo => Reply::json(200, state.model.render_userinfo(&account)),
        Endpoint::Profiles => Reply::json(200, state.model.render_profiles(&account)),
        Endpoint::RevokeProfile => revoke_profile(&mut state.model, call, &account, now),
        Endpoint::Account => Reply::json(200, state.model.render_account(&account)),
        Endpoint::Calendars => Reply::json(200, state.model.render_calendars(&account)),
        Endpoint::ListChannels => channels::list(&state.model, &account, &client_id),
        Endpoint::CreateChannel => channels::create(state, call, &account, &client_id, now),
        Endpoint::CloseChannel => channels::close(state, call, &account, now),
        Endpoint::Events => events::first_page(inner, state, call, &account, now),
        Endpoint::EventsPage => events::further_page(inner, state, call, &account, now),
        Endpoint::PutEvent | Endpoint::DeleteEvent => events::own_write(state, call, &account, now),
        Endpoint::Token | Endpoint::Revoke | Endpoint::ApplicationCalendars | Endpoint::Unknown => Reply::empty(404),
    })
}

fn revoke_profile(model: &mut Model, call: &Call, account: &str, now: Timestamp) -> Reply {
    let id = call.path.get(2).map(String::as_str).unwrap_or_default();
    let own = model.accounts.get(account).is_some_and(|account| account.profiles.iter().any(|known| known.id == id));
    if !own {
        return Reply::empty(404);
    }
    model.connect_profile(id, false, now);
    Reply::empty(202)
}
