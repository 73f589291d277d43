//! Runs the engine through years of virtual time with faults, and says what came of it.

use std::process::ExitCode;

use clap::Parser;
use simulation::campaign::campaign;
use simulation::plan::Plan;
use simulation::plant::Bug;
use simulation::run::run;

/// Runs the engine through years of virtual time with faults. Exits non-zero if anything diverges, or a planted bug is not
/// found.
#[derive(Debug, Parser)]
#[command(name = "simulate")]
struct Arguments {
    /// How many runs.
    #[arg(long, default_value_t = 500)]
    seeds: u64,
    /// The seed of the first run; each next one has the next seed.
    #[arg(long, default_value_t = 1)]
    first_seed: u64,
    /// Simulated days of each run.
    #[arg(long, default_value_t = 400)]
    days: u32,
    /// Replays the run of this seed: prints what happens in it, and the last 50 steps.
    #[arg(long)]
    seed: Option<u64>,
    /// Puts a bug between engine and world that must be found: one of them, or `all`.
    #[arg(long)]
    plant: Option<String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let Arguments { seed, plant, .. } = &arguments;
    let bugs = match plant.as_deref() {
        None => Vec::new(),
        Some("all") => Bug::ALL.to_vec(),
        Some(word) => {
            let Some(bug) = Bug::parse(word) else {
                eprintln!("no bug {word:?}: there are {}", Bug::ALL.map(Bug::as_str).join(", "));
                return ExitCode::FAILURE;
            };
            vec![bug]
        }
    };
    let right = match (seed, bugs.as_slice()) {
        (Some(seed), bugs) => replay(*seed, arguments.days, bugs.first().copied()),
        (None, []) => simulate(&arguments),
        (None, bugs) => plant_each(&arguments, bugs),
    };
    if right { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn simulate(arguments: &Arguments) -> bool {
    let Arguments { seeds, first_seed, days, .. } = arguments;
    println!("simulate --seeds {seeds} --first-seed {first_seed} --days {days}\n");
    let summary = campaign(*first_seed..first_seed.saturating_add(*seeds), *days, None, false);
    println!("{summary}");
    for (seed, what) in &summary.divergences {
        println!("seed {seed} diverges: {what}\n  replay: simulate --days {days} --seed {seed}");
    }
    summary.divergences.is_empty()
}

/// Each bug must be found by one of the runs.
fn plant_each(arguments: &Arguments, bugs: &[Bug]) -> bool {
    let Arguments { seeds, first_seed, days, .. } = arguments;
    println!("| planted bug | found by seed | as |\n| --- | ---: | --- |");
    let mut caught = 0;
    for &bug in bugs {
        let summary = campaign(*first_seed..first_seed.saturating_add(*seeds), *days, Some(bug), true);
        match summary.divergences.first_key_value() {
            Some((seed, what)) => {
                caught += 1;
                println!("| {bug} | {seed} | {} |", what.chars().take(110).collect::<String>());
            }
            None => println!("| {bug} | none of {} | |", summary.runs),
        }
    }
    println!("\nplanted {}, caught {caught}", bugs.len());
    caught == bugs.len()
}

fn replay(seed: u64, days: u32, bug: Option<Bug>) -> bool {
    let plan = Plan::new(seed, days);
    println!("{:#?}\n{:?}\n{:?}\n", plan.desired, plan.switches, plan.style);
    for (time, happening) in &plan.happenings {
        println!("{time} {happening}");
    }
    let report = run(&plan, bug, true);
    println!("\nthe last steps (time, process, step; 9 is what happens outside):");
    report.journal.iter().for_each(|line| println!("{line}"));
    println!("\ntrace {:016x}", report.hash);
    match &report.divergence {
        Some(what) => println!("diverges: {what}"),
        None => println!("no divergence"),
    }
    report.divergence.is_none()
}
