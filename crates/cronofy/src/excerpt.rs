//! Makes text of a server fit to be shown: no credentials, no e-mail addresses, no control characters, one line, cut.
//!
//! Three nets, since none is tight alone: what the request sent is replaced wherever it comes back; what stands behind a
//! name such as `access_token` is replaced; and what looks like a credential or an e-mail address is replaced anywhere.

use std::borrow::Cow;

/// Characters of a body that an error shows.
pub(crate) const BODY_CHARS: usize = 256;
/// Characters of one part of a 422 answer that an error shows.
pub(crate) const FIELD_CHARS: usize = 128;

const REDACTED: &str = "[redacted]";
const EMAIL: &str = "[email]";

/// Words of at least this length that mix letters and digits are taken for credentials; Cronofy's tokens have 32.
const CREDENTIAL_CHARS: usize = 20;

/// Knows the secrets of one request.
pub(crate) struct Redactor {
    /// The secrets and their escaped forms, longest first, so that no rest of a longer form is left over.
    secrets: Vec<String>,
}

impl Redactor {
    pub(crate) fn new(secrets: &[&str]) -> Self {
        let mut forms = Vec::new();
        for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
            let json = serde_json::Value::from(*secret).to_string();
            forms.push(json.trim_matches('"').to_owned());
            forms.push(url::form_urlencoded::byte_serialize(secret.as_bytes()).collect());
            forms.push((*secret).to_owned());
        }
        forms.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        forms.dedup();
        Self { secrets: forms }
    }

    /// The beginning of a body.
    pub(crate) fn body(&self, body: &[u8]) -> String {
        // Writing JSON anew resolves escapes, behind which a secret or an address could hide.
        let text = match serde_json::from_slice::<serde_json::Value>(body) {
            Ok(value) => Cow::Owned(value.to_string()),
            Err(_) => String::from_utf8_lossy(body),
        };
        self.text(&text, BODY_CHARS)
    }

    /// At most `limit` characters of a text.
    pub(crate) fn text(&self, text: &str, limit: usize) -> String {
        one_line(&redact_words(&self.redact_sent(text)), limit)
    }

    fn redact_sent(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(next) = rest.chars().next() {
            if let Some(after) = self.secrets.iter().find_map(|secret| rest.strip_prefix(secret.as_str())) {
                out.push_str(REDACTED);
                rest = after;
            } else {
                out.push(next);
                rest = rest.strip_prefix(next).unwrap_or_default();
            }
        }
        out
    }
}

fn redact_words(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut previous = String::new();
    while !rest.is_empty() {
        let (separator, after) = rest.split_at(rest.find(in_word).unwrap_or(rest.len()));
        let (word, after) = after.split_at(after.find(|c| !in_word(c)).unwrap_or(after.len()));
        out.push_str(separator);
        out.push_str(replacement(&previous, separator, word));
        previous = word.to_ascii_lowercase();
        rest = after;
    }
    out
}

/// Letters, digits and what e-mail addresses, base64 and percent-encoding are made of, but not what separates `key=value`
/// pairs and JSON.
fn in_word(c: char) -> bool {
    c.is_alphanumeric() || "_-.+/%@~!#$'*^|`".contains(c)
}

fn replacement<'a>(previous: &str, separator: &str, word: &'a str) -> &'a str {
    if word.is_empty() || word == "redacted" {
        word
    } else if word.contains('@') || word.contains("%40") {
        EMAIL
    } else if is_value_of_secret(previous, separator) || looks_like_credential(word) {
        REDACTED
    } else {
        word
    }
}

/// `"access_token":"…"`, `token=…`, `Bearer …`; but not the name of a refused field, as in `{"token":[{"key":…`.
fn is_value_of_secret(previous: &str, separator: &str) -> bool {
    let names_secret = previous == "code" || ["token", "secret", "password"].iter().any(|name| previous.contains(name));
    let joined = separator.contains([':', '=']) && !separator.contains('{');
    (names_secret && joined) || previous == "bearer"
}

fn looks_like_credential(word: &str) -> bool {
    word.starts_with("CRN_")
        || (word.len() >= CREDENTIAL_CHARS
            && word.contains(|c: char| c.is_ascii_digit())
            && word.contains(|c: char| c.is_ascii_alphabetic()))
}

