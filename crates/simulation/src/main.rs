//! Runs the simulation.

use clap::Parser;
use simulation::plan::Plan;
use simulation::run::run;

#[derive(Parser)]
struct Arguments {
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    #[arg(long, default_value_t = 1)]
    first_seed: u64,
    #[arg(long, default_value_t = 400)]
    days: u32,
    #[arg(long)]
    seed: Option<u64>,
}

fn main() {
    let a = Arguments::parse();
    if let Some(seed) = a.seed {
        let plan = Plan::new(seed, a.days);
        println!("{:#?}", plan.desired);
        println!("{:#?}", plan.switches);
        let r = run(&plan, None, true);
        for (t, h) in &plan.happenings {
            println!("{t} {h}");
        }
        for l in &r.journal {
            println!("{l}");
        }
        println!("{:?}", r.divergence);
        return;
    }
    let mut bad = 0;
    for seed in a.first_seed..a.first_seed + a.seeds {
        let plan = Plan::new(seed, a.days);
        let t = std::time::Instant::now();
        let r = run(&plan, None, false);
        let ms = t.elapsed().as_millis();
        if let Some(d) = r.divergence {
            bad += 1;
            println!("{seed} {ms}ms {:.250}", d);
        } else {
            println!("{seed} {ms}ms ok {} requests {} changes", r.requests, r.changes);
        }
    }
    println!("{bad} of {}", a.seeds);
}
