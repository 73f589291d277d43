//! One run: a plan is played in virtual time, and everything is judged as it happens.
//!
//! - `calendar`: what the owner changes, and what becomes of the notifications.
//! - `troubles`: how each trouble strikes, and how it ends.
//! - `strikes`: faults of single steps.
//! - `judge`: what must hold.

mod calendar;
mod judge;
mod strikes;
mod troubles;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use calendar_sync::{Snapshot, Step, TimeZone, Why};
use fastrand::Rng;
use jiff::{SignedDuration, Timestamp, ToSpan};

pub use self::strikes::Struck;

use self::strikes::Strikes;
use crate::happening::{Happening, Trouble, ZONES};
use crate::ledger::{Ledger, Loss, Repair};
use crate::plan::{self, Plan};
use crate::plant::Bug;
use crate::world::calendar::uids;
use crate::world::cronofy::{Fragile, Notification};
use crate::world::driver::{Driver, Progress};
use crate::world::{World, later};

/// What came of a run.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The first thing that went wrong, and when.
    pub divergence: Option<String>,
    /// Troubles that struck, by kind; those that found nothing to strike are not counted.
    pub struck: BTreeMap<&'static str, u64>,
    /// What befell single steps, by their kind.
    pub steps: BTreeMap<&'static str, Struck>,
    /// The slowest repair of each kind.
    pub slowest: BTreeMap<Loss, Repair>,
    /// Requests to Cronofy.
    pub requests: u64,
    /// Changes of the calendar.
    pub changes: u64,
    /// A hash of all that was done.
    pub hash: u64,
    /// The last steps in words, if asked for.
    pub journal: Vec<String>,
}

/// Something that is due at a time.
#[derive(Clone, Debug)]
enum Due {
    Happening(Happening),
    /// A notification arrives, for the so-and-so-many-th time.
    Delivery(Notification, u32),
    /// A change that was announced before can be read.
    Shown {
        number: usize,
        event: Option<(usize, i32, usize)>,
    },
    /// The copy is compared with the calendar.
    Look(Loss),
    /// A day has begun somewhere.
    Midnight,
    /// A driver takes a step.
    Work(usize),
}

struct Run<'a> {
    plan: &'a Plan,
    world: World,
    random: Rng,
    /// True time, which is Cronofy's.
    time: Timestamp,
    /// Our clock less the true time.
    offset: SignedDuration,
    agenda: BTreeMap<(Timestamp, u64), Due>,
    entries: u64,
    /// When each driver works next; `None` if nothing wakes it but news.
    wakes: [Option<Timestamp>; 2],
    active: [bool; 2],
    rests: Option<Step>,
    strikes: Strikes,
    /// Troubles under way, by kind.
    troubles: Vec<Trouble>,
    muted: BTreeSet<String>,
    uids: Rc<BTreeSet<String>>,
    copy: Option<u64>,
    ledger: Ledger,
    report: Report,
    day: Day,
    narrow_by: Option<Timestamp>,
    profile_until: Timestamp,
    /// Events of the broken profile that stay until they leave the window.
    kept: BTreeMap<String, Timestamp>,
    /// When a look at a silent channel found what it had not announced.
    silence_found: Option<Timestamp>,
    versions: usize,
    /// Those that the subscription may come to have.
    zones: [TimeZone; ZONES.len()],
    /// Since when deletions are held back, on our clock.
    held: Option<Timestamp>,
    /// A copy of the store from some midnight, as long as deltas tell of all that has happened since.
    backup: Option<Snapshot>,
}

/// What a day may cost.
#[derive(Clone, Copy, Debug, Default)]
struct Day {
    number: i64,
    requests: usize,
    passes: usize,
    marks: usize,
    disturbances: usize,
    fallback: bool,
    broken: bool,
    overlapped: bool,
}

/// Plays the plan, with a bug put in if one is given.
#[must_use]
pub fn run(plan: &Plan, bug: Option<Bug>, in_words: bool) -> Report {
    let mut run = Run::new(plan, bug, in_words);
    let end = run.play().and_then(|()| run.finish());
    let Run { mut report, world, ledger, time, .. } = run;
    report.divergence = end.err().map(|what| format!("{time}: {what}"));
    report.slowest = ledger.slowest;
    report.requests = u64::try_from(world.cronofy.requests).unwrap_or(u64::MAX);
    report.hash = world.journal.hash();
    report.journal = world.journal.lines().collect();
    report
}

