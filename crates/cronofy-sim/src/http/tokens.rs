//! The calls with an application's own credentials: tokens are given, refreshed and revoked.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::calls::{Arrival, count, fields, put, text};
use super::{Call, Reply};
use crate::State;
use crate::model::Tokens;
use crate::settings::{ConcurrentRefresh, RefuseGrant, WrongClient};

/// Checks client id and secret, and counts the request. Gives the client id.
fn client(state: &mut State, fields: &Map<String, Value>, now: Timestamp) -> Result<String, Reply> {
    let (id, secret) = (text(fields, "client_id"), text(fields, "client_secret"));
    let known = state
        .model
        .applications
        .get(id)
        .is_some_and(|application| application.secrets.iter().any(|known| known == secret));
    if !known {
        return Err(match state.model.settings.wrong_client {
            WrongClient::Unauthorized => Reply::empty(401),
            WrongClient::InvalidClient => Reply::json(400, json!({ "error": "invalid_client" })),
        });
    }
    if state.model.settings.rate_limit_tokens {
        count(&mut state.model, id, now)?;
    }
    Ok(id.to_owned())
}

/// `POST /oauth/token`.
pub(super) fn token(state: &mut State, call: &Call, arrival: &Arrival, now: Timestamp) -> Reply {
    let fields = fields(call);
    let client_id = match client(state, &fields, now) {
        Ok(client_id) => client_id,
        Err(reply) => return reply,
    };
    let refused = state.model.settings.refuse_grant;
    let (tokens, exchanged) = match text(&fields, "grant_type") {
        "refresh_token" if refused == RefuseGrant::Refresh => (None, false),
        "refresh_token" => (refresh(state, text(&fields, "refresh_token"), &client_id, arrival, now), false),
        "authorization_code" if refused == RefuseGrant::Exchange => (None, true),
        "authorization_code" => {
            let (code, redirect_uri) = (text(&fields, "code"), text(&fields, "redirect_uri"));
            (state.model.exchange(code, &client_id, redirect_uri, now), true)
        }
        _ => return Reply::json(400, json!({ "error": "unsupported_grant_type" })),
    };
    let Some(Tokens { access, refresh, expires_in, account }) = tokens else {
        return Reply { client_id: Some(client_id), ..Reply::json(400, json!({ "error": "invalid_grant" })) };
    };
    let mut body = json!({
        "token_type": "bearer",
        "access_token": access,
        "scope": state.model.scope(&account),
        "account_id": account,
        "sub": account,
    });
    put(&mut body, "refresh_token", refresh.map(Value::from));
    put(&mut body, "expires_in", expires_in.map(Value::from));
    if exchanged {
        put(&mut body, "linking_profile", state.model.render_linking_profile(&account));
    }
    Reply { client_id: Some(client_id), account: Some(account), ..Reply::json(200, body) }
}

fn refresh(state: &mut State, token: &str, client_id: &str, arrival: &Arrival, now: Timestamp) -> Option<Tokens> {
    if let Some(under_way) = &arrival.refresh {
        match state.model.settings.concurrent_refresh {
            ConcurrentRefresh::SecondRefused if under_way.second => return None,
            ConcurrentRefresh::SecondRefused => {}
            // It was good when this call arrived.
            ConcurrentRefresh::BothSucceed => {
                let grant = || under_way.grant.clone();
                state.model.refresh_tokens.entry(under_way.token.clone()).or_insert_with(grant);
            }
        }
    }
    state.model.refresh(token, client_id, now)
}

/// `POST /oauth/token/revoke`.
pub(super) fn revoke(state: &mut State, call: &Call, now: Timestamp) -> Reply {
    let fields = fields(call);
    let client_id = match client(state, &fields, now) {
        Ok(client_id) => client_id,
        Err(reply) => return reply,
    };
    let token = text(&fields, "token");
    let of_refresh = state.model.refresh_tokens.get(token).map(|grant| grant.account.clone());
    let of_access = state.model.access_tokens.get(token).map(|grant| grant.account.clone());
    let subject = Some(text(&fields, "sub").to_owned()).filter(|sub| !sub.is_empty() && token.is_empty());
    let account = of_refresh.or(of_access).or(subject);
    if let Some(account) = &account {
        state.model.revoke(account, now);
    }
    Reply { client_id: Some(client_id), account, ..Reply::empty(200) }
}

/// `POST /v1/application_calendars`.
pub(super) fn application_calendar(state: &mut State, call: &Call, now: Timestamp) -> Reply {
    let fields = fields(call);
    let client_id = match client(state, &fields, now) {
        Ok(client_id) => client_id,
        Err(reply) => return reply,
    };
    let id = text(&fields, "application_calendar_id");
    if id.is_empty() {
        return Reply::invalid("application_calendar_id", "errors.required", "required");
    }
    let account = state.model.application_calendar(&client_id, id);
    let Tokens { access, refresh, expires_in, account } = state.model.tokens(account, &client_id, now);
    let mut body = json!({
        "token_type": "bearer",
        "access_token": access,
        "scope": "read_events create_event",
        "application_calendar_id": id,
        "sub": account,
    });
    put(&mut body, "refresh_token", refresh.map(Value::from));
    put(&mut body, "expires_in", expires_in.map(Value::from));
    Reply { client_id: Some(client_id), account: Some(account), ..Reply::json(200, body) }
}
