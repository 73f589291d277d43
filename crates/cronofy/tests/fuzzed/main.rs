//! The bodies of the fuzz targets in `fuzz/`, run on stable: over a small corpus, over damaged pieces of it, and over any bytes.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod events_page;
mod webhook;

use std::path::Path;

use proptest::prelude::*;

/// The files of a target's corpus, by name: `good-…` is taken, `bad-…` is refused.
fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzzed/corpus").join(target);
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap());
    files.map(|file| (file.file_name().into_string().unwrap(), std::fs::read(file.path()).unwrap())).collect()
}

/// Inputs of a corpus with some bytes changed, taken out, doubled or cut off.
fn damaged(target: &str) -> impl Strategy<Value = Vec<u8>> {
    let inputs: Vec<Vec<u8>> = corpus(target).into_iter().map(|(_, input)| input).collect();
    let damage = (any::<prop::sample::Index>(), 0..4_u8, any::<u8>());
    (prop::sample::select(inputs), prop::collection::vec(damage, 1..8)).prop_map(|(mut input, damages)| {
        for (at, kind, byte) in damages {
            if input.is_empty() {
                break;
            }
            let at = at.index(input.len());
            match kind {
                0 => input[at] = byte,
                1 => drop(input.remove(at)),
                2 if input.len() < 4096 => input.extend_from_within(at..),
                _ => input.truncate(at.max(input.len() / 2)),
            }
        }
        input
    })
}

#[test]
fn the_corpus_is_taken_and_refused_as_its_names_say() {
    for (target, check) in [("events_page", events_page::check as fn(&[u8]) -> bool), ("webhook", webhook::check)] {
        let corpus = corpus(target);
        for wanted in ["good-", "bad-"] {
            assert!(corpus.iter().any(|(name, _)| name.starts_with(wanted)), "{target} has none of {wanted}");
        }
        for (name, input) in corpus {
            assert_eq!(check(&input), name.starts_with("good-"), "{target}/{name}");
        }
    }
}

proptest! {
    #[test]
    fn no_page_of_events_breaks_a_promise(damaged in damaged("events_page"), any in prop::collection::vec(any::<u8>(), 0..1024)) {
        events_page::check(&damaged);
        events_page::check(&any);
    }

    #[test]
    fn nothing_that_is_sent_to_a_receiver_breaks_a_promise(
        damaged in damaged("webhook"), any in prop::collection::vec(any::<u8>(), 0..1024),
    ) {
        webhook::check(&damaged);
        webhook::check(&any);
    }
}
