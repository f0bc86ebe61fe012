//! Every setting: its default, what it may be, and what is said of anything else.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::field_reassign_with_default, reason = "a test")]
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::thread::ThreadId;
use std::time::Duration;

use ottla_client::{
    AdminConfig, AutoOffsetReset, Client, ClientConfig, Compression, ConsumerConfig, Error, PartitionAssignor,
    Producer, ProducerConfig, Result,
};

/// A row of a table of settings: Kafka's key, its default, other values that are fine, values that are not.
type Row = (&'static str, &'static str, &'static [&'static str], &'static [&'static str]);

/// Lines of a file, and the key that is refused.
type Case<'a> = (&'a [(&'a str, &'a str)], Option<&'a str>);

const LONG: &str = "9223372036854775807";
const OVER_LONG: &str = "9223372036854775808";
const INT: &str = "2147483647";
const OVER_INT: &str = "2147483648";

const CLIENT: &[Row] = &[
    (
        "bootstrap.servers",
        "a:1",
        &["a:1,b:2", "[::1]:9092", " a:1 , b:1 "],
        &["", "a", "a:0", "a:x", "::1:9092", "a:1,a:1"],
    ),
    ("client.id", "", &["shop"], &[]),
    ("client.dns.lookup", "use_all_dns_ips", &["resolve_canonical_bootstrap_servers_only"], &["default", ""]),
    ("bootstrap.resolve.timeout.ms", "0", &["1", LONG], &["-1", OVER_LONG, "x"]),
    ("request.timeout.ms", "30000", &["0", INT], &["-1", OVER_INT, "1.5"]),
    ("default.api.timeout.ms", "60000", &["0", INT], &["-1", OVER_INT, ""]),
    ("retry.backoff.ms", "100", &["0", "1000"], &["-1", OVER_LONG]),
    ("retry.backoff.max.ms", "1000", &["100", LONG], &["-1", OVER_LONG]),
    ("reconnect.backoff.ms", "50", &["0", "7"], &["-1", OVER_LONG]),
    ("reconnect.backoff.max.ms", "1000", &["0", LONG], &["-1", OVER_LONG]),
    ("socket.connection.setup.timeout.ms", "10000", &["0", "30000"], &["-1", OVER_LONG]),
    ("socket.connection.setup.timeout.max.ms", "30000", &["10000", LONG], &["-1", OVER_LONG]),
    ("connections.max.idle.ms", "540000", &["-1", "0", LONG], &["-2", OVER_LONG]),
    ("metadata.max.age.ms", "300000", &["0", LONG], &["-1", OVER_LONG]),
    ("metadata.max.idle.ms", "300000", &["5000", LONG], &["4999", "-1", OVER_LONG]),
    ("client.rack", "", &["eu-1a"], &[]),
    ("enable.metrics.push", "false", &[], &["true", "yes"]),
    ("max.response.bytes", "104857600", &["1", INT], &["0", OVER_INT]),
    // Ours: the system's buffers, which grow, and not Kafka's 131072 and 65536.
    ("send.buffer.bytes", "-1", &["0", INT], &["-2", OVER_INT]),
    ("receive.buffer.bytes", "-1", &["0", INT], &["-2", OVER_INT]),
    ("metadata.recovery.strategy", "rebootstrap", &["none"], &["", "true"]),
    ("metadata.recovery.rebootstrap.trigger.ms", "300000", &["0", LONG], &["-1", OVER_LONG]),
    ("metadata.cluster.check.enable", "true", &["false"], &["1"]),
    ("security.protocol", "PLAINTEXT", &["ssl", "SASL_PLAINTEXT", "Sasl_Ssl"], &["TLS", ""]),
    ("ssl.truststore.type", "PEM", &[], &["JKS", "PKCS12"]),
    ("ssl.keystore.type", "PEM", &[], &["JKS"]),
    ("ssl.enabled.protocols", "TLSv1.2,TLSv1.3", &["TLSv1.3"], &["", "TLSv1.1", "SSLv3"]),
    ("ssl.endpoint.identification.algorithm", "https", &[""], &["http"]),
    ("sasl.login.refresh.window.factor", "0.8", &["0.5", "1.0"], &["0.49", "1.01", "NaN", "x"]),
    ("sasl.login.refresh.window.jitter", "0.05", &["0", "0.25"], &["-0.01", "0.26"]),
    ("sasl.login.refresh.min.period.seconds", "60", &["0", "900"], &["-1", "901"]),
    ("sasl.login.refresh.buffer.seconds", "300", &["0", "3600"], &["-1", "3601"]),
    ("sasl.login.retry.backoff.ms", "100", &["0"], &["-1", OVER_LONG]),
    ("sasl.login.retry.backoff.max.ms", "10000", &["0"], &["-1", OVER_LONG]),
];

