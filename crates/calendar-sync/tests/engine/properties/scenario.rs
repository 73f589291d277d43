//! Sequences of whatever may happen to a subscription, and how they are played.

use std::collections::BTreeSet;
use std::time::Duration;

use calendar_sync::{
    Desired, Filter, Intervals, LONGEST_BACKOFF, Mode, NotificationType, Step, TimeZone, Visibility, Why, Window,
};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use simulation::world::World;
use simulation::world::calendar::{Moves, Style, event, times};
use simulation::world::cronofy::{FRAGILE, Fragile, Switches};
use simulation::world::driver::Progress;
use simulation::world::faults::{Fault, Refusal};

/// The number of the event that the application manages.
const MANAGED: usize = 4;

/// One thing that happens.
#[derive(Clone, Debug)]
pub enum Happening {
    /// An event is created, changed or moved: in time, into or out of the window, to another calendar.
    Put {
        number: usize,
        calendar: usize,
        days: i32,
        form: usize,
    },
    Delete {
        number: usize,
    },
    /// A notification arrives, whichever of those on their way; and may arrive once more.
    Deliver {
        which: prop::sample::Index,
        once_more: bool,
    },
    Lose {
        which: prop::sample::Index,
    },
    /// A driver takes some steps.
    Work {
        driver: usize,
        steps: usize,
    },
    /// A driver takes a step that a fault strikes.
    Struck {
        driver: usize,
        fault: Fault,
    },
    Crash {
        driver: usize,
    },
    Time {
        seconds: i64,
    },
    TokensExpire,
    /// A person asks for a full sync.
    Request,
    /// A person changes the spec.
    Edit {
        what: usize,
    },
    Suspend {
        suspended: bool,
    },
    /// A person spoils or removes the output.
    Spoil {
        remove: bool,
    },
    Profile(Fragile),
    /// Cronofy closes the channels, and tells nobody.
    AutoClose,
    /// A person changes the mode.
    Mode(Mode),
}

/// Which happenings a property is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cast {
    /// One driver at a time.
    Alone,
    /// Two drivers, neither of which knows of the other.
    Two,
}

pub fn happenings(cast: Cast, most: usize) -> impl Strategy<Value = Vec<Happening>> {
    prop::collection::vec(happening(cast), 0..most)
}

fn happening(cast: Cast) -> impl Strategy<Value = Happening> {
    let driver = move || match cast {
        Cast::Alone => (0..1_usize).boxed(),
        Cast::Two => (0..2_usize).boxed(),
    };
    let days = prop::sample::select(vec![-64, -43, -42, -41, -22, -1, 0, 3, 30, 199, 200, 201, 202, 209, 260]);
    let seconds = prop::sample::select(vec![1, 1, 30, 200, 3_600, 86_400, 86_400 * 8]);
    let profile = prop::sample::select(vec![Fragile::Connected, Fragile::Disconnected, Fragile::InitialSync]);
    prop_oneof![
        8 => (0..5_usize, 0..3_usize, days, 0..3_usize)
            .prop_map(|(number, calendar, days, form)| Happening::Put { number, calendar, days, form }),
        3 => (0..5_usize).prop_map(|number| Happening::Delete { number }),
        6 => (any::<prop::sample::Index>(), any::<bool>())
            .prop_map(|(which, once_more)| Happening::Deliver { which, once_more }),
        2 => any::<prop::sample::Index>().prop_map(|which| Happening::Lose { which }),
        14 => (driver(), 1..14_usize).prop_map(|(driver, steps)| Happening::Work { driver, steps }),
        5 => (driver(), fault()).prop_map(|(driver, fault)| Happening::Struck { driver, fault }),
        3 => driver().prop_map(|driver| Happening::Crash { driver }),
        5 => seconds.prop_map(|seconds| Happening::Time { seconds }),
        1 => Just(Happening::TokensExpire),
        1 => Just(Happening::Request),
        2 => (0..10_usize).prop_map(|what| Happening::Edit { what }),
        1 => any::<bool>().prop_map(|suspended| Happening::Suspend { suspended }),
        1 => any::<bool>().prop_map(|remove| Happening::Spoil { remove }),
        1 => profile.prop_map(Happening::Profile),
        1 => Just(Happening::AutoClose),
        1 => prop::sample::select(vec![Mode::Push, Mode::Poll]).prop_map(Happening::Mode),
    ]
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        4 => Just(Fault::AnswerLost),
        6 => prop::sample::select(vec![
            Refusal::Unavailable,
            Refusal::Timeout,
            Refusal::Unauthorized,
            Refusal::PageGone,
            Refusal::RateLimited(None),
            Refusal::RateLimited(Some(0)),
            Refusal::RateLimited(Some(90)),
            Refusal::RateLimited(Some(1_000_000)),
        ]).prop_map(Fault::Refused),
    ]
}

