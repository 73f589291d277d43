//! What must be true: of every commit, and of the world at rest. Computed apart from the engine.

use std::collections::{BTreeMap, BTreeSet};

use calendar_sync::{Desired, Event, EventsRequest, Mode, Snapshot, Step, Stop, Visibility, Why};
use jiff::{SignedDuration, ToSpan};

use super::calendar::{Entry, Span, wanted};
use super::cronofy::FRAGILE;
use super::driver::Read;
use super::{World, later};

/// Fails with the text unless it holds.
fn must(holds: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what()) }
}

/// A change before the cursor that is not stored: a delta that begins there would miss it.
pub(super) fn cursor_passes(world: &World, desired: &Desired, read: &Read, snapshot: &Snapshot) -> Option<String> {
    let calendars = &world.cronofy.calendars;
    if !calendars.style.tells_all() || world.cronofy.switches.shifting_pages {
        return None;
    }
    let zone = &desired.time_zone;
    // A sweep shows what is new at the far edge; all before that is still there.
    let near = desired.window.near_edge(world.cronofy.clock(world.now), zone);
    let asked = Span::new((read.request.range.from.min(near), read.request.range.to), zone);
    let edge = later(zone.start_of(near), SignedDuration::from_hours(60));
    for (id, entries) in calendars.by_uid() {
        let changed = entries.iter().map(|entry| entry.modified).max()?;
        let fragile = entries.iter().any(|entry| entry.event.calendar_id == FRAGILE);
        let untold = calendars.is_untold(id) || changed.as_second() >= snapshot.cursor.as_second();
        if untold || (fragile && world.audit.profile_broke) {
            continue;
        }
        let present = entries.iter().find(|entry| {
            let Event { start, end, .. } = entry.event;
            !entry.deleted && wanted(entry, &desired.filter) && asked.holds((start, end), zone)
        });
        let stored = snapshot.events.get(id);
        let same = match (stored, present) {
            (None, None) => true,
            (Some(stored), Some(entry)) => shows(stored, &entry.event, desired.visibility),
            _ => false,
        };
        if same {
            continue;
        }
        let shown = stored.or(present.map(|entry| &entry.event));
        let leaving = shown.is_some_and(|event| event.end.instant(zone) < edge);
        let unseen = stored.is_none() && present.is_some_and(|entry| entered_unseen(desired, snapshot, entry));
        // What a read lacks is kept while a profile is not complete, and until a second one agrees.
        let kept = !snapshot.complete && (present.is_none() || stored.is_none());
        if !unseen && !kept && !leaving {
            let expected = present.map(|entry| visible(&entry.event, desired.visibility));
            return Some(format!("the cursor passes a change of {id}: {stored:?} for {expected:?}"));
        }
    }
    None
}

/// Whether the event is at an edge that Cronofy may count in another zone, or came into the window as time passed, which no
/// delta shows: sweeps are to find it.
fn entered_unseen(desired: &Desired, snapshot: &Snapshot, entry: &Entry) -> bool {
    let zone = &desired.time_zone;
    // Sweeps read the last two days once more.
    entry.event.start.instant(zone) >= zone.start_of(snapshot.swept_through.saturating_add((-2).days()))
}

/// The copy equals the remote calendars within filter, window and visibility, and nothing is left to be done but regular work.
///
/// # Errors
/// What is not so.
pub fn is_copied(world: &World, rest: &Step) -> Result<(), String> {
    must(is_regular(rest), || format!("rests at {rest:?}: {:#?}", world.status))?;
    let desired = &world.wanted;
    let snapshot = world.store.snapshot().ok_or("nothing is stored")?;
    let Some(EventsRequest { range, .. }) = world.audit.latest() else {
        return Err("nothing was read".to_owned());
    };
    let zone = &desired.time_zone;
    let asked = Span::new((range.from, range.to), zone);
    let remote: BTreeMap<&str, &Entry> = world
        .cronofy
        .calendars
        .present()
        .filter(|entry| {
            let Event { start, end, .. } = entry.event;
            wanted(entry, &desired.filter) && asked.holds((start, end), zone)
        })
        .map(|entry| (entry.event.id.as_str(), entry))
        .collect();
    for (id, event) in &snapshot.events {
        let entry = remote.get(id.as_str()).ok_or_else(|| format!("{id} is not there, or not wanted"))?;
        must(shows(event, &entry.event, desired.visibility), || format!("{id} differs: {event:?}"))?;
    }
    for (id, entry) in &remote {
        let copied = snapshot.events.contains_key(*id);
        let unseen = entered_unseen(desired, snapshot, entry);
        must(copied || unseen, || format!("{id} is missing: {entry:?}"))?;
    }
    let record = &world.status.record;
    let output = record.output.as_ref().ok_or("the status tells of no output")?;
    must(output.events == snapshot.events.len(), || format!("{} events are said to be stored", output.events))?;
    let hash = super::store::content_hash(&snapshot.events);
    must(output.content_hash == hash, || "the status tells of another content".to_owned())?;
    must(record.handled_request == desired.request, || format!("{:?} was handled", record.handled_request))?;
    must(record.failures.is_none(), || format!("failures remain: {:?}", record.failures))?;
    has_its_channels(world)
}

