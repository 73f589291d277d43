//! Names, labels, owner references.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::ObjectMeta;

use super::super::target::{Ownership, Part};
use super::*;

fn labels(target: &Target) -> ObjectMeta {
    ObjectMeta { labels: Some(target.labels(Part::Index)), namespace: Some("rota".to_owned()), ..ObjectMeta::default() }
}

fn reference(target: &Target) -> OwnerReference {
    target.owner_reference().unwrap()
}

#[test]
fn names_that_kubernetes_does_not_take_are_refused() {
    for name in ["primary-events", "a", "a.b-c.d9", &"a".repeat(253)] {
        assert!(Target::new("rota", name, owner()).is_ok(), "{name}");
    }
    for name in ["", ".", "..", "a/b", "a?b", "A", "-a", "a-", "a..b", "ä", "a%2fb", &"a".repeat(254)] {
        assert_eq!(Target::new("rota", name, owner()), Err(InvalidName), "{name}");
        assert_eq!(Target::new(name, "primary-events", owner()), Err(InvalidName), "{name}");
    }
}

#[test]
fn a_long_subscription_name_is_cut_in_labels_and_stays_distinct() {
    let label = |name: String| {
        let owner = Owner { name, ..owner() };
        Target::new("rota", "primary-events", owner).unwrap().labels(Part::Index)[SUBSCRIPTION].clone()
    };
    assert_eq!(label("a".repeat(63)), "a".repeat(63));
    let (first, second) = (label("a".repeat(64)), label("a".repeat(65)));
    assert_ne!(first, second);
    assert_eq!(first.len(), 63);
    // The cut falls on a dot, which no label may end with before the hash is added.
    let dotted = label(format!("{}.{}", "a".repeat(51), "b".repeat(40)));
    assert!(dotted.starts_with(&format!("{}-", "a".repeat(51))) && dotted.len() <= 63, "{dotted}");
}

#[test]
fn the_selector_for_the_watch_finds_all_parts_and_the_one_for_slices_no_index() {
    assert_eq!(OUTPUTS, "app.kubernetes.io/managed-by=cronofy-operator,app.kubernetes.io/component in (events,slice)");
    let (index, slice) = (target().labels(Part::Index), target().labels(Part::Slice));
    for labels in [&index, &slice] {
        assert_eq!(labels["app.kubernetes.io/managed-by"], "cronofy-operator");
    }
    assert_eq!(index["app.kubernetes.io/component"], "events");
    let selector = target().slices();
    let selected: BTreeMap<_, _> = selector.split(',').map(|term| term.split_once('=').unwrap()).collect();
    assert!(selected.iter().all(|(key, value)| slice[*key] == *value), "{selector}");
    assert!(selected.iter().any(|(key, value)| index.get(*key).is_none_or(|found| found != value)), "{selector}");
}

#[test]
fn a_slice_is_named_for_the_output_and_what_it_holds() {
    let named = |output: &str, hash: &str| Target::new("rota", output, owner()).unwrap().slice_name(hash);
    assert_eq!(named("primary-events", "aa"), named("primary-events", "aa"));
    assert_ne!(named("primary-events", "aa"), named("primary-events", "ab"));
    for output in ["a", "a.b", &"a".repeat(253), &format!("{}.{}", "a".repeat(231), "b".repeat(21))] {
        let target = Target::new("rota", output, owner()).unwrap();
        let name = target.slice_name("aa");
        assert!(Target::new("rota", &name, owner()).is_ok(), "{name} is a name");
        let digest = target.digest_of(&name).unwrap();
        assert_eq!(target.slice_of_digest(digest), Some(name));
    }
    let target = target();
    for name in ["primary-events", "primary-events-", "kube-root-ca.crt", "primary-events-0123456789abcdef012g", ""] {
        assert_eq!(target.digest_of(name), None, "{name}");
    }
    // Cut to the same beginning, they still differ.
    let long = |end: &str| Target::new("rota", format!("{}{end}", "a".repeat(250)), owner()).unwrap().slice_name("aa");
    assert_ne!(long("b"), long("c"));
}

#[test]
fn an_output_leads_to_its_subscription_by_reference_or_by_label() {
    let target = target();
    let mut metadata = labels(&target);
    let found = subscription_of(&metadata).unwrap();
    assert_eq!((found.name.as_str(), found.namespace.as_deref()), ("primary", Some("rota")));
    metadata.labels = None;
    assert_eq!(subscription_of(&metadata), None);
    metadata.owner_references = Some(vec![reference(&target)]);
    assert_eq!(subscription_of(&metadata), Some(found));
}

#[test]
fn ownership_needs_our_uid_and_nobody_else_in_control() {
    let target = target();
    let ours = reference(&target);
    let elsewhere = |uid: &str| OwnerReference { uid: uid.to_owned(), ..ours.clone() };
    let deployment = OwnerReference {
        api_version: "apps/v1".to_owned(),
        kind: "Deployment".to_owned(),
        name: "web".to_owned(),
        uid: "d".to_owned(),
        ..ours.clone()
    };
    let companion = OwnerReference { controller: None, ..deployment.clone() };
    let is_ours = |labelled: bool, references: &[&OwnerReference]| {
        let references: Vec<_> = references.iter().map(|&reference| reference.clone()).collect();
        let metadata = ObjectMeta {
            labels: labelled.then(|| target.labels(Part::Index)),
            owner_references: Some(references),
            ..ObjectMeta::default()
        };
        target.ownership(&metadata) == Ownership::Ours
    };
    assert!(is_ours(true, &[&ours]));
    assert!(is_ours(false, &[&ours]));
    assert!(is_ours(true, &[]));
    assert!(is_ours(true, &[&elsewhere("corrupted")]));
    assert!(is_ours(true, &[&ours, &companion]));
    assert!(!is_ours(false, &[]));
    assert!(!is_ours(false, &[&elsewhere("that of a subscription of the same name, before")]));
    assert!(!is_ours(true, &[&deployment]));
    assert!(!is_ours(true, &[&ours, &deployment]));
    assert!(!is_ours(false, &[&companion]));
}