/// A world in which everything is switched one way or the other.
pub fn world() -> impl Strategy<Value = World> {
    let moves = prop::sample::select(vec![Moves::SameUid, Moves::SameUid, Moves::NewUid, Moves::Silently]);
    let style = (moves, prop::bool::weighted(0.1), any::<bool>(), any::<bool>()).prop_map(
        |(moves, no_tombstones, latest_first, beyond_range)| Style {
            moves,
            no_tombstones,
            latest_first,
            beyond_range,
            edges_in_zone: latest_first,
        },
    );
    let switches = (
        (any::<bool>(), any::<bool>(), 1..4_usize, any::<bool>()),
        (prop::bool::weighted(0.8), prop::sample::select(vec![-1_800, 0, 0, 1_800]), -600..600_i64),
    );
    let switches =
        switches.prop_map(|((second_channel, closed_listed, page_size, live_pages), (date, skew, off))| Switches {
            second_channel,
            closed_listed,
            page_size,
            live_pages,
            shifting_pages: false,
            tells_time: date,
            rotates: second_channel,
            grace: closed_listed,
            skew: SignedDuration::from_secs(skew),
            changes_since_off: SignedDuration::from_secs(off),
            listing_lag: SignedDuration::ZERO,
        });
    let visibility = prop::sample::select(vec![Visibility::Busy, Visibility::Titles, Visibility::Full]);
    (style, switches, visibility).prop_map(|(style, switches, visibility)| {
        let now: Timestamp = "2026-03-27T09:30:00.25Z".parse().unwrap();
        World::new(now, desired(visibility), switches, style)
    })
}

pub fn desired(visibility: Visibility) -> Desired {
    Desired {
        uid: "6f1c2f0e-0000-4000-8000-000000000001".to_owned(),
        filter: Filter::default(),
        time_zone: TimeZone::utc(),
        window: Window::default(),
        mode: Mode::Push,
        intervals: Intervals::default(),
        visibility,
        suspended: false,
        callback_base: Some("https://calendars.example.org".to_owned()),
        request: None,
        inputs: String::new(),
        deletion: None,
    }
}

/// Plays what happens.
pub fn play(world: &mut World, happenings: Vec<Happening>) {
    for (turn, happening) in happenings.into_iter().enumerate() {
        play_one(world, &happening, turn);
        assert_eq!(world.violation(), None, "{happening:?}");
    }
}

fn play_one(world: &mut World, happening: &Happening, turn: usize) {
    let clock = world.cronofy.clock(world.now);
    match *happening {
        Happening::Put { number, calendar, days, form } => {
            let (start, end) = times(world.now, days, form);
            let event = event(["cal_a", FRAGILE, "cal_c"][calendar], (start, end), turn);
            let managed = number == MANAGED;
            let touched = world.cronofy.calendars.put(number, event, managed, clock);
            announce(world, &touched, managed);
        }
        Happening::Delete { number } => {
            let touched = world.cronofy.calendars.delete(number, clock);
            announce(world, &touched, number == MANAGED);
        }
        Happening::Deliver { ref which, once_more } => {
            if !world.cronofy.outbox.is_empty() {
                let which = which.index(world.cronofy.outbox.len());
                let notification = world.cronofy.outbox[which].clone();
                world.deliver(&notification);
                if !once_more {
                    world.cronofy.outbox.remove(which);
                }
            }
        }
        Happening::Lose { ref which } => {
            if !world.cronofy.outbox.is_empty() {
                let which = which.index(world.cronofy.outbox.len());
                world.cronofy.outbox.remove(which);
            }
        }
        Happening::Work { driver, steps } => work(world, driver, steps),
        Happening::Struck { driver, fault } => {
            world.step(driver, Some(fault));
        }
        Happening::Crash { driver } => world.drivers[driver].crash(),
        Happening::Time { seconds } => world.pass_time(SignedDuration::from_secs(seconds)),
        Happening::TokensExpire => world.cronofy.expire_tokens(),
        Happening::Request => request(world),
        Happening::Edit { what } => world.want(|desired| edit(desired, what)),
        Happening::Suspend { suspended } => world.want(|desired| desired.suspended = suspended),
        Happening::Spoil { remove: true } => world.store.erase(),
        Happening::Spoil { remove: false } => world.store.damage(),
        Happening::Profile(profile) => set_profile(world, profile),
        Happening::AutoClose => {
            // One that stays in the listing can only be missed by what it does not announce.
            let listed = world.cronofy.switches.closed_listed;
            for channel in world.own_channels().into_iter().filter(|_| !listed) {
                world.cronofy.close(&channel.id, world.now);
            }
        }
        Happening::Mode(mode) => world.want(|desired| desired.mode = mode),
    }
}

