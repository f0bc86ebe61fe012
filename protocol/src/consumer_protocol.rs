//! The bytes that members of a classic consumer group hand each other inside JoinGroup and SyncGroup
//! (`ConsumerProtocol.java`), and those that the sticky assignors put into them.
use bytes::{Buf, Bytes};

use crate::encoder::Encoder;
use crate::macros::message;
use crate::wire::{DecodeError, EncodeError, Version, Wire};

/// The newest version of subscriptions and assignments.
const NEWEST: i16 = 3;

message! {
    /// What a member wants to read, and what it owns.
    ConsumerProtocolSubscription {
        topics: Vec<String>;
        user_data: Option<Bytes>;
        owned_partitions: Vec<TopicPartitions>, @ 1+, ignorable;
        generation_id: i32 = -1, @ 2+, ignorable;
        rack_id: Option<String>, @ 3+, ignorable;
    }

    /// What a member is to read.
    ConsumerProtocolAssignment {
        assigned_partitions: Vec<TopicPartitions>;
        user_data: Option<Bytes>;
    }

    /// Partitions of a topic.
    TopicPartitions {
        topic: String;
        partitions: Vec<i32>;
    }

    /// The user data of the assignor `sticky`: what the member owned, and in which generation.
    StickyUserData {
        previous_assignment: Vec<TopicPartitions>;
        generation: i32 = -1, @ 1+, ignorable;
    }

    /// The user data of the assignor `cooperative-sticky`; the partitions are in the subscription.
    CooperativeStickyUserData {
        generation: i32 = -1;
    }
}

impl ConsumerProtocolSubscription {
    /// As version 3. Topics and owned partitions are to be sorted by the caller, as Kafka's client does.
    ///
    /// # Errors
    /// When a name or list is too long for its length field.
    pub fn to_bytes(&self) -> Result<Bytes, EncodeError> {
        self.to_version(NEWEST)
    }

    /// As `version`, 0 to 3, for a group with older members; what it has no field for is dropped.
    ///
    /// # Errors
    /// When a name or list is too long for its length field.
    pub fn to_version(&self, version: i16) -> Result<Bytes, EncodeError> {
        versioned(self, version)
    }

    /// Reads a subscription of any version: what one newer than 3 adds at the end is not looked at.
    ///
    /// # Errors
    /// When the bytes are not a subscription.
    pub fn from_bytes(bytes: Bytes) -> Result<Self, DecodeError> {
        any_version(bytes)
    }
}

impl ConsumerProtocolAssignment {
    /// As version 3, which is encoded as all before it.
    ///
    /// # Errors
    /// When a name or list is too long for its length field.
    pub fn to_bytes(&self) -> Result<Bytes, EncodeError> {
        versioned(self, NEWEST)
    }

    /// Reads an assignment of any version. No bytes at all are an assignment of nothing: so a leader answers members
    /// that it has nothing for.
    ///
    /// # Errors
    /// When the bytes are not an assignment.
    pub fn from_bytes(bytes: Bytes) -> Result<Self, DecodeError> {
        if bytes.is_empty() { Ok(Self::default()) } else { any_version(bytes) }
    }
}

impl StickyUserData {
    /// As version 1.
    ///
    /// # Errors
    /// When a name or list is too long for its length field.
    pub fn to_bytes(&self) -> Result<Bytes, EncodeError> {
        plain(self, 1)
    }

    /// Reads version 1, or 0, which ends before the generation: nothing in the bytes says which it is.
    ///
    /// # Errors
    /// When the bytes are neither. Kafka's assignor then takes the member for a new one.
    pub fn from_bytes(bytes: Bytes) -> Result<Self, DecodeError> {
        Self::decode(&mut bytes.clone(), fixed(1)).or_else(|_| Self::decode(&mut bytes.clone(), fixed(0)))
    }
}

impl CooperativeStickyUserData {
    /// Its only version.
    ///
    /// # Errors
    /// None now.
    pub fn to_bytes(&self) -> Result<Bytes, EncodeError> {
        plain(self, 0)
    }

    /// Reads its only version.
    ///
    /// # Errors
    /// When the bytes are too few.
    pub fn from_bytes(mut bytes: Bytes) -> Result<Self, DecodeError> {
        Self::decode(&mut bytes, fixed(0))
    }
}

/// None of these has a flexible version.
const fn fixed(number: i16) -> Version {
    Version { number, flexible: false }
}

fn versioned(message: &impl Wire, version: i16) -> Result<Bytes, EncodeError> {
    let version = version.clamp(0, NEWEST);
    let mut out = Encoder::new();
    version.encode(&mut out, fixed(version))?;
    message.encode(&mut out, fixed(version))?;
    Ok(out.into_segments().concat().into())
}

fn any_version<M: Wire>(mut bytes: Bytes) -> Result<M, DecodeError> {
    let version = bytes.try_get_i16().map_err(|_| DecodeError::Truncated)?;
    if version < 0 {
        return Err(DecodeError::Length(i64::from(version)));
    }
    M::decode(&mut bytes, fixed(version.min(NEWEST)))
}

