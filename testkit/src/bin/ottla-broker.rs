//! The embedded broker on a port: `ottla-broker --nodes 3 --port 9092 --as-version 3.9 --topic orders:6`.

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use ottla_testkit::Broker;
use tracing_subscriber::EnvFilter;

const USAGE: &str = "\
usage: ottla-broker [OPTION VALUE | OPTION=VALUE]...

  --nodes N        number of brokers (1); node i listens on port P + i
  --port P         first port (9092); 0 takes free ports
  --as-version V   Kafka version to play, 0.11 to 4.1 (4.1)
  --topic NAME:N   create a topic with N partitions; may be repeated
  --partitions N   partitions of topics that are created without a number (4; Kafka's default is 1)
  --auto-create-topics true|false   create topics that clients name and that are not there (true)
  --authorizer true|false   let clients make ACLs; what no ACL names is open to everyone (true)
  --rebalance-delay-ms N    how long the first members of a group wait for others (300; Kafka's default is 3000)
  --sasl-user NAME:PASSWORD   clients must authenticate (PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, or OAUTHBEARER with an
                              unsecured JSON web token); may be repeated
  --sasl-session-ms N         clients must authenticate again within N milliseconds
  --tls-certificate FILE      speak TLS with this certificate chain (PEM)...
  --tls-key FILE              ...and this private key (PEM)
  --tls-client-authorities FILE   let in only clients with a certificate signed by one of these (PEM)

Listens on 127.0.0.1 only, keeps everything in memory, runs until ctrl-c. Prints a line `ready: ADDRESSES` when
clients may come; requests it refuses are warnings on standard error (RUST_LOG=debug says more).";

fn parse(mut args: impl Iterator<Item = String>) -> Result<Option<(u16, ottla_testkit::BrokerBuilder)>, String> {
    // Members that are started together shall join together, as from Kafka's defaults, but sooner. Suites of foreign clients
    // are made for topics of several partitions: librdkafka's for four.
    let mut builder = Broker::builder()
        .authorizer(true)
        .default_partitions(4)
        .group_initial_rebalance_delay(Duration::from_millis(300));
    let mut port = 9092;
    let (mut certificate, mut key) = (None, None);
    while let Some(arg) = args.next() {
        if matches!(arg.as_str(), "-h" | "--help") {
            return Ok(None);
        }
        let (arg, value) = match arg.split_once('=') {
            Some((arg, value)) => (arg.to_owned(), value.to_owned()),
            None => (arg.clone(), args.next().ok_or_else(|| format!("{arg} needs a value"))?),
        };
        let bad = |what: &str| format!("{arg} {value}: not {what}");
        match arg.as_str() {
            "--nodes" => builder = builder.nodes(positive(&value).ok_or_else(|| bad("a positive number"))?),
            "--port" => port = value.parse().map_err(|_| bad("a port"))?,
            "--as-version" => builder = builder.as_version(&value),
            "--topic" => {
                let (name, count) = value.rsplit_once(':').ok_or_else(|| bad("NAME:PARTITIONS"))?;
                builder = builder.topic(name, count.parse().map_err(|_| bad("NAME:PARTITIONS"))?);
            }
            "--partitions" => {
                builder = builder.default_partitions(positive(&value).ok_or_else(|| bad("a positive number"))?);
            }
            "--auto-create-topics" => {
                builder = builder.auto_create_topics(value.parse().map_err(|_| bad("true or false"))?);
            }
            "--authorizer" => builder = builder.authorizer(value.parse().map_err(|_| bad("true or false"))?),
            "--rebalance-delay-ms" => {
                let millis = value.parse().map_err(|_| bad("a number"))?;
                builder = builder.group_initial_rebalance_delay(Duration::from_millis(millis));
            }
            "--sasl-user" => {
                let (user, password) = value.split_once(':').ok_or_else(|| bad("NAME:PASSWORD"))?;
                builder = builder.sasl_user(user, password);
            }
            "--sasl-session-ms" => {
                let millis = value.parse().map_err(|_| bad("a number"))?;
                builder = builder.sasl_session_lifetime(Duration::from_millis(millis));
            }
            "--tls-certificate" => certificate = Some(read(&arg, &value)?),
            "--tls-key" => key = Some(read(&arg, &value)?),
            "--tls-client-authorities" => builder = builder.tls_client_authorities(&read(&arg, &value)?),
            _ => return Err(format!("unknown option {arg}")),
        }
    }
    match (certificate, key) {
        (Some(certificate), Some(key)) => builder = builder.tls(&certificate, &key),
        (None, None) => {}
        _ => return Err("--tls-certificate and --tls-key need each other".to_owned()),
    }
    Ok(Some((port, builder)))
}

fn positive(value: &str) -> Option<i32> {
    value.parse().ok().filter(|&number| number > 0)
}

fn read(option: &str, path: &str) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{option} {path}: {error}"))
}

#[tokio::main]
async fn main() -> ExitCode {
    let level = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(level).with_writer(std::io::stderr).init();
    let (port, builder) = match parse(std::env::args().skip(1)) {
        Ok(Some(parsed)) => parsed,
        Ok(None) => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(reason) => {
            eprintln!("ottla-broker: {reason}; --help lists the options");
            return ExitCode::from(2);
        }
    };
    let broker = match builder.start_on(port).await {
        Ok(broker) => broker,
        Err(error) => {
            let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
            eprintln!("ottla-broker: {error}{cause}");
            return ExitCode::FAILURE;
        }
    };
    println!("ready: {}", broker.bootstrap());
    // Nothing to clean up: the system ends the process on ctrl-c.
    std::future::pending().await
}
