//! Our private key, encrypted or not.
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use pkcs8::EncryptedPrivateKeyInfo;
use pkcs8::pkcs5::Error as Pkcs5;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::secret::Secret;

const BEGIN: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----";
const END: &str = "-----END ENCRYPTED PRIVATE KEY-----";
const PASSWORD: &str = "ssl.key.password";

/// The first private key of a PEM text that the setting `key` gave.
///
/// # Errors
/// [`Error::Config`] naming `key`, or `ssl.key.password` where that is at fault.
pub(crate) fn private_key(key: &str, pem: &[u8], password: Option<&Secret>) -> Result<PrivateKeyDer<'static>> {
    match (encrypted(pem), password) {
        (Some(body), Some(password)) => decrypt(key, body, password),
        (Some(_), None) => {
            Err(invalid(PASSWORD, format!("the private key in {key} is encrypted: its password is needed")))
        }
        (None, Some(_)) => {
            Err(invalid(PASSWORD, format!("the private key in {key} is not encrypted (PKCS#8): leave it out")))
        }
        (None, None) => {
            let found = PrivateKeyDer::from_pem_slice(pem);
            let old = pem.windows(19).any(|w| w == b"Proc-Type: 4,ENCRYP").then_some(
                "; it is encrypted in the old way of OpenSSL: openssl pkcs8 -topk8 -v2 aes-256-cbc writes it anew",
            );
            let reason = format!("there is no private key in PEM format in it{}", old.unwrap_or_default());
            found.map_err(|_| invalid(key, reason))
        }
    }
}

/// The body of an encrypted key.
fn encrypted(pem: &[u8]) -> Option<&str> {
    // A file may have anything around its keys.
    let at = pem.windows(BEGIN.len()).position(|window| window == BEGIN.as_bytes())?;
    let rest = std::str::from_utf8(pem.get(at + BEGIN.len()..)?).ok()?;
    rest.split_once(END).map(|(body, _)| body)
}

fn decrypt(key: &str, body: &str, password: &Secret) -> Result<PrivateKeyDer<'static>> {
    let text: Zeroizing<Vec<u8>> = Zeroizing::new(body.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect());
    let der =
        BASE64.decode(&*text).map_err(|_| invalid(key, "the private key in it is not in PEM format".to_owned()))?;
    let unreadable = |error: pkcs8::Error| {
        let reason = format!(
            "the private key in it is encrypted in a way that Ottla does not read ({error}): openssl pkcs8 -topk8 -v2 \
             aes-256-cbc writes it anew"
        );
        invalid(key, reason)
    };
    let plain = EncryptedPrivateKeyInfo::try_from(der.as_slice()).map_err(unreadable)?;
    let plain = plain.decrypt(password.reveal()).map_err(|error| match error {
        // Whether it was the password cannot be told from a broken key. The padding of AES says it one way or the other.
        pkcs8::Error::EncryptedPrivateKey(Pkcs5::DecryptFailed | Pkcs5::EncryptFailed) | pkcs8::Error::Asn1(_) => {
            invalid(PASSWORD, format!("the private key in {key} cannot be decrypted with it: it is most likely wrong"))
        }
        other => unreadable(other),
    })?;
    Ok(PrivatePkcs8KeyDer::from(plain.as_bytes().to_vec()).into())
}

fn invalid(key: &str, reason: String) -> Error {
    Error::config(key, "…", reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &[u8] = include_bytes!("../../testdata/tls/alice_key.pem");
    const AES: &[u8] = include_bytes!("../../testdata/tls/alice_key_aes.pem");
    const SCRYPT: &[u8] = include_bytes!("../../testdata/tls/alice_key_scrypt.pem");
    const DES3: &[u8] = include_bytes!("../../testdata/tls/alice_key_des3.pem");
    const CHAIN: &[u8] = include_bytes!("../../testdata/tls/alice_chain.pem");

    fn read(pem: &[u8], password: Option<&str>) -> Result<Vec<u8>> {
        let key = private_key("ssl.keystore.key", pem, password.map(Secret::from).as_ref())?;
        Ok(key.secret_der().to_vec())
    }

    fn refusal(pem: &[u8], password: Option<&str>) -> String {
        let text = read(pem, password).unwrap_err().to_string();
        assert!(!password.is_some_and(|password| text.contains(password)), "{text}");
        text
    }

    #[test]
    fn a_key_that_openssl_encrypted_is_read_with_its_password() {
        let plain = read(PLAIN, None).unwrap();
        for encrypted in [AES, SCRYPT] {
            assert_eq!(read(encrypted, Some("correct horse")).unwrap(), plain);
            let after_others = [CHAIN, encrypted, CHAIN].concat();
            assert_eq!(read(&after_others, Some("correct horse")).unwrap(), plain);
        }
    }

    #[test]
    fn a_password_that_is_wrong_missing_or_too_much_is_named() {
        for (pem, password, part) in [
            (AES, Some("battery staple"), "cannot be decrypted with it"),
            (SCRYPT, Some("battery staple"), "cannot be decrypted with it"),
            (AES, None, "its password is needed"),
            (PLAIN, Some("battery staple"), "is not encrypted"),
        ] {
            let text = refusal(pem, password);
            assert!(text.starts_with("ssl.key.password") && text.contains(part), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_says_what_to_do() {
        let text = refusal(DES3, Some("correct horse"));
        assert!(text.starts_with("ssl.keystore.key") && text.contains("openssl pkcs8 -topk8 -v2"), "{text}");
        let old = b"-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nAAAA\n-----END EC PRIVATE KEY-----\n";
        let text = refusal(old, None);
        assert!(text.contains("the old way of OpenSSL"), "{text}");
        assert!(refusal(b"nothing", None).contains("there is no private key"));
        let torn = format!("{BEGIN}\n???\n{END}\n");
        assert!(refusal(torn.as_bytes(), Some("correct horse")).contains("not in PEM format"));
    }
}