const PRODUCER: &[Row] = &[
    ("acks", "all", &["0", "1"], &["2", "-2", "", "none"]),
    ("max.in.flight.requests.per.connection", "5", &["1", "4"], &["0", "-1", "6", OVER_INT]),
    ("retries", "2147483647", &["0", "1"], &["-1", OVER_INT]),
    ("linger.ms", "5", &["0", "90000"], &["-1", OVER_LONG, "5ms"]),
    ("batch.size", "16384", &["0", INT], &["-1", OVER_INT]),
    ("buffer.memory", "33554432", &["0", LONG], &["-1", OVER_LONG]),
    ("max.block.ms", "60000", &["0", LONG], &["-1", OVER_LONG]),
    ("max.request.size", "1048576", &["0", INT], &["-1", OVER_INT]),
    ("delivery.timeout.ms", "120000", &["30005", INT], &["30004", "0", "-1", OVER_INT]),
    ("compression.type", "none", &["gzip", "snappy", "lz4", "zstd"], &["brotli", ""]),
    ("partitioner.class", "", &[], &["org.apache.kafka.clients.producer.RoundRobinPartitioner"]),
    ("partitioner.ignore.keys", "false", &["true", "TRUE"], &["1", ""]),
    ("partitioner.adaptive.partitioning.enable", "true", &["false"], &["no"]),
    ("partitioner.availability.timeout.ms", "0", &["1", LONG], &["-1", OVER_LONG]),
    ("partitioner.rack.aware", "false", &["true"], &["yes"]),
    ("transaction.timeout.ms", "60000", &["1", INT], &["0", "-1", OVER_INT]),
    ("transaction.two.phase.commit.enable", "false", &[], &["true", "x"]),
];

const CONSUMER: &[Row] = &[
    ("group.protocol", "classic", &["consumer", "auto", "CONSUMER"], &["streams", ""]),
    (
        "partition.assignment.strategy",
        "range,cooperative-sticky",
        &["sticky", "roundrobin,range"],
        &["", "range,range", "best"],
    ),
    ("session.timeout.ms", "45000", &["3001", INT], &["0", "-1", OVER_INT]),
    ("heartbeat.interval.ms", "3000", &["0", "44999"], &["45000", "-1", OVER_INT]),
    ("max.poll.interval.ms", "300000", &["1", INT], &["0", "-1", OVER_INT]),
    ("max.poll.records", "500", &["1", INT], &["0", "-1", OVER_INT]),
    ("auto.commit.interval.ms", "5000", &["0", INT], &["-1", OVER_INT]),
    (
        "auto.offset.reset",
        "latest",
        &["earliest", "none", "by_duration:PT0S", "by_duration:P1DT2H3M4.5S"],
        &["by_duration:-PT1S", "by_duration:PT-1S", "by_duration:", "error", ""],
    ),
    ("isolation.level", "read_uncommitted", &["read_committed"], &["serializable"]),
    ("fetch.min.bytes", "1", &["0", INT], &["-1", OVER_INT]),
    ("fetch.max.wait.ms", "500", &["0", "29999"], &["30000", "-1", OVER_INT]),
    ("fetch.max.bytes", "52428800", &["0", INT], &["-1", OVER_INT]),
    ("max.partition.fetch.bytes", "1048576", &["0", "67108864"], &["-1", OVER_INT]),
    ("check.crcs", "true", &["false"], &["off"]),
    ("exclude.internal.topics", "true", &["false"], &["off"]),
    ("allow.auto.create.topics", "true", &["false"], &["off"]),
    ("prefetch.memory.bytes", "67108864", &["1048576", LONG], &["1048575", "-1", OVER_LONG]),
];

const ADMIN: &[Row] = &[
    ("bootstrap.controllers", "", &["a:1", "a:1, b:2", "[::1]:9093"], &["a", "a:0", "::1:9093", "a:1,a:1"]),
    ("retries", "2147483647", &["0", "1"], &["-1", OVER_INT, "x"]),
    ("connections.max.idle.ms", "300000", &["-1", "0", LONG], &["-2", OVER_LONG]),
];

const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

fn client(key: &str, value: &str) -> Result<String> {
    let mut lines = vec![(key, value)];
    if key != "bootstrap.servers" {
        lines.push(("bootstrap.servers", "a:1"));
    }
    if key == "reconnect.backoff.ms" {
        lines.push(("reconnect.backoff.max.ms", "1000"));
    }
    let config = ClientConfig::from_properties(lines)?;
    config.validate()?;
    Ok(format!("{config:?}"))
}

fn producer(key: &str, value: &str) -> Result<String> {
    let config = ProducerConfig::from_properties([(key, value)])?;
    config.validate(REQUEST_TIMEOUT)?;
    Ok(format!("{config:?}"))
}

fn consumer(key: &str, value: &str) -> Result<String> {
    let config = ConsumerConfig::from_properties([(key, value)])?;
    config.validate(&ClientConfig::new("a:1"))?;
    Ok(format!("{config:?}"))
}

fn admin(key: &str, value: &str) -> Result<String> {
    let config = AdminConfig::from_properties([(key, value)])?;
    let servers = if config.bootstrap_controllers.is_empty() { "a:1" } else { "" };
    config.validate(&ClientConfig::new(servers))?;
    Ok(format!("{config:?}"))
}

