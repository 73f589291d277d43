//! What a seed makes: a subscription, a service, and all that will happen.

use std::collections::BTreeSet;
use std::time::Duration;

use calendar_sync::{Desired, Filter, Intervals, Mode, TimeZone, Visibility, Window};
use fastrand::Rng;
use jiff::{SignedDuration, Timestamp};

use crate::happening::{Edit, Happening, Trouble, ZONES};
use crate::world::calendar::{Moves, Style};
use crate::world::cronofy::{FRAGILE, Fragile, Switches};
use crate::world::faults::{Fault, Refusal};
use crate::world::later;

/// The calendars of the account.
pub const CALENDARS: [&str; 3] = ["cal_a", FRAGILE, "cal_c"];
/// The event that the application manages.
pub const MANAGED: usize = 0;
/// Days at the end in which nothing goes wrong any more.
const CALM_DAYS: i64 = 14;
const DAY: i64 = 24 * 60 * 60;

/// A run as it is planned.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed it comes from.
    pub seed: u64,
    /// When it begins.
    pub begin: Timestamp,
    /// From when on nothing goes wrong.
    pub calm: Timestamp,
    /// When it ends.
    pub end: Timestamp,
    /// The subscription at first.
    pub desired: Desired,
    /// The service.
    pub switches: Switches,
    /// Its calendars.
    pub style: Style,
    /// How many events there are at most.
    pub events: usize,
    /// What happens, in the order of time.
    pub happenings: Vec<(Timestamp, Happening)>,
}

impl Plan {
    /// The plan of that seed.
    #[must_use]
    pub fn new(seed: u64, days: u32) -> Self {
        let mut random = Rng::with_seed(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1));
        // A year's end and a leap day lie within 400 days of any of these.
        let first = Timestamp::from_second(1_811_808_000).unwrap_or(Timestamp::UNIX_EPOCH); // 1 June 2027
        let begin = later(first, SignedDuration::from_secs(random.i64(0..200 * DAY)));
        let length = i64::from(days).max(CALM_DAYS + 1) * DAY;
        let end = later(begin, SignedDuration::from_secs(length));
        let calm = later(end, SignedDuration::from_secs(-CALM_DAYS * DAY));
        let mut plan = Self {
            seed,
            begin,
            calm,
            end,
            desired: desired(&mut random),
            switches: switches(&mut random),
            style: style(&mut random),
            events: random.usize(26..48),
            happenings: Vec::new(),
        };
        plan.changes(&mut random, length);
        plan.troubles(&mut random);
        plan.edits(&mut random);
        plan.happenings.sort_by_key(|(time, _)| *time);
        plan
    }

    fn at(&mut self, time: Timestamp, happening: Happening) {
        self.happenings.push((time, happening));
    }

    /// The owner's days.
    fn changes(&mut self, random: &mut Rng, length: i64) {
        for number in 0..self.events {
            let put = put(random, number);
            self.at(self.begin, put);
        }
        let count = length / DAY * 5 / 4;
        for _ in 0..count {
            let time = later(self.begin, SignedDuration::from_millis(random.i64(0..(length - DAY) * 1_000)));
            let happening = self.change(random);
            self.at(time, happening);
        }
    }

    fn change(&self, random: &mut Rng) -> Happening {
        let number = random.usize(1..self.events);
        if random.u8(..) < 40 { Happening::Delete { number } } else { put(random, number) }
    }

    /// Something goes wrong every few days; in every third run, several things may at once.
    fn troubles(&mut self, random: &mut Rng) {
        let crowded = self.seed.is_multiple_of(3);
        let mut time = later(self.begin, SignedDuration::from_hours(random.i64(1..48)));
        loop {
            let trouble = trouble(random, self.events);
            let lasts = lasts(random, trouble);
            let over = later(time, lasts);
            if over >= self.calm {
                break;
            }
            if !is_passable(trouble, &self.desired, self.switches) {
                continue;
            }
            self.at(time, Happening::Strikes(trouble));
            if let Trouble::Profile(Fragile::Disconnected) = trouble {
                let half = later(time, lasts / 2);
                self.at(half, Happening::Strikes(Trouble::Profile(Fragile::InitialSync)));
            }
            if lasts > SignedDuration::ZERO {
                self.at(over, Happening::Ends(trouble));
            }
            if matches!(trouble, Trouble::Away | Trouble::Suspended | Trouble::Revoked) && random.bool() {
                // What must not be shown any more goes also while nothing can be read.
                self.at(later(time, lasts / 3), Happening::Edit(Edit::Visibility(Visibility::Busy)));
            }
            for _ in 0..random.usize(1..3) {
                let within = random.i64(0..lasts.as_secs().max(120));
                let happening = self.change(random);
                self.at(later(time, SignedDuration::from_secs(within)), happening);
            }
            let pause = if crowded { random.i64(DAY / 4..DAY * 3) } else { random.i64(DAY * 3 / 2..DAY * 5) };
            time = later(if crowded { time } else { over }, SignedDuration::from_secs(pause));
        }
    }

    /// A person changes the spec now and then.
    fn edits(&mut self, random: &mut Rng) {
        let mut time = later(self.begin, SignedDuration::from_hours(random.i64(24..24 * 30)));
        while time < self.calm {
            let happening = Happening::Edit(edit(random));
            self.at(time, happening);
            time = later(time, SignedDuration::from_secs(random.i64(DAY * 5..DAY * 40)));
        }
        self.at(self.calm, Happening::Edit(Edit::Request));
    }
}

