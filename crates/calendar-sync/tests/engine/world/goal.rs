//! What must be true: of every commit, and of the world at rest. Computed apart from the engine.

use std::collections::{BTreeMap, BTreeSet};

use calendar_sync::{Desired, Event, EventsRequest, Snapshot, Step, Stop, Visibility, Why};
use jiff::{Timestamp, tz};

use super::World;
use super::calendar::{Entry, instant, midnight, wanted, within};
use super::cronofy::FRAGILE;
use super::driver::Read;

/// Everything that changed before the cursor is stored: a delta that begins there misses nothing.
pub fn assert_cursor_passes_nothing(world: &World, desired: &Desired, read: &Read, snapshot: &Snapshot) {
    if !world.cronofy.calendars.style.tells_all() {
        return;
    }
    let range = read.request.range;
    let mut entries: BTreeMap<&str, Vec<&Entry>> = BTreeMap::new();
    for entry in world.cronofy.calendars.entries() {
        entries.entry(&entry.event.id).or_default().push(entry);
    }
    for (id, entries) in entries {
        let changed = entries.iter().map(|entry| entry.modified).max().unwrap();
        let fragile = entries.iter().any(|entry| entry.event.calendar_id == FRAGILE);
        if changed.as_second() >= snapshot.cursor.as_second() || (fragile && world.audit.profile_broke) {
            continue;
        }
        let zone = tz::TimeZone::get(desired.time_zone.name()).unwrap();
        let exists = entries.iter().any(|entry| !entry.deleted);
        let present = entries.into_iter().find(|entry| {
            let Event { start, end, .. } = entry.event;
            !entry.deleted && wanted(entry, &desired.filter) && within(start, end, (range.from, range.to), &zone)
        });
        let expected = present.map(|entry| visible(&entry.event, desired.visibility));
        let stored = snapshot.events.get(id);
        let since = read.request.modified_since;
        let unseen = stored.is_none() && present.is_some_and(|entry| entered_unseen(desired, snapshot, entry, since));
        // While a profile is not complete, what another filter was read with stays until it is.
        let kept = !snapshot.complete && present.is_none() && exists;
        assert!(
            stored == expected.as_ref() || unseen || kept,
            "the cursor passes a change of {id}: {stored:?} for {expected:?}"
        );
    }
}

/// Whether the event came into the window as time passed, which no delta shows: sweeps are to find it. `since` is from when on
/// the last read showed changes.
fn entered_unseen(desired: &Desired, snapshot: &Snapshot, entry: &Entry, since: Option<Timestamp>) -> bool {
    let zone = tz::TimeZone::get(desired.time_zone.name()).unwrap();
    instant(entry.event.start, &zone) >= midnight(snapshot.swept_through, &zone)
        && since.is_some_and(|since| entry.modified.as_second() < since.as_second())
}

/// The copy equals the remote calendars within filter, window and visibility, and all is quiet.
pub fn assert_copied(world: &World, rest: &Step) {
    assert!(matches!(rest, Step::Wait { why: Why::FullSync, .. }), "rests at {rest:?}: {:#?}", world.status);
    let desired = &world.wanted;
    let snapshot = world.store.snapshot().expect("something is stored");
    let EventsRequest { range, modified_since, .. } = world.audit.latest.clone().unwrap();
    let zone = tz::TimeZone::get(desired.time_zone.name()).unwrap();
    let remote: BTreeMap<&str, &Entry> = world
        .cronofy
        .calendars
        .present()
        .filter(|entry| {
            let Event { start, end, .. } = entry.event;
            wanted(entry, &desired.filter) && within(start, end, (range.from, range.to), &zone)
        })
        .map(|entry| (entry.event.id.as_str(), entry))
        .collect();
    for (id, event) in &snapshot.events {
        let entry = remote.get(id.as_str()).unwrap_or_else(|| panic!("{id} is not there, or not wanted"));
        assert_eq!(event, &visible(&entry.event, desired.visibility), "{:?}", entry.event.summary);
        assert!(event.description.is_none() || desired.visibility == Visibility::Full);
    }
    for (id, entry) in &remote {
        let copied = snapshot.events.contains_key(*id);
        assert!(copied || entered_unseen(desired, snapshot, entry, modified_since), "{id} is missing: {entry:?}");
    }
    let output = world.status.record.output.as_ref().expect("the status tells of the output");
    assert_eq!(output.events, snapshot.events.len());
    assert_eq!(output.content_hash, calendar_sync::fingerprint(&snapshot.events));
    assert_eq!(world.status.record.handled_request, desired.request);
    assert_eq!(world.status.record.failures, None);
    assert_one_channel(world);
}

fn assert_one_channel(world: &World) {
    let own: BTreeSet<_> = world.own_channels().into_iter().map(|channel| channel.id).collect();
    let record = &world.status.record.channel;
    let id = record.id.as_ref().expect("there is a channel");
    assert!(own.contains(id), "the recorded channel is live");
    assert!(own.len() <= 1 + world.audit.late_creates, "more than one channel: {own:?}");
    assert_eq!(record.next, None, "nothing is left to be closed");
}

/// Nothing of it is left, and nothing is asked for.
pub fn assert_erased(world: &World, rest: &Step) {
    assert_eq!(*rest, Step::Stop(Stop::Erased));
    assert!(world.store.is_empty(), "the events are gone");
    assert!(!world.status.mark.pending());
    assert_eq!((&world.status.record.account, &world.status.record.output), (&None, &None));
    assert!(world.own_channels().len() <= world.audit.late_creates || world.audit.leaked, "the channel is closed");
}

/// Another pass asks Cronofy for nothing and writes nothing.
pub fn assert_quiet(world: &World, rest: &Step) {
    let mut again = world.clone();
    assert_eq!(again.pass().as_ref(), Some(rest), "it stays at rest");
    assert_eq!(again.cronofy.requests, world.cronofy.requests, "no request at rest");
    assert_eq!(again.status, world.status, "no write at rest");
}

/// What the visibility leaves of the events of this world, which have a summary and a description.
fn visible(event: &Event, visibility: Visibility) -> Event {
    let mut event = event.clone();
    if visibility != Visibility::Full {
        event.description = None;
    }
    if visibility == Visibility::Busy {
        event.summary = None;
    }
    event
}
