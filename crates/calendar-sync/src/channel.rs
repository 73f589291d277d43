//! Names of channels: the callback URL tells whose channel it is, so that a lost answer or a crash leaks none.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use crate::Filter;

/// Path below the base URL under which the tokens stand.
pub const HOOK_PATH: &str = "hook";

/// A channel as Cronofy lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteChannel {
    /// Cronofy's id.
    pub id: String,
    /// Where it delivers to.
    pub callback_url: String,
    /// What it is restricted to.
    pub filter: ChannelFilter,
}

/// What a channel is restricted to, with defaults filled in: comparable whatever form Cronofy echoes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChannelFilter {
    /// Calendar ids, sorted and without doubles; `None` means all.
    pub calendar_ids: Option<Vec<String>>,
    /// Only events that the application manages.
    pub only_managed: bool,
}

impl From<&Filter> for ChannelFilter {
    fn from(filter: &Filter) -> Self {
        Self {
            calendar_ids: filter.calendar_ids.as_ref().map(|ids| ids.iter().cloned().collect()),
            only_managed: filter.only_managed,
        }
    }
}

/// The path token of a subscription's channel: 128 bits in 22 base64url characters.
///
/// It is an address, not a credential: deliveries are trusted by their signature.
#[must_use]
pub fn token(uid: &str, generation: i64) -> String {
    let mut hash = Sha256::new();
    for field in [b"cronofy-operator channel".as_slice(), uid.as_bytes(), &generation.to_be_bytes()] {
        hash.update(u64::try_from(field.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(field);
    }
    let digest = hash.finalize();
    URL_SAFE_NO_PAD.encode(digest.get(..16).unwrap_or(&digest))
}

/// The callback URL of a subscription's channel: `{base}/hook/{token}`.
#[must_use]
pub fn callback_url(base: &str, uid: &str, generation: i64) -> String {
    format!("{}/{HOOK_PATH}/{}", base.trim_end_matches('/'), token(uid, generation))
}

/// Hash of all that a channel is made of: another value means another channel is wanted.
#[must_use]
pub fn configuration(base: &str, filter: &ChannelFilter) -> String {
    let ChannelFilter { calendar_ids, only_managed } = filter;
    crate::fingerprint(&(base.trim_end_matches('/'), calendar_ids, only_managed))
}

/// So many generations back a channel is known for the subscription's own: more than one a month for a lifetime.
const REMEMBERED: i64 = 1_000;

/// The generation of the subscription's channel that a callback URL names, if it is one of its own: any base URL counts,
/// since the base may have changed, but only the last path segment under `hook` and the last thousand generations up to
/// `newest`.
#[must_use]
pub fn generation_of(callback_url: &str, uid: &str, newest: i64) -> Option<i64> {
    let (rest, last) = callback_url.rsplit_once('/')?;
    if !rest.ends_with(HOOK_PATH) {
        return None;
    }
    let oldest = newest.saturating_sub(REMEMBERED).max(1);
    (oldest..=newest).rev().find(|&generation| token(uid, generation) == last)
}
