//! A small world around the engine, in virtual time. Whatever may last is judged where it happens, by the world.
//!
//! - [`calendar`]: the remote calendars and what a read shows of them.
//! - [`cronofy`]: tokens, channels, pages and notifications on top of that.
//! - [`status`] and [`store`]: what is durable, with its conditions on writes.
//! - [`driver`]: performs the engine's steps over all of this, as the operator does; there may be several.
//! - [`faults`]: what can go wrong with a step.
//! - [`goal`]: what must be true of every commit, and of the world at rest.
//! - [`journal`]: what the drivers did.

pub mod calendar;
pub mod cronofy;
pub mod driver;
pub mod faults;
pub mod goal;
pub mod journal;
pub mod status;
pub mod store;

use std::collections::BTreeSet;
use std::fmt;

use calendar_sync::{
    Deletion, Desired, EventsRequest, LONGEST_DELETION, MOST_CHANNELS, Mark, Mode, NotificationType, Record,
    RemoteChannel, Snapshot, Step, Why, channel,
};
use jiff::{SignedDuration, Timestamp};

use self::calendar::{Calendars, Style};
use self::cronofy::{Cronofy, Fragile, Notification, Switches};
use self::driver::{Driver, Pass, Progress, Read};
use self::faults::Fault;
use self::journal::Journal;
use self::status::{Changed, Status};
use self::store::Store;
use crate::plant::Bug;

/// Steps that a driver may take while nothing happens around it.
const MOST_STEPS: usize = 200;
/// Passes after which a world without faults must be at rest.
const MOST_PASSES: usize = 200;

/// One subscription and all that is around it.
#[derive(Clone, Debug)]
pub struct World {
    /// Our clock.
    pub now: Timestamp,
    /// The spec.
    pub wanted: Desired,
    /// The service.
    pub cronofy: Cronofy,
    /// The output.
    pub store: Store,
    /// The status.
    pub status: Status,
    /// The processes.
    pub drivers: [Driver; 2],
    /// What is remembered to judge by.
    pub audit: Audit,
    /// What the drivers did.
    pub journal: Journal,
    /// A bug that is put between engine and world, to see whether it is found.
    pub bug: Option<Bug>,
    /// The object is gone.
    pub gone: bool,
}

/// What is remembered to judge by.
#[derive(Clone, Debug, Default)]
pub struct Audit {
    /// The first thing that must not be and was.
    violation: Option<String>,
    ticks: u64,
    steps: usize,
    /// The cursor of the last commit: whoever reads the store in between sees no other.
    cursor: Option<Timestamp>,
    /// The generations of channels that a delivery came through.
    heard: BTreeSet<i64>,
    /// When the mark was last written.
    marked: u64,
    /// When the latest read began that is stored, and the latest of everything.
    read: u64,
    read_in_full: u64,
    /// The latest request whose answer is stored.
    latest: Option<EventsRequest>,
    /// When a channel was created last, and by which driver.
    created: (u64, usize),
    /// Channels that were created by a driver which had been overtaken by another, or beside one that the listing did not show
    /// yet. Nobody may know of them: nothing but a
    /// listing some time later shows them, and once one that did was acted on, they are gone.
    pub late_creates: usize,
    /// When channels were last listed with none of those left out that there are.
    listed_all: u64,
    /// A profile was not complete at some time.
    pub profile_broke: bool,
    /// A demand for erasure was marked.
    pub erasure_demanded: bool,
    /// It was said that a channel is left behind.
    pub leaked: bool,
}

impl Audit {
    /// A moment in the order of things.
    #[must_use = "it is what tells one moment from another"]
    pub fn tick(&mut self) -> u64 {
        self.ticks += 1;
        self.ticks
    }

    /// Whether something that began then began after the mark was written.
    #[must_use]
    pub fn is_after_mark(&self, began: u64) -> bool {
        began > self.marked
    }

    /// Whether something that happened then came after the last channel was created.
    #[must_use]
    pub fn is_after_creates(&self, then: u64) -> bool {
        then > self.created.0
    }

    /// Whether a delivery came through a channel of that generation.
    #[must_use]
    pub fn has_heard(&self, generation: i64) -> bool {
        self.heard.contains(&generation)
    }

    /// The latest request whose answer is stored.
    #[must_use]
    pub fn latest(&self) -> Option<&EventsRequest> {
        self.latest.as_ref()
    }
}

impl World {
    /// A world in which nothing has been done yet.
    #[must_use]
    pub fn new(now: Timestamp, wanted: Desired, switches: Switches, style: Style) -> Self {
        let calendars = Calendars::new(style);
        Self {
            now,
            wanted,
            cronofy: Cronofy::new(switches, calendars),
            store: Store::default(),
            status: Status::default(),
            drivers: [Driver::new(0), Driver::new(1)],
            audit: Audit::default(),
            journal: Journal::default(),
            bug: None,
            gone: false,
        }
    }