fn walk(table: &[Row], read: fn(&str, &str) -> Result<String>, default: &str) {
    for (key, by_default, fine, bad) in table {
        assert_eq!(read(key, by_default).as_deref().unwrap(), default, "the default of {key}");
        for value in *fine {
            let other = read(key, value).unwrap_or_else(|error| panic!("{key} = {value}: {error}"));
            assert_ne!(other, default, "{key} = {value} changes something");
        }
        for value in *bad {
            match read(key, value) {
                Err(Error::Config { key: named, range, .. }) => {
                    assert_eq!(named, *key, "{value}");
                    assert!(range.starts_with("it ") || range.contains("must be"), "{key} = {value}: {range}");
                }
                other => panic!("{key} = {value}: {other:?}"),
            }
        }
    }
}

#[test]
fn every_common_setting_has_its_default_and_its_range() {
    let default = ClientConfig::new("a:1");
    // bootstrap.servers has no default; the row's first value stands for it.
    walk(CLIENT, client, &format!("{default:?}"));
    let long = "x".repeat(32_768);
    assert!(client("client.id", &long[1..]).is_ok());
    assert!(matches!(client("client.id", &long), Err(Error::Config { key, .. }) if key == "client.id"));
}

#[test]
fn every_producer_setting_has_its_default_and_its_range() {
    walk(PRODUCER, producer, &format!("{:?}", ProducerConfig::default()));
}

#[test]
fn every_consumer_setting_has_its_default_and_its_range() {
    walk(CONSUMER, consumer, &format!("{:?}", ConsumerConfig::default()));
}

#[test]
fn every_admin_setting_has_its_default_and_its_range() {
    walk(ADMIN, admin, &format!("{:?}", AdminConfig::default()));
    let controllers = AdminConfig::from_properties([("bootstrap.controllers", "a:1")]).unwrap();
    let text = controllers.validate(&ClientConfig::new("b:1")).unwrap_err().to_string();
    assert!(text.starts_with("bootstrap.controllers = ") && text.contains("bootstrap.servers is given"), "{text}");
    let text = AdminConfig::default().validate(&ClientConfig::new("")).unwrap_err().to_string();
    assert!(text.contains("bootstrap.servers must be supplied"), "{text}");
    assert!(admin("acks", "1").unwrap_err().to_string().contains("it is a setting of ProducerConfig"));
    assert!(producer("bootstrap.controllers", "a:1").is_err());
}

#[test]
fn settings_without_a_default_are_read_and_secrets_are_not_shown() {
    for (key, value) in [
        ("ssl.truststore.location", "/ca.pem"),
        ("ssl.truststore.certificates", "-----BEGIN CERTIFICATE-----"),
        ("ssl.keystore.location", "/me.pem"),
        ("ssl.keystore.certificate.chain", "-----BEGIN CERTIFICATE-----"),
        ("ssl.keystore.key", "hunter2"),
        ("ssl.key.password", "hunter2"),
        ("sasl.kerberos.service.name", "kafka"),
        ("sasl.mechanism", "SCRAM-SHA-512"),
        ("sasl.jaas.config", "ScramLoginModule required username=\"alice\" password=\"hunter2\";"),
    ] {
        let config = client(key, value).unwrap();
        assert_ne!(config, format!("{:?}", ClientConfig::new("a:1")), "{key}");
        assert!(!config.contains("hunter2"), "{config}");
    }
    for key in ["sasl.jaas.config", "ssl.truststore.password", "ssl.keystore.password"] {
        let text = client(key, "hunter2").unwrap_err().to_string();
        assert!(text.starts_with(key) && !text.contains("hunter2"), "{text}");
    }
}

#[test]
fn kerberos_is_read_where_it_can_be_and_says_what_to_do_where_it_cannot() {
    let text = client("sasl.mechanism", "GSSAPI").unwrap_err().to_string();
    for part in ["sasl.mechanism = \"GSSAPI\"", "not built in", "SCRAM-SHA-256", "SaslMechanism::Custom"] {
        assert!(text.contains(part), "{part} in: {text}");
    }
    for bad in ["", "kafka/host", "kafka@REALM", "a b"] {
        let text = client("sasl.kerberos.service.name", bad).unwrap_err().to_string();
        assert!(text.contains("kafka of kafka/host@REALM"), "{bad:?}: {text}");
    }
}

fn refused<'a>(lines: impl IntoIterator<Item = (&'a str, &'a str)> + Clone, producer: bool) -> Option<String> {
    let client = ClientConfig::new("a:1");
    let result = if producer {
        ProducerConfig::from_properties(lines).and_then(|c| c.validate(REQUEST_TIMEOUT))
    } else {
        ConsumerConfig::from_properties(lines).and_then(|c| c.validate(&client))
    };
    match result {
        Err(Error::Config { key, .. }) => Some(key),
        Err(other) => panic!("{other}"),
        Ok(()) => None,
    }
}

