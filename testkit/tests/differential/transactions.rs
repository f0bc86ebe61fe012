//! Commands about producers and transactions.

use kafka_protocol::messages::add_partitions_to_txn_request::{AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction};
use kafka_protocol::messages::describe_producers_request::TopicRequest;
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, DescribeProducersRequest, DescribeTransactionsRequest,
    EndTxnRequest, GroupId, InitProducerIdRequest, ProducerId, TransactionalId, TxnOffsetCommitRequest,
};

use super::actor::{Actor, Answer, Producer, text};
use super::script::Command;

fn transactional_id(actor: &Actor, name: &str) -> TransactionalId {
    TransactionalId(text(&actor.name(name)))
}

/// The producer of the second word, its epoch moved by `epoch=`, its id by `id=`.
fn producer(actor: &Actor, command: &Command) -> (ProducerId, i16) {
    let producer = actor.producer(command.word(1));
    (ProducerId(producer.id + command.or("id", 0)), producer.epoch + command.or("epoch", 0))
}

/// `init PRODUCER [txn=ID] [timeout=60000] [from=PRODUCER] [epoch=0] [v=5]`
pub(crate) async fn init(actor: &mut Actor, command: &Command) -> Answer {
    let from = command.option("from").map(|name| actor.producer(name));
    let (id, epoch) =
        from.map_or((-1, -1), |from| (from.id + command.or("id", 0), from.epoch + command.or("epoch", 0)));
    let request = InitProducerIdRequest::default()
        .with_transactional_id(command.option("txn").map(|name| transactional_id(actor, name)))
        .with_transaction_timeout_ms(command.or("timeout", 60_000))
        .with_producer_id(ProducerId(id))
        .with_producer_epoch(epoch);
    let Some(answer) = actor.ask(command.or("v", 5), &request).await else { return Answer::closed() };
    let (id, epoch) = (answer.producer_id.0, answer.producer_epoch);
    if answer.error_code == 0 {
        actor.producers.insert(command.word(1).to_owned(), Producer { id, epoch });
    }
    let symbol = actor.symbol(id);
    Answer::new(answer.error_code, format!("{symbol} epoch {epoch}"))
}

/// `add PRODUCER TXN TOPIC PARTITION... [epoch=0] [id=0] [verify] [v=3]`
pub(crate) async fn add(actor: &mut Actor, command: &Command) -> Answer {
    let (version, txn) = (command.or("v", 3), transactional_id(actor, command.word(2)));
    let (id, epoch) = producer(actor, command);
    let partitions = command.words[4..].iter().filter_map(|word| word.parse().ok()).collect();
    let topic = AddPartitionsToTxnTopic::default().with_name(actor.topic(command.word(3))).with_partitions(partitions);
    let request = if version >= 4 {
        let transaction = AddPartitionsToTxnTransaction::default()
            .with_transactional_id(txn)
            .with_producer_id(id)
            .with_producer_epoch(epoch)
            .with_verify_only(command.has("verify"))
            .with_topics(vec![topic]);
        AddPartitionsToTxnRequest::default().with_transactions(vec![transaction])
    } else {
        AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(txn)
            .with_v3_and_below_producer_id(id)
            .with_v3_and_below_producer_epoch(epoch)
            .with_v3_and_below_topics(vec![topic])
    };
    let Some(answer) = actor.ask(version, &request).await else { return Answer::closed() };
    let old = answer.results_by_topic_v3_and_below.iter();
    let new = answer.results_by_transaction.iter().flat_map(|transaction| &transaction.topic_results);
    let mut results: Vec<_> = old.chain(new).flat_map(|topic| &topic.results_by_partition).collect();
    // Brokers name partitions in any order.
    results.sort_by_key(|result| result.partition_index);
    let codes: Vec<_> = results.into_iter().map(|result| result.partition_error_code).collect();
    let text = if version >= 4 { format!("whole {}", answer.error_code) } else { String::new() };
    Answer { codes, text }
}

/// `addoff PRODUCER TXN GROUP [epoch=0] [id=0] [v=3]`
pub(crate) async fn add_offsets(actor: &mut Actor, command: &Command) -> Answer {
    let (id, epoch) = producer(actor, command);
    let request = AddOffsetsToTxnRequest::default()
        .with_transactional_id(transactional_id(actor, command.word(2)))
        .with_producer_id(id)
        .with_producer_epoch(epoch)
        .with_group_id(GroupId(text(&actor.name(command.word(3)))));
    match actor.ask(command.or("v", 3), &request).await {
        Some(answer) => Answer::new(answer.error_code, ""),
        None => Answer::closed(),
    }
}