    /// Notes what must not be, if it is.
    pub fn must(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds && self.audit.violation.is_none() {
            self.audit.violation = Some(what());
        }
    }

    /// What must not be and was.
    #[must_use]
    pub fn violation(&self) -> Option<&str> {
        self.audit.violation.as_deref()
    }

    /// What the operator takes from the spec: a deletion forgets the rest of it.
    #[must_use]
    pub fn desired(&self) -> Desired {
        match self.wanted.deletion {
            None => self.wanted.clone(),
            Some(_) => Desired {
                filter: calendar_sync::Filter::default(),
                request: None,
                inputs: String::new(),
                suspended: false,
                ..self.wanted.clone()
            },
        }
    }

    /// One step of one driver, which a fault may strike whatever it is.
    pub fn step(&mut self, driver: usize, fault: Option<Fault>) -> Progress {
        self.step_struck(driver, &mut |_, _| fault)
    }

    /// One step of one driver, with what strikes that step of its pass.
    pub fn step_struck(&mut self, driver: usize, strikes: &mut dyn FnMut(&Step, &Pass) -> Option<Fault>) -> Progress {
        if self.gone {
            return Progress::Failed;
        }
        let Some(place) = self.drivers.get_mut(driver) else { return Progress::Failed };
        let mut taken = std::mem::take(place);
        let progress = taken.step(self, strikes);
        if let Some(place) = self.drivers.get_mut(driver) {
            *place = taken;
        }
        progress
    }

    /// Something happened outside, so that there may be something to do.
    pub fn happened(&mut self) {
        self.audit.steps = 0;
    }

    /// Time passes.
    pub fn pass_time(&mut self, span: SignedDuration) {
        self.now = later(self.now, span);
        self.happened();
    }

    /// The store is restored from a copy, and somebody looks.
    pub fn restore(&mut self, copy: Snapshot) {
        self.audit.cursor = Some(copy.cursor);
        self.store.restore(copy);
        self.status.edited();
    }

    /// Somebody changes the spec or a Secret.
    pub fn want(&mut self, change: impl FnOnce(&mut Desired)) {
        change(&mut self.wanted);
        self.wanted.inputs.push('.');
        self.status.edited();
        self.happened();
    }

    /// Somebody deletes the subscription.
    pub fn delete(&mut self, retain: bool, abandon_channel: bool) {
        let since = self.wanted.deletion.map_or(self.now, |deletion| deletion.since);
        self.wanted.deletion = Some(Deletion { since, retain, abandon_channel });
        self.status.edited();
        self.happened();
    }

    /// Delivers a notification. Whether it was marked.
    pub fn deliver(&mut self, notification: &Notification) -> bool {
        let marked = !self.gone && self.status.mark(notification, &self.wanted.uid, self.now);
        if marked {
            self.audit.marked = self.audit.tick();
            let generation = self.generation_of(&notification.channel);
            self.audit.heard.extend(generation);
            self.audit.erasure_demanded |= notification.kind == NotificationType::GdprRequested;
            self.happened();
        }
        marked
    }

    /// Delivers a notification over the channel there is.
    pub fn notify(&mut self, kind: NotificationType) -> bool {
        let changes_since = (kind == NotificationType::Change).then_some(self.cronofy.clock(self.now));
        let channels = self.own_channels();
        channels.into_iter().any(|channel| self.deliver(&Notification { channel, kind, changes_since }))
    }

    /// The live channels of the subscription.
    #[must_use]
    pub fn own_channels(&self) -> Vec<RemoteChannel> {
        let ours = |channel: &&RemoteChannel| self.generation_of(channel).is_some();
        self.cronofy.channels.iter().filter(ours).cloned().collect()
    }

    fn generation_of(&self, channel: &RemoteChannel) -> Option<i64> {
        channel::generation_of(&channel.callback_url, &self.wanted.uid, self.newest())
    }

    /// Lets the first driver work and time pass until nothing but regular work, or a person, is waited for.
    ///
    /// # Errors
    /// If it does not come to rest, or something is as it must not be.
    pub fn settle(&mut self) -> Result<Step, String> {
        for _ in 0..MOST_PASSES {
            let broken = self.cronofy.profile != Fragile::Connected;
            let step = self.pass();
            if let Some(violation) = self.violation() {
                return Err(violation.to_owned());
            }
            match step {
                None if self.gone => return Ok(Step::Finish),
                None => self.pass_time(SignedDuration::from_secs(1)),
                Some(Step::Wait { .. } | Step::Stop(_)) if !self.has_seen_all() => {}
                Some(step @ Step::Wait { why: Why::AccountCheck, .. }) if broken => return Ok(step),
                Some(Step::Wait {
                    until: Some(until),
                    why: Why::Retry | Why::Delta | Why::AccountCheck | Why::Confirmation,
                }) => {
                    let until = until.max(later(self.now, SignedDuration::from_millis(1)));
                    self.pass_time(until.duration_since(self.now));
                }
                Some(step) => return Ok(step),
            }
        }
        Err(format!("no rest after {MOST_PASSES} passes: {:?}", self.status))
    }