#[test]
fn settings_of_producers_that_contradict_each_other_name_the_one_to_change() {
    let explicit = ("enable.idempotence", "true");
    let off = ("enable.idempotence", "false");
    let rows: &[Case<'_>] = &[
        (&[explicit], None),
        (&[explicit, ("acks", "1")], Some("acks")),
        (&[explicit, ("acks", "0")], Some("acks")),
        (&[explicit, ("retries", "0")], Some("retries")),
        (&[explicit, ("max.in.flight.requests.per.connection", "6")], Some("max.in.flight.requests.per.connection")),
        (&[("max.in.flight.requests.per.connection", "6")], Some("max.in.flight.requests.per.connection")),
        (&[off, ("max.in.flight.requests.per.connection", "6"), ("acks", "1"), ("retries", "0")], None),
        (&[("acks", "1")], None),
        (&[("transactional.id", "")], Some("transactional.id")),
        (&[("transactional.id", "t")], None),
        (&[("transactional.id", "t"), off], Some("transactional.id")),
        (&[("transactional.id", "t"), ("acks", "1")], Some("transactional.id")),
        (&[("compression.type", "gzip"), ("compression.gzip.level", "9")], None),
        (&[("compression.type", "gzip"), ("compression.gzip.level", "-1")], None),
        (&[("compression.type", "gzip"), ("compression.gzip.level", "0")], Some("compression.gzip.level")),
        (&[("compression.gzip.level", "10")], Some("compression.gzip.level")),
        (&[("compression.type", "lz4"), ("compression.lz4.level", "17")], None),
        (&[("compression.type", "lz4"), ("compression.lz4.level", "0")], Some("compression.lz4.level")),
        (&[("compression.lz4.level", "18")], Some("compression.lz4.level")),
        (&[("compression.type", "zstd"), ("compression.zstd.level", "-131072")], None),
        (&[("compression.zstd.level", "-131073")], Some("compression.zstd.level")),
        (&[("compression.zstd.level", "23")], Some("compression.zstd.level")),
    ];
    for (lines, key) in rows {
        assert_eq!(refused(lines.iter().copied(), true).as_deref(), *key, "{lines:?}");
    }
}

#[test]
fn a_delivery_timeout_is_raised_only_where_it_is_not_given() {
    let request_timeout = Duration::from_secs(200);
    let read = |lines: &[(&'static str, &'static str)]| ProducerConfig::from_properties(lines.iter().copied()).unwrap();
    assert!(read(&[]).validate(request_timeout).is_ok());
    let error = read(&[("delivery.timeout.ms", "120000")]).validate(request_timeout).unwrap_err().to_string();
    assert!(
        error.starts_with("delivery.timeout.ms = \"120000\" is not valid") && error.contains("200005 ms"),
        "{error}"
    );
    assert!(read(&[("delivery.timeout.ms", "200005")]).validate(request_timeout).is_ok());
}

/// The field of a setting is its key with underscores, without a unit at the end that its type says.
#[test]
fn every_field_has_the_name_of_its_key() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut seen = 0;
    for file in
        ["config.rs", "config/sasl.rs", "config/tls.rs", "producer/config.rs", "consumer/config.rs", "admin/config.rs"]
    {
        let text = std::fs::read_to_string(root.join(file)).unwrap();
        let mut key = None;
        for line in text.lines().map(str::trim) {
            if let Some(words) = line.strip_prefix("/// ") {
                let named = words.strip_prefix('`').and_then(|rest| rest.split_once('`')).map(|(named, _)| named);
                key = key.or_else(|| Some(named.filter(|named| !named.contains(['*', '{', '=']))));
            } else if let Some((field, _)) = line.strip_prefix("pub ").and_then(|rest| rest.split_once(':'))
                && let Some(key) = key.take().flatten()
            {
                let name = key.replace('.', "_");
                let name = name.strip_suffix("_ms").or_else(|| name.strip_suffix("_seconds")).unwrap_or(&name);
                assert_eq!(field, name, "{file}");
                seen += 1;
            } else {
                key = None;
            }
        }
    }
    assert!(seen > 70, "{seen} fields were found");
}

#[test]
fn the_level_of_the_chosen_codec_counts() {
    let lines = [("compression.gzip.level", "1"), ("compression.zstd.level", "7"), ("compression.type", "zstd")];
    assert_eq!(ProducerConfig::from_properties(lines).unwrap().compression_level, Some(7));
    assert_eq!(ProducerConfig::from_properties(lines[..2].to_vec()).unwrap().compression_level, None);
}

#[test]
fn settings_of_consumers_that_contradict_each_other_name_the_one_to_change() {
    let new = ("group.protocol", "consumer");
    let long = "x".repeat(250);
    let rows: &[Case<'_>] = &[
        (&[("group.id", "")], Some("group.id")),
        (&[("group.id", "g")], None),
        (&[("enable.auto.commit", "true")], Some("enable.auto.commit")),
        (&[("enable.auto.commit", "true"), ("group.id", "g")], None),
        (&[("enable.auto.commit", "false")], None),
        (&[("max.partition.fetch.bytes", "67108865")], Some("prefetch.memory.bytes")),
        (&[("group.instance.id", "node-1.a_B")], None),
        (&[("group.instance.id", &long[1..])], None),
        (&[("group.instance.id", &long)], Some("group.instance.id")),
        (&[("group.instance.id", "")], Some("group.instance.id")),
        (&[("group.instance.id", ".")], Some("group.instance.id")),
        (&[("group.instance.id", "..")], Some("group.instance.id")),
        (&[("group.instance.id", "a b")], Some("group.instance.id")),
        (&[("group.remote.assignor", "uniform")], Some("group.remote.assignor")),
        (&[("group.remote.assignor", "uniform"), new], None),
        (&[new], None),
        (&[("session.timeout.ms", "3000")], Some("heartbeat.interval.ms")),
        (&[new, ("session.timeout.ms", "10000")], Some("session.timeout.ms")),
        (&[new, ("heartbeat.interval.ms", "1000")], Some("heartbeat.interval.ms")),
        (&[new, ("partition.assignment.strategy", "range")], Some("partition.assignment.strategy")),
        // Given as their defaults they are given.
        (&[new, ("session.timeout.ms", "45000")], Some("session.timeout.ms")),
        (&[new, ("heartbeat.interval.ms", "3000")], Some("heartbeat.interval.ms")),
        (&[new, ("partition.assignment.strategy", "range,cooperative-sticky")], Some("partition.assignment.strategy")),
    ];
    for (lines, key) in rows {
        assert_eq!(refused(lines.iter().copied(), false).as_deref(), *key, "{lines:?}");
    }
    let java =
        "org.apache.kafka.clients.consumer.RangeAssignor, org.apache.kafka.clients.consumer.CooperativeStickyAssignor";
    let by_class = ConsumerConfig::from_properties([("partition.assignment.strategy", java)]).unwrap();
    assert_eq!(by_class, ConsumerConfig::default());
}

