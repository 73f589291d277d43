//! What the owner changes, what becomes of the notifications, and what a person changes in the spec.

use std::collections::BTreeSet;

use calendar_sync::{Mode, NotificationType};
use jiff::{SignedDuration, Timestamp};

use super::{Due, Run};
use crate::happening::{Edit, Trouble};
use crate::ledger::Loss;
use crate::plan::{self, CALENDARS, MANAGED};
use crate::world::calendar::{event, times, uids};
use crate::world::cronofy::{FRAGILE, Fragile, Notification, is_about};
use crate::world::later;

impl Run<'_> {
    /// The owner changes or deletes an event: it can be read at once, or a little later, and is announced at once.
    pub(super) fn change(&mut self, number: usize, put: Option<(usize, i32, usize)>) -> Result<(), String> {
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
        self.changed(number, self.time, loss)
    }

    /// What differs of an event that has changed then differs since now, and for that reason.
    fn changed(&mut self, number: usize, modified: Timestamp, loss: Loss) -> Result<(), String> {
        let losses = uids(number).map(|uid| (self.loss_of(&uid, modified, loss), uid));
        for (loss, uid) in losses {
            let Some(loss) = loss else { continue };
            if loss == Loss::Untold {
                self.backup = None;
            }
            self.ledger.forget_others(&uid, loss);
            self.ledger.caused(std::iter::once(uid.clone()), self.time, loss);
            self.look_at(&BTreeSet::from([uid]), Some(loss))?;
        }
        Ok(())
    }

    /// What becomes of the change of one uid, if it changed then: a delta tells nothing of what has vanished, or left what is
    /// read without a trace.
    fn loss_of(&self, uid: &str, modified: Timestamp, loss: Loss) -> Option<Loss> {
        let calendars = &self.world.cronofy.calendars;
        let entries = calendars.of(uid);
        let vanished = calendars.is_untold(uid);
        if !entries.iter().any(|entry| entry.modified == modified) {
            return (entries.is_empty() && vanished).then_some(Loss::Untold);
        }
        let left = !calendars.style.tells_all() && !self.goal().is_shown(self.world.store.snapshot(), uid, modified);
        Some(if vanished || left { Loss::Untold } else { loss })
    }

    /// What was announced before is shown now, with the time at which it happened.
    pub(super) fn show(&mut self, number: usize, put: Option<(usize, i32, usize)>) -> Result<(), String> {
        let modified = later(self.time, SignedDuration::from_secs(-100));
        self.apply(number, put, modified);
        let loss = self.unannounced(Loss::ShownLate);
        self.changed(number, modified, loss)
    }

    pub(super) fn apply(
        &mut self,
        number: usize,
        put: Option<(usize, i32, usize)>,
        modified: Timestamp,
    ) -> BTreeSet<String> {
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

    pub(super) fn touched(&self, number: usize, put: Option<(usize, i32, usize)>) -> BTreeSet<String> {
        let from = self.world.cronofy.calendars.find(number).map(|entry| entry.event.calendar_id.clone());
        let to = put.map(|(calendar, ..)| place(calendar, self.world.cronofy.profile, number).to_owned());
        from.into_iter().chain(to).collect()
    }

    pub(super) fn unannounced(&self, loss: Loss) -> Loss {
        if self.world.wanted.mode == Mode::Poll { Loss::Polled } else { loss }
    }

    /// What becomes of the notification of a change that is about to be made.
    pub(super) fn announcement(&self, touched: &BTreeSet<String>) -> Loss {
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

    /// Sends what Cronofy has to tell on its way, or loses it.
    pub(super) fn send(&mut self) {
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
    pub(super) fn deliver(&mut self, notification: &Notification, tries: u32) {
        let live = self.world.cronofy.channels.iter().any(|channel| channel.id == notification.channel.id);
        if !self.has(Trouble::Down) && self.world.deliver(notification) {
            self.day.marks += 1;
            self.silence_found = None; // it was not silent, only slow
            return;
        }
        if !live {
            return;
        }
        if tries > 27 {
            self.world.cronofy.close(&notification.channel.id, self.world.now);
            self.ledger.relabel(&self.world.wanted, &[Loss::Announced], Loss::Lost);
            return;
        }
        let wait = SignedDuration::from_secs(60).saturating_mul(4_i32.saturating_pow(tries.min(3)));
        let time = later(self.time, wait.min(SignedDuration::from_hours(1)));
        self.put_on_agenda(time, Due::Delivery(notification.clone(), tries + 1));
    }

    pub(super) fn edit(&mut self, edit: Edit) -> Result<(), String> {
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
        if self.world.wanted.mode == Mode::Poll {
            let announced =
                [Loss::Announced, Loss::Lost, Loss::Closed, Loss::Fallback, Loss::ShownLate, Loss::OwnWrite];
            self.ledger.relabel(&self.world.wanted, &announced, Loss::Polled);
        }
        self.ledger.restart(&self.world.wanted, self.time);
        self.look(Some(Loss::Edited))
    }
}

/// The calendar that an event is put into: never one that Cronofy cannot read at present.
fn place(calendar: usize, profile: Fragile, number: usize) -> &'static str {
    let name = CALENDARS.get(calendar).copied().unwrap_or(FRAGILE);
    // The application writes into a calendar of its own.
    if number == MANAGED || (name == FRAGILE && profile != Fragile::Connected) { "cal_a" } else { name }
}
