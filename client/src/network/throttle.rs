//! Quotas: from some version of each API on, a broker answers at once and expects to be left alone for a while (KIP-219).
use std::any::Any;
use std::time::Duration;

use ottla_protocol::messages::{
    ApiVersionsResponse, CreateDelegationTokenResponse, DescribeDelegationTokenResponse, ExpireDelegationTokenResponse,
    OffsetDeleteResponse, ProduceResponse, RenewDelegationTokenResponse,
};
use ottla_protocol::{ApiKey, ResponseHeader};

/// How long the broker wants to be left alone, as the first field of an answer says: most have it there.
pub(crate) fn of_frame(api: ApiKey, version: i16, frame: &[u8]) -> Option<Duration> {
    if is_further_behind(api) || version < client_throttles_from(api)? {
        return None;
    }
    // A response header with tags has never been seen: a tag is not looked for in front of the field.
    let at = if version >= api.flexible_from() { 5 } else { 4 };
    if at == 5 && frame.get(4) != Some(&0) {
        return whole_header(api, version, frame);
    }
    duration(i32::from_be_bytes(*frame.get(at..)?.first_chunk()?))
}

/// The same for an answer that has the field further behind.
#[inline]
pub(crate) fn of_response(version: i16, response: &dyn Any) -> Option<Duration> {
    macro_rules! field_of {
        ($($api:ident($response:ty),)*) => {
            $(if let Some(response) = response.downcast_ref::<$response>() {
                (ApiKey::$api, response.throttle_time_ms)
            } else)* {
                return None;
            }
        };
    }
    let (api, ms) = field_of! {
        Produce(ProduceResponse),
        ApiVersions(ApiVersionsResponse),
        OffsetDelete(OffsetDeleteResponse),
        CreateDelegationToken(CreateDelegationTokenResponse),
        RenewDelegationToken(RenewDelegationTokenResponse),
        ExpireDelegationToken(ExpireDelegationTokenResponse),
        DescribeDelegationToken(DescribeDelegationTokenResponse),
    };
    if version < client_throttles_from(api)? { None } else { duration(ms) }
}

fn whole_header(api: ApiKey, version: i16, frame: &[u8]) -> Option<Duration> {
    let mut rest = bytes::Bytes::copy_from_slice(frame);
    ResponseHeader::decode(api, version, &mut rest).ok()?;
    duration(i32::from_be_bytes(*rest.first_chunk()?))
}

fn duration(ms: i32) -> Option<Duration> {
    u64::try_from(ms).ok().filter(|ms| *ms > 0).map(Duration::from_millis)
}

/// `shouldClientThrottle` of Kafka's response classes; where a class has none, `AbstractResponse`'s: every version that
/// has the field (KAFKA-20828).
fn client_throttles_from(api: ApiKey) -> Option<i16> {
    use ApiKey as K;
    Some(match api {
        K::Fetch => 8,
        K::Produce | K::Metadata => 6,
        K::OffsetCommit | K::OffsetFetch => 4,
        K::ListOffsets | K::JoinGroup | K::CreateTopics => 3,
        K::FindCoordinator
        | K::Heartbeat
        | K::LeaveGroup
        | K::SyncGroup
        | K::DescribeGroups
        | K::ListGroups
        | K::ApiVersions
        | K::DeleteTopics
        | K::DescribeConfigs
        | K::OffsetForLeaderEpoch => 2,
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
        | K::CreateDelegationToken
        | K::RenewDelegationToken
        | K::ExpireDelegationToken
        | K::DescribeDelegationToken
        | K::DeleteGroups => 1,
        // Their answers have no such field.
        K::SaslHandshake | K::SaslAuthenticate | K::WriteTxnMarkers | K::DescribeQuorum => return None,
        _ => 0,
    })
}

/// Whether the field is not the first one of an answer.
fn is_further_behind(api: ApiKey) -> bool {
    use ApiKey as K;
    matches!(
        api,
        K::Produce
            | K::ApiVersions
            | K::OffsetDelete
            | K::CreateDelegationToken
            | K::RenewDelegationToken
            | K::ExpireDelegationToken
            | K::DescribeDelegationToken
    )
}

#[cfg(test)]
#[path = "throttle_tests.rs"]
mod tests;
