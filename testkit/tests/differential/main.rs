//! The embedded broker against a real one: the same requests, the same error codes, ids and offsets.
//!
//! The scripts are in `scripts/*.txt`: `= name | values of $v`, then one request a line. Every value of `$v`, mostly an API
//! version, makes a sequence of its own. What answers differently is in [`known::DIFFERENCES`] with its reason.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests fail by panic")]

mod actor;
mod groups;
mod known;
mod records;
mod script;
mod topics;
mod transactions;
#[path = "../wire/mod.rs"]
mod wire;

use actor::Actor;
use ottla_testkit::Broker;
use ottla_testkit::kafka::Kafka;
use script::{Command, Script};

const SCRIPTS: [&str; 5] = [
    include_str!("scripts/topics.txt"),
    include_str!("scripts/records.txt"),
    include_str!("scripts/transactions.txt"),
    include_str!("scripts/groups.txt"),
    include_str!("scripts/consumer_groups.txt"),
];

/// What a broker answered to each line of each script.
async fn play(bootstrap: &str, scripts: &[Script]) -> Vec<Vec<String>> {
    // A real broker makes the topics of its coordinators when somebody looks for one.
    let mut first = Actor::new(bootstrap, scripts.len()).await;
    for command in ["coord x 1", "coord g 0", "init P txn=x"] {
        let answer = first.carry_out(&Command::parse(command)).await;
        assert!(answer.starts_with('0'), "{command}: {answer}");
    }
    let mut answers = Vec::new();
    for (index, script) in scripts.iter().enumerate() {
        let mut actor = Actor::new(bootstrap, index).await;
        let mut lines = Vec::new();
        for command in &script.commands {
            lines.push(actor.carry_out(command).await);
        }
        answers.push(lines);
    }
    answers
}

#[tokio::test]
async fn the_embedded_broker_answers_like_a_real_one() {
    let scripts: Vec<_> = SCRIPTS.into_iter().flat_map(script::parse).collect();
    assert!(scripts.len() >= 200, "only {} sequences", scripts.len());
    let requests: usize = scripts.iter().map(|script| script.commands.len()).sum();

    // Another version may be asked for, to look at; the list of differences is that of 4.0.2.
    let version = std::env::var("OTTLA_KAFKA").unwrap_or_else(|_| "4.0.2".to_owned());
    let played = if version.starts_with("4.0") { "4.0" } else { "4.1" };
    let real = Kafka::builder().version(&version).start().await.unwrap();
    let embedded = Broker::builder().as_version(played).start().await.unwrap();
    let (real, embedded) = (play(&real.bootstrap(), &scripts).await, play(&embedded.bootstrap(), &scripts).await);

    let mut unknown = Vec::new();
    let mut met = vec![0; known::DIFFERENCES.len()];
    for (script, (real, embedded)) in scripts.iter().zip(real.iter().zip(&embedded)) {
        for (command, (real, embedded)) in script.commands.iter().zip(real.iter().zip(embedded)) {
            if real == embedded {
                continue;
            }
            match known::DIFFERENCES.iter().position(|known| known.explains(&script.name, &command.text)) {
                Some(index) => met[index] += 1,
                None => unknown
                    .push(format!("{}: {}\n    real:     {real}\n    embedded: {embedded}", script.name, command.text)),
            }
        }
    }
    println!("{} sequences, {requests} requests, {} known differences met", scripts.len(), met.iter().sum::<usize>());
    assert!(unknown.is_empty(), "{} differences without a reason:\n{}", unknown.len(), unknown.join("\n"));
    for (known, met) in known::DIFFERENCES.iter().zip(met) {
        assert!(met > 0, "no difference any more: {} {}; take it off the list", known.script, known.command);
    }
}
