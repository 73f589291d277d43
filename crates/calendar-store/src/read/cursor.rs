//! Where a page of events ends. Opaque to readers.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use calendar_store_client::Reason;

use crate::Problem;
use crate::database::Place;

/// Hexadecimal digits of the mark of a query.
const MARK: usize = 16;
/// The longest cursor: the longest key, encoded.
const LONGEST: usize = 1024;

/// The mark of a query: its cursors are of no use to another one.
pub fn mark(query: &impl serde::Serialize) -> String {
    calendar_sync::fingerprint(query).chars().take(MARK).collect()
}

/// The cursor after the event that stands there.
pub fn written(mark: &str, place: &Place) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(format!("{mark}.{}.{}", place.starts, place.key))
}

/// Where the event stands that this cursor is after.
pub fn parse(mark: &str, cursor: &str) -> Result<Place, Problem> {
    let wrong = |detail| Problem::new(Reason::Invalid, detail).of("after");
    let broken = || wrong("it is no cursor: use `next` of the page before as it is");
    if cursor.len() > LONGEST {
        return Err(broken());
    }
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(cursor).map_err(|_| broken())?;
    let text = String::from_utf8(bytes).map_err(|_| broken())?;
    let mut parts = text.splitn(3, '.');
    let (Some(of), Some(starts), Some(key)) = (parts.next(), parts.next(), parts.next()) else { return Err(broken()) };
    // PostgreSQL takes no NUL in a text, and no key has one.
    let starts = starts.parse().ok().filter(|_| !key.contains('\0')).ok_or_else(broken)?;
    if of != mark {
        return Err(wrong(
            "it is a cursor of another query: repeat the query that it came from, or begin without a cursor",
        ));
    }
    Ok(Place { starts, key: key.to_owned() })
}
