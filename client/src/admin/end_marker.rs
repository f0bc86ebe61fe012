//! Finding out in the log how a transaction ended (`connector.md` §6.3).
#![allow(clippy::disallowed_methods, reason = "this file does I/O")]

use std::time::Instant;

use ottla_protocol::messages::fetch::{FetchPartition, FetchRequest, FetchTopic};
use ottla_protocol::record::RecordBatch;
use ottla_protocol::{ApiKey, ErrorCode};

use super::Admin;
use super::call::Target;
use crate::error::{Error, Remedy, Result};
use crate::types::TopicPartition;

/// The end of a transaction in one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EndMarker {
    /// How it ended.
    pub kind: EndMarkerKind,
    /// The epoch that the coordinator ended it with.
    pub producer_epoch: i16,
    /// Where the marker is.
    pub offset: i64,
}

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndMarkerKind {
    /// Its records are visible.
    Commit,
    /// They never will be.
    Abort,
}

/// Bytes of one answer.
const MAX_BYTES: i32 = 4 << 20;

impl Admin {
    /// The first end marker of `producer_id` at or after `offset`; `None`: there is none up to the end of the log. Open
    /// transactions of others hold nothing up.
    ///
    /// # Errors
    /// [`Error::OffsetOutOfRange`] when retention has removed that part of the log; [`Error::CorruptRecords`];
    /// [`Error::Timeout`].
    pub async fn end_marker(
        &self,
        partition: &TopicPartition,
        offset: i64,
        producer_id: i64,
    ) -> Result<Option<EndMarker>> {
        let client = &self.client;
        let deadline = client.api_deadline();
        let what = format!("reading the end of a transaction in {partition}");
        let mut position = offset;
        loop {
            let step = client
                .retrying(self.retries, &what, deadline, || async {
                    let step = self.scan(partition, position, producer_id, deadline).await;
                    if step.as_ref().is_err_and(|e| e.remedy() == Remedy::RefreshMetadata) {
                        client.refresh_metadata();
                    }
                    step
                })
                .await?;
            match step {
                Step::Found(marker) => return Ok(Some(marker)),
                Step::AtTheEnd => return Ok(None),
                Step::GoOn(next) => position = next,
            }
        }
    }

    async fn scan(&self, partition: &TopicPartition, from: i64, producer_id: i64, deadline: Instant) -> Result<Step> {
        let leader = self.node(&Target::Leader(partition.clone()), deadline).await?;
        let connection = self.connection(leader).await?;
        let version = connection.choose::<FetchRequest>(Some(12))?;
        let response = connection.send(&request(partition, from), version)?.await?;
        let at = connection.place(version);
        let refused = |code| Error::broker(code, ApiKey::Fetch, partition).at(&at);
        let broker = || Some(at.name());
        let answered = response.responses.into_iter().flat_map(|t| t.partitions).next();
        let Some(answered) = answered else {
            return Err(refused(ErrorCode::from(response.error_code)));
        };
        match ErrorCode::from(answered.error_code) {
            ErrorCode::None => {}
            ErrorCode::OffsetOutOfRange => {
                let topic_partition = partition.clone();
                return Err(Error::OffsetOutOfRange { topic_partition, offset: from, broker: broker() });
            }
            code => return Err(refused(code)),
        }
        let mut records = answered.records.map(|r| r.into_bytes()).unwrap_or_default();
        let mut next = from;
        let corrupt = |offset, reason: String| Error::CorruptRecords {
            topic_partition: partition.clone(),
            offset,
            broker: broker(),
            reason,
        };
        while let Some(batch) = RecordBatch::split_from(&mut records).map_err(|e| corrupt(next, e.to_string()))? {
            if let Some(marker) = marker(&batch, from, producer_id).map_err(|e| corrupt(batch.base_offset(), e))? {
                return Ok(Step::Found(marker));
            }
            next = next.max(batch.next_offset());
        }
        Ok(if next > from && next < answered.high_watermark { Step::GoOn(next) } else { Step::AtTheEnd })
    }
}

enum Step {
    Found(EndMarker),
    GoOn(i64),
    AtTheEnd,
}

fn marker(batch: &RecordBatch, from: i64, producer_id: i64) -> Result<Option<EndMarker>, String> {
    if !batch.is_control() || batch.producer_id() != producer_id || batch.next_offset() <= from {
        return Ok(None);
    }
    batch.verify_crc().map_err(|e| e.to_string())?;
    let marker = batch.control_marker().map_err(|e| e.to_string())?;
    Ok(marker.map(|marker| EndMarker {
        kind: if marker.commit { EndMarkerKind::Commit } else { EndMarkerKind::Abort },
        producer_epoch: batch.producer_epoch(),
        offset: batch.base_offset(),
    }))
}

fn request(partition: &TopicPartition, from: i64) -> FetchRequest {
    FetchRequest {
        replica_id: -1,
        max_wait_ms: 0,
        min_bytes: 1,
        max_bytes: MAX_BYTES,
        isolation_level: 0,
        session_epoch: -1,
        topics: vec![FetchTopic {
            topic: partition.topic.to_string(),
            partitions: vec![FetchPartition {
                partition: partition.partition,
                fetch_offset: from,
                partition_max_bytes: MAX_BYTES,
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    }
}
