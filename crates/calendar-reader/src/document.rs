//! `index.json`, as far as a reader needs it. What it does not know is left alone: a later release may add to it.

use calendar_sync::hex;
use jiff::Timestamp;
use jiff::civil::Date;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::{Calendar, Error, Event, Unsettled, Visibility};

const FORMAT_VERSION: u32 = 1;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FormatVersion {
    format_version: u32,
}

/// The index of a calendar.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    subscription: String,
    visibility: Visibility,
    events: usize,
    bytes: usize,
    cursor: Timestamp,
    swept_through: Date,
    last_full_sync: Timestamp,
    complete: bool,
    content_hash: String,
    /// The slices in their order; none if the events stand beside the index.
    #[serde(default)]
    pub slices: Vec<Slice>,
}

/// A slice, as the index lists it.
#[derive(Deserialize)]
pub struct Slice {
    /// Name of its object.
    pub name: String,
    /// SHA-256 of its document.
    pub hash: String,
}

impl Index {
    /// Reads an index.
    pub fn decode(text: &str) -> Result<Self, Error> {
        let FormatVersion { format_version } = serde_json::from_str(text).map_err(|_| Unsettled::Index)?;
        if format_version != FORMAT_VERSION {
            return Err(Error::Format(format_version));
        }
        Ok(serde_json::from_str(text).map_err(|_| Unsettled::Index)?)
    }

    /// The calendar with these documents, if they are what the index was written for.
    pub fn calendar(self, documents: &[String]) -> Result<Calendar, Error> {
        let mut hash = Sha256::new();
        for document in documents {
            hash.update(document);
        }
        if hex(&hash.finalize()) != self.content_hash {
            return Err(Unsettled::Hash.into());
        }
        let mut events = Vec::with_capacity(self.events);
        for document in documents {
            events.append(&mut serde_json::from_str::<Vec<Event>>(document).map_err(|_| Unsettled::Hash)?);
        }
        if events.len() != self.events {
            return Err(Unsettled::Hash.into());
        }
        Ok(Calendar {
            events,
            subscription: self.subscription,
            cursor: self.cursor,
            swept_through: self.swept_through,
            last_full_sync: self.last_full_sync,
            complete: self.complete,
            visibility: self.visibility,
            slices: self.slices.len(),
            bytes: self.bytes,
            content_hash: self.content_hash,
        })
    }
}
