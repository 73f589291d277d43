//! The durable status: the engine's record, and the webhook's mark, which is cleared only on condition.

use calendar_sync::{Failure, Failures, Held, Mark, Record, Retry, channel};
use jiff::Timestamp;

use super::cronofy::Notification;

/// What stands in the API server.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    version: u64,
    /// Counts what people edit beside it.
    edits: u64,
    /// The engine's part.
    pub record: Record,
    /// The webhook's part.
    pub mark: Mark,
    /// The refresh token, which stands in a Secret.
    pub grant: u64,
}

/// Somebody has changed more than the mark meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changed;

impl Status {
    /// Writes `record` on condition that only the mark has changed since `known` was read, and clears the mark if its
    /// sequence is `acted_on`. Nothing to write asks nothing. `known` is what stands there then, as far as is known.
    ///
    /// # Errors
    /// If it is not what it was read as.
    pub fn write(&mut self, known: &mut Status, record: &Record, acted_on: Option<i64>) -> Result<(), Changed> {
        let record = durable(record);
        loop {
            let mark = cleared(&known.mark, acted_on);
            if (&record, &mark) == (&known.record, &known.mark) {
                return Ok(());
            }
            if known.version == self.version {
                *self = Status { version: self.version + 1, record, mark, ..self.clone() };
                *known = self.clone();
                return Ok(());
            }
            if known.record != self.record || known.edits != self.edits {
                return Err(Changed);
            }
            *known = self.clone();
        }
    }

    /// Whether there is something to write of what a pass knows.
    #[must_use]
    pub fn differs(&self, record: &Record, acted_on: Option<i64>) -> bool {
        (&durable(record), &cleared(&self.mark, acted_on)) != (&self.record, &self.mark)
    }

    /// Whether it is what `known` was read from.
    #[must_use]
    pub fn is_still(&self, known: &Status) -> bool {
        self.version == known.version
    }

    /// A person edits the object: whoever has read it before decides on what is out of date.
    pub fn edited(&mut self) {
        self.version += 1;
        self.edits += 1;
    }

    /// The webhook's way: marks a notification, if its address and channel are the subscription's. Whether it did.
    pub fn mark(&mut self, notification: &Notification, uid: &str, now: Timestamp) -> bool {
        let present = &self.record.channel;
        let newest = present.next.unwrap_or_default().max(present.generation);
        let made_for = channel::generation_of(&notification.channel.callback_url, uid, newest);
        let ours = match made_for {
            Some(generation) if present.next == Some(generation) => true,
            // The one before is listened to as well, until it is closed.
            Some(generation) if present.generation.checked_sub(1) == Some(generation) => true,
            Some(generation) => {
                present.generation == generation && present.id.as_ref() == Some(&notification.channel.id)
            }
            None => false,
        };
        if !ours {
            return false;
        }
        let idle = Mark { sequence: self.mark.sequence, ..Mark::default() };
        let before = if self.mark.pending() { self.mark.clone() } else { idle };
        let earlier = |one: Option<Timestamp>, other: Option<Timestamp>| one.into_iter().chain(other).min();
        let mut types = before.types;
        types.insert(notification.kind);
        self.mark = Mark {
            sequence: before.sequence + 1,
            received: earlier(before.received, whole_seconds(Some(now))),
            changes_since: earlier(before.changes_since, whole_seconds(notification.changes_since)),
            types,
            generation: before.generation.max(made_for),
        };
        self.version += 1;
        true
    }
}

/// The mark without what was acted on; the sequence stays, so that it only ever grows.
#[must_use]
pub fn cleared(mark: &Mark, acted_on: Option<i64>) -> Mark {
    if acted_on == Some(mark.sequence) { Mark { sequence: mark.sequence, ..Mark::default() } } else { mark.clone() }
}

/// What is read back of a record: times are whole seconds there, and a failure keeps its reason and its next try.
fn durable(record: &Record) -> Record {
    let mut durable = record.clone();
    let channel = &mut durable.channel;
    let times = [
        &mut channel.created,
        &mut channel.verified,
        &mut channel.next_verified,
        &mut channel.last_notification,
        &mut channel.last_check,
        &mut channel.suspect,
        &mut durable.last_full_sync,
        &mut durable.last_change,
        &mut durable.erased,
    ];
    for time in times {
        *time = whole_seconds(*time);
    }
    durable.held =
        record.held.clone().map(|held| Held { time: whole_seconds(Some(held.time)).unwrap_or(held.time), ..held });
    durable.failures = record.failures.as_ref().map(|failures| Failures {
        time: whole_seconds(Some(failures.time)).unwrap_or(failures.time),
        next_retry: failures.next_retry.map(whole_seconds_up),
        last: Failure {
            retry: if failures.next_retry.is_some() { Retry::Backoff } else { Retry::Never },
            ..failures.last.clone()
        },
        ..failures.clone()
    });
    durable
}

fn whole_seconds(time: Option<Timestamp>) -> Option<Timestamp> {
    time.and_then(|time| Timestamp::from_second(time.as_second()).ok())
}

/// A wait must not seem over while it is not.
fn whole_seconds_up(time: Timestamp) -> Timestamp {
    let up = if time.subsec_nanosecond() > 0 { time.as_second() + 1 } else { time.as_second() };
    Timestamp::from_second(up).unwrap_or(time)
}