    /// Whether the first driver's last pass knew of all that is asked for.
    #[must_use]
    pub fn has_seen_all(&self) -> bool {
        let [first, _] = &self.drivers;
        first.has_seen(&self.status)
    }

    /// The first driver's pass, the one under way or a new one, to its end: where it rests, `None` if it was given up.
    pub fn pass(&mut self) -> Option<Step> {
        loop {
            match self.step(0, None) {
                Progress::Going if self.violation().is_some() => return None,
                Progress::Going => {}
                Progress::Rested(step) => return Some(step),
                Progress::Failed => return None,
            }
        }
    }

    /// Notes a step that a driver is about to take.
    fn took(&mut self, driver: usize, step: &Step) {
        self.audit.steps += 1;
        let steps = self.audit.steps;
        self.must(steps < MOST_STEPS, || format!("steps without end, now: {step:?}"));
        let moved = self.store.snapshot().is_some_and(|copy| Some(copy.cursor) != self.audit.cursor);
        self.must(!moved, || "the cursor has moved without a commit".to_owned());
        if let Step::Wait { until: Some(until), why } = step {
            let now = self.now;
            self.must(*until > now, || format!("a wait for {why:?} that is over: it ends {until} at {now}"));
        }
        self.journal.note(self.now, driver, step);
    }

    /// All that decides how the world goes on; see [`Driver::sketch`].
    ///
    /// # Errors
    /// Those of the writer.
    pub fn sketch(&self, to: &mut impl fmt::Write) -> fmt::Result {
        let World { now, wanted, cronofy, store, status, drivers, audit, gone, journal: _, bug: _ } = self;
        let Cronofy { calendars, channels, outbox, profile, .. } = cronofy;
        let Status { record, mark, .. } = status;
        let stored = (audit.is_after_mark(audit.read), audit.late_creates, audit.created.1);
        write!(
            to,
            "{now} {} {gone} {stored:?} {record:?} {mark:?} {profile:?} {channels:?} {outbox:?}",
            wanted.inputs
        )?;
        write!(to, "{:?} {:?}", wanted.deletion, store.snapshot())?;
        for entry in calendars.entries() {
            write!(to, "{:?} {:?} {} {}", entry.event, entry.event.summary, entry.modified, entry.deleted)?;
        }
        drivers.iter().try_for_each(|driver| driver.sketch(self, to))
    }

    /// Writes the status, and judges a mark that is cleared by it.
    fn write(&mut self, known: &mut Status, record: &Record, acted_on: Option<i64>) -> Result<(), Changed> {
        let (before, was_erased) = (self.status.mark.clone(), self.status.record.erased.is_some());
        let acted_on = self.bug.map_or(acted_on, |bug| bug.cleared(acted_on, known, &self.status));
        self.status.write(known, record, acted_on)?;
        if before.pending() && !self.status.mark.pending() {
            self.judge_clear(&before, was_erased);
        }
        Ok(())
    }

    fn judge_clear(&mut self, mark: &Mark, was_erased: bool) {
        let Audit { marked, read, read_in_full, .. } = self.audit;
        // Where everything was erased, everything is read before anything else.
        let erased = was_erased || self.status.record.erased.is_some();
        let has = |kind| mark.types.contains(&kind);
        let met = erased || !has(NotificationType::GdprRequested);
        self.must(met, || "a demand for erasure is acted on before its mark goes".to_owned());
        if erased {
            return;
        }
        let known = read > marked || !has(NotificationType::Change);
        self.must(known, || "a read that began after the mark is stored before the mark goes".to_owned());
        let complete = read_in_full > marked || !has(NotificationType::ProfileInitialSyncCompleted);
        self.must(complete, || "a mark for an initial sync goes only after a read of everything".to_owned());
    }

    fn judge_create(
        &mut self,
        driver: usize,
        listed: Option<u64>,
        known: &Status,
        desired: &Desired,
        callback_url: &str,
    ) {
        self.must(listed.is_some(), || "a channel is created without a listing".to_owned());
        let intended = driver::intended_url(known, desired);
        self.must(intended.as_deref() == Some(callback_url), || "a channel is created without an intent".to_owned());
        let (created, by) = self.audit.created;
        let raced = created > listed.unwrap_or_default() && by != driver;
        // One whose answer was lost is not known of either, as long as the listing does not show it.
        let shown = self.cronofy.list(self.now);
        let hidden = self.own_channels().iter().any(|own| !shown.iter().any(|channel| channel.id == own.id));
        self.audit.late_creates += usize::from(raced || hidden || self.status.record != known.record);
        self.audit.created = (self.audit.tick(), driver);
    }

