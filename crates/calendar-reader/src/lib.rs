#![doc = include_str!("../README.md")]

mod document;
mod error;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use calendar_sync::hex;
use futures::stream::{self, StreamExt as _};
use jiff::Timestamp;
use jiff::civil::Date;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{Api, Client};
use sha2::{Digest as _, Sha256};

pub use calendar_sync::{Event, EventTime, Person, Visibility};
pub use error::{Error, Unsettled};

use document::Index;

/// The longest that one request takes.
pub const CALL_LIMIT: Duration = Duration::from_secs(10);
/// How often a calendar is read from its index before it counts as damaged.
pub const MOST_ATTEMPTS: u32 = 10;
/// Before the second attempt; before each later one as much longer.
const PAUSE: Duration = Duration::from_millis(100);
/// Slices that are read at the same time.
const AT_ONCE: usize = 8;

/// Kinds of objects that a calendar can stand in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// `spec.store.type: ConfigMap`.
    #[default]
    ConfigMap,
    /// `spec.store.type: Secret`.
    Secret,
}

/// Reads one calendar. Cheap to clone.
#[derive(Clone)]
pub struct Reader {
    client: Client,
    namespace: String,
    name: String,
    kind: Kind,
}

/// A calendar as of one commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Calendar {
    /// Its events, sorted by start (a date counts as midnight UTC), then id.
    pub events: Vec<Event>,
    /// Uid of the subscription that it belongs to.
    pub subscription: String,
    /// All changes that Cronofy knew of at this time are in it.
    pub cursor: Timestamp,
    /// The first date, beyond the far edge, that it does not reach.
    pub swept_through: Date,
    /// When everything was last read.
    pub last_full_sync: Timestamp,
    /// Whether every calendar service of the account was connected and complete then.
    pub complete: bool,
    /// How much of an event it shows.
    pub visibility: Visibility,
    /// Number of slices; 0 if the events stand beside the index.
    pub slices: usize,
    /// Size of the documents of the events in bytes.
    pub bytes: usize,
    /// SHA-256 of these documents, one after the other; the same for equal events.
    pub content_hash: String,
}

impl Reader {
    /// A reader of the output with that name: `status.output.name` of the subscription, by default `<subscription>-events`.
    #[must_use]
    pub fn new(client: Client, namespace: impl Into<String>, name: impl Into<String>, kind: Kind) -> Self {
        Self { client, namespace: namespace.into(), name: name.into(), kind }
    }

    /// The calendar as it is now. Begins anew at the index where a slice that the index lists is gone by the time it is read.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such object. [`Error::Unsettled`] if it is not a calendar, or still not after
    /// [`MOST_ATTEMPTS`]: that is what somebody makes of it who edits or deletes parts, until the operator has mended it.
    /// [`Error::Format`] if a release has written it that this one does not know.
    pub async fn read(&self) -> Result<Calendar, Error> {
        let mut attempt = 1;
        loop {
            match self.attempt().await {
                Err(Error::Unsettled(_)) if attempt < MOST_ATTEMPTS => {
                    tokio::time::sleep(PAUSE * attempt).await;
                    attempt += 1;
                }
                outcome => return outcome,
            }
        }
    }

    async fn attempt(&self) -> Result<Calendar, Error> {
        let mut texts = self.texts(&self.name).await?.ok_or_else(|| Error::NotFound {
            kind: self.kind,
            namespace: self.namespace.clone(),
            name: self.name.clone(),
        })?;
        let index = texts.remove("index.json").ok_or(Unsettled::NoIndex)?;
        let index = Index::decode(&index)?;
        let documents = if index.slices.is_empty() {
            vec![texts.remove("events.json").ok_or(Unsettled::NoEvents)?]
        } else {
            let slices: Vec<_> = index.slices.iter().map(|slice| self.slice(&slice.name, &slice.hash)).collect();
            let slices: Vec<Result<String, Error>> = stream::iter(slices).buffered(AT_ONCE).collect().await;
            slices.into_iter().collect::<Result<_, _>>()?
        };
        index.calendar(&documents)
    }

    async fn slice(&self, name: &str, hash: &str) -> Result<String, Error> {
        let texts = self.texts(name).await?;
        let text = texts.and_then(|mut texts| texts.remove("events.json")).ok_or(Unsettled::SliceMissing)?;
        if hex(&Sha256::digest(&text)) == hash { Ok(text) } else { Err(Unsettled::Hash.into()) }
    }

    /// What an object holds; `None` if there is none.
    async fn texts(&self, name: &str) -> Result<Option<BTreeMap<String, String>>, Error> {
        let get = async {
            match self.kind {
                Kind::ConfigMap => {
                    let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.namespace);
                    let found = api.get_opt(name).await?;
                    Ok(found.map(|object| object.data.unwrap_or_default()))
                }
                Kind::Secret => {
                    let api: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
                    let found = api.get_opt(name).await?;
                    let texts =
                        |(key, bytes): (String, k8s_openapi::ByteString)| Some((key, String::from_utf8(bytes.0).ok()?));
                    Ok(found.map(|object| object.data.unwrap_or_default().into_iter().filter_map(texts).collect()))
                }
            }
        };
        tokio::time::timeout(CALL_LIMIT, get).await.map_err(|_| Error::TimedOut)?
    }
}
