//! Commands about groups.

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    ConsumerGroupHeartbeatRequest, ConsumerProtocolAssignment, ConsumerProtocolSubscription, DescribeGroupsRequest,
    FindCoordinatorRequest, GroupId, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest,
    OffsetCommitRequest, OffsetFetchRequest, SyncGroupRequest, SyncGroupResponse,
};
use kafka_protocol::protocol::{Encodable, StrBytes};

use super::actor::{Actor, Answer, Member, text};
use super::script::Command;

const JOIN: i16 = 6;
const SYNC: i16 = 4;

fn group(actor: &Actor, command: &Command, index: usize) -> GroupId {
    GroupId(text(&actor.name(command.word(index))))
}

/// A member of the script, or its literal name.
fn member_id(actor: &Actor, name: &str) -> StrBytes {
    text(actor.members.get(name).map_or(name, |member| &member.id))
}

fn generation(actor: &Actor, command: &Command, name: &str) -> i32 {
    actor.members.get(name).map_or(-1, |member| member.generation) + command.or("gen", 0)
}

/// The static member's name, in versions of the API that know of it.
fn instance(command: &Command, version: i16, since: i16) -> Option<StrBytes> {
    command.option("instance").filter(|_| version >= since).map(text)
}

/// `coord NAME TYPE [v=4]`
pub(crate) async fn coordinator(actor: &mut Actor, command: &Command) -> Answer {
    let (version, key) = (command.or("v", 4), text(&actor.name(command.word(1))));
    let request = FindCoordinatorRequest::default().with_key_type(command.number(2));
    let request = if version >= 4 { request.with_coordinator_keys(vec![key]) } else { request.with_key(key) };
    let Some(answer) = actor.ask(version, &request).await else { return Answer::closed() };
    let code = answer.coordinators.first().map_or(answer.error_code, |coordinator| coordinator.error_code);
    let port = answer.coordinators.first().map_or(answer.port, |coordinator| coordinator.port);
    Answer::new(code, format!("found {}", port > 0))
}

/// A real subscription if the command has `topics`, else some bytes.
fn subscription(actor: &Actor, command: &Command) -> Bytes {
    use kafka_protocol::messages::consumer_protocol_subscription::TopicPartition;
    let Some(topics) = command.option("topics") else { return Bytes::from_static(b"meta") };
    let owned = command.option("owned").map(|owned| {
        let mut parts = owned.split(':');
        let topic = actor.topic(parts.next().unwrap_or_default());
        TopicPartition::default()
            .with_topic(topic)
            .with_partitions(parts.filter_map(|part| part.parse().ok()).collect())
    });
    let subscription = ConsumerProtocolSubscription::default()
        .with_topics(topics.split(',').map(|topic| text(&actor.name(topic))).collect())
        .with_user_data(None)
        .with_owned_partitions(owned.into_iter().collect());
    let mut out = BytesMut::from(&[0, 1][..]);
    subscription.encode(&mut out, 1).unwrap();
    out.freeze()
}

/// A real assignment: `TOPIC:0:1`.
fn assignment(actor: &Actor, given: &str) -> Bytes {
    use kafka_protocol::messages::consumer_protocol_assignment::TopicPartition;
    let mut parts = given.split(':');
    let topic = actor.topic(parts.next().unwrap_or_default());
    let partitions = parts.filter_map(|part| part.parse().ok()).collect();
    let assigned = TopicPartition::default().with_topic(topic).with_partitions(partitions);
    let assignment =
        ConsumerProtocolAssignment::default().with_assigned_partitions(vec![assigned]).with_user_data(None);
    let mut out = BytesMut::from(&[0, 1][..]);
    assignment.encode(&mut out, 1).unwrap();
    out.freeze()
}

