//! Whose certificates were refused: the error of one that is expired or of a strange authority does not name it.
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};

use crate::sync::lock;

/// No certificate is for it: asked whether one is, webpki lists the names that it is for instead.
const NOBODY: &str = "nobody.invalid";

/// Judges as the verifier inside does, and keeps the names of what that refuses. They are not put into the error: the
/// alert that the broker gets, and logs, is made from it.
#[derive(Debug)]
pub(crate) struct Presented {
    verifier: Arc<dyn ServerCertVerifier>,
    /// By the name that the certificate should have had.
    refused: Mutex<BTreeMap<String, Vec<String>>>,
}

impl Presented {
    pub(crate) fn new(verifier: Arc<dyn ServerCertVerifier>) -> Self {
        Self { verifier, refused: Mutex::default() }
    }

    /// The names in the last certificate of `host` that was refused.
    pub(crate) fn by(&self, host: &ServerName<'_>) -> Vec<String> {
        let refused = lock(&self.refused);
        refused.get(&*host.to_str()).cloned().unwrap_or_default()
    }
}

impl ServerCertVerifier for Presented {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let judged = self.verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        if judged.is_err() {
            let mut refused = lock(&self.refused);
            refused.insert(server_name.to_str().into_owned(), names(end_entity));
        }
        judged
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
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
