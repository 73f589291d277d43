//! What anybody who can reach a receiver may send: the signature header, a line feed and the body.

use cronofy::notification::Notification;
use cronofy::secrecy::SecretString;
use cronofy::signature;

/// Verifies and parses an input, and panics if what comes of it breaks a promise. Gives whether the body was taken for a
/// notification.
pub fn check(input: &[u8]) -> bool {
    let (header, body) = match input.iter().position(|byte| *byte == b'\n') {
        Some(end) => (&input[..end], &input[end + 1..]),
        None => (input, &[][..]),
    };
    let secrets = [SecretString::from("first secret"), SecretString::from("second secret")];
    assert!(signature::verify(header, body, &secrets).is_err(), "a forged signature");

    let genuine = signature::sign(&secrets[1], body);
    assert_eq!(signature::verify(&genuine, body, &secrets), Ok(1));
    let beside_garbage = [header, b",", genuine.as_bytes()].concat();
    if header.split(|byte| *byte == b',').count() < signature::MAX_VALUES {
        assert_eq!(signature::verify(&beside_garbage, body, &secrets), Ok(1));
    } else {
        assert!(signature::verify(&beside_garbage, body, &secrets).is_err());
    }

    let Ok(notification) = Notification::parse(body) else { return false };
    assert!(notification.channel.is_none_or(|channel| !channel.channel_id.is_empty()));
    true
}
