use std::collections::BTreeSet;

use ottla_protocol::messages::*;
use ottla_protocol::{Encoder, Request, Wire};

use super::*;

const THROTTLE: Option<Duration> = Some(Duration::from_millis(250));

fn frame<R: Request<Response: Wire>>(version: i16, response: &R::Response) -> Vec<u8> {
    let mut out = Encoder::new();
    out.put_slice(&7i32.to_be_bytes());
    if R::version(version).flexible && R::API_KEY != ApiKey::ApiVersions {
        out.put_slice(&[0]);
    }
    response.encode(&mut out, R::version(version)).unwrap();
    out.into_segments().concat()
}

/// What a connection makes of an answer.
fn seen<R: Request<Response: Wire>>(version: i16, response: &R::Response) -> Option<Duration> {
    let by_frame = of_frame(R::API_KEY, version, &frame::<R>(version, response));
    let by_response = of_response(version, response);
    assert!(by_frame.is_none() || by_response.is_none(), "{} v{version} is throttled once", R::API_KEY);
    by_frame.or(by_response)
}

/// Every API, with the first version that `shouldClientThrottle` of its response class is true for.
#[test]
fn every_answer_mutes_from_the_version_on_that_java_says() {
    let mut apis: BTreeSet<_> =
        [ApiKey::SaslHandshake, ApiKey::SaslAuthenticate, ApiKey::WriteTxnMarkers, ApiKey::DescribeQuorum].into();
    macro_rules! every {
        ($($from:literal: $($request:ident $response:ident),+;)*) => { $($(
            for version in $request::MIN_VERSION.max($from - 1)..=$request::MAX_VERSION {
                let response = $response { throttle_time_ms: 250, ..Default::default() };
                let wanted = THROTTLE.filter(|_| version >= $from);
                assert_eq!(seen::<$request>(version, &response), wanted, "{} v{version}", $request::API_KEY);
            }
            apis.insert($request::API_KEY);
        )+)* };
    }
    every! {
        8: FetchRequest FetchResponse;
        6: ProduceRequest ProduceResponse,
            MetadataRequest MetadataResponse;
        4: OffsetCommitRequest OffsetCommitResponse,
            OffsetFetchRequest OffsetFetchResponse;
        3: ListOffsetsRequest ListOffsetsResponse,
            JoinGroupRequest JoinGroupResponse,
            CreateTopicsRequest CreateTopicsResponse;
        2: FindCoordinatorRequest FindCoordinatorResponse,
            HeartbeatRequest HeartbeatResponse,
            LeaveGroupRequest LeaveGroupResponse,
            SyncGroupRequest SyncGroupResponse,
            DescribeGroupsRequest DescribeGroupsResponse,
            ListGroupsRequest ListGroupsResponse,
            ApiVersionsRequest ApiVersionsResponse,
            DeleteTopicsRequest DeleteTopicsResponse,
            OffsetForLeaderEpochRequest OffsetForLeaderEpochResponse,
            DescribeConfigsRequest DescribeConfigsResponse;
        1: DeleteRecordsRequest DeleteRecordsResponse,
            InitProducerIdRequest InitProducerIdResponse,
            AddPartitionsToTxnRequest AddPartitionsToTxnResponse,
            AddOffsetsToTxnRequest AddOffsetsToTxnResponse,
            EndTxnRequest EndTxnResponse,
            TxnOffsetCommitRequest TxnOffsetCommitResponse,
            DescribeAclsRequest DescribeAclsResponse,
            CreateAclsRequest CreateAclsResponse,
            DeleteAclsRequest DeleteAclsResponse,
            AlterConfigsRequest AlterConfigsResponse,
            AlterReplicaLogDirsRequest AlterReplicaLogDirsResponse,
            DescribeLogDirsRequest DescribeLogDirsResponse,
            CreatePartitionsRequest CreatePartitionsResponse,
            CreateDelegationTokenRequest CreateDelegationTokenResponse,
            RenewDelegationTokenRequest RenewDelegationTokenResponse,
            ExpireDelegationTokenRequest ExpireDelegationTokenResponse,
            DescribeDelegationTokenRequest DescribeDelegationTokenResponse,
            DeleteGroupsRequest DeleteGroupsResponse;
        0: ElectLeadersRequest ElectLeadersResponse,
            IncrementalAlterConfigsRequest IncrementalAlterConfigsResponse,
            AlterPartitionReassignmentsRequest AlterPartitionReassignmentsResponse,
            ListPartitionReassignmentsRequest ListPartitionReassignmentsResponse,
            OffsetDeleteRequest OffsetDeleteResponse,
            DescribeClientQuotasRequest DescribeClientQuotasResponse,
            AlterClientQuotasRequest AlterClientQuotasResponse,
            DescribeUserScramCredentialsRequest DescribeUserScramCredentialsResponse,
            AlterUserScramCredentialsRequest AlterUserScramCredentialsResponse,
            UpdateFeaturesRequest UpdateFeaturesResponse,
            DescribeClusterRequest DescribeClusterResponse,
            DescribeProducersRequest DescribeProducersResponse,
            UnregisterBrokerRequest UnregisterBrokerResponse,
            DescribeTransactionsRequest DescribeTransactionsResponse,
            ListTransactionsRequest ListTransactionsResponse,
            ConsumerGroupHeartbeatRequest ConsumerGroupHeartbeatResponse,
            ConsumerGroupDescribeRequest ConsumerGroupDescribeResponse,
            GetTelemetrySubscriptionsRequest GetTelemetrySubscriptionsResponse,
            PushTelemetryRequest PushTelemetryResponse,
            ListConfigResourcesRequest ListConfigResourcesResponse,
            DescribeTopicPartitionsRequest DescribeTopicPartitionsResponse,
            ShareGroupHeartbeatRequest ShareGroupHeartbeatResponse,
            ShareGroupDescribeRequest ShareGroupDescribeResponse,
            ShareFetchRequest ShareFetchResponse,
            ShareAcknowledgeRequest ShareAcknowledgeResponse,
            AddRaftVoterRequest AddRaftVoterResponse,
            RemoveRaftVoterRequest RemoveRaftVoterResponse,
            StreamsGroupDescribeRequest StreamsGroupDescribeResponse,
            DescribeShareGroupOffsetsRequest DescribeShareGroupOffsetsResponse,
            AlterShareGroupOffsetsRequest AlterShareGroupOffsetsResponse,
            DeleteShareGroupOffsetsRequest DeleteShareGroupOffsetsResponse,
            UnregisterControllerRequest UnregisterControllerResponse;
    }
    assert_eq!(apis.len(), ApiKey::ALL.len(), "none is left out");
}

#[test]
fn what_has_no_throttle_time_throttles_nothing() {
    let response = SaslAuthenticateResponse { session_lifetime_ms: 250, ..Default::default() };
    assert_eq!(seen::<SaslAuthenticateRequest>(1, &response), None);
    assert_eq!(of_response(6, &FetchResponse::default()), None);
}

#[test]
fn a_short_frame_throttles_nothing() {
    assert_eq!(of_frame(ApiKey::Fetch, 12, &[0, 0, 0, 1, 0, 0]), None);
    assert_eq!(of_frame(ApiKey::Fetch, 12, &[]), None);
}
