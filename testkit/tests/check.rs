//! The program `ottla-check`, as it is called from a shell.
#![allow(clippy::unwrap_used, reason = "tests fail by panic")]

use std::process::{Command, Output};

fn check(history: &str) -> Output {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), history).unwrap();
    Command::new(env!("CARGO_BIN_EXE_ottla-check")).arg(file.path()).output().unwrap()
}

#[test]
fn ends_with_0_1_or_2_and_says_why() {
    let sent = r#"{"process":"p","event":"send","topic":"t","partition":0,"offset":0,"value":1,"outcome":"ok"}"#;
    let read = r#"{"process":"r","event":"poll","records":[{"topic":"t","partition":0,"offset":0,"value":1}]}"#;
    let good = check(&format!("{sent}\n{read}\n"));
    assert_eq!(good.status.code(), Some(0));
    assert!(String::from_utf8(good.stdout).unwrap().starts_with("2 events, 1 records sent, 1 read\ngood: "));

    let end = r#"{"process":"r","event":"read_to_end","topic":"t","partition":0,"offset":1}"#;
    let bad = check(&format!("{sent}\n{end}\n"));
    assert_eq!(bad.status.code(), Some(1));
    let report = String::from_utf8(bad.stdout).unwrap();
    assert!(report.contains("lost write: 1 was acknowledged at t-0@0; the partition was read past that"), "{report}");
    assert!(report.ends_with("bad: 1 × lost write\n"), "{report}");

    let none = check("hello\n");
    assert_eq!(none.status.code(), Some(2));
    assert!(String::from_utf8(none.stderr).unwrap().contains("line 1 of the history cannot be read"));
}
