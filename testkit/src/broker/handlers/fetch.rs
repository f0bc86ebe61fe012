//! Fetch: sessions, long polls, read_committed.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kafka_protocol::messages::fetch_response::{
    AbortedTransaction, EpochEndOffset, FetchableTopicResponse, LeaderIdAndEpoch, NodeEndpoint, PartitionData,
};
use kafka_protocol::messages::{BrokerId, FetchRequest, FetchResponse, ProducerId, TopicName};
use uuid::Uuid;

use super::super::ErrorCode;
use super::super::cluster::{Call, Cluster, ConnectionId, Outcome};
use super::super::fetch_session::{Context, FetchKey, Shown, Wanted};
use super::super::partition::Partition;
use super::super::request::Head;
use super::text;

/// A fetch that may have to wait.
#[derive(Debug)]
pub(crate) struct Parked {
    call: Call,
    head: Head,
    context: Context,
    wanted: Vec<(FetchKey, Wanted)>,
    committed: bool,
    rack: String,
    min_bytes: usize,
    max_bytes: usize,
    until: Instant,
}

impl Parked {
    /// Names and indices of the partitions it waits for.
    pub(crate) fn partitions<'a>(
        &'a self,
        ids: &'a BTreeMap<Uuid, String>,
    ) -> impl Iterator<Item = (Cow<'a, str>, i32)> + 'a {
        self.wanted.iter().filter_map(|(key, _)| Some((Cow::Owned(name_of(ids, key).ok()?), key.partition)))
    }
}

fn name_of(ids: &BTreeMap<Uuid, String>, key: &FetchKey) -> Result<String, ErrorCode> {
    if key.topic_id.is_nil() {
        return Ok(key.topic.to_string());
    }
    ids.get(&key.topic_id).cloned().ok_or(ErrorCode::UnknownTopicId)
}

/// One partition, read.
struct Read {
    data: PartitionData,
    bytes: usize,
    /// Nothing to wait for: an error, a divergence, or more data than was read.
    ready: bool,
}

pub(crate) fn handle(
    cluster: &mut Cluster,
    call: &Call,
    head: Head,
    connection: ConnectionId,
    request: FetchRequest,
) -> Outcome {
    let opened = cluster.sessions.open(call.now, call.node, call.version, &request);
    let (context, wanted) = match opened {
        Ok(opened) => opened,
        Err(error) => return Outcome::Reply(head.reply(FetchResponse::default().with_error_code(error.code()))),
    };
    let parked = Parked {
        call: call.clone(),
        head,
        context,
        wanted,
        committed: request.isolation_level == 1,
        rack: request.rack_id.to_string(),
        min_bytes: usize::try_from(request.min_bytes).unwrap_or(0),
        max_bytes: usize::try_from(request.max_bytes).unwrap_or(0),
        until: call.now + Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0)),
    };
    answer_or_park(cluster, call.now, connection, parked)
}

/// Looks again at the fetch a connection has parked.
pub(crate) fn resume(cluster: &mut Cluster, now: Instant, connection: ConnectionId) -> Outcome {
    let Some(parked) = cluster.parked.remove(&connection) else { return Outcome::NoReply };
    cluster.unwatch(connection, &parked);
    answer_or_park(cluster, now, connection, parked)
}

fn answer_or_park(cluster: &mut Cluster, now: Instant, connection: ConnectionId, parked: Parked) -> Outcome {
    let mut budget = parked.max_bytes;
    let mut read_bytes = 0;
    let mut ready = parked.wanted.is_empty() || now >= parked.until;
    let mut reads = Vec::with_capacity(parked.wanted.len());
    for (key, wanted) in &parked.wanted {
        let read = read(cluster, &parked, key, wanted, budget, read_bytes == 0);
        budget = budget.saturating_sub(read.bytes);
        read_bytes += read.bytes;
        ready |= read.ready;
        reads.push(read.data);
    }
    if !ready && read_bytes < parked.min_bytes {
        let until = parked.until;
        cluster.watch(connection, &parked);
        cluster.parked.insert(connection, parked);
        return Outcome::Park { until };
    }
    let head = parked.head;
    Outcome::Reply(head.reply(respond(cluster, now, parked, reads)))
}

