//! Which protocol speaks on a port that is not Kafka's plain one, by its first bytes.

/// What to do about an answer that begins with `bytes`, if they show what it is.
pub(crate) fn explain(bytes: &[u8]) -> Option<String> {
    // A TLS record: an alert or a handshake, of SSL 3.0 to TLS 1.3.
    if let [21 | 22, 3, 0..=4, ..] = bytes {
        return Some("it speaks TLS on this port: security.protocol should be SSL or SASL_SSL there".to_owned());
    }
    if bytes.starts_with(b"HTTP/") {
        return Some(
            "it speaks HTTP on this port, not Kafka's protocol: check the port in bootstrap.servers".to_owned(),
        );
    }
    let text: String =
        bytes.iter().take_while(|b| b.is_ascii_graphic() || **b == b' ').map(|b| char::from(*b)).collect();
    (text.len() >= 4).then(|| {
        let shown: String = text.chars().take(40).collect();
        format!(
            "it answers with the text {shown:?}, which is not Kafka's protocol: check the port in bootstrap.servers"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_protocols_are_known_by_their_first_bytes() {
        for (bytes, part) in [
            (&[0x15, 3, 3, 0, 2, 2, 80][..], "speaks TLS"),
            (b"HTTP/1.1 400 Bad Request", "speaks HTTP"),
            (b"SSH-2.0-OpenSSH_9.6", "SSH-2.0"),
        ] {
            assert!(explain(bytes).is_some_and(|text| text.contains(part)), "{part}");
        }
        assert_eq!(explain(&[0, 0, 1, 0, 0, 0, 0, 0]), None, "a frame of Kafka's");
        assert_eq!(explain(b"OK"), None);
    }
}
