//! ListGroups: those this node coordinates.

use std::collections::BTreeSet;

use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::{GroupId, ListGroupsRequest, ListGroupsResponse};
use kafka_protocol::protocol::StrBytes;

use super::super::cluster::{Call, Cluster};
use super::super::leadership::GROUP;
use super::{code, text};

pub(super) fn handle(cluster: &mut Cluster, call: &Call, request: ListGroupsRequest) -> ListGroupsResponse {
    let allows = |filter: &[StrBytes], value: &str| {
        filter.is_empty() || filter.iter().any(|name| name.eq_ignore_ascii_case(value))
    };
    let mine = |group: &&String| cluster.coordinator(GROUP, group).is_some_and(|node| node.id == call.node);
    let groups = &cluster.groups;
    let names: BTreeSet<&String> =
        groups.classic.keys().chain(groups.consumer.keys()).chain(cluster.offsets.groups()).collect();
    let groups = names.into_iter().filter(mine).filter_map(|name| {
        let (kind, state, protocol_type) = shape(cluster, name);
        if !allows(&request.states_filter, state) || !allows(&request.types_filter, kind) {
            return None;
        }
        let listed =
            ListedGroup::default().with_group_id(GroupId(text(name.clone()))).with_protocol_type(text(protocol_type));
        let listed = if call.version >= 4 { listed.with_group_state(text(state)) } else { listed };
        Some(if call.version >= 5 { listed.with_group_type(text(kind)) } else { listed })
    });
    ListGroupsResponse::default().with_error_code(code(&call.fails_whole())).with_groups(groups.collect())
}

/// Type, state and protocol type of a group.
fn shape(cluster: &Cluster, name: &str) -> (&'static str, &'static str, String) {
    if let Some(group) = cluster.groups.consumer.get(name) {
        return ("consumer", group.state(), "consumer".to_owned());
    }
    match cluster.groups.classic.get(name) {
        Some(group) => ("classic", group.state.name(), group.protocol_type.clone()),
        // A group that only committed offsets has no members, hence no state but this.
        None => ("classic", "Empty", String::new()),
    }
}
