//! One run: a plan is played in virtual time, and everything is judged as it happens.

use std::collections::{BTreeMap, BTreeSet};

use calendar_sync::{Deletion, Mode, NotificationType, Purpose, Step, Stop, TimeZone, Why, channel};
use fastrand::Rng;
use jiff::{SignedDuration, Timestamp, ToSpan};

use crate::happening::{Edit, Happening, Trouble, ZONES};
use crate::ledger::{Goal, Ledger, Loss, Repair};
use crate::plan::{self, CALENDARS, MANAGED, Plan};
use crate::plant::Bug;
use crate::world::calendar::{event, times, uids};
use crate::world::cronofy::{FRAGILE, Fragile, Notification, is_about};
use crate::world::driver::Progress;
use crate::world::faults::{Fault, Refusal};
use crate::world::goal::{has_its_channels, is_regular};
use crate::world::{World, later};

/// What came of a run.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The first thing that went wrong, and when.
    pub divergence: Option<String>,
    /// Troubles that struck, by kind; those that found nothing to strike are not counted.
    pub struck: BTreeMap<&'static str, u64>,
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
    fault: Option<Fault>,
    /// Troubles under way, by kind.
    troubles: Vec<Trouble>,
    muted: BTreeSet<String>,
    uids: BTreeSet<String>,
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
            fault: None,
            troubles: Vec::new(),
            muted: BTreeSet::new(),
            uids: (0..plan.events).flat_map(uids).collect(),
            copy: None,
            ledger: Ledger::default(),
            report: Report::default(),
            day: Day::default(),
            narrow_by: None,
            profile_until: plan.begin,
            kept: BTreeMap::new(),
            silence_found: None,
            versions: 0,
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
                Due::Delivery(notification, tries) => self.deliver(&notification, tries)?,
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
        if self.is_excused() {
            self.ledger.excused = Some(time);
        }
        if self.world.cronofy.profile != Fragile::Connected {
            self.ledger.unsure = Some(time);
        }
    }

    /// Whether nothing can be done at present.
    fn is_excused(&self) -> bool {
        let away = self.has(Trouble::Away) || self.has(Trouble::Limited) || self.has(Trouble::Down);
        away || self.has(Trouble::Suspended)
            || self.has(Trouble::Revoked)
            || self.world.status.record.held.is_some()
            || matches!(self.rests, Some(Step::Stop(_)))
            || matches!(self.rests, Some(Step::Wait { why: Why::Retry, .. }) if !self.only_channel_failed())
    }

    fn only_channel_failed(&self) -> bool {
        self.world.status.record.failures.as_ref().is_some_and(|failures| failures.about_channel)
    }

    fn has(&self, trouble: Trouble) -> bool {
        self.troubles.iter().any(|present| present.kind() == trouble.kind())
    }

    fn judge_lateness(&mut self) -> Result<(), String> {
        let (desired, time) = (&self.world.wanted, self.time);
        if let Some((uid, pending)) = self.ledger.overdue(desired, time)
            && !self.is_excused()
        {
            let is = self.world.store.snapshot().and_then(|copy| copy.events.get(uid));
            let there: Vec<_> = self.world.cronofy.calendars.of(uid).collect();
            return Err(format!("{uid} is late: {pending:?}; it is {is:?} for {there:?}"));
        }
        if self.narrow_by.is_some_and(|by| by < time) {
            let shown = self.world.store.snapshot().map(|copy| copy.visibility);
            if shown.is_some_and(|shown| shown > self.world.wanted.visibility) && !self.has(Trouble::Down) {
                return Err(format!("{shown:?} is still shown"));
            }
            self.narrow_by = None;
        }
        Ok(())
    }

    // --- drivers

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
            self.world.happened();
        }
        let fault = self.fault.take();
        let refused = self.world.cronofy.requests;
        match self.world.step(driver, fault) {
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
        if fault.is_some() && self.world.cronofy.requests > refused {
            self.day.disturbances += 1;
        }
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
            Step::Stop(Stop::Failed(_)) | Step::Wait { .. } | Step::Stop(_) => {}
            _ => return,
        }
        if driver == 0 {
            self.rests = Some(step);
            if self.is_excused() {
                self.ledger.excused = Some(self.time);
            }
        }
    }

    /// At rest there is one channel, or none in poll mode; and one that was found to be silent is replaced.
    fn judge_channels(&mut self) -> Result<(), String> {
        let own = self.world.own_channels();
        let all_muted = !own.is_empty() && own.iter().all(|channel| self.muted.contains(&channel.id));
        let still = all_muted && self.troubles.len() == 1 && self.world.wanted.mode == Mode::Push;
        self.silence_found = self.silence_found.filter(|_| still);
        if self.silence_found.is_some_and(|found| later(found, SignedDuration::from_mins(20)) < self.time) {
            return Err("a channel that was found to be silent is not replaced".to_owned());
        }
        let regular = self.rests.as_ref().is_some_and(is_regular);
        let unknown =
            self.has(Trouble::TwoDrivers) || self.has(Trouble::ListingLag) || self.world.audit.late_creates > 0;
        if !regular || unknown || !self.world.has_seen_all() {
            return Ok(());
        }
        let record = &self.world.status.record.channel;
        let most = match self.world.wanted.mode {
            Mode::Poll => 0,
            Mode::Push if record.verified.is_some() && record.next.is_none() => 1,
            Mode::Push => return Ok(()),
        };
        if own.len() > most && !self.only_channel_failed() {
            return Err(format!("{} channels at rest, {most} are wanted", own.len()));
        }
        Ok(())
    }

    /// What the broken profile had stays in the copy while nothing is known of it.
    fn judge_kept(&mut self) -> Result<(), String> {
        let soon =
            later(self.time, SignedDuration::from_hours(-24 * i64::from(self.world.wanted.window.days().0) + 48));
        self.kept.retain(|_, end| *end > soon);
        let copy = self.world.store.snapshot();
        let gone = self.kept.keys().find(|uid| copy.is_some_and(|copy| !copy.events.contains_key(*uid)));
        gone.map_or(Ok(()), |uid| Err(format!("{uid} is gone, though its profile is not connected")))
    }

    /// Compares the copy with the calendar, if it was written.
    fn look_at_copy(&mut self) -> Result<(), String> {
        let version = self.world.store.version();
        if version == self.copy {
            return Ok(());
        }
        self.copy = version;
        self.judge_kept()?;
        let lost = self.ledger.count(Loss::Lost);
        self.look(None)?;
        let looked = self.world.audit.latest().is_some_and(|request| request.purpose == Purpose::Check);
        if looked && self.ledger.count(Loss::Lost) < lost && self.has(Trouble::Silent) && self.is_established() {
            self.silence_found = self.silence_found.or(Some(self.time));
        }
        Ok(())
    }

    /// Whether the channel has been there for so long that all was announced through it.
    fn is_established(&self) -> bool {
        let created = self.world.status.record.channel.created;
        created.is_some_and(|created| later(created, SignedDuration::from_hours(49)) < self.world.now)
    }

    fn look(&mut self, loss: Option<Loss>) -> Result<(), String> {
        let uids = std::mem::take(&mut self.uids);
        let result = self.look_at(&uids, loss);
        self.uids = uids;
        result
    }

    fn look_at(&mut self, uids: &BTreeSet<String>, loss: Option<Loss>) -> Result<(), String> {
        let unknown = if self.world.cronofy.profile == Fragile::Connected && self.time >= self.profile_until {
            BTreeSet::new()
        } else {
            BTreeSet::from([FRAGILE.to_owned()])
        };
        if self.is_healthy() {
            self.ledger.relabel(&self.world.wanted, &[Loss::Fallback], Loss::Lost);
        }
        // Nothing was ever stored: all of it is still to come, and no commit has made it so.
        let loss = loss.or(self.world.store.snapshot().is_none().then_some(Loss::Spoiled));
        let loss = loss.or(self.has(Trouble::ShiftingPages).then_some(Loss::Untold));
        let World { wanted, cronofy, store, .. } = &self.world;
        let goal = Goal { desired: wanted, calendars: &cronofy.calendars, unknown: &unknown, time: self.time };
        self.ledger.look(&goal, store.snapshot(), uids, loss)
    }

    fn is_healthy(&self) -> bool {
        let channel = &self.world.status.record.channel;
        channel.id.is_some() && channel.verified.is_some() && channel.suspect.is_none()
    }

    // --- what happens

    fn happens(&mut self, happening: &Happening) -> Result<(), String> {
        let text = || happening.to_string();
        self.world.journal.note_text(self.world.now, text);
        match *happening {
            Happening::Put { number, calendar, days, form } => self.change(number, Some((calendar, days, form))),
            Happening::Delete { number } => self.change(number, None),
            Happening::Strikes(trouble) => self.strikes(trouble),
            Happening::Ends(trouble) => self.ends(trouble),
            Happening::Edit(edit) => self.edit(edit),
        }
    }

    /// The owner changes or deletes an event: it can be read at once, or a little later, and is announced at once.
    fn change(&mut self, number: usize, put: Option<(usize, i32, usize)>) -> Result<(), String> {
        if self.has(Trouble::ShownLate) {
            let touched = self.touched(number, put);
            self.world.cronofy.announce_change(&touched, self.world.now);
            let shown = later(self.time, SignedDuration::from_secs(self.random.i64(20..100)));
            self.put_on_agenda(shown, Due::Shown { number, event: put });
            return Ok(());
        }
        let touched = self.apply(number, put, self.time);
        let managed = number == MANAGED;
        let loss = if managed { self.unannounced(Loss::OwnWrite) } else { self.announcement(&touched) };
        if !managed {
            self.world.cronofy.announce_change(&touched, self.world.now);
        }
        self.ledger.caused(uids(number).into_iter(), loss);
        self.look_at(&uids(number).into(), Some(loss))
    }

    /// What was announced before is shown now, with the time at which it happened.
    fn show(&mut self, number: usize, put: Option<(usize, i32, usize)>) -> Result<(), String> {
        let modified = later(self.time, SignedDuration::from_secs(-100));
        self.apply(number, put, modified);
        let loss = self.unannounced(Loss::ShownLate);
        self.ledger.caused(uids(number).into_iter(), loss);
        self.look_at(&uids(number).into(), Some(loss))
    }

    fn apply(&mut self, number: usize, put: Option<(usize, i32, usize)>, modified: Timestamp) -> BTreeSet<String> {
        self.report.changes += 1;
        let calendars = &mut self.world.cronofy.calendars;
        let broken = self.world.cronofy.profile != Fragile::Connected;
        let stands = calendars.find(number).is_some_and(|entry| entry.event.calendar_id == FRAGILE);
        if broken && stands {
            return BTreeSet::new(); // Cronofy learns of nothing there
        }
        let Some((calendar, days, form)) = put else { return calendars.delete(number, modified) };
        self.versions += 1;
        let calendar = place(calendar, self.world.cronofy.profile, number);
        let event = event(calendar, times(self.time, days, form), self.versions);
        calendars.put(number, event, number == MANAGED, modified)
    }

    fn touched(&self, number: usize, put: Option<(usize, i32, usize)>) -> BTreeSet<String> {
        let from = self.world.cronofy.calendars.find(number).map(|entry| entry.event.calendar_id.clone());
        let to = put.map(|(calendar, ..)| place(calendar, self.world.cronofy.profile, number).to_owned());
        from.into_iter().chain(to).collect()
    }

    fn unannounced(&self, loss: Loss) -> Loss {
        if self.world.wanted.mode == Mode::Poll { Loss::Polled } else { loss }
    }

    /// What becomes of the notification of a change that is about to be made.
    fn announcement(&self, touched: &BTreeSet<String>) -> Loss {
        if self.world.wanted.mode == Mode::Poll {
            return Loss::Polled;
        }
        let channels = self.world.own_channels();
        let lost = self.has(Trouble::Lost) || self.has(Trouble::Unreachable);
        let about: Vec<_> = channels.iter().filter(|channel| is_about(channel, touched)).collect();
        let delivers = about.iter().any(|channel| !self.muted.contains(&channel.id));
        if delivers && !lost {
            // While nobody accepts it, Cronofy repeats it in its own time.
            return if self.has(Trouble::Late) || self.has(Trouble::Down) { Loss::Lost } else { Loss::Announced };
        }
        let record = &self.world.status.record.channel;
        if record.id.is_none() || !self.is_healthy() {
            return Loss::Fallback;
        }
        if channels.is_empty() { Loss::Closed } else { Loss::Lost }
    }

    fn strikes(&mut self, trouble: Trouble) -> Result<(), String> {
        self.day.disturbances += 1;
        let struck = match trouble {
            Trouble::Lost | Trouble::Late | Trouble::Doubled | Trouble::Unreachable | Trouble::ShownLate => {
                self.begins(trouble)
            }
            Trouble::ShiftingPages => {
                self.world.cronofy.switches.shifting_pages = true;
                self.begins(trouble)
            }
            Trouble::AutoClosed => {
                let own = self.world.own_channels();
                own.iter().map(|channel| self.world.cronofy.close(&channel.id)).any(|closed| closed)
            }
            Trouble::Silent => {
                self.muted = self.world.own_channels().into_iter().map(|channel| channel.id).collect();
                !self.muted.is_empty() && self.begins(trouble)
            }
            Trouble::Away => {
                self.world.cronofy.refusing = Some(Refusal::Unavailable);
                self.begins(trouble)
            }
            Trouble::Limited => {
                self.world.cronofy.refusing = Some(Refusal::RateLimited(Some(45)));
                self.begins(trouble)
            }
            Trouble::Step(fault) => {
                self.fault = Some(fault);
                true
            }
            Trouble::Crash => {
                self.crash(0);
                true
            }
            Trouble::Clock(seconds) => {
                self.offset += SignedDuration::from_secs(seconds);
                self.ledger.jumped = Some(self.time);
                self.set_time(self.time);
                self.begins(trouble)
            }
            Trouble::TwoDrivers => {
                self.active = [self.is_active(0), true];
                self.wake(1, SignedDuration::from_millis(300));
                self.begins(trouble)
            }
            Trouble::Down => {
                self.crash(0);
                self.active = [false, self.is_active(1)];
                self.ledger.relabel(&self.world.wanted, &[Loss::Announced], Loss::Lost);
                self.begins(trouble)
            }
            Trouble::Profile(state) => return self.profile(state, trouble),
            Trouble::Hiccup => return self.hiccup(),
            Trouble::ListingLag => {
                self.world.cronofy.switches.listing_lag = SignedDuration::from_mins(8);
                self.begins(trouble)
            }
            Trouble::Full => {
                self.world.cronofy.strangers = calendar_sync::MOST_CHANNELS - 1;
                self.begins(trouble)
            }
            Trouble::TokensExpired => {
                self.world.cronofy.expire_tokens();
                true
            }
            Trouble::Spoiled(removed) => return self.spoiled(removed),
            Trouble::Vanished(number) => return self.vanished(&[number]),
            Trouble::Emptied => {
                let all: Vec<_> = (0..self.plan.events).collect();
                return self.vanished(&all);
            }
            Trouble::OwnWrite(number) => {
                let days = self.random.i32(0..100);
                self.change(number, Some((0, days, 0)))?;
                true
            }
            Trouble::Suspended => {
                self.world.want(|desired| desired.suspended = true);
                self.begins(trouble)
            }
            Trouble::Revoked => {
                self.world.cronofy.grant += 1_000;
                self.world.cronofy.expire_tokens();
                self.begins(trouble)
            }
        };
        self.count(trouble, struck);
        Ok(())
    }

    fn count(&mut self, trouble: Trouble, struck: bool) {
        *self.report.struck.entry(trouble.kind()).or_default() += u64::from(struck);
    }

    fn begins(&mut self, trouble: Trouble) -> bool {
        self.troubles.push(trouble);
        if self.is_excused() {
            self.ledger.excused = Some(self.time);
        }
        true
    }

    fn crash(&mut self, driver: usize) {
        if let Some(process) = self.world.drivers.get_mut(driver) {
            process.crash();
        }
        self.wake(driver, SignedDuration::from_secs(3));
    }

    fn profile(&mut self, state: Fragile, trouble: Trouble) -> Result<(), String> {
        let broken = self.world.cronofy.profile != Fragile::Connected;
        let applies = (state == Fragile::Disconnected) != broken;
        if applies {
            self.world.cronofy.profile = state;
            self.world.audit.profile_broke = true;
            if state == Fragile::Disconnected {
                self.world.cronofy.announce(NotificationType::ProfileDisconnected);
                self.keep_what_is_there();
                self.begins(trouble);
            }
        }
        self.count(trouble, applies && state == Fragile::Disconnected);
        Ok(())
    }

    fn keep_what_is_there(&mut self) {
        let zone = &self.world.wanted.time_zone;
        let copy = self.world.store.snapshot().into_iter().flat_map(|copy| copy.events.values());
        let fragile = copy.filter(|event| event.calendar_id == FRAGILE);
        // What was deleted or moved before and is not told yet may go.
        let settled = fragile.filter(|event| self.world.cronofy.calendars.of(&event.id).all(|entry| !entry.deleted));
        self.kept = settled.map(|event| (event.id.clone(), event.end.instant(zone))).collect();
        if !self.ledger.is_empty() {
            self.kept.clear();
        }
    }

    /// A read of everything shows nothing, once; only where so much is stored that it can be told from a few deletions.
    fn hiccup(&mut self) -> Result<(), String> {
        let many = self.world.store.snapshot().is_some_and(|copy| copy.events.len() > 26);
        if many && self.world.status.record.held.is_none() && self.ledger.is_empty() {
            self.world.cronofy.hiccup = true;
            self.edit(Edit::Request)?;
        }
        self.count(Trouble::Hiccup, many);
        Ok(())
    }

    fn spoiled(&mut self, removed: bool) -> Result<(), String> {
        let there = self.world.store.snapshot().is_some();
        self.kept.clear();
        if removed {
            self.world.store.erase();
        } else {
            self.world.store.damage();
        }
        self.world.status.edited();
        self.copy = self.world.store.version();
        self.count(Trouble::Spoiled(removed), there);
        self.look(Some(Loss::Spoiled))
    }

    fn vanished(&mut self, numbers: &[usize]) -> Result<(), String> {
        let mut vanished = 0;
        let broken = self.world.cronofy.profile != Fragile::Connected;
        if !broken {
            self.ledger.forget(numbers.iter().flat_map(|&number| uids(number)));
        }
        for &number in numbers.iter().filter(|_| !broken) {
            vanished += u64::from(self.world.cronofy.calendars.vanish(number));
        }
        let trouble = if numbers.len() == 1 { Trouble::Vanished(0) } else { Trouble::Emptied };
        self.count(trouble, vanished > 0);
        self.look(Some(Loss::Untold))
    }

    fn ends(&mut self, trouble: Trouble) -> Result<(), String> {
        self.day.disturbances += if let Trouble::Limited = trouble { 3 } else { 1 };
        if let Some(at) = self.troubles.iter().position(|present| present.kind() == trouble.kind()) {
            self.troubles.remove(at);
        }
        match trouble {
            Trouble::Silent => self.muted.clear(),
            Trouble::ShiftingPages => self.world.cronofy.switches.shifting_pages = self.has(trouble),
            Trouble::Away | Trouble::Limited => self.world.cronofy.refusing = None,
            Trouble::Clock(seconds) => {
                self.offset -= SignedDuration::from_secs(seconds);
                self.ledger.jumped = Some(self.time);
                self.set_time(self.time);
            }
            Trouble::TwoDrivers => {
                self.crash(1);
                self.active = [self.is_active(0), false];
            }
            Trouble::Down => {
                self.active = [true, self.is_active(1)];
                self.crash(0);
            }
            Trouble::Profile(_) => {
                self.kept.clear();
                self.world.cronofy.profile = Fragile::Connected;
                let poll = SignedDuration::try_from(self.world.wanted.intervals.poll).unwrap_or(SignedDuration::MAX);
                self.profile_until = later(self.time, poll + SignedDuration::from_mins(5));
                self.ledger.unsure = Some(self.profile_until);
                // What nobody has noticed is found by the next read of everything.
                self.put_on_agenda(self.profile_until, Due::Look(Loss::Untold));
                if self.random.bool() {
                    self.world.cronofy.announce(NotificationType::ProfileInitialSyncCompleted);
                }
            }
            Trouble::ListingLag => self.world.cronofy.switches.listing_lag = SignedDuration::ZERO,
            Trouble::Full => self.world.cronofy.strangers = 0,
            Trouble::Suspended => self.world.want(|desired| desired.suspended = false),
            Trouble::Revoked => {
                // A person authorizes anew.
                self.world.status.grant = self.world.cronofy.grant;
                self.world.want(|_| {});
            }
            _ => {}
        }
        if self.ledger.excused == Some(self.time) {
            self.ledger.over = Some(self.time);
        }
        Ok(())
    }

    fn edit(&mut self, edit: Edit) -> Result<(), String> {
        self.day.disturbances += 1;
        if edit != Edit::Request {
            self.kept.clear();
        }
        let number = self.entries;
        self.world.want(|desired| match edit {
            Edit::Request => desired.request = Some(format!("request {number}")),
            Edit::Mode(mode) => desired.mode = mode,
            Edit::Visibility(visibility) => desired.visibility = visibility,
            Edit::Window(past, future) => desired.window = calendar_sync::Window::new(past, future),
            Edit::Calendars(number) => desired.filter.calendar_ids = plan::calendars(number),
            Edit::Managed(included) => desired.filter.include_managed = included,
            Edit::CallbackBase(first) => {
                let base = if first { "https://calendars.example.org" } else { "https://other.example.org/in" };
                desired.callback_base = Some(base.to_owned());
            }
            Edit::Zone(number) => desired.time_zone = plan::zone(number),
        });
        if let Edit::Visibility(_) = edit {
            self.narrow_by = Some(later(self.time, SignedDuration::from_mins(1)));
        }
        self.ledger.restart(&self.world.wanted, self.time);
        self.look(Some(Loss::Edited))
    }

    // --- notifications

    /// Sends what Cronofy has to tell on its way, or loses it.
    fn send(&mut self) {
        for notification in std::mem::take(&mut self.world.cronofy.outbox) {
            let lost = self.muted.contains(&notification.channel.id)
                || self.has(Trouble::Unreachable)
                || (self.has(Trouble::Lost) && notification.kind == NotificationType::Change);
            if lost {
                continue;
            }
            let mut times = vec![self.random.i64(100..4_000)];
            if self.has(Trouble::Late) {
                times = vec![self.random.i64(1_000..20_000_000)];
            }
            if self.has(Trouble::Doubled) {
                times.extend([self.random.i64(100..10_000), self.random.i64(1_000..40_000_000)]);
            }
            for milliseconds in times {
                let time = later(self.time, SignedDuration::from_millis(milliseconds));
                self.put_on_agenda(time, Due::Delivery(notification.clone(), 0));
            }
        }
    }

    /// A delivery that is not accepted is repeated for a day; then Cronofy closes the channel.
    fn deliver(&mut self, notification: &Notification, tries: u32) -> Result<(), String> {
        let live = self.world.cronofy.channels.iter().any(|channel| channel.id == notification.channel.id);
        if !self.has(Trouble::Down) && self.world.deliver(notification) {
            self.day.marks += 1;
            return Ok(());
        }
        if !live {
            return Ok(());
        }
        if tries > 27 {
            self.world.cronofy.close(&notification.channel.id);
            self.ledger.relabel(&self.world.wanted, &[Loss::Announced], Loss::Lost);
            return Ok(());
        }
        let wait = SignedDuration::from_secs(60).saturating_mul(4_i32.saturating_pow(tries.min(3)));
        let time = later(self.time, wait.min(SignedDuration::from_hours(1)));
        self.put_on_agenda(time, Due::Delivery(notification.clone(), tries + 1));
        Ok(())
    }

    // --- days

    fn midnight(&mut self) -> Result<(), String> {
        let second = SignedDuration::from_secs(1);
        let next = |zone: TimeZone| later(zone.start_of(zone.date(self.time).saturating_add(1.day())), second);
        // The zone of the subscription may be any of them by then.
        if let Some(next) = (0..ZONES.len()).map(plan::zone).map(next).min() {
            self.put_on_agenda(next, Due::Midnight);
        }
        let old = later(self.time, SignedDuration::from_hours(-24 * 60));
        self.world.cronofy.calendars.forget(old);
        self.judge_budget()?;
        self.look_at_edges()
    }

    fn look_at_edges(&mut self) -> Result<(), String> {
        self.look(Some(Loss::Entered))
    }

    /// What a day has cost must be what the schedule allows.
    fn judge_budget(&mut self) -> Result<(), String> {
        let number = self.time.as_second() / (24 * 60 * 60);
        if number == self.day.number {
            return Ok(());
        }
        let day = std::mem::take(&mut self.day);
        self.day = Day { number, requests: self.world.cronofy.requests, ..Day::default() };
        if day.number == 0 {
            return Ok(());
        }
        let a_day = 24 * 60 * 60;
        let per_day = |span: std::time::Duration| usize::try_from(a_day / span.as_secs().max(1)).unwrap_or(usize::MAX);
        let intervals = &self.world.wanted.intervals;
        let events = self.world.cronofy.calendars.entries().count();
        let pages = events / self.world.cronofy.switches.page_size + 2;
        let fallback = day.fallback || day.disturbances > 0 || !self.troubles.is_empty();
        let polls = match self.world.wanted.mode {
            Mode::Poll => per_day(intervals.poll),
            Mode::Push if fallback => per_day(intervals.fallback_poll),
            Mode::Push => 0,
        };
        let disturbed = day.disturbances + self.troubles.len();
        let allowed = 30
            + 2 * polls
            + per_day(intervals.channel_check) * 5
            + day.marks * (2 + pages)
            + pages * 4
            + if day.broken { per_day(intervals.poll) } else { 0 }
            + disturbed * (60 + 6 * pages);
        let spent = self.world.cronofy.requests - day.requests;
        if spent > allowed {
            return Err(format!("{spent} requests in a day, {allowed} allowed: {day:?}"));
        }
        let passes = allowed + day.marks * 4 + 40;
        if day.passes > passes {
            return Err(format!("{} passes in a day, {passes} allowed: {day:?}", day.passes));
        }
        Ok(())
    }

    // --- the end

    /// Faults have stopped long ago: the copy is right, one channel is live, and a deletion leaves nothing.
    fn finish(&mut self) -> Result<(), String> {
        if let Some((uid, pending)) = self.ledger.first()
            && pending.loss != Loss::Entered
        {
            return Err(format!("{uid} is not in the copy at the end: {pending:?}"));
        }
        let rest = self.rests.clone().ok_or("it never rested")?;
        if !is_regular(&rest) {
            return Err(format!("rests at {rest:?} at the end: {:?}", self.world.status.record.failures));
        }
        has_its_channels(&self.world)?;
        if self.world.status.mark.pending() {
            return Err("a mark is pending at the end".to_owned());
        }
        self.world.happened();
        let retain = self.random.bool();
        self.world.delete(retain, false);
        self.world.wanted.deletion = Some(Deletion { since: self.world.now, retain, abandon_channel: false });
        self.world.settle()?;
        let left = self.world.own_channels();
        if !self.world.gone || !left.is_empty() {
            return Err(format!("after the deletion: {left:?}"));
        }
        Ok(())
    }
}

/// The calendar that an event is put into: never one that Cronofy cannot read at present.
fn place(calendar: usize, profile: Fragile, number: usize) -> &'static str {
    let name = CALENDARS.get(calendar).copied().unwrap_or(FRAGILE);
    // The application writes into a calendar of its own.
    if number == MANAGED || (name == FRAGILE && profile != Fragile::Connected) { "cal_a" } else { name }
}

/// Whether a callback URL is the subscription's.
#[must_use]
pub fn is_own(callback_url: &str, uid: &str) -> bool {
    channel::generation_of(callback_url, uid, 1_000).is_some()
}