impl<'a> Run<'a> {
    fn new(plan: &'a Plan, bug: Option<Bug>, in_words: bool) -> Self {
        let mut world = World::new(plan.begin, plan.desired.clone(), plan.switches, plan.style);
        world.bug = bug;
        if in_words {
            world.journal.speak();
        }
        let mut run = Self {
            plan,
            world,
            random: Rng::with_seed(plan.seed ^ 0x5eed),
            time: plan.begin,
            offset: SignedDuration::ZERO,
            agenda: BTreeMap::new(),
            entries: 0,
            wakes: [None, None],
            active: [true, false],
            rests: None,
            strikes: Strikes::default(),
            troubles: Vec::new(),
            muted: BTreeSet::new(),
            uids: Rc::new((0..plan.events).flat_map(uids).collect()),
            copy: None,
            ledger: Ledger::default(),
            report: Report::default(),
            day: Day::default(),
            narrow_by: None,
            profile_until: plan.begin,
            kept: BTreeMap::new(),
            silence_found: None,
            versions: 0,
            zones: std::array::from_fn(plan::zone),
            held: None,
            backup: None,
        };
        for (time, happening) in &plan.happenings {
            run.put_on_agenda(*time, Due::Happening(happening.clone()));
        }
        run.put_on_agenda(plan.begin, Due::Midnight);
        run.wake(0, SignedDuration::from_secs(1));
        run
    }

    fn put_on_agenda(&mut self, time: Timestamp, due: Due) {
        self.entries += 1;
        self.agenda.insert((time, self.entries), due);
    }

    fn play(&mut self) -> Result<(), String> {
        while let Some(entry) = self.agenda.first_entry() {
            let time = entry.key().0;
            if time > self.plan.end {
                return Ok(());
            }
            let due = entry.remove();
            if let Due::Work(driver) = due
                && self.wakes.get(driver) != Some(&Some(time))
            {
                continue; // it was woken at another time
            }
            self.set_time(time.max(self.time));
            self.judge_lateness()?;
            match due {
                Due::Work(driver) => self.work(driver)?,
                Due::Happening(happening) => self.happens(&happening)?,
                Due::Delivery(notification, tries) => self.deliver(&notification, tries),
                Due::Shown { number, event } => self.show(number, event)?,
                Due::Look(loss) => self.look(Some(loss))?,
                Due::Midnight => self.midnight()?,
            }
            if let Some(violation) = self.world.violation() {
                return Err(violation.to_owned());
            }
            self.send();
            self.wake_for_news();
        }
        Ok(())
    }

    fn set_time(&mut self, time: Timestamp) {
        self.time = time;
        self.world.now = later(time, self.offset);
        self.world.cronofy.switches.skew = -self.offset;
        if self.is_away() {
            self.ledger.over = Some(time);
        }
        if self.offset != SignedDuration::ZERO {
            self.ledger.jumped = Some(time);
        }
        if self.world.cronofy.profile != Fragile::Connected {
            self.ledger.unsure = Some(time);
        }
        if self.has(Trouble::ShiftingPages) || !self.is_profile_known() {
            self.ledger.passed_over = Some(time);
        }
    }

    /// Whether Cronofy, the operator or a person's leave is away.
    fn is_away(&self) -> bool {
        [Trouble::Away, Trouble::Limited(None), Trouble::Down, Trouble::Suspended, Trouble::Revoked]
            .into_iter()
            .any(|trouble| self.has(trouble))
    }

    fn only_channel_failed(&self) -> bool {
        self.world.status.record.failures.as_ref().is_some_and(|failures| failures.about_channel)
    }

    fn has(&self, trouble: Trouble) -> bool {
        self.troubles.iter().any(|present| present.kind() == trouble.kind())
    }

    fn wake(&mut self, driver: usize, after: SignedDuration) {
        let time = later(self.time, after);
        if let Some(place) = self.wakes.get_mut(driver) {
            *place = Some(time);
            self.put_on_agenda(time, Due::Work(driver));
        }
    }