#[test]
fn a_name_that_does_not_exist_is_told_what_was_meant() {
    let text = |result: Result<String>| result.unwrap_err().to_string();
    for (key, meant) in [
        ("bootstrap.server", "did you mean bootstrap.servers?"),
        ("request_timeout_ms", "did you mean request.timeout.ms?"),
        ("Client.Id", "did you mean client.id?"),
        ("metadata.max.age", "did you mean metadata.max.age.ms?"),
        ("colour", "there is no such setting in ClientConfig"),
        ("metric.reporters", "classes of the Java client"),
    ] {
        assert!(text(client(key, "1")).contains(meant), "{key}: {}", text(client(key, "1")));
    }
    assert!(text(producer("linger", "1")).contains("did you mean linger.ms?"));
    assert!(text(producer("ack", "1")).contains("did you mean acks?"));
    assert!(text(producer("group.id", "g")).contains("it is a setting of ConsumerConfig, not of ProducerConfig"));
    assert!(text(consumer("acks", "1")).contains("it is a setting of ProducerConfig, not of ConsumerConfig"));
    assert!(text(consumer("max.poll.record", "1")).contains("did you mean max.poll.records?"));
    // It may have been a password under a wrong name.
    assert!(!text(client("sasl.passwort", "hunter2")).contains("hunter2"));
}

#[test]
fn what_only_java_has_is_told_with_what_to_do_instead() {
    for (keys, part) in [
        (&["key.serializer", "interceptor.classes", "config.providers.file.class"][..], "classes of the Java client"),
        (&["ssl.protocol"], "ssl.enabled.protocols says which versions"),
        (&["ssl.provider"], "tls-aws-lc-rs"),
        (&["ssl.cipher.suites"], "the suites are rustls' own"),
        (
            &[
                "ssl.keymanager.algorithm",
                "ssl.trustmanager.algorithm",
                "ssl.secure.random.implementation",
                "ssl.engine.factory.class",
            ],
            "TLS of the Java client",
        ),
        (&["ssl.keystore.password", "ssl.truststore.password"], "it must be left out: PEM files have none"),
        (
            &[
                "sasl.login.class",
                "sasl.login.callback.handler.class",
                "sasl.login.connect.timeout.ms",
                "sasl.login.read.timeout.ms",
                "sasl.oauthbearer.token.endpoint.url",
                "sasl.oauthbearer.jwks.endpoint.url",
                "sasl.oauthbearer.client.credentials.client.secret",
            ],
            "implement TokenProvider",
        ),
        (&["sasl.client.callback.handler.class"], "SaslMechanism::Custom"),
        (&["sasl.kerberos.kinit.cmd", "sasl.kerberos.ticket.renew.jitter"], "Kerberos is not built in"),
    ] {
        for key in keys {
            let error = client(key, "hunter2").unwrap_err().to_string();
            assert!(error.contains(part) && !error.contains("no such setting"), "{key}: {error}");
            assert!(error.starts_with(key) && !error.contains("hunter2"), "{key}: {error}");
        }
    }
    assert!(client("sasl.kerberos.service.name", "kafka").is_ok());
}

