//! The calendar stores that the operator may call. Each call shows the operator's token, so only who runs the operator says where.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use calendar_store_client::{Address, Client, InvalidAddress, Options, Token};
use calendar_sync::{Failure, Reason, Retry};

use super::remote::{REMOTE_CALL_LIMIT, RemoteStore};
use super::{StoreError, StoreMemory};

/// What the command line says of calendar stores.
#[derive(Clone, Debug, Default)]
pub struct RemoteSettings {
    /// The one that is used where a subscription names none.
    pub default: Option<Address>,
    /// Others that subscriptions may name.
    pub allowed: Vec<Address>,
    /// A PEM file with the authorities that may vouch for them.
    pub authorities: Option<PathBuf>,
    /// The file with the operator's token for them.
    pub token: PathBuf,
}

/// Why there is no calendar store for an output.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoRemote {
    /// Nobody names one.
    #[error(
        "spec.store.type is Remote, but no calendar store is named: the operator runs without --store-url; set it, or \
         spec.store.remote.url to one that --allow-remote-store names, or use ConfigMap or Secret"
    )]
    NotNamed,
    /// The operator may not call it.
    #[error(
        "spec.store.remote.url {url} is not followed, since the operator runs with neither --store-url nor \
         --allow-remote-store for it: leave the field out, or ask who runs the operator to allow that URL"
    )]
    NotAllowed {
        /// Where it would be.
        url: Address,
    },
    /// It is no URL that is called.
    #[error("spec.store.remote.url {0}")]
    Invalid(#[from] InvalidAddress),
}

impl NoRemote {
    /// The same for the engine.
    #[must_use]
    pub fn failure(&self) -> Failure {
        Failure { reason: Reason::NotSupported, message: self.to_string(), retry: Retry::Never }
    }
}

/// The calendar stores, and one client for each, since it holds the connections.
pub struct Remotes {
    settings: RemoteSettings,
    clients: Mutex<HashMap<Address, Client>>,
}

impl Remotes {
    /// The stores that these settings name.
    #[must_use]
    pub fn new(settings: RemoteSettings) -> Self {
        Self { settings, clients: Mutex::default() }
    }

    /// The store at `url`, or the operator's own.
    ///
    /// # Errors
    /// If there is none, or it may not be called.
    pub fn open(&self, url: Option<&str>, memory: StoreMemory) -> Result<RemoteStore, NoRemote> {
        let RemoteSettings { default, allowed, .. } = &self.settings;
        let address = match url {
            None => default.clone().ok_or(NoRemote::NotNamed)?,
            Some(url) => {
                let url: Address = url.parse()?;
                if default.iter().chain(allowed).all(|allowed| *allowed != url) {
                    return Err(NoRemote::NotAllowed { url });
                }
                url
            }
        };
        Ok(RemoteStore::new(self.client(address), memory))
    }

    /// The store that an output was written to earlier.
    ///
    /// # Errors
    /// If it may not be called any more: what stands there cannot be removed then.
    pub fn reopen(&self, url: &str, memory: StoreMemory) -> Result<RemoteStore, StoreError> {
        self.open(Some(url), memory).map_err(|_| StoreError::RemoteNotAllowed { url: url.to_owned() })
    }

    /// All that may be called.
    #[must_use]
    pub fn all(&self) -> Vec<Client> {
        let RemoteSettings { default, allowed, .. } = &self.settings;
        let addresses: HashSet<&Address> = default.iter().chain(allowed).collect();
        addresses.into_iter().map(|address| self.client(address.clone())).collect()
    }

    fn client(&self, address: Address) -> Client {
        let RemoteSettings { authorities, token, .. } = &self.settings;
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let client = clients.entry(address.clone()).or_insert_with(|| {
            Client::new(Options {
                address,
                token: Token::File(token.clone()),
                authorities: authorities.clone(),
                limit: REMOTE_CALL_LIMIT,
                user_agent: concat!("cronofy-operator/", env!("CARGO_PKG_VERSION")).to_owned(),
            })
        });
        client.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(url: &str) -> Address {
        url.parse().unwrap()
    }

    #[test]
    fn only_stores_that_the_operator_was_told_of_are_called() {
        let settings = RemoteSettings {
            default: Some(address("https://store.calendars.svc")),
            allowed: vec![address("https://other.calendars.svc/a")],
            ..RemoteSettings::default()
        };
        let (remotes, none) = (Remotes::new(settings), Remotes::new(RemoteSettings::default()));
        let open =
            |remotes: &Remotes, url| remotes.open(url, StoreMemory::default()).map(|store| store.url().to_owned());
        let refused = |url| Err(NoRemote::NotAllowed { url: address(url) });
        for (url, expected) in [
            (None, Ok("https://store.calendars.svc")),
            (Some("https://store.calendars.svc/"), Ok("https://store.calendars.svc")),
            (Some("https://other.calendars.svc/a"), Ok("https://other.calendars.svc/a")),
            (Some("https://other.calendars.svc"), refused("https://other.calendars.svc")),
            (Some("https://other.calendars.svc/a/b"), refused("https://other.calendars.svc/a/b")),
            (
                Some("https://store.calendars.svc.attacker.example"),
                refused("https://store.calendars.svc.attacker.example"),
            ),
            (Some("http://127.0.0.1:1"), refused("http://127.0.0.1:1")),
            (Some("https://u:p@store.calendars.svc"), Err(NoRemote::Invalid(InvalidAddress::Parts))),
        ] {
            assert_eq!(open(&remotes, url), expected.map(str::to_owned), "{url:?}");
        }
        assert_eq!(open(&none, None), Err(NoRemote::NotNamed));
        assert_eq!(NoRemote::NotNamed.failure().retry, Retry::Never);
        let Err(error) = remotes.reopen("https://gone.example", StoreMemory::default()) else { panic!("it opened") };
        assert_eq!(error, StoreError::RemoteNotAllowed { url: "https://gone.example".to_owned() });
    }
}
