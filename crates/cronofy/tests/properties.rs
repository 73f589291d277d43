//! What holds for every input.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::LazyLock;

use cronofy::jiff::tz::Offset;
use cronofy::jiff::{Timestamp, civil};
use cronofy::notification::Notification;
use cronofy::secrecy::SecretString;
use cronofy::signature::{self, SignatureError};
use cronofy::{Client, Error, Event, EventTime, Filters, Options, Token, UserInfo};
use proptest::prelude::*;
use serde_json::{Value, json};

fn timestamps() -> impl Strategy<Value = Timestamp> {
    let (min, max) = (-62_167_219_200_i64, 253_402_207_200_i64); // the years 0 to 9999
    (min..max, 0..1_000_000_000_i32).prop_map(|(second, nanosecond)| Timestamp::new(second, nanosecond).unwrap())
}

fn dates() -> impl Strategy<Value = civil::Date> {
    timestamps().prop_map(|timestamp| Offset::UTC.to_datetime(timestamp).date())
}

/// Any JSON, with strings that are sometimes the ones the decoders look for.
fn json() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        any::<String>(),
        Just("2026-12-03".to_owned()),
        Just("2026-11-23T09:00:00Z".to_owned()),
        Just("https://api.example.org/v1/events/pages/2".to_owned()),
        Just("change".to_owned()),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 48, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((keys(), inner), 0..6)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

fn keys() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "pages",
            "next_page",
            "events",
            "calendar_id",
            "event_uid",
            "start",
            "end",
            "deleted",
            "time",
            "tzid",
            "created",
            "location",
            "lat",
            "attendees",
            "status",
            "notification",
            "type",
            "changes_since",
            "channel",
            "channel_id",
            "filters",
            "calendar_ids",
            "sub",
            "cronofy.data",
            "profiles",
            "access_token",
            "expires_in",
        ])
        .prop_map(str::to_owned),
        any::<String>(),
    ]
}

/// Shared, since setting up TLS takes longer than any of the cases.
fn client() -> &'static Client {
    static CLIENT: LazyLock<Client> =
        LazyLock::new(|| Client::new(Options::new("https://api.example.org".parse().unwrap())).unwrap());
    &CLIENT
}

fn secrets() -> Vec<SecretString> {
    vec!["first secret".into(), "second secret".into()]
}

