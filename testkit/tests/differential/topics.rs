//! Commands about topics.

use std::time::{Duration, Instant};

use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic};
use kafka_protocol::messages::{
    BrokerId, CreatePartitionsRequest, CreateTopicsRequest, DeleteRecordsRequest, DeleteTopicsRequest,
    DescribeConfigsRequest, MetadataRequest, MetadataResponse, OffsetForLeaderEpochRequest,
};

use super::actor::{Actor, Answer, text};
use super::script::Command;

/// `topic NAME PARTITIONS [rf=1] [config=KEY:VALUE] [v=7] [validate]`
pub(crate) async fn create(actor: &mut Actor, command: &Command) -> Answer {
    let name = command.word(1);
    let version = command.or("v", 7);
    let mut topic = CreatableTopic::default()
        .with_name(actor.topic(name))
        .with_num_partitions(command.number(2))
        .with_replication_factor(command.or("rf", 1));
    if let Some((key, value)) = command.option("config").and_then(|config| config.split_once(':')) {
        topic.configs.push(CreatableTopicConfig::default().with_name(text(key)).with_value(Some(text(value))));
    }
    let validate = command.has("validate");
    let request =
        CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(10_000).with_validate_only(validate);
    let Some(answer) = actor.ask(version, &request).await else { return Answer::closed() };
    let result = &answer.topics[0];
    if result.error_code == 0 && !validate {
        await_leaders(actor, name, command.number::<i32>(2).max(1) as usize).await;
    }
    let counts = if version >= 5 && result.error_code == 0 {
        format!("{} {}", result.num_partitions, result.replication_factor)
    } else {
        String::new()
    };
    Answer::new(result.error_code, counts)
}

async fn metadata(actor: &mut Actor, name: &str, version: i16, auto: bool) -> Option<MetadataResponse> {
    let topic = MetadataRequestTopic::default().with_name(Some(actor.topic(name)));
    let request = MetadataRequest::default().with_topics(Some(vec![topic])).with_allow_auto_topic_creation(auto);
    actor.ask(version, &request).await
}

/// A real broker knows its own topics a moment after their creation.
async fn await_leaders(actor: &mut Actor, name: &str, partitions: usize) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let answer = metadata(actor, name, 12, false).await.unwrap();
        let topic = &answer.topics[0];
        let led = topic.partitions.iter().filter(|partition| partition.error_code == 0).count();
        if topic.error_code == 0 && led >= partitions {
            actor.topics.insert(name.to_owned(), topic.topic_id);
            return;
        }
        assert!(Instant::now() < deadline, "{answer:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// `delete NAME [v=6]`
pub(crate) async fn delete(actor: &mut Actor, command: &Command) -> Answer {
    let (version, name) = (command.or("v", 6), command.word(1));
    let request = if version >= 6 {
        let mut topic = DeleteTopicState::default().with_name(Some(actor.topic(name)));
        if command.has("by-id") {
            topic = DeleteTopicState::default().with_name(None).with_topic_id(actor.topic_id(name));
        }
        DeleteTopicsRequest::default().with_topics(vec![topic])
    } else {
        DeleteTopicsRequest::default().with_topic_names(vec![actor.topic(name)])
    };
    match actor.ask(version, &request.with_timeout_ms(10_000)).await {
        Some(answer) => Answer::new(answer.responses[0].error_code, ""),
        None => Answer::closed(),
    }
}

/// `grow NAME COUNT [v=3]`
pub(crate) async fn grow(actor: &mut Actor, command: &Command) -> Answer {
    let topic = CreatePartitionsTopic::default()
        .with_name(actor.topic(command.word(1)))
        .with_count(command.number(2))
        .with_assignments(None);
    let request = CreatePartitionsRequest::default().with_topics(vec![topic]).with_timeout_ms(10_000);
    let Some(answer) = actor.ask(command.or("v", 3), &request).await else { return Answer::closed() };
    let code = answer.results[0].error_code;
    if code == 0 {
        await_leaders(actor, command.word(1), command.number(2)).await;
    }
    Answer::new(code, "")
}

/// `trim NAME PARTITION OFFSET [v=2]`
pub(crate) async fn trim(actor: &mut Actor, command: &Command) -> Answer {
    let partition =
        DeleteRecordsPartition::default().with_partition_index(command.number(2)).with_offset(command.number(3));
    let topic = DeleteRecordsTopic::default().with_name(actor.topic(command.word(1))).with_partitions(vec![partition]);
    let request = DeleteRecordsRequest::default().with_topics(vec![topic]).with_timeout_ms(10_000);
    let Some(answer) = actor.ask(command.or("v", 2), &request).await else { return Answer::closed() };
    let partition = &answer.topics[0].partitions[0];
    Answer::new(partition.error_code, format!("low {}", partition.low_watermark))
}

/// `meta NAME [v=12] [auto]`
pub(crate) async fn describe(actor: &mut Actor, command: &Command) -> Answer {
    let auto = command.has("auto");
    let Some(answer) = metadata(actor, command.word(1), command.or("v", 12), auto).await else {
        return Answer::closed();
    };
    let topic = &answer.topics[0];
    Answer::new(topic.error_code, format!("{} partitions internal {}", topic.partitions.len(), topic.is_internal))
}

/// `config NAME KEY [v=4] [type=2]`
pub(crate) async fn config(actor: &mut Actor, command: &Command) -> Answer {
    let resource = DescribeConfigsResource::default()
        .with_resource_type(command.or("type", 2))
        .with_resource_name(text(&actor.name(command.word(1))))
        .with_configuration_keys(Some(vec![text(command.word(2))]));
    let request = DescribeConfigsRequest::default().with_resources(vec![resource]);
    let Some(answer) = actor.ask(command.or("v", 4), &request).await else { return Answer::closed() };
    let result = &answer.results[0];
    let entries = result.configs.iter().map(|entry| {
        format!("{}={} source {}", entry.name, entry.value.as_ref().map_or("null", |value| value), entry.config_source)
    });
    Answer::new(result.error_code, entries.collect::<Vec<_>>().join(" "))
}

/// `epoch NAME PARTITION CURRENT WANTED [v=4]`
pub(crate) async fn epoch(actor: &mut Actor, command: &Command) -> Answer {
    let partition = OffsetForLeaderPartition::default()
        .with_partition(command.number(2))
        .with_current_leader_epoch(command.number(3))
        .with_leader_epoch(command.number(4));
    let topic =
        OffsetForLeaderTopic::default().with_topic(actor.topic(command.word(1))).with_partitions(vec![partition]);
    let request = OffsetForLeaderEpochRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![topic]);
    let Some(answer) = actor.ask(command.or("v", 4), &request).await else { return Answer::closed() };
    let partition = &answer.topics[0].partitions[0];
    Answer::new(partition.error_code, format!("epoch {} end {}", partition.leader_epoch, partition.end_offset))
}