fn one_line(text: &str, limit: usize) -> String {
    let visible: String = text.chars().map(|c| if is_invisible(c) { ' ' } else { c }).collect();
    let line = visible.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(limit) {
        None => line,
        // One character less, for the mark that something is missing.
        Some(_) => line.chars().take(limit.saturating_sub(1)).chain(['…']).collect(),
    }
}

/// Control characters, and the marks that make a terminal reorder or hide what follows.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_request_sent_does_not_come_back() {
        let redactor = Redactor::new(&["s3\"cr/et+", "", "abc", "abcdef"]);
        let table = [
            ("got s3\"cr/et+!", "got [redacted]!"),
            (r#"got s3\"cr/et+!"#, "got [redacted]!"),
            ("got s3%22cr%2Fet%2B!", "got [redacted]!"),
            ("abcdef and abc", "[redacted] and [redacted]"),
        ];
        for (text, shown) in table {
            assert_eq!(redactor.text(text, 100), shown);
        }
        assert_eq!(redactor.body(br#"{"error":"s3\u0022cr\/et+"}"#), r#"{"error":"[redacted]"}"#);
    }

    #[test]
    fn credentials_and_addresses_that_were_never_sent_are_found_too() {
        let redactor = Redactor::new(&[]);
        let table = [
            (r#"{"access_token":"x1"}"#, r#"{"access_token":"[redacted]"}"#),
            (r#"{"client_secret": ["x1"]}"#, r#"{"client_secret":["[redacted]"]}"#),
            ("refresh_token=x1&code=x2&page=x3", "refresh_token=[redacted]&code=[redacted]&page=x3"),
            ("Authorization: Bearer x1", "Authorization: Bearer [redacted]"),
            ("key CRN_x1", "key [redacted]"),
            ("id 0123456789abcdef0123456789abcdef", "id [redacted]"),
            ("for ana@example.org, ben%40example.org", "for [email], [email]"),
            (r#"{"m":"ana\u0040example.org"}"#, r#"{"m":"[email]"}"#),
        ];
        for (text, shown) in table {
            assert_eq!(redactor.body(text.as_bytes()), shown);
        }
    }

    #[test]
    fn ordinary_reasons_stay_readable() {
        let redactor = Redactor::new(&["at_5e0c41"]);
        for text in [
            r#"{"error":"invalid_grant"}"#,
            r#"{"errors":{"callback_url":[{"description":"required","key":"errors.required"}]}}"#,
            r#"{"errors":{"token":[{"key":"errors.required"}]}}"#,
            "the token is not valid",
            "errors.tzid_unrecognized_for_this_account",
            "from 2026-11-20T07:41:05Z",
        ] {
            assert_eq!(redactor.body(text.as_bytes()), text);
        }
    }

    #[test]
    fn the_text_is_one_printable_line_of_bounded_length() {
        let redactor = Redactor::new(&[]);
        assert_eq!(redactor.text("a\r\nb\u{1b}[31m\0c\u{202e}d\t e", 100), "a b [31m c d e");
        assert_eq!(redactor.text("ééééé", 5), "ééééé");
        assert_eq!(redactor.text("éééééé", 5), "éééé…");
        assert_eq!(redactor.body(&[b'x'; 5000]).chars().count(), BODY_CHARS);
        assert_eq!(redactor.body(&[0xff, b'a']), "\u{fffd}a");
    }

    proptest::proptest! {
        #[test]
        fn a_sent_secret_never_shows_wherever_it_stands(
            secret in "[A-Za-z0-9_+/=\"\\\\ é-]{3,40}", before in ".{0,40}", after in ".{0,40}",
        ) {
            let secret = secret.trim();
            proptest::prop_assume!(secret.len() > 2 && !REDACTED.contains(secret) && !EMAIL.contains(secret));
            let redactor = Redactor::new(&[secret]);
            let json = serde_json::json!({ before.as_str(): [format!("{before}{secret}{after}")] }).to_string();
            for body in [format!("{before}{secret}{after}"), json] {
                let shown = redactor.body(body.as_bytes());
                proptest::prop_assert!(!shown.contains(secret), "{shown}");
            }
        }
    }
}
