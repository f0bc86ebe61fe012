//! The requests of transactions and producer ids, one attempt each.
#![allow(clippy::disallowed_methods, reason = "this file does I/O")]

use std::collections::BTreeMap;

use ottla_protocol::messages::add_partitions_to_txn::{AddPartitionsToTxnRequest, AddPartitionsToTxnTopic};
use ottla_protocol::messages::end_txn::EndTxnRequest;
use ottla_protocol::messages::init_producer_id::InitProducerIdRequest;
use ottla_protocol::{ApiKey, ErrorCode};

use super::accumulator::PartitionKey;
use super::transaction::{ControlRequest, ControlResponse};
use crate::client::{Client, CoordinatorKind};
use crate::clock;
use crate::error::{Error, Place, Result};
use crate::network::Lane;
use crate::types::{ProducerIdAndEpoch, TopicPartition};

/// Sends one request to the coordinator of `transactional_id`.
pub(crate) async fn send(
    client: &Client,
    transactional_id: &str,
    timeout_ms: i32,
    request: ControlRequest,
) -> Result<ControlResponse> {
    match request {
        ControlRequest::InitProducerId { id } => {
            init_transactional(client, transactional_id, timeout_ms, id).await.map(ControlResponse::InitProducerId)
        }
        ControlRequest::AddPartitions { id, partitions } => {
            let added = add_partitions(client, transactional_id, id, partitions).await?;
            Ok(ControlResponse::AddPartitions(added))
        }
        ControlRequest::EndTxn { id, commit, version } => {
            let next = end_txn(client, transactional_id, id, commit, version).await?;
            Ok(ControlResponse::EndTxn(next))
        }
    }
}

/// Ends a transaction; the id and epoch to go on with, from version 5 on.
pub(crate) async fn end_txn(
    client: &Client,
    transactional_id: &str,
    id: ProducerIdAndEpoch,
    commit: bool,
    version: i16,
) -> Result<Option<ProducerIdAndEpoch>> {
    let coordinator = coordinator(client, transactional_id).await?;
    let request = EndTxnRequest {
        transactional_id: transactional_id.to_owned(),
        producer_id: id.producer_id,
        producer_epoch: id.epoch,
        committed: commit,
    };
    let connection = client.connection(coordinator, Lane::Coordinator).await?;
    let chosen = connection.choose::<EndTxnRequest>(Some(version))?;
    if version >= 5 && chosen < 5 {
        // The broker was downgraded below what the transaction was written with.
        let error = Error::broker(ErrorCode::UnsupportedVersion, ApiKey::EndTxn, transactional_id);
        return Err(error.at(&connection.place(chosen)));
    }
    let response = connection.send(&request, chosen)?.await?;
    check(response.error_code, ApiKey::EndTxn, transactional_id, &connection.place(chosen))?;
    let next = ProducerIdAndEpoch { producer_id: response.producer_id, epoch: response.producer_epoch };
    Ok((chosen >= 5).then_some(next))
}

pub(crate) async fn init_transactional(
    client: &Client,
    transactional_id: &str,
    timeout_ms: i32,
    id: ProducerIdAndEpoch,
) -> Result<ProducerIdAndEpoch> {
    let coordinator = coordinator(client, transactional_id).await?;
    let connection = client.connection(coordinator, Lane::Coordinator).await?;
    let version = connection.choose::<InitProducerIdRequest>(None)?;
    // Before version 3 an epoch cannot be asked for: begin from scratch, which fences all the same.
    let id = if version >= 3 { id } else { ProducerIdAndEpoch::NONE };
    let request = InitProducerIdRequest {
        transactional_id: Some(transactional_id.to_owned()),
        transaction_timeout_ms: timeout_ms,
        producer_id: id.producer_id,
        producer_epoch: id.epoch,
        ..Default::default()
    };
    let response = connection.send(&request, version)?.await?;
    check(response.error_code, ApiKey::InitProducerId, transactional_id, &connection.place(version))?;
    Ok(ProducerIdAndEpoch { producer_id: response.producer_id, epoch: response.producer_epoch })
}

/// A producer id without transactions, from any broker.
pub(crate) async fn init_idempotent(client: &Client) -> Result<ProducerIdAndEpoch> {
    let connection = client.any_connection().await?;
    let version = connection.choose::<InitProducerIdRequest>(None)?;
    let request =
        InitProducerIdRequest { transactional_id: None, transaction_timeout_ms: i32::MAX, ..Default::default() };
    let response = connection.send(&request, version)?.await?;
    check(response.error_code, ApiKey::InitProducerId, "an idempotent producer", &connection.place(version))?;
    Ok(ProducerIdAndEpoch { producer_id: response.producer_id, epoch: response.producer_epoch })
}

async fn add_partitions(
    client: &Client,
    transactional_id: &str,
    id: ProducerIdAndEpoch,
    partitions: Vec<(PartitionKey, TopicPartition)>,
) -> Result<Vec<(PartitionKey, Result<()>)>> {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for (_, topic_partition) in &partitions {
        topics.entry(&topic_partition.topic).or_default().push(topic_partition.partition);
    }
    let topics =
        topics.into_iter().map(|(name, partitions)| AddPartitionsToTxnTopic { name: name.to_owned(), partitions });
    let request = AddPartitionsToTxnRequest {
        v3_and_below_transactional_id: transactional_id.to_owned(),
        v3_and_below_producer_id: id.producer_id,
        v3_and_below_producer_epoch: id.epoch,
        v3_and_below_topics: topics.collect(),
        ..Default::default()
    };
    let coordinator = coordinator(client, transactional_id).await?;
    let connection = client.connection(coordinator, Lane::Coordinator).await?;
    let version = connection.choose::<AddPartitionsToTxnRequest>(Some(3))?;
    let response = connection.send(&request, version)?.await?;
    let place = connection.place(version);
    let results = response.results_by_topic_v3_and_below;
    let code_of = |topic_partition: &TopicPartition| {
        let topic = results.iter().find(|t| *t.name == *topic_partition.topic);
        let result = topic.and_then(|topic| {
            topic.results_by_partition.iter().find(|p| p.partition_index == topic_partition.partition)
        });
        result.map_or(ErrorCode::UnknownServerError.code(), |r| r.partition_error_code)
    };
    let results = partitions.iter().map(|(key, topic_partition)| {
        let code = code_of(topic_partition);
        (*key, check(code, ApiKey::AddPartitionsToTxn, &topic_partition.to_string(), &place))
    });
    Ok(results.collect())
}

async fn coordinator(client: &Client, transactional_id: &str) -> Result<crate::types::BrokerId> {
    let deadline = clock::now() + client.config().request_timeout;
    client.coordinator(CoordinatorKind::Transaction, transactional_id, u32::MAX, deadline).await
}

fn check(code: i16, api: ApiKey, subject: &str, place: &Place) -> Result<()> {
    match ErrorCode::from(code) {
        ErrorCode::None => Ok(()),
        code => Err(Error::broker(code, api, subject).at(place)),
    }
}
