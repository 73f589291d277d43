//! Many runs, over all cores: what they came to, together.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZero;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::SignedDuration;

use crate::ledger::{Loss, Repair};
use crate::plan::Plan;
use crate::plant::Bug;
use crate::run::{Report, Struck, run};

/// What the runs came to.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// How many.
    pub runs: u64,
    /// Simulated days of each.
    pub days: u32,
    /// The seeds of those that went wrong, and what did.
    pub divergences: BTreeMap<u64, String>,
    /// Troubles that struck, by kind.
    pub struck: BTreeMap<&'static str, u64>,
    /// What befell single steps, by their kind.
    pub steps: BTreeMap<&'static str, Struck>,
    /// The slowest repair of each kind.
    pub slowest: BTreeMap<Loss, Repair>,
    /// Requests to Cronofy.
    pub requests: u64,
    /// Changes of the calendars.
    pub changes: u64,
}

impl Summary {
    fn take(&mut self, seed: u64, report: Report) {
        let Report { divergence, struck, steps, slowest, requests, changes, hash: _, journal: _ } = report;
        self.runs += 1;
        self.requests += requests;
        self.changes += changes;
        self.divergences.extend(divergence.map(|what| (seed, what)));
        for (kind, count) in struck {
            *self.struck.entry(kind).or_default() += count;
        }
        for (kind, struck) in steps {
            self.steps.entry(kind).or_default().join(struck);
        }
        for (loss, repair) in slowest {
            self.slowest.entry(loss).and_modify(|slowest| slowest.join(repair)).or_insert(repair);
        }
    }
}

/// Runs these seeds, `stop_at` the first divergence if asked.
#[must_use]
pub fn campaign(seeds: Range<u64>, days: u32, bug: Option<Bug>, stop_at_first: bool) -> Summary {
    let summary = Mutex::new(Summary { days, ..Summary::default() });
    let next = AtomicU64::new(seeds.start);
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let report = run(&Plan::new(seed, days), bug, false);
                    let diverged = report.divergence.is_some();
                    summary.lock().unwrap_or_else(PoisonError::into_inner).take(seed, report);
                    if diverged && stop_at_first {
                        next.store(seeds.end, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    summary.into_inner().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Summary { runs, days, divergences, struck, steps, slowest, requests, changes } = self;
        let faults: u64 = struck.values().sum();
        writeln!(f, "| runs | days each | changes | faults | requests a day | divergences |")?;
        writeln!(f, "| ---: | ---: | ---: | ---: | ---: | ---: |")?;
        let run_days = runs.saturating_mul(u64::from(*days)).max(1);
        let per_day = requests / run_days;
        writeln!(f, "| {runs} | {days} | {changes} | {faults} | {per_day} | {} |\n", divergences.len())?;
        writeln!(f, "| why a change was not there at once | times | slowest | its bound | bounded by |")?;
        writeln!(f, "| --- | ---: | ---: | ---: | --- |")?;
        for loss in Loss::ALL {
            if let Some(Repair { count, took, bound }) = slowest.get(&loss) {
                let (took, bound) = (span(*took), span(*bound));
                writeln!(f, "| {} | {count} | {took} | {bound} | {} |", loss.as_str(), loss.field())?;
            }
        }
        writeln!(f, "\n| fault | struck |\n| --- | ---: |")?;
        struck.iter().try_for_each(|(kind, count)| writeln!(f, "| {kind} | {count} |"))?;
        writeln!(f, "\n| step | faults that struck it | crashes after it |\n| --- | ---: | ---: |")?;
        steps.iter().try_for_each(|(kind, Struck { failed, died })| writeln!(f, "| {kind} | {failed} | {died} |"))
    }
}

/// A span in its two largest units.
fn span(span: SignedDuration) -> String {
    let seconds = span.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, ..) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}
