//! The positions of groups, asked for from outside.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ottla_client::{Admin, Client, ClientConfig, Error, ErrorCode, TopicPartition};
use ottla_testkit::{ApiKey, Broker, ErrorCode as Code};

/// The position that an undecided transaction keeps back is waited for, and hides no other.
#[tokio::test]
async fn positions_that_are_not_decided_are_asked_for_again_alone() {
    use ottla_testkit::kafka_protocol::messages::offset_fetch_response::{
        OffsetFetchResponseGroup, OffsetFetchResponsePartitions, OffsetFetchResponseTopics,
    };
    use ottla_testkit::kafka_protocol::messages::{OffsetFetchRequest, OffsetFetchResponse, TopicName};
    let broker = Broker::builder().topic("orders", 3).start().await.unwrap();
    let mut config = ClientConfig::new(&broker.bootstrap());
    config.default_api_timeout = Duration::from_millis(500);
    config.retry_backoff = Duration::from_millis(5);
    let admin = Admin::new(&Client::connect(config).await.unwrap());
    let orders: Vec<_> = (0..3).map(|partition| TopicPartition::new("orders", partition)).collect();
    let script = Arc::new(Mutex::new(Vec::new()));
    let asked = Arc::clone(&script);
    let answer = move |request: &OffsetFetchRequest| {
        let topics = request.groups[0].topics.as_ref();
        let partitions = topics.map_or_else(|| vec![0, 1, 2], |topics| topics[0].partition_indexes.clone());
        let mut asked = asked.lock().unwrap();
        asked.push(partitions.clone());
        let results = partitions.into_iter().map(|partition| {
            let is_open = partition == 2 || (partition == 1 && asked.len() == 1);
            let code = if is_open { Code::UnstableOffsetCommit.code() } else { 0 };
            let found = OffsetFetchResponsePartitions::default().with_partition_index(partition).with_error_code(code);
            found.with_committed_offset(7)
        });
        let name = TopicName("orders".into());
        let topic = OffsetFetchResponseTopics::default().with_name(name).with_partitions(results.collect());
        let group = OffsetFetchResponseGroup::default().with_group_id(request.groups[0].group_id.clone());
        OffsetFetchResponse::default().with_groups(vec![group.with_topics(vec![topic])])
    };
    broker.on(ApiKey::OffsetFetch).reply(answer).always();
    let stored = admin.committed_offsets("g", &orders).await.unwrap();
    assert_eq!(script.lock().unwrap()[..3], [vec![0, 1, 2], vec![1, 2], vec![2]]);
    let offset = |at: usize| stored[&orders[at]].as_ref().map(|position| position.as_ref().unwrap().offset);
    assert_eq!((offset(0).unwrap(), offset(1).unwrap()), (7, 7));
    let late = offset(2).unwrap_err();
    assert!(matches!(late, Error::Timeout { .. }) && late.code() == Some(ErrorCode::UnstableOffsetCommit), "{late}");
    assert!(admin.all_committed_offsets("g").await.is_err(), "all, or an error");
}
