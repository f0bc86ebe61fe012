//! Certificates for tests: an authority, and what it signs for brokers and clients.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};

/// A certificate could not be made, as for a name that no certificate can hold.
#[derive(Debug, thiserror::Error)]
#[error("cannot make a certificate for {subject}: {source}")]
pub struct CertificateError {
    subject: String,
    source: rcgen::Error,
}

/// A certificate authority of its own, which nobody trusts until told.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let authority = ottla_testkit::CertificateAuthority::new("Test CA")?;
/// let broker = authority.server(&["localhost", "127.0.0.1"])?;
/// assert!(broker.chain().starts_with("-----BEGIN CERTIFICATE-----"));
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct CertificateAuthority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate with its private key.
#[derive(Clone)]
pub struct Certificate {
    chain: String,
    key: String,
}

impl CertificateAuthority {
    /// A new authority with a key of its own.
    ///
    /// # Errors
    /// When `name` cannot be in a certificate.
    pub fn new(name: &str) -> Result<Self, CertificateError> {
        let failed = |source| CertificateError { subject: name.to_owned(), source };
        let key = KeyPair::generate().map_err(failed)?;
        let mut params = named(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let pem = params.self_signed(&key).map_err(failed)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), pem })
    }

    /// The authority's own certificate in PEM: what a client must trust (`ssl.truststore.certificates`).
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate for a server that is reached by each of `names`, host names or IP addresses.
    ///
    /// # Errors
    /// When a name is neither.
    pub fn server(&self, names: &[&str]) -> Result<Certificate, CertificateError> {
        self.issue(server_params(names)?, names)
    }

    /// The same, but it ended in the year 2001.
    ///
    /// # Errors
    /// When a name is neither a host name nor an IP address.
    pub fn expired_server(&self, names: &[&str]) -> Result<Certificate, CertificateError> {
        let mut params = server_params(names)?;
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(2001, 1, 1);
        self.issue(params, names)
    }

    /// A certificate by which a client shows who it is. To a broker it is the principal `User:CN=<common_name>`.
    ///
    /// # Errors
    /// When the name cannot be in a certificate.
    pub fn client(&self, common_name: &str) -> Result<Certificate, CertificateError> {
        let mut params = named(common_name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(params, &[common_name])
    }

    fn issue(&self, mut params: CertificateParams, subject: &[&str]) -> Result<Certificate, CertificateError> {
        let failed = |source| CertificateError { subject: subject.join(", "), source };
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().map_err(failed)?;
        let signed = params.signed_by(&key, &self.issuer).map_err(failed)?;
        Ok(Certificate { chain: signed.pem(), key: key.serialize_pem() })
    }
}

impl Certificate {
    /// The certificate chain in PEM, the certificate itself first.
    pub fn chain(&self) -> &str {
        &self.chain
    }

    /// The private key in PEM (PKCS #8, not encrypted).
    pub fn key(&self) -> &str {
        &self.key
    }
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificate").field("chain", &self.chain).finish_non_exhaustive()
    }
}

fn named(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params
}

fn server_params(names: &[&str]) -> Result<CertificateParams, CertificateError> {
    let owned: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params =
        CertificateParams::new(owned).map_err(|source| CertificateError { subject: names.join(", "), source })?;
    params.distinguished_name = named(names.first().unwrap_or(&"broker")).distinguished_name;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok(params)
}

#[cfg(test)]
mod tests {
    use super::CertificateAuthority;

    #[test]
    fn each_certificate_has_a_key_of_its_own_and_the_key_is_not_printed() {
        let authority = CertificateAuthority::new("ca").unwrap();
        let (one, two) = (authority.server(&["localhost"]).unwrap(), authority.client("alice").unwrap());
        assert!(one.key().starts_with("-----BEGIN PRIVATE KEY-----"), "PKCS #8 is what Java reads");
        assert_ne!(one.key(), two.key());
        assert!(!format!("{one:?}").contains("PRIVATE KEY"));
    }

    #[test]
    fn a_name_that_no_certificate_can_hold_is_named_in_the_error() {
        let authority = CertificateAuthority::new("ca").unwrap();
        let error = authority.server(&["b\u{fc}cher.example"]).unwrap_err();
        assert!(error.to_string().contains("b\u{fc}cher.example"), "{error}");
    }
}