fn put(random: &mut Rng, number: usize) -> Happening {
    const EDGES: [i32; 14] = [-43, -42, -41, -22, -1, 0, 1, 30, 31, 199, 200, 201, 202, 230];
    let days = if random.u8(..) < 80 { pick(random, &EDGES) } else { random.i32(-40..205) };
    Happening::Put { number, calendar: random.usize(0..CALENDARS.len()), days, form: random.usize(0..3) }
}

fn pick<T: Copy + Default>(random: &mut Rng, of: &[T]) -> T {
    random.choice(of).copied().unwrap_or_default()
}

fn desired(random: &mut Rng) -> Desired {
    let hours = |random: &mut Rng, of: &[u64]| Duration::from_secs(pick(random, of) * 3_600);
    let minutes = |random: &mut Rng, of: &[u64]| Duration::from_secs(pick(random, of) * 60);
    let defaults = random.bool();
    let intervals = if defaults {
        Intervals { poll: minutes(random, &[15, 60, 60, 60]), ..Intervals::default() }
    } else {
        Intervals {
            full_sync: hours(random, &[24, 72, 168]),
            horizon_sweep: hours(random, &[6, 24, 36, 72]),
            channel_check: hours(random, &[2, 6, 12, 24]),
            poll: minutes(random, &[30, 60, 180]),
            fallback_poll: minutes(random, &[5, 10, 30]),
            channel_renewal: hours(random, &[48, 240, 720]),
        }
    };
    Desired {
        uid: format!("6f1c2f0e-0000-4000-8000-{:012x}", random.u32(..)),
        filter: Filter { include_managed: random.bool(), ..Filter::default() },
        time_zone: zone(random.usize(0..ZONES.len())),
        window: if random.bool() { Window::default() } else { window(random) },
        mode: if random.u8(..) < 60 { Mode::Poll } else { Mode::Push },
        intervals,
        visibility: visibility(random),
        suspended: false,
        callback_base: Some("https://calendars.example.org".to_owned()),
        request: None,
        inputs: String::new(),
        deletion: None,
    }
}

/// The zone at that place of the table.
#[must_use]
pub fn zone(number: usize) -> TimeZone {
    ZONES.get(number).and_then(|name| TimeZone::parse(name).ok()).unwrap_or_else(TimeZone::utc)
}

fn window(random: &mut Rng) -> Window {
    Window::new(random.i32(0..43), random.i32(1..202))
}

fn visibility(random: &mut Rng) -> Visibility {
    match random.u8(0..3) {
        0 => Visibility::Busy,
        1 => Visibility::Titles,
        _ => Visibility::Full,
    }
}

fn one_in(random: &mut Rng, of: u8) -> bool {
    random.u8(0..of) == 0
}

fn switches(random: &mut Rng) -> Switches {
    Switches {
        second_channel: random.bool(),
        closed_listed: one_in(random, 6),
        page_size: random.usize(6..40),
        live_pages: random.bool(),
        shifting_pages: false,
        tells_time: !one_in(random, 8),
        rotates: random.bool(),
        grace: random.bool(),
        skew: SignedDuration::ZERO,
        changes_since_off: SignedDuration::from_secs(random.i64(-300..60)),
        listing_lag: SignedDuration::ZERO,
    }
}

fn style(random: &mut Rng) -> Style {
    Style {
        moves: match random.u8(0..5) {
            0 | 1 => Moves::SameUid,
            2 | 3 => Moves::NewUid,
            _ => Moves::Silently,
        },
        no_tombstones: one_in(random, 8),
        latest_first: random.bool(),
        beyond_range: random.bool(),
        edges_in_zone: random.bool(),
    }
}

