//! Every declared message, in every version, against Kafka's own message schemas (tests/schemas, from Kafka 3.9 and 4.4).
mod common;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use common::Message;
use ottla_protocol::consumer_protocol::{ConsumerProtocolAssignment, ConsumerProtocolSubscription};
use ottla_protocol::schema::{Field, Struct, Type};
use ottla_protocol::{ApiKey, Version};
use serde_json::Value;

/// The APIs and versions that a client of brokers 0.10.0 to 4.4 needs: key, first version, last version, first flexible
/// version.
const TABLE: &[(i16, i16, i16, Option<i16>)] = &[
    (0, 0, 13, Some(9)),
    (1, 0, 18, Some(12)),
    (2, 0, 11, Some(6)),
    (3, 0, 13, Some(9)),
    (8, 0, 10, Some(8)),
    (9, 0, 10, Some(6)),
    (10, 0, 6, Some(3)),
    (11, 0, 9, Some(6)),
    (12, 0, 4, Some(4)),
    (13, 0, 5, Some(4)),
    (14, 0, 5, Some(4)),
    (15, 0, 6, Some(5)),
    (16, 0, 5, Some(3)),
    (17, 0, 1, None),
    (18, 0, 5, Some(3)),
    (19, 0, 7, Some(5)),
    (20, 0, 6, Some(4)),
    (21, 0, 2, Some(2)),
    (22, 0, INIT_PRODUCER_ID, Some(2)),
    (23, 0, 4, Some(4)),
    (24, 0, 3, Some(3)),
    (25, 0, 4, Some(3)),
    (26, 0, 5, Some(3)),
    (27, 0, 2, Some(1)),
    (28, 0, 6, Some(3)),
    (29, 0, 3, Some(2)),
    (30, 0, 3, Some(2)),
    (31, 0, 3, Some(2)),
    (32, 0, 4, Some(4)),
    (33, 0, 2, Some(2)),
    (34, 0, 2, Some(2)),
    (35, 0, 5, Some(2)),
    (36, 0, 2, Some(2)),
    (37, 0, 3, Some(2)),
    (38, 0, 3, Some(2)),
    (39, 0, 2, Some(2)),
    (40, 0, 2, Some(2)),
    (41, 0, 3, Some(2)),
    (42, 0, 3, Some(2)),
    (43, 0, 2, Some(2)),
    (44, 0, 1, Some(1)),
    (45, 0, 1, Some(0)),
    (46, 0, 0, Some(0)),
    (47, 0, 0, None),
    (48, 0, 1, Some(1)),
    (49, 0, 1, Some(1)),
    (50, 0, 0, Some(0)),
    (51, 0, 0, Some(0)),
    (55, 0, 2, Some(0)),
    (57, 0, 2, Some(0)),
    (60, 0, 2, Some(0)),
    (61, 0, 0, Some(0)),
    (65, 0, 0, Some(0)),
    (66, 0, 2, Some(0)),
    (68, 0, 1, Some(0)),
    (69, 0, 1, Some(0)),
    (71, 0, 0, Some(0)),
    (72, 0, 0, Some(0)),
    (74, 0, 1, Some(0)),
    (75, 0, 0, Some(0)),
    (76, 1, 1, Some(0)),
    (77, 1, 1, Some(0)),
    (78, 1, 2, Some(0)),
    (79, 1, 2, Some(0)),
    (90, 0, 1, Some(0)),
    (91, 0, 0, Some(0)),
    (92, 0, 0, Some(0)),
];

/// 6 is two-phase commit (KIP-939), which brokers have not finished.
const INIT_PRODUCER_ID: i16 = if cfg!(feature = "unstable-kip939") { 6 } else { 5 };

/// Where Ottla stops before Kafka does.
const CAPS: &[(&str, i16, &str)] = &[
    ("AddPartitionsToTxn", 3, "4 and later are spoken between brokers (KIP-890)"),
    ("InitProducerId", INIT_PRODUCER_ID, "6 is unstable: two-phase commit (KIP-939)"),
];

/// Where Ottla begins after Kafka did.
const FLOORS: &[(&str, i16, &str)] = &[
    ("ShareGroupHeartbeat", 1, "0 was early access, in 4.0 alone"),
    ("ShareGroupDescribe", 1, "0 was early access, in 4.0 alone"),
    ("ShareFetch", 1, "0 was early access, in 4.0 alone"),
    ("ShareAcknowledge", 1, "0 was early access, in 4.0 alone"),
];

#[test]
fn the_apis_of_the_table_are_declared_in_its_versions() {
    let apis = common::apis();
    for &(key, min, max, flexible) in TABLE {
        let api = apis.iter().find(|api| api.key.code() == key).unwrap_or_else(|| panic!("API {key} is missing"));
        assert!(api.min <= min && api.max == max, "{}: {}-{}, not {min}-{max}", api.key, api.min, api.max);
        assert_eq!(api.flexible_from, flexible.unwrap_or(i16::MAX), "{}", api.key);
        assert_eq!(api.flexible_from, api.key.flexible_from(), "{}: ApiKey and Request differ", api.key);
    }
}

