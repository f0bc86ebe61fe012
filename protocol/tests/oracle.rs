//! Every message that both know, against `kafka-protocol`: bytes drawn from our description of the message go through
//! our codec and through theirs, and come out of both as they went in.
//!
//! The bytes are not made by our encoder: a mistake in the description shows at their decoder, a mistake in the codec
//! at the comparison.
mod common;
#[path = "common/theirs.rs"]
#[macro_use]
mod theirs;
#[path = "common/newest.rs"]
mod newest;
#[path = "common/oldest.rs"]
mod oldest;

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use common::generate::{Rng, encoding};
use common::{Api, Message, apis};
use newest::newest;
use oldest::oldest;
use ottla_protocol::schema::Type;
use ottla_protocol::{EncodeError, Version};
use theirs::Theirs;

/// How many encodings of each message are tried in each version.
const ROUNDS: u64 = 50;

#[test]
fn our_bytes_come_back_as_they_were() {
    for api in apis() {
        for version in api.versions() {
            for message in api.messages() {
                for bytes in encodings(message, version) {
                    let recoded = (message.recode)(bytes.clone(), version)
                        .unwrap_or_else(|e| panic!("{} v{}: {e}: {bytes:x?}", message.name, version.number));
                    assert_eq!(recoded.left, 0, "{} v{}", message.name, version.number);
                    assert_eq!(recoded.encoded, Ok(bytes), "{} v{}", message.name, version.number);
                }
            }
        }
    }
}

#[test]
fn kafka_protocol_0_18_reads_and_writes_the_same_bytes() {
    compare(&newest(), 512);
}

#[test]
fn kafka_protocol_0_15_reads_and_writes_the_same_bytes_of_old_versions() {
    compare(&oldest(), 518);
}

#[test]
fn all_but_the_newest_versions_have_an_oracle() {
    let (newest, oldest) = (newest(), oldest());
    let has = |oracle: &[Theirs], message: Message, version: Version| {
        oracle.iter().any(|theirs| theirs.name == message.name && theirs.versions.contains(&version.number))
    };
    let mut alone = Vec::new();
    for api in apis() {
        for version in api.versions() {
            if api.messages().iter().any(|m| !has(&newest, *m, version) && !has(&oldest, *m, version)) {
                alone.push(format!("{} {}", api.key, version.number));
            }
        }
    }
    assert_eq!(alone, UNSHARED.iter().map(|(unshared, _)| *unshared).collect::<Vec<_>>());
}

/// What neither oracle has, and why.
const UNSHARED: &[(&str, &str)] = &[
    ("AddRaftVoter 1", "kafka-protocol 0.18 does not know AckWhenCommitted"),
    ("ApiVersions 5", "kafka-protocol 0.18 does not know the id of cluster and node (KIP-1242)"),
    ("DeleteGroups 3", "kafka-protocol 0.18 does not know messages of errors"),
    ("DescribeLogDirs 5", "kafka-protocol 0.18 does not know newer fields of the answer"),
    ("DescribeShareGroupOffsets 1", "kafka-protocol 0.18 does not know lags (KIP-1226)"),
    #[cfg(feature = "unstable-kip939")]
    ("InitProducerId 6", "unstable: two-phase commit (KIP-939)"),
    ("ListOffsets 11", "kafka-protocol 0.18 does not know the earliest offset that is pending upload (KIP-1023)"),
    ("OffsetCommit 10", "kafka-protocol 0.18 does not know topic ids (KIP-848)"),
    ("OffsetFetch 10", "kafka-protocol 0.18 does not know topic ids (KIP-848)"),
    ("ShareAcknowledge 2", "kafka-protocol 0.18 does not know renewals (KIP-1222)"),
    ("ShareFetch 2", "kafka-protocol 0.18 does not know ways to acquire, and renewals (KIP-1206, KIP-1222)"),
    ("StreamsGroupDescribe 0", "kafka-protocol has no groups of streams"),
    ("StreamsGroupDescribe 1", "kafka-protocol has no groups of streams"),
    ("TxnOffsetCommit 6", "kafka-protocol 0.18 does not know topic ids (KIP-1319)"),
    ("UnregisterController 0", "kafka-protocol 0.18 does not know the API"),
    ("WriteTxnMarkers 2", "kafka-protocol 0.18 does not know the version of the transaction (KIP-1228)"),
];

