//! DeleteTopics, by name or (v6) by id.

use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::{DeleteTopicsRequest, DeleteTopicsResponse, TopicName};
use uuid::Uuid;

use super::super::ErrorCode;
use super::super::cluster::{Call, Cluster};
use super::{code, text};

pub(super) fn handle(cluster: &mut Cluster, call: &Call, request: DeleteTopicsRequest) -> DeleteTopicsResponse {
    let by_name = request.topic_names.into_iter().map(|name| (Some(name), Uuid::nil()));
    let by_state = request.topics.into_iter().map(|topic| (topic.name, topic.topic_id));
    let results = by_name.chain(by_state).map(|(name, id)| delete(cluster, call, name, id));
    DeleteTopicsResponse::default().with_responses(results.collect())
}

fn delete(cluster: &mut Cluster, call: &Call, name: Option<TopicName>, id: Uuid) -> DeletableTopicResult {
    let resolved = match &name {
        Some(name) => Ok(name.0.to_string()),
        None => cluster
            .topic_name("", id)
            .and_then(|name| if id.is_nil() { Err(ErrorCode::UnknownTopicId) } else { Ok(name) }),
    };
    let deleted = call.fails_whole().and(resolved).and_then(|name| cluster.delete_topic(&name).map(|id| (name, id)));
    let result = DeletableTopicResult::default().with_error_code(code(&deleted));
    match deleted {
        Ok((name, id)) => result.with_name(Some(TopicName(text(name)))).with_topic_id(id),
        Err(_) => {
            let name = name.or_else(|| (call.version < 6).then(TopicName::default));
            result.with_name(name).with_topic_id(id)
        }
    }
}
