//! What of the remote calendar is not in the copy yet, since when and why, and how long it may stay so.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use calendar_sync::{CONFIRM_AFTER, Desired, Event, Mode, Snapshot, Visibility};
use jiff::{SignedDuration, Timestamp, ToSpan};

use crate::world::calendar::{Calendars, Entry, InOrder, Span, wanted};
use crate::world::later;

/// Steps of a pass take time, and passes follow each other.
const WORK: SignedDuration = SignedDuration::from_mins(3);

/// The longest that a read takes, or rests in a process that is stopped for a while.
const READ: SignedDuration = SignedDuration::from_mins(15);

/// Why a change is not in the copy at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Loss {
    /// Nothing is lost: a notification arrived.
    Announced,
    /// The notification is lost.
    Lost,
    /// Cronofy closed the channel.
    Closed,
    /// Push is known not to work.
    Fallback,
    /// The change was shown only after its notification.
    ShownLate,
    /// The application made the change itself.
    OwnWrite,
    /// Nobody announces anything in poll mode.
    Polled,
    /// An event came into the window.
    Entered,
    /// An event came into a window that is narrower than Cronofy's: it was to be in the copy before.
    ReadAhead,
    /// An event vanished without a trace, or was passed over while pages shifted.
    Untold,
    /// A person changed the spec.
    Edited,
    /// Somebody spoiled the output.
    Spoiled,
    /// The store was restored from a copy.
    Restored,
    /// Cronofy, the operator or the profile was away, or a person had to act: counted from when that was over.
    Away,
    /// Our clock had jumped.
    Jumped,
}

impl Loss {
    /// All of them.
    pub const ALL: [Loss; 15] = [
        Loss::Announced,
        Loss::Lost,
        Loss::Closed,
        Loss::Fallback,
        Loss::ShownLate,
        Loss::OwnWrite,
        Loss::Polled,
        Loss::Entered,
        Loss::ReadAhead,
        Loss::Untold,
        Loss::Edited,
        Loss::Spoiled,
        Loss::Restored,
        Loss::Away,
        Loss::Jumped,
    ];

    /// What happened, for the table.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Loss::Announced => "nothing: the notification arrived",
            Loss::Lost => "a notification was lost, or the channel silent",
            Loss::Closed => "Cronofy closed the channel in silence",
            Loss::Fallback => "push was known not to work",
            Loss::ShownLate => "shown only after its notification",
            Loss::OwnWrite => "changed by the application itself",
            Loss::Polled => "mode Poll",
            Loss::Entered => "came into the window",
            Loss::ReadAhead => "came into a window narrower than Cronofy's",
            Loss::Untold => "vanished without a trace, or passed over by shifting pages",
            Loss::Edited => "the spec was changed",
            Loss::Spoiled => "the output was spoiled",
            Loss::Restored => "the store was restored from a copy",
            Loss::Away => "after Cronofy, operator, profile or person was away",
            Loss::Jumped => "later than that since our clock was wrong",
        }
    }

    /// The field that bounds it, for the table.
    #[must_use]
    pub fn field(self) -> &'static str {
        match self {
            Loss::Announced | Loss::ReadAhead | Loss::Edited | Loss::Spoiled | Loss::Restored => "a few reads",
            Loss::Lost | Loss::Closed | Loss::ShownLate | Loss::OwnWrite => "channelCheck",
            Loss::Fallback => "2 min and fallbackPoll",
            Loss::Polled => "poll",
            Loss::Entered => "horizonSweep and a day",
            Loss::Untold => "fullSync",
            Loss::Away => "an hour and a tenth",
            Loss::Jumped => "what the clock was wrong by",
        }
    }

    /// How long it may last.
    #[must_use]
    pub fn bound(self, desired: &Desired) -> SignedDuration {
        let intervals = desired.intervals;
        let span = |span: Duration| SignedDuration::try_from(span).unwrap_or(SignedDuration::MAX);
        let found = match desired.mode {
            Mode::Push => span(intervals.channel_check),
            Mode::Poll => span(intervals.poll),
        };
        let bound = match self {
            Loss::Announced | Loss::ReadAhead | Loss::Edited | Loss::Spoiled | Loss::Restored => SignedDuration::ZERO,
            Loss::Lost | Loss::Closed | Loss::ShownLate | Loss::OwnWrite => found,
            Loss::Fallback => span(intervals.fallback_poll) + SignedDuration::from_mins(2),
            Loss::Polled => span(intervals.poll),
            Loss::Entered => sweep(desired),
            // Many at once are looked for a second time.
            Loss::Untold => span(intervals.full_sync) + SignedDuration::from_mins(11),
            Loss::Away => SignedDuration::from_mins(66),
            Loss::Jumped => MOST_JUMP,
        };
        bound + WORK
    }
}

