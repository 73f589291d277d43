//! Lines of iCalendar (RFC 5545). Whatever a text holds, it stays in its line's value.

use calendar_sync::{EventTime, hex};
use jiff::Timestamp;
use jiff::civil::Date;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use sha2::{Digest as _, Sha256};
use url::{Position, Url};

/// Octets of a line, without its end.
const LONGEST_LINE: usize = 75;
/// What no address may have as it is (RFC 3986).
const ADDRESS: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');
/// The same of an e-mail address: what could begin a header of the mail goes, too.
const MAIL: &AsciiSet = &ADDRESS.add(b'?').add(b'&').add(b'#').add(b'%').add(b',').add(b';').add(b':').add(b'/');

/// Adds a line, folded.
pub fn line(out: &mut String, content: &str) {
    let mut room = LONGEST_LINE;
    for character in content.chars() {
        if character.len_utf8() > room {
            out.push_str("\r\n ");
            room = LONGEST_LINE - 1;
        }
        room -= character.len_utf8();
        out.push(character);
    }
    out.push_str("\r\n");
}

/// A text as a value.
pub fn text(text: &str) -> String {
    let mut value = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\\' | ';' | ',' => value.extend(['\\', character]),
            '\r' if characters.peek() == Some(&'\n') => {}
            '\r' | '\n' | '\u{85}' | '\u{2028}' | '\u{2029}' => value.push_str("\\n"),
            '\t' => value.push(character),
            _ if character.is_control() => {}
            _ => value.push(character),
        }
    }
    value
}

/// A name that no other key has, as a value. One that would not stay as it is gives way to its hash.
pub fn uid(key: &str) -> String {
    let lost = |character: char| character.is_control() || matches!(character, '\u{2028}' | '\u{2029}');
    if key.contains(lost) { hex(&Sha256::digest(key)) } else { text(key) }
}

/// A text as a parameter, in quotes. What cannot stand in them is written as RFC 6868 has it.
pub fn parameter(text: &str) -> String {
    let mut value = String::with_capacity(text.len() + 2);
    value.push('"');
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '^' => value.push_str("^^"),
            '"' => value.push_str("^'"),
            '\r' if characters.peek() == Some(&'\n') => {}
            '\r' | '\n' | '\u{85}' | '\u{2028}' | '\u{2029}' => value.push_str("^n"),
            _ if character.is_control() => value.push(' '),
            _ => value.push(character),
        }
    }
    value.push('"');
    value
}

/// The address of a person, if it is one.
pub fn mail(email: &str) -> Option<String> {
    email.contains('@').then(|| format!("mailto:{}", utf8_percent_encode(email, MAIL)))
}

/// An address on the web, if it is one.
pub fn url(text: &str) -> Option<String> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "https" | "http"))?;
    let mut address = url[..Position::BeforePath].to_owned();
    // Browsers let more stand than may stand there, a % among it that begins nothing.
    for (number, part) in url[Position::BeforePath..].split('%').enumerate() {
        let begins = part.as_bytes().get(..2).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        address.push_str(match number {
            0 => "",
            _ if begins => "%",
            _ => "%25",
        });
        address.extend(utf8_percent_encode(part, ADDRESS));
    }
    Some(address)
}

/// An instant in UTC.
pub fn instant(instant: Timestamp) -> String {
    let time = jiff::tz::TimeZone::UTC.to_datetime(instant);
    format!("{}T{:02}{:02}{:02}Z", date(time.date()), time.hour(), time.minute(), time.second())
}

/// Name and value of a time.
pub fn time(name: &str, time: EventTime) -> String {
    match time {
        EventTime::Date(day) => format!("{name};VALUE=DATE:{}", date(day)),
        EventTime::Instant(moment) => format!("{name}:{}", instant(moment)),
    }
}

/// Four digits have to do for the year, and there is none before the first.
fn date(date: Date) -> String {
    format!("{:04}{:02}{:02}", date.year().max(1), date.month(), date.day())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_folded_at_75_octets_and_between_characters() {
        for content in
            ["a".repeat(75), "a".repeat(76), "ä".repeat(200), "a😀".repeat(100), format!("{}ä", "a".repeat(74))]
        {
            let mut out = String::new();
            line(&mut out, &content);
            assert!(out.split("\r\n").all(|line| line.len() <= 75), "{out}");
            assert_eq!(out.replace("\r\n ", ""), format!("{content}\r\n"));
        }
    }

    #[test]
    fn a_value_stays_in_its_line() {
        let table = [
            ("a,b;c\\d", "a\\,b\\;c\\\\d"),
            ("a\r\nb\rc\nd", "a\\nb\\nc\\nd"),
            ("a\u{2028}b\u{85}c\0d\u{7}e\tf", "a\\nb\\ncde\tf"),
            ("\r\nEND:VEVENT", "\\nEND:VEVENT"),
        ];
        for (given, written) in table {
            assert_eq!(text(given), written);
        }
        assert_eq!(parameter("a\"b\r\nc;d^\0"), "\"a^'b^nc;d^^ \"");
    }

    #[test]
    fn only_addresses_are_addresses() {
        assert_eq!(mail("a@example.org").as_deref(), Some("mailto:a@example.org"));
        assert_eq!(mail("a\r\nb@x?cc=y").as_deref(), Some("mailto:a%0D%0Ab@x%3Fcc=y"));
        assert_eq!(mail("nobody"), None);
        assert_eq!(url("javascript:alert(1)"), None);
        assert_eq!(url("https://a/ä\r\nX:1").as_deref(), Some("https://a/%C3%A4X:1"));
        assert_eq!(url("HTTPS://a/?b=%20#c").as_deref(), Some("https://a/?b=%20#c"));
        assert_eq!(url("https://a/100%?[b|c]=%zz%4").as_deref(), Some("https://a/100%25?%5Bb%7Cc%5D=%25zz%254"));
        assert_eq!(url("https://[::1]:8443/x").as_deref(), Some("https://[::1]:8443/x"));
        assert_eq!(url("https://"), None);
    }

    #[test]
    fn names_that_would_become_equal_do_not() {
        let keys = ["a", "a\u{1}", "a\u{2}", "a\n", "a\r\n", "a\u{2028}", "a\u{2029}", "a\\n"];
        let uids: std::collections::BTreeSet<String> = keys.map(uid).into();
        assert_eq!(uids.len(), keys.len());
        assert_eq!(uid("a,b"), "a\\,b");
    }
}
