//! Bugs that are put between the engine and the world, to see whether they are found. The engine itself knows nothing of them.

use std::fmt;
use std::time::Duration;

use calendar_sync::{Desired, Event, FUTURE_DAYS, Intervals, Mode, Outcome, Purpose, Snapshot, Step, Stored, Window};
use jiff::{SignedDuration, Timestamp};

use crate::world::driver::Pass;
use crate::world::status::Status;
use crate::world::{World, later};

/// A bug as it could be in the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// The new cursor stands where the read began, without an overlap.
    DropOverlap,
    /// What enters the window is never read.
    SkipSweep,
    /// The mark is cleared whatever came in between.
    ClearMarkUnconditionally,
    /// The old channel is closed before Cronofy has reached the new one.
    CloseBeforeVerify,
    /// The cursor is stored before the events are.
    CursorBeforeData,
    /// A read that shows nothing deletes everything.
    DeleteOnEmptyRead,
    /// A read that fails moves the cursor.
    AdvanceCursorOnFailedRead,
    /// A channel is created without a look at those there are.
    CreateWithoutListing,
    /// A mark that came during a read counts as acted on by it.
    ActOnMarkByEarlierRead,
    /// Our own clock decides about the edges.
    PruneByOwnClock,
    /// What changed before a new channel was there is not read.
    NoCatchUpAfterLostChannel,
    /// Nothing is read while push does not work.
    IgnoreFallback,
    /// Nobody looks whether the channel is still there.
    NeverCheckChannel,
    /// Only the first page is taken.
    TakeFirstPageOnly,
    /// Deletions in a delta are skipped.
    IgnoreTombstones,
    /// Everything is read once, and never again.
    IgnoreFullSync,
    /// What is stored is not narrowed.
    KeepVisibility,
    /// The channel stays in poll mode.
    KeepChannelInPollMode,
    /// A failed request is repeated at once.
    RetryAtOnce,
    /// A wait ends before it begins.
    WaitInThePast,
    /// A change of the spec does not ask for a read.
    IgnoreSpecChanges,
    /// A silent channel is never suspected.
    NeverSuspect,
    /// What has left the window stays.
    NeverPrune,
    /// Missing events are deleted whatever the account says.
    TrustBrokenProfiles,
    /// What stands in the store counts as what was written last.
    TrustRestoredStore,
    /// Where the window is narrower than Cronofy's, nothing beyond it is read before it comes in.
    CutReadAhead,
    /// After a failure it is tried again hours later.
    RetryLate,
}

impl Bug {
    /// All of them.
    pub const ALL: [Bug; 27] = [
        Bug::DropOverlap,
        Bug::SkipSweep,
        Bug::ClearMarkUnconditionally,
        Bug::CloseBeforeVerify,
        Bug::CursorBeforeData,
        Bug::DeleteOnEmptyRead,
        Bug::AdvanceCursorOnFailedRead,
        Bug::CreateWithoutListing,
        Bug::ActOnMarkByEarlierRead,
        Bug::PruneByOwnClock,
        Bug::NoCatchUpAfterLostChannel,
        Bug::IgnoreFallback,
        Bug::NeverCheckChannel,
        Bug::TakeFirstPageOnly,
        Bug::IgnoreTombstones,
        Bug::IgnoreFullSync,
        Bug::KeepVisibility,
        Bug::KeepChannelInPollMode,
        Bug::RetryAtOnce,
        Bug::WaitInThePast,
        Bug::IgnoreSpecChanges,
        Bug::NeverSuspect,
        Bug::NeverPrune,
        Bug::TrustBrokenProfiles,
        Bug::TrustRestoredStore,
        Bug::CutReadAhead,
        Bug::RetryLate,
    ];

