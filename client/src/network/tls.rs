//! TLS by rustls: what to trust, who we are, and what an error means. The provider of cryptography is part of the
//! configuration; none is installed for the process.
use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{AlertDescription, CertificateError, RootCertStore, SupportedProtocolVersion};
use zeroize::Zeroizing;

use super::private_key::private_key;
use super::verifier::Verifier;
use crate::config::{TlsConfig, TlsVersion};
use crate::error::{Error, Result};

/// How connections are encrypted.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    config: Arc<rustls::ClientConfig>,
    verifier: Arc<Verifier>,
}

impl Tls {
    /// Reads the certificates.
    ///
    /// # Errors
    /// [`Error::Config`] naming the setting whose file or text cannot be used.
    pub(crate) fn new(config: &TlsConfig) -> Result<Self> {
        let provider = Arc::new(provider()?);
        let versions: Vec<_> = config.ssl_enabled_protocols.iter().map(|v| supported(*v)).collect();
        let webpki = WebPkiServerVerifier::builder_with_provider(Arc::new(roots(config)?), Arc::clone(&provider))
            .build()
            .map_err(|e| invalid("ssl.truststore.location", &format!("no certificate in it can be used: {e}")))?;
        let verifier = Arc::new(Verifier::new(webpki, config.endpoint_identification()));
        // It judges as webpki's own; "dangerous" is the name of every other way to pass one.
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&versions)
            .map_err(|e| invalid("ssl.enabled.protocols", &e.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&verifier) as _);
        let tls = match identity(config)? {
            Some((chain, key)) => builder.with_client_auth_cert(chain, key).map_err(|e| {
                invalid("ssl.keystore", &format!("the key and the certificate chain do not match: {e}"))
            })?,
            None => builder.with_no_client_auth(),
        };
        Ok(Self { config: Arc::new(tls), verifier })
    }

    pub(crate) fn config(&self) -> Arc<rustls::ClientConfig> {
        Arc::clone(&self.config)
    }

    /// What the error of a handshake with `host` means, if it is one of TLS.
    pub(crate) fn explain(&self, error: &io::Error, host: &str) -> Option<String> {
        if let rustls::Error::InvalidCertificate(bad) = error.get_ref()?.downcast_ref()? {
            let presented = server_name(host).map(|name| self.verifier.presented(&name)).unwrap_or_default();
            return Some(certificate_error(bad, host, &presented));
        }
        explain(error, host)
    }
}

/// The name that the broker's certificate has to have.
pub(crate) fn server_name(host: &str) -> Result<ServerName<'static>, String> {
    ServerName::try_from(host.to_owned()).map_err(|_| format!("a certificate cannot name {host:?}"))
}

#[allow(unreachable_code, clippy::needless_return, reason = "the first of the compiled in ones is taken")]
fn provider() -> Result<CryptoProvider> {
    #[cfg(feature = "tls-ring")]
    return Ok(rustls::crypto::ring::default_provider());
    #[cfg(feature = "tls-aws-lc-rs")]
    return Ok(rustls::crypto::aws_lc_rs::default_provider());
    #[cfg(feature = "tls-graviola")]
    return Ok(rustls_graviola::default_provider());
    Err(invalid("security.protocol", "TLS needs one of the features tls-ring, tls-aws-lc-rs and tls-graviola"))
}

fn supported(version: TlsVersion) -> &'static SupportedProtocolVersion {
    match version {
        TlsVersion::Tls12 => &rustls::version::TLS12,
        TlsVersion::Tls13 => &rustls::version::TLS13,
    }
}

fn roots(config: &TlsConfig) -> Result<RootCertStore> {
    let (key, pem) = match (&config.ssl_truststore_certificates, &config.ssl_truststore_location) {
        (Some(text), _) => ("ssl.truststore.certificates", text.clone().into_bytes()),
        (None, Some(path)) => ("ssl.truststore.location", read("ssl.truststore.location", path)?),
        (None, None) => return default_roots(),
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(key, &pem)? {
        roots.add(certificate).map_err(|e| invalid(key, &format!("a certificate in it cannot be used: {e}")))?;
    }
    Ok(roots)
}

#[allow(unreachable_code, clippy::needless_return, reason = "the first of the compiled in ones is taken")]
fn default_roots() -> Result<RootCertStore> {
    #[cfg(feature = "tls-native-roots")]
    return native_roots();
    #[cfg(feature = "tls-webpki-roots")]
    return Ok(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() });
    Err(invalid("ssl.truststore.location", "it is needed without the features tls-native-roots and tls-webpki-roots"))
}

