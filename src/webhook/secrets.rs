//! The client secrets that signatures are checked with.
//!
//! Secrets are read by name, never listed or watched: no right to read a list of them can be limited to the ones that are
//! meant. What was read holds for a minute. A signature that does not match makes it be read again, so that a secret is
//! exchanged without a restart, but only once in a few seconds however many requests come: whoever sends forged ones reaches
//! nobody behind this file.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cronofy::secrecy::{ExposeSecret as _, SecretString};
use cronofy::signature::{self, SignatureError};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::GetParams;
use kube::core::Request;
use kube::{Client, Resource as _};
use serde::Deserialize;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use crate::metrics::SecretSlot;

/// For how long what was read holds.
pub const LIFETIME: Duration = Duration::from_mins(1);
/// The shortest time between two reads of one Secret.
pub const SPACING: Duration = Duration::from_secs(5);
/// Time for one read.
const READ: Duration = Duration::from_secs(2);
/// Secrets that nobody asked for in this time are forgotten.
const MEMORY: Duration = Duration::from_mins(10);

/// Keys in the Secret, in the order in which signatures are compared.
const KEYS: [(&str, SecretSlot); 2] =
    [("client_secret", SecretSlot::Current), ("client_secret_previous", SecretSlot::Previous)];

/// What the webhook must know of applications. The integrator answers from the watch's cache; nothing here may block.
pub trait Applications: Send + Sync + 'static {
    /// Name of the Secret that holds the application's credentials, in the application's own namespace; `None` if there is no
    /// such application, or it cannot be decoded.
    fn credentials_secret(&self, namespace: &str, name: &str) -> Option<String>;

    /// Whether subscriptions in the namespace `from` may use the application.
    fn allows(&self, namespace: &str, name: &str, from: &str) -> bool;
}

/// The Secret cannot be read at present, or holds no client secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the client secret cannot be read")]
pub struct Unreadable;

/// The active client secrets of an application.
#[derive(Clone, Debug)]
pub struct ClientSecrets {
    /// Counts the reads of the Secret; a later one has a higher number.
    read: u64,
    secrets: Arc<[SecretString]>,
    slots: Arc<[SecretSlot]>,
}

impl ClientSecrets {
    /// Secrets that no signature can match, to do the same work with where there is nobody to check for.
    #[must_use]
    pub fn nobodys() -> Self {
        let random =
            |_| SecretString::from(std::iter::repeat_with(fastrand::alphanumeric).take(43).collect::<String>());
        let secrets = KEYS.iter().map(random).collect();
        Self { read: 0, secrets, slots: KEYS.iter().map(|(_, slot)| *slot).collect() }
    }

    /// Checks a signature header against a raw body; returns which secret it was made with.
    ///
    /// # Errors
    ///
    /// As [`cronofy::signature::verify`].
    pub fn verify(&self, header: &[u8], body: &[u8]) -> Result<SecretSlot, SignatureError> {
        let index = signature::verify(header, body, &self.secrets)?;
        self.slots.get(index).copied().ok_or(SignatureError::Mismatch)
    }

    fn decode(read: u64, object: &Data) -> Result<Self, Unreadable> {
        let (secrets, slots): (Vec<_>, Vec<_>) =
            KEYS.iter().filter_map(|(key, slot)| Some((usable(object.data.get(*key)?)?, *slot))).unzip();
        if secrets.is_empty() {
            return Err(Unreadable);
        }
        Ok(Self { read, secrets: secrets.into(), slots: slots.into() })
    }
}

/// A value as it is meant: text, without the newline that editors and `echo` leave at the end.
fn usable(value: &ByteString) -> Option<SecretString> {
    let text = std::str::from_utf8(&value.0).ok()?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    let secret = SecretString::from(text);
    (!secret.expose_secret().is_empty()).then_some(secret)
}

/// What is needed of a Secret. Decoded here, since the client logs an answer that it cannot decode.
#[derive(Deserialize)]
struct Data {
    #[serde(default)]
    data: HashMap<String, ByteString>,
}

/// Reads client secrets, and remembers them for a minute. Clones share what was read.
#[derive(Clone)]
pub struct SecretReader(Arc<Shared>);

impl std::fmt::Debug for SecretReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecretReader").finish_non_exhaustive()
    }
}

