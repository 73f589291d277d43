//! The certificate authority of one control plane.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};

use crate::Error;

/// A certificate with its key, both PEM.
pub(crate) struct Identity {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// Signs the server's certificate. Lives in memory; its key is never written.
pub(crate) struct CertificateAuthority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl CertificateAuthority {
    pub(crate) fn generate() -> Result<Self, Error> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "testenv");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        Ok(Self { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate()?)? })
    }

    pub(crate) fn pem(&self) -> String {
        self.issuer.pem()
    }

    pub(crate) fn der(&self) -> Vec<u8> {
        self.issuer.der().to_vec()
    }

    /// For a server that is reached over loopback.
    pub(crate) fn server(&self) -> Result<Identity, Error> {
        self.server_at(&["127.0.0.1", "::1", "localhost"])
    }

    /// For a server that is reached at these addresses.
    pub(crate) fn server_at(&self, addresses: &[&str]) -> Result<Identity, Error> {
        let names: Vec<String> = addresses.iter().map(|&address| address.to_owned()).collect();
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name.push(DnType::CommonName, "kube-apiserver");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Identity { certificate: certificate.pem(), key: key.serialize_pem() })
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
