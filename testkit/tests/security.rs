//! The secured listeners of a real 4.4.0 broker let in whom they should, seen with Kafka's own admin client.
#![allow(clippy::unwrap_used, reason = "helpers of tests: a failure is the test's")]

use std::time::Duration;

use ottla_testkit::kafka::{Kafka, Listener, RunningTool, Security, Tool};
use ottla_testkit::{Certificate, CertificateAuthority};

const MECHANISMS: [&str; 4] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"];

/// The settings by which a Java client takes this way in.
struct Login<'a> {
    trusted: &'a str,
    certificate: Option<&'a Certificate>,
    mechanism: &'a str,
    password: &'a str,
}

impl Login<'_> {
    fn properties(&self, listener: Listener) -> String {
        let one_line = |pem: &str| pem.trim_end().replace('\n', "\\n");
        let mut lines = vec![
            format!("security.protocol={}", listener.protocol()),
            "ssl.truststore.type=PEM".to_owned(),
            format!("ssl.truststore.certificates={}", one_line(self.trusted)),
            format!("sasl.mechanism={}", self.mechanism),
            format!("sasl.jaas.config={}", self.jaas()),
        ];
        if let Some(certificate) = self.certificate {
            lines.push("ssl.keystore.type=PEM".to_owned());
            lines.push(format!("ssl.keystore.key={}", one_line(certificate.key())));
            lines.push(format!("ssl.keystore.certificate.chain={}", one_line(certificate.chain())));
        }
        lines.join("\n")
    }

    fn jaas(&self) -> String {
        let module = "org.apache.kafka.common.security";
        let user = format!("username=\"alice\" password=\"{}\"", self.password);
        match self.mechanism {
            "PLAIN" => format!("{module}.plain.PlainLoginModule required {user};"),
            "OAUTHBEARER" => {
                format!("{module}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub=\"alice\";")
            }
            _ => format!("{module}.scram.ScramLoginModule required {user};"),
        }
    }

    async fn create_topic(&self, kafka: &Kafka, listener: Listener, topic: &str) -> RunningTool {
        Tool::new("TopicCommand")
            .args(["--bootstrap-server", &kafka.bootstrap_of(listener), "--create", "--topic", topic])
            .config(&self.properties(listener))
            .spawn()
            .await
            .unwrap()
    }
}

/// One broker for all: starting it is most of the work.
#[tokio::test]
async fn every_listener_and_mechanism_lets_in_whom_it_knows_and_nobody_else() {
    let authority = CertificateAuthority::new("Test CA").unwrap();
    let certificate = authority.server(&["localhost", "127.0.0.1"]).unwrap();
    let security = Security::new(&authority, &certificate).user("alice", "secret").max_reauth(Duration::from_secs(4));
    let kafka = Kafka::builder().security(security).start().await.unwrap();

    let client = authority.client("alice").unwrap();
    let known = Login { trusted: authority.pem(), certificate: None, mechanism: "PLAIN", password: "secret" };
    let certified = Login { certificate: Some(&client), ..known };
    let mut ways = vec![
        ("plaintext".to_owned(), known.create_topic(&kafka, Listener::Plaintext, "plaintext").await),
        ("ssl".to_owned(), known.create_topic(&kafka, Listener::Ssl, "ssl").await),
        ("mtls".to_owned(), certified.create_topic(&kafka, Listener::MutualTls, "mtls").await),
    ];
    for listener in [Listener::SaslPlaintext, Listener::SaslSsl] {
        for mechanism in MECHANISMS {
            let way = format!("{}-{mechanism}", listener.protocol());
            let running = Login { mechanism, ..known }.create_topic(&kafka, listener, &way).await;
            ways.push((way, running));
        }
    }
    for (way, running) in ways {
        let created = running.wait().await.unwrap();
        assert!(created.success && created.stdout.contains("Created topic"), "{way}: {created:?}");
    }

    let stranger = CertificateAuthority::new("Another CA").unwrap();
    let forged = stranger.client("alice").unwrap();
    let wrong_password = Login { password: "guess", ..known };
    let scram = Login { mechanism: "SCRAM-SHA-256", ..wrong_password };
    let refused = [
        (wrong_password.create_topic(&kafka, Listener::SaslPlaintext, "a").await, "SaslAuthenticationException"),
        (scram.create_topic(&kafka, Listener::SaslSsl, "b").await, "SaslAuthenticationException"),
        (
            Login { trusted: stranger.pem(), ..known }.create_topic(&kafka, Listener::Ssl, "c").await,
            "SslAuthenticationException",
        ),
        (known.create_topic(&kafka, Listener::MutualTls, "d").await, "SslAuthenticationException"),
        (
            Login { certificate: Some(&forged), ..known }.create_topic(&kafka, Listener::MutualTls, "e").await,
            "SslAuthenticationException",
        ),
    ];
    for (running, reason) in refused {
        let output = running.wait().await.unwrap();
        assert!(!output.success, "{output:?}");
        assert!(format!("{}{}", output.stdout, output.stderr).contains(reason), "{reason}: {output:?}");
    }
}