#[test]
fn what_is_given_twice_is_refused_before_anything_is_connected_to() {
    let text = |lines: &[(&str, &str)]| {
        let all = lines.iter().copied().chain([("bootstrap.servers", "a:1"), ("security.protocol", "SSL")]);
        let error = ClientConfig::from_properties(all).unwrap().validate().err();
        error.map(|error| error.to_string())
    };
    let (location, certificates) = (("ssl.truststore.location", "/ca.pem"), ("ssl.truststore.certificates", "PEM"));
    let error = text(&[location, certificates]).unwrap();
    assert_eq!(
        error,
        "ssl.truststore.certificates = \"…\" is not valid: ssl.truststore.location gives the certificates to trust \
         already: leave one of the two out"
    );
    assert_eq!((text(&[location]), text(&[certificates])), (None, None));
    let location = ("ssl.keystore.location", "/alice.pem");
    for key in ["ssl.keystore.certificate.chain", "ssl.keystore.key"] {
        let error = text(&[location, (key, "hunter2")]).unwrap();
        assert!(error.starts_with(key) && error.contains("ssl.keystore.location gives"), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
    assert_eq!(text(&[location]), None);
    assert_eq!(text(&[("ssl.keystore.certificate.chain", "PEM"), ("ssl.keystore.key", "PEM")]), None);
}

#[test]
fn one_file_serves_the_client_and_its_producer() {
    let lines = [("bootstrap.servers", "a:1"), ("acks", "1"), ("client.id", "shop")];
    assert_eq!(ClientConfig::from_properties(lines).unwrap().client_id, "shop");
    assert_eq!(ProducerConfig::from_properties(lines).unwrap().acks, ottla_client::Acks::Leader);
}

/// The same rows in code: what is refused there too.
type InCode<C> = &'static [(&'static str, &'static [fn(&mut C)])];

/// Too long for a Java `long` of milliseconds.
const ENDLESS: Duration = Duration::MAX;

const CLIENT_IN_CODE: InCode<ClientConfig> = &[
    (
        "bootstrap.servers",
        &[
            |c| c.bootstrap_servers = vec![],
            |c| c.bootstrap_servers = vec!["a".to_owned()],
            |c| c.bootstrap_servers = vec!["a:1".to_owned(); 2],
        ],
    ),
    ("client.id", &[|c| c.client_id = "x".repeat(32_768)]),
    ("bootstrap.resolve.timeout.ms", &[|c| c.bootstrap_resolve_timeout = ENDLESS]),
    (
        "request.timeout.ms",
        &[|c| c.request_timeout = ENDLESS, |c| c.request_timeout = Duration::from_millis(2_147_483_648)],
    ),
    ("default.api.timeout.ms", &[|c| c.default_api_timeout = Duration::from_millis(2_147_483_648)]),
    ("retry.backoff.ms", &[|c| c.retry_backoff = ENDLESS]),
    ("retry.backoff.max.ms", &[|c| c.retry_backoff_max = ENDLESS]),
    ("reconnect.backoff.ms", &[|c| c.reconnect_backoff = ENDLESS]),
    ("reconnect.backoff.max.ms", &[|c| c.reconnect_backoff_max = ENDLESS]),
    ("socket.connection.setup.timeout.ms", &[|c| c.socket_connection_setup_timeout = ENDLESS]),
    ("socket.connection.setup.timeout.max.ms", &[|c| c.socket_connection_setup_timeout_max = ENDLESS]),
    ("connections.max.idle.ms", &[|c| c.connections_max_idle = Some(ENDLESS)]),
    ("metadata.max.age.ms", &[|c| c.metadata_max_age = ENDLESS]),
    (
        "metadata.max.idle.ms",
        &[|c| c.metadata_max_idle = Duration::from_millis(4999), |c| c.metadata_max_idle = ENDLESS],
    ),
    ("enable.metrics.push", &[|c| c.enable_metrics_push = true]),
    ("max.response.bytes", &[|c| c.max_response_bytes = 0, |c| c.max_response_bytes = 1 << 31]),
    ("send.buffer.bytes", &[|c| c.send_buffer_bytes = Some(1 << 31)]),
    ("receive.buffer.bytes", &[|c| c.receive_buffer_bytes = Some(1 << 31)]),
    ("metadata.recovery.rebootstrap.trigger.ms", &[|c| c.metadata_recovery_rebootstrap_trigger = ENDLESS]),
    ("ssl.enabled.protocols", &[|c| c.tls.ssl_enabled_protocols = vec![]]),
    ("sasl.kerberos.service.name", &[|c| c.sasl.sasl_kerberos_service_name = Some("kafka/host".to_owned())]),
    (
        "sasl.login.refresh.window.factor",
        &[
            |c| c.sasl.sasl_login_refresh_window_factor = 0.49,
            |c| c.sasl.sasl_login_refresh_window_factor = 1.01,
            |c| c.sasl.sasl_login_refresh_window_factor = f64::NAN,
        ],
    ),
    (
        "sasl.login.refresh.window.jitter",
        &[|c| c.sasl.sasl_login_refresh_window_jitter = -0.01, |c| c.sasl.sasl_login_refresh_window_jitter = 0.26],
    ),
    (
        "sasl.login.refresh.min.period.seconds",
        &[
            |c| c.sasl.sasl_login_refresh_min_period = Duration::from_secs(901),
            |c| c.sasl.sasl_login_refresh_min_period = Duration::from_millis(900_001),
        ],
    ),
    (
        "sasl.login.refresh.buffer.seconds",
        &[
            |c| c.sasl.sasl_login_refresh_buffer = Duration::from_secs(3601),
            |c| c.sasl.sasl_login_refresh_buffer = Duration::from_millis(3_600_001),
        ],
    ),
    ("sasl.login.retry.backoff.ms", &[|c| c.sasl.sasl_login_retry_backoff = ENDLESS]),
    ("sasl.login.retry.backoff.max.ms", &[|c| c.sasl.sasl_login_retry_backoff_max = ENDLESS]),
];

/// Whose type has no other values than the fine ones.
const CLIENT_BY_TYPE: &[&str] = &[
    "client.dns.lookup",
    "metadata.recovery.strategy",
    "metadata.cluster.check.enable",
    "security.protocol",
    "ssl.truststore.type",
    "ssl.keystore.type",
    "ssl.endpoint.identification.algorithm",
];

const PRODUCER_IN_CODE: InCode<ProducerConfig> = &[
    (
        "max.in.flight.requests.per.connection",
        &[
            |c| c.max_in_flight_requests_per_connection = 0,
            |c| c.max_in_flight_requests_per_connection = 6,
            |c| c.max_in_flight_requests_per_connection = 1 << 31,
        ],
    ),
    ("retries", &[|c| c.retries = 1 << 31]),
    ("linger.ms", &[|c| c.linger = ENDLESS]),
    ("batch.size", &[|c| c.batch_size = 1 << 31]),
    ("buffer.memory", &[|c| c.buffer_memory = usize::MAX]),
    ("max.block.ms", &[|c| c.max_block = ENDLESS]),
    ("max.request.size", &[|c| c.max_request_size = 1 << 31]),
    (
        "delivery.timeout.ms",
        &[
            |c| c.delivery_timeout = Duration::from_millis(30_004),
            |c| c.delivery_timeout = Duration::from_millis(2_147_483_648),
        ],
    ),
    ("partitioner.availability.timeout.ms", &[|c| c.partitioner_availability_timeout = ENDLESS]),
    ("transactional.id", &[|c| c.transactional_id = Some(String::new())]),
    (
        "transaction.timeout.ms",
        &[
            |c| c.transaction_timeout = Duration::ZERO,
            |c| c.transaction_timeout = Duration::from_micros(999),
            |c| c.transaction_timeout = Duration::from_millis(2_147_483_648),
        ],
    ),
    (
        "compression.gzip.level",
        &[
            |c| (c.compression_type, c.compression_level) = (Compression::Gzip, Some(0)),
            |c| (c.compression_type, c.compression_level) = (Compression::Gzip, Some(10)),
        ],
    ),
    (
        "compression.lz4.level",
        &[
            |c| (c.compression_type, c.compression_level) = (Compression::Lz4, Some(0)),
            |c| (c.compression_type, c.compression_level) = (Compression::Lz4, Some(18)),
        ],
    ),
    (
        "compression.zstd.level",
        &[
            |c| (c.compression_type, c.compression_level) = (Compression::Zstd, Some(-131_073)),
            |c| (c.compression_type, c.compression_level) = (Compression::Zstd, Some(23)),
        ],
    ),
];

const PRODUCER_BY_TYPE: &[&str] = &[
    "acks",
    "compression.type",
    "partitioner.class",
    "partitioner.ignore.keys",
    "partitioner.adaptive.partitioning.enable",
    "partitioner.rack.aware",
    "transaction.two.phase.commit.enable",
];

const CONSUMER_IN_CODE: InCode<ConsumerConfig> = &[
    ("group.id", &[|c| c.group_id = Some(String::new())]),
    ("group.instance.id", &[|c| c.group_instance_id = Some("a b".to_owned())]),
    (
        "partition.assignment.strategy",
        &[
            |c| c.partition_assignment_strategy = vec![],
            |c| c.partition_assignment_strategy = vec![PartitionAssignor::Range; 2],
        ],
    ),
    (
        "session.timeout.ms",
        &[|c| c.session_timeout = Duration::ZERO, |c| c.session_timeout = Duration::from_millis(2_147_483_648)],
    ),
    (
        "heartbeat.interval.ms",
        &[|c| c.heartbeat_interval = Duration::from_secs(45), |c| c.heartbeat_interval = ENDLESS],
    ),
    ("max.poll.interval.ms", &[|c| c.max_poll_interval = Duration::ZERO, |c| c.max_poll_interval = ENDLESS]),
    ("max.poll.records", &[|c| c.max_poll_records = 0, |c| c.max_poll_records = 1 << 31]),
    ("auto.commit.interval.ms", &[|c| c.auto_commit_interval = ENDLESS]),
    ("auto.offset.reset", &[|c| c.auto_offset_reset = AutoOffsetReset::ByDuration(ENDLESS)]),
    ("fetch.min.bytes", &[|c| c.fetch_min_bytes = 1 << 31]),
    ("fetch.max.wait.ms", &[|c| c.fetch_max_wait = Duration::from_secs(30), |c| c.fetch_max_wait = ENDLESS]),
    ("fetch.max.bytes", &[|c| c.fetch_max_bytes = 1 << 31]),
    ("max.partition.fetch.bytes", &[|c| c.max_partition_fetch_bytes = 1 << 31]),
    ("prefetch.memory.bytes", &[|c| c.prefetch_memory_bytes = 1_048_575, |c| c.prefetch_memory_bytes = usize::MAX]),
];

const CONSUMER_BY_TYPE: &[&str] =
    &["group.protocol", "isolation.level", "check.crcs", "exclude.internal.topics", "allow.auto.create.topics"];

const ADMIN_IN_CODE: InCode<AdminConfig> = &[
    ("bootstrap.controllers", &[|c| c.bootstrap_controllers = vec!["a".to_owned()]]),
    ("retries", &[|c| c.retries = 1 << 31]),
    ("connections.max.idle.ms", &[|c| c.connections_max_idle = Some(ENDLESS)]),
];

/// Every row of `file` that refuses something is in `table`, or in `by_type`; every value in `table` is refused.
fn walk_in_code<C: Default>(
    file: &[Row],
    table: InCode<C>,
    by_type: &[&str],
    validate: impl Fn(C, fn(&mut C)) -> Result<()>,
) {
    for (key, _, _, bad) in file {
        let (in_code, typed) = (table.iter().any(|(row, _)| row == key), by_type.contains(key));
        assert!(in_code || typed || bad.is_empty(), "{key} has a row in code as in a file");
        assert!(!(in_code && typed), "{key} has one of the two");
    }
    for (key, values) in table {
        for (i, bad) in values.iter().enumerate() {
            match validate(C::default(), *bad) {
                Err(Error::Config { key: named, .. }) => assert_eq!(named, *key, "{i}"),
                other => panic!("{key}, {i}: {other:?}"),
            }
        }
    }
}

#[test]
fn values_set_in_code_have_the_same_ranges() {
    let common = || ClientConfig::new("a:1");
    walk_in_code(CLIENT, CLIENT_IN_CODE, CLIENT_BY_TYPE, |_, bad| {
        let mut config = common();
        bad(&mut config);
        config.validate()
    });
    walk_in_code(PRODUCER, PRODUCER_IN_CODE, PRODUCER_BY_TYPE, |mut config, bad| {
        bad(&mut config);
        config.validate(REQUEST_TIMEOUT)
    });
    walk_in_code(CONSUMER, CONSUMER_IN_CODE, CONSUMER_BY_TYPE, |mut config, bad| {
        bad(&mut config);
        config.validate(&common())
    });
    walk_in_code(ADMIN, ADMIN_IN_CODE, &[], |mut config: AdminConfig, bad| {
        bad(&mut config);
        config.validate(&if config.bootstrap_controllers.is_empty() { common() } else { ClientConfig::new("") })
    });
    let mut config = common();
    config.request_timeout = ENDLESS;
    assert!(config.validate().unwrap_err().to_string().contains("it must be a number from 0 to 2147483647"));
    config = common();
    config.metadata_max_idle = Duration::from_secs(1);
    assert!(config.validate().unwrap_err().to_string().starts_with("metadata.max.idle.ms = \"1000\" is not valid"));
}

#[test]
fn only_the_first_reconnect_backoff_means_no_growth() {
    let config =
        ClientConfig::from_properties([("bootstrap.servers", "a:1"), ("reconnect.backoff.ms", "7000")]).unwrap();
    assert_eq!(config.reconnect_backoff_max, Duration::from_secs(7));
}

/// What is logged on the thread that made it.
#[derive(Clone)]
struct Lines(Arc<Mutex<Vec<u8>>>, ThreadId);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if std::thread::current().id() != self.1 {
            return Ok(bytes.len());
        }
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Lines {
    fn warnings(&self, about: &str) -> usize {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().filter(|line| line.contains("WARN") && line.contains(about)).count()
    }
}

/// One warning each, when a client or producer is made, and none for the defaults.
#[tokio::test]
async fn what_is_taken_otherwise_than_given_is_warned_of_once() {
    let lines = Lines(Arc::default(), std::thread::current().id());
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    // For the whole process: with one for a thread alone, another that comes first to a place may have it taken for one
    // where nobody listens.
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let broker = ottla_testkit::Broker::builder().start().await.unwrap();
    let connect = |config: ClientConfig| Client::connect(config);

    let quiet = connect(ClientConfig::new(&broker.bootstrap())).await.unwrap();
    let _producer = Producer::new(&quiet, ProducerConfig::default()).unwrap();
    assert_eq!(lines.warnings(""), 0);

    let mut config = ClientConfig::new(&broker.bootstrap());
    config.retry_backoff = Duration::from_secs(5);
    config.socket_connection_setup_timeout = Duration::from_secs(60);
    config.request_timeout = Duration::from_secs(200);
    let client = connect(config).await.unwrap();
    assert_eq!(lines.warnings("retry.backoff.ms is 5000 ms, above retry.backoff.max.ms"), 1);
    assert_eq!(lines.warnings("socket.connection.setup.timeout.ms is 60000 ms"), 1);

    let mut config = ProducerConfig::default();
    config.retries = 0;
    let _producer = Producer::new(&client, config).unwrap();
    assert_eq!(lines.warnings("enable.idempotence is off, because retries is 0"), 1);
    assert_eq!(lines.warnings("delivery.timeout.ms is raised to linger.ms + request.timeout.ms, 200005 ms"), 1);

    let only_first = [("bootstrap.servers", "a:1"), ("reconnect.backoff.ms", "7")];
    ClientConfig::from_properties(only_first).unwrap();
    assert_eq!(lines.warnings("reconnect.backoff.max.ms is not set"), 1);

    let mut config = ConsumerConfig::default();
    config.group_id = Some("g".into());
    config.max_poll_interval = Duration::from_secs(600);
    let _consumer = ottla_client::Consumer::new(&client, config).unwrap();
    assert_eq!(lines.warnings("below max.poll.interval.ms"), 1);
    assert_eq!(lines.warnings(""), 6);
}
