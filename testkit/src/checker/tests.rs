//! Each anomaly is found in a bad history and not in the good one it was made from.

use super::{Entry, Recorder, check, parse};

/// Two producers, one with transactions; two readers; a group. Everything went well.
const GOOD: &str = r#"
{"process":"p","event":"send","topic":"t","partition":0,"offset":0,"value":1,"outcome":"ok"}
{"process":"p","event":"send","topic":"t","partition":0,"offset":1,"value":2,"outcome":"ok"}
{"process":"p","event":"send","topic":"t","partition":0,"value":3,"outcome":"unknown"}
{"process":"p","event":"send","topic":"t","value":4,"outcome":"failed"}
{"process":"q","event":"send","topic":"t","partition":0,"offset":3,"value":5,"outcome":"ok","transaction":"one"}
{"process":"q","event":"send","topic":"t","partition":1,"offset":0,"value":6,"outcome":"ok","transaction":"one"}
{"process":"q","event":"end_transaction","transaction":"one","outcome":"ok"}
{"process":"q","event":"send","topic":"t","partition":0,"offset":5,"value":7,"outcome":"ok","transaction":"two"}
{"process":"q","event":"end_transaction","transaction":"two","outcome":"failed"}
{"process":"p","event":"send","topic":"t","partition":0,"offset":7,"value":8,"outcome":"ok"}
{"process":"r","event":"poll","records":[{"topic":"t","partition":0,"offset":0,"value":1},{"topic":"t","partition":0,"offset":1,"value":2}]}
{"process":"r","event":"commit","group":"g","offsets":[{"topic":"t","partition":0,"offset":2}],"outcome":"ok"}
{"process":"r","event":"commit","group":"g","offsets":[{"topic":"t","partition":0,"offset":1}],"outcome":"unknown"}
{"process":"s","event":"resume","group":"g","position":{"topic":"t","partition":0,"offset":2}}
{"process":"s","event":"poll","records":[{"topic":"t","partition":0,"offset":2,"value":3},{"topic":"t","partition":0,"offset":3,"value":5}]}
{"process":"s","event":"poll","records":[{"topic":"t","partition":1,"offset":0,"value":6},{"topic":"t","partition":0,"offset":7,"value":8}]}
{"process":"u","event":"poll","uncommitted":true,"records":[{"topic":"t","partition":0,"offset":3,"value":5},{"topic":"t","partition":0,"offset":5,"value":7}]}
{"process":"r","event":"assign"}
{"process":"r","event":"poll","records":[{"topic":"t","partition":0,"offset":0,"value":1}]}
{"process":"s","event":"read_to_end","topic":"t","partition":0,"offset":8}
"#;

fn good() -> Vec<Entry> {
    parse(GOOD).unwrap()
}

/// The names of what is found when a line is replaced.
fn changed(line: &str, by: &str) -> Vec<&'static str> {
    assert!(GOOD.contains(line), "no such line: {line}");
    found(&GOOD.replacen(line, by, 1))
}

fn found(history: &str) -> Vec<&'static str> {
    let report = check(&parse(history).unwrap());
    report.anomalies().iter().map(super::Anomaly::name).collect()
}

fn with(line: &str) -> Vec<&'static str> {
    found(&format!("{GOOD}{line}\n"))
}

#[test]
fn a_good_history_is_good() {
    let report = check(&good());
    assert!(report.is_good(), "{report}");
    assert_eq!(report.to_string().lines().last(), Some("good: nothing was lost, doubled, torn or out of order"));
}

