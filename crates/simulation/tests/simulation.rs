//! The simulation itself: it repeats exactly, finds nothing in short lives, and finds a bug that is put in.
//! Long lives, and all bugs, are run by `make simulate` with an optimised build.
#![allow(missing_docs, clippy::unwrap_used)]

use calendar_sync::{Reason, Step, Stop};
use simulation::campaign::campaign;
use simulation::plan::Plan;
use simulation::plant::Bug;
use simulation::run::run;
use simulation::world::World;
use simulation::world::calendar::Style;
use simulation::world::cronofy::Switches;
use simulation::world::faults::Fault;
use simulation::world::goal::is_regular;

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
fn short_lives_do_not_diverge_though_their_passes_are_struck_all_along() {
    let summary = campaign(1..41, 45, None, false);
    assert!(summary.divergences.is_empty(), "{:?}", summary.divergences);
    assert_eq!(summary.runs, 40);
    assert!(summary.struck.values().sum::<u64>() > 20, "{:?}", summary.struck);
    for kind in ["look at the store", "read the first page", "store the events", "write the status"] {
        let struck = summary.steps.get(kind).copied().unwrap_or_default();
        assert!(struck.failed > 0 && struck.died > 0, "{kind}: {struck:?} of {:?}", summary.steps);
    }
}

/// The operator stores a refresh token before it uses what came with it: one that never reaches it is not its to store.
#[test]
fn a_refresh_token_lost_with_its_answer_needs_a_person_unless_the_one_before_is_still_good() {
    for grace in [true, false] {
        let plan = Plan::new(7, 40);
        let switches = Switches { rotates: true, grace, ..Switches::default() };
        let mut world = World::new(plan.begin, plan.desired.clone(), switches, Style::default());
        let mut lost = false;
        while !lost {
            world.step_struck(0, &mut |step, _| {
                lost = *step == Step::RefreshToken;
                lost.then_some(Fault::AnswerLost)
            });
        }
        let rest = world.settle().unwrap();
        if grace {
            assert!(is_regular(&rest), "{rest:?}");
        } else {
            assert_eq!(rest, Step::Stop(Stop::Failed(Reason::AuthorizationRevoked)));
        }
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