/// From one sweep to the end of the next.
fn sweep(desired: &Desired) -> SignedDuration {
    let day = SignedDuration::from_hours(24);
    let interval = SignedDuration::try_from(desired.intervals.horizon_sweep).unwrap_or(SignedDuration::MAX);
    SignedDuration::from_hours(sweep_days(desired) * 24) + interval.min(day) + SignedDuration::from_mins(3)
}

/// Whole days from one sweep to the next.
fn sweep_days(desired: &Desired) -> i64 {
    i64::try_from(desired.intervals.horizon_sweep.as_secs() / (24 * 60 * 60)).unwrap_or(i64::MAX).max(1)
}

/// Whether the window ends so long before Cronofy's that nothing enters it unread.
#[must_use]
pub fn reads_ahead(desired: &Desired) -> bool {
    let (_, future) = desired.window.days();
    i64::from(future) + sweep_days(desired) + 3 <= i64::from(calendar_sync::FUTURE_DAYS)
}

/// One event that is not in the copy as it should be.
#[derive(Clone, Debug)]
pub struct Pending {
    /// Since when.
    pub since: Timestamp,
    /// Why.
    pub loss: Loss,
    /// Until when it must be.
    pub deadline: Timestamp,
}

/// Until when something must be in the copy.
struct Dues {
    /// By its own reason, and our clock.
    own: Timestamp,
    /// Because of what kept it back, since when, if anything did.
    excused: Option<(Timestamp, Timestamp)>,
}

/// How far the copy is from the calendar.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    pending: BTreeMap<String, Pending>,
    /// What became of the last change of each.
    causes: BTreeMap<String, (Loss, Timestamp)>,
    /// The last moment at which something outside kept all from being done: after that it is tried again.
    pub over: Option<Timestamp>,
    /// When a process began last.
    pub started: Option<Timestamp>,
    /// When deletions began last to be held back until a second look.
    pub held: Option<Timestamp>,
    /// The last moment at which a read may have passed over what no delta tells afterwards.
    pub passed_over: Option<Timestamp>,
    /// Until when a profile was not complete, so that absence told nothing.
    pub unsure: Option<Timestamp>,
    /// When our clock jumped last.
    pub jumped: Option<Timestamp>,
    /// The longest of each kind, and its bound.
    pub slowest: BTreeMap<Loss, Repair>,
}

/// A change that reached the copy.
#[derive(Clone, Copy, Debug)]
pub struct Repair {
    /// How many there were.
    pub count: u64,
    /// How long the slowest took, for its bound.
    pub took: SignedDuration,
    /// Its bound.
    pub bound: SignedDuration,
}

impl Repair {
    /// Takes another one in.
    pub fn join(&mut self, other: Repair) {
        let share = |repair: &Repair| repair.took.as_secs_f64() / repair.bound.as_secs_f64().max(1.0);
        let count = self.count + other.count;
        if share(&other) > share(self) {
            *self = other;
        }
        self.count = count;
    }
}

/// What the copy is compared with, at one moment.
pub struct Goal<'a> {
    /// The spec.
    pub desired: &'a Desired,
    /// The remote calendars.
    pub calendars: &'a Calendars,
    /// Cronofy's clock.
    pub time: Timestamp,
}