/// Steps of a driver, until it rests.
fn work(world: &mut World, driver: usize, steps: usize) {
    for _ in 0..steps {
        match world.step(driver, None) {
            Progress::Going => {}
            Progress::Rested(step) => return assert_patient(world, &step),
            Progress::Failed => return,
        }
    }
}

/// Never longer than an hour, less than a tenth of it aside that spreads a fleet.
fn assert_patient(world: &World, step: &Step) {
    if let Step::Wait { until: Some(until), why: Why::Retry } = step {
        let wait = Duration::try_from(until.duration_since(world.now)).unwrap();
        assert!(wait <= LONGEST_BACKOFF + LONGEST_BACKOFF / 10 + Duration::from_secs(1), "{wait:?}");
    }
}

fn announce(world: &mut World, touched: &BTreeSet<String>, managed: bool) {
    // What the application itself changes is not told to it.
    if !managed && !touched.is_empty() {
        world.cronofy.announce_change(touched, world.now);
    }
}

pub fn request(world: &mut World) {
    let number = world.audit.tick();
    world.want(|desired| desired.request = Some(format!("request {number}")));
}

pub fn set_profile(world: &mut World, profile: Fragile) {
    let announced = match profile {
        Fragile::Connected => NotificationType::ProfileInitialSyncCompleted,
        Fragile::Disconnected => NotificationType::ProfileDisconnected,
        Fragile::InitialSync => NotificationType::Change,
    };
    world.audit.profile_broke |= profile != Fragile::Connected;
    world.cronofy.profile = profile;
    world.cronofy.announce(announced);
}

fn edit(desired: &mut Desired, what: usize) {
    let calendars = |ids: &[&str]| Some(ids.iter().map(|&id| id.to_owned()).collect());
    match what {
        0 => desired.filter = Filter::default(),
        1 => desired.filter.calendar_ids = calendars(&["cal_a"]),
        2 => desired.filter.calendar_ids = calendars(&["cal_c", FRAGILE]),
        3 => desired.filter.include_managed = !desired.filter.include_managed,
        4 => desired.filter.only_managed = !desired.filter.only_managed,
        5 => desired.visibility = Visibility::Busy,
        6 => desired.visibility = Visibility::Full,
        7 => desired.window = Window::new(2, 30),
        8 => desired.time_zone = TimeZone::parse("America/New_York").unwrap(),
        _ => desired.callback_base = Some("https://other.example.org/in".to_owned()),
    }
}

impl Happening {
    /// Whether a person asks for a full sync, which ends an erasure.
    pub fn asks(&self) -> bool {
        matches!(self, Happening::Request)
    }

    /// Whether a person does it.
    pub fn is_of_a_person(&self) -> bool {
        matches!(
            self,
            Happening::Request
                | Happening::Edit { .. }
                | Happening::Suspend { .. }
                | Happening::Spoil { .. }
                | Happening::Mode(_)
        )
    }

    /// Whether a process does it, or suffers it.
    pub fn is_of_a_driver(&self) -> bool {
        matches!(self, Happening::Work { .. } | Happening::Struck { .. } | Happening::Crash { .. })
    }
}
