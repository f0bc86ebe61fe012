use std::collections::BTreeMap;

use super::*;

const TEXT: &str = include_str!("../../testdata/error_table.txt");

const EVERYWHERE: [(Context, &str, usize); 20] = [
    (Context::Produce, "P", 3),
    (Context::TransactionalProduce, "T", 3),
    (Context::InitProducerId, "init", 4),
    (Context::AddPartitions, "add", 4),
    (Context::AddOffsets, "addoff", 4),
    (Context::TxnOffsetCommit, "toc", 4),
    (Context::Commit, "commit", 4),
    (Context::Abort, "abort", 4),
    (Context::FindTransactionCoordinator, "find", 4),
    (Context::Fetch, "F", 5),
    (Context::ListOffsets, "L", 6),
    (Context::OffsetCommit, "commit", 7),
    (Context::ConsumerOffsetCommit, "commit 848", 7),
    (Context::OffsetFetch, "fetch", 7),
    (Context::ConsumerOffsetFetch, "fetch 848", 7),
    (Context::JoinGroup, "join", 8),
    (Context::SyncGroup, "sync", 8),
    (Context::Heartbeat, "hb", 8),
    (Context::ConsumerGroupHeartbeat, "H", 9),
    (Context::Admin, "admin", usize::MAX),
];

fn letters(action: Action) -> &'static str {
    match action {
        Action::Retry => "R",
        Action::Refresh => "M",
        Action::FindCoordinator => "C",
        Action::Fail => "X",
        Action::Abort => "A",
        Action::Fatal => "F",
        Action::NewEpoch => "E",
        Action::RetryOrNewEpoch => "R/E",
        Action::RetryOrAbort => "R or A",
        Action::FailAndNewEpoch => "X+E",
        Action::Split => "S",
        Action::Written => "OK",
        Action::Reset => "Z",
        Action::NewSession => "N",
        Action::NoResult => "no result",
        Action::Rejoin => "J",
        Action::RejoinWithoutId => "J0",
        Action::RejoinWithGivenId => "Jid",
        Action::FailAndRejoin => "X+J",
        Action::FailAndRejoinWithoutId => "X+J0",
        Action::FailRetriablyAndRejoin => "X(retriable)+J",
        Action::Lost => "L",
        Action::RetryWithNewestEpoch => "R*",
        Action::RetryAndReport => "R+report",
    }
}

fn rows() -> impl Iterator<Item = Vec<&'static str>> {
    TEXT.lines().filter(|l| l.starts_with('|')).map(|l| l.trim_matches('|').split('|').collect()).map(
        |mut cells: Vec<_>| {
            // Trailing blanks were trimmed.
            cells.resize(10, "");
            cells
        },
    )
}

/// The codes outside of the table: their group, number, name and flags.
fn others() -> impl Iterator<Item = (&'static str, i16, &'static str, &'static str)> {
    TEXT.lines().filter(|l| !l.starts_with('|') && !l.starts_with('#')).map(|line| {
        let (group, rest) = line.split_once(": ").expect("a group");
        let mut words = rest.split(' ');
        let code = words.next().and_then(|w| w.parse().ok()).expect("a number");
        (group, code, words.next().expect("a name"), words.next().unwrap_or_default())
    })
}

