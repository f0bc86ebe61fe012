//! Only the files named here do I/O; every other file is a machine: no task, no socket, no clock (`DESIGN.md`).
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The drivers, by their paths under `src`.
const DRIVERS: [&str; 43] = [
    "admin/acls.rs",
    "admin/brokers.rs",
    "admin/call.rs",
    "admin/cluster.rs",
    "admin/configs.rs",
    "admin/connect.rs",
    "admin/delegation_tokens.rs",
    "admin/elections.rs",
    "admin/end_marker.rs",
    "admin/features.rs",
    "admin/group_offsets.rs",
    "admin/groups.rs",
    "admin/log_dirs.rs",
    "admin/offsets.rs",
    "admin/partitions.rs",
    "admin/producers.rs",
    "admin/quotas.rs",
    "admin/raft_voters.rs",
    "admin/reassignments.rs",
    "admin/records.rs",
    "admin/scram.rs",
    "admin/share_groups.rs",
    "admin/streams_groups.rs",
    "admin/topics.rs",
    "admin/transactions.rs",
    "client.rs",
    "client/bootstrap.rs",
    "client/controllers.rs",
    "client/upkeep.rs",
    "clock.rs",
    "consumer/fetcher.rs",
    "consumer/mod.rs",
    "network/connection.rs",
    "network/dial.rs",
    "network/login.rs",
    "network/open.rs",
    "network/pool.rs",
    "network/task.rs",
    "producer/control.rs",
    "producer/mod.rs",
    "producer/resume.rs",
    "producer/sender.rs",
    "producer/transactional.rs",
];

const FORBIDDEN: [&str; 6] = ["tokio", "async ", ".await", "Instant::now", "SystemTime::now", "fastrand::Rng::new()"];

fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).expect("a source folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// The code of a file: no comments, no tests.
fn code(text: &str) -> String {
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    code.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

#[test]
fn only_drivers_do_io() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    assert!(files.len() > 20, "the sources were found");
    let drivers: BTreeSet<_> = DRIVERS.into_iter().collect();
    let mut breaches = Vec::new();
    for file in files {
        let name = file.strip_prefix(&root).expect("below src").to_string_lossy().replace('\\', "/");
        if drivers.contains(name.as_str()) || name.ends_with("_tests.rs") {
            continue;
        }
        let code = code(&std::fs::read_to_string(&file).expect("a source file"));
        breaches.extend(FORBIDDEN.iter().filter(|word| code.contains(**word)).map(|word| format!("{name}: {word}")));
    }
    assert!(breaches.is_empty(), "machines must not do I/O, or DRIVERS must name them: {breaches:#?}");
}

#[test]
fn files_are_small_enough_for_one_sitting() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a source file");
        let lines = text.split("#[cfg(test)]").next().map_or(0, |code| code.lines().count());
        assert!(lines <= 600, "{} has {lines} lines of code", file.display());
    }
}
