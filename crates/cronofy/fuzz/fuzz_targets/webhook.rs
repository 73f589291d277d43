//! `cargo +nightly fuzz run webhook`: what is checked stands beside the tests, which run it on stable.
#![no_main]

#[path = "../../tests/fuzzed/webhook.rs"]
mod webhook;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    webhook::check(input);
});
