//! One calendar in a calendar store, by its API for writers.
//!
//! A commit sends what differs from what is known to be stored, and everything if that is not known. It names the head that it
//! was computed from and the one that it makes; so a writer that was overtaken is refused, and a commit whose answer was lost
//! is done once, however often it is sent.

use std::sync::Arc;
use std::time::Duration;

use calendar_store_client::{Client, CommitHeader, Contents, Error, Found, HeadHeader, Scope, Sent};
use calendar_sync::{Snapshot, Stored};
use jiff::Timestamp;

use super::memory::{CACHED_BYTES, Key, StoreMemory};
use super::remote_lines::{self, Encoded, RemoteVersion};
use super::slices::UNWATCHED_CHECK;
use super::version::Version;
use super::{Committed, Damage, EventStore, Head, StoreError, Target};

/// How long one call to a calendar store may take: longer than one to the API server, since a large calendar goes in one piece.
pub const REMOTE_CALL_LIMIT: Duration = Duration::from_mins(1);

/// Stores events in a calendar store.
#[derive(Clone)]
pub struct RemoteStore {
    client: Client,
    memory: StoreMemory,
}

impl EventStore for RemoteStore {
    async fn head(&self, target: &Target) -> Result<Head, StoreError> {
        let (owner, key) = (target.owner().uid.as_str(), self.key(target));
        // A head that has not moved says nothing of what somebody did to the database, and nobody tells.
        let doubted = self.memory.is_doubted(owner, Some(UNWATCHED_CHECK));
        if doubted {
            self.memory.trust(owner);
        }
        let known = self.memory.slice(&key).filter(|_| !doubted);
        let known = known.and_then(|(text, head)| Some((text, head?.parse().ok()?)));
        let found = self.client.head(owner, known.as_ref().map(|(_, head)| head)).await;
        if doubted && found.is_err() {
            self.memory.doubt(owner);
        }
        match found.map_err(|error| self.failed(target, error))? {
            Found::Nothing => {
                self.memory.drop_known(&key);
                Ok(Head { stored: Stored::Absent, ..Head::default() })
            }
            Found::Unchanged => {
                let recalled = known.and_then(|(text, _)| remote_lines::recalled(&text));
                if recalled.is_none() {
                    self.memory.drop_known(&key);
                }
                let contents = recalled.ok_or_else(|| self.failed(target, Error::Unreadable))?;
                // It is remembered already.
                Ok(self.present(target, contents, 0))
            }
            Found::Contents(contents) => Ok(self.present(target, contents, CACHED_BYTES)),
        }
    }

    async fn commit(
        &self,
        target: &Target,
        on: Option<&Version>,
        snapshot: &Snapshot,
    ) -> Result<Committed, StoreError> {
        let on = on.and_then(Version::as_remote);
        let known = on.and_then(|on| on.known.as_deref());
        let encoded = Encoded::of(snapshot, target.is_retained(), CACHED_BYTES)?;
        let output = remote_lines::output(&encoded.state, target.name(), self.url());
        let before = on.filter(|_| known.is_some());
        if let Some(before) = before.filter(|before| before.header.state.as_ref() == Some(&encoded.state)) {
            let version = before.clone().into();
            return Ok(Committed { output, changed: false, written: 0, slices: Vec::new(), version, tidy: None });
        }
        let hash_before = before.and_then(|before| before.header.state.as_ref()).map(|state| &state.content_hash);
        let changed = hash_before != Some(&encoded.state.content_hash);
        let header = CommitHeader {
            namespace: target.namespace().to_owned(),
            name: target.owner().name.clone(),
            on: on.map(|on| on.header.head.clone()),
            head: calendar_store_client::Head::of(fastrand::u128(..)),
            scope: if known.is_some() { Scope::Changes } else { Scope::Everything },
            state: encoded.state.clone(),
        };
        let key = self.key(target);
        // Until it is known what came of it.
        self.memory.drop_known(&key);
        let sent = self.send(target, header.clone(), snapshot, &encoded, known).await;
        let Sent { bytes, .. } = sent.map_err(|error| self.failed(target, error))?;
        let CommitHeader { head, state, .. } = header;
        let header = HeadHeader { head, state: Some(state) };
        self.remember(target, &header, encoded.lines.as_deref());
        let version = RemoteVersion { header, known: Some(Arc::new(encoded.known)) }.into();
        Ok(Committed { output, changed, written: bytes, slices: Vec::new(), version, tidy: None })
    }

