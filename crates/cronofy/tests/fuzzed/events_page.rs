//! A page of events from a server that sends anything.

use std::sync::LazyLock;

use cronofy::{Client, Error, Options};

static CLIENT: LazyLock<Client> = LazyLock::new(|| {
    let api = "https://api.example.org".parse().expect("a URL");
    Client::new(Options::new(api)).expect("a client")
});

/// Decodes a body, and panics if what comes of it breaks a promise. Gives whether it was taken for a page.
pub fn check(body: &[u8]) -> bool {
    match CLIENT.decode_events_page(body) {
        Ok(page) => {
            for event in &page.events {
                assert!(!event.calendar_id.is_empty() && !event.event_uid.is_empty());
                assert!(event.deleted || (event.start.is_some() && event.end.is_some()));
            }
            // Whatever was accepted as the next page is on this API, and accepted again.
            if let Some(next) = page.next {
                assert!(format!("{next:?}").starts_with("PageUrl(https://api.example.org/"), "{next:?}");
            }
            true
        }
        Err(Error::Malformed { .. }) => false,
        Err(error @ Error::ForeignPage { .. }) => {
            assert!(!error.to_string().contains(['?', '\n']), "{error}");
            false
        }
        Err(other) => panic!("decoding cannot fail like this: {other}"),
    }
}