fn plain(message: &impl Wire, version: i16) -> Result<Bytes, EncodeError> {
    let mut out = Encoder::new();
    message.encode(&mut out, fixed(version))?;
    Ok(out.into_segments().concat().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Bytes {
        crate::hex::hex(text).into()
    }

    fn of_t(partitions: &[i32]) -> Vec<TopicPartitions> {
        vec![TopicPartitions { topic: "t".into(), partitions: partitions.to_vec() }]
    }

    fn subscription() -> ConsumerProtocolSubscription {
        ConsumerProtocolSubscription {
            topics: vec!["t".into()],
            owned_partitions: of_t(&[0, 1]),
            generation_id: 5,
            ..Default::default()
        }
    }

    /// version; topics; user data; owned partitions; generation; rack
    const VERSION_3: &str = "0003 00000001 000174 ffffffff 00000001 000174 00000002 00000000 00000001 00000005 ffff";

    #[test]
    fn a_subscription_is_as_kafka_writes_it() {
        assert_eq!(subscription().to_bytes().unwrap(), hex(VERSION_3));
        assert_eq!(ConsumerProtocolSubscription::from_bytes(hex(VERSION_3)), Ok(subscription()));
    }

    #[test]
    fn an_older_subscription_ends_earlier() {
        for (version, text, lost) in [
            (2, "0002 00000001 000174 ffffffff 00000001 000174 00000002 00000000 00000001 00000005", subscription()),
            (
                1,
                "0001 00000001 000174 ffffffff 00000001 000174 00000002 00000000 00000001",
                ConsumerProtocolSubscription { generation_id: -1, ..subscription() },
            ),
            (
                0,
                "0000 00000001 000174 ffffffff",
                ConsumerProtocolSubscription { generation_id: -1, owned_partitions: vec![], ..subscription() },
            ),
        ] {
            assert_eq!(subscription().to_version(version).unwrap(), hex(text), "{version}");
            assert_eq!(ConsumerProtocolSubscription::from_bytes(hex(text)), Ok(lost), "{version}");
        }
    }

    #[test]
    fn a_newer_version_is_read_as_ours_and_what_it_adds_is_ignored() {
        let newer = VERSION_3.replacen("0003", "0063", 1) + "01020304";
        assert_eq!(ConsumerProtocolSubscription::from_bytes(hex(&newer)), Ok(subscription()));
        let assignment = hex("0009 00000001 000174 00000001 00000007 00000001 aa ffff");
        let expected = ConsumerProtocolAssignment {
            assigned_partitions: of_t(&[7]),
            user_data: Some(Bytes::from_static(&[0xaa])),
        };
        assert_eq!(ConsumerProtocolAssignment::from_bytes(assignment), Ok(expected));
    }

    #[test]
    fn an_assignment_is_as_kafka_writes_it() {
        let assignment = ConsumerProtocolAssignment { assigned_partitions: of_t(&[0, 2]), user_data: None };
        let text = hex("0003 00000001 000174 00000002 00000000 00000002 ffffffff");
        assert_eq!(assignment.to_bytes().unwrap(), text);
        assert_eq!(ConsumerProtocolAssignment::from_bytes(text), Ok(assignment));
        assert_eq!(ConsumerProtocolAssignment::from_bytes(Bytes::new()), Ok(ConsumerProtocolAssignment::default()));
    }

    #[test]
    fn the_user_data_of_the_sticky_assignors_is_as_kafka_writes_it() {
        let sticky = StickyUserData { previous_assignment: of_t(&[0]), generation: 5 };
        let text = hex("00000001 000174 00000001 00000000 00000005");
        assert_eq!(sticky.to_bytes().unwrap(), text);
        assert_eq!(StickyUserData::from_bytes(text.clone()), Ok(sticky.clone()));
        let version_0 = text.slice(..text.len() - 4);
        assert_eq!(StickyUserData::from_bytes(version_0), Ok(StickyUserData { generation: -1, ..sticky }));
        assert_eq!(StickyUserData::from_bytes(text.slice(..9)), Err(DecodeError::Truncated));
        let cooperative = CooperativeStickyUserData { generation: 7 };
        assert_eq!(cooperative.to_bytes().unwrap(), hex("00000007"));
        assert_eq!(CooperativeStickyUserData::from_bytes(hex("00000007")), Ok(cooperative));
        assert!(CooperativeStickyUserData::from_bytes(hex("0000")).is_err());
    }

    #[test]
    fn lengths_that_cannot_be_are_errors() {
        for text in ["", "00", "ffff 00000000", "0000 7fffffff", "0003 00000001 000574", "0000 ffffffff ffffffff"] {
            assert!(ConsumerProtocolSubscription::from_bytes(hex(text)).is_err(), "{text}");
        }
        for text in ["00", "0000 7fffffff", "0000 00000001 000174 7fffffff"] {
            assert!(ConsumerProtocolAssignment::from_bytes(hex(text)).is_err(), "{text}");
        }
    }
}