#[test]
fn request_frames_are_those_of_kafka_protocol() {
    use kafka_protocol::messages::{ApiKey, RequestHeader};
    use kafka_protocol::protocol::Decodable;
    let mut frames = 0;
    for api in apis() {
        let Ok(key) = ApiKey::try_from(api.key.code()) else { continue };
        let known = key.valid_versions();
        for version in api.versions().filter(|v| known.min <= v.number && v.number <= known.max) {
            let body = encodings(api.request, version).next().expect("there are rounds");
            let mut frame = (api.frame)(body.clone(), version);
            let length = frame.split_to(4);
            assert_eq!(length[..], (frame.len() as u32).to_be_bytes());
            let mut ours = frame.clone();
            let header = RequestHeader::decode(&mut frame, key.request_header_version(version.number));
            let header = header.unwrap_or_else(|e| panic!("{} v{}: {e}", api.key, version.number));
            assert_eq!((header.request_api_key, header.request_api_version), (api.key.code(), version.number));
            assert_eq!((header.correlation_id, header.client_id.as_deref()), (7, Some("me")));
            assert_eq!(frame, body, "{} v{}", api.key, version.number);
            let header = ottla_protocol::RequestHeader::decode(&mut ours).expect("our own header");
            assert_eq!((header.api_key, header.api_version), (api.key.code(), version.number));
            assert_eq!((header.correlation_id, header.client_id.as_deref()), (7, Some("me")));
            assert_eq!(ours, body);
            frames += 1;
        }
    }
    assert!(frames > 250, "{frames}");
}

#[test]
fn response_headers_are_those_of_kafka_protocol() {
    use kafka_protocol::messages::{ApiKey, ResponseHeader};
    use kafka_protocol::protocol::Encodable;
    for api in apis() {
        let Ok(key) = ApiKey::try_from(api.key.code()) else { continue };
        let known = key.valid_versions();
        for version in api.versions().filter(|v| known.min <= v.number && v.number <= known.max) {
            let mut bytes = Vec::new();
            let header = ResponseHeader::default().with_correlation_id(9);
            header.encode(&mut bytes, key.response_header_version(version.number)).expect("a header");
            let mut bytes = Bytes::from(bytes);
            let ours = ottla_protocol::ResponseHeader::decode(api.key, version.number, &mut bytes);
            assert_eq!(ours.map(|header| header.correlation_id), Ok(9), "{} v{}", api.key, version.number);
            assert!(bytes.is_empty(), "{} v{}", api.key, version.number);
        }
    }
}

/// What an older version lacks is dropped, or refused, as the schema says of each field.
#[test]
fn both_refuse_or_drop_the_same_fields_in_older_versions() {
    let (newest, oldest) = (newest(), oldest());
    let (mut refused, mut carried, mut wrong) = (0, 0, Vec::new());
    for (message, from, to, theirs) in older(&newest).chain(older(&oldest)) {
        for bytes in encodings(message, from).take(4) {
            let ours = (message.convert)(bytes.clone(), from, to).expect("a valid encoding").encoded;
            let back = (theirs.convert)(bytes, from.number, to.number);
            match (&ours, &back) {
                (Ok(ours), Ok(theirs)) if ours == theirs => carried += 1,
                (Err(_), Err(_)) => refused += 1,
                (Err(ours), Ok(_)) if is_refused_by_kafka(ours, &message.kind) => refused += 1,
                _ => wrong.push(format!("{} v{} as v{}: {ours:x?} {back:x?}", message.name, from.number, to.number)),
            }
        }
    }
    println!("{carried} carried, {refused} refused");
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
    assert!(carried > 5000 && refused > 2000);
}