fn read(cluster: &Cluster, parked: &Parked, key: &FetchKey, wanted: &Wanted, budget: usize, first: bool) -> Read {
    let found = name_of(&cluster.topic_ids, key).and_then(|name| {
        parked.call.fails(&name, key.partition)?;
        let partition = cluster.partition(&name, key.partition).ok_or(ErrorCode::UnknownTopicOrPartition)?;
        Ok(partition)
    });
    let partition = match found {
        Ok(partition) => partition,
        Err(error) => return failed(key, error, None),
    };
    if let Err(error) = check_reader(cluster, parked, partition, wanted.current_leader_epoch) {
        return failed(key, error, Some(partition).filter(|_| parked.call.version >= 16));
    }
    if let Some(replica) = preferred_replica(cluster, parked, partition) {
        let data = described(key, partition, parked.committed).with_preferred_read_replica(BrokerId(replica));
        return Read { data, bytes: 0, ready: true };
    }
    let (start, end) = (partition.log.start_offset(), partition.high_watermark());
    if let Some(diverging) = diverging(partition, wanted) {
        let data = described(key, partition, parked.committed).with_diverging_epoch(diverging);
        return Read { data, bytes: 0, ready: true };
    }
    if wanted.offset < start || wanted.offset > end {
        return failed(key, ErrorCode::OffsetOutOfRange, None);
    }
    let bound = if parked.committed { partition.last_stable_offset() } else { end };
    let max_bytes = usize::try_from(wanted.max_bytes).unwrap_or(0).min(budget);
    let slice = partition.log.read(wanted.offset, bound, max_bytes, first);
    let bytes = slice.records.len();
    let mut data = described(key, partition, parked.committed);
    if parked.committed {
        let aborted = partition.aborted_between(wanted.offset, slice.end_offset.max(wanted.offset)).into_iter();
        let listed = aborted.map(|aborted| {
            AbortedTransaction::default()
                .with_producer_id(ProducerId(aborted.producer_id))
                .with_first_offset(aborted.first_offset)
        });
        data.aborted_transactions = Some(listed.collect());
    }
    data.records = Some(slice.records);
    Read { data, bytes, ready: slice.more }
}

/// Whether readers may be sent from the leader to a follower (KIP-392).
fn has_followers(cluster: &Cluster, parked: &Parked, partition: &Partition) -> bool {
    parked.call.version >= 11 && (partition.preferred.is_some() || !cluster.config.racks.is_empty())
}

fn check_reader(cluster: &Cluster, parked: &Parked, partition: &Partition, epoch: i32) -> Result<(), ErrorCode> {
    if has_followers(cluster, parked, partition) {
        partition.check_replica(parked.call.node, epoch)
    } else {
        partition.check_leader(parked.call.node, epoch)
    }
}

/// Where the leader sends a reader: the replica a test named, or one in the reader's rack (`RackAwareReplicaSelector`).
fn preferred_replica(cluster: &Cluster, parked: &Parked, partition: &Partition) -> Option<i32> {
    if partition.leader != Some(parked.call.node) || !has_followers(cluster, parked, partition) {
        return None;
    }
    let usable = |id: &i32| partition.isr.contains(id) && cluster.is_alive(*id);
    let is_near = |id: &i32| cluster.node(*id).is_some_and(|node| node.rack.as_ref() == Some(&parked.rack));
    let near = || partition.leader.iter().chain(&partition.isr).copied().find(|id| usable(id) && is_near(id));
    partition.preferred.filter(usable).or_else(near).filter(|&id| partition.leader != Some(id))
}

