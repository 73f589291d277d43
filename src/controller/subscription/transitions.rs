//! What is worth an Event: a change of state, never a state. Events are best effort; all of it also stands in the conditions.

use k8s_controller::conditions;

use crate::api::{CalendarSubscriptionStatus, condition};
use crate::controller::events::Note;

/// The Events that the way from one status to the next is worth.
pub fn between(before: &CalendarSubscriptionStatus, after: &CalendarSubscriptionStatus) -> Vec<Note> {
    let mut notes = Vec::new();
    let ready = |status: &CalendarSubscriptionStatus| conditions::find(&status.conditions, condition::READY).cloned();
    let channel = |status: &CalendarSubscriptionStatus| status.channel.as_ref().and_then(|channel| channel.id.clone());
    let erased = |status: &CalendarSubscriptionStatus| status.sync.as_ref().and_then(|sync| sync.erased_time);

    if let Some(id) = channel(after)
        && channel(before).as_ref() != Some(&id)
    {
        notes.push(Note::normal("ChannelCreated", "CreateChannel", format!("channel {id} is made")));
    }
    if let (Some(id), None) = (channel(before), channel(after))
        // One that was closed on purpose leaves nothing but its generation.
        && after.channel.as_ref().is_some_and(|channel| channel.created_time.is_some())
        && erased(before).is_none()
    {
        notes.push(Note::warning(
            "ChannelLost",
            "CheckChannel",
            format!("Cronofy has closed channel {id}: a new one is made, and what changed meanwhile is read"),
        ));
    }
    if erased(before).is_none() && erased(after).is_some() {
        notes.push(Note::warning(
            "Erased",
            "Erase",
            "the stored events are erased, as the account's owner demanded".to_owned(),
        ));
        return notes;
    }
    let (was, is) = (ready(before), ready(after));
    let Some(is) = is else { return notes };
    let (was_ready, is_ready) = (was.as_ref().is_some_and(|ready| ready.status == "True"), is.status == "True");
    let same_reason = was.as_ref().is_some_and(|ready| ready.reason == is.reason);
    if is_ready && !was_ready {
        notes.push(Note::normal("Ready", "Synchronize", is.message));
    } else if !is_ready && !same_reason && is_trouble(after) {
        notes.push(Note::warning(&is.reason, "Synchronize", is.message));
    }
    notes
}

/// Whether something went wrong, as opposed to not having happened yet.
fn is_trouble(status: &CalendarSubscriptionStatus) -> bool {
    const TROUBLES: [&str; 4] = ["ProfileDisconnected", "DeletionsHeld", "NotReached", "NotificationsMissing"];
    let found = |kind| conditions::find(&status.conditions, kind);
    status.failure.is_some()
        || found(condition::STALLED).is_some_and(|stalled| stalled.status == "True")
        || found(condition::READY).is_some_and(|ready| TROUBLES.contains(&ready.reason.as_str()))
}
