//! The consumer protocol that members of classic groups speak inside of JoinGroup and SyncGroup
//! (`ConsumerProtocolSubscription.json`, `ConsumerProtocolAssignment.json`).

use std::collections::{BTreeMap, BTreeSet};

use bytes::{BufMut, Bytes, BytesMut};
use uuid::Uuid;

use super::super::topics::Topic;
use super::assignor::Assignment;

/// Topics of the cluster by name.
type Topics = BTreeMap<String, Topic>;
/// Partitions by topic name.
type Named = BTreeMap<String, BTreeSet<i32>>;

/// What a member wants.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Subscription {
    pub(crate) topics: BTreeSet<String>,
    /// None before version 1.
    pub(crate) owned: Named,
    /// `None` before version 3.
    pub(crate) rack: Option<String>,
}

/// What a member gets.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Assigned {
    pub(crate) partitions: Named,
    pub(crate) has_user_data: bool,
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, size: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(size)?;
        self.0 = rest;
        Some(taken)
    }

    fn short(&mut self) -> Option<i16> {
        Some(i16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    fn int(&mut self) -> Option<i32> {
        Some(i32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    fn text(&mut self) -> Option<String> {
        let length = usize::try_from(self.short()?).ok()?;
        String::from_utf8(self.take(length)?.to_vec()).ok()
    }

    /// -1 is null.
    fn bytes(&mut self) -> Option<&'a [u8]> {
        match self.int()? {
            -1 => Some(&[]),
            length => self.take(usize::try_from(length).ok()?),
        }
    }

    fn partitions(&mut self) -> Option<Named> {
        let mut found = Named::new();
        for _ in 0..self.int()? {
            let topic = self.text()?;
            let partitions = found.entry(topic).or_default();
            for _ in 0..self.int()? {
                partitions.insert(self.int()?);
            }
        }
        Some(found)
    }
}

/// Reads a subscription; what newer versions add at its end is left out.
pub(crate) fn read_subscription(bytes: &[u8]) -> Option<Subscription> {
    let mut reader = Reader(bytes);
    let version = reader.short().filter(|&version| version >= 0)?;
    let mut read = Subscription::default();
    for _ in 0..reader.int()? {
        read.topics.insert(reader.text()?);
    }
    reader.bytes()?;
    if version >= 1 {
        read.owned = reader.partitions()?;
    }
    if version >= 2 {
        reader.int()?; // generation
    }
    if version >= 3 {
        let length = reader.short()?;
        read.rack = match usize::try_from(length) {
            Ok(length) => Some(String::from_utf8(reader.take(length)?.to_vec()).ok()?),
            Err(_) => None,
        };
    }
    Some(read)
}

/// Reads an assignment; nothing at all is one of nothing.
pub(crate) fn read_assignment(bytes: &[u8]) -> Option<Assigned> {
    if bytes.is_empty() {
        return Some(Assigned::default());
    }
    let mut reader = Reader(bytes);
    reader.short().filter(|&version| version >= 0)?;
    let partitions = reader.partitions()?;
    Some(Assigned { partitions, has_user_data: !reader.bytes()?.is_empty() })
}

/// An assignment in the version of the subscription it answers.
pub(crate) fn write_assignment(assignment: &Assignment, subscription: &[u8], topics: &Topics) -> Bytes {
    let version = Reader(subscription).short().unwrap_or(0);
    let names: BTreeMap<Uuid, &String> = topics.iter().map(|(name, topic)| (topic.id, name)).collect();
    let known: Vec<_> = assignment.iter().filter_map(|(id, partitions)| Some((names.get(id)?, partitions))).collect();
    let mut out = BytesMut::new();
    out.put_i16(version);
    out.put_i32(known.len() as i32);
    for (name, partitions) in known {
        out.put_i16(name.len() as i16);
        out.put_slice(name.as_bytes());
        out.put_i32(partitions.len() as i32);
        partitions.iter().for_each(|&partition| out.put_i32(partition));
    }
    out.put_i32(-1);
    out.freeze()
}

/// Partitions by the topics' ids; those of topics nobody knows are left out.
pub(crate) fn by_id(named: &Named, topics: &Topics) -> Assignment {
    let known = named.iter().filter_map(|(name, partitions)| Some((topics.get(name)?.id, partitions.clone())));
    known.filter(|(_, partitions)| !partitions.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Version 3: topic `t`, no user data, owned `t` 0 and 1, generation 5, no rack.
    const SUBSCRIPTION: &[u8] =
        b"\0\x03\0\0\0\x01\0\x01t\xff\xff\xff\xff\0\0\0\x01\0\x01t\0\0\0\x02\0\0\0\0\0\0\0\x01\0\0\0\x05\xff\xff";

    #[test]
    fn subscription_is_read_by_its_version() {
        let read = read_subscription(SUBSCRIPTION).unwrap();
        let owned = Named::from([("t".to_owned(), BTreeSet::from([0, 1]))]);
        assert_eq!(read, Subscription { topics: BTreeSet::from(["t".to_owned()]), owned, rack: None });
        let mut old = SUBSCRIPTION.to_vec();
        old[1] = 0;
        assert_eq!(read_subscription(&old).unwrap().owned, Named::new(), "version 0 says nothing of it");
        assert_eq!(read_subscription(&SUBSCRIPTION[..SUBSCRIPTION.len() - 3]), None);
        assert_eq!(read_subscription(b"meta"), None);
    }

    #[test]
    fn assignment_without_topics_is_read_and_user_data_seen() {
        assert_eq!(read_assignment(b""), Some(Assigned::default()));
        let assigned = read_assignment(b"\0\0\0\0\0\x01\0\x01t\0\0\0\x01\0\0\0\x07\0\0\0\x01x").unwrap();
        assert_eq!(assigned.partitions, Named::from([("t".to_owned(), BTreeSet::from([7]))]));
        assert!(assigned.has_user_data);
    }
}