/// Whether nothing is left but regular work, later.
#[must_use]
pub fn is_regular(rest: &Step) -> bool {
    match rest {
        Step::Wait { why, .. } => match why {
            Why::FullSync
            | Why::HorizonSweep
            | Why::ChannelCheck
            | Why::ChannelRenewal
            | Why::Verification
            | Why::Poll
            | Why::FallbackPoll => true,
            Why::Confirmation | Why::AccountCheck | Why::Delta | Why::Retry | Why::Suspended => false,
        },
        _ => false,
    }
}

/// One channel in push mode, none in poll mode, and the one that is recorded. Before Cronofy has reached it, the one that it
/// replaces is there, too.
///
/// # Errors
/// What is not so.
pub fn has_its_channels(world: &World) -> Result<(), String> {
    let own: BTreeSet<_> = world.own_channels().into_iter().map(|channel| channel.id).collect();
    let record = &world.status.record.channel;
    let proven = record.verified.is_some() || world.wanted.mode == Mode::Poll;
    must(record.next.is_none() || !proven, || format!("something is left to be closed: {record:?}"))?;
    match world.wanted.mode {
        Mode::Push => {
            let id = record.id.as_ref().ok_or("there is no channel")?;
            must(own.contains(id), || format!("{id} is recorded, live are {own:?}"))?;
            let most = if proven { 1 } else { 2 };
            must(own.len() <= most + world.audit.late_creates, || format!("more than one channel: {own:?}"))
        }
        Mode::Poll => {
            must(record.id.is_none(), || format!("{record:?} in poll mode"))?;
            must(own.len() <= world.audit.late_creates, || format!("channels in poll mode: {own:?}"))
        }
    }
}

/// Nothing of it is left, and nothing is asked for.
///
/// # Errors
/// What is not so.
pub fn is_erased(world: &World, rest: &Step) -> Result<(), String> {
    must(*rest == Step::Stop(Stop::Erased), || format!("rests at {rest:?}"))?;
    must(world.store.is_empty(), || "events are left".to_owned())?;
    must(!world.status.mark.pending(), || "a mark is left".to_owned())?;
    let record = &world.status.record;
    must(record.account.is_none() && record.output.is_none(), || format!("{record:?} is left"))?;
    let closed = world.own_channels().len() <= world.audit.late_creates || world.audit.leaked;
    must(closed, || "a channel is left".to_owned())
}

/// Another pass asks Cronofy for nothing and writes nothing.
///
/// # Errors
/// What is not so.
pub fn is_quiet(world: &World, rest: &Step) -> Result<(), String> {
    let mut again = world.clone();
    let step = again.pass();
    let same = match (&step, rest) {
        // What is read back of the status is in whole seconds.
        (Some(Step::Wait { until: Some(one), why }), Step::Wait { until: Some(other), why: then }) => {
            why == then && one.duration_since(*other).abs() < SignedDuration::from_secs(1)
        }
        (step, rest) => step.as_ref() == Some(rest),
    };
    must(same, || format!("it rested at {rest:?}, and now at {step:?}"))?;
    must(again.cronofy.requests == world.cronofy.requests, || "a request at rest".to_owned())?;
    must(again.status == world.status, || "a write at rest".to_owned())
}

/// Whether what is stored is what the visibility leaves of the event.
fn shows(stored: &Event, event: &Event, visibility: Visibility) -> bool {
    if visibility == Visibility::Full { stored == event } else { *stored == visible(event, visibility) }
}

/// What the visibility leaves of the events of this world, which have a summary and a description.
#[must_use]
pub fn visible(event: &Event, visibility: Visibility) -> Event {
    let mut event = event.clone();
    if visibility != Visibility::Full {
        event.description = None;
    }
    if visibility == Visibility::Busy {
        event.summary = None;
    }
    event
}
