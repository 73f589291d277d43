//! The certificate and key that TLS is served with: two PEM files, read and checked as one pair.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{InconsistentKeys, ServerConfig};
use sha2::{Digest as _, Sha256};
use x509_cert::certificate::{CertificateInner, Raw};
use x509_cert::der::Decode as _;

use crate::server_config;

/// So often the files are read until the certificate is the same before and after the key was read.
const READS: usize = 3;

/// A file, and the flag that names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairFile {
    /// The flag, without its dashes.
    pub flag: &'static str,
    /// Where it is.
    pub path: PathBuf,
}

impl fmt::Display for PairFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "--{} {}", self.flag, self.path.display())
    }
}

/// Where a pair is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairFiles {
    /// The certificate, followed by its chain.
    pub certificate: PairFile,
    /// Its private key.
    pub key: PairFile,
}

/// Why a pair cannot be served. Says nothing of what stands in the files, since one of them is a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PairProblem {
    /// A file cannot be read.
    #[error("{file} cannot be read: {error}; once it is there it is taken up without a restart")]
    Unreadable {
        /// The file.
        file: PairFile,
        /// The cause.
        error: String,
    },
    /// There is no certificate.
    #[error("{0} holds no certificate in PEM form: put the certificate there, followed by its chain")]
    NoCertificate(PairFile),
    /// There is no key.
    #[error("{0} holds no private key in PEM form: put the certificate's key there, not encrypted")]
    NoKey(PairFile),
    /// The key belongs to another certificate.
    #[error(
        "{} is not the key of the first certificate in {}: replace both together, and put the certificate before its chain",
        .0.key, .0.certificate
    )]
    Mismatch(PairFiles),
    /// It cannot be used for TLS.
    #[error("the certificate in {file} cannot be served: {error}")]
    Unusable {
        /// The certificate's file.
        file: PairFile,
        /// The cause.
        error: String,
    },
}

/// What the files held at one moment.
pub struct PairText {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl std::fmt::Debug for PairText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PairText").finish_non_exhaustive()
    }
}

/// A hash over both files: tells whether they have changed, without keeping the key.
pub type Fingerprint = [u8; 32];

/// A pair that can be served.
#[derive(Clone)]
pub struct Pair {
    /// How TLS is spoken with it.
    pub config: Arc<ServerConfig>,
    /// When the certificate expires. One of which that cannot be read may do for its callers all the same.
    pub expires: Option<Timestamp>,
}

impl std::fmt::Debug for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pair").field("expires", &self.expires).finish_non_exhaustive()
    }
}

impl PairFiles {
    /// Reads both files. A volume of a Secret replaces them in one step, but they are two reads: the certificate is read once
    /// more after the key, so that no pair is made of an old and a new half.
    ///
    /// # Errors
    /// If one cannot be read.
    pub async fn read(&self) -> Result<PairText, PairProblem> {
        let mut certificate = read(&self.certificate).await?;
        let mut key = Vec::new();
        for _ in 0..READS {
            key = read(&self.key).await?;
            let again = read(&self.certificate).await?;
            if again == certificate {
                break;
            }
            certificate = again;
        }
        Ok(PairText { certificate, key })
    }

    /// Checks that what was read is a pair that TLS can be served with.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self, text: &PairText) -> Result<Pair, PairProblem> {
        let PairText { certificate, key } = text;
        let no_certificate = || PairProblem::NoCertificate(self.certificate.clone());
        let chain: Vec<_> =
            CertificateDer::pem_slice_iter(certificate).collect::<Result<_, _>>().map_err(|_| no_certificate())?;
        let expires = expiry(chain.first().ok_or_else(no_certificate)?);
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| PairProblem::NoKey(self.key.clone()))?;
        let config = server_config(chain, key).map_err(|error| match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => PairProblem::Mismatch(self.clone()),
            error => PairProblem::Unusable { file: self.certificate.clone(), error: error.to_string() },
        })?;
        Ok(Pair { config: Arc::new(config), expires })
    }
}

impl PairText {
    /// Tells this text from any other.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        let Self { certificate, key } = self;
        let hash = Sha256::new().chain_update((certificate.len() as u64).to_be_bytes());
        hash.chain_update(certificate).chain_update(key).finalize().into()
    }
}

async fn read(file: &PairFile) -> Result<Vec<u8>, PairProblem> {
    let unreadable = |error: std::io::Error| PairProblem::Unreadable { file: file.clone(), error: error.to_string() };
    tokio::fs::read(&file.path).await.map_err(unreadable)
}

/// Read without the checks of a profile: this is for a metric, not for trust.
fn expiry(certificate: &CertificateDer<'_>) -> Option<Timestamp> {
    let certificate = CertificateInner::<Raw>::from_der(certificate).ok()?;
    let until = certificate.tbs_certificate().validity().not_after.to_unix_duration();
    Timestamp::from_second(i64::try_from(until.as_secs()).ok()?).ok()
}

#[cfg(test)]
mod tests;
