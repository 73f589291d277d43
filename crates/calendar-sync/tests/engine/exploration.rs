//! Every state that a small world can come to: three events on two pages, and a few faults at any moment. From each of them,
//! once nothing happens any more, the goal is reached, and stays.
//!
//! Breadth first. States are told apart by all that decides how they go on, so two ways to one state count once.

use std::collections::hash_map::{DefaultHasher, Entry};
use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;
use std::hash::Hasher;

use calendar_sync::{Mode, NotificationType, Step, Visibility, Why};
use jiff::Timestamp;

use simulation::world::World;
use simulation::world::calendar::{Style, event, times};
use simulation::world::cronofy::Switches;
use simulation::world::driver::Progress;
use simulation::world::faults::{Fault, Refusal};
use simulation::world::goal::{is_copied, is_erased, is_quiet};

use crate::properties::scenario::desired;

/// How often each thing may still happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Left {
    /// Of [`change`]s to the remote calendar, in their order.
    changes: usize,
    crashes: usize,
    answers_lost: usize,
    refusals: usize,
    doubles: usize,
    /// Steps of a second driver.
    second_driver: usize,
    erasures: usize,
    deletions: usize,
    /// Changes of the base URL, each of which asks for another channel.
    base_urls: usize,
    /// Changes of the mode, away from push and back.
    modes: usize,
    /// Requests of a person to read everything, which take back an erasure.
    requests: usize,
}

#[derive(Clone)]
struct Node {
    world: World,
    left: Left,
    /// Where the first driver rests.
    rest: Option<Step>,
}

impl Node {
    fn new(second_channel: bool, left: Left) -> Self {
        let now: Timestamp = "2026-03-27T09:30:00Z".parse().unwrap();
        let switches = Switches { second_channel, ..Switches::default() };
        let mut world = World::new(now, desired(Visibility::Titles), switches, Style::default());
        for number in 0..3 {
            put(&mut world, number, 3);
        }
        Self { world, left, rest: None }
    }

    /// What is done next if nothing else happens; `None` at rest.
    fn calm(&self) -> Option<Node> {
        if self.world.gone {
            return None;
        }
        let mut next = self.clone();
        if !next.world.cronofy.outbox.is_empty() {
            let notification = next.world.cronofy.outbox.remove(0);
            next.world.deliver(&notification);
            return Some(next);
        }
        match &self.rest {
            Some(step) if self.world.has_seen_all() => match step {
                Step::Wait { until: Some(until), why: Why::Retry | Why::Delta } => {
                    next.world.pass_time(until.duration_since(self.world.now));
                    next.rest = None;
                    Some(next)
                }
                _ => None,
            },
            Some(_) | None => {
                next.step(None);
                Some(next)
            }
        }
    }

    fn step(&mut self, fault: Option<Fault>) {
        self.rest = match self.world.step(0, fault) {
            Progress::Rested(step) => Some(step),
            Progress::Going | Progress::Failed => None,
        };
        assert_eq!(self.world.violation(), None);
    }

