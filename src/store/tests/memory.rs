//! Telling our own work from that of others, as a watch shows both.

use std::sync::Arc;

use kube::api::ObjectMeta;

use super::super::memory::Key;
use super::super::target::Part;
use super::*;

const UID: &str = "6f1c2f0e-0000-4000-8000-000000000001";

fn key(name: &str) -> Key {
    Key { kind: "ConfigMap", namespace: "rota".to_owned(), name: name.to_owned() }
}

/// What a watch shows.
fn shown(part: Part, name: &str, version: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        namespace: Some("rota".to_owned()),
        labels: Some(target().labels(part)),
        resource_version: Some(version.to_owned()),
        ..ObjectMeta::default()
    }
}

fn text() -> Arc<str> {
    "[]\n".into()
}

#[test]
fn our_own_writes_put_nothing_in_doubt_whether_the_watch_shows_them_before_or_after_their_answer() {
    for early in [false, true] {
        let memory = StoreMemory::default();
        let version = "7".to_owned();
        let write = memory.write(key("slice"), UID);
        if early {
            assert!(memory.is_own(&shown(Part::Slice, "slice", "7")));
        }
        write.done(Some(&version));
        memory.keep(&key("slice"), UID, Some(&version), text());
        assert!(memory.is_own(&shown(Part::Slice, "slice", "7")));
        assert!(!memory.is_touched(UID));

        memory.leaving(&key("slice"), UID);
        assert!(memory.is_own(&shown(Part::Slice, "slice", "9")), "a deletion has a version of its own");
        assert!(!memory.is_touched(UID));
        assert!(!memory.is_own(&shown(Part::Slice, "slice", "11")), "what comes after it is somebody else's");
        assert!(memory.is_touched(UID));
    }
}

#[test]
fn somebody_who_writes_right_after_us_is_not_taken_for_us() {
    let memory = StoreMemory::default();
    let write = memory.write(key("slice"), UID);
    assert!(memory.is_own(&shown(Part::Slice, "slice", "7")));
    assert!(memory.is_own(&shown(Part::Slice, "slice", "8")), "nobody can tell yet");
    write.done(Some(&"7".to_owned()));
    assert!(memory.is_touched(UID));

    let memory = StoreMemory::default();
    let write = memory.write(key("slice"), UID);
    assert!(memory.is_own(&shown(Part::Slice, "slice", "7")));
    drop(write); // no answer came
    assert!(memory.is_touched(UID));
}

#[test]
fn at_the_start_slices_are_in_doubt_and_outputs_without_slices_are_not() {
    let memory = StoreMemory::default();
    assert!(!memory.is_own(&shown(Part::Index, "primary-events", "3")));
    assert!(!memory.is_touched(UID));
    assert!(!memory.is_own(&shown(Part::Slice, "slice", "4")));
    assert!(memory.is_touched(UID));
    assert!(!memory.is_own(&ObjectMeta::default()), "an object without labels is nobody's");
}

#[test]
fn who_changes_labels_does_not_hide_whose_slice_it_is() {
    let memory = StoreMemory::default();
    memory.keep(&key("slice"), UID, Some(&"3".to_owned()), text());
    let mut relabelled = shown(Part::Slice, "slice", "4");
    for labels in [
        BTreeMap::from([(SUBSCRIPTION_UID.to_owned(), "other".to_owned())]),
        target().labels(Part::Index),
        BTreeMap::new(),
    ] {
        relabelled.labels = Some(labels);
        memory.trust(UID);
        assert!(!memory.is_own(&relabelled));
        assert!(memory.is_touched(UID));
    }
}

#[test]
fn a_text_is_given_only_while_its_version_is_known() {
    let memory = StoreMemory::default();
    memory.keep(&key("slice"), UID, Some(&"3".to_owned()), text());
    assert_eq!(memory.slice(&key("slice")), Some((text(), Some("3".to_owned()))));
    let write = memory.write(key("slice"), UID);
    assert_eq!(memory.slice(&key("slice")), None, "it is being written");
    drop(write);
    assert_eq!(memory.slice(&key("slice")), None);
    memory.keep(&key("slice"), UID, Some(&"5".to_owned()), text());
    memory.forget(UID);
    assert_eq!(memory.slice(&key("slice")), None);
}

#[test]
fn a_watch_that_begins_anew_may_have_missed_a_deletion() {
    let memory = StoreMemory::default();
    memory.write(key("small-events"), "small").done(Some(&"3".to_owned()));
    memory.keep(&key("slice"), UID, Some(&"4".to_owned()), text());
    memory.missed_some();
    assert!(memory.is_touched(UID));
    assert!(!memory.is_touched("small"), "who has no slices has nothing that could be hidden");
}

#[test]
fn slices_that_nobody_watches_are_in_doubt_after_a_while() {
    let memory = StoreMemory::default();
    let hour = Some(Duration::from_hours(1));
    assert!(memory.is_doubted("uid", hour), "never compared");
    memory.trust("uid");
    assert!(!memory.is_doubted("uid", hour));
    assert!(!memory.is_doubted("uid", None));
    assert!(memory.is_doubted("uid", Some(Duration::ZERO)));
}
