//! `cargo test` alone leaves out what needs Docker or a JVM: it says so here, and checks that `scripts/test` runs it.

use std::path::Path;

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let script = std::fs::read_to_string(root.join("scripts/test")).expect("scripts/test");
    let mut left_out = Vec::new();
    for package in ["protocol", "client", "connector", "testkit"] {
        let manifest = std::fs::read_to_string(root.join(package).join("Cargo.toml")).expect("a manifest");
        left_out.extend(tests_with_docker(&manifest).into_iter().map(|test| format!("{package}/{test}")));
    }
    assert!(!left_out.is_empty(), "the manifests name tests that need Docker");
    for test in &left_out {
        let name = test.rsplit('/').next().unwrap_or_default();
        assert!(script.contains(&format!("--test {name}")), "no layer of scripts/test runs {test}");
    }
    println!("left out by cargo test alone, run by scripts/test: fuzzing, instruction counts, and with Docker");
    println!("  {}", left_out.join(" "));
    println!("test left_out ... ok");
}

/// The names of `[[test]]` tables that ask for the feature `docker`.
fn tests_with_docker(manifest: &str) -> Vec<String> {
    let tables = manifest.split("[[test]]").skip(1).map(|table| table.split("\n[").next().unwrap_or_default());
    let with_docker = tables.filter(|table| table.contains("required-features = [\"docker\"]"));
    let name = |table: &str| {
        table.lines().find_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"').map(str::to_owned))
    };
    with_docker.map(|table| name(table).expect("a test has a name")).collect()
}