    /// Everything that may happen now.
    fn successors(&self) -> Vec<Node> {
        let mut successors: Vec<_> = self.calm().into_iter().collect();
        if !self.world.cronofy.outbox.is_empty() && self.rest.is_none() {
            // The steps go on while a notification is on its way.
            let mut later = self.clone();
            later.step(None);
            successors.push(later);
        }
        let mut branch = |take: fn(&mut Left) -> &mut usize, happens: &dyn Fn(&mut Node)| {
            let mut next = self.clone();
            let left = take(&mut next.left);
            if *left > 0 {
                *left -= 1;
                happens(&mut next);
                successors.push(next);
            }
        };
        let changes = self.left.changes;
        branch(|left| &mut left.changes, &|node| change(&mut node.world, changes));
        branch(|left| &mut left.crashes, &|node| {
            node.world.drivers[0].crash();
            node.rest = None;
        });
        if self.rest.is_none() {
            branch(|left| &mut left.answers_lost, &|node| node.step(Some(Fault::AnswerLost)));
            branch(|left| &mut left.refusals, &|node| node.step(Some(Fault::Refused(Refusal::Unavailable))));
            branch(|left| &mut left.refusals, &|node| node.step(Some(Fault::Refused(Refusal::PageGone))));
            branch(|left| &mut left.refusals, &|node| node.step(Some(Fault::Refused(Refusal::Unauthorized))));
        }
        if let Some(notification) = self.world.cronofy.outbox.first() {
            branch(|left| &mut left.doubles, &|node| {
                node.world.deliver(notification);
            });
        }
        branch(|left| &mut left.second_driver, &|node| {
            node.world.step(1, None);
            assert_eq!(node.world.violation(), None);
        });
        branch(|left| &mut left.erasures, &|node| {
            node.world.notify(NotificationType::GdprRequested);
        });
        branch(|left| &mut left.base_urls, &|node| {
            node.world.want(|desired| desired.callback_base = Some("https://other.example.org/in".to_owned()));
            node.rest = None;
        });
        branch(|left| &mut left.modes, &|node| {
            node.world.want(|desired| {
                desired.mode = match desired.mode {
                    Mode::Push => Mode::Poll,
                    Mode::Poll => Mode::Push,
                };
            });
            node.rest = None;
        });
        branch(|left| &mut left.requests, &|node| {
            node.world.want(|desired| desired.request = Some("again".to_owned()));
            node.rest = None;
        });
        branch(|left| &mut left.deletions, &|node| {
            node.world.delete(false, false);
            node.rest = None;
        });
        successors
    }

    fn key(&self) -> u64 {
        let mut to = Sketch(DefaultHasher::new());
        let Self { world, left, rest } = self;
        world.sketch(&mut to).unwrap();
        fmt::Write::write_fmt(&mut to, format_args!("{left:?} {rest:?}")).unwrap();
        to.0.finish()
    }

    /// The world is at rest: it must be as it should, and stay so.
    fn assert_goal(&self) {
        let Self { world, rest, .. } = self;
        if world.gone {
            return; // judged when it went
        }
        let rest = rest.as_ref().expect("at rest");
        if world.status.record.erased.is_some() {
            is_erased(world, rest).unwrap();
        } else {
            assert!(!world.audit.erasure_demanded || world.desired().request.is_some(), "an erasure is forgotten");
            is_copied(world, rest).unwrap();
        }
        is_quiet(world, rest).unwrap();
    }
}

struct Sketch(DefaultHasher);

impl fmt::Write for Sketch {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}

/// The changes: an event moves, another is deleted, the third leaves the window.
fn change(world: &mut World, left: usize) {
    let now = world.now;
    match left {
        3 => put(world, 0, 5),
        2 => {
            let touched = world.cronofy.calendars.delete(1, now);
            world.cronofy.announce_change(&touched, now);
        }
        _ => put(world, 2, 300),
    }
}

fn put(world: &mut World, number: usize, days: i32) {
    let (start, end) = times(world.now, days, 0);
    let event = event("cal_a", (start, end), usize::try_from(days).unwrap());
    let touched = world.cronofy.calendars.put(number, event, false, world.now);
    world.cronofy.announce_change(&touched, world.now);
}

/// Explores everything, and gives the number of states.
fn explore(start: Node) -> usize {
    // Of each state: where it goes if nothing happens any more.
    let mut calm: HashMap<u64, Option<u64>> = HashMap::from([(start.key(), None)]);
    let mut queue = VecDeque::from([(start.key(), start)]);
    while let Some((key, node)) = queue.pop_front() {
        let rests = node.calm().is_none();
        if rests {
            node.assert_goal();
        }
        for (number, next) in node.successors().into_iter().enumerate() {
            let next_key = next.key();
            if number == 0 && !rests {
                calm.insert(key, Some(next_key));
            }
            if let Entry::Vacant(new) = calm.entry(next_key) {
                new.insert(None);
                queue.push_back((next_key, next));
            }
        }
    }
    assert_every_state_comes_to_rest(&calm);
    calm.len()
}