fn trouble(random: &mut Rng, events: usize) -> Trouble {
    match random.u8(0..35) {
        0 | 1 => Trouble::Lost,
        2 => Trouble::Late,
        3 => Trouble::Doubled,
        4 | 5 => Trouble::AutoClosed,
        6 => Trouble::Silent,
        7 => Trouble::Unreachable,
        8 => Trouble::Away,
        9 => Trouble::Limited(random.bool().then_some(45)),
        10..=12 => Trouble::Step(Fault::AnswerLost),
        13..=15 => Trouble::Step(Fault::Refused(refusal(random))),
        16 | 17 => Trouble::Crash,
        18 => Trouble::Clock(pick(random, &[-40 * DAY, -2 * DAY, -3_000, -120, 120, 3_000, 2 * DAY, 40 * DAY])),
        19 => Trouble::TwoDrivers,
        20 => Trouble::Down,
        21 => Trouble::Profile(Fragile::Disconnected),
        22 => Trouble::Hiccup,
        23 => Trouble::ListingLag,
        24 => Trouble::Full,
        25 => Trouble::TokensExpired,
        26 => Trouble::Spoiled(random.bool()),
        27 => Trouble::ShiftingPages,
        28 => Trouble::Vanished(random.usize(1..events)),
        29 | 30 => Trouble::OwnWrite(MANAGED),
        31 => Trouble::ShownLate,
        32 => Trouble::Suspended,
        33 => Trouble::Restored,
        _ if random.bool() => Trouble::Emptied,
        _ => Trouble::Revoked,
    }
}

fn refusal(random: &mut Rng) -> Refusal {
    match random.u8(0..6) {
        0 => Refusal::Unavailable,
        1 => Refusal::Timeout,
        2 => Refusal::Unauthorized,
        3 => Refusal::RateLimited(random.bool().then_some(90)),
        _ => Refusal::PageGone,
    }
}

/// How long a trouble lasts; what happens once lasts for no time.
fn lasts(random: &mut Rng, trouble: Trouble) -> SignedDuration {
    let (least, most) = match trouble {
        Trouble::Lost | Trouble::Doubled | Trouble::ShownLate | Trouble::ShiftingPages => (DAY / 2, 2 * DAY),
        Trouble::Late | Trouble::Silent | Trouble::Unreachable => (DAY / 4, DAY),
        Trouble::Away | Trouble::Full | Trouble::TwoDrivers | Trouble::Revoked => (1_800, DAY / 2),
        Trouble::Limited(_) => (60, 3_600),
        Trouble::Down => (60, 8 * DAY),
        Trouble::Profile(_) | Trouble::Suspended => (3_600, 3 * DAY),
        Trouble::ListingLag => (DAY, 2 * DAY),
        Trouble::Clock(_) => (DAY / 4, 2 * DAY),
        Trouble::AutoClosed
        | Trouble::Step(_)
        | Trouble::Crash
        | Trouble::Hiccup
        | Trouble::TokensExpired
        | Trouble::Spoiled(_)
        | Trouble::Restored
        | Trouble::Vanished(_)
        | Trouble::Emptied
        | Trouble::OwnWrite(_) => return SignedDuration::ZERO,
    };
    SignedDuration::from_secs(random.i64(least..most))
}

/// Whether the trouble can strike this subscription at all.
fn is_passable(trouble: Trouble, desired: &Desired, switches: Switches) -> bool {
    match trouble {
        // Where Cronofy does not tell its clock, ours decides about the window.
        Trouble::Clock(_) => switches.tells_time,
        Trouble::OwnWrite(_) => desired.filter.include_managed,
        _ => true,
    }
}

fn edit(random: &mut Rng) -> Edit {
    match random.u8(0..10) {
        0 | 1 => Edit::Mode(if random.u8(0..4) == 0 { Mode::Poll } else { Mode::Push }),
        2 | 3 => Edit::Visibility(visibility(random)),
        4 | 5 => Edit::Window(random.i32(0..43), random.i32(1..202)),
        6 => Edit::Calendars(random.usize(0..3)),
        7 => Edit::Managed(random.bool()),
        8 => Edit::CallbackBase(random.bool()),
        9 if random.bool() => Edit::Zone(random.usize(0..ZONES.len())),
        _ => Edit::Request,
    }
}

/// The calendars of that number: all, one, two.
#[must_use]
pub fn calendars(number: usize) -> Option<BTreeSet<String>> {
    let ids = |ids: &[&str]| Some(ids.iter().map(|&id| id.to_owned()).collect());
    match number {
        0 => None,
        1 => ids(&["cal_a"]),
        _ => ids(&["cal_c", FRAGILE]),
    }
}