fn join_request(actor: &Actor, command: &Command, version: i16) -> JoinGroupRequest {
    let protocols = command.option("protocols").unwrap_or("range").split(',').filter(|name| !name.is_empty());
    let metadata = subscription(actor, command);
    let protocols =
        protocols.map(|name| JoinGroupRequestProtocol::default().with_name(text(name)).with_metadata(metadata.clone()));
    let known = actor.members.get(command.word(2)).map(|member| text(&member.id));
    JoinGroupRequest::default()
        .with_group_id(group(actor, command, 1))
        .with_session_timeout_ms(command.or("session", 10_000))
        .with_rebalance_timeout_ms(command.or("rebalance", 10_000))
        .with_member_id(command.option("id").map(text).or(known).unwrap_or_default())
        .with_group_instance_id(instance(command, version, 5))
        .with_protocol_type(text(command.option("type").unwrap_or("consumer")).replace_empty())
        .with_protocols(protocols.collect())
}

trait ReplaceEmpty {
    fn replace_empty(self) -> Self;
}

impl ReplaceEmpty for StrBytes {
    /// `type=none` stands for the empty one.
    fn replace_empty(self) -> Self {
        if &*self == "none" { Self::default() } else { self }
    }
}

/// `join GROUP MEMBER [protocols=range] [type=consumer] [session=10000] [instance=] [id=] [topics=A,B [owned=TOPIC:0:1]]
/// [v=6] [later]`; `later` = the answer comes with `joined`, with `topics` the subscription can be read
pub(crate) async fn join(actor: &mut Actor, command: &Command) -> Answer {
    let version = command.or("v", JOIN);
    let request = join_request(actor, command, version);
    let name = command.word(2);
    actor.client(name).await.send(version, &request).await;
    if command.has("later") {
        return Answer { codes: Vec::new(), text: String::new() };
    }
    let answer = actor.answer::<JoinGroupRequest>(name, version).await;
    join_answer(actor, name, answer)
}

/// `joined MEMBER [v=6]`
pub(crate) async fn joined(actor: &mut Actor, command: &Command) -> Answer {
    let name = command.word(1);
    let answer = actor.answer::<JoinGroupRequest>(name, command.or("v", JOIN)).await;
    join_answer(actor, name, answer)
}

fn join_answer(actor: &mut Actor, name: &str, answer: Option<JoinGroupResponse>) -> Answer {
    let Some(answer) = answer else { return Answer::closed() };
    // MEMBER_ID_REQUIRED gives an id to come back with (KIP-394).
    if answer.error_code == 0 || answer.error_code == 79 {
        let member = Member { id: answer.member_id.to_string(), generation: answer.generation_id };
        actor.members.insert(name.to_owned(), member);
    }
    let leads = answer.leader == answer.member_id && answer.error_code == 0;
    let more = format!(
        "generation {} protocol {:?} leads {leads} members {} id {}",
        answer.generation_id,
        answer.protocol_name.as_deref(),
        answer.members.len(),
        !answer.member_id.is_empty()
    );
    Answer::new(answer.error_code, more)
}

/// `sync GROUP MEMBER [gen=0] [assign=MEMBER:TEXT,...] [give=TOPIC:0:1] [protocol=] [v=4] [later]`; `give` assigns really
pub(crate) async fn sync(actor: &mut Actor, command: &Command) -> Answer {
    let (version, name) = (command.or("v", SYNC), command.word(2));
    let assignments = command.option("assign").unwrap_or_default().split(',').filter_map(|pair| pair.split_once(':'));
    let assignments = assignments.map(|(member, assigned)| {
        SyncGroupRequestAssignment::default()
            .with_member_id(member_id(actor, member))
            .with_assignment(Bytes::copy_from_slice(assigned.as_bytes()))
    });
    let given = command.option("give").map(|given| {
        SyncGroupRequestAssignment::default()
            .with_member_id(member_id(actor, name))
            .with_assignment(assignment(actor, given))
    });
    let assignments = assignments.chain(given);
    let mut request = SyncGroupRequest::default()
        .with_group_id(group(actor, command, 1))
        .with_generation_id(generation(actor, command, name))
        .with_member_id(member_id(actor, name))
        .with_group_instance_id(instance(command, version, 3))
        .with_assignments(assignments.collect());
    if version >= 5 {
        request.protocol_type = Some(text("consumer"));
        request.protocol_name = Some(text(command.option("protocol").unwrap_or("range")));
    }
    actor.client(name).await.send(version, &request).await;
    if command.has("later") {
        return Answer { codes: Vec::new(), text: String::new() };
    }
    sync_answer(actor.answer::<SyncGroupRequest>(name, version).await)
}