fn described(key: &FetchKey, partition: &Partition, committed: bool) -> PartitionData {
    PartitionData::default()
        .with_partition_index(key.partition)
        .with_high_watermark(partition.high_watermark())
        .with_last_stable_offset(partition.last_stable_offset())
        .with_log_start_offset(partition.log.start_offset())
        .with_aborted_transactions(committed.then(Vec::new))
        .with_records(Some(Bytes::new()))
}

fn failed(key: &FetchKey, error: ErrorCode, hint: Option<&Partition>) -> Read {
    let leader = hint.map(|partition| {
        LeaderIdAndEpoch::default()
            .with_leader_id(BrokerId(partition.leader.unwrap_or(-1)))
            .with_leader_epoch(partition.leader_epoch)
    });
    let data = PartitionData::default()
        .with_partition_index(key.partition)
        .with_error_code(error.code())
        .with_high_watermark(-1)
        .with_aborted_transactions(None)
        .with_current_leader(leader.unwrap_or_default())
        .with_records(Some(Bytes::new()));
    Read { data, bytes: 0, ready: true }
}

/// Where the reader's log and this one part, if they do (KIP-595).
fn diverging(partition: &Partition, wanted: &Wanted) -> Option<EpochEndOffset> {
    let end = partition.log.next_offset();
    let (epoch, offset) = partition.log.epochs.end_offset_for(wanted.last_fetched_epoch, end)?;
    let diverges = epoch < wanted.last_fetched_epoch || offset < wanted.offset;
    diverges.then(|| EpochEndOffset::default().with_epoch(epoch).with_end_offset(offset))
}

fn respond(cluster: &mut Cluster, now: Instant, parked: Parked, reads: Vec<PartitionData>) -> FetchResponse {
    let Parked { call, context, wanted, .. } = parked;
    let session_id = match context {
        Context::Sessionless => 0,
        Context::Incremental(id) => id,
        Context::Full { by_id } => {
            let all = wanted.iter().zip(&reads).map(|((key, wanted), data)| (key.clone(), *wanted, shown(data)));
            cluster.sessions.create(now, call.node, by_id, &mut cluster.rng, all)
        }
    };
    let mut topics: Vec<FetchableTopicResponse> = Vec::new();
    for ((key, _), data) in wanted.into_iter().zip(reads) {
        if let Context::Incremental(id) = context
            && !cluster.sessions.must_show(call.node, id, &key, shown(&data))
        {
            continue;
        }
        match topics.last_mut() {
            Some(last) if last.topic_id == key.topic_id && last.topic.0 == key.topic => last.partitions.push(data),
            _ => topics.push(
                FetchableTopicResponse::default()
                    .with_topic(TopicName(key.topic))
                    .with_topic_id(key.topic_id)
                    .with_partitions(vec![data]),
            ),
        }
    }
    let mut response = FetchResponse::default().with_session_id(session_id).with_responses(topics);
    if call.version >= 16 {
        response.node_endpoints = endpoints(cluster, &response);
    }
    response
}

fn shown(data: &PartitionData) -> Shown {
    Shown {
        high_watermark: data.high_watermark,
        log_start_offset: data.log_start_offset,
        has_records: data.records.as_ref().is_some_and(|records| !records.is_empty()),
        must_show: data.error_code != 0 || data.diverging_epoch.end_offset >= 0 || data.preferred_read_replica.0 >= 0,
    }
}

/// Addresses of the leaders hinted at (KIP-951).
fn endpoints(cluster: &Cluster, response: &FetchResponse) -> Vec<NodeEndpoint> {
    let partitions = response.responses.iter().flat_map(|topic| &topic.partitions);
    let hinted: Vec<i32> = partitions.map(|data| data.current_leader.leader_id.0).filter(|&id| id >= 0).collect();
    let nodes = cluster.nodes.iter().filter(|node| hinted.contains(&node.id));
    let endpoint = |node: &super::super::cluster::Node| {
        NodeEndpoint::default()
            .with_node_id(BrokerId(node.id))
            .with_host(text(node.host.clone()))
            .with_port(i32::from(node.port))
    };
    nodes.map(endpoint).collect()
}
