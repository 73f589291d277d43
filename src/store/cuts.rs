//! Where a long list of events is cut into slices.
//!
//! An event decides by its own id whether a slice ends behind it, whatever stands around it. So the cuts of a list that has
//! changed are those of the list before, but for the neighbourhood of the change: one event that is changed, added or
//! removed touches one slice or two, one that is moved the slice it leaves and the one it enters.
//!
//! Two limits break in on that. A slice shorter than [`SMALLEST`] is not closed. One that would exceed [`LARGEST`] is closed
//! behind the event that came closest to deciding so, not just where it is full: that place, too, stays when events before it
//! come and go.

use sha2::{Digest, Sha256};

/// What a slice takes on average, in bytes: small enough to be rewritten often (the scalability tests of Kubernetes assume
/// objects like this), large enough that an index of them stays short.
pub(super) const MEAN: usize = 20_000;
/// Below this no slice ends, but for the last.
pub(super) const SMALLEST: usize = 1_000;
/// No slice of two or more events is larger.
pub(super) const LARGEST: usize = 64_000;

/// As many numbers as there are to draw.
const ENDS: u64 = 1 << 32;

/// As much of an event as decides about cuts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    /// Drawn from its id.
    pub draw: u32,
    /// What it takes in the document.
    pub bytes: usize,
}

impl Piece {
    /// Of the event with this id, which takes so much.
    pub fn new(id: &str, bytes: usize) -> Self {
        let [a, b, c, d, ..] = <[u8; 32]>::from(Sha256::digest(id));
        Self { draw: u32::from_be_bytes([a, b, c, d]), bytes }
    }

    /// How far it is from ending a slice, which it does below [`ENDS`]: once in [`MEAN`] bytes, whatever the size of events.
    fn distance(self) -> u64 {
        let mean = u64::try_from(MEAN).unwrap_or(u64::MAX);
        let bytes = u64::try_from(self.bytes).unwrap_or(u64::MAX);
        u64::from(self.draw).saturating_mul(mean).checked_div(bytes).unwrap_or(u64::MAX)
    }
}

/// How many events each slice has, in their order.
pub(super) fn cuts(pieces: &[Piece]) -> Vec<usize> {
    let mut counts = Vec::new();
    let mut rest = pieces;
    while !rest.is_empty() {
        let count = first(rest).max(1);
        counts.push(count);
        rest = rest.get(count..).unwrap_or_default();
    }
    counts
}

/// How many events the first slice of these has.
fn first(pieces: &[Piece]) -> usize {
    let mut bytes = 0_usize;
    let mut closest: Option<(u64, usize)> = None;
    for (before, piece) in pieces.iter().enumerate() {
        let with = bytes.saturating_add(piece.bytes);
        if before > 0 && with > LARGEST {
            return closest.map_or(before, |(_, count)| count);
        }
        bytes = with;
        let count = before + 1;
        if bytes >= SMALLEST {
            let candidate = (piece.distance(), count);
            if candidate.0 < ENDS {
                return count;
            }
            closest = Some(closest.map_or(candidate, |closest| closest.min(candidate)));
        }
    }
    pieces.len()
}
