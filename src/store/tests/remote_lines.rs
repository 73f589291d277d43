//! How much of a calendar a calendar store is sent.

use super::*;
use crate::store::remote_lines::{Encoded, MOST_REMOTE_EVENTS};

const MOST_BYTES: usize = 64_000_000;

fn large(count: usize, bytes: usize) -> Snapshot {
    snapshot((0..count).map(|number| {
        let mut event = event(&format!("evt_{number}"), "2030-05-05");
        event.description = Some("x".repeat(bytes));
        event
    }))
}

#[test]
fn as_many_events_as_a_store_takes_are_sent_and_more_or_larger_ones_are_refused() {
    let most = Encoded::of(&large(MOST_REMOTE_EVENTS, 100), false, 0).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(most.state.events, 200_000);
    assert!((40_000_000..64_000_000).contains(&most.state.bytes), "{}", most.state.bytes);
    let table = [
        (large(MOST_REMOTE_EVENTS + 1, 0), "there are 200001 events"),
        (large(80, MOST_BYTES / 80), "at most 64000000"),
    ];
    for (snapshot, says) in table {
        let Err(error) = Encoded::of(&snapshot, false, 0) else { panic!("taken: {says}") };
        assert!(error.to_string().contains(says), "{error}");
    }
}
