//! Quotas: from some version of each API on, a broker answers at once and expects to be left alone for a while (KIP-219).
use std::any::Any;
use std::time::Duration;

use ottla_protocol::messages::ProduceResponse;
use ottla_protocol::{ApiKey, ResponseHeader};

/// The first version of Produce with such answers.
const PRODUCE_FROM: i16 = 6;

/// How long the broker wants to be left alone, as the first field of an answer says: all but Produce have it there.
pub(crate) fn of_frame(api: ApiKey, version: i16, frame: &[u8]) -> Option<Duration> {
    if version < client_throttles_from(api)? {
        return None;
    }
    // A response header with tags has never been seen: a tag is not looked for in front of the field.
    let at = if version >= api.flexible_from() { 5 } else { 4 };
    if at == 5 && frame.get(4) != Some(&0) {
        return whole_header(api, version, frame);
    }
    duration(i32::from_be_bytes(*frame.get(at..)?.first_chunk()?))
}

/// The same for an answer to Produce, where the field stands behind the partitions.
pub(crate) fn of_response(version: i16, response: &dyn Any) -> Option<Duration> {
    let produce = response.downcast_ref::<ProduceResponse>()?;
    if version < PRODUCE_FROM { None } else { duration(produce.throttle_time_ms) }
}

fn whole_header(api: ApiKey, version: i16, frame: &[u8]) -> Option<Duration> {
    let mut rest = bytes::Bytes::copy_from_slice(frame);
    ResponseHeader::decode(api, version, &mut rest).ok()?;
    duration(i32::from_be_bytes(*rest.first_chunk()?))
}

fn duration(ms: i32) -> Option<Duration> {
    u64::try_from(ms).ok().filter(|ms| *ms > 0).map(Duration::from_millis)
}

/// `shouldClientThrottle` of Kafka's response classes.
fn client_throttles_from(api: ApiKey) -> Option<i16> {
    use ApiKey as K;
    Some(match api {
        K::Fetch => 8,
        K::Metadata => 6,
        K::OffsetCommit | K::OffsetFetch => 4,
        K::ListOffsets | K::JoinGroup | K::CreateTopics => 3,
        K::FindCoordinator
        | K::Heartbeat
        | K::LeaveGroup
        | K::SyncGroup
        | K::DescribeGroups
        | K::ListGroups
        | K::DeleteTopics
        | K::DescribeConfigs => 2,
        K::DeleteRecords
        | K::InitProducerId
        | K::AddPartitionsToTxn
        | K::AddOffsetsToTxn
        | K::EndTxn
        | K::TxnOffsetCommit
        | K::DescribeAcls
        | K::CreateAcls
        | K::DeleteAcls
        | K::AlterConfigs
        | K::AlterReplicaLogDirs
        | K::DescribeLogDirs
        | K::CreatePartitions
        | K::DeleteGroups => 1,
        K::IncrementalAlterConfigs
        | K::ElectLeaders
        | K::DescribeTransactions
        | K::ListTransactions
        | K::DescribeProducers
        | K::DescribeCluster
        | K::ConsumerGroupHeartbeat
        | K::ConsumerGroupDescribe => 0,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ottla_protocol::messages::{FetchRequest, FetchResponse, MetadataRequest, MetadataResponse};
    use ottla_protocol::{Encoder, Request, Wire};

    fn frame<R: Request<Response: Wire>>(version: i16, response: &R::Response) -> Vec<u8> {
        let mut out = Encoder::new();
        out.put_slice(&7i32.to_be_bytes());
        if R::version(version).flexible {
            out.put_slice(&[0]);
        }
        response.encode(&mut out, R::version(version)).unwrap();
        out.into_segments().concat()
    }

    #[test]
    fn a_throttle_time_mutes_from_the_version_on_that_answers_first() {
        let fetch = FetchResponse { throttle_time_ms: 250, ..Default::default() };
        let of = |version| of_frame(ApiKey::Fetch, version, &frame::<FetchRequest>(version, &fetch));
        assert_eq!(of(7), None, "older brokers have waited themselves");
        for version in [8, 11, 12, 16] {
            assert_eq!(of(version), Some(Duration::from_millis(250)), "{version}");
        }
        let metadata = MetadataResponse { throttle_time_ms: 30, ..Default::default() };
        let of = |version| of_frame(ApiKey::Metadata, version, &frame::<MetadataRequest>(version, &metadata));
        assert_eq!((of(5), of(6), of(12)), (None, Some(Duration::from_millis(30)), Some(Duration::from_millis(30))));
    }

    #[test]
    fn produce_says_it_behind_its_partitions() {
        let response = ProduceResponse { throttle_time_ms: 9, ..Default::default() };
        assert_eq!(of_response(5, &response), None);
        assert_eq!(of_response(6, &response), Some(Duration::from_millis(9)));
        assert_eq!(of_response(6, &FetchResponse::default()), None);
    }

    #[test]
    fn a_short_frame_throttles_nothing() {
        assert_eq!(of_frame(ApiKey::Fetch, 12, &[0, 0, 0, 1, 0, 0]), None);
        assert_eq!(of_frame(ApiKey::Fetch, 12, &[]), None);
    }
}
