//! The signature of webhook requests.
//!
//! Cronofy sends `Base64(HMAC-SHA256(client secret, raw body))` in the header [`HEADER`]: standard alphabet, padded. When an
//! application has several active client secrets, the header holds one value for each, separated by commas (documented), so
//! that a secret can be exchanged without losing a delivery. Only the body is signed: a captured request stays valid for as
//! long as its secret does, and what is done on a notification must bear repetition.
//!
//! ```
//! use cronofy::secrecy::SecretString;
//! use cronofy::signature;
//!
//! let secrets = [SecretString::from("pDY0Oi7TJSP2hfNmZNkm5")];
//! let body = br#"{"example":"well-known"}"#;
//! let header = "6r2/HjBkqymGegX0wOfifieeUXbbHwtV/LohHS+jv6c=";
//! assert_eq!(signature::verify(header, body, &secrets), Ok(0));
//! assert_eq!(signature::verify(header, b"another body", &secrets), Err(signature::SignatureError::Mismatch));
//! ```

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;
use subtle::{Choice, ConditionallySelectable as _, ConstantTimeEq as _};

/// Name of the request header that carries the signatures.
pub const HEADER: &str = "Cronofy-HMAC-SHA256";

/// The most comma-separated values that are looked at. Cronofy has at most two active secrets at once; a longer list is
/// refused before any comparison, since its length is in the hands of whoever can reach the receiver.
pub const MAX_VALUES: usize = 4;

const DIGEST_BYTES: usize = 32;

/// Why a request is not known to come from Cronofy. No variant tells anything about the expected signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The header is empty. (A receiver passes an absent header as an empty one.)
    #[error("the signature header is missing or empty")]
    Missing,
    /// The header holds more than [`MAX_VALUES`] values.
    #[error("the signature header holds more than {MAX_VALUES} values")]
    TooManyValues,
    /// No value of the header has the form of a signature: standard base64 of 32 bytes.
    #[error("the signature header holds no well-formed signature")]
    Malformed,
    /// There is no secret to compare with, or only empty ones. The fault is the receiver's.
    #[error("no client secret to verify the signature with")]
    NoSecret,
    /// A well-formed signature, but made with another secret or over another body.
    #[error("the signature does not match")]
    Mismatch,
}

/// The header value Cronofy sends for `body` when `secret` is the application's only active client secret.
#[must_use]
pub fn sign(secret: &SecretString, body: &[u8]) -> String {
    STANDARD.encode(digest(secret, body))
}

/// Checks the header of a webhook request against its raw body and returns the index of the first secret that matches.
///
/// Every value of the header is compared with every secret in constant time, without stopping at a match: how long it takes
/// tells nothing about the secrets. An empty secret never matches, so that an unset one does not open the door.
///
/// # Errors
///
/// See [`SignatureError`]. All of them mean: do not trust the body.
pub fn verify(header: impl AsRef<[u8]>, body: &[u8], secrets: &[SecretString]) -> Result<usize, SignatureError> {
    let header = header.as_ref().trim_ascii();
    if header.is_empty() {
        return Err(SignatureError::Missing);
    }
    if secrets.iter().all(|secret| secret.expose_secret().is_empty()) {
        return Err(SignatureError::NoSecret);
    }
    let values: Vec<&[u8]> = header.split(|byte| *byte == b',').take(MAX_VALUES + 1).collect();
    if values.len() > MAX_VALUES {
        return Err(SignatureError::TooManyValues);
    }
    let signatures: Vec<[u8; DIGEST_BYTES]> = values.into_iter().filter_map(decode).collect();
    if signatures.is_empty() {
        return Err(SignatureError::Malformed);
    }

    let mut found = Choice::from(0);
    let mut index = 0_u64;
    for (candidate, secret) in (0_u64..).zip(secrets) {
        let expected = digest(secret, body);
        let usable = Choice::from(u8::from(!secret.expose_secret().is_empty()));
        for signature in &signatures {
            let matches = signature.ct_eq(&expected) & usable;
            index.conditional_assign(&candidate, matches & !found);
            found |= matches;
        }
    }
    if !bool::from(found) {
        return Err(SignatureError::Mismatch);
    }
    usize::try_from(index).map_err(|_| SignatureError::Mismatch)
}

fn decode(value: &[u8]) -> Option<[u8; DIGEST_BYTES]> {
    STANDARD.decode(value.trim_ascii()).ok()?.try_into().ok()
}

