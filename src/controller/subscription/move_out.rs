//! Another `spec.account` is other people's calendar. Before anything of it is read, all that is there of the one before goes: the
//! output, the channel, and what the status knows of both.

use std::sync::Arc;

use calendar_sync::{Deletion, Memory, Step};
use jiff::Timestamp;
use kube::runtime::controller::Action;
use kube::{Api, ResourceExt as _};

use super::dereference::Dereferenced;
use super::execute::Driver;
use super::{Error, not_removed, outputs, rest, status, validate};
use crate::api::{CalendarSubscription, CalendarSubscriptionStatus, ChannelStatus};
use crate::controller::context::{Context, Remembered};
use crate::controller::events::Note;
use crate::controller::turns::Turn;
use crate::kubernetes;

/// What has become of the account before.
pub enum Moved {
    /// Nothing of it is left, or there was none.
    Out(Box<CalendarSubscription>),
    /// Its channel cannot be closed yet.
    Waits(Action),
}

/// Ends the copy of the account before, if it is another one.
pub async fn move_out(
    context: &Arc<Context>,
    turn: &Turn,
    api: &Api<CalendarSubscription>,
    object: CalendarSubscription,
    found: &Dereferenced,
) -> Result<Moved, Error> {
    let before = object.status.clone().unwrap_or_default();
    let source = found.grant.source();
    let Some(former) = before.account_source.as_ref().filter(|former| **former != source) else {
        return Ok(Moved::Out(Box::new(object)));
    };
    if let Err(error) = outputs::end(context, &object, false).await {
        return Err(not_removed(api, object, error).await);
    }

    let uid = object.uid().unwrap_or_default();
    let remembered = context.remembered(&uid);
    let mut left_behind = status::record(&before).channel.may_exist();
    if let Some(known) = remembered.found.clone().filter(|known| left_behind && known.grant.source() == *former) {
        let deletion = Deletion { since: Timestamp::now(), retain: true, abandon_channel: false };
        let desired = validate::farewell(&object, context.options.callback_base.as_deref(), deletion);
        if let Ok(driver) = Driver::new(context, turn, api, &known, &desired, object.clone()) {
            let asked = remembered.asked.clone().unwrap_or_default();
            let (step, observed) = Box::pin(driver.run(&remembered, &asked)).await?;
            if step != Step::Finish {
                return Ok(Moved::Waits(rest(context, &uid, &step, observed.memory, None)));
            }
            left_behind = observed.leaked;
        }
    }
    if left_behind {
        let text = "the channel of the account before could not be closed and is left behind: Cronofy closes it once its \
                    deliveries have failed for a day";
        context.events.publish(&object, vec![Note::warning("ChannelLeaked", "CloseChannel", text)]).await;
    }
    let object = kubernetes::call(api.get(&object.name_any())).await?;
    let (object, _) = status::write(api, object, None, |before| moved(before, &source)).await?;
    context.remember(&uid, |remembered| {
        *remembered =
            Remembered { memory: Memory::default(), looks: remembered.looks.clone(), ..Remembered::default() };
    });
    Ok(Moved::Out(Box::new(object)))
}

/// The status of a subscription that has nothing yet. Channels are counted on, so that no callback URL comes twice, and so are
/// marks.
fn moved(before: &CalendarSubscriptionStatus, source: &str) -> CalendarSubscriptionStatus {
    let channel = before.channel.as_ref().map(|channel| ChannelStatus {
        generation: channel.generation.max(channel.next.as_ref().map(|next| next.generation)),
        ..ChannelStatus::default()
    });
    CalendarSubscriptionStatus {
        account_source: Some(source.to_owned()),
        observed_generation: before.observed_generation,
        conditions: before.conditions.clone(),
        notification: before.notification.clone(),
        channel,
        ..CalendarSubscriptionStatus::default()
    }
}
