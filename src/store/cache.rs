//! Texts of slices, so that an unchanged slice is read once and not at every look. Bounded by bytes; what was not used for
//! longest goes first.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::Arc;

/// A bounded store of texts. Pure: whoever shares it locks it.
pub(super) struct Cache<K> {
    capacity: usize,
    bytes: usize,
    entries: HashMap<K, Entry>,
    /// By when they were used last.
    order: BTreeMap<u64, K>,
    uses: u64,
}

struct Entry {
    text: Arc<str>,
    used: u64,
}

impl<K: Clone + Eq + Hash> Cache<K> {
    /// One that holds at most so many bytes of text.
    pub fn new(capacity: usize) -> Self {
        Self { capacity, bytes: 0, entries: HashMap::new(), order: BTreeMap::new(), uses: 0 }
    }

    /// The text of a key.
    pub fn get(&mut self, key: &K) -> Option<Arc<str>> {
        let entry = self.entries.get_mut(key)?;
        self.order.remove(&entry.used);
        self.uses += 1;
        entry.used = self.uses;
        self.order.insert(self.uses, key.clone());
        Some(entry.text.clone())
    }

    /// Takes a text in, unless it is larger than everything. Gives the keys that had to go for it.
    pub fn insert(&mut self, key: K, text: Arc<str>) -> Vec<K> {
        self.remove(&key);
        if text.len() > self.capacity {
            return vec![key];
        }
        self.uses += 1;
        self.bytes += text.len();
        self.order.insert(self.uses, key.clone());
        self.entries.insert(key, Entry { text, used: self.uses });
        let mut gone = Vec::new();
        while self.bytes > self.capacity {
            let Some((_, oldest)) = self.order.first_key_value() else { break };
            let oldest = oldest.clone();
            self.remove(&oldest);
            gone.push(oldest);
        }
        gone
    }

    /// The keys of all texts.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.entries.keys()
    }

    /// Forgets a key.
    pub fn remove(&mut self, key: &K) {
        if let Some(Entry { text, used }) = self.entries.remove(key) {
            self.bytes -= text.len();
            self.order.remove(&used);
        }
    }

    /// Forgets all keys that are not to be kept.
    pub fn retain(&mut self, keep: impl Fn(&K) -> bool) {
        let gone: Vec<K> = self.entries.keys().filter(|key| !keep(key)).cloned().collect();
        for key in &gone {
            self.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_was_not_used_for_longest_goes_first() {
        let mut cache = Cache::new(10);
        assert!(cache.insert('a', "aaaa".into()).is_empty());
        assert!(cache.insert('b', "bbbb".into()).is_empty());
        assert_eq!(cache.get(&'a').as_deref(), Some("aaaa"));
        assert_eq!(cache.insert('c', "cccc".into()), ['b']);
        assert_eq!(
            (cache.get(&'a').as_deref(), cache.get(&'b'), cache.get(&'c').as_deref()),
            (Some("aaaa"), None, Some("cccc"))
        );
        assert_eq!(cache.insert('d', "a text of more than ten bytes".into()), ['d']);
        assert_eq!(cache.get(&'a').as_deref(), Some("aaaa"), "what does not fit drives nothing out");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn it_never_holds_more_than_it_may_and_never_gives_another_text(
            actions in proptest::collection::vec((0..8_u8, 0..3_u8, 0..40_usize), 0..200),
        ) {
            let mut cache = Cache::new(100);
            let mut last = HashMap::new();
            for (key, action, length) in actions {
                match action {
                    0 => {
                        let text: Arc<str> = "x".repeat(length).into();
                        last.insert(key, text.clone());
                        cache.insert(key, text);
                    }
                    1 => cache.remove(&key),
                    _ => if let Some(text) = cache.get(&key) {
                        prop_assert_eq!(&text, &last[&key]);
                    },
                }
                let held: usize = cache.entries.values().map(|entry| entry.text.len()).sum();
                prop_assert_eq!(cache.bytes, held);
                prop_assert!(held <= 100);
                prop_assert_eq!(cache.order.len(), cache.entries.len());
            }
        }
    }
}
