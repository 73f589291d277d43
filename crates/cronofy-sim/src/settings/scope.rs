//! Switches that differ for some.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Settings;
use crate::faults::Endpoint;

/// For what a switch differs. Nothing given: for all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Scope {
    /// For this account.
    pub account: Option<String>,
    /// For this channel.
    pub channel: Option<String>,
    /// For calls to this endpoint.
    pub endpoint: Option<Endpoint>,
    /// For so many uses: calls, notifications or tries of a delivery, whichever the switch is looked up for. `None`: until it
    /// is taken back.
    pub times: Option<usize>,
}

impl Scope {
    /// For one account.
    #[must_use]
    pub fn account(id: impl Into<String>) -> Self {
        Self { account: Some(id.into()), ..Self::default() }
    }

    /// For one channel.
    #[must_use]
    pub fn channel(id: impl Into<String>) -> Self {
        Self { channel: Some(id.into()), ..Self::default() }
    }

    /// For the next so many uses.
    #[must_use]
    pub fn next(times: usize) -> Self {
        Self { times: Some(times), ..Self::default() }
    }

    /// The same, but only for the next so many uses.
    #[must_use]
    pub fn times(self, times: usize) -> Self {
        Self { times: Some(times), ..self }
    }

    /// The same, but only for calls to this endpoint.
    #[must_use]
    pub fn endpoint(self, endpoint: Endpoint) -> Self {
        Self { endpoint: Some(endpoint), ..self }
    }
}

/// When a switch is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// A call is answered.
    Call,
    /// A notification is made.
    Notification,
    /// A delivery is tried.
    Delivery,
    /// The owner of an account does something.
    Change,
}

impl Moment {
    /// When this switch is looked up.
    fn of(switch: &str) -> Self {
        match switch {
            "verification" | "verification_delay" | "notifications" | "notification_delay" | "replay_after"
            | "changes_since" | "notification_form" => Self::Notification,
            "signature"
            | "signature_order"
            | "signature_space"
            | "delivery_shape"
            | "slow_delivery"
            | "delivery_timeout"
            | "retries"
            | "retry_client_errors"
            | "follow_redirects"
            | "auto_close"
            | "close_on_gone" => Self::Delivery,
            "close_on_revoke"
            | "calendar_move"
            | "disconnect_notice"
            | "stale_while_disconnected"
            | "gdpr"
            | "gdpr_ends_grant" => Self::Change,
            _ => Self::Call,
        }
    }
}

/// What a switch is looked up for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Use<'a> {
    pub moment: Moment,
    pub account: Option<&'a str>,
    pub channel: Option<&'a str>,
    pub endpoint: Option<Endpoint>,
}

impl<'a> Use<'a> {
    pub fn call(endpoint: Endpoint, account: Option<&'a str>, channel: Option<&'a str>) -> Self {
        Self { moment: Moment::Call, account, channel, endpoint: Some(endpoint) }
    }

    pub fn notification(account: &'a str, channel: &'a str) -> Self {
        Self { moment: Moment::Notification, account: Some(account), channel: Some(channel), endpoint: None }
    }

    pub fn delivery(account: &'a str, channel: &'a str) -> Self {
        Self { moment: Moment::Delivery, ..Self::notification(account, channel) }
    }

    pub fn change(account: &'a str) -> Self {
        Self { moment: Moment::Change, account: Some(account), channel: None, endpoint: None }
    }
}

/// Switches that differ within a scope.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Override {
    pub id: u64,
    pub scope: Scope,
    /// Names and values.
    pub settings: Map<String, Value>,
}

impl Override {
    fn is_for(&self, wanted: Use<'_>) -> bool {
        let Scope { account, channel, endpoint, times } = &self.scope;
        account.as_deref().is_none_or(|account| wanted.account == Some(account))
            && channel.as_deref().is_none_or(|channel| wanted.channel == Some(channel))
            && endpoint.is_none_or(|endpoint| wanted.endpoint == Some(endpoint))
            && times.is_none_or(|times| times > 0)
            && (times.is_none() || self.settings.keys().any(|switch| Moment::of(switch) == wanted.moment))
    }
}

impl Settings {
    /// The switches for one use, which is counted: later overrides win.
    pub(crate) fn for_use(&self, overrides: &mut Vec<Override>, wanted: Use<'_>) -> Self {
        let mut settings = self.clone();
        for own in overrides.iter_mut().filter(|own| own.is_for(wanted)) {
            if let Ok(patched) = settings.patched(&own.settings) {
                settings = patched;
            }
            own.scope.times = own.scope.times.map(|times| times.saturating_sub(1));
        }
        overrides.retain(|own| own.scope.times != Some(0));
        settings
    }
}
