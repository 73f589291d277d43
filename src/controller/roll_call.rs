//! Who is gone. A watch that was cut off for long begins anew with a list, and what was deleted meanwhile is told by nobody: it
//! is only missing.

use std::collections::HashSet;
use std::hash::Hash;

use kube::runtime::watcher::Event;

/// The objects of one watch, by any key.
#[derive(Debug)]
pub struct RollCall<K> {
    present: HashSet<K>,
    listed: HashSet<K>,
}

impl<K> Default for RollCall<K> {
    fn default() -> Self {
        Self { present: HashSet::new(), listed: HashSet::new() }
    }
}

impl<K: Clone + Eq + Hash> RollCall<K> {
    /// Those of whom this event tells that they are gone: by a deletion, or since a complete list does not show them any more.
    pub fn gone<O>(&mut self, event: &Event<O>, key: impl Fn(&O) -> K) -> Vec<K> {
        match event {
            Event::Apply(object) => {
                self.present.insert(key(object));
                Vec::new()
            }
            Event::Delete(object) => {
                let key = key(object);
                self.present.remove(&key);
                vec![key]
            }
            Event::Init => {
                self.listed.clear();
                Vec::new()
            }
            Event::InitApply(object) => {
                self.listed.insert(key(object));
                Vec::new()
            }
            Event::InitDone => {
                let before = std::mem::replace(&mut self.present, std::mem::take(&mut self.listed));
                before.difference(&self.present).cloned().collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gone(events: &[Event<char>]) -> String {
        let mut roll_call = RollCall::default();
        events.iter().flat_map(|event| roll_call.gone(event, |object| *object)).collect()
    }

    #[test]
    fn whoever_was_deleted_or_is_missing_in_a_complete_list_is_gone() {
        use Event::{Apply, Delete, Init, InitApply, InitDone};
        let begin = [Init, InitApply('a'), InitApply('b'), InitDone, Apply('c')];
        let with = |more: &[Event<char>]| gone(&[&begin, more].concat());
        assert_eq!(with(&[]), "");
        assert_eq!(with(&[Delete('a'), Delete('z')]), "az");
        assert_eq!(with(&[Init, InitApply('b'), InitApply('c'), InitDone]), "a");
        assert_eq!(with(&[Delete('a'), Init, InitApply('b'), InitDone]), "ac", "nobody is gone twice");
        assert_eq!(with(&[Init, InitApply('b')]), "", "a list that is not complete tells nothing");
        assert_eq!(with(&[Init, InitApply('a'), Init, InitApply('b'), InitApply('c'), InitDone]), "a");
        assert_eq!(with(&[Init, InitApply('a'), InitApply('b'), InitApply('c'), InitDone, Delete('c')]), "c");
    }
}