impl Goal<'_> {
    /// What must be there, and what may be.
    fn ranges(&self) -> (Span, Span) {
        let zone = &self.desired.time_zone;
        let (local, utc) = (zone.date(self.time), calendar_sync::TimeZone::utc().date(self.time));
        let (past, future) = self.desired.window.days();
        let near = local.saturating_add((-past).days()).max(utc.saturating_add((-calendar_sync::PAST_DAYS).days()));
        let far = local.min(utc).saturating_add(future.days());
        let farthest = local.max(utc).saturating_add((calendar_sync::FUTURE_DAYS + 1).days());
        // In which zone Cronofy counts its own edge is not known.
        let (utc, farther) = (calendar_sync::TimeZone::utc(), utc.saturating_add(calendar_sync::FUTURE_DAYS.days()));
        let must = Span::new((near, far), zone).from_later(utc.start_of(near)).to_earlier(utc.start_of(farther));
        (must, Span::new((near, farthest), zone))
    }

    fn differs(&self, stored: Option<&Event>, entry: Option<&Entry>, (must, may): (Span, Span)) -> bool {
        let zone = &self.desired.time_zone;
        let Some(entry) = entry else {
            return stored.is_some_and(|stored| !must.is_left_soon(stored.end, zone));
        };
        let times = (entry.event.start, entry.event.end);
        match stored {
            None => must.holds(times, zone),
            // Cronofy may show nothing any more of what is about to leave the window.
            Some(stored) if must.is_left_soon(stored.end, zone) && !must.holds(times, zone) => false,
            Some(stored) => !may.holds(times, zone) || !is_copy(stored, &entry.event, self.desired.visibility),
        }
    }

    fn stored<'c>(copy: Option<&'c Snapshot>, uid: &str) -> Option<&'c Event> {
        copy.and_then(|copy| copy.events.get(uid))
    }

    /// Whether the copy has nothing of the event, or an earlier state of it that is about to leave the window: of that Cronofy
    /// may show nothing any more, not even that it is over.
    fn lacks(&self, copy: Option<&Snapshot>, uid: &str) -> bool {
        let (zone, (must, _)) = (&self.desired.time_zone, self.ranges());
        Self::stored(copy, uid).is_none_or(|stored| {
            let moved = self.entry(uid).is_some_and(|entry| entry.event.end != stored.end);
            moved && must.is_left_soon(stored.end, zone)
        })
    }

    /// Whether a delta shows nothing any more of its last change.
    fn is_untold(&self, copy: Option<&Snapshot>, uid: &str) -> bool {
        let changed = self.calendars.of(uid).iter().map(|entry| entry.modified).max();
        !self.calendars.style.tells_all() && changed.is_some_and(|changed| !self.is_shown(copy, uid, changed))
    }

    /// Whether a delta shows something of what changed then.
    #[must_use]
    pub fn is_shown(&self, copy: Option<&Snapshot>, uid: &str, modified: Timestamp) -> bool {
        let (zone, (must, _)) = (&self.desired.time_zone, self.ranges());
        // Deltas go no further than what was read before.
        let must = copy.map_or(must, |copy| must.to_earlier(zone.start_of(copy.swept_through)));
        let shown = |entry: &Entry| {
            entry.modified == modified && wanted(entry, &self.desired.filter) && entry.touches(&must, zone)
        };
        self.calendars.of(uid).iter().any(shown)
    }

    fn entry(&self, uid: &str) -> Option<&Entry> {
        self.present(self.calendars.of(uid))
    }

    fn present<'e>(&self, entries: &'e [Entry]) -> Option<&'e Entry> {
        entries.iter().find(|entry| !entry.deleted && wanted(entry, &self.desired.filter))
    }

    /// When a sweep has read the event, at the latest.
    fn swept(&self, uid: &str) -> Option<Timestamp> {
        let (zone, utc) = (&self.desired.time_zone, calendar_sync::TimeZone::utc());
        let start = self.entry(uid)?.event.start.instant(zone);
        let enters = |zone: &calendar_sync::TimeZone| {
            zone.start_of(zone.date(start).saturating_add((1 - calendar_sync::FUTURE_DAYS).days()))
        };
        let enters = enters(zone).max(enters(&utc));
        Some(later(enters, Loss::Entered.bound(self.desired)))
    }
}

/// Whether what is stored is the event, as far as it may be shown.
fn is_copy(stored: &Event, event: &Event, visibility: Visibility) -> bool {
    let (titles, full) = (visibility != Visibility::Busy, visibility == Visibility::Full);
    (&stored.id, &stored.calendar_id, stored.start, stored.end)
        == (&event.id, &event.calendar_id, event.start, event.end)
        && stored.summary.as_ref() == event.summary.as_ref().filter(|_| titles)
        && stored.description.as_ref() == event.description.as_ref().filter(|_| full)
}

/// The most that lies between two wrong clocks which are not found out: one two days ahead, and then one two days behind.
const MOST_JUMP: SignedDuration = SignedDuration::from_hours(96);