/// `synced MEMBER [v=4]`
pub(crate) async fn synced(actor: &mut Actor, command: &Command) -> Answer {
    sync_answer(actor.answer::<SyncGroupRequest>(command.word(1), command.or("v", SYNC)).await)
}

fn sync_answer(answer: Option<SyncGroupResponse>) -> Answer {
    let Some(answer) = answer else { return Answer::closed() };
    Answer::new(answer.error_code, String::from_utf8_lossy(&answer.assignment))
}

/// `beat GROUP MEMBER [gen=0] [instance=] [v=4]`
pub(crate) async fn heartbeat(actor: &mut Actor, command: &Command) -> Answer {
    let (version, name) = (command.or("v", 4), command.word(2));
    let request = HeartbeatRequest::default()
        .with_group_id(group(actor, command, 1))
        .with_generation_id(generation(actor, command, name))
        .with_member_id(member_id(actor, name))
        .with_group_instance_id(instance(command, version, 3));
    match actor.ask(version, &request).await {
        Some(answer) => Answer::new(answer.error_code, ""),
        None => Answer::closed(),
    }
}

/// `leave GROUP MEMBER [instance=] [v=5]`
pub(crate) async fn leave(actor: &mut Actor, command: &Command) -> Answer {
    let (version, id) = (command.or("v", 5), member_id(actor, command.word(2)));
    let request = LeaveGroupRequest::default().with_group_id(group(actor, command, 1));
    let request = if version >= 3 {
        let id = if command.has("by-instance") { StrBytes::default() } else { id };
        request.with_members(vec![
            MemberIdentity::default().with_member_id(id).with_group_instance_id(instance(command, version, 3)),
        ])
    } else {
        request.with_member_id(id)
    };
    let Some(answer) = actor.ask(version, &request).await else { return Answer::closed() };
    let members = answer.members.iter().map(|member| member.error_code);
    Answer { codes: std::iter::once(answer.error_code).chain(members).collect(), text: String::new() }
}

/// `commit GROUP TOPIC PARTITION OFFSET [m=MEMBER] [gen=0] [instance=] [meta=] [v=8]`
pub(crate) async fn commit(actor: &mut Actor, command: &Command) -> Answer {
    let version = command.or("v", 8);
    let meta = "m".repeat(command.or("meta", 0));
    let partition = OffsetCommitRequestPartition::default()
        .with_partition_index(command.number(3))
        .with_committed_offset(command.number(4))
        .with_committed_leader_epoch(-1)
        .with_committed_metadata(Some(text(&meta)));
    let topic =
        OffsetCommitRequestTopic::default().with_name(actor.topic(command.word(2))).with_partitions(vec![partition]);
    let name = command.option("m").unwrap_or_default();
    let request = OffsetCommitRequest::default()
        .with_group_id(group(actor, command, 1))
        .with_generation_id_or_member_epoch(generation(actor, command, name))
        .with_member_id(member_id(actor, name))
        .with_group_instance_id(instance(command, version, 7))
        .with_topics(vec![topic]);
    match actor.ask(version, &request).await {
        Some(answer) => Answer::new(answer.topics[0].partitions[0].error_code, ""),
        None => Answer::closed(),
    }
}

