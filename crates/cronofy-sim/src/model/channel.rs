//! Channels, and what is delivered to them.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Model, utc};
use crate::settings::{ChangesSince, DuplicateCreate, Verification};

/// What a channel is restricted to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filters {
    /// Only these calendars.
    pub calendar_ids: Option<Vec<String>>,
    /// Only managed events.
    pub only_managed: bool,
}

/// A push channel.
#[derive(Clone, Debug)]
pub struct Channel {
    /// Its id.
    pub id: String,
    /// Of which account.
    pub account: String,
    /// Of which application.
    pub client_id: String,
    /// Where it delivers to.
    pub callback_url: String,
    /// What it is restricted to.
    pub filters: Filters,
    /// When it was closed.
    pub closed: Option<Timestamp>,
    /// Since when every delivery has failed.
    pub failing_since: Option<Timestamp>,
}

impl Channel {
    /// As Cronofy shows it.
    pub(crate) fn render(&self, echo_defaults: bool) -> Value {
        let mut filters = json!({});
        if let Some(fields) = filters.as_object_mut() {
            if let Some(ids) = &self.filters.calendar_ids {
                fields.insert("calendar_ids".to_owned(), json!(ids));
            }
            if self.filters.only_managed || echo_defaults {
                fields.insert("only_managed".to_owned(), json!(self.filters.only_managed));
            }
        }
        json!({ "channel_id": self.id, "callback_url": self.callback_url, "filters": filters })
    }
}

/// What is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Notification {
    /// Cronofy's word.
    pub kind: String,
    /// For `change`.
    pub changes_since: Option<Timestamp>,
    /// Further fields of `notification`.
    pub more: Value,
}

impl Notification {
    /// A notification of this type.
    #[must_use]
    pub fn new(kind: impl Into<String>) -> Self {
        Self { kind: kind.into(), changes_since: None, more: json!({}) }
    }

    /// A change since this time.
    #[must_use]
    pub fn change(since: Timestamp) -> Self {
        Self { changes_since: Some(since), ..Self::new("change") }
    }

    fn render(&self, channel: &Channel, echo_defaults: bool) -> Value {
        let mut notification = json!({ "type": self.kind });
        if let Some(fields) = notification.as_object_mut() {
            if let Some(since) = self.changes_since {
                fields.insert("changes_since".to_owned(), json!(utc(since)));
            }
            fields.extend(self.more.as_object().cloned().unwrap_or_default());
        }
        json!({ "notification": notification, "channel": channel.render(echo_defaults) })
    }
}

/// A delivery that is due.
#[derive(Clone, Debug)]
pub struct Pending {
    /// The channel.
    pub channel: String,
    /// The type.
    pub kind: String,
    /// The body.
    pub body: String,
    /// Which try, from 1.
    pub attempt: u32,
    /// When.
    pub due: Timestamp,
}

/// A delivery that was tried.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The channel.
    pub channel: String,
    /// The type.
    pub kind: String,
    /// The body.
    pub body: String,
    /// Which try, from 1.
    pub attempt: u32,
    /// When, on the simulator's clock.
    pub time: Timestamp,
    /// What was answered; `None`: nothing in time.
    pub status: Option<u16>,
}

impl Model {
    /// Creates a channel, or finds the one that is identical. `Err` is the status of a refusal.
    pub fn create_channel(
        &mut self,
        (account, client_id): (&str, &str),
        callback_url: &str,
        mut filters: Filters,
        now: Timestamp,
    ) -> Result<Channel, u16> {
        if !self.settings.calendar_order_matters
            && let Some(ids) = &mut filters.calendar_ids
        {
            ids.sort();
            ids.dedup();
        }
        let mut open = self.channels.values().filter(|channel| channel.account == account && channel.closed.is_none());
        let same = open.clone().find(|channel| {
            channel.client_id == client_id && channel.callback_url == callback_url && channel.filters == filters
        });
        if let Some(same) = same.filter(|_| self.settings.duplicate_create == DuplicateCreate::Existing) {
            return Ok(same.clone());
        }
        if open.by_ref().count() >= self.settings.channel_limit {
            return Err(self.settings.over_limit_status);
        }
        let channel = Channel {
            id: self.id("chn_"),
            account: account.to_owned(),
            client_id: client_id.to_owned(),
            callback_url: callback_url.to_owned(),
            filters,
            closed: None,
            failing_since: None,
        };
        self.channels.insert(channel.id.clone(), channel.clone());
        if self.settings.verification != Verification::Never {
            self.notify(&channel.id, &Notification::new("verification"), now);
        }
        Ok(channel)
    }

    /// Closes a channel; whether it was open.
    pub fn close_channel(&mut self, id: &str, now: Timestamp) -> bool {
        self.pending.retain(|pending| pending.channel != id);
        match self.channels.get_mut(id).filter(|channel| channel.closed.is_none()) {
            Some(channel) => {
                channel.closed = Some(now);
                true
            }
            None => false,
        }
    }

    /// Makes a delivery due.
    pub fn notify(&mut self, channel: &str, notification: &Notification, now: Timestamp) {
        let echo = self.settings.echo_default_filters;
        let Some(channel) = self.channels.get(channel).filter(|channel| channel.closed.is_none()) else { return };
        let body = notification.render(channel, echo).to_string();
        let pending =
            Pending { channel: channel.id.clone(), kind: notification.kind.clone(), body, attempt: 1, due: now };
        self.pending.push(pending);
    }

    /// Tells every channel of an account.
    pub fn notify_account(&mut self, account: &str, notification: &Notification, now: Timestamp) {
        let of_account = |channel: &&super::Channel| channel.account == account;
        let ids: Vec<_> = self.channels.values().filter(of_account).map(|channel| channel.id.clone()).collect();
        for id in ids {
            self.notify(&id, notification, now);
        }
    }

    /// Tells the channels that a change is for.
    pub fn notify_change(&mut self, account: &str, calendars: &[String], managed: bool, now: Timestamp) {
        let minute = std::time::Duration::from_mins(1);
        let since = match self.settings.changes_since {
            ChangesSince::Exact => now,
            ChangesSince::Earlier => now.checked_sub(jiff::SignedDuration::from_secs(60)).unwrap_or(now),
            ChangesSince::Later => crate::clock::add(now, minute),
        };
        let wanted = |channel: &&super::Channel| {
            let calendar = channel.filters.calendar_ids.as_ref();
            channel.account == account
                && (!channel.filters.only_managed || managed)
                && calendar.is_none_or(|ids| ids.iter().any(|id| calendars.contains(id)))
        };
        let ids: Vec<_> = self.channels.values().filter(wanted).map(|channel| channel.id.clone()).collect();
        for id in ids {
            self.notify(&id, &Notification::change(since), now);
        }
    }
}
