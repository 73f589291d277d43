//! What holds whatever happens, in whatever order: remote changes, notifications that are lost, doubled, late or out of order,
//! failures, lost answers, and crashes between any two steps. The world judges every step; here, how it ends.
//!
//! The cases are the same in every run. `PROPTEST_CASES` asks for more of them, and other ones each time.

pub mod scenario;

use calendar_sync::{Mode, NotificationType, Reason, Step, Stop};
use jiff::SignedDuration;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use self::scenario::{Cast, happenings, play, request, set_profile, world};
use simulation::world::World;
use simulation::world::cronofy::Fragile;
use simulation::world::faults::{Refusal, TERMINAL};
use simulation::world::goal::{is_copied, is_erased, is_quiet};

fn cases(cases: u32) -> ProptestConfig {
    let default = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    if std::env::var_os("PROPTEST_CASES").is_some() {
        default
    } else {
        ProptestConfig { cases, rng_seed: RngSeed::Fixed(0x0ca1_e2da), ..default }
    }
}

/// The last read, after which the copy must be right.
#[derive(Clone, Copy, Debug)]
enum Last {
    Delta,
    Full,
}

/// Everything calms down, one more read is made: the copy is right, and stays.
fn calm_down(world: &mut World, last: Last) {
    // A lost answer may have taken the refresh token with it: a person authorizes anew.
    world.status.grant = world.cronofy.grant;
    world.want(|desired| (desired.suspended, desired.mode) = (false, Mode::Push));
    deliver_all(world);
    if world.audit.profile_broke {
        set_profile(world, Fragile::Connected);
    }
    world.settle().unwrap();
    // Whatever became of the channel is found out by the next look at it.
    world.pass_time(SignedDuration::from_hours(12));
    world.settle().unwrap();
    deliver_all(world);
    world.settle().unwrap();
    let told_by_a_delta = world.cronofy.calendars.style.tells_all() && !world.audit.profile_broke;
    match last {
        Last::Delta if told_by_a_delta => assert!(world.notify(NotificationType::Change), "the channel works"),
        Last::Delta | Last::Full => request(world),
    }
    let rest = world.settle().unwrap();
    is_copied(world, &rest).unwrap();
    is_quiet(world, &rest).unwrap();
}

/// What is on its way arrives.
fn deliver_all(world: &mut World) {
    for notification in std::mem::take(&mut world.cronofy.outbox) {
        world.deliver(&notification);
    }
}

fn last() -> impl Strategy<Value = Last> {
    prop_oneof![Just(Last::Delta), Just(Last::Full)]
}

proptest! {
    #![proptest_config(cases(500))]

    #[test]
    fn the_copy_is_right_after_one_more_read_whatever_happened(
        mut world in world(), happenings in happenings(Cast::Alone, 60), last in last(),
    ) {
        play(&mut world, happenings);
        calm_down(&mut world, last);
    }

    #[test]
    fn two_drivers_that_do_not_know_of_each_other_do_no_harm(
        mut world in world(), happenings in happenings(Cast::Two, 60), last in last(),
    ) {
        play(&mut world, happenings);
        world.drivers[1].crash();
        calm_down(&mut world, last);
    }
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn a_demand_for_erasure_is_met_whatever_else_happens(
        mut world in world(),
        before in happenings(Cast::Two, 30),
        after in happenings(Cast::Two, 30),
        asked_anew in any::<bool>(),
    ) {
        play(&mut world, before);
        world.pass();
        let demanded = world.notify(NotificationType::GdprRequested);
        let unasked = after.into_iter().filter(|happening| !happening.asks());
        play(&mut world, unasked.collect());
        world.drivers[1].crash();
        let rest = world.settle().unwrap();
        if demanded {
            is_erased(&world, &rest).unwrap();
            is_quiet(&world, &rest).unwrap();
        }
        if asked_anew {
            request(&mut world);
            calm_down(&mut world, Last::Full);
        }
    }

    #[test]
    fn a_deletion_ends_and_leaves_nothing_behind(
        mut world in world(),
        before in happenings(Cast::Alone, 30),
        after in happenings(Cast::Alone, 30),
        retain in any::<bool>(),
        abandon in prop::bool::weighted(0.2),
    ) {
        play(&mut world, before);
        world.delete(retain, abandon);
        play(&mut world, after);
        let begun = world.now;
        world.settle().unwrap();
        assert!(world.gone);
        assert!(world.now.duration_since(begun) <= SignedDuration::from_hours(2), "no faults, no waiting");
    }

    #[test]
    fn a_deletion_ends_within_a_day_if_cronofy_never_answers(
        mut world in world(),
        before in happenings(Cast::Alone, 30),
        refusal in prop::sample::select(vec![Refusal::Unavailable, Refusal::Timeout, Refusal::InvalidGrant, Refusal::Forbidden]),
    ) {
        play(&mut world, before);
        world.delete(false, false);
        world.cronofy.refusing = Some(refusal);
        let begun = world.now;
        world.settle().unwrap();
        assert!(world.gone && world.store.is_empty());
        assert!(world.now.duration_since(begun) <= SignedDuration::from_hours(26));
    }

    #[test]
    fn what_only_a_person_can_mend_costs_no_request_until_a_person_does(
        mut world in world(),
        before in happenings(Cast::Alone, 30),
        meanwhile in happenings(Cast::Alone, 30),
        refusal in prop::sample::select(TERMINAL.to_vec()),
    ) {
        play(&mut world, before);
        world.want(|desired| desired.suspended = false);
        set_profile(&mut world, Fragile::Connected);
        world.settle().unwrap();
        world.cronofy.expire_tokens();
        world.cronofy.refusing = Some(refusal);
        request(&mut world);
        let rest = world.settle().unwrap();
        assert!(
            matches!(rest, Step::Stop(Stop::Failed(
                Reason::AuthorizationRevoked | Reason::PlanRequired | Reason::InsufficientScope | Reason::InvalidRequest
            ))),
            "{rest:?}"
        );
        let (requests, begun) = (world.cronofy.requests, world.now);
        let of_others = meanwhile.into_iter().filter(|happening| !happening.is_of_a_person() && !happening.is_of_a_driver());
        for happening in of_others {
            play(&mut world, vec![happening]);
            assert_eq!(world.pass(), Some(rest.clone()));
        }
        // What is mended at Cronofy is looked for once an hour: a token, and a call.
        let hours = world.now.duration_since(begun).as_hours().try_into().unwrap_or(0);
        let tries = if refusal == Refusal::Unprocessable { 0 } else { hours };
        assert!(world.cronofy.requests - requests <= tries * 2, "{} in {hours} h", world.cronofy.requests - requests);
        world.cronofy.refusing = None;
        calm_down(&mut world, Last::Full);
    }
}
