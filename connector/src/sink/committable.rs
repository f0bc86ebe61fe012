//! What a Kafka sink keeps in checkpoints: the names of prepared transactions, and the writer's settings.
use bytes::{BufMut, Bytes, BytesMut};

use super::guarantee::DeliveryGuarantee;
use crate::contract::{State, Timestamp};
use crate::error::Result;
use crate::state_bytes::{StateReader, put_str};

/// A record of the transaction that a broker has acknowledged: it tells from the log how the transaction ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witness {
    /// Its topic.
    pub topic: String,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
}

/// The name of a prepared transaction: all that is needed to commit it, in this process or another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaCommittable {
    /// The sink's transactional id prefix.
    pub prefix: String,
    /// The subtask that prepared it.
    pub subtask: u32,
    /// Its slot in that subtask's pool.
    pub slot: u16,
    /// The transactional id.
    pub transactional_id: String,
    /// The producer id.
    pub producer_id: i64,
    /// The producer epoch it was written with.
    pub producer_epoch: i16,
    /// The EndTxn version of every attempt to commit it: mixing 4 and 5 gives false answers.
    pub end_txn_version: u8,
    /// When it was begun, milliseconds since the epoch.
    pub started_at: Timestamp,
    /// `transaction.timeout.ms`.
    pub timeout: i32,
    /// One acknowledged record of it.
    pub witness: Option<Witness>,
}

impl KafkaCommittable {
    /// When the broker may abort it.
    #[must_use]
    pub fn deadline(&self) -> Timestamp {
        self.started_at.saturating_add(i64::from(self.timeout))
    }
}

impl State for KafkaCommittable {
    const VERSION: u16 = 1;

    fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(self.prefix.len() + self.transactional_id.len() + 64);
        put_str(&mut out, &self.prefix);
        out.put_u32(self.subtask);
        out.put_u16(self.slot);
        put_str(&mut out, &self.transactional_id);
        out.put_i64(self.producer_id);
        out.put_i16(self.producer_epoch);
        out.put_u8(self.end_txn_version);
        out.put_i64(self.started_at);
        out.put_i32(self.timeout);
        out.put_u8(u8::from(self.witness.is_some()));
        if let Some(witness) = &self.witness {
            put_str(&mut out, &witness.topic);
            out.put_i32(witness.partition);
            out.put_i64(witness.offset);
        }
        out.freeze()
    }

    fn decode(version: u16, bytes: Bytes) -> Result<Self> {
        let mut from = StateReader::new("a committable", version, Self::VERSION, bytes)?;
        let mut committable = Self {
            prefix: from.str("the prefix")?,
            subtask: from.u32("the subtask")?,
            slot: from.u16("the slot")?,
            transactional_id: from.str("the transactional id")?,
            producer_id: from.i64("the producer id")?,
            producer_epoch: from.i16("the epoch")?,
            end_txn_version: from.u8("the transaction version")?,
            started_at: from.i64("the start time")?,
            timeout: from.i32("the timeout")?,
            witness: None,
        };
        committable.witness = match from.u8("the witness flag")? {
            0 => None,
            1 => Some(Witness {
                topic: from.str("the witness topic")?,
                partition: from.i32("the witness partition")?,
                offset: from.i64("the witness offset")?,
            }),
            other => return Err(from.error(format!("the witness flag is {other}"))),
        };
        from.end()?;
        Ok(committable)
    }
}

/// What a writer keeps: enough to find its transactional ids again, whatever the next start is set to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaWriterState {
    /// The sink's transactional id prefix; empty without transactions.
    pub prefix: String,
    /// The subtask.
    pub subtask: u32,
    /// The parallelism.
    pub parallelism: u32,
    /// `pool_size`.
    pub pool_size: u16,
    /// The guarantee.
    pub guarantee: DeliveryGuarantee,
}

impl State for KafkaWriterState {
    const VERSION: u16 = 1;

    fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(self.prefix.len() + 13);
        put_str(&mut out, &self.prefix);
        out.put_u32(self.subtask);
        out.put_u32(self.parallelism);
        out.put_u16(self.pool_size);
        out.put_u8(self.guarantee as u8);
        out.freeze()
    }

    fn decode(version: u16, bytes: Bytes) -> Result<Self> {
        let mut from = StateReader::new("a writer", version, Self::VERSION, bytes)?;
        let prefix = from.str("the prefix")?;
        let subtask = from.u32("the subtask")?;
        let parallelism = from.u32("the parallelism")?;
        let pool_size = from.u16("the pool size")?;
        let guarantee = from.u8("the guarantee")?;
        let guarantee = DeliveryGuarantee::from_code(guarantee)
            .ok_or_else(|| from.error(format!("the guarantee is {guarantee}, it can be 0, 1 or 2")))?;
        from.end()?;
        Ok(Self { prefix, subtask, parallelism, pool_size, guarantee })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    fn committable(witness: Option<Witness>) -> KafkaCommittable {
        KafkaCommittable {
            prefix: "größe-app".into(),
            subtask: 3,
            slot: 4,
            transactional_id: "größe-app-3-4".into(),
            producer_id: i64::MAX,
            producer_epoch: 32_766,
            end_txn_version: 5,
            started_at: 1_700_000_000_000,
            timeout: 900_000,
            witness,
        }
    }

    fn check<S: State + PartialEq>(state: &S) {
        let bytes = state.encode();
        assert_eq!(&S::decode(S::VERSION, bytes.clone()).expect("own bytes"), state);
        for cut in 0..bytes.len() {
            assert!(matches!(S::decode(S::VERSION, bytes.slice(..cut)), Err(Error::State { .. })), "cut at {cut}");
        }
        let trailing: Bytes = [&bytes[..], &[0]].concat().into();
        assert!(matches!(S::decode(S::VERSION, trailing), Err(Error::State { .. })));
        let error = S::decode(S::VERSION + 1, bytes).expect_err("a newer version").to_string();
        assert!(error.contains("version 2") && error.contains("up to 1"), "{error}");
    }

    #[test]
    fn n18_a_committable_survives_and_damage_does_not() {
        check(&committable(None));
        check(&committable(Some(Witness { topic: "out".into(), partition: 7, offset: 1 << 40 })));
    }

    #[test]
    fn n18_a_writer_state_survives_and_damage_does_not() {
        for guarantee in [DeliveryGuarantee::None, DeliveryGuarantee::AtLeastOnce, DeliveryGuarantee::ExactlyOnce] {
            let prefix = "p".repeat(300);
            check(&KafkaWriterState { prefix, subtask: 1, parallelism: 2, pool_size: 5, guarantee });
        }
    }

    #[test]
    fn the_layout_is_that_of_the_specification() {
        let state = KafkaWriterState {
            prefix: "ab".into(),
            subtask: 1,
            parallelism: 2,
            pool_size: 5,
            guarantee: DeliveryGuarantee::ExactlyOnce,
        };
        assert_eq!(&state.encode()[..], [0, 2, b'a', b'b', 0, 0, 0, 1, 0, 0, 0, 2, 0, 5, 2]);
    }

    #[test]
    fn flags_that_cannot_be_are_refused() {
        let mut bytes = committable(None).encode().to_vec();
        if let Some(flag) = bytes.last_mut() {
            *flag = 2;
        }
        assert!(matches!(KafkaCommittable::decode(1, bytes.into()), Err(Error::State { .. })));
    }
}