proptest! {
    #[test]
    fn every_instant_is_read_back_whatever_its_offset(
        timestamp in timestamps(), minutes in -14 * 60..=14 * 60_i32, zone in any::<Option<String>>(),
    ) {
        let offset = Offset::from_seconds(minutes * 60).unwrap();
        let text = timestamp.display_with_offset(offset).to_string();
        prop_assume!(!text.starts_with('-')); // the local year -1
        for value in [json!(text), json!({"time": text}), json!({"time": text, "tzid": zone})] {
            let expected_zone = zone.clone().filter(|zone| value.get("tzid").is_some() && !zone.is_empty());
            let time: EventTime = serde_json::from_value(value).unwrap();
            prop_assert_eq!(time, EventTime::Instant { timestamp, zone: expected_zone });
        }
    }

    #[test]
    fn every_date_is_read_back(date in dates()) {
        for value in [json!(date.to_string()), json!({"time": date.to_string(), "tzid": null})] {
            let time: EventTime = serde_json::from_value(value).unwrap();
            prop_assert_eq!(time, EventTime::Date { date, zone: None });
        }
    }

    #[test]
    fn no_text_makes_the_time_parser_panic(text in ".{0,40}", almost in "[0-9TZ:.+ -]{0,30}") {
        for text in [text, almost] {
            let _ = serde_json::from_value::<EventTime>(json!(text));
            let _ = serde_json::from_value::<EventTime>(json!({"time": text, "tzid": text}));
        }
    }

    #[test]
    fn no_json_makes_a_decoder_panic_and_every_entry_of_a_page_is_counted(value in json(), list in prop::collection::vec(json(), 0..5)) {
        let _ = serde_json::from_value::<Event>(value.clone());
        let _ = serde_json::from_value::<Token>(value.clone());
        let _ = serde_json::from_value::<UserInfo>(value.clone());
        let _ = serde_json::from_value::<Filters>(value.clone());
        let _ = Notification::parse(value.to_string().as_bytes());
        let _ = client().decode_events_page(value.to_string().as_bytes());
        let page = client().decode_events_page(json!({"pages": {}, "events": list}).to_string().as_bytes()).unwrap();
        prop_assert_eq!(page.events.len() + page.skipped, list.len());
    }

    #[test]
    fn one_odd_field_costs_that_field_and_never_the_event(
        field in prop::sample::select(vec![
            "event_id", "google_event_id", "summary", "description", "created", "updated", "location",
            "participation_status", "attendees", "organizer", "transparency", "extended_transparency", "status",
            "categories", "recurring", "series_identifier", "event_private", "options", "meeting_url", "conferencing", "url",
            "some_new_field",
        ]),
        value in json(),
    ) {
        let mut event = json!({"calendar_id": "c", "event_uid": "e", "start": "2026-12-03", "end": "2026-12-05"});
        event[field] = value;
        let page = client().decode_events_page(json!({"pages": {}, "events": [event]}).to_string().as_bytes()).unwrap();
        prop_assert_eq!((page.events.len(), page.skipped), (1, 0));
    }

    #[test]
    fn no_bytes_make_a_decoder_panic_and_no_fault_shows_them(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Notification::parse(&bytes);
        let _ = client().decode_events_page(&bytes);
        let text = [b"{\"pages\":\"canary\",\"canary\":".as_slice(), &bytes, b"}"].concat();
        if let Err(error) = client().decode_events_page(&text) {
            let leaks = format!("{error} {error:?}").contains("canary");
            prop_assert!(!leaks);
        }
    }

    #[test]
    fn a_next_page_is_accepted_only_on_the_own_origin(
        scheme in prop::sample::select(vec!["https", "http", "ftp"]),
        user in prop::sample::select(vec!["", "u@", "u:p@", "api.example.org@"]),
        host in prop::sample::select(vec!["api.example.org", "example.org", "evil.org", "api.example.org.evil.org", "127.0.0.1"]),
        port in prop::sample::select(vec!["", ":443", ":80", ":8443"]),
        path in "[a-z/?#@:.]{0,12}",
    ) {
        let url = format!("{scheme}://{user}{host}{port}/{path}");
        let body = json!({"pages": {"next_page": url}, "events": []}).to_string();
        let own = scheme == "https" && user.is_empty() && host == "api.example.org" && matches!(port, "" | ":443");
        match client().decode_events_page(body.as_bytes()) {
            Ok(page) => prop_assert!(own && page.next.is_some(), "{url}"),
            Err(Error::ForeignPage { .. }) => prop_assert!(!own, "{url}"),
            Err(other) => prop_assert!(false, "{url}: {other}"),
        }
    }

    #[test]
    fn what_is_signed_verifies_and_one_changed_bit_does_not(
        body in prop::collection::vec(any::<u8>(), 1..300), secret in ".{1,80}", at in any::<prop::sample::Index>(), bit in 0..8_u32,
    ) {
        let secrets = [SecretString::from("another"), SecretString::from(secret.as_str())];
        let header = signature::sign(&secrets[1], &body);
        let first_match = usize::from(secret != "another");
        prop_assert_eq!(signature::verify(&header, &body, &secrets), Ok(first_match));

        let mut changed = body.clone();
        changed[at.index(body.len())] ^= 1 << bit;
        prop_assert_eq!(signature::verify(&header, &changed, &secrets), Err(SignatureError::Mismatch));

        let mut changed = header.clone().into_bytes();
        let index = at.index(changed.len());
        changed[index] ^= 1 << bit;
        prop_assert!(signature::verify(&changed, &body, &secrets).is_err());
    }

    #[test]
    fn no_header_makes_the_check_panic_or_pass(header in prop::collection::vec(any::<u8>(), 0..300), text in "[A-Za-z0-9+/=, ]{0,200}") {
        let body = b"some body";
        prop_assert!(signature::verify(&header, body, &secrets()).is_err());
        prop_assert!(signature::verify(&text, body, &secrets()).is_err());
    }

    #[test]
    fn a_good_value_among_three_of_garbage_verifies(
        garbage in prop::collection::vec("[A-Za-z0-9+/= ]{0,50}", 0..4), at in any::<prop::sample::Index>(), which in 0..2_usize,
    ) {
        let body = b"some body";
        let mut values = garbage;
        values.insert(at.index(values.len() + 1), signature::sign(&secrets()[which], body));
        prop_assert_eq!(signature::verify(values.join(","), body, &secrets()), Ok(which));
    }
}
