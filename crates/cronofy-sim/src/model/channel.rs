//! Channels, and what is delivered to them.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Model, utc};
use crate::clock::add;
use crate::settings::{ChangesSince, DuplicateCreate, NotificationForm, Notifications, Settings, Use, Verification};

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
    /// How many were made before it.
    pub(crate) number: u64,
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

    fn wants(&self, account: &str, change: &Touched) -> bool {
        self.account == account
            && self.closed.is_none()
            && (!self.filters.only_managed || change.managed)
            && self.filters.calendar_ids.as_ref().is_none_or(|ids| ids.iter().any(|id| change.calendars.contains(id)))
    }
}

/// Which channels a change is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Touched {
    pub calendars: Vec<String>,
    /// One of the events is the application's.
    pub managed: bool,
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

    fn render(&self, channel: &Channel, settings: &Settings) -> Value {
        let form = settings.notification_form;
        let kind = if form == NotificationForm::UnknownType { "calendar_repainted" } else { &self.kind };
        let mut notification = json!({ "type": kind });
        if let Some(fields) = notification.as_object_mut() {
            if let Some(since) = self.changes_since {
                fields.insert("changes_since".to_owned(), json!(utc(since)));
            }
            fields.extend(self.more.as_object().cloned().unwrap_or_default());
        }
        let mut body = json!({ "notification": notification });
        if form == NotificationForm::NoChannel {
            return body;
        }
        let mut shown = channel.render(settings.echo_default_filters);
        if self.kind.starts_with("scheduling_conversation")
            && let Some(fields) = shown.as_object_mut()
        {
            fields.remove("filters");
            fields.insert("scheduling_conversations".to_owned(), json!({ "enabled": true }));
        }
        let unknown = form == NotificationForm::UnknownFields;
        if unknown && let (Some(fields), Some(about)) = (shown.as_object_mut(), body.get_mut("notification")) {
            fields.insert("colour".to_owned(), json!({ "name": "blue" }));
            if let Some(about) = about.as_object_mut() {
                about.insert("mood".to_owned(), json!(["calm"]));
            }
        }
        if let Some(fields) = body.as_object_mut() {
            fields.insert("channel".to_owned(), shown);
            if unknown {
                fields.insert("weather".to_owned(), json!(null));
            }
        }
        body
    }
}

/// A delivery that is due.
#[derive(Clone, Debug)]
pub struct Pending {
    /// Tells deliveries apart.
    pub number: u64,
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
    /// Why it is not sent at once.
    pub waits: Waits,
}

/// Why a delivery is not sent at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waits {
    /// It only waits until it is due.
    UntilDue,
    /// For another one to the channel that it comes after.
    ForAnother,
    /// Behind this one.
    Behind(u64),
    /// For others that it stands for.
    ForMore,
}

/// A delivery that was tried.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Delivery {
    /// The channel.
    pub channel: String,
    /// Where it went.
    pub callback_url: String,
    /// The type.
    #[serde(rename = "type")]
    pub kind: String,
    /// The body as it was sent.
    pub body: String,
    /// Its signature header.
    pub signature: Option<String>,
    /// Which try, from 1.
    pub attempt: u32,
    /// When, on the simulator's clock.
    pub time: Timestamp,
    /// What was answered; `None`: nothing in time.
    pub status: Option<u16>,
}

impl Model {
    /// Creates a channel, or finds the one that is identical. `Err` is the status of a refusal. Also tells when its
    /// verification is sent.
    pub fn create_channel(
        &mut self,
        (account, client_id): (&str, &str),
        callback_url: &str,
        mut filters: Filters,
        now: Timestamp,
    ) -> Result<(Channel, Option<Verification>), u16> {
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
            return Ok((same.clone(), None));
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
            number: self.next_number(),
        };
        self.channels.insert(channel.id.clone(), channel.clone());
        let settings = self.settings_for(Use::notification(account, &channel.id));
        let due = match settings.verification {
            Verification::AfterCreate | Verification::BeforeAnswer => Some(now),
            Verification::Delayed => Some(add(now, settings.verification_delay)),
            Verification::Never => None,
        };
        if let Some(due) = due {
            let pending = self.pending(&channel, &Notification::new("verification"), &settings, due);
            self.pending.push(pending);
        }
        Ok((channel, Some(settings.verification)))
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

