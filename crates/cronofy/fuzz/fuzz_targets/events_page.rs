//! `cargo +nightly fuzz run events_page`: what is checked stands beside the tests, which run it on stable.
#![no_main]

#[path = "../../tests/fuzzed/events_page.rs"]
mod events_page;

libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    events_page::check(body);
});
