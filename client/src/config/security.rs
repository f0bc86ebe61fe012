//! The settings of TLS and SASL by Kafka's names.
use std::path::PathBuf;
use std::time::Duration;

use super::{ClientConfig, SaslMechanism, SecurityProtocol, TlsVersion};
use crate::error::{Error, Result};
use crate::properties::Property;
use crate::secret::Secret;

impl ClientConfig {
    /// Whether the key is one of these.
    pub(super) fn set_security(&mut self, property: Property<'_>) -> Result<bool> {
        match property.key {
            "security.protocol" => {
                let all = [
                    SecurityProtocol::Plaintext,
                    SecurityProtocol::Ssl,
                    SecurityProtocol::SaslPlaintext,
                    SecurityProtocol::SaslSsl,
                ];
                self.security_protocol = property.one_of(&all.map(|protocol| (protocol.name(), protocol)))?;
                Ok(true)
            }
            key if key.starts_with("ssl.") => self.set_tls(property),
            key if key.starts_with("sasl.") => self.set_sasl(property),
            _ => Ok(false),
        }
    }

    fn set_tls(&mut self, property: Property<'_>) -> Result<bool> {
        let tls = &mut self.tls;
        match property.key {
            "ssl.truststore.type" | "ssl.keystore.type" => property.one_of(&[("PEM", ())])?,
            "ssl.truststore.location" => tls.ssl_truststore_location = Some(PathBuf::from(property.value)),
            "ssl.truststore.certificates" => tls.ssl_truststore_certificates = Some(property.text()),
            "ssl.keystore.location" => tls.ssl_keystore_location = Some(PathBuf::from(property.value)),
            "ssl.keystore.certificate.chain" => tls.ssl_keystore_certificate_chain = Some(property.text()),
            "ssl.keystore.key" => tls.ssl_keystore_key = Some(property.value.into()),
            "ssl.key.password" => tls.ssl_key_password = Some(property.value.into()),
            "ssl.keystore.password" | "ssl.truststore.password" => {
                let range = "it must be left out: PEM files have none, and that of the private key is ssl.key.password";
                return Err(Error::config(property.key, HIDDEN, range));
            }
            "ssl.enabled.protocols" => tls.ssl_enabled_protocols = versions(property)?,
            "ssl.endpoint.identification.algorithm" => {
                if property.one_of(&[("https", false), ("", true)])? {
                    tls.dangerous_disable_endpoint_identification();
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn set_sasl(&mut self, property: Property<'_>) -> Result<bool> {
        let sasl = &mut self.sasl;
        match property.key {
            "sasl.mechanism" if property.value == "GSSAPI" => return Err(property.invalid(NO_KERBEROS)),
            "sasl.mechanism" => {
                let mechanism: Result<SaslMechanism, String> = property.value.parse();
                let range = "it must be one of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER";
                sasl.sasl_mechanism = Some(mechanism.map_err(|_| property.invalid(range))?);
            }
            "sasl.jaas.config" => {
                let Jaas { username, password, tokenauth } = jaas(property)?;
                (sasl.username, sasl.password, sasl.tokenauth) = (username, password, tokenauth);
            }
            "sasl.kerberos.service.name" => sasl.sasl_kerberos_service_name = Some(property.text()),
            "sasl.login.refresh.window.factor" => sasl.sasl_login_refresh_window_factor = fraction(property, 0.5, 1.0)?,
            "sasl.login.refresh.window.jitter" => {
                sasl.sasl_login_refresh_window_jitter = fraction(property, 0.0, 0.25)?
            }
            "sasl.login.refresh.min.period.seconds" => {
                sasl.sasl_login_refresh_min_period = Duration::from_secs(property.integer()?);
            }
            "sasl.login.refresh.buffer.seconds" => {
                sasl.sasl_login_refresh_buffer = Duration::from_secs(property.integer()?);
            }
            "sasl.login.retry.backoff.ms" => sasl.sasl_login_retry_backoff = property.millis()?,
            "sasl.login.retry.backoff.max.ms" => sasl.sasl_login_retry_backoff_max = property.millis()?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Nothing is given twice, of which one would be passed over, and there is a version to speak.
    pub(super) fn check_tls(&self) -> Result<()> {
        let tls = &self.tls;
        let (trusted, ours) = (tls.ssl_truststore_location.is_some(), tls.ssl_keystore_location.is_some());
        let (trusts, proves) = ("ssl.truststore.location", "ssl.keystore.location");
        for (is_given, key, other, what) in [
            (trusted && tls.ssl_truststore_certificates.is_some(), "ssl.truststore.certificates", trusts, "to trust"),
            (ours && tls.ssl_keystore_certificate_chain.is_some(), "ssl.keystore.certificate.chain", proves, "of ours"),
            (ours && tls.ssl_keystore_key.is_some(), "ssl.keystore.key", proves, "of ours, with their key,"),
        ] {
            if is_given {
                let range = format!("{other} gives the certificates {what} already: leave one of the two out");
                return Err(Error::config(key, HIDDEN, range));
            }
        }
        if tls.ssl_enabled_protocols.is_empty() {
            return Err(Error::config("ssl.enabled.protocols", "", VERSIONS));
        }
        Ok(())
    }

    pub(super) fn check_sasl(&self) -> Result<()> {
        let sasl = &self.sasl;
        let is_name =
            |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() && b != b'/' && b != b'@');
        if let Some(name) = sasl.sasl_kerberos_service_name.as_ref().filter(|name| !is_name(name)) {
            let range = "it must be the first part of the brokers' principals, as kafka of kafka/host@REALM";
            return Err(Error::config("sasl.kerberos.service.name", name, range));
        }
        for (key, value, least, most) in [
            ("sasl.login.refresh.window.factor", sasl.sasl_login_refresh_window_factor, 0.5, 1.0),
            ("sasl.login.refresh.window.jitter", sasl.sasl_login_refresh_window_jitter, 0.0, 0.25),
        ] {
            if !(least..=most).contains(&value) {
                return Err(Error::config(key, value, format!("it must be a number from {least} to {most}")));
            }
        }
        Ok(())
    }
}

const HIDDEN: &str = "…";

const VERSIONS: &str = "it must be of TLSv1.2, TLSv1.3";

const NO_KERBEROS: &str = "Kerberos is not built in: use PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER, or plug a \
                           mechanism of your own in (SaslMechanism::Custom, in code)";

fn fraction(property: Property<'_>, least: f64, most: f64) -> Result<f64> {
    let number = property.value.parse().ok().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| property.invalid(format!("it must be a number from {least} to {most}")))
}

fn versions(property: Property<'_>) -> Result<Vec<TlsVersion>> {
    let version = |name: &str| match name {
        "TLSv1.2" => Some(TlsVersion::Tls12),
        "TLSv1.3" => Some(TlsVersion::Tls13),
        _ => None,
    };
    let versions: Option<Vec<_>> = property.list().map(version).collect();
    let versions = versions.filter(|versions| !versions.is_empty());
    versions.ok_or_else(|| property.invalid(VERSIONS))
}

/// What is taken from Java's login configuration.
#[derive(Debug, Default, PartialEq, Eq)]
struct Jaas {
    username: String,
    password: Secret,
    tokenauth: bool,
}

/// Reads `Module required key="value" …;`. Other keys are passed over.
fn jaas(property: Property<'_>) -> Result<Jaas> {
    let bad = || Error::config(property.key, HIDDEN, "it must be: Module required username=\"…\" password=\"…\";");
    let mut rest = property.value.strip_suffix(';').ok_or_else(bad)?.trim();
    for _ in 0..2 {
        rest = rest.split_once(char::is_whitespace).map_or("", |(_, rest)| rest).trim_start();
    }
    let mut jaas = Jaas::default();
    while !rest.is_empty() {
        let (key, value) = rest.split_once('=').ok_or_else(bad)?;
        let (value, after) = match value.trim_start().strip_prefix('"') {
            Some(quoted) => unquote(quoted).ok_or_else(bad)?,
            None => {
                let end = value.find(char::is_whitespace).unwrap_or(value.len());
                (value[..end].into(), &value[end..])
            }
        };
        match key.trim() {
            "username" => value.reveal().clone_into(&mut jaas.username),
            "password" => jaas.password = value,
            "tokenauth" => jaas.tokenauth = value.reveal().eq_ignore_ascii_case("true"),
            _ => {}
        }
        rest = after.trim_start();
    }
    Ok(jaas)
}

/// The text up to the closing quotation mark, and what comes after it. A backslash takes the next character as it is.
fn unquote(text: &str) -> Option<(Secret, &str)> {
    // Sized beforehand, so that no part of it stays behind in memory that was grown out of.
    let mut unquoted = String::with_capacity(text.len());
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((unquoted.into(), &text[at + 1..])),
            '\\' => unquoted.push(characters.next()?.1),
            other => unquoted.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Result<Jaas> {
        jaas(Property::new("sasl.jaas.config", value, &[]))
    }

    #[test]
    fn a_login_of_java_gives_user_and_password() {
        let line = r#"org.apache.kafka.common.security.scram.ScramLoginModule required username="al ice" password="a\"b\\=;c" tokenauth="true";"#;
        let expected = Jaas { username: "al ice".into(), password: r#"a"b\=;c"#.into(), tokenauth: true };
        assert_eq!(read(line).unwrap(), expected);
        let plain = read("PlainLoginModule required\n  username=alice\n  other=1\n  password=p ;").unwrap();
        assert_eq!((plain.username.as_str(), plain.password.reveal(), plain.tokenauth), ("alice", "p", false));
        assert_eq!(read("Module required;").unwrap(), Jaas::default());
    }

    #[test]
    fn a_login_that_cannot_be_read_is_not_shown() {
        for bad in ["hunter2", "M required password=\"hunter2;", "M required password hunter2;", ""] {
            let text = read(bad).unwrap_err().to_string();
            assert!(text.contains("it must be: Module required") && !text.contains("hunter2"), "{bad}: {text}");
        }
    }
}