/// Each message in each version, and each older one to write it in.
fn older(oracle: &[Theirs]) -> impl Iterator<Item = (Message, Version, Version, &Theirs)> {
    let shared = shared(oracle);
    let others = shared.clone();
    shared.into_iter().flat_map(move |(message, from, theirs)| {
        let lower = others.iter().filter(|(other, to, _)| other.name == message.name && to.number < from.number);
        lower.map(|(_, to, _)| (message, from, *to, theirs)).collect::<Vec<_>>()
    })
}

/// What Kafka's generator refuses to write, and the oracle does not: null where the version has none (it writes null),
/// and a tagged field that is not ignorable (it is dropped).
fn is_refused_by_kafka(error: &EncodeError, kind: &Type) -> bool {
    match error {
        EncodeError::Null { .. } => true,
        EncodeError::Unsupported { field, .. } => has_tagged(kind, field),
        _ => false,
    }
}

fn has_tagged(kind: &Type, name: &str) -> bool {
    match kind {
        Type::Array(item) => has_tagged(item, name),
        Type::Struct(part) => part.fields.iter().any(|field| {
            let is_it = field.tag.is_some() && name.split_once('.') == Some((part.name, field.name));
            is_it || has_tagged(&field.kind, name)
        }),
        _ => false,
    }
}

/// There is no known difference: default values that a tagged field has are not drawn.
fn compare(oracle: &[Theirs], at_least: usize) {
    let shared = shared(oracle);
    let wrong: Vec<_> =
        shared.iter().filter_map(|(message, version, them)| difference(*message, *version, them)).collect();
    println!("{} messages (API × version × direction), {ROUNDS} encodings of each", shared.len());
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
    assert!(shared.len() >= at_least, "only {} were compared", shared.len());
}

/// The messages that both have, in the versions that both have.
fn shared(oracle: &[Theirs]) -> Vec<(Message, Version, &Theirs)> {
    let of = |api: Api| {
        let messages = api.messages().into_iter().flat_map(|message| {
            let theirs = oracle.iter().find(|theirs| theirs.name == message.name);
            theirs.into_iter().flat_map(move |theirs| [(message, theirs)])
        });
        let pairs: Vec<_> = messages.collect();
        let at = |version: Version| {
            let known = pairs.iter().filter(move |(_, theirs)| theirs.versions.contains(&version.number));
            known.map(move |(message, theirs)| (*message, version, *theirs)).collect::<Vec<_>>()
        };
        api.versions().flat_map(at).collect::<Vec<_>>()
    };
    apis().into_iter().flat_map(of).collect()
}

fn difference(message: Message, version: Version, theirs: &Theirs) -> Option<String> {
    let place = format!("{} v{}", message.name, version.number);
    encodings(message, version).find_map(|bytes| {
        let recode = AssertUnwindSafe(|| (theirs.convert)(bytes.clone(), version.number, version.number));
        match catch_unwind(recode).unwrap_or_else(|_| Err("it panicked".to_owned())) {
            Ok(back) if back == bytes => None,
            Ok(back) => {
                let at = back.iter().zip(&bytes).take_while(|(a, b)| a == b).count();
                Some(format!("{place}: differs at byte {at}\n  ours   {bytes:x?}\n  theirs {:x?}", Bytes::from(back)))
            }
            Err(error) => Some(format!("{place}: {error}\n  ours   {bytes:x?}")),
        }
    })
}

fn encodings(message: Message, version: Version) -> impl Iterator<Item = Bytes> {
    let mut rng = Rng(u64::from(version.number.unsigned_abs()) << 32 | message.name.len() as u64);
    (0..ROUNDS).map(move |_| encoding(&message.kind, version, &mut rng).into())
}