/// Follows each state to where it has been shown to rest; one that never gets there goes in a circle.
fn assert_every_state_comes_to_rest(calm: &HashMap<u64, Option<u64>>) {
    let mut resting: HashSet<u64> = HashSet::new();
    for start in calm.keys() {
        let mut way = Vec::new();
        let mut state = *start;
        while !resting.contains(&state) {
            assert!(way.len() <= calm.len(), "states that go in a circle");
            way.push(state);
            match calm[&state] {
                Some(next) => state = next,
                None => break,
            }
        }
        resting.extend(way);
    }
}

/// Explores with these things left to happen, and checks that no less than so many states are there: an exploration that
/// shrinks has lost something.
fn assert_explored(second_channel: bool, left: Left, least: usize) {
    let states = explore(Node::new(second_channel, left));
    assert!(states >= least, "{left:?}: {states} states only");
}

/// 3,959 states.
#[test]
fn whenever_events_move_vanish_and_leave_the_window_the_copy_comes_to_be_right() {
    assert_explored(false, Left { changes: 3, ..Left::default() }, 3_000);
}

/// 20,285 states, and 2,390 where an identical create gives the existing channel.
#[test]
fn whenever_an_answer_is_lost_and_the_process_dies_the_copy_comes_to_be_right_and_one_channel_is_left() {
    assert_explored(true, Left { changes: 1, crashes: 1, answers_lost: 1, ..Left::default() }, 15_000);
    assert_explored(false, Left { crashes: 1, answers_lost: 1, ..Left::default() }, 2_000);
}

/// 4,991 and 3,006 states.
#[test]
fn whenever_a_notification_is_doubled_or_a_request_refused_the_copy_comes_to_be_right() {
    assert_explored(true, Left { changes: 1, crashes: 1, doubles: 1, ..Left::default() }, 3_000);
    assert_explored(true, Left { changes: 1, refusals: 1, ..Left::default() }, 2_000);
}

/// 3,549 states.
#[test]
fn whenever_a_second_driver_takes_part_for_a_while_the_copy_comes_to_be_right() {
    assert_explored(true, Left { second_driver: 6, ..Left::default() }, 2_500);
}

/// 1,883 states.
#[test]
fn whenever_an_erasure_is_demanded_nothing_is_left() {
    assert_explored(true, Left { erasures: 1, answers_lost: 1, ..Left::default() }, 1_200);
}

/// 5,457 and 2,528 states.
#[test]
fn whenever_the_channel_is_replaced_the_old_one_goes_after_the_new_one_works_and_one_is_left() {
    assert_explored(true, Left { base_urls: 1, answers_lost: 1, ..Left::default() }, 4_000);
    assert_explored(false, Left { base_urls: 1, crashes: 1, ..Left::default() }, 2_000);
}

/// 5,493 and 14,792 states.
#[test]
fn whenever_push_is_given_up_and_wanted_again_the_copy_comes_to_be_right_and_one_channel_is_left() {
    assert_explored(true, Left { modes: 2, crashes: 1, ..Left::default() }, 4_000);
    assert_explored(true, Left { modes: 2, answers_lost: 1, ..Left::default() }, 11_000);
}

/// 8,734 states.
#[test]
fn whenever_an_erasure_is_taken_back_the_copy_comes_to_be_right_and_one_channel_is_left() {
    assert_explored(true, Left { erasures: 1, requests: 1, crashes: 1, ..Left::default() }, 6_000);
}

/// 9,705 states.
#[test]
fn whenever_the_subscription_is_deleted_it_goes_and_nothing_is_left() {
    assert_explored(true, Left { deletions: 1, answers_lost: 1, crashes: 1, ..Left::default() }, 4_000);
}
