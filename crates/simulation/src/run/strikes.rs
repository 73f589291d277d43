//! Faults of single steps, and crashes: each waits for a step that it can strike, so that any step of a pass is struck.

use calendar_sync::Step;
use jiff::SignedDuration;

use super::Run;
use crate::happening::Trouble;
use crate::world::driver::{Pass, Progress};
use crate::world::faults::Fault;
use crate::world::journal;

/// Steps of a pass that a fault passes over, at most.
const MOST_PASSED_OVER: u32 = 9;
/// The same of faults that few steps can suffer.
const FEW_PASSED_OVER: u32 = 2;

/// What befell steps of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Struck {
    /// Faults that struck one.
    pub failed: u64,
    /// Processes that died after one, in the middle of a pass.
    pub died: u64,
}

impl Struck {
    /// Takes more in.
    pub fn join(&mut self, other: Self) {
        self.failed += other.failed;
        self.died += other.died;
    }
}

/// What waits for its step.
#[derive(Clone, Debug, Default)]
pub(super) struct Strikes {
    /// Faults, and how many steps that could suffer it each passes over.
    faults: Vec<(Fault, u32)>,
    /// Steps at work until the process dies.
    crash: Option<u32>,
}

impl Strikes {
    fn fault_of(&mut self, step: &Step, pass: &Pass) -> Option<Fault> {
        let at = self.faults.iter_mut().position(|(fault, over)| {
            let applies = fault.applies_to(step, pass);
            let now = applies && *over == 0;
            *over = over.saturating_sub(u32::from(applies));
            now
        })?;
        Some(self.faults.swap_remove(at).0)
    }

    /// Whether the process dies after this step.
    fn crashes(&mut self) -> bool {
        let dies = self.crash == Some(0);
        self.crash = self.crash.and_then(|over| over.checked_sub(1));
        dies
    }
}

impl Run<'_> {
    /// A fault waits for one of the next steps that it applies to.
    pub(super) fn await_step(&mut self, fault: Fault) {
        let most = if fault.is_of_few_steps() { FEW_PASSED_OVER } else { MOST_PASSED_OVER };
        let over = self.random.u32(0..=most);
        self.strikes.faults.push((fault, over));
    }

    /// The process dies: while it rests, or after one of its next steps.
    pub(super) fn dies(&mut self) -> bool {
        let rests = self.random.u8(0..4) == 0;
        if rests {
            self.crash(0);
        } else {
            self.strikes.crash = Some(self.random.u32(0..=MOST_PASSED_OVER));
        }
        rests
    }

    /// A driver takes a step, which may be struck.
    pub(super) fn step(&mut self, driver: usize) -> Progress {
        if self.time >= self.plan.calm {
            self.strikes = Strikes::default();
            self.world.cronofy.hiccup = false;
        }
        let refusing = self.world.cronofy.refusing.is_some();
        let token = self.world.drivers.get(driver).is_some_and(|driver| driver.has_good_token(&self.world));
        let strikes = &mut self.strikes;
        let (mut struck, mut kind) = (None, "");
        let progress = self.world.step_struck(driver, &mut |step, pass| {
            kind = journal::kind(step);
            // What is refused anyway suffers no other fault.
            let refused = step.needs_token() && (refusing || !token) || *step == Step::RefreshToken && refusing;
            struck = (!refused).then(|| strikes.fault_of(step, pass)).flatten();
            struck
        });
        if let Some(fault) = struck {
            self.report.steps.entry(kind).or_default().failed += 1;
            self.struck_by(fault);
        }
        if progress == Progress::Going && self.strikes.crashes() {
            self.day.disturbances += 1;
            self.report.steps.entry(kind).or_default().died += 1;
            self.count(Trouble::Crash, true);
            self.crash(driver);
        }
        progress
    }

    fn struck_by(&mut self, fault: Fault) {
        self.day.disturbances += 1;
        self.count(Trouble::Step(fault), true);
        self.ledger.over = Some(self.time);
        if !self.world.cronofy.knows(self.world.status.grant) && !self.has(Trouble::Revoked) {
            // The answer with the refresh token that replaces ours is lost: a person has to authorize anew.
            self.begins(Trouble::Revoked);
            let after = SignedDuration::from_secs(self.random.i64(1_800..43_200));
            self.end_after(Trouble::Revoked, after);
        }
    }
}