#[test]
fn versions_are_those_of_the_schemas_but_for_the_caps() {
    let schemas = Schemas::load();
    for api in common::apis() {
        let cap = CAPS.iter().find(|(name, ..)| *name == api.key.name()).map_or(99, |(_, cap, _)| *cap);
        let floor = FLOORS.iter().find(|(name, ..)| *name == api.key.name()).map_or(0, |(_, floor, _)| *floor);
        for direction in ["request", "response"] {
            let known: Vec<i16> =
                (floor..=cap).filter(|v| schemas.find(api.key.code(), direction, *v).is_some()).collect();
            assert_eq!((api.min..=api.max).collect::<Vec<_>>(), known, "{} {direction}", api.key);
        }
    }
}

#[test]
fn every_message_is_as_the_schemas_say() {
    let schemas = Schemas::load();
    let (mut checked, mut fields, mut wrong) = (0, 0, Vec::new());
    let apis = common::apis();
    for api in &apis {
        // Versions over a cap are checked, too: they are declared, and only not asked for.
        for number in 0..99 {
            let version = Version { number, flexible: number >= api.flexible_from };
            for (message, direction) in [(api.request, "request"), (api.response, "response")] {
                let Some(schema) = schemas.find(api.key.code(), direction, number) else { continue };
                checked += 1;
                fields += compare(message, version, schema, &mut wrong);
            }
        }
    }
    wrong.dedup();
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
    let in_table: usize = TABLE.iter().map(|(_, min, max, _)| 2 * (max - min + 1) as usize).sum();
    assert_eq!(apis.len(), ApiKey::ALL.len(), "an API is declared that no test has");
    assert!(apis.len() >= TABLE.len() && checked >= in_table && fields > 4000, "too little was checked: {in_table}");
    let skipped: usize = apis.iter().map(|api| api.versions().count() * 2).sum::<usize>().saturating_sub(checked);
    // Past what the test harness keeps to itself: this is to be seen.
    let count = format!("{} APIs, {checked} messages (API × version × direction), {fields} fields checked", apis.len());
    writeln!(std::io::stderr(), "{count}, {skipped} skipped").expect("standard error is open");
    assert_eq!(skipped, 0, "a declared version has no schema");
}

#[test]
fn what_group_members_hand_each_other_is_as_the_schemas_say() {
    let schemas = Schemas::load();
    let (mut fields, mut wrong) = (0, Vec::new());
    for message in [Message::of::<ConsumerProtocolSubscription>(), Message::of::<ConsumerProtocolAssignment>()] {
        let schema = schemas.0.iter().find(|schema| schema.json["name"] == message.name).expect("there is a schema");
        for number in 0..4 {
            fields += compare(message, Version { number, flexible: false }, schema, &mut wrong);
        }
    }
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(fields, 36);
}

/// Compares one message in one version, and returns the number of fields compared.
fn compare(message: Message, version: Version, schema: &Schema, wrong: &mut Vec<String>) -> usize {
    let Type::Struct(part) = message.kind else { panic!("a message is a struct") };
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    flatten_ours(part, version, "", &mut ours);
    schema.flatten(&schema.json["fields"], version.number, "", &mut theirs);
    if range(&schema.json["flexibleVersions"]).contains(version.number) != version.flexible {
        wrong.push(format!("{} v{}: flexible is {}", message.name, version.number, version.flexible));
    }
    for (ours, theirs) in ours.iter().zip(&mut theirs) {
        if !schema.newest {
            // Some fields became ignorable when later versions came to lack them.
            theirs.ignorable = ours.ignorable;
        }
        if *ours != *theirs {
            wrong.push(format!("{} v{}: {ours:?}, but the schema has {theirs:?}", message.name, version.number));
            return 0;
        }
    }
    for extra in ours.iter().skip(theirs.len()) {
        wrong.push(format!("{} v{}: {extra:?} is not in the schema", message.name, version.number));
    }
    for missing in theirs.iter().skip(ours.len()) {
        wrong.push(format!("{} v{}: {missing:?} is missing", message.name, version.number));
    }
    theirs.len()
}

/// A field in one version, as either side sees it.
#[derive(Debug, PartialEq)]
struct Seen {
    path: String,
    kind: String,
    nullable: bool,
    tag: Option<u32>,
    default: String,
    ignorable: bool,
}

fn flatten_ours(part: &Struct, version: Version, path: &str, out: &mut Vec<Seen>) {
    for field in part.fields.iter().filter(|field| field.versions.contains(version.number)) {
        let path = format!("{path}.{}", field.name);
        out.push(Seen {
            path: path.clone(),
            kind: kind(&field.kind),
            nullable: field.nullable.is_some_and(|versions| versions.contains(version.number)),
            tag: field.tag,
            default: our_default(field),
            ignorable: field.ignorable,
        });
        if let Type::Struct(part) | Type::Array(&Type::Struct(part)) = field.kind {
            flatten_ours(part, version, &path, out);
        }
    }
}

