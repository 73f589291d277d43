//! A small world around the engine, in virtual time. Whatever may last is judged where it happens, by the world.
//!
//! - [`calendar`]: the remote calendars and what a read shows of them.
//! - [`cronofy`]: tokens, channels, pages and notifications on top of that.
//! - [`status`] and [`store`]: what is durable, with its conditions on writes.
//! - [`driver`]: performs the engine's steps over all of this, as the operator does; there may be several.
//! - [`faults`]: what can go wrong with a step.
//! - [`goal`]: what must be true of every commit, and of the world at rest.

pub mod calendar;
pub mod cronofy;
pub mod driver;
pub mod faults;
pub mod goal;
pub mod status;
pub mod store;

use std::collections::BTreeSet;
use std::fmt;

use calendar_sync::{
    Deletion, Desired, EventsRequest, LONGEST_DELETION, Mark, NotificationType, Record, RemoteChannel, Snapshot, Step,
    Why, channel,
};
use jiff::{SignedDuration, Timestamp};

use self::calendar::{Calendars, Style};
use self::cronofy::{Cronofy, Fragile, Notification, Switches};
use self::driver::{Driver, Progress, Read};
use self::faults::Fault;
use self::status::{Changed, Status};
use self::store::Store;

/// Steps that a driver may take while nothing happens around it.
const MOST_STEPS: usize = 200;
/// Passes after which a world without faults must be at rest.
const MOST_PASSES: usize = 200;

#[derive(Clone, Debug)]
pub struct World {
    pub now: Timestamp,
    pub wanted: Desired,
    pub cronofy: Cronofy,
    pub store: Store,
    pub status: Status,
    pub drivers: Vec<Driver>,
    pub audit: Audit,
    /// The object is gone.
    pub gone: bool,
}

/// What is remembered to judge by.
#[derive(Clone, Debug, Default)]
pub struct Audit {
    ticks: u64,
    steps: usize,
    /// When the mark was last written.
    marked: u64,
    /// When the latest read began that is stored, and the latest of everything.
    read: u64,
    read_in_full: u64,
    /// The latest request whose answer is stored.
    latest: Option<EventsRequest>,
    /// When a channel was created last, and by which driver.
    created: (u64, usize),
    /// Channels that were created by a driver which had been overtaken by another. Nobody may know of them: nothing but a
    /// listing some time later shows them.
    pub late_creates: usize,
    /// A profile was not complete at some time.
    pub profile_broke: bool,
    /// A demand for erasure was marked.
    pub erasure_demanded: bool,
    /// It was said that a channel is left behind.
    pub leaked: bool,
}

impl Audit {
    /// A moment in the order of things.
    pub fn tick(&mut self) -> u64 {
        self.ticks += 1;
        self.ticks
    }

    /// Whether something that began then began after the mark was written.
    pub fn is_after_mark(&self, began: u64) -> bool {
        began > self.marked
    }

    /// Whether something that happened then came after the last channel was created.
    pub fn is_after_creates(&self, then: u64) -> bool {
        then > self.created.0
    }

    fn count_step(&mut self, step: &Step) {
        self.steps += 1;
        assert!(self.steps < MOST_STEPS, "steps without end, now: {step:?}");
    }
}

impl World {
    pub fn new(now: Timestamp, wanted: Desired, switches: Switches, style: Style) -> Self {
        let calendars = Calendars::new(style);
        Self {
            now,
            wanted,
            cronofy: Cronofy::new(switches, calendars),
            store: Store::default(),
            status: Status::default(),
            drivers: vec![Driver::new(0), Driver::new(1)],
            audit: Audit::default(),
            gone: false,
        }
    }

    /// What the operator takes from the spec: a deletion forgets the rest of it.
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

    /// One step of one driver.
    pub fn step(&mut self, driver: usize, fault: Option<Fault>) -> Progress {
        if self.gone {
            return Progress::Failed;
        }
        let mut taken = std::mem::take(&mut self.drivers[driver]);
        let progress = taken.step(self, fault);
        self.drivers[driver] = taken;
        progress
    }

    /// Something happened outside, so that there may be something to do.
    pub fn happened(&mut self) {
        self.audit.steps = 0;
    }

    pub fn pass_time(&mut self, span: SignedDuration) {
        self.now = self.now.checked_add(span).unwrap();
        self.happened();
    }

