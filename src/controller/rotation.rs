//! Turns: who was given something comes last.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::Hash;

/// Lines that come in turn. Each key stands in the order once.
#[derive(Debug)]
pub struct Rotation<K, L> {
    order: VecDeque<K>,
    lines: HashMap<K, L>,
}

impl<K, L> Default for Rotation<K, L> {
    fn default() -> Self {
        Self { order: VecDeque::new(), lines: HashMap::new() }
    }
}

/// What may be empty.
pub trait Drains {
    /// Whether nothing is in it.
    fn is_empty(&self) -> bool;
}

impl<K, V> Drains for BTreeMap<K, V> {
    fn is_empty(&self) -> bool {
        BTreeMap::is_empty(self)
    }
}

impl<T> Drains for VecDeque<T> {
    fn is_empty(&self) -> bool {
        VecDeque::is_empty(self)
    }
}

impl<K, L: Drains> Drains for Rotation<K, L> {
    fn is_empty(&self) -> bool {
        self.lines.values().all(Drains::is_empty)
    }
}

impl<K: Clone + Eq + Hash, L: Default + Drains> Rotation<K, L> {
    /// The line of a key.
    pub fn line(&mut self, key: K) -> &mut L {
        let order = &mut self.order;
        self.lines.entry(key).or_insert_with_key(|key| {
            order.push_back(key.clone());
            L::default()
        })
    }

    /// All lines, in no order.
    pub fn lines(&self) -> impl Iterator<Item = &L> {
        self.lines.values()
    }

    /// What is taken from the first line that gives something; that line comes last then.
    pub fn next<T>(&mut self, mut take: impl FnMut(&K, &mut L) -> Option<T>) -> Option<T> {
        let mut passed = 0;
        while let Some(key) = self.order.get(passed) {
            let Some(line) = self.lines.get_mut(key).filter(|line| !line.is_empty()) else {
                self.lines.remove(key);
                self.order.remove(passed);
                continue;
            };
            let Some(taken) = take(key, line) else {
                passed += 1;
                continue;
            };
            let drained = line.is_empty();
            if let Some(key) = self.order.remove(passed) {
                if drained {
                    self.lines.remove(&key);
                } else {
                    self.order.push_back(key);
                }
            }
            return Some(taken);
        }
        None
    }
}