    fn is_active(&self, driver: usize) -> bool {
        self.active.get(driver).copied().unwrap_or_default()
    }

    /// A watch tells each process at rest of what has changed.
    fn wake_for_news(&mut self) {
        for driver in 0..2 {
            let news =
                self.world.drivers.get(driver).is_some_and(|it| !it.is_at_work() && !it.has_seen(&self.world.status));
            let soon = later(self.time, SignedDuration::from_secs(2));
            let sleeps = self.wakes.get(driver).is_some_and(|wake| wake.is_none_or(|wake| wake > soon));
            if news && sleeps && self.is_active(driver) {
                self.wake(driver, SignedDuration::from_millis(50));
            }
        }
    }

    fn work(&mut self, driver: usize) -> Result<(), String> {
        if !self.is_active(driver) || self.world.gone {
            return Ok(());
        }
        let begins = self.world.drivers.get(driver).is_some_and(|driver| !driver.is_at_work());
        if begins {
            self.day.passes += 1;
            self.day.overlapped |= self.is_active(0) && self.is_active(1);
            self.world.happened();
        }
        let hiccup = self.hiccup_comes();
        match self.step(driver) {
            // It has died meanwhile, and comes back.
            Progress::Going if !self.world.drivers.get(driver).is_some_and(Driver::is_at_work) => {}
            Progress::Going => {
                let pause = if driver == 1 && self.random.u8(..) < 6 { 600_000 } else { 900 };
                let pause = SignedDuration::from_millis(self.random.i64(20..pause));
                self.wake(driver, pause);
            }
            Progress::Failed => self.wake(driver, SignedDuration::from_secs(2)),
            Progress::Rested(step) => {
                self.rested(driver, step);
                self.judge_channels()?;
            }
        }
        if hiccup && !self.world.cronofy.hiccup {
            self.day.disturbances += 1;
            self.count(Trouble::Hiccup, true);
        }
        self.note_hold();
        self.look_at_copy()
    }

    fn rested(&mut self, driver: usize, step: Step) {
        if let Some(wake) = self.wakes.get_mut(driver) {
            *wake = None;
        }
        match &step {
            Step::Wait { until: Some(until), why } => {
                self.day.broken |= *why == Why::AccountCheck;
                self.day.fallback |= *why == Why::FallbackPoll;
                // The wait is one of a clock that does not jump.
                self.wake(driver, until.duration_since(self.world.now));
            }
            Step::Wait { until: None, .. } | Step::Stop(_) => {}
            _ => return,
        }
        if driver == 0 {
            self.rests = Some(step);
        }
    }

    /// Deletions that begin to be held back are late for a reason, until a second look.
    fn note_hold(&mut self) {
        let held = self.world.status.record.held.as_ref().map(|held| held.time);
        if held != self.held {
            self.held = held;
            self.ledger.held = held.map(|_| self.time).or(self.ledger.held);
        }
    }

    fn happens(&mut self, happening: &Happening) -> Result<(), String> {
        let text = || happening.to_string();
        self.world.journal.note_text(self.world.now, text);
        match *happening {
            Happening::Put { number, calendar, days, form } => self.change(number, Some((calendar, days, form))),
            Happening::Delete { number } => self.change(number, None),
            Happening::Strikes(trouble) => self.strikes(trouble),
            Happening::Ends(trouble) => {
                self.ends(trouble);
                Ok(())
            }
            Happening::Edit(edit) => self.edit(edit),
        }
    }

    fn midnight(&mut self) -> Result<(), String> {
        let next = |zone: &TimeZone| zone.start_of(zone.date(self.time).saturating_add(1.day()));
        // The zone of the subscription may be any of them by then.
        if let Some(next) = self.zones.iter().map(next).min() {
            self.put_on_agenda(next, Due::Midnight);
        }
        let old = later(self.time, SignedDuration::from_hours(-24 * 60));
        self.world.cronofy.calendars.forget(old);
        self.judge_budget()?;
        if self.backup.is_none() || self.random.u8(..) < 80 {
            self.back_up();
        }
        self.look(Some(self.entered()))
    }
}
