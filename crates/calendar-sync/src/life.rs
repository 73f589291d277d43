//! The life of a channel: made once, replaced before it is closed, found again after any crash, closed when it is not wanted.

use jiff::Timestamp;

use crate::decide::record;
use crate::{
    ChannelFilter, ChannelRecord, Desired, MOST_CHANNELS, Mode, Observed, RemoteChannel, Step, channel, schedule,
};

/// What the channel needs: none if it is as wanted.
pub(crate) fn step(desired: &Desired, observed: &Observed, now: Timestamp) -> Option<Step> {
    match desired.mode {
        Mode::Push => keep(desired, observed, now),
        Mode::Poll => leave(desired, observed),
    }
}

/// Whether a look at the channel is due.
pub(crate) fn check_due(desired: &Desired, observed: &Observed, now: Timestamp) -> bool {
    let channel = &observed.record.channel;
    desired.mode == Mode::Push && channel.id.is_some() && schedule::channel_check(desired, channel, now) <= now
}

/// One channel, as wanted.
fn keep(desired: &Desired, observed: &Observed, now: Timestamp) -> Option<Step> {
    let base = desired.callback_base.as_ref()?;
    let filter = ChannelFilter::from(&desired.filter);
    let configuration = channel::configuration(base, &filter);
    let present = &observed.record.channel;

    let Some(generation) = present.next.filter(|next| *next > present.generation) else {
        let as_wanted = present.id.is_some() && present.configuration.as_ref() == Some(&configuration);
        if !as_wanted || schedule::replacement(desired, present, now).is_some_and(|due| due <= now) {
            // The intent is written down first, so that a crash after the create leaves a channel that we know to look for.
            return Some(record(observed, |record| record.channel.next = Some(present.generation.saturating_add(1))));
        }
        return clear_up(desired, observed);
    };
    let Some(channels) = &observed.channels else { return Some(Step::ListChannels) };
    let callback_url = channel::callback_url(base, &desired.uid, generation);
    let same = |channel: &&RemoteChannel| channel.callback_url == callback_url && channel.filter == filter;
    Some(match channels.iter().filter(same).min_by_key(|channel| &channel.id) {
        Some(found) => record(observed, |record| {
            record.channel = observed.live_channel(found.id.clone(), generation, configuration, now);
        }),
        None => match displaced(desired, observed, channels, generation, now) {
            Some(leaked) => close(leaked),
            None => Step::CreateChannel { callback_url, filter },
        },
    })
}

/// In a full account, one of ours that nobody needs any more: it makes room for the one that is wanted.
fn displaced<'a>(
    desired: &Desired,
    observed: &Observed,
    channels: &'a [RemoteChannel],
    newest: i64,
    now: Timestamp,
) -> Option<&'a RemoteChannel> {
    let ChannelRecord { id, verified, .. } = &observed.record.channel;
    // While the present one has not been reached, the one before it delivers.
    let delivers = id.is_some() && verified.is_none() && !schedule::is_unhealthy(desired, observed, now);
    let full = channels.len() >= MOST_CHANNELS;
    (full && !delivers).then(|| stray(desired, observed, channels, newest)).flatten()
}

/// Closes what came before the present channel, once Cronofy is known to reach that.
fn clear_up(desired: &Desired, observed: &Observed) -> Option<Step> {
    let ChannelRecord { generation, next, verified, .. } = &observed.record.channel;
    verified.as_ref()?;
    match (&observed.channels, next) {
        (None, None) => None,
        (None, Some(_)) => Some(Step::ListChannels),
        // A listing that was made for another reason may show something, too.
        (Some(channels), next) => match stray(desired, observed, channels, *generation) {
            Some(stray) => Some(close(stray)),
            None => next.map(|_| record(observed, |record| record.channel.next = None)),
        },
    }
}

/// No channel at all.
fn leave(desired: &Desired, observed: &Observed) -> Option<Step> {
    let channel = &observed.record.channel;
    if !channel.may_exist() {
        return None;
    }
    if channel.id.is_some() {
        return Some(record(observed, |record| record.channel = record.channel.left()));
    }
    Some(
        close_all(desired, observed)
            .unwrap_or_else(|| record(observed, |record| record.channel = record.channel.closed())),
    )
}

/// Closes what this subscription has at Cronofy; nothing left gives `None`.
pub(crate) fn close_all(desired: &Desired, observed: &Observed) -> Option<Step> {
    let present = &observed.record.channel;
    if !present.may_exist() {
        return None;
    }
    let Some(channels) = &observed.channels else { return Some(Step::ListChannels) };
    let own = |channel: &&RemoteChannel| {
        Some(&channel.id) == present.id.as_ref()
            || channel::generation_of(&channel.callback_url, &desired.uid, present.newest()).is_some()
    };
    channels.iter().find(own).map(close)
}

/// A channel of this subscription, never a stranger's, that is not the present one.
fn stray<'a>(
    desired: &Desired,
    observed: &Observed,
    channels: &'a [RemoteChannel],
    newest: i64,
) -> Option<&'a RemoteChannel> {
    channels.iter().find(|channel| {
        observed.record.channel.id.as_ref() != Some(&channel.id)
            && channel::generation_of(&channel.callback_url, &desired.uid, newest).is_some()
    })
}

fn close(channel: &RemoteChannel) -> Step {
    Step::CloseChannel { id: channel.id.clone() }
}
