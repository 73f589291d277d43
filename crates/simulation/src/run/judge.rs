//! What must hold all along, and at the end of a run.

use std::collections::BTreeSet;
use std::rc::Rc;

use calendar_sync::{Deletion, Mode, NotificationType, Purpose};
use jiff::SignedDuration;

use super::{Day, Run};
use crate::happening::Trouble;
use crate::ledger::{Goal, Loss, reads_ahead};
use crate::world::cronofy::{FRAGILE, Fragile};
use crate::world::goal::{has_its_channels, is_copied, is_erased, is_regular};
use crate::world::{World, later};

impl Run<'_> {
    pub(super) fn judge_lateness(&mut self) -> Result<(), String> {
        if self.is_healthy() {
            self.ledger.relabel(&self.world.wanted, &[Loss::Fallback], Loss::Lost);
        }
        let (desired, time) = (&self.world.wanted, self.time);
        let unknown = self.unknown_uids();
        if let Some((uid, pending)) = self.ledger.overdue(desired, time, &unknown) {
            let is = self.world.store.snapshot().and_then(|copy| copy.events.get(uid));
            let there = self.world.cronofy.calendars.of(uid);
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

    /// Compares the copy with the calendar, if it was written.
    pub(super) fn look_at_copy(&mut self) -> Result<(), String> {
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

    pub(super) fn look(&mut self, loss: Option<Loss>) -> Result<(), String> {
        self.look_at(&Rc::clone(&self.uids), loss)
    }

    pub(super) fn look_at(&mut self, uids: &BTreeSet<String>, loss: Option<Loss>) -> Result<(), String> {
        let unknown = self.unknown_uids();
        if self.is_healthy() {
            self.ledger.relabel(&self.world.wanted, &[Loss::Fallback], Loss::Lost);
        }
        // Nothing was ever stored: all of it is still to come, and no commit has made it so.
        let loss = loss.or(self.world.store.snapshot().is_none().then_some(Loss::Spoiled));
        let loss = loss.or(self.has(Trouble::ShiftingPages).then_some(Loss::Untold));
        let World { wanted, cronofy, store, .. } = &self.world;
        let goal = Goal { desired: wanted, calendars: &cronofy.calendars, time: self.time };
        self.ledger.look(&goal, store.snapshot(), uids.difference(&unknown), loss)?;
        if unknown.is_empty() {
            self.world.cronofy.calendars.retain_untold(|uid| self.ledger.is_pending(uid));
        }
        Ok(())
    }

    pub(super) fn goal(&self) -> Goal<'_> {
        let World { wanted, cronofy, .. } = &self.world;
        Goal { desired: wanted, calendars: &cronofy.calendars, time: self.time }
    }

    /// Whether the channel has been there for so long that all was announced through it.
    pub(super) fn is_established(&self) -> bool {
        let created = self.world.status.record.channel.created;
        created.is_some_and(|created| later(created, SignedDuration::from_hours(49)) < self.world.now)
    }

    pub(super) fn is_healthy(&self) -> bool {
        let channel = &self.world.status.record.channel;
        channel.id.is_some() && channel.verified.is_some() && channel.suspect.is_none()
    }

    /// At rest there is one channel, or none in poll mode; and one that was found to be silent is replaced.
    pub(super) fn judge_channels(&mut self) -> Result<(), String> {
        let own = self.world.own_channels();
        let all_muted = !own.is_empty() && own.iter().all(|channel| self.muted.contains(&channel.id));
        let still = all_muted && self.troubles.len() == 1 && self.world.wanted.mode == Mode::Push;
        // What the look found is forgotten with a process that dies before it has noted it, or with the answer of its commit: then
        // the next look finds it.
        let noted = self.world.status.record.channel.suspect.is_some();
        let struck = self.ledger.over.max(self.ledger.started);
        self.silence_found = self.silence_found.filter(|found| still && (noted || struck < Some(*found)));
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
    pub(super) fn judge_kept(&mut self) -> Result<(), String> {
        let soon =
            later(self.time, SignedDuration::from_hours(-24 * i64::from(self.world.wanted.window.days().0) + 48));
        self.kept.retain(|_, end| *end > soon);
        let copy = self.world.store.snapshot();
        let gone = self.kept.keys().find(|uid| copy.is_some_and(|copy| !copy.events.contains_key(*uid)));
        gone.map_or(Ok(()), |uid| Err(format!("{uid} is gone, though its profile is not connected")))
    }

    /// What a day has cost must be what the schedule allows.
    pub(super) fn judge_budget(&mut self) -> Result<(), String> {
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
            // It may have been in push mode for a part of the day.
            Mode::Poll if day.fallback => per_day(intervals.poll.min(intervals.fallback_poll)),
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
        // Two operators that know different things of a failure wake each other by what they note.
        if day.passes > passes && !day.overlapped {
            return Err(format!("{} passes in a day, {passes} allowed: {day:?}", day.passes));
        }
        Ok(())
    }

    /// Faults have stopped long ago: the copy is right, one channel is live, and a deletion leaves nothing.
    pub(super) fn finish(&mut self) -> Result<(), String> {
        self.look(None)?;
        if let Some((uid, pending)) = self.ledger.pending().find(|(_, pending)| !self.may_be_pending(pending.loss)) {
            return Err(format!("{uid} is not in the copy at the end: {pending:?}"));
        }
        let rest = self.rests.clone().ok_or("it never rested")?;
        if !is_regular(&rest) {
            return Err(format!("rests at {rest:?} at the end: {:?}", self.world.status.record.failures));
        }
        // Whatever nobody knew of has been found in two weeks.
        self.world.audit.late_creates = 0;
        has_its_channels(&self.world)?;
        if self.world.status.mark.pending() {
            return Err("a mark is pending at the end".to_owned());
        }
        self.world.happened();
        if self.random.u8(0..4) == 0 && self.world.notify(NotificationType::GdprRequested) {
            *self.report.struck.entry("erasure demanded").or_default() += 1;
            let rest = self.world.settle()?;
            is_erased(&self.world, &rest)?;
            // A person takes it back.
            self.world.want(|desired| desired.request = Some("after the erasure".to_owned()));
            let rest = self.world.settle()?;
            is_copied(&self.world, &rest)?;
        }
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

    /// Whether something may not be in the copy at the end for that reason: what the next sweep brings, and where deletions
    /// leave no trace, what the next full sync finds.
    fn may_be_pending(&self, loss: Loss) -> bool {
        loss == Loss::Entered || (loss == Loss::Untold && !self.world.cronofy.calendars.style.tells_all())
    }

    /// What it is if something enters the window that is not in the copy.
    pub(super) fn entered(&self) -> Loss {
        if reads_ahead(&self.world.wanted) { Loss::ReadAhead } else { Loss::Entered }
    }

    pub(super) fn is_profile_known(&self) -> bool {
        self.world.cronofy.profile == Fragile::Connected && self.time >= self.profile_until
    }

    /// Events of which nothing can be known while a profile is broken.
    pub(super) fn unknown_uids(&self) -> BTreeSet<String> {
        if self.is_profile_known() {
            return BTreeSet::new();
        }
        let stands = |uid: &&String| {
            let there = self.world.cronofy.calendars.of(uid).iter().any(|entry| entry.event.calendar_id == FRAGILE);
            let copy = self.world.store.snapshot().and_then(|copy| copy.events.get(*uid));
            there || copy.is_some_and(|event| event.calendar_id == FRAGILE)
        };
        self.uids.iter().filter(stands).cloned().collect()
    }
}