    /// Closes all channels of an account.
    pub fn close_channels(&mut self, account: &str, now: Timestamp) {
        for channel in self.open_channels(account) {
            self.close_channel(&channel.id, now);
        }
    }

    /// The account's open channels, the oldest first.
    pub fn open_channels(&self, account: &str) -> Vec<Channel> {
        let open = self.channels.values().filter(|channel| channel.account == account && channel.closed.is_none());
        let mut open: Vec<Channel> = open.cloned().collect();
        open.sort_by_key(|channel| channel.number);
        open
    }

    /// Makes a delivery due, or what the switches make of it.
    pub fn notify(&mut self, channel: &str, notification: &Notification, now: Timestamp) {
        self.notify_at(channel, notification, now, now);
    }

    /// The same, but due later.
    pub fn notify_at(&mut self, channel: &str, notification: &Notification, due: Timestamp, now: Timestamp) {
        let Some(channel) = self.channels.get(channel).filter(|channel| channel.closed.is_none()).cloned() else {
            return;
        };
        let settings = self.settings_for(Use::notification(&channel.account, &channel.id));
        let pending = self.pending(&channel, notification, &settings, due);
        let later = add(due, settings.notification_delay);
        match self.drawn_for_notification(&channel.account).unwrap_or(settings.notifications) {
            Notifications::Duplicated => {
                let copy = Pending { number: self.next_number(), ..pending.clone() };
                self.pending.extend([pending, copy]);
            }
            Notifications::Delayed => self.pending.push(Pending { due: later, ..pending }),
            Notifications::Lost => {}
            Notifications::Replayed => {
                let due = add(due, settings.replay_after);
                let copy = Pending { number: self.next_number(), due, ..pending.clone() };
                self.pending.extend([pending, copy]);
            }
            Notifications::Reordered => {
                let is_held = |held: &&mut Pending| {
                    held.channel == channel.id && held.waits == Waits::ForAnother && held.due > now
                };
                if let Some(held) = self.pending.iter_mut().find(is_held) {
                    (held.due, held.waits) = (due, Waits::Behind(pending.number));
                    self.pending.push(pending);
                } else {
                    self.pending.push(Pending { due: later, waits: Waits::ForAnother, ..pending });
                }
            }
            Notifications::Coalesced if pending.kind == "change" => {
                let stands_for_it =
                    |other: &Pending| other.channel == channel.id && other.waits == Waits::ForMore && other.due > now;
                if !self.pending.iter().any(stands_for_it) {
                    self.pending.push(Pending { due: later, waits: Waits::ForMore, ..pending });
                }
            }
            Notifications::Normal | Notifications::Coalesced => self.pending.push(pending),
        }
    }

    fn pending(&mut self, to: &Channel, what: &Notification, settings: &Settings, due: Timestamp) -> Pending {
        Pending {
            number: self.next_number(),
            channel: to.id.clone(),
            kind: what.kind.clone(),
            body: what.render(to, settings).to_string(),
            attempt: 1,
            due,
            waits: Waits::UntilDue,
        }
    }

    /// Tells every channel of an account.
    pub fn notify_account(&mut self, account: &str, notification: &Notification, now: Timestamp) {
        for channel in self.open_channels(account) {
            self.notify(&channel.id, notification, now);
        }
    }

    /// Tells the channels that a change is for.
    pub(crate) fn notify_change(&mut self, account: &str, change: &Touched, now: Timestamp) {
        for channel in self.open_channels(account).iter().filter(|channel| channel.wants(account, change)) {
            // Looked up without being counted: the notification itself is what counts.
            let settings = self.settings.for_use(&mut self.overrides.clone(), Use::notification(account, &channel.id));
            let since = match settings.changes_since {
                ChangesSince::Exact => now,
                ChangesSince::Earlier => now.checked_sub(SignedDuration::from_secs(60)).unwrap_or(now),
                ChangesSince::Later => add(now, Duration::from_mins(1)),
                ChangesSince::Future => add(now, Duration::from_hours(365 * 24)),
            };
            self.notify(&channel.id, &Notification::change(since), now);
        }
    }
}
