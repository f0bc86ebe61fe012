//! TLS in front of the broker, by rustls.

use std::sync::Arc;

use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

/// What a TLS listener shows, and whom it lets in; all in PEM.
#[derive(Clone)]
pub(crate) struct TlsFiles {
    pub(crate) chain: String,
    pub(crate) key: String,
    /// Authorities of client certificates; with them a client must show one (`ssl.client.auth=required`).
    pub(crate) client_authorities: Option<String>,
}

impl std::fmt::Debug for TlsFiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsFiles")
            .field("client_authorities", &self.client_authorities.is_some())
            .finish_non_exhaustive()
    }
}

impl TlsFiles {
    /// The error is a sentence that names what is wrong with the files.
    pub(crate) fn server_config(&self) -> Result<Arc<ServerConfig>, String> {
        let provider = Arc::new(default_provider());
        let chain = certificates(&self.chain)?;
        let key =
            PrivateKeyDer::from_pem_slice(self.key.as_bytes()).map_err(|error| format!("private key: {error}"))?;
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let builder = match &self.client_authorities {
            None => builder.with_no_client_auth(),
            Some(pem) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates(pem)? {
                    roots.add(certificate).map_err(|error| format!("client authority: {error}"))?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build().map_err(|error| error.to_string())?)
            }
        };
        let config = builder.with_single_cert(chain, key).map_err(|error| format!("certificate: {error}"))?;
        Ok(Arc::new(config))
    }
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let found = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>();
    let found = found.map_err(|error| format!("certificates: {error}"))?;
    if found.is_empty() { Err("no certificate in the PEM text".to_owned()) } else { Ok(found) }
}