    /// Somebody changes the spec or a Secret.
    pub fn want(&mut self, change: impl FnOnce(&mut Desired)) {
        change(&mut self.wanted);
        self.wanted.inputs.push('.');
        self.status.edited();
        self.happened();
    }

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
    pub fn own_channels(&self) -> Vec<RemoteChannel> {
        let ours =
            |channel: &&RemoteChannel| channel::generation_of(&channel.callback_url, &self.wanted.uid, 1_000).is_some();
        self.cronofy.channels.iter().filter(ours).cloned().collect()
    }

    /// Lets the first driver work and time pass until nothing but the next full sync, or a person, is waited for.
    pub fn settle(&mut self) -> Step {
        for _ in 0..MOST_PASSES {
            let broken = self.cronofy.profile != Fragile::Connected;
            match self.pass() {
                None if self.gone => return Step::Finish,
                None => self.pass_time(SignedDuration::from_secs(1)),
                Some(Step::Wait { .. } | Step::Stop(_)) if !self.drivers[0].has_seen(&self.status) => {}
                Some(step @ Step::Wait { why: Why::AccountCheck, .. }) if broken => return step,
                Some(Step::Wait { until: Some(until), why: Why::Retry | Why::Delta | Why::AccountCheck }) => {
                    let until = until.max(self.now.checked_add(SignedDuration::from_millis(1)).unwrap());
                    self.pass_time(until.duration_since(self.now));
                }
                Some(step) => return step,
            }
        }
        panic!("no rest after {MOST_PASSES} passes: {:?}", self.status);
    }

    /// The first driver's pass, the one under way or a new one, to its end: where it rests, `None` if it was given up.
    pub fn pass(&mut self) -> Option<Step> {
        loop {
            match self.step(0, None) {
                Progress::Going => {}
                Progress::Rested(step) => return Some(step),
                Progress::Failed => return None,
            }
        }
    }

    /// All that decides how the world goes on; see [`Driver::sketch`].
    pub fn sketch(&self, to: &mut impl fmt::Write) -> fmt::Result {
        let World { now, wanted, cronofy, store, status, drivers, audit, gone } = self;
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
        let before = self.status.mark.clone();
        self.status.write(known, record, acted_on)?;
        if before.pending() && !self.status.mark.pending() {
            self.judge_clear(&before);
        }
        Ok(())
    }

    fn judge_clear(&self, mark: &Mark) {
        let Audit { marked, read, read_in_full, .. } = self.audit;
        let erased = self.status.record.erased.is_some();
        let has = |kind| mark.types.contains(&kind);
        if has(NotificationType::GdprRequested) {
            assert!(erased, "a demand for erasure is acted on before its mark goes");
        }
        if erased {
            return;
        }
        if has(NotificationType::Change) {
            assert!(read > marked, "a read that began after the mark is stored before the mark goes");
        }
        if has(NotificationType::ProfileInitialSyncCompleted) {
            assert!(read_in_full > marked, "that read was one of everything");
        }
    }

    fn judge_create(&mut self, driver: usize, listed: u64, known: &Status) {
        let (created, by) = self.audit.created;
        let raced = created > listed && by != driver;
        self.audit.late_creates += usize::from(raced || self.status.record != known.record);
        self.audit.created = (self.audit.tick(), driver);
    }

    fn judge_commit(&mut self, desired: &Desired, read: &Read, snapshot: &Snapshot) {
        self.audit.read = self.audit.read.max(read.began);
        self.audit.latest = Some(read.request.clone());
        if read.request.modified_since.is_none() {
            self.audit.read_in_full = self.audit.read_in_full.max(read.began);
        }
        goal::assert_cursor_passes_nothing(self, desired, read, snapshot);
    }

    fn finish(&mut self, leaked: bool) {
        let deletion = self.wanted.deletion.expect("only a deletion finishes");
        self.gone = true;
        self.audit.leaked |= leaked;
        assert!(deletion.retain || self.store.is_empty(), "the output is gone");
        let long = self.now.duration_since(deletion.since) > SignedDuration::try_from(LONGEST_DELETION).unwrap();
        let given_up = leaked || deletion.abandon_channel || long;
        let left: BTreeSet<_> = self.own_channels().into_iter().map(|channel| channel.id).collect();
        assert!(given_up || left.len() <= self.audit.late_creates, "channels are left behind: {left:?}");
    }
}
