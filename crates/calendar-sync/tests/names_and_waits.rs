//! Names of channels, waits after failures, edges of the window.
#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::BTreeSet;

use calendar_sync::{LONGEST_BACKOFF, Reason, TimeZone, Window, backoff, channel};
use jiff::Timestamp;

#[test]
fn a_token_is_22_characters_that_need_no_encoding_and_differs_by_uid_and_generation() {
    let tokens: BTreeSet<String> =
        ["a", "b", "ab"].iter().flat_map(|uid| (1..=50).map(|generation| channel::token(uid, generation))).collect();
    assert_eq!(tokens.len(), 150);
    let plain = |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '_');
    assert!(tokens.iter().all(|token| token.len() == 22 && token.chars().all(plain)));
}

#[test]
fn only_a_subscriptions_own_callback_urls_are_taken_for_its_own() {
    let own = channel::callback_url("https://calendars.example.org/in/", "uid", 3);
    assert_eq!(own, format!("https://calendars.example.org/in/hook/{}", channel::token("uid", 3)));
    assert_eq!(channel::generation_of(&own, "uid", 3), Some(3));
    assert_eq!(channel::generation_of(&own, "uid", 2), None, "a generation that was never made");
    assert_eq!(channel::generation_of(&own, "other", 3), None);
    assert_eq!(channel::generation_of(&own.replace("hook", "other"), "uid", 3), None);
    assert_eq!(channel::generation_of("", "uid", 3), None);
    let late = channel::callback_url("https://calendars.example.org", "uid", i64::MAX - 1_000);
    assert_eq!(channel::generation_of(&late, "uid", i64::MAX), Some(i64::MAX - 1_000), "a long life ends, too");
    assert_eq!(channel::generation_of(&own, "uid", i64::MAX), None, "and is not remembered for ever");
}

#[test]
fn waits_double_up_to_an_hour_and_differ_between_subscriptions() {
    for count in 1..=64 {
        let wait = backoff("uid", count, LONGEST_BACKOFF);
        assert!(wait > std::time::Duration::ZERO && wait <= LONGEST_BACKOFF, "{count}: {wait:?}");
    }
    let waits: BTreeSet<_> = (0..100).map(|uid| backoff(&format!("uid {uid}"), 20, LONGEST_BACKOFF)).collect();
    assert!(waits.len() > 50, "what failed together does not come back together");
}

#[test]
fn the_window_stays_within_cronofys_in_the_zone_and_in_utc() {
    // At this moment it is the 2nd in Kiritimati and still the 1st in UTC and Pago Pago.
    let now: Timestamp = "2026-03-01T11:30:00Z".parse().unwrap();
    for (zone, from, to) in [
        ("Etc/UTC", "2026-01-18", "2026-09-18"),
        ("Pacific/Kiritimati", "2026-01-19", "2026-09-18"),
        ("Pacific/Pago_Pago", "2026-01-18", "2026-09-18"),
    ] {
        let zone = TimeZone::parse(zone).unwrap();
        let horizon = Window::default().horizon(now, &zone, std::time::Duration::from_hours(24));
        let near_edge = Window::default().near_edge(now, &zone);
        assert_eq!((near_edge.to_string().as_str(), horizon.to_string().as_str()), (from, to), "{zone:?}");
    }
}

#[test]
fn every_reason_is_read_back_from_its_word() {
    for reason in Reason::ALL {
        assert_eq!(Reason::parse(reason.as_str()), Some(reason));
    }
    assert_eq!(Reason::parse("SecretNotFound"), None, "a reason of another step");
}
