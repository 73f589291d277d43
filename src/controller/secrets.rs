//! Credentials in Secrets: read by name when needed, never listed, never kept longer than a step needs them.

use std::fmt;

use cronofy::Credentials;
use cronofy::secrecy::{ExposeSecret as _, SecretString};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;

use crate::kubernetes::{self, CallError};

/// Key of an account's refresh token.
pub const REFRESH_TOKEN: &str = "refresh_token";
/// Keys of an application's credentials.
pub const CLIENT_ID: &str = "client_id";
/// See [`CLIENT_ID`].
pub const CLIENT_SECRET: &str = "client_secret";

/// Which Secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SecretKey {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl fmt::Display for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Why credentials could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The Secret does not exist.
    #[error("Secret {0} does not exist: create it, or correct the reference")]
    NotFound(SecretKey),
    /// A key is not there, or empty.
    #[error("Secret {secret} has no key {key}, or an empty one: add it")]
    KeyMissing {
        /// The Secret.
        secret: SecretKey,
        /// The key.
        key: &'static str,
    },
    /// A key's value cannot be a credential.
    #[error(
        "key {key} of Secret {secret} is not plain text: store the credential as it was given, without further encoding"
    )]
    KeyInvalid {
        /// The Secret.
        secret: SecretKey,
        /// The key.
        key: &'static str,
    },
    /// The operator lacks the right.
    #[error("the operator may not {verb} Secret {secret}: grant its service account {verb} on secrets there")]
    Forbidden {
        /// The Secret.
        secret: SecretKey,
        /// The missing verb.
        verb: &'static str,
    },
    /// Somebody changed the Secret meanwhile.
    #[error("Secret {0} was changed meanwhile: it is read again")]
    Changed(SecretKey),
    /// The Kubernetes API did not answer.
    #[error("Secret {secret} could not be reached ({error}): it is tried again")]
    Call {
        /// The Secret.
        secret: SecretKey,
        /// The cause.
        error: CallError,
    },
}

impl Error {
    /// One word for the cause.
    #[must_use]
    pub fn category(&self) -> &'static str {
        match self {
            Error::NotFound(_) => "SecretNotFound",
            Error::KeyMissing { .. } => "SecretKeyMissing",
            Error::KeyInvalid { .. } => "SecretKeyInvalid",
            Error::Forbidden { .. } => "SecretForbidden",
            Error::Changed(_) | Error::Call { .. } => "SecretUnavailable",
        }
    }

    /// Whether only a person can mend it.
    #[must_use]
    pub fn waits_for_a_person(&self) -> bool {
        match self {
            Error::NotFound(_) | Error::KeyMissing { .. } | Error::KeyInvalid { .. } | Error::Forbidden { .. } => true,
            Error::Changed(_) | Error::Call { .. } => false,
        }
    }
}

/// An account's refresh token as stored.
#[derive(Clone, Debug)]
pub struct StoredToken {
    /// The Secret.
    pub secret: SecretKey,
    /// The version that it was read from.
    pub version: String,
    /// The token.
    pub token: SecretString,
}

/// Reads an application's credentials. Gives them with the version of the Secret.
pub async fn credentials(client: &Client, key: &SecretKey) -> Result<(Credentials, String), Error> {
    let secret = read(client, key).await?;
    let client_id = text(&secret, key, CLIENT_ID)?.expose_secret().to_owned();
    let client_secret = text(&secret, key, CLIENT_SECRET)?;
    Ok((Credentials { client_id, client_secret }, secret.resource_version().unwrap_or_default()))
}

/// Reads an account's refresh token.
pub async fn refresh_token(client: &Client, key: &SecretKey) -> Result<StoredToken, Error> {
    let secret = read(client, key).await?;
    let token = text(&secret, key, REFRESH_TOKEN)?;
    Ok(StoredToken { secret: key.clone(), version: secret.resource_version().unwrap_or_default(), token })
}

/// Stores another refresh token, unless the Secret has changed since it was read. Gives the new version.
pub async fn store_refresh_token(client: &Client, before: &StoredToken, token: &SecretString) -> Result<String, Error> {
    let key = &before.secret;
    let value = ByteString(token.expose_secret().as_bytes().to_vec());
    let patch = json!({ "metadata": { "resourceVersion": before.version }, "data": { REFRESH_TOKEN: value } });
    let api: Api<Secret> = Api::namespaced(client.clone(), &key.namespace);
    let written = kubernetes::call(api.patch(&key.name, &PatchParams::default(), &Patch::Merge(&patch))).await;
    match written {
        Ok(secret) => Ok(secret.resource_version().unwrap_or_default()),
        Err(error) if error.is_conflict() => Err(Error::Changed(key.clone())),
        Err(error) => Err(failed(error, key, "patch")),
    }
}

async fn read(client: &Client, key: &SecretKey) -> Result<Secret, Error> {
    let api: Api<Secret> = Api::namespaced(client.clone(), &key.namespace);
    kubernetes::call(api.get(&key.name)).await.map_err(|error| failed(error, key, "get"))
}

fn failed(error: CallError, key: &SecretKey, verb: &'static str) -> Error {
    let secret = key.clone();
    if error.is_not_found() {
        Error::NotFound(secret)
    } else if error.is_forbidden() {
        Error::Forbidden { secret, verb }
    } else {
        Error::Call { secret, error }
    }
}

/// The value of a key. One newline at its end is cut: editors and `echo` put it there.
fn text(secret: &Secret, of: &SecretKey, key: &'static str) -> Result<SecretString, Error> {
    let missing = || Error::KeyMissing { secret: of.clone(), key };
    let ByteString(bytes) = secret.data.as_ref().and_then(|data| data.get(key)).ok_or_else(missing)?;
    let invalid = || Error::KeyInvalid { secret: of.clone(), key };
    let value = std::str::from_utf8(bytes).map_err(|_| invalid())?;
    let value = value.strip_suffix('\n').map_or(value, |value| value.strip_suffix('\r').unwrap_or(value));
    if value.is_empty() {
        return Err(missing());
    }
    if value.chars().any(char::is_control) {
        return Err(invalid());
    }
    Ok(SecretString::from(value))
}