struct Shared {
    client: Client,
    entries: Mutex<HashMap<(String, String), Arc<Entry>>>,
}

struct Entry {
    /// Whose turn it is to read. Whoever waits for it finds what was read meanwhile.
    turn: Semaphore,
    state: Mutex<State>,
}

struct State {
    secrets: Option<ClientSecrets>,
    /// When the last read that succeeded began.
    read: Option<Instant>,
    /// When the last read began.
    tried: Option<Instant>,
    asked: Instant,
    reads: u64,
}

impl State {
    fn fresh(&self) -> Option<&ClientSecrets> {
        self.secrets.as_ref().filter(|_| self.read.is_some_and(|read| read.elapsed() < LIFETIME))
    }

    fn newer_than(&self, known: u64) -> Option<&ClientSecrets> {
        self.fresh().filter(|secrets| secrets.read > known)
    }
}

impl SecretReader {
    /// A reader that reads through this client.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self(Arc::new(Shared { client, entries: Mutex::default() }))
    }

    /// The active client secrets in a Secret, at most a minute old.
    ///
    /// # Errors
    ///
    /// If the Secret cannot be read, is not there or holds none; then the next read is some seconds away.
    pub async fn secrets(&self, namespace: &str, name: &str) -> Result<ClientSecrets, Unreadable> {
        let entry = self.entry(namespace, name);
        if let Some(secrets) = entry.state().fresh() {
            return Ok(secrets.clone());
        }
        self.read(&entry, namespace, name, 0).await.ok_or(Unreadable)
    }

    /// The client secrets in a Secret as a later read than that of `known` shows them; `None` if the last read was a moment
    /// ago, or fails.
    pub async fn newer(&self, namespace: &str, name: &str, known: &ClientSecrets) -> Option<ClientSecrets> {
        let entry = self.entry(namespace, name);
        self.read(&entry, namespace, name, known.read).await
    }

    /// What is newer than the read number `known`, by a read of our own if need be.
    async fn read(&self, entry: &Entry, namespace: &str, name: &str, known: u64) -> Option<ClientSecrets> {
        // Fails only if the semaphore is closed, which nobody does.
        let _turn = entry.turn.acquire().await.ok()?;
        let read = {
            let mut state = entry.state();
            if let Some(secrets) = state.newer_than(known) {
                return Some(secrets.clone());
            }
            let now = Instant::now();
            if state.tried.is_some_and(|tried| now.duration_since(tried) < SPACING) {
                return None;
            }
            state.tried = Some(now);
            state.reads += 1;
            state.reads
        };
        let result = timeout(READ, self.fetch(namespace, name)).await.unwrap_or(Err(Unreadable));
        let secrets = result.and_then(|object| ClientSecrets::decode(read, &object));
        let mut state = entry.state();
        if let Ok(secrets) = &secrets {
            state.secrets = Some(secrets.clone());
            state.read = state.tried;
        }
        secrets.ok()
    }

    async fn fetch(&self, namespace: &str, name: &str) -> Result<Data, Unreadable> {
        let request = Request::new(Secret::url_path(&(), Some(namespace))).get(name, &GetParams::default());
        let request = request.map_err(|_| Unreadable)?;
        let text = self.0.client.request_text(request).await.map_err(|error| {
            tracing::warn!(namespace, name, %error, "client secret not read");
            Unreadable
        })?;
        serde_json::from_str(&text).map_err(|_| Unreadable)
    }

    fn entry(&self, namespace: &str, name: &str) -> Arc<Entry> {
        let now = Instant::now();
        let mut entries = self.0.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (namespace.to_owned(), name.to_owned());
        if let Some(entry) = entries.get(&key) {
            entry.state().asked = now;
            return Arc::clone(entry);
        }
        entries.retain(|_, entry| now.duration_since(entry.state().asked) < MEMORY);
        let state = State { secrets: None, read: None, tried: None, asked: now, reads: 0 };
        let entry = Arc::new(Entry { turn: Semaphore::new(1), state: Mutex::new(state) });
        entries.insert(key, Arc::clone(&entry));
        entry
    }
}

impl Entry {
    /// The state is sound after each statement, so a panic elsewhere does not spoil it.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
