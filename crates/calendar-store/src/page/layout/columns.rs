//! Events that overlap stand side by side, each as wide as the most crowded moment of its group leaves it.

use super::ruler::{Clock, Ruler};
use super::{Limits, Span};

/// An event in a day. Times are quarters of an hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Which of the events.
    pub event: usize,
    /// From the top.
    pub from: usize,
    /// The first quarter after it; at least one is taken.
    pub to: usize,
    /// From the left.
    pub column: usize,
    /// Of so many.
    pub columns: usize,
    /// Whether it began before this day.
    pub continues: bool,
    /// Whether it goes on after this day.
    pub goes_on: bool,
}

impl Block {
    /// The same when this many quarters at the top are not shown.
    pub fn below(self, top: usize) -> Self {
        Self { from: self.from.saturating_sub(top), to: self.to.saturating_sub(top), ..self }
    }
}

/// The events of a day, and how many are left out.
pub fn placed(spans: &[Span], clock: &Clock, ruler: &Ruler, limits: Limits) -> (Vec<Block>, usize) {
    let within = spans.iter().enumerate().filter(|(_, span)| !span.whole_days() && span.on(clock));
    let mut blocks: Vec<Block> = within
        .map(|(event, span)| {
            let from = ruler.first(clock, span.start);
            let to = ruler.after(clock, span.end).max(from + 1);
            let (continues, goes_on) = (span.start < clock.start, span.end > clock.end);
            Block { event, from, to, column: 0, columns: 1, continues, goes_on }
        })
        .collect();
    // The longer one first, so that it stands at the left of those that begin with it.
    blocks.sort_by_key(|block| (block.from, std::cmp::Reverse(block.to), block.event));
    let all = blocks.len();
    let mut groups: Vec<Vec<Block>> = Vec::new();
    // Where each column of the current group is taken to, and the group as a whole.
    let (mut taken, mut group_to): (Vec<usize>, usize) = (Vec::new(), 0);
    for mut block in blocks {
        if block.from >= group_to {
            taken.clear();
            groups.push(Vec::new());
        }
        let free = taken.iter().position(|to| *to <= block.from).unwrap_or(taken.len());
        group_to = group_to.max(block.to);
        if free >= limits.columns {
            continue;
        }
        match taken.get_mut(free) {
            Some(to) => *to = block.to,
            None => taken.push(block.to),
        }
        block.column = free;
        if let Some(group) = groups.last_mut() {
            group.push(block);
        }
    }
    let mut placed = Vec::new();
    for mut group in groups {
        let columns = group.iter().map(|block| block.column + 1).max().unwrap_or(1);
        for block in &mut group {
            block.columns = columns;
        }
        placed.append(&mut group);
    }
    placed.truncate(limits.blocks);
    let more = all - placed.len();
    (placed, more)
}
