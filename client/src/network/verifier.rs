//! How the certificates of brokers are judged: as rustls' own verifier does, but for two things. With
//! `ssl.endpoint.identification.algorithm = ""` a certificate has to be signed by a trusted authority, and may be for any
//! name. And whom a refused one is for is kept: the error of one that is expired or of a strange authority does not say.
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};

use crate::sync::lock;

/// No certificate is for it: asked whether one is, webpki lists the names that it is for instead.
const NOBODY: &str = "nobody.invalid";

/// Keeps the names of what it refuses. They are not put into the error: the alert that the broker gets, and logs, is made
/// from it.
#[derive(Debug)]
pub(crate) struct Verifier {
    webpki: Arc<WebPkiServerVerifier>,
    /// The name has to be right too.
    checks_names: bool,
    /// By the name that the certificate should have had.
    refused: Mutex<BTreeMap<String, Vec<String>>>,
}

impl Verifier {
    pub(crate) fn new(webpki: Arc<WebPkiServerVerifier>, checks_names: bool) -> Self {
        Self { webpki, checks_names, refused: Mutex::default() }
    }

    /// The names in the last certificate of `host` that was refused.
    pub(crate) fn presented(&self, host: &ServerName<'_>) -> Vec<String> {
        lock(&self.refused).get(&*host.to_str()).cloned().unwrap_or_default()
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let judged = self.webpki.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match judged {
            // webpki looks at the name last: all else is right.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !self.checks_names => Ok(ServerCertVerified::assertion()),
            Err(error) => {
                lock(&self.refused).insert(server_name.to_str().into_owned(), names(end_entity));
                Err(error)
            }
            Ok(verified) => Ok(verified),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}

/// Whom a certificate is for; nobody, if it cannot be read.
fn names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let (Ok(certificate), Ok(nobody)) = (ParsedCertificate::try_from(certificate), ServerName::try_from(NOBODY)) else {
        return Vec::new();
    };
    match verify_server_name(&certificate, &nobody) {
        Err(Error::InvalidCertificate(CertificateError::NotValidForNameContext { presented, .. })) => presented,
        _ => Vec::new(),
    }
}
