//! How much one change rewrites.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, RngSeed, TestRng};

use super::super::cuts::{LARGEST, MEAN, Piece, SMALLEST, cuts};

/// What a change does to a calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Change {
    Rename,
    Add,
    Remove,
    Move,
}

/// As much of an event as decides where it stands and in which slice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Event {
    quarter: usize,
    draw: u32,
    bytes: usize,
}

/// A source of numbers that is the same in every run.
struct Numbers(TestRng);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.0.next_u64() % u64::try_from(bound).unwrap()).unwrap()
    }

    /// As large as Cronofy's are with their titles, at some quarter of an hour in the window of 243 days.
    fn event(&mut self) -> Event {
        Event { quarter: self.below(243 * 96), draw: self.0.next_u32(), bytes: self.bytes() }
    }

    fn bytes(&mut self) -> usize {
        230 + self.below(40)
    }

    fn change(&mut self, change: Change, before: &[Event]) -> Vec<Event> {
        let mut events = before.to_vec();
        let at = self.below(events.len());
        let event = match change {
            Change::Rename => Some(Event { bytes: self.bytes(), ..events.remove(at) }),
            Change::Add => Some(self.event()),
            Change::Remove => {
                events.remove(at);
                None
            }
            Change::Move => Some(Event { quarter: self.event().quarter, ..events.remove(at) }),
        };
        if let Some(event) = event {
            let at = events.partition_point(|other| *other < event);
            events.insert(at, event);
        }
        events
    }
}

fn slices(events: &[Event]) -> Vec<&[Event]> {
    let pieces: Vec<Piece> = events.iter().map(|event| Piece { draw: event.draw, bytes: event.bytes }).collect();
    let mut rest = events;
    let slice = |count| {
        let (slice, after) = rest.split_at(count);
        rest = after;
        slice
    };
    cuts(&pieces).into_iter().map(slice).collect()
}

fn bytes(slice: &[Event]) -> usize {
    slice.iter().map(|event| event.bytes).sum()
}

/// Measures how many slices one change writes.
fn measure(count: usize, changes: usize) {
    let mut numbers = Numbers(TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]));
    let mut before: Vec<Event> = (0..count).map(|_| numbers.event()).collect();
    before.sort_unstable();
    let known = slices(&before);
    let mean = bytes(&before) / known.len();
    assert!((MEAN * 2 / 3..MEAN * 3 / 2).contains(&mean), "{mean} bytes a slice");
    assert!(known.iter().all(|slice| bytes(slice) <= LARGEST));
    let known_slices: BTreeMap<Event, &[Event]> = known.iter().map(|slice| (slice[0], *slice)).collect();

    let kinds = [Change::Rename, Change::Add, Change::Remove, Change::Move];
    let mut beyond = BTreeMap::from(kinds.map(|kind| (kind, 0)));
    let mut total = 0;
    for kind in kinds.into_iter().cycle().take(changes) {
        let after = numbers.change(kind, &before);
        let written = slices(&after).iter().filter(|slice| known_slices.get(&slice[0]) != Some(slice)).count();
        total += written;
        *beyond.get_mut(&kind).unwrap() += usize::from(written > 2);
        assert!(written <= 6, "{kind:?} writes {written}");
    }
    let over: usize = beyond.values().sum();
    let slices = known.len();
    eprintln!(
        "{count} events in {slices} slices of {mean} bytes: {changes} changes wrote {total}; more than two: {beyond:?}"
    );
    assert!(over * 100 <= changes, "{over} of {changes} changes wrote more than two slices: {beyond:?}");
}

#[test]
fn one_change_in_a_thousand_events_writes_two_slices_at_most_in_99_of_100_cases() {
    measure(1_000, 4_000);
}

#[test]
fn one_change_in_ten_thousand_events_writes_two_slices_at_most_in_99_of_100_cases() {
    measure(10_000, 1_000);
}

#[test]
fn one_change_in_fifty_thousand_events_writes_two_slices_at_most_in_99_of_100_cases() {
    measure(50_000, 400);
}

proptest! {
    #![proptest_config(Config { failure_persistence: None, rng_seed: RngSeed::Fixed(1), ..Config::default() })]

    #[test]
    fn cuts_keep_every_event_and_both_limits(sizes in proptest::collection::vec(1..90_000_usize, 0..300)) {
        let pieces: Vec<Piece> =
            sizes.iter().enumerate().map(|(number, bytes)| Piece::new(&format!("evt_{number}"), *bytes)).collect();
        let counts = cuts(&pieces);
        prop_assert_eq!(counts.iter().sum::<usize>(), sizes.len());
        let mut rest = sizes.as_slice();
        for (number, count) in counts.iter().enumerate() {
            let (slice, after) = rest.split_at(*count);
            rest = after;
            let bytes: usize = slice.iter().sum();
            prop_assert!(bytes <= LARGEST || slice.len() == 1, "{bytes} in {count}");
            let closed_early = number + 1 < counts.len() && bytes < SMALLEST;
            prop_assert!(!closed_early || bytes + rest[0] > LARGEST);
        }
    }

    #[test]
    fn a_change_rewrites_up_to_the_next_cut_that_stays_and_nothing_behind_it(
        draws in proptest::collection::vec(any::<u32>(), 500..1_500),
        at in any::<prop::sample::Index>(),
        bytes in 100..400_usize,
    ) {
        let before: Vec<Piece> = draws.iter().map(|draw| Piece { draw: *draw, bytes: 250 }).collect();
        let ends = |pieces: &[Piece]| -> BTreeSet<usize> {
            cuts(pieces).iter().scan(0, |end, count| { *end += count; Some(*end) }).collect()
        };
        let at = at.index(before.len());
        let mut after = before.clone();
        after[at].bytes = bytes;
        let (before, after) = (ends(&before), ends(&after));
        let both = before.range(at + 1..).find(|end| after.contains(end)).copied().unwrap_or(draws.len());
        prop_assert!(before.range(both..).eq(after.range(both..)));
        // Of the cuts before the change only the last can move: a limit looks ahead no further than one slice.
        let (earlier, later): (Vec<_>, Vec<_>) = (before.range(..=at).collect(), after.range(..=at).collect());
        let same = earlier.iter().zip(&later).take_while(|(one, other)| one == other).count();
        prop_assert!(same + 1 >= earlier.len().max(later.len()), "{earlier:?} {later:?}");
    }
}
