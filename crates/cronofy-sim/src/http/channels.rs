//! The calls about push channels.

use jiff::Timestamp;
use serde_json::{Value, json};
use url::Url;

use super::{Call, Reply};
use crate::State;
use crate::model::{Filters, Model};
use crate::settings::Verification;

/// `GET /v1/channels`.
pub(super) fn list(model: &Model, account: &str, client_id: &str) -> Reply {
    let settings = &model.settings;
    let listed = model.channels.values().filter(|channel| {
        channel.account == account
            && channel.client_id == client_id
            && (channel.closed.is_none() || settings.list_closed_channels)
    });
    let channels: Vec<_> = listed.map(|channel| channel.render(settings.echo_default_filters)).collect();
    Reply::json(200, json!({ "channels": channels }))
}

/// `POST /v1/channels`.
pub(super) fn create(state: &mut State, call: &Call, account: &str, client_id: &str, now: Timestamp) -> Reply {
    let Ok(body) = serde_json::from_slice::<Value>(&call.body) else {
        return Reply::invalid("body", "errors.invalid", "not JSON");
    };
    let url = body.get("callback_url").and_then(Value::as_str).unwrap_or_default();
    if url.is_empty() {
        return Reply::invalid("callback_url", "errors.required", "required");
    }
    if !Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https")) {
        return Reply::invalid("callback_url", "errors.invalid", "must be an HTTP or HTTPS URL");
    }
    if state.model.settings.longest_callback_url.is_some_and(|longest| url.chars().count() > longest) {
        return Reply::invalid("callback_url", "errors.too_long", "is too long");
    }
    let filters = match filters(body.get("filters"), state.model.settings.accept_empty_calendar_ids) {
        Ok(filters) => filters,
        Err(reply) => return reply,
    };
    match state.model.create_channel((account, client_id), url, filters, now) {
        Ok((channel, verification)) => {
            let shown = channel.render(state.model.settings.echo_default_filters);
            let after_verification = verification == Some(Verification::BeforeAnswer);
            Reply { after_verification, ..Reply::json(200, json!({ "channel": shown })) }
        }
        Err(422) => Reply::invalid("channel", "errors.limit_reached", "too many channels"),
        Err(status) => Reply::empty(status),
    }
}

/// The filters of a create, or what is wrong with them.
fn filters(given: Option<&Value>, accept_empty: bool) -> Result<Filters, Reply> {
    let field = |name: &str| given.and_then(|filters| filters.get(name)).filter(|value| !value.is_null());
    let calendar_ids = match field("calendar_ids") {
        None => None,
        Some(ids) => {
            let ids = ids.as_array().and_then(|ids| ids.iter().map(Value::as_str).collect::<Option<Vec<_>>>());
            let Some(ids) = ids else {
                return Err(Reply::invalid("filters.calendar_ids", "errors.invalid", "must be a list of ids"));
            };
            if ids.is_empty() && !accept_empty {
                let what = "at least one calendar_id must be provided";
                return Err(Reply::invalid("filters.calendar_ids", "errors.required", what));
            }
            Some(ids.into_iter().map(ToOwned::to_owned).collect::<Vec<_>>()).filter(|ids| !ids.is_empty())
        }
    };
    let only_managed = match field("only_managed") {
        None => false,
        Some(Value::Bool(only_managed)) => *only_managed,
        Some(_) => return Err(Reply::invalid("filters.only_managed", "errors.invalid", "must be true or false")),
    };
    Ok(Filters { calendar_ids, only_managed })
}

/// `DELETE /v1/channels/{channel_id}`.
pub(super) fn close(state: &mut State, call: &Call, account: &str, now: Timestamp) -> Reply {
    let id = call.path.last().cloned().unwrap_or_default();
    let own = state.model.channels.get(&id).is_some_and(|channel| channel.account == account);
    if own && state.model.close_channel(&id, now) {
        Reply::empty(202)
    } else {
        Reply::empty(state.model.settings.close_unknown_status)
    }
}