impl Ledger {
    /// Looks at these events, and notes which differ, since now and for that reason; what differs no more has arrived.
    ///
    /// # Errors
    /// If something differs that may not.
    pub fn look<'a>(
        &mut self,
        goal: &Goal<'_>,
        copy: Option<&Snapshot>,
        uids: impl Iterator<Item = &'a String>,
        loss: Option<Loss>,
    ) -> Result<(), String> {
        let ranges = goal.ranges();
        let mut uids = uids.peekable();
        let first = uids.peek().map_or("", |uid| uid.as_str());
        let mut stored = copy.map(|copy| InOrder::from(&copy.events, first));
        let mut entries = goal.calendars.in_order(first);
        let (different, alike): (Vec<_>, Vec<_>) = uids.partition(|uid| {
            let entry = entries.next(uid).and_then(|entries| goal.present(entries));
            goal.differs(stored.as_mut().and_then(|stored| stored.next(uid)), entry, ranges)
        });
        for uid in alike {
            if let Some(pending) = self.pending.remove(uid) {
                self.arrived(goal, &pending).map_err(|late| format!("{uid} came late: {late}"))?;
            }
        }
        for uid in different {
            let lacks = goal.lacks(copy, uid);
            // What lies beyond what has been read so far comes with a sweep.
            let swept = goal.swept(uid).filter(|_| lacks);
            if let Some(pending) = self.pending.get_mut(uid) {
                if let Some(swept) = swept.filter(|swept| *swept > pending.deadline) {
                    (pending.loss, pending.deadline) = (Loss::Entered, swept);
                } else if pending.loss != Loss::Untold && goal.is_untold(copy, uid) {
                    // It has left the window since, without a trace of what it was before.
                    let untold = later(pending.since, Loss::Untold.bound(goal.desired));
                    (pending.loss, pending.deadline) = (Loss::Untold, pending.deadline.max(untold));
                }
                continue;
            }
            // A read that began before the change may be stored after it.
            let crossed = |changed: Timestamp| goal.time.duration_since(changed) < READ;
            let caused = self.causes.get(uid).filter(|(_, changed)| crossed(*changed)).map(|(loss, _)| *loss);
            let Some(loss) = loss.or(caused) else {
                let is = copy.and_then(|copy| copy.events.get(uid));
                let there = goal.entry(uid);
                return Err(format!("{uid} was as it should be, and is not after a commit: {is:?} for {there:?}"));
            };
            let (loss, since) = match loss {
                Loss::ReadAhead => self.why_unread(goal, uid),
                loss => (loss, goal.time),
            };
            let own = later(since, loss.bound(goal.desired));
            let (loss, deadline) =
                swept.filter(|swept| *swept > own).map_or((loss, own), |swept| (Loss::Entered, swept));
            self.pending.insert(uid.clone(), Pending { since, loss, deadline });
        }
        Ok(())
    }

    /// Why something comes into a window unread although it was to be read before, and since when: it changed late, and nobody
    /// has told of that yet, or reads passed it over.
    fn why_unread(&self, goal: &Goal<'_>, uid: &str) -> (Loss, Timestamp) {
        let bound = |loss: Loss| loss.bound(goal.desired);
        // A notification may have been lost after all.
        let lost = Loss::Lost;
        let cause = self
            .causes
            .get(uid)
            .map(|(cause, changed)| (if bound(*cause) > bound(lost) { *cause } else { lost }, *changed));
        let passed_over = self.passed_over.map(|time| (Loss::Untold, time));
        let mut reasons = cause.into_iter().chain(passed_over);
        reasons.find(|(loss, since)| later(*since, bound(*loss)) > goal.time).unwrap_or((Loss::ReadAhead, goal.time))
    }

    /// Notes what has arrived.
    ///
    /// # Errors
    /// If that is later than it may be.
    fn arrived(&mut self, goal: &Goal<'_>, pending: &Pending) -> Result<(), String> {
        let Dues { own, excused } = self.dues(goal.desired, pending);
        let (loss, since, due) = match excused {
            _ if goal.time <= pending.deadline => (pending.loss, pending.since, pending.deadline),
            Some((since, due)) if goal.time <= due || own <= due => (Loss::Away, since, due),
            _ => (Loss::Jumped, pending.since, own),
        };
        // While nothing was known of it, it could not be late.
        let unknown = self.unsure.is_some_and(|unsure| unsure >= pending.since);
        if goal.time > due && unknown {
            return Ok(());
        }
        if goal.time > due {
            return Err(format!("{pending:?}, {loss:?} since {since}, was due by {due}"));
        }
        let bound = if loss == Loss::Away { loss.bound(goal.desired) } else { due.duration_since(since) };
        let repair = Repair { count: 1, took: goal.time.duration_since(since), bound };
        self.slowest.entry(loss).and_modify(|slowest| slowest.join(repair)).or_insert(repair);
        Ok(())
    }

    /// The reason of what is pending for `from` is another one now.
    pub fn relabel(&mut self, desired: &Desired, from: &[Loss], to: Loss) {
        for pending in self.pending.values_mut().filter(|pending| from.contains(&pending.loss)) {
            pending.loss = to;
            pending.deadline = pending.deadline.max(later(pending.since, to.bound(desired)));
        }
    }

    /// Notes what becomes of a change that is made now.
    pub fn caused(&mut self, uids: impl Iterator<Item = String>, now: Timestamp, loss: Loss) {
        self.causes.extend(uids.map(|uid| (uid, (loss, now))));
    }

    /// What is pending of it is about something else now, unless that is as untold as it was before.
    pub fn forget_others(&mut self, uid: &str, loss: Loss) {
        if loss != Loss::Untold || self.pending.get(uid).is_some_and(|pending| pending.loss != loss) {
            self.pending.remove(uid);
        }
    }

    /// What is pending of these is about something else now.
    pub fn forget(&mut self, uids: impl Iterator<Item = String>) {
        for uid in uids {
            self.pending.remove(&uid);
        }
    }

    /// The spec has changed: what is pending counts anew.
    pub fn restart(&mut self, desired: &Desired, now: Timestamp) {
        for pending in self.pending.values_mut() {
            let deadline = later(now, pending.loss.bound(desired));
            if deadline > pending.deadline {
                (pending.since, pending.deadline) = (now, deadline);
            }
        }
    }

    /// Until when it must be in the copy, all things considered.
    fn due(&self, desired: &Desired, pending: &Pending) -> Timestamp {
        let Dues { own, excused } = self.dues(desired, pending);
        excused.map_or(own, |(_, due)| due.max(own))
    }

    fn dues(&self, desired: &Desired, pending: &Pending) -> Dues {
        let again = if pending.loss == Loss::Untold { SignedDuration::from_mins(11) } else { SignedDuration::ZERO };
        let by_absence = matches!(pending.loss, Loss::Untold | Loss::Edited | Loss::Spoiled);
        let work = WORK + SignedDuration::from_mins(2);
        // A time that was noted by a clock that was an hour ahead is believed.
        let tolerance = SignedDuration::from_mins(70);
        let regular = pending.loss.bound(desired) + tolerance;
        let away = Loss::Away.bound(desired);
        let jumped = |by: Timestamp, span: SignedDuration| self.jumped.is_some_and(|it| by.duration_since(it) < span);
        // A process that starts knows nothing of how wrong the clock is, or was when it was last told that something is done.
        // And what is due in days is not looked at sooner because the clock is known to be behind.
        let started = self.over.max(self.started);
        let started = started.is_some_and(|it| pending.deadline.duration_since(it) < regular + MOST_JUMP);
        let waits = if jumped(pending.deadline, regular + MOST_JUMP) && (started || pending.loss == Loss::Untold) {
            tolerance + MOST_JUMP
        } else if jumped(pending.deadline, regular) {
            tolerance
        } else {
            SignedDuration::ZERO
        };
        // After whatever kept all from being done, it is tried again within an hour.
        let retried = self.over.map(|over| {
            let waits = if jumped(over, away + tolerance) { tolerance } else { SignedDuration::ZERO };
            (over, later(over, away + waits))
        });
        let whole = self.unsure.filter(|_| by_absence).map(|unsure| (unsure, later(unsure, work + again)));
        // A second look decides, where the first one was in time.
        let in_time = retried.map_or(pending.deadline, |(_, due)| due.max(pending.deadline));
        let seen_twice = self.held.filter(|held| *held <= in_time).map(|held| {
            let confirmed = SignedDuration::try_from(CONFIRM_AFTER).unwrap_or(SignedDuration::MAX);
            let waits = if jumped(held, away + tolerance) { tolerance } else { SignedDuration::ZERO };
            (held, later(held, confirmed + work + waits))
        });
        let excused = [retried, whole, seen_twice].into_iter().flatten().max_by_key(|(_, due)| *due);
        Dues { own: later(pending.deadline, waits), excused }
    }

    /// What should have arrived by now, of what can be known.
    #[must_use]
    pub fn overdue(
        &self,
        desired: &Desired,
        now: Timestamp,
        unknown: &BTreeSet<String>,
    ) -> Option<(&String, &Pending)> {
        // Nothing is due before its deadline.
        let late = self.pending.iter().filter(|(_, pending)| pending.deadline < now);
        let mut known = late.filter(|(uid, _)| !unknown.contains(*uid));
        known.find(|(_, pending)| self.due(desired, pending) < now)
    }

    /// How much has not arrived for that reason.
    #[must_use]
    pub fn count(&self, loss: Loss) -> usize {
        self.pending.values().filter(|pending| pending.loss == loss).count()
    }

    /// Whether the event is not in the copy as it should be.
    #[must_use]
    pub fn is_pending(&self, uid: &str) -> bool {
        self.pending.contains_key(uid)
    }

    /// Whether all has arrived.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// What has not arrived.
    pub fn pending(&self) -> impl Iterator<Item = (&String, &Pending)> {
        self.pending.iter()
    }
}
