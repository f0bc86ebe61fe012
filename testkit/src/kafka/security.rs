//! Listeners with TLS and SASL on a real broker (KIP-651 for PEM in properties, KIP-368 for re-authentication).

use std::time::Duration;

use crate::certificates::{Certificate, CertificateAuthority};

/// A way into a broker. Without [`Security`] there is only `Plaintext`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Listener {
    /// No TLS, no SASL.
    Plaintext,
    /// TLS; the client shows no certificate.
    Ssl,
    /// TLS; the client must show a certificate of the authority.
    MutualTls,
    /// SASL without TLS.
    SaslPlaintext,
    /// SASL over TLS.
    SaslSsl,
}

impl Listener {
    /// All, in the order of their ports in a [`Node`](super::Node).
    pub const ALL: [Self; 5] = [Self::Plaintext, Self::Ssl, Self::MutualTls, Self::SaslPlaintext, Self::SaslSsl];

    /// Its name in the broker's configuration.
    fn name(self) -> &'static str {
        match self {
            Self::Plaintext => "PLAINTEXT",
            Self::Ssl => "SSL",
            Self::MutualTls => "MTLS",
            Self::SaslPlaintext => "SASL_PLAINTEXT",
            Self::SaslSsl => "SASL_SSL",
        }
    }

    /// The client's `security.protocol` for it.
    pub fn protocol(self) -> &'static str {
        if self == Self::MutualTls { "SSL" } else { self.name() }
    }
}

/// What a secured cluster knows: its certificate, whom it trusts, and its users. SASL offers PLAIN, SCRAM-SHA-256,
/// SCRAM-SHA-512 and OAUTHBEARER with unsecured tokens; every user has the same password in all mechanisms.
#[derive(Clone, Debug)]
pub struct Security {
    trusted: String,
    certificate: Certificate,
    users: Vec<(String, String)>,
    max_reauth: Option<Duration>,
}

impl Security {
    /// A broker that shows `certificate` and trusts the clients of `authority`.
    pub fn new(authority: &CertificateAuthority, certificate: &Certificate) -> Self {
        Self {
            trusted: authority.pem().to_owned(),
            certificate: certificate.clone(),
            users: Vec::new(),
            max_reauth: None,
        }
    }

    /// A user of PLAIN and SCRAM. Neither word may contain a quote, a comma, a bracket or a space.
    #[must_use]
    pub fn user(mut self, name: &str, password: &str) -> Self {
        self.users.push((name.to_owned(), password.to_owned()));
        self
    }

    /// `connections.max.reauth.ms`: a client that has not authenticated again by then is disconnected.
    #[must_use]
    pub fn max_reauth(mut self, interval: Duration) -> Self {
        self.max_reauth = Some(interval);
        self
    }

    /// The arguments for `StorageTool format` that make the SCRAM users; the images read them with ZooKeeper too.
    pub(super) fn format_args(&self) -> String {
        let scram = |(name, password): &(String, String)| {
            format!(
                "--add-scram SCRAM-SHA-256=[name={name},password={password}] \
                 --add-scram SCRAM-SHA-512=[name={name},password={password}]"
            )
        };
        self.users.iter().map(scram).collect::<Vec<_>>().join(" ")
    }

    /// The lines of `server.properties` for a node whose listeners have these ports.
    /// With ZooKeeper there is no port of a controller.
    pub(super) fn properties(&self, ports: &[(Listener, u16)], controller: Option<u16>) -> Vec<String> {
        let at = |(listener, port): &(Listener, u16)| format!("{}://127.0.0.1:{port}", listener.name());
        let listeners = ports.iter().map(at).collect::<Vec<_>>().join(",");
        let protocol = |listener: &Listener| format!("{}:{}", listener.name(), listener.protocol());
        let protocols = Listener::ALL.iter().map(protocol).collect::<Vec<_>>().join(",");
        let mut lines = vec![
            match controller {
                Some(port) => format!("listeners={listeners},CONTROLLER://127.0.0.1:{port}"),
                None => format!("listeners={listeners}"),
            },
            format!("advertised.listeners={listeners}"),
            format!("listener.security.protocol.map=CONTROLLER:PLAINTEXT,{protocols}"),
            "inter.broker.listener.name=PLAINTEXT".to_owned(),
            "ssl.keystore.type=PEM".to_owned(),
            format!("ssl.keystore.key={}", one_line(self.certificate.key())),
            format!("ssl.keystore.certificate.chain={}", one_line(self.certificate.chain())),
            "ssl.truststore.type=PEM".to_owned(),
            format!("ssl.truststore.certificates={}", one_line(&self.trusted)),
            "listener.name.mtls.ssl.client.auth=required".to_owned(),
            "sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER".to_owned(),
            "delegation.token.secret.key=the-secret-of-delegation-tokens".to_owned(),
            // Its name before 3.0.
            "delegation.token.master.key=the-secret-of-delegation-tokens".to_owned(),
        ];
        if let Some(interval) = self.max_reauth {
            lines.push(format!("connections.max.reauth.ms={}", interval.as_millis()));
        }
        for listener in ["sasl_plaintext", "sasl_ssl"] {
            lines.extend(self.logins(listener));
        }
        lines
    }

    fn logins(&self, listener: &str) -> [String; 4] {
        let module = "org.apache.kafka.common.security";
        let prefix = format!("listener.name.{listener}");
        let users: String = self.users.iter().map(|(name, word)| format!(" user_{name}=\"{word}\"")).collect();
        let scram =
            |hash: &str| format!("{prefix}.scram-{hash}.sasl.jaas.config={module}.scram.ScramLoginModule required;");
        [
            format!("{prefix}.plain.sasl.jaas.config={module}.plain.PlainLoginModule required{users};"),
            scram("sha-256"),
            scram("sha-512"),
            format!(
                "{prefix}.oauthbearer.sasl.jaas.config={module}.oauthbearer.OAuthBearerLoginModule required \
                 unsecuredLoginStringClaim_sub=\"broker\";"
            ),
        ]
    }
}

/// A value of several lines as Java's property files write it.
pub(super) fn one_line(text: &str) -> String {
    text.lines().collect::<Vec<_>>().join("\\n")
}

#[cfg(test)]
mod tests {
    use super::{Listener, Security};
    use crate::certificates::CertificateAuthority;

    #[test]
    fn a_property_never_spans_lines_and_every_listener_has_its_port() {
        let authority = CertificateAuthority::new("ca").unwrap();
        let certificate = authority.server(&["localhost"]).unwrap();
        let security = Security::new(&authority, &certificate).user("alice", "secret");
        let ports: Vec<_> = Listener::ALL.into_iter().zip(1..).collect();
        let lines = security.properties(&ports, Some(9));
        assert!(lines.iter().all(|line| !line.contains('\n')), "{lines:?}");
        assert_eq!(
            lines[0],
            "listeners=PLAINTEXT://127.0.0.1:1,SSL://127.0.0.1:2,MTLS://127.0.0.1:3,SASL_PLAINTEXT://127.0.0.1:4,\
             SASL_SSL://127.0.0.1:5,CONTROLLER://127.0.0.1:9"
        );
        assert!(security.properties(&ports, None)[0].ends_with("SASL_SSL://127.0.0.1:5"), "as with ZooKeeper");
        assert!(lines.iter().any(|line| line.contains("user_alice=\"secret\"")), "{lines:?}");
        assert!(security.format_args().contains("SCRAM-SHA-512=[name=alice,password=secret]"));
    }
}
