//! Certificates for servers of tests.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};

use crate::Error;

/// A certificate authority. Lives in memory; its key is never written.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate with its key.
#[derive(Clone)]
pub struct Issued {
    /// The certificate, as PEM.
    pub certificate: String,
    /// Its key, as PEM.
    pub key: String,
    /// The certificate, as DER.
    pub der: Vec<u8>,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issued").finish_non_exhaustive()
    }
}

impl Authority {
    /// A new one.
    ///
    /// # Errors
    /// If there are no keys to be had.
    pub fn generate() -> Result<Self, Error> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "testenv");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        Ok(Self { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate()?)? })
    }

    /// Its own certificate, as PEM.
    #[must_use]
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// Its own certificate, as DER.
    #[must_use]
    pub fn der(&self) -> Vec<u8> {
        self.issuer.der().to_vec()
    }

    /// A certificate for a server of these names or addresses, which no test outlives.
    ///
    /// # Errors
    /// If one of them is none.
    pub fn issue(&self, names: &[&str]) -> Result<Issued, Error> {
        self.signed(&params(names)?)
    }

    /// The same, valid until the first day of this year.
    ///
    /// # Errors
    /// As [`Authority::issue`].
    pub fn issue_until(&self, names: &[&str], year: i32) -> Result<Issued, Error> {
        let mut params = params(names)?;
        params.not_after = date_time_ymd(year, 1, 1);
        self.signed(&params)
    }

    fn signed(&self, params: &CertificateParams) -> Result<Issued, Error> {
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Issued { certificate: certificate.pem(), key: key.serialize_pem(), der: certificate.der().to_vec() })
    }

    /// For an API server that is reached over loopback.
    pub(crate) fn api_server(&self) -> Result<Issued, Error> {
        self.api_server_at(&["127.0.0.1", "::1", "localhost"])
    }

    /// For an API server that is reached at these addresses.
    pub(crate) fn api_server_at(&self, addresses: &[&str]) -> Result<Issued, Error> {
        let mut params = params(addresses)?;
        params.distinguished_name.push(DnType::CommonName, "kube-apiserver");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.signed(&params)
    }
}

fn params(names: &[&str]) -> Result<CertificateParams, Error> {
    Ok(CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>())?)
}

impl Issued {
    /// Writes certificate and key into a folder, as `tls.crt` and `tls.key`, and gives where they are.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn write(&self, folder: &Path) -> io::Result<[PathBuf; 2]> {
        let files = ["tls.crt", "tls.key"].map(|name| folder.join(name));
        for (file, text) in files.iter().zip([&self.certificate, &self.key]) {
            std::fs::write(file, text)?;
        }
        Ok(files)
    }
}

/// A pair of keys, both PEM.
pub(crate) struct KeyPems {
    pub(crate) private: String,
    pub(crate) public: String,
}

/// With these the API server signs the tokens of service accounts and checks them.
pub(crate) fn token_keys() -> Result<KeyPems, Error> {
    let pair = KeyPair::generate()?;
    Ok(KeyPems { private: pair.serialize_pem(), public: pair.public_key_pem() })
}
