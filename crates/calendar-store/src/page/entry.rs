//! An event as it is shown: cut to what a page has room for.

use calendar_sync::{Event, hex};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest as _, Sha256};

use super::layout::Span;

/// Characters of a title or a place.
const LINE: usize = 200;
/// Characters of a description.
const TEXT: usize = 2000;
/// Bytes of an address.
const LINK: usize = 1000;
/// Colours that calendars are told apart by.
pub const HUES: u8 = 6;

/// An event on the page.
#[derive(Clone)]
pub struct Entry {
    /// Names it within the page, and is the same after a change.
    pub key: String,
    /// Its title, or whether its time is taken up if no more may be known.
    pub title: String,
    /// Its place.
    pub place: Option<String>,
    /// Its description.
    pub description: Option<String>,
    /// Where it is held online: `https` only, since whoever invites can write anything there.
    pub meeting: Option<String>,
    /// What is said of it beside its title.
    pub state: State,
    /// Whether it takes up time.
    pub free: bool,
    /// The colour of its calendar.
    pub hue: u8,
    /// When it is.
    pub span: Span,
    /// Its first date.
    pub first: Date,
    /// Its last date.
    pub last: Date,
}

/// How certain an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It takes place.
    Certain,
    /// Perhaps it does.
    Tentative,
    /// It does not.
    Cancelled,
    /// Whose calendar it is has declined.
    Declined,
}

impl State {
    /// A word for it, if it needs one.
    pub fn word(self) -> Option<&'static str> {
        match self {
            State::Certain => None,
            State::Tentative => Some("tentative"),
            State::Cancelled => Some("cancelled"),
            State::Declined => Some("declined"),
        }
    }
}

impl Entry {
    /// An event in a zone.
    pub fn of(event: &Event, zone: &TimeZone, moments: &calendar_sync::TimeZone) -> Self {
        let (start, end) = (event.start.instant(moments), event.end.instant(moments));
        let span = Span { start, end: end.max(start), all_day: event.all_day };
        let date = |at: Timestamp| at.to_zoned(zone.clone()).date();
        // The end is the first moment after it.
        let last = span.end.checked_sub(SignedDuration::from_nanos(1)).unwrap_or(span.end).max(span.start);
        let is = |value: &Option<String>, word: &str| value.as_deref() == Some(word);
        let free = is(&event.transparency, "transparent");
        let state = match event.status.as_deref() {
            Some("cancelled") => State::Cancelled,
            _ if is(&event.participation, "declined") => State::Declined,
            Some("tentative") => State::Tentative,
            _ => State::Certain,
        };
        let title = match event.summary.as_deref().map(|text| cut(text, LINE)) {
            Some(title) if !title.is_empty() => title,
            Some(_) => "(no title)".to_owned(),
            None if free => "Free".to_owned(),
            None => "Busy".to_owned(),
        };
        let text =
            |value: &Option<String>, most| value.as_deref().map(|text| cut(text, most)).filter(|text| !text.is_empty());
        let meeting = event.meeting_url.clone().filter(|address| is_link(address));
        Self {
            key: hex(&Sha256::digest(&event.id)).chars().take(16).collect(),
            title,
            place: text(&event.location, LINE),
            description: text(&event.description, TEXT),
            meeting,
            state,
            free,
            hue: Sha256::digest(&event.calendar_id).first().map_or(0, |byte| byte % HUES),
            span,
            first: date(span.start),
            last: date(last),
        }
    }

    /// How many days it is on.
    pub fn days(&self) -> i64 {
        days_from(self.first, self.last) + 1
    }

    /// Which of its days a date is, from 1.
    pub fn day(&self, date: Date) -> i64 {
        days_from(self.first, date) + 1
    }
}

fn days_from(first: Date, last: Date) -> i64 {
    last.duration_since(first).as_hours() / 24
}

/// Text of at most so many characters, without the control characters that nobody sees.
fn cut(text: &str, most: usize) -> String {
    let seen = |character: &char| !character.is_control() || matches!(character, '\n' | '\t');
    let mut characters = text.trim().chars().filter(seen);
    let mut cut: String = characters.by_ref().take(most).collect();
    if characters.next().is_some() {
        cut.push('…');
    }
    cut
}

fn is_link(address: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'<' | b'>' | b'\\' | b'`');
    address.len() <= LINK && address.starts_with("https://") && address.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_between_characters_and_control_characters_go() {
        for (text, most, expected) in [
            ("  Review  ", 10, "Review"),
            ("Überprüfung", 4, "Über…"),
            ("a\u{0}b\u{7}c\u{1b}[31md", 10, "abc[31md"),
            ("one\ntwo", 10, "one\ntwo"),
            ("\u{0}", 10, ""),
            ("exactly", 7, "exactly"),
        ] {
            assert_eq!(cut(text, most), expected, "{text:?}");
        }
    }

    #[test]
    fn only_addresses_that_cannot_run_anything_are_links() {
        for (address, expected) in [
            ("https://meet.example/abc?x=1&y=2", true),
            ("http://meet.example", false),
            ("javascript:alert(1)", false),
            ("JAVASCRIPT:alert(1)//https://", false),
            ("data:text/html,x", false),
            ("https://a b", false),
            ("https://a\"onmouseover=\"x", false),
            ("https://a\nb", false),
            ("", false),
        ] {
            assert_eq!(is_link(address), expected, "{address:?}");
        }
        assert!(!is_link(&format!("https://{}", "a".repeat(LINK))));
    }
}