/// `offset GROUP TOPIC PARTITION [stable] [m=MEMBER] [v=8]`
pub(crate) async fn offset(actor: &mut Actor, command: &Command) -> Answer {
    let (version, topic) = (command.or("v", 8), actor.topic(command.word(2)));
    let (id, partitions) = (group(actor, command, 1), vec![command.number(3)]);
    let name = command.option("m").unwrap_or_default();
    let request = OffsetFetchRequest::default().with_require_stable(command.has("stable"));
    let request = if version >= 8 {
        let topic = OffsetFetchRequestTopics::default().with_name(topic).with_partition_indexes(partitions);
        let mut wanted = OffsetFetchRequestGroup::default().with_group_id(id).with_topics(Some(vec![topic]));
        if version >= 9 {
            wanted.member_epoch = generation(actor, command, name);
            wanted.member_id = (!name.is_empty()).then(|| member_id(actor, name));
        }
        request.with_groups(vec![wanted])
    } else {
        let topic = OffsetFetchRequestTopic::default().with_name(topic).with_partition_indexes(partitions);
        request.with_group_id(id).with_topics(Some(vec![topic]))
    };
    let Some(answer) = actor.ask(version, &request).await else { return Answer::closed() };
    let old = answer.topics.first().map(|topic| &topic.partitions[0]);
    let old = old.map(|found| (found.error_code, found.committed_offset, found.metadata.clone()));
    let new = answer.groups.first().and_then(|group| group.topics.first()).map(|topic| &topic.partitions[0]);
    let new = new.map(|found| (found.error_code, found.committed_offset, found.metadata.clone()));
    let whole = answer.groups.first().map_or(answer.error_code, |group| group.error_code);
    match new.or(old) {
        Some((code, offset, metadata)) => {
            let metadata = metadata.map_or(-1, |metadata| metadata.len() as i64);
            Answer { codes: vec![whole, code], text: format!("at {offset} metadata {metadata}") }
        }
        None => Answer::new(whole, "nothing"),
    }
}

/// `group GROUP [v=5]`
pub(crate) async fn describe(actor: &mut Actor, command: &Command) -> Answer {
    let request = DescribeGroupsRequest::default().with_groups(vec![group(actor, command, 1)]);
    let Some(answer) = actor.ask(command.or("v", 5), &request).await else { return Answer::closed() };
    let group = &answer.groups[0];
    let more = format!(
        "{} type {:?} protocol {:?} members {}",
        &*group.group_state,
        &*group.protocol_type,
        &*group.protocol_data,
        group.members.len()
    );
    Answer::new(group.error_code, more)
}

/// `cgbeat GROUP MEMBER [epoch=EPOCH] [topics=A,B] [owned=TOPIC:0:1] [instance=] [assignor=] [regex=] [rebalance=30000] [v=1]`;
/// without `epoch` the member's own
pub(crate) async fn consumer_heartbeat(actor: &mut Actor, command: &Command) -> Answer {
    let name = command.word(2);
    let epoch = actor.members.get(name).map_or(0, |member| member.generation);
    let topics = command.option("topics").map(|topics| topics.split(',').map(|topic| actor.topic(topic)).collect());
    let owned = command.option("owned").map(|owned| {
        let mut parts = owned.split(':');
        let topic = actor.topic_id(parts.next().unwrap_or_default());
        let partitions: Vec<i32> = parts.filter_map(|part| part.parse().ok()).collect();
        if partitions.is_empty() {
            vec![]
        } else {
            vec![TopicPartitions::default().with_topic_id(topic).with_partitions(partitions)]
        }
    });
    // The member makes its own id from version 1 on.
    let id = command.option("id").map_or_else(|| actor.name(name), str::to_owned);
    let request = ConsumerGroupHeartbeatRequest::default()
        .with_group_id(group(actor, command, 1))
        .with_member_id(text(if id == "none" { "" } else { &id }))
        .with_member_epoch(command.or("epoch", epoch))
        .with_instance_id(instance(command, 1, 0))
        .with_rebalance_timeout_ms(command.or("rebalance", 30_000))
        .with_subscribed_topic_names(topics)
        .with_subscribed_topic_regex(command.option("regex").map(|regex| text(&regex.replace('@', &actor.name("t")))))
        .with_server_assignor(command.option("assignor").map(text))
        .with_topic_partitions(owned);
    let Some(answer) = actor.ask(command.or("v", 1), &request).await else { return Answer::closed() };
    if answer.error_code == 0 {
        let member = Member { id: id.clone(), generation: answer.member_epoch };
        actor.members.insert(name.to_owned(), member);
    }
    let assigned = answer.assignment.map(|assignment| {
        let mut parts: Vec<_> = assignment.topic_partitions.into_iter().flat_map(|topic| topic.partitions).collect();
        parts.sort_unstable();
        parts
    });
    Answer::new(answer.error_code, format!("epoch {} assigned {assigned:?}", answer.member_epoch))
}