fn kind(kind: &Type) -> String {
    match kind {
        Type::Array(item) => format!("[]{}", self::kind(item)),
        Type::Struct(_) => "struct".to_owned(),
        other => format!("{other:?}").to_lowercase(),
    }
}

fn our_default(field: &Field) -> String {
    match field.default {
        Some("Some(Default::default())") => zero(&kind(&field.kind)).to_owned(),
        Some("i32::MAX") => i32::MAX.to_string(),
        Some("i64::MAX") => i64::MAX.to_string(),
        Some(text) if text.starts_with("Some(") => {
            text.trim_start_matches("Some(").trim_end_matches(".into())").trim_matches('"').to_owned()
        }
        Some(text) => text.trim_end_matches(".into()").trim_matches('"').replace([' ', '_'], ""),
        None if field.nullable.is_some() => "null".to_owned(),
        None => zero(&kind(&field.kind)).to_owned(),
    }
}

fn zero(kind: &str) -> &'static str {
    match kind {
        "bool" => "false",
        // As in Kafka's generator: there is no such thing as empty records.
        "records" => "null",
        "float64" => "0.0",
        _ if kind.contains("int") && !kind.starts_with("[]") => "0",
        _ => "",
    }
}

struct Schemas(Vec<Schema>);

struct Schema {
    json: Value,
    common: BTreeMap<String, Value>,
    /// From the newest set.
    newest: bool,
}

impl Schemas {
    /// Newest first: where the two differ in a name, the newest's is right.
    fn load() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/schemas");
        let read = |set: &str| {
            let files = std::fs::read_dir(root.join(set)).expect("schemas are there");
            files.map(|file| std::fs::read_to_string(file.expect("a file").path()).expect("a text")).collect::<Vec<_>>()
        };
        let newest = read("4.4").into_iter().map(|text| Schema::parse(&text, true));
        Self(newest.chain(read("3.9").into_iter().map(|text| Schema::parse(&text, false))).collect())
    }

    fn find(&self, key: i16, direction: &str, version: i16) -> Option<&Schema> {
        self.0.iter().find(|schema| {
            schema.json["apiKey"] == key
                && schema.json["type"] == direction
                && range(&schema.json["validVersions"]).contains(version)
        })
    }
}

impl Schema {
    fn parse(text: &str, newest: bool) -> Self {
        let text: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        let json: Value = serde_json::from_str(&text.join("\n")).expect("a schema is JSON but for its comments");
        let common = json["commonStructs"].as_array().into_iter().flatten();
        let common = common.map(|part| (part["name"].as_str().unwrap_or_default().to_owned(), part["fields"].clone()));
        Self { common: common.collect(), json, newest }
    }

    fn flatten(&self, fields: &Value, version: i16, path: &str, out: &mut Vec<Seen>) {
        for field in fields.as_array().expect("fields are a list") {
            if !range(&field["versions"]).contains(version) {
                continue;
            }
            let name = field["name"].as_str().expect("a field has a name");
            let path = format!("{path}.{}", snake_case(name));
            let kind = field["type"].as_str().expect("a field has a type");
            let nested = self.common.get(kind.trim_start_matches("[]")).or_else(|| field.get("fields"));
            let shape = match nested {
                Some(_) if kind.starts_with("[]") => "[]struct".to_owned(),
                Some(_) => "struct".to_owned(),
                None => kind.to_owned(),
            };
            out.push(Seen {
                path: path.clone(),
                nullable: range(&field["nullableVersions"]).contains(version),
                tag: field["tag"]
                    .as_u64()
                    .filter(|_| range(&field["taggedVersions"]).contains(version))
                    .map(|tag| tag as u32),
                default: their_default(field, &shape),
                ignorable: field["ignorable"].as_bool().unwrap_or(false),
                kind: shape,
            });
            if let Some(nested) = nested {
                self.flatten(nested, version, &path, out);
            }
        }
    }
}

fn their_default(field: &Value, kind: &str) -> String {
    let text = match &field["default"] {
        Value::Null => return zero(kind).to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match text.strip_prefix("0x").map(|hex| i64::from_str_radix(hex, 16)) {
        Some(number) => number.expect("a hexadecimal number").to_string(),
        None => text,
    }
}

fn range(value: &Value) -> ottla_protocol::schema::Versions {
    let empty = ottla_protocol::schema::Versions { min: 1, max: Some(0) };
    let Some(text) = value.as_str().filter(|text| *text != "none") else { return empty };
    let number = |text: &str| text.parse().expect("a version");
    match (text.strip_suffix('+'), text.split_once('-')) {
        (Some(min), _) => ottla_protocol::schema::Versions { min: number(min), max: None },
        (_, Some((min, max))) => ottla_protocol::schema::Versions { min: number(min), max: Some(number(max)) },
        _ => ottla_protocol::schema::Versions { min: number(text), max: Some(number(text)) },
    }
}

fn snake_case(name: &str) -> String {
    let mut out = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.push(letter.to_ascii_lowercase());
    }
    out
}