#[cfg(feature = "tls-native-roots")]
fn native_roots() -> Result<RootCertStore> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        let why = found.errors.first().map_or_else(String::new, |e| format!(" ({e})"));
        return Err(invalid(
            "ssl.truststore.location",
            &format!("it is not set, and the system has no certificates{why}"),
        ));
    }
    Ok(roots)
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn identity(config: &TlsConfig) -> Result<Option<Identity>> {
    let (chain_key, key_key, chain, key) = match (&config.ssl_keystore_certificate_chain, &config.ssl_keystore_key) {
        (Some(chain), Some(key)) => (
            "ssl.keystore.certificate.chain",
            "ssl.keystore.key",
            Zeroizing::new(chain.clone().into_bytes()),
            Zeroizing::new(key.reveal().as_bytes().to_vec()),
        ),
        (None, None) => {
            let Some(path) = &config.ssl_keystore_location else { return Ok(None) };
            let pem = Zeroizing::new(read("ssl.keystore.location", path)?);
            ("ssl.keystore.location", "ssl.keystore.location", pem.clone(), pem)
        }
        (Some(_), None) => return Err(invalid("ssl.keystore.key", "the certificate chain needs its key")),
        (None, Some(_)) => {
            return Err(invalid("ssl.keystore.certificate.chain", "the key needs its certificate chain"));
        }
    };
    let key = private_key(key_key, &key, config.ssl_key_password.as_ref())?;
    Ok(Some((certificates(chain_key, &chain)?, key)))
}

fn certificates(key: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(invalid(key, "there is no certificate in PEM format in it (JKS and PKCS#12 are not read)")),
        Err(error) => Err(invalid(key, &format!("it is not in PEM format: {error:?}"))),
    }
}

fn read(key: &str, path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| Error::config(key, path.display(), format!("the file cannot be read: {error}")))
}

fn invalid(key: &str, reason: &str) -> Error {
    Error::config(key, "", reason)
}

/// What an error of a TLS stream to `host` means, if it is one of TLS.
pub(crate) fn explain(error: &io::Error, host: &str) -> Option<String> {
    use rustls::Error as E;
    let tls = error.get_ref()?.downcast_ref::<E>()?;
    Some(match tls {
        E::InvalidCertificate(bad) => certificate_error(bad, host, &[]),
        E::InvalidMessage(_) => {
            "it does not speak TLS on this port: security.protocol should be PLAINTEXT or SASL_PLAINTEXT there"
                .to_owned()
        }
        E::AlertReceived(alert) => format!("it ended TLS with the alert {alert:?}{}", alert_hint(*alert)),
        E::DecryptError => {
            "what it sent cannot be decrypted: it may want a client certificate that it trusts (ssl.keystore.location), which \
             old brokers say in an alert that cannot be read"
                .to_owned()
        }
        E::PeerIncompatible(why) => format!("it has no version or cipher of TLS in common with us: {why:?}"),
        other => format!("TLS failed: {other}"),
    })
}

fn certificate_error(error: &CertificateError, host: &str, presented: &[String]) -> String {
    use CertificateError as C;
    let certificate = || format!("the certificate that {host} presents, which is for {},", listed(presented));
    match error {
        C::NotValidForNameContext { presented, .. } => format!(
            "its certificate is for {}, and not for the expected {host}: the address in bootstrap.servers or \
             advertised.listeners has to be one of the certificate's names",
            listed(presented)
        ),
        C::NotValidForName => format!("its certificate is not for {host}"),
        C::UnknownIssuer | C::BadSignature => format!(
            "{} is not signed by an authority we trust: put the authority's certificate into ssl.truststore.location or \
             ssl.truststore.certificates",
            certificate()
        ),
        C::Expired | C::ExpiredContext { .. } => {
            format!("{} has expired: {error}; the broker needs a new one", certificate())
        }
        C::NotValidYet | C::NotValidYetContext { .. } => {
            format!("{} is not valid yet: {error}; is the clock of this machine right?", certificate())
        }
        other => format!("{} cannot be accepted: {other}", certificate()),
    }
}

fn listed(names: &[String]) -> String {
    let names: Vec<_> = names.iter().map(|name| plain_name(name)).collect();
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

/// `DnsName("kafka")` as `kafka`.
fn plain_name(name: &str) -> &str {
    name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).map_or(name, |inner| inner.trim_matches('"'))
}

fn alert_hint(alert: AlertDescription) -> &'static str {
    use AlertDescription as A;
    match alert {
        A::CertificateRequired | A::BadCertificate | A::CertificateUnknown | A::UnknownCA | A::HandshakeFailure => {
            ": it may want a client certificate that it trusts (ssl.keystore.location)"
        }
        A::CertificateExpired => ": our certificate (ssl.keystore.location) has expired",
        A::ProtocolVersion => ": it does not allow our versions of TLS (ssl.enabled.protocols)",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_certificate_is_refused_for_its_names_are_told() {
        use CertificateError as C;
        let presented = ["DnsName(\"kafka-1.example\")".to_owned(), "IpAddress(10.0.0.1)".to_owned()];
        for refused in [C::UnknownIssuer, C::BadSignature, C::Expired, C::NotValidYet, C::Revoked, C::BadEncoding] {
            let text = certificate_error(&refused, "b", &presented);
            let named = "the certificate that b presents, which is for kafka-1.example, 10.0.0.1, ";
            assert!(text.starts_with(named), "{refused:?}: {text}");
        }
        assert!(certificate_error(&C::Revoked, "b", &[]).contains("for nothing, cannot be accepted"));
    }
}