#[expect(clippy::expect_used, reason = "RFC 2104 defines HMAC for keys of every length; the type cannot say so")]
fn digest(secret: &SecretString, body: &[u8]) -> [u8; DIGEST_BYTES] {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()).expect("HMAC takes keys of every length");
    mac.update(body);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = br#"{"example":"well-known"}"#;
    const OLD: (&str, &str) = ("pDY0Oi7TJSP2hfNmZNkm5", "6r2/HjBkqymGegX0wOfifieeUXbbHwtV/LohHS+jv6c=");
    const NEW: (&str, &str) =
        ("CRN_NggYusqPGLxwjw5FHOJYOqSrTPNXy8WQf14OID", "5DxentQi5YSXODEzTVv06sRwJ3pULIz1KrYv20qxEK0=");

    fn secrets(texts: &[&str]) -> Vec<SecretString> {
        texts.iter().map(|text| SecretString::from(*text)).collect()
    }

    #[test]
    fn the_known_vectors_are_reproduced() {
        for (secret, header) in [OLD, NEW] {
            assert_eq!(sign(&SecretString::from(secret), BODY), header);
            assert_eq!(verify(header, BODY, &secrets(&[secret])), Ok(0));
        }
    }

    #[test]
    fn one_good_value_among_others_is_enough() {
        let both = secrets(&[OLD.0, NEW.0]);
        let (old, new) = (OLD.1, NEW.1);
        let table = [
            (format!("{old},{new}"), 0),
            (format!("{new},{old}"), 0),
            (new.to_owned(), 1),
            (format!(" {new} "), 1),
            (format!("{new}, {new}"), 1),
            (format!("\t{new}\t,,"), 1),
            (format!("not base64, {new}"), 1),
            (format!("QUJD,{new}"), 1),
            (format!(",,,{old}"), 0),
        ];
        for (header, index) in table {
            assert_eq!(verify(&header, BODY, &both), Ok(index), "{header:?}");
            assert_eq!(verify(header.as_bytes(), BODY, &both), Ok(index), "{header:?} as bytes");
        }
        assert_eq!(verify(format!("{old},{new}"), BODY, &secrets(&[NEW.0])), Ok(0));
    }

    #[test]
    fn everything_else_is_refused_with_its_reason() {
        let both = secrets(&[OLD.0, NEW.0]);
        // Seen in an older SDK: the digest's hexadecimal text, encoded once more.
        let hex_digest = STANDARD.encode("eabdbf1e3064ab29867a05fbd307e27e279e5176db1f0b55fcba211d2fa3bfa7");
        let table = [
            (String::new(), SignatureError::Missing),
            ("  \t".to_owned(), SignatureError::Missing),
            (",".to_owned(), SignatureError::Malformed),
            ("garbage".to_owned(), SignatureError::Malformed),
            (OLD.1.trim_end_matches('=').to_owned(), SignatureError::Malformed),
            (OLD.1.replace('/', "_").replace('+', "-"), SignatureError::Malformed),
            (hex_digest, SignatureError::Malformed),
            (STANDARD.encode([0; 31]), SignatureError::Malformed),
            (STANDARD.encode([0; 33]), SignatureError::Malformed),
            (STANDARD.encode([0; 32]), SignatureError::Mismatch),
            ([OLD.1; MAX_VALUES + 1].join(","), SignatureError::TooManyValues),
            (",".repeat(100_000), SignatureError::TooManyValues),
        ];
        for (header, reason) in table {
            assert_eq!(verify(&header, BODY, &both), Err(reason), "{header:?}");
        }
        assert_eq!(verify([0xff, 0xfe, 0x00], BODY, &both), Err(SignatureError::Malformed));
        assert_eq!(verify(OLD.1, BODY, &secrets(&[NEW.0])), Err(SignatureError::Mismatch));
    }

    #[test]
    fn an_empty_secret_matches_nothing_not_even_its_own_signature() {
        let empty = SecretString::from("");
        let header = sign(&empty, BODY);
        assert_eq!(verify(&header, BODY, &[]), Err(SignatureError::NoSecret));
        assert_eq!(verify(&header, BODY, std::slice::from_ref(&empty)), Err(SignatureError::NoSecret));
        assert_eq!(verify(&header, BODY, &secrets(&["", OLD.0])), Err(SignatureError::Mismatch));
        assert_eq!(verify(OLD.1, BODY, &secrets(&["", OLD.0])), Ok(1));
    }

    #[test]
    fn keys_longer_than_a_block_and_empty_bodies_are_signed_too() {
        let long = SecretString::from("k".repeat(200));
        assert_eq!(verify(sign(&long, b""), b"", &[long]), Ok(0));
    }
}
