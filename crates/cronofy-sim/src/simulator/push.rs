//! Cronofy's push: channels, notifications, deliveries, and what goes wrong with them.

use crate::model::{Channel, Delivery, Filters, Notification};
use crate::{Signing, Simulator};

impl Simulator {
    /// The account's channels, closed ones too.
    #[must_use]
    pub fn channels(&self, account: &str) -> Vec<Channel> {
        self.inner.state().model.channels.values().filter(|channel| channel.account == account).cloned().collect()
    }

    /// The account's open channels.
    #[must_use]
    pub fn open_channels(&self, account: &str) -> Vec<Channel> {
        self.channels(account).into_iter().filter(|channel| channel.closed.is_none()).collect()
    }

    /// Adds a channel that somebody else made.
    pub fn add_channel(&self, account: &str, client_id: &str, callback_url: &str) {
        let mut state = self.inner.state();
        let now = state.clock.now();
        let _full_or_known = state.model.create_channel((account, client_id), callback_url, Filters::default(), now);
    }

    /// Closes a channel without telling anybody.
    pub fn close_channel_by_hand(&self, id: &str) {
        let mut state = self.inner.state();
        let now = state.clock.now();
        state.model.close_channel(id, now);
    }

    /// Sends a notification of any kind to a channel.
    pub fn notify(&self, channel: &str, notification: &Notification) {
        let mut state = self.inner.state();
        let now = state.clock.now();
        state.model.notify(channel, notification, now);
        drop(state);
        self.inner.wake.notify_one();
    }

    /// How deliveries are signed from now on.
    pub fn sign_with(&self, signing: Signing) {
        self.inner.state().signing = signing;
    }

    /// Loses the next deliveries: they count as done.
    pub fn lose_deliveries(&self, count: usize) {
        self.inner.state().lost = count;
    }

    /// Delivers everything twice, or not any more.
    pub fn double_deliveries(&self, doubled: bool) {
        self.inner.state().doubled = doubled;
    }

    pub(crate) fn tell(&self, account: &str, notification: &Notification) {
        let mut state = self.inner.state();
        let now = state.clock.now();
        state.model.notify_account(account, notification, now);
        drop(state);
        self.inner.wake.notify_one();
    }

    /// Deliveries so far.
    #[must_use]
    pub fn deliveries(&self) -> Vec<Delivery> {
        self.inner.state().deliveries.clone()
    }
}