/// `txncommit PRODUCER TXN GROUP TOPIC PARTITION OFFSET [epoch=0] [member=M] [gen=-1] [v=3]`
pub(crate) async fn commit_offsets(actor: &mut Actor, command: &Command) -> Answer {
    let (id, epoch) = producer(actor, command);
    let partition = TxnOffsetCommitRequestPartition::default()
        .with_partition_index(command.number(5))
        .with_committed_offset(command.number(6));
    let topic =
        TxnOffsetCommitRequestTopic::default().with_name(actor.topic(command.word(4))).with_partitions(vec![partition]);
    let member = command.option("member").map(|name| actor.members.get(name).map_or(name, |member| &member.id));
    let request = TxnOffsetCommitRequest::default()
        .with_transactional_id(transactional_id(actor, command.word(2)))
        .with_group_id(GroupId(text(&actor.name(command.word(3)))))
        .with_producer_id(id)
        .with_producer_epoch(epoch)
        .with_generation_id(command.or("gen", -1))
        .with_member_id(text(member.unwrap_or_default()))
        .with_topics(vec![topic]);
    match actor.ask(command.or("v", 3), &request).await {
        Some(answer) => Answer::new(answer.topics[0].partitions[0].error_code, ""),
        None => Answer::closed(),
    }
}

/// `end PRODUCER TXN commit|abort [epoch=0] [id=0] [v=4]`; from version 5 on the producer goes on with what it is given
pub(crate) async fn end(actor: &mut Actor, command: &Command) -> Answer {
    let version = command.or("v", 4);
    let (id, epoch) = producer(actor, command);
    let request = EndTxnRequest::default()
        .with_transactional_id(transactional_id(actor, command.word(2)))
        .with_producer_id(id)
        .with_producer_epoch(epoch)
        .with_committed(command.word(3) == "commit");
    let Some(answer) = actor.ask(version, &request).await else { return Answer::closed() };
    if version < 5 {
        return Answer::new(answer.error_code, "");
    }
    let (id, epoch) = (answer.producer_id.0, answer.producer_epoch);
    if answer.error_code == 0 && !command.has("stay") {
        actor.producers.insert(command.word(1).to_owned(), Producer { id, epoch });
    }
    let symbol = actor.symbol(id);
    Answer::new(answer.error_code, format!("{symbol} epoch {epoch}"))
}

/// `txn ID`
pub(crate) async fn describe(actor: &mut Actor, command: &Command) -> Answer {
    let ids = vec![transactional_id(actor, command.word(1))];
    let request = DescribeTransactionsRequest::default().with_transactional_ids(ids);
    let Some(answer) = actor.ask(0, &request).await else { return Answer::closed() };
    let state = &answer.transaction_states[0];
    let partitions: usize = state.topics.iter().map(|topic| topic.partitions.len()).sum();
    let symbol = actor.symbol(state.producer_id.0);
    // What is being prepared will be complete in a moment.
    let code = if state.transaction_state.starts_with("Prepare") { 51 } else { state.error_code };
    let more = format!(
        "{} {symbol} epoch {} timeout {} partitions {partitions}",
        &*state.transaction_state, state.producer_epoch, state.transaction_timeout_ms
    );
    Answer::new(code, more)
}

/// `producers TOPIC PARTITION`
pub(crate) async fn producers(actor: &mut Actor, command: &Command) -> Answer {
    let topic =
        TopicRequest::default().with_name(actor.topic(command.word(1))).with_partition_indexes(vec![command.number(2)]);
    let Some(answer) = actor.ask(0, &DescribeProducersRequest::default().with_topics(vec![topic])).await else {
        return Answer::closed();
    };
    let partition = &answer.topics[0].partitions[0];
    let mut producers: Vec<_> = partition
        .active_producers
        .iter()
        .map(|producer| {
            let symbol = actor.symbol(producer.producer_id.0);
            format!(
                "{symbol} epoch {} sequence {} open {}",
                producer.producer_epoch, producer.last_sequence, producer.current_txn_start_offset
            )
        })
        .collect();
    producers.sort();
    Answer::new(partition.error_code, producers.join(", "))
}
