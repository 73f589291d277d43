//! An answer of lines, read as it comes.

use std::time::Duration;

use reqwest::Response;
use serde::de::DeserializeOwned;

use crate::{Error, LARGEST_BODY, LARGEST_LINE};

/// Reads an answer line by line, within the limits of what a commit can have sent.
pub(crate) struct Lines {
    answer: Response,
    limit: Duration,
    text: Vec<u8>,
    /// How much of it was given.
    given: usize,
    /// How much of it was looked through for the end of a line.
    seen: usize,
    bytes: usize,
}

impl Lines {
    pub fn of(answer: Response, limit: Duration) -> Self {
        Self { answer, limit, text: Vec::new(), given: 0, seen: 0, bytes: 0 }
    }

    /// The next line, `None` within if it is no such document; `None` after the last one.
    pub async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<Option<T>>, Error> {
        loop {
            let unseen = self.text.get(self.seen..).unwrap_or_default();
            if let Some(place) = unseen.iter().position(|byte| *byte == b'\n') {
                let end = self.seen + place;
                let document = self.text.get(self.given..end).and_then(|line| serde_json::from_slice(line).ok());
                (self.given, self.seen) = (end + 1, end + 1);
                return Ok(Some(document));
            }
            self.text.drain(..self.given);
            (self.given, self.seen) = (0, self.text.len());
            let piece = self.answer.chunk().await.map_err(|error| Error::of(error, self.limit))?;
            let Some(piece) = piece else { return Ok(None) };
            self.bytes += piece.len();
            self.text.extend_from_slice(&piece);
            if self.bytes > 2 * LARGEST_BODY || self.text.len() > 2 * LARGEST_LINE {
                return Err(Error::Unreadable);
            }
        }
    }
}
