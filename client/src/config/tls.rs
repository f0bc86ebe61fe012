//! TLS: whom to trust and who we are. Kafka's `ssl.*` settings, PEM only.
use std::path::PathBuf;

use crate::secret::Secret;

/// Kafka's `security.protocol`: what a listener speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SecurityProtocol {
    /// Neither encrypted nor authenticated. The default.
    #[default]
    Plaintext,
    /// TLS.
    Ssl,
    /// SASL without encryption.
    SaslPlaintext,
    /// SASL inside TLS.
    SaslSsl,
}

impl SecurityProtocol {
    /// Whether connections are encrypted.
    #[must_use]
    pub fn has_tls(self) -> bool {
        matches!(self, Self::Ssl | Self::SaslSsl)
    }

    /// Whether connections authenticate with SASL.
    #[must_use]
    pub fn has_sasl(self) -> bool {
        matches!(self, Self::SaslPlaintext | Self::SaslSsl)
    }

    /// Kafka's name of it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Plaintext => "PLAINTEXT",
            Self::Ssl => "SSL",
            Self::SaslPlaintext => "SASL_PLAINTEXT",
            Self::SaslSsl => "SASL_SSL",
        }
    }
}

impl std::str::FromStr for SecurityProtocol {
    type Err = String;

    /// Reads Kafka's name of it, in any case.
    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Plaintext, Self::Ssl, Self::SaslPlaintext, Self::SaslSsl]
            .into_iter()
            .find(|p| p.name().eq_ignore_ascii_case(text))
            .ok_or_else(|| "it is one of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL".to_owned())
    }
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

/// Whom to trust and who we are. Used when [`SecurityProtocol::has_tls`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TlsConfig {
    /// `ssl.truststore.location`: a PEM file of the certificates to trust. Default: the system's (feature
    /// `tls-native-roots`) or Mozilla's (`tls-webpki-roots`).
    pub ssl_truststore_location: Option<PathBuf>,
    /// `ssl.truststore.certificates`: the same, as PEM text. Not beside the other.
    pub ssl_truststore_certificates: Option<String>,
    /// `ssl.keystore.location`: a PEM file with our certificate chain and its private key, for brokers that ask for one. Not
    /// beside these as texts.
    pub ssl_keystore_location: Option<PathBuf>,
    /// `ssl.keystore.certificate.chain`: our certificate chain, as PEM text.
    pub ssl_keystore_certificate_chain: Option<String>,
    /// `ssl.keystore.key`: its private key, as PEM text (PKCS#8, PKCS#1 or SEC1).
    pub ssl_keystore_key: Option<Secret>,
    /// `ssl.key.password`: the password of the private key, which is an `ENCRYPTED PRIVATE KEY` then (PKCS#8 with PBES2: AES,
    /// and PBKDF2 or scrypt). Default: none, and the key is not encrypted.
    pub ssl_key_password: Option<Secret>,
    /// `ssl.enabled.protocols`. Default: 1.2 and 1.3.
    pub ssl_enabled_protocols: Vec<TlsVersion>,
    endpoint_identification: bool,
}

impl Default for TlsConfig {
    fn default() -> Self {
        Self {
            ssl_truststore_location: None,
            ssl_truststore_certificates: None,
            ssl_keystore_location: None,
            ssl_keystore_certificate_chain: None,
            ssl_keystore_key: None,
            ssl_key_password: None,
            ssl_enabled_protocols: vec![TlsVersion::Tls12, TlsVersion::Tls13],
            endpoint_identification: true,
        }
    }
}

impl TlsConfig {
    /// `ssl.endpoint.identification.algorithm = ""`: any certificate that a trusted authority signed is taken, whoever's
    /// it is. Dangerous: every holder of such a certificate can then pose as a broker.
    pub fn dangerous_disable_endpoint_identification(&mut self) {
        self.endpoint_identification = false;
    }

    /// Whether the broker's certificate has to name its host.
    #[must_use]
    pub fn endpoint_identification(&self) -> bool {
        self.endpoint_identification
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn security_protocol_is_read_in_any_case() {
        assert_eq!("sasl_ssl".parse(), Ok(SecurityProtocol::SaslSsl));
        assert_eq!("Ssl".parse(), Ok(SecurityProtocol::Ssl));
        assert!("TLS".parse::<SecurityProtocol>().unwrap_err().contains("SASL_PLAINTEXT"));
    }

    #[test]
    fn a_private_key_is_not_shown() {
        let config = TlsConfig { ssl_keystore_key: Some("-----BEGIN PRIVATE KEY-----".into()), ..TlsConfig::default() };
        assert!(!format!("{config:?}").contains("PRIVATE"));
    }
}