    /// Notes a listing, and gives the moment.
    fn note_listing(&mut self, channels: &[RemoteChannel]) -> u64 {
        let tick = self.audit.tick();
        let own = self.own_channels();
        if own.iter().all(|own| channels.iter().any(|channel| channel.id == own.id)) {
            self.audit.listed_all = tick;
        }
        tick
    }

    /// A pass has come to its end: what it saw in its listing it has closed, unless it could not yet.
    fn judge_listed(&mut self, listed: Option<u64>) {
        let Record { channel, failures, .. } = &self.status.record;
        let acts = channel.next.is_none() && (channel.verified.is_some() || channel.id.is_none()) && failures.is_none();
        let all = listed.is_some_and(|listed| listed == self.audit.listed_all && self.audit.is_after_creates(listed));
        if acts && all {
            self.audit.late_creates = 0;
        }
    }

    /// While push is wanted, a channel is closed only if another one, that Cronofy has reached us through, is live.
    fn judge_close(&mut self, desired: &Desired, id: &str) {
        let ending = desired.deletion.is_some() || self.status.record.erased.is_some() || desired.mode == Mode::Poll;
        let newest = self.newest();
        let ours = |channel: &RemoteChannel| channel::generation_of(&channel.callback_url, &desired.uid, newest);
        let own = self.cronofy.channels.iter().any(|channel| channel.id == id && ours(channel).is_some());
        let listed = self.cronofy.list(self.now).iter().any(|channel| channel.id == id && ours(channel).is_none());
        self.must(!listed, || format!("{id} is a stranger's channel, and closed"));
        let others = self.cronofy.channels.iter().filter(|channel| channel.id != id).filter_map(ours);
        let proven = others.into_iter().any(|generation| self.audit.has_heard(generation));
        let full = self.cronofy.channels.len() + self.cronofy.strangers >= MOST_CHANNELS;
        let allowed = ending || !own || proven || full || self.status.record.channel.id.is_none();
        self.must(allowed, || format!("{id} is closed before Cronofy has reached another channel"));
    }

    /// The newest generation that a channel may have been made with.
    fn newest(&self) -> i64 {
        let channel = &self.status.record.channel;
        channel.next.unwrap_or_default().max(channel.generation).saturating_add(3)
    }

    fn judge_commit(&mut self, desired: &Desired, read: Option<&Read>, before: Option<&Snapshot>, snapshot: &Snapshot) {
        self.audit.cursor = Some(snapshot.cursor);
        let Some(read) = read else {
            let narrowed = before.is_some_and(|before| {
                let cut = |(id, event): (&String, &calendar_sync::Event)| {
                    (id.clone(), goal::visible(event, snapshot.visibility))
                };
                snapshot.cursor == before.cursor
                    && before.events.iter().map(cut).collect::<std::collections::BTreeMap<_, _>>() == snapshot.events
            });
            return self
                .must(narrowed, || "what is stored without a read is what was stored, or less of it".to_owned());
        };
        self.audit.read = self.audit.read.max(read.began);
        self.audit.latest = Some(read.request.clone());
        if read.request.modified_since.is_none() {
            self.audit.read_in_full = self.audit.read_in_full.max(read.began);
        }
        let passed = goal::cursor_passes(self, desired, read, snapshot);
        self.must(passed.is_none(), || passed.unwrap_or_default());
    }

    fn finish(&mut self, leaked: bool) {
        self.gone = true;
        self.audit.leaked |= leaked;
        let Some(deletion) = self.wanted.deletion else {
            return self.must(false, || "only a deletion finishes".to_owned());
        };
        let removed = deletion.retain || self.store.is_empty();
        self.must(removed, || "a deletion leaves the output behind".to_owned());
        let long = self.now.duration_since(deletion.since).unsigned_abs() > LONGEST_DELETION;
        let given_up = leaked || deletion.abandon_channel || long;
        let left: BTreeSet<_> = self.own_channels().into_iter().map(|channel| channel.id).collect();
        let few = given_up || left.len() <= self.audit.late_creates;
        self.must(few, || format!("channels are left behind: {left:?}"));
    }
}

/// `time` plus `span`, within the range of time.
#[must_use]
pub fn later(time: Timestamp, span: SignedDuration) -> Timestamp {
    time.checked_add(span).unwrap_or(if span.is_negative() { Timestamp::MIN } else { Timestamp::MAX })
}