    /// The word for the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Bug::DropOverlap => "drop-overlap",
            Bug::SkipSweep => "skip-sweep",
            Bug::ClearMarkUnconditionally => "clear-mark-unconditionally",
            Bug::CloseBeforeVerify => "close-before-verify",
            Bug::CursorBeforeData => "cursor-before-data",
            Bug::DeleteOnEmptyRead => "delete-on-empty-read",
            Bug::AdvanceCursorOnFailedRead => "advance-cursor-on-failed-read",
            Bug::CreateWithoutListing => "create-without-listing",
            Bug::ActOnMarkByEarlierRead => "act-on-mark-by-earlier-read",
            Bug::PruneByOwnClock => "prune-by-own-clock",
            Bug::NoCatchUpAfterLostChannel => "no-catch-up-after-lost-channel",
            Bug::IgnoreFallback => "ignore-fallback",
            Bug::NeverCheckChannel => "never-check-channel",
            Bug::TakeFirstPageOnly => "take-first-page-only",
            Bug::IgnoreTombstones => "ignore-tombstones",
            Bug::IgnoreFullSync => "ignore-full-sync",
            Bug::KeepVisibility => "keep-visibility",
            Bug::KeepChannelInPollMode => "keep-channel-in-poll-mode",
            Bug::RetryAtOnce => "retry-at-once",
            Bug::WaitInThePast => "wait-in-the-past",
            Bug::IgnoreSpecChanges => "ignore-spec-changes",
            Bug::NeverSuspect => "never-suspect",
            Bug::NeverPrune => "never-prune",
            Bug::TrustBrokenProfiles => "trust-broken-profiles",
            Bug::TrustRestoredStore => "trust-restored-store",
            Bug::CutReadAhead => "cut-read-ahead",
            Bug::RetryLate => "retry-late",
        }
    }

    /// The bug of that word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|bug| bug.as_str() == word)
    }

    /// What a pass wrongly takes for wanted.
    pub(crate) fn wants(self, desired: Desired) -> Desired {
        /// So many days more than wanted are read with sweeps once a day.
        const AHEAD: i32 = 3;
        let (past, future) = desired.window.days();
        if self != Bug::CutReadAhead || future <= AHEAD || future == FUTURE_DAYS {
            return desired;
        }
        let horizon_sweep = Duration::from_hours(24);
        Desired {
            window: Window::new(past, future - AHEAD),
            intervals: Intervals { horizon_sweep, ..desired.intervals },
            ..desired
        }
    }

    /// What the engine is wrongly told before it is asked.
    pub(crate) fn before(self, pass: &mut Pass, now: Timestamp) {
        let channel = &mut pass.observed.record.channel;
        match self {
            Bug::CloseBeforeVerify if channel.id.is_some() => channel.verified = channel.verified.or(Some(now)),
            Bug::NeverCheckChannel if channel.last_check.is_some() => channel.last_check = Some(now),
            Bug::NeverSuspect => channel.suspect = None,
            Bug::KeepChannelInPollMode if pass.desired.mode == Mode::Poll => {
                (channel.id, channel.next) = (None, None);
            }
            Bug::IgnoreFullSync | Bug::IgnoreSpecChanges | Bug::KeepVisibility => {
                let Stored::Present(snapshot) = &mut pass.observed.stored else { return };
                match self {
                    Bug::IgnoreFullSync => snapshot.last_full_sync = now,
                    Bug::KeepVisibility => snapshot.visibility = snapshot.visibility.min(pass.desired.visibility),
                    _ => snapshot.fingerprint = pass.desired.content_fingerprint(),
                }
            }
            Bug::TrustBrokenProfiles => {
                let profiles = pass.observed.record.account.iter_mut().flat_map(|account| &mut account.profiles);
                profiles.for_each(|profile| (profile.connected, profile.initial_sync_required) = (true, false));
            }
            Bug::RetryAtOnce => {
                if let Some(failures) = &mut pass.observed.record.failures {
                    failures.next_retry = failures.next_retry.map(|_| now);
                }
            }
            _ => {}
        }
    }

    /// The step that is taken instead.
    pub(crate) fn instead_of(self, step: Step, pass: &Pass, now: Timestamp) -> Step {
        match (self, step) {
            (Bug::IgnoreFallback, Step::ReadEvents(request))
                if request.purpose == Purpose::Poll && pass.desired.mode == Mode::Push =>
            {
                let until = Some(later(now, SignedDuration::from_hours(1)));
                Step::Wait { until, why: calendar_sync::Why::FallbackPoll }
            }
            (Bug::RetryLate, Step::Wait { until: Some(_), why: why @ calendar_sync::Why::Retry }) => {
                Step::Wait { until: Some(later(now, SignedDuration::from_hours(5))), why }
            }
            (Bug::WaitInThePast, Step::Wait { until: Some(_), why }) => Step::Wait { until: Some(now), why },
            (Bug::DeleteOnEmptyRead, Step::Commit(snapshot)) => {
                let empty = pass.read.as_ref().is_some_and(|read| {
                    read.request.modified_since.is_none()
                        && read.request.purpose != Purpose::Sweep
                        && read.shown.is_empty()
                });
                let events = if empty { std::collections::BTreeMap::new() } else { snapshot.events.clone() };
                Step::Commit(Box::new(Snapshot { events, ..*snapshot }))
            }
            (Bug::NeverPrune, Step::Commit(mut snapshot)) => {
                let edge = pass.desired.window.near_edge(now, &pass.desired.time_zone);
                let edge = pass.desired.time_zone.start_of(edge);
                if let Stored::Present(before) = &pass.observed.stored {
                    let left = |event: &&Event| event.end.instant(&pass.desired.time_zone) < edge;
                    let kept = before.events.values().filter(left).map(|event| (event.id.clone(), event.clone()));
                    snapshot.events.extend(kept);
                }
                Step::Commit(snapshot)
            }
            (_, step) => step,
        }
    }

    /// What is made of the answer on its way to the engine, and what is done beside it.
    pub(crate) fn answered(self, pass: &mut Pass, step: &Step, outcome: &mut Outcome, world: &mut World) {
        match (self, step, outcome) {
            (Bug::DropOverlap, _, Outcome::Page { server_time, .. }) => {
                *server_time = server_time.map(|time| later(time, SignedDuration::from_mins(2)));
            }
            (Bug::PruneByOwnClock, _, Outcome::Page { server_time, .. }) => *server_time = Some(world.now),
            (Bug::SkipSweep, Step::ReadEvents(request), Outcome::Page { events, more, .. })
                if request.purpose == Purpose::Sweep =>
            {
                events.clear();
                *more = false;
                if let Some(read) = &mut pass.read {
                    read.complete = true;
                }
            }
            (Bug::TakeFirstPageOnly, _, Outcome::Page { more, .. }) => {
                *more = false;
                if let Some(read) = &mut pass.read {
                    read.complete = true;
                }
            }
            (Bug::TrustRestoredStore, Step::Load, Outcome::Loaded { output, .. }) => {
                pass.observed.record.output.clone_from(output);
            }
            (Bug::IgnoreTombstones, _, Outcome::Page { events, .. }) => {
                events.retain(|event| matches!(event, calendar_sync::RemoteEvent::Present(_)));
            }
            (Bug::CreateWithoutListing, Step::ListChannels, Outcome::Channels(channels))
                if pass.observed.record.channel.next.is_some() =>
            {
                channels.clear();
            }
            (Bug::ActOnMarkByEarlierRead, Step::Commit(_), Outcome::Committed { .. })
                if pass.observed.mark.pending() =>
            {
                pass.observed.mark = world.status.mark.clone();
            }
            (Bug::AdvanceCursorOnFailedRead, Step::ReadEvents(_), Outcome::Failed(_)) => {
                let cursor = world.cronofy.clock(world.now);
                world.store.alter(|snapshot| snapshot.cursor = snapshot.cursor.max(cursor));
            }
            (Bug::CursorBeforeData, Step::ReadEvents(_), Outcome::Page { more: false, .. }) => {
                let cursor = world.cronofy.clock(world.now);
                world.store.alter(|snapshot| snapshot.cursor = snapshot.cursor.max(cursor));
            }
            _ => {}
        }
    }

    /// What is wrongly noted of what came of a step.
    pub(crate) fn after(self, pass: &mut Pass, now: Timestamp) {
        let channel = &mut pass.observed.record.channel;
        if self == Bug::NoCatchUpAfterLostChannel && channel.id.is_some() {
            channel.last_check = channel.last_check.or(Some(now));
        }
    }

    /// The sequence that a mark is cleared for.
    pub(crate) fn cleared(self, acted_on: Option<i64>, known: &mut Status, status: &Status) -> Option<i64> {
        if self != Bug::ClearMarkUnconditionally || acted_on.is_none() {
            return acted_on;
        }
        if known.record == status.record {
            *known = status.clone();
        }
        Some(status.mark.sequence)
    }
}

impl fmt::Display for Bug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
