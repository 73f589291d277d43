//! Troubles: how each strikes, and how it ends.

use calendar_sync::{NotificationType, Snapshot};
use jiff::SignedDuration;

use super::{Due, Run};
use crate::happening::{Edit, Happening, Trouble};
use crate::ledger::Loss;
use crate::world::calendar::uids;
use crate::world::cronofy::{FRAGILE, Fragile};
use crate::world::faults::Refusal;
use crate::world::{World, later};

impl Run<'_> {
    pub(super) fn strikes(&mut self, trouble: Trouble) -> Result<(), String> {
        self.day.disturbances += 1;
        let struck = match trouble {
            Trouble::Lost | Trouble::Late | Trouble::Doubled | Trouble::Unreachable | Trouble::ShownLate => {
                self.begins(trouble)
            }
            Trouble::ShiftingPages => {
                self.backup = None;
                self.world.cronofy.switches.shifting_pages = true;
                self.begins(trouble)
            }
            Trouble::AutoClosed => {
                let own = self.world.own_channels();
                own.iter().filter(|channel| self.world.cronofy.close(&channel.id, self.world.now)).count() > 0
            }
            Trouble::Silent => {
                self.muted = self.world.own_channels().into_iter().map(|channel| channel.id).collect();
                !self.muted.is_empty() && self.begins(trouble)
            }
            Trouble::Away => {
                self.world.cronofy.refusing = Some(Refusal::Unavailable);
                self.begins(trouble)
            }
            Trouble::Limited(retry_after) => {
                self.world.cronofy.refusing = Some(Refusal::RateLimited(retry_after));
                self.begins(trouble)
            }
            Trouble::Step(fault) => {
                self.await_step(fault);
                false // it is counted when it strikes
            }
            Trouble::Crash => self.dies(),
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
            Trouble::Profile(state) => {
                self.profile(state, trouble);
                return Ok(());
            }
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
            Trouble::Restored => return self.restored(),
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
                self.world.cronofy.revoke();
                self.begins(trouble)
            }
        };
        self.count(trouble, struck);
        Ok(())
    }

    pub(super) fn count(&mut self, trouble: Trouble, struck: bool) {
        *self.report.struck.entry(trouble.kind()).or_default() += u64::from(struck);
    }

    pub(super) fn begins(&mut self, trouble: Trouble) -> bool {
        self.troubles.push(trouble);
        true
    }

    pub(super) fn end_after(&mut self, trouble: Trouble, span: SignedDuration) {
        self.put_on_agenda(later(self.time, span), Due::Happening(Happening::Ends(trouble)));
    }

    pub(super) fn crash(&mut self, driver: usize) {
        if let Some(process) = self.world.drivers.get_mut(driver) {
            process.crash();
            self.ledger.started = Some(self.time);
        }
        self.wake(driver, SignedDuration::from_secs(3));
    }

    pub(super) fn profile(&mut self, state: Fragile, trouble: Trouble) {
        self.backup = None;
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
    }

    pub(super) fn keep_what_is_there(&mut self) {
        let zone = &self.world.wanted.time_zone;
        let copy = self.world.store.snapshot().into_iter().flat_map(|copy| copy.events.values());
        let fragile = copy.filter(|event| event.calendar_id == FRAGILE);
        // What was deleted or moved before and is not told yet may go.
        let settled =
            fragile.filter(|event| self.world.cronofy.calendars.of(&event.id).iter().all(|entry| !entry.deleted));
        self.kept = settled.map(|event| (event.id.clone(), event.end.instant(zone))).collect();
        if !self.ledger.is_empty() {
            self.kept.clear();
        }
    }

    /// A read of everything shows nothing, once; only where so much is stored that it can be told from a few deletions.
    pub(super) fn hiccup(&mut self) -> Result<(), String> {
        if self.is_guarded() && self.ledger.is_empty() {
            self.world.cronofy.hiccup = true;
            self.edit(Edit::Request)?;
        }
        Ok(())
    }

    /// Whether the next read of everything shows nothing; no more where that would be taken for true by then.
    pub(super) fn hiccup_comes(&mut self) -> bool {
        self.world.cronofy.hiccup = self.world.cronofy.hiccup && self.is_guarded();
        self.world.cronofy.hiccup
    }

    /// Whether a read that shows nothing would not be taken for true: so much is stored of what is wanted now that it can be told
    /// from a few deletions, and none are held back already.
    fn is_guarded(&self) -> bool {
        let World { store, status, wanted, .. } = &self.world;
        let many = |copy: &Snapshot| copy.events.len() > 26 && copy.fingerprint == wanted.content_fingerprint();
        status.record.held.is_none() && store.snapshot().is_some_and(many)
    }

    pub(super) fn spoiled(&mut self, removed: bool) -> Result<(), String> {
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

    /// Copies the store, if everything it lacks will be told.
    pub(super) fn back_up(&mut self) {
        let told = self.world.cronofy.profile == Fragile::Connected && !self.has(Trouble::ShiftingPages);
        let told = told && self.time >= self.profile_until && self.ledger.count(Loss::Untold) == 0;
        self.backup = self.world.store.snapshot().filter(|_| told).cloned();
    }

    pub(super) fn restored(&mut self) -> Result<(), String> {
        let backup = self.backup.take();
        self.count(Trouble::Restored, backup.is_some());
        let Some(backup) = backup else { return Ok(()) };
        let since = later(backup.cursor, SignedDuration::from_mins(-5));
        let told = |uid: &&String| self.world.cronofy.calendars.of(uid).iter().any(|entry| entry.modified >= since);
        let told = self.uids.iter().filter(told).cloned().collect();
        self.kept.clear();
        self.world.restore(backup);
        self.copy = self.world.store.version();
        self.narrow_by = Some(later(self.time, SignedDuration::from_mins(1)));
        self.look_at(&told, Some(Loss::Restored))?;
        // What has come into the window since is read by the next sweep.
        self.look(Some(Loss::Entered))
    }

    pub(super) fn vanished(&mut self, numbers: &[usize]) -> Result<(), String> {
        self.backup = None;
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

    pub(super) fn ends(&mut self, trouble: Trouble) {
        self.day.disturbances += if let Trouble::Limited(_) = trouble { 3 } else { 1 };
        if let Some(at) = self.troubles.iter().position(|present| present.kind() == trouble.kind()) {
            self.troubles.remove(at);
        }
        match trouble {
            Trouble::Silent => self.muted.clear(),
            Trouble::ShiftingPages => self.world.cronofy.switches.shifting_pages = self.has(trouble),
            Trouble::Away | Trouble::Limited(_) => self.world.cronofy.refusing = None,
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
                let unknown = self.unknown_uids();
                self.ledger.forget(unknown.into_iter());
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
    }
}
