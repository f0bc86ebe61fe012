//! In the place of TLS when no feature brings it.
use std::io;

use crate::config::TlsConfig;
use crate::error::{Error, Result};

/// There is none.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Tls {}

impl Tls {
    pub(crate) fn new(_config: &TlsConfig) -> Result<Self> {
        let why = "Ottla was built without TLS: enable the feature tls-ring, tls-graviola or tls-aws-lc-rs";
        Err(Error::config("security.protocol", "SSL", why))
    }
}

pub(crate) fn explain(_error: &io::Error, _host: &str) -> Option<String> {
    None
}
