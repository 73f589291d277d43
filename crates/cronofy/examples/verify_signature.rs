//! Checks a captured webhook request: the header's value as the argument, the raw body on standard input.
//!
//! ```sh
//! CRONOFY_CLIENT_SECRET=… cargo run --example verify_signature -- 'kX3…=' < body.json
//! ```
//!
//! `CRONOFY_CLIENT_SECRET` may hold several secrets, separated by commas.

use std::env;
use std::error::Error;
use std::io::{self, Read as _};

use cronofy::notification::Notification;
use cronofy::secrecy::SecretString;
use cronofy::signature;

fn main() -> Result<(), Box<dyn Error>> {
    let header = env::args().nth(1).ok_or("give the value of the header Cronofy-HMAC-SHA256 as the argument")?;
    let secrets: Vec<SecretString> =
        env::var("CRONOFY_CLIENT_SECRET")?.split(',').map(|secret| SecretString::from(secret.trim())).collect();
    let mut body = Vec::new();
    io::stdin().lock().read_to_end(&mut body)?;

    let index = signature::verify(header, &body, &secrets)?;
    let notification = Notification::parse(&body)?;
    println!("signed with secret {} of {}: {}", index + 1, secrets.len(), notification.kind);
    if let Some(time) = notification.changes_since {
        println!("read events modified since {time}");
    }
    Ok(())
}
