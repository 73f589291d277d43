//! The simulation itself: it repeats exactly, finds nothing in short lives, and finds a bug that is put in.
//! Long lives, and all bugs, are run by `make simulate` with an optimised build.
#![allow(missing_docs, clippy::unwrap_used)]

use simulation::campaign::campaign;
use simulation::plan::Plan;
use simulation::plant::Bug;
use simulation::run::run;

#[test]
fn the_same_seed_makes_the_same_run() {
    let of = |seed| {
        let report = run(&Plan::new(seed, 40), None, false);
        (report.hash, report.requests, report.changes, report.divergence)
    };
    assert_eq!(of(7), of(7));
    assert_ne!(of(7).0, of(8).0);
}

#[test]
fn words_change_nothing_in_a_run() {
    let plan = Plan::new(11, 40);
    let (quiet, told) = (run(&plan, None, false), run(&plan, None, true));
    assert_eq!(quiet.hash, told.hash);
    assert!(quiet.journal.is_empty() && !told.journal.is_empty());
}

#[test]
fn short_lives_do_not_diverge() {
    let summary = campaign(1..9, 45, None, false);
    assert!(summary.divergences.is_empty(), "{:?}", summary.divergences);
    assert_eq!(summary.runs, 8);
    assert!(summary.struck.values().sum::<u64>() > 20, "{:?}", summary.struck);
}

#[test]
fn faults_and_crashes_strike_all_along_a_pass() {
    let summary = campaign(1..25, 60, None, false);
    for kind in ["look at the store", "read the first page", "store the events", "write the status"] {
        let struck = summary.steps.get(kind).copied().unwrap_or_default();
        assert!(struck.failed > 0 && struck.died > 0, "{kind}: {struck:?} of {:?}", summary.steps);
    }
}

#[test]
fn a_bug_that_is_put_in_is_found() {
    let summary = campaign(1..9, 45, Some(Bug::IgnoreTombstones), true);
    assert!(!summary.divergences.is_empty());
}

#[test]
fn every_bug_is_read_back_from_its_word() {
    for bug in Bug::ALL {
        assert_eq!(Bug::parse(bug.as_str()), Some(bug));
    }
    assert_eq!(Bug::parse("none"), None);
}
