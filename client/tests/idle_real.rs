//! What a client costs that has nothing to do, on real brokers, in a release build: `performance.md` §2.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::path::PathBuf;
use std::process::Command;

use ottla_testkit::kafka::Kafka;

/// Three brokers, ten assigned partitions without records.
#[tokio::test]
async fn an_idle_client_costs_next_to_nothing() {
    let example = example();
    let kafka = Kafka::builder().nodes(3).start().await.unwrap();
    let bootstrap = kafka.bootstrap();
    let measure = move || measured(Command::new(&example).args(["--bootstrap", &bootstrap, "--partitions", "10"]));
    let cost = tokio::task::spawn_blocking(measure).await.unwrap();
    let cost = |key: &str| cost[key].as_f64().unwrap();
    // Three brokers answer a silent fetch after fetch.max.wait.ms each.
    let polls = cost("polls");
    assert!((4.0..8.0).contains(&polls), "every broker is fetched from, and no sooner than it has to: {polls}/s");
    // The bar is 0.1 %, and 0.07 was measured beside a busy neighbour; the rest is for slower machines.
    assert!(cost("cpu_percent") < 0.15);
    assert!(cost("wakeups") - polls < 10.0);
    assert!(cost("memory_mib") < 5.0);
}

/// What the example prints of its cost, at best of three: what else the machine does can only add to it.
fn measured(example: &mut Command) -> serde_json::Value {
    let once = |_| {
        let output = example.output().unwrap();
        let (printed, complaint) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        println!("{printed}");
        assert!(output.status.success(), "{complaint}");
        serde_json::from_str::<serde_json::Value>(printed.lines().last().unwrap()).unwrap()
    };
    let cpu = |cost: &serde_json::Value| cost["cpu_percent"].as_f64().unwrap();
    (0..3).map(once).min_by(|a, b| cpu(a).total_cmp(&cpu(b))).unwrap()
}

/// The release build of the example: the one that `IDLE_EXAMPLE` names, else built now.
fn example() -> PathBuf {
    if let Some(named) = std::env::var_os("IDLE_EXAMPLE") {
        return named.into();
    }
    let build = ["build", "-q", "--release", "-p", "ottla-client", "--example", "idle", "--message-format=json"];
    let output = Command::new(env!("CARGO")).args(build).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let printed = String::from_utf8_lossy(&output.stdout);
    let messages = printed.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let mut executables = messages.filter_map(|message| message["executable"].as_str().map(PathBuf::from));
    executables.next_back().expect("the example")
}
