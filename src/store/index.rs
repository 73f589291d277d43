//! `index.json`: all of an output but the events.

use calendar_sync::Visibility;
use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::{Damage, StoreError, Target};

/// What a reader can rely on. Another number means that the documents are to be read differently.
pub(super) const FORMAT_VERSION: u32 = 1;

/// The index. The order of the fields is that of the document.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Index {
    pub format_version: u32,
    /// Uid of the subscription.
    pub subscription: String,
    pub visibility: Visibility,
    /// Number of events.
    pub events: usize,
    /// Size of their documents.
    pub bytes: usize,
    pub cursor: Timestamp,
    pub swept_through: Date,
    pub last_full_sync: Timestamp,
    pub complete: bool,
    pub fingerprint: String,
    /// SHA-256 of the documents of the events, one after the other.
    pub content_hash: String,
    /// The slices in their order; none if the events stand beside the index.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slices: Vec<SliceEntry>,
    /// Slices that are no part of the calendar any more, and stay for those who have read an earlier index.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub retired: Vec<Retired>,
    /// Hash of everything in the index, and by its content hash of the events too.
    pub seal: String,
}

/// A slice, as the index lists it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct SliceEntry {
    /// Name of the object.
    pub name: String,
    /// Number of events.
    pub events: usize,
    /// Size of its document.
    pub bytes: usize,
    /// SHA-256 of its document.
    pub hash: String,
}

/// A slice that is to be removed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Retired {
    /// Name of the object.
    pub name: String,
    /// Since when no index lists it.
    pub since: Timestamp,
}

/// As much of an index as every format has.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FormatVersion {
    format_version: u32,
}

impl Index {
    /// The index that this text was written from.
    ///
    /// # Errors
    /// What shows that it is not what was written for this output.
    pub fn decode(text: &str, target: &Target) -> Result<Self, Damage> {
        let FormatVersion { format_version } = serde_json::from_str(text).map_err(|_| Damage::Unreadable)?;
        if format_version != FORMAT_VERSION {
            return Err(Damage::Format);
        }
        let index: Self = serde_json::from_str(text).map_err(|_| Damage::Unreadable)?;
        if index.subscription != target.owner().uid {
            return Err(Damage::OtherSubscription);
        }
        // What it names is read, and removed: never let it name what is none of ours.
        let ours = index.slices.iter().all(|slice| slice.name == target.slice_name(&slice.hash))
            && index.retired.iter().all(|slice| target.digest_of(&slice.name).is_some());
        let written = index.clone().sealed().encode().is_ok_and(|written| written == text);
        if ours && written { Ok(index) } else { Err(Damage::Content) }
    }

    /// As a document.
    pub fn encode(&self) -> Result<String, StoreError> {
        let text = serde_json::to_string_pretty(self).map_err(|_| StoreError::Unencodable)?;
        Ok(text + "\n")
    }

    /// The same with the seal that belongs to it.
    pub fn sealed(mut self) -> Self {
        self.seal.clear();
        self.seal = calendar_sync::fingerprint(&self);
        self
    }

    /// The slices that it names, retired ones last.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let retired = self.retired.iter().map(|slice| slice.name.as_str());
        self.slices.iter().map(|slice| slice.name.as_str()).chain(retired)
    }
}