/// What the cell says for this place; `None`: nothing.
fn expected(cells: &[&'static str], context: Context, name: &str, column: usize) -> Option<&'static str> {
    let cell = cells[column];
    let code: i16 = cells[0].parse().expect("a number");
    match (code, context) {
        // The notes under the table: 47 from a leader is abortable.
        (47, Context::TransactionalProduce) => return Some("A"),
        // "M?" and the like: the question mark is about certainty.
        _ if column == 3 => {
            let (plain, tx) = cell.split_once(" / ").unwrap_or((cell, cell));
            let cell = if context == Context::Produce { plain } else { tx };
            let cell = cell.trim_end_matches('?');
            return (!cell.is_empty() && cell != "-").then_some(cell);
        }
        _ => {}
    }
    let cell = if cell == "R, C" { "C" } else { cell };
    let mut default = None;
    for part in cell.split(" · ").flat_map(|part| part.split("; ")) {
        let (place, action) = match part.split_once(' ') {
            Some((
                place @ ("init" | "add" | "addoff" | "toc" | "find" | "other" | "commit" | "fetch" | "join" | "sync"
                | "hb"),
                a,
            )) => (place, a),
            _ => ("", part),
        };
        let action = action.trim_start_matches("v6 ").trim_start_matches("v9+ ").trim_start_matches("→ ");
        match (code, place, context) {
            (3, "fetch", Context::OffsetFetch) => return Some("X"),
            (3, "fetch", Context::ConsumerOffsetFetch) => return Some("R"),
            (25, "commit", Context::ConsumerOffsetCommit) => return Some("X"),
            (120, "", Context::Abort) => return Some("F"),
            _ => {}
        }
        let action = match action.split_once(" (") {
            Some((before, _)) => before,
            None => action,
        };
        // "toc F→A": Java, and ours.
        let action = action.split_once('→').map_or(action, |(_, ours)| ours);
        if !place.is_empty() && place == name.trim_end_matches(" 848") {
            return Some(action);
        }
        if (place.is_empty() || place == "other") && !action.is_empty() {
            default = Some(action);
        }
    }
    default
}

fn blank(context: Context, column: usize) -> &'static str {
    match column {
        3 if context == Context::TransactionalProduce => "A",
        3 | 5 | 7 => "X",
        4 | 8 | 9 => "F",
        _ => "M",
    }
}

#[test]
fn every_cell_of_the_table_is_what_the_machines_are_told() {
    let mut cells = 0;
    let mut wrong = Vec::new();
    for row in rows() {
        let code = ErrorCode::from(row[0].parse::<i16>().expect("a number"));
        assert_eq!(code.name(), row[1]);
        for (context, name, column) in EVERYWHERE.into_iter().filter(|(_, _, column)| *column < 10) {
            let told = letters(action(code, context));
            let mut wanted = expected(&row, context, name, column).unwrap_or_else(|| blank(context, column));
            if context == Context::TransactionalProduce && wanted == "X" {
                wanted = "A";
            }
            cells += 1;
            if told != wanted {
                wrong.push(format!("{code} in {context:?}: {told}, and the table says {wanted}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(cells, 68 * 19);
}

#[test]
fn the_flags_of_every_code_are_those_of_the_table() {
    let in_rows = rows().map(|row| (row[0].parse::<i16>().expect("a number"), row[1], row[2]));
    let all = in_rows.chain(others().map(|(_, code, name, flags)| (code, name, flags)));
    let all: BTreeMap<i16, _> = all.map(|(code, name, flags)| (code, (name, flags))).collect();
    for &code in ErrorCode::ALL {
        let (name, letters) = all.get(&code.code()).unwrap_or_else(|| panic!("{code} is not in the table"));
        assert_eq!(code.name(), *name);
        let wanted = Flags {
            retriable: !letters.is_empty(),
            metadata: letters.contains('M'),
            coordinator: letters.contains('C'),
        };
        assert_eq!(flags(code), wanted, "{code}");
    }
    assert_eq!(all.len(), ErrorCode::ALL.len());
    assert_eq!(flags(ErrorCode::Unknown(999)), NONE);
}

#[test]
fn what_the_table_does_not_name_follows_the_rule_of_the_place() {
    let strangers = others().map(|(_, code, _, _)| ErrorCode::from(code)).chain([ErrorCode::Unknown(999)]);
    for code in strangers {
        for (context, _, column) in EVERYWHERE.into_iter().filter(|(_, _, column)| *column < 10) {
            assert_eq!(letters(action(code, context)), blank(context, column), "{code} in {context:?}");
        }
    }
}

#[test]
fn admin_calls_find_the_controller_again_wait_out_quotas_and_take_elections_as_they_are() {
    let tell = |code: i16| letters(action(ErrorCode::from(code), Context::Admin));
    for (code, wanted) in [(11, "M"), (41, "M"), (89, "R"), (80, "X"), (83, "X"), (84, "X"), (60, "X")] {
        assert_eq!(tell(code), wanted, "{code}");
    }
    for (group, code, _, flags) in others() {
        let wanted = match (group, flags) {
            ("admin, per item error" | "brokers and controllers only" | "streams groups" | "telemetry", _) => "X",
            ("share groups", "R") => "R",
            ("share groups", _) => "X",
            _ => continue,
        };
        assert_eq!(tell(code), wanted, "{code}");
    }
    for (code, wanted) in [(14, "R"), (15, "C"), (16, "C"), (6, "M"), (3, "M"), (7, "R"), (29, "X"), (36, "X")] {
        assert_eq!(tell(code), wanted, "{code}");
    }
}

#[test]
fn the_question_marks_are_the_refusals_that_leave_it_open() {
    for row in rows() {
        let code = ErrorCode::from(row[0].parse::<i16>().expect("a number"));
        if row[3].split(" / ").next().is_some_and(|c| c.ends_with('?')) {
            assert!(is_possibly_written(code, true), "{code}");
        }
    }
    for code in [2, 10, 17, 18, 19, 21, 29, 31, 32, 35, 43, 45, 47, 48, 49, 51, 53, 59, 74, 76, 87, 90, 100, 120] {
        assert!(!is_possibly_written(code.into(), true), "{code}");
    }
    for code in [3, 6] {
        assert!(is_possibly_written(code.into(), true) && !is_possibly_written(code.into(), false), "{code}");
    }
    for code in [-1, 7, 13, 20, 56, 999] {
        assert!(is_possibly_written(code.into(), false), "{code}");
    }
}