#[test]
fn lost_write() {
    let lost = r#"{"process":"p","event":"send","topic":"t","partition":0,"offset":6,"value":9,"outcome":"ok"}"#;
    let history = GOOD.replacen(
        r#"{"process":"r","event":"poll""#,
        &format!("{lost}\n{}", r#"{"process":"r","event":"poll""#),
        1,
    );
    // p sends 9 after 8 here, and at a lower offset; s passes over it: three views of one thing.
    assert_eq!(found(&history), ["lost write", "non-monotonic send", "skipped poll"]);
}

#[test]
fn a_record_that_was_not_reached_is_not_lost() {
    let late = r#"{"process":"z","event":"send","topic":"t","partition":0,"offset":8,"value":9,"outcome":"ok"}"#;
    assert!(with(late).is_empty());
    let read = r#"{"process":"s","event":"read_to_end","topic":"t","partition":0,"offset":9}"#;
    assert_eq!(with(&format!("{late}\n{read}")), ["lost write"]);
}

#[test]
fn duplicate() {
    let again = r#"{"process":"v","event":"poll","records":[{"topic":"t","partition":1,"offset":9,"value":1}]}"#;
    assert_eq!(with(again), ["duplicate"]);
}

#[test]
fn aborted_read() {
    let aborted = r#"{"process":"v","event":"poll","records":[{"topic":"t","partition":0,"offset":5,"value":7}]}"#;
    // Who read on from 3 to 7 then passed over a record: it can only be wrong for one of them.
    assert_eq!(with(aborted), ["aborted read", "skipped poll"]);
    let failed = r#"{"process":"v","event":"poll","records":[{"topic":"t","partition":1,"offset":5,"value":4}]}"#;
    assert_eq!(with(failed), ["aborted read"]);
}

#[test]
fn inconsistent_offsets() {
    let other = r#"{"process":"v","event":"poll","records":[{"topic":"t","partition":0,"offset":0,"value":77}]}"#;
    assert_eq!(with(other), ["inconsistent offsets"]);
}

#[test]
fn non_monotonic_poll() {
    let back = r#"{"process":"s","event":"poll","records":[{"topic":"t","partition":0,"offset":3,"value":5}]}"#;
    assert_eq!(with(back), ["non-monotonic poll"]);
    let twice = r#"{"process":"s","event":"poll","records":[{"topic":"t","partition":0,"offset":7,"value":8}]}"#;
    assert_eq!(with(twice), ["non-monotonic poll"]);
    let assigned = format!("{}\n{back}", r#"{"process":"s","event":"assign"}"#);
    assert!(with(&assigned).is_empty(), "an assignment may go back");
}

#[test]
fn non_monotonic_send() {
    let sent = r#"{"process":"q","event":"send","topic":"t","partition":1,"offset":0,"value":6,"outcome":"ok","transaction":"one"}"#;
    let earlier = r#"{"process":"q","event":"send","topic":"t","partition":1,"offset":4,"value":10,"outcome":"ok","transaction":"two"}"#;
    assert_eq!(changed(sent, &format!("{earlier}\n{sent}")), ["non-monotonic send"]);
}

#[test]
fn skipped_poll() {
    let whole =
        r#"[{"topic":"t","partition":0,"offset":2,"value":3},{"topic":"t","partition":0,"offset":3,"value":5}]"#;
    let jump = r#"[{"topic":"t","partition":0,"offset":2,"value":3}]"#;
    let seen = r#"{"process":"v","event":"poll","records":[{"topic":"t","partition":0,"offset":3,"value":5}]}"#;
    let history = format!("{}{seen}\n", GOOD.replacen(whole, jump, 1));
    assert_eq!(found(&history), ["skipped poll"], "another reader saw it");
}

#[test]
fn torn_transaction() {
    let end = r#"{"process":"q","event":"end_transaction","transaction":"one","outcome":"ok"}"#;
    let unknown = r#"{"process":"q","event":"end_transaction","transaction":"one","outcome":"unknown"}"#;
    let read = r#"[{"topic":"t","partition":1,"offset":0,"value":6},"#;
    assert!(changed(end, unknown).is_empty(), "whole, whatever its client knows");
    let history = GOOD.replacen(end, unknown, 1).replacen(read, "[", 1);
    let history =
        format!("{history}{}\n", r#"{"process":"s","event":"read_to_end","topic":"t","partition":1,"offset":1}"#);
    assert_eq!(found(&history), ["torn transaction"]);
}

#[test]
fn lost_commit() {
    let none = r#"{"process":"w","event":"resume","group":"g","position":{"topic":"t","partition":0,"offset":-1}}"#;
    assert_eq!(with(none), ["lost commit"]);
    let late = r#"{"process":"w","event":"resume","group":"g","position":{"topic":"t","partition":0,"offset":1}}"#;
    assert!(with(late).is_empty(), "a commit of unknown outcome may come late");
    let other = r#"{"process":"w","event":"resume","group":"h","position":{"topic":"t","partition":0,"offset":-1}}"#;
    assert!(with(other).is_empty(), "another group");
}

#[test]
fn a_line_that_is_none_is_named() {
    let error =
        parse("\n{\"process\":\"p\",\"event\":\"assign\"}\n{\"process\":\"p\",\"event\":\"dance\"}").unwrap_err();
    assert!(error.to_string().starts_with("line 3 of the history cannot be read: unknown variant `dance`"), "{error}");
}

#[test]
fn what_is_recorded_is_read_back() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let recorder = Recorder::create(file.path()).unwrap();
    for entry in good() {
        recorder.record(&entry.process, entry.event).unwrap();
    }
    assert_eq!(parse(&std::fs::read_to_string(file.path()).unwrap()).unwrap(), good());
}