    /// Nothing is left behind by a commit.
    async fn tidy(&self, _: &Target) -> Result<Option<Timestamp>, StoreError> {
        Ok(None)
    }

    async fn erase(&self, target: &Target) -> Result<(), StoreError> {
        self.memory.drop_known(&self.key(target));
        self.client.erase(&target.owner().uid).await.map_err(|error| self.failed(target, error))
    }

    /// A subscription has one calendar in a store, by its uid.
    async fn erase_others(&self, _: &Target) -> Result<(), StoreError> {
        Ok(())
    }

    async fn release(&self, target: &Target) -> Result<(), StoreError> {
        self.client.release(&target.owner().uid).await.map_err(|error| self.failed(target, error))
    }
}

impl RemoteStore {
    /// A store that is called by `client`.
    #[must_use]
    pub fn new(client: Client, memory: StoreMemory) -> Self {
        Self { client, memory }
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> &str {
        self.client.address().as_str()
    }

    fn key(&self, target: &Target) -> Key {
        Key { kind: "Remote", namespace: self.url().to_owned(), name: target.owner().uid.clone() }
    }

    /// What these contents are, if they are what their state says. Those of up to so many bytes are remembered.
    fn present(&self, target: &Target, Contents { header, events }: Contents, most_lines: usize) -> Head {
        let Some(state) = &header.state else { return self.damaged(target, header, Damage::Unreadable) };
        let snapshot = match remote_lines::snapshot(state, events) {
            Ok(snapshot) => snapshot,
            Err(damage) => return self.damaged(target, header, damage),
        };
        let encoded = match Encoded::of(&snapshot, state.retain, most_lines) {
            Ok(encoded) if encoded.state == *state => encoded,
            Ok(_) | Err(_) => return self.damaged(target, header, Damage::Content),
        };
        if most_lines > 0 {
            self.remember(target, &header, encoded.lines.as_deref());
        }
        let output = remote_lines::output(&encoded.state, target.name(), self.url());
        let version = RemoteVersion { header, known: Some(Arc::new(encoded.known)) };
        Head {
            stored: Stored::Present(Box::new(snapshot)),
            damage: None,
            version: Some(version.into()),
            output: Some(output),
            tidy: None,
        }
    }

    fn damaged(&self, target: &Target, header: HeadHeader, damage: Damage) -> Head {
        self.memory.drop_known(&self.key(target));
        let version = RemoteVersion { header, known: None };
        Head { stored: Stored::Damaged, damage: Some(damage), version: Some(version.into()), ..Head::default() }
    }

    fn remember(&self, target: &Target, header: &HeadHeader, lines: Option<&str>) {
        let key = self.key(target);
        match lines.and_then(|lines| remote_lines::remembered(header, lines)) {
            Some(text) => {
                let head = header.head.as_str().to_owned();
                self.memory.keep(&key, &target.owner().uid, Some(&head), text.into());
            }
            None => self.memory.drop_known(&key),
        }
    }

    /// Sends a commit: once more if the connection broke, which may have been before it or after it, and with everything if the
    /// changes do not fit what is stored.
    async fn send(
        &self,
        target: &Target,
        mut header: CommitHeader,
        snapshot: &Snapshot,
        encoded: &Encoded,
        mut known: Option<&remote_lines::Known>,
    ) -> Result<Sent, Error> {
        let uid = &target.owner().uid;
        let mut broken = false;
        loop {
            match self.client.commit(uid, &header, remote_lines::differences(snapshot, encoded, known)).await {
                Err(Error::Unreachable { .. }) if !broken => broken = true,
                Err(Error::Inconsistent) if known.is_some() => {
                    (header.scope, known) = (Scope::Everything, None);
                }
                result => return result,
            }
        }
    }

    fn failed(&self, target: &Target, error: Error) -> StoreError {
        let url = self.url().to_owned();
        match error {
            Error::HeadMoved => StoreError::HeadMoved,
            Error::Conflict { uid } => {
                let calendar = format!("{}/{}", target.namespace(), target.owner().name);
                StoreError::CalendarTaken { url, calendar, uid: uid.unwrap_or_else(|| "not told".to_owned()) }
            }
            Error::Unencodable => StoreError::Unencodable,
            error => StoreError::Remote { url, error },
        }
    }
}
