//! Checks a history: `ottla-check history.jsonl`.

use std::process::ExitCode;

use ottla_testkit::checker::{check, parse};

const USAGE: &str = "\
usage: ottla-check HISTORY

Reads a history of what Kafka clients did and saw, one JSON object a line (see ottla_testkit::checker), and says what
must not be in it: lost writes, duplicates, aborted reads, inconsistent offsets, non-monotonic polls and sends, skipped
polls, torn transactions, lost commits. Ends with 0 when there is nothing, 1 when there is, 2 when it cannot be read.";

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let (Some(path), None) = (args.next(), args.next()) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    if matches!(path.as_str(), "-h" | "--help") {
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    let history = match std::fs::read_to_string(&path) {
        Ok(text) => parse(&text).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    match history.map(|history| check(&history)) {
        Ok(report) => {
            println!("{report}");
            if report.is_good() { ExitCode::SUCCESS } else { ExitCode::from(1) }
        }
        Err(reason) => {
            eprintln!("ottla-check: {path}: {reason}");
            ExitCode::from(2)
        }
    }
}
