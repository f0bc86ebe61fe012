//! ListGroups: those this node coordinates.

use std::collections::BTreeSet;

use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::{GroupId, ListGroupsRequest, ListGroupsResponse};
use kafka_protocol::protocol::StrBytes;

use super::super::cluster::{Call, Cluster};
use super::super::leadership::GROUP;
use super::{code, text};

const KIND: &str = "classic";

pub(super) fn handle(cluster: &mut Cluster, call: &Call, request: ListGroupsRequest) -> ListGroupsResponse {
    let allows = |filter: &[StrBytes], value: &str| {
        filter.is_empty() || filter.iter().any(|name| name.eq_ignore_ascii_case(value))
    };
    let mine = |group: &&String| cluster.coordinator(GROUP, group).is_some_and(|node| node.id == call.node);
    let names: BTreeSet<&String> = cluster.groups.classic.keys().chain(cluster.offsets.groups()).collect();
    let groups = names.into_iter().filter(mine).filter_map(|name| {
        let group = cluster.groups.classic.get(name);
        // A group that only committed offsets has no members, hence no state but this.
        let state = group.map_or("Empty", |group| group.state.name());
        if !allows(&request.states_filter, state) || !allows(&request.types_filter, KIND) {
            return None;
        }
        let listed = ListedGroup::default()
            .with_group_id(GroupId(text(name.clone())))
            .with_protocol_type(text(group.map_or_else(String::new, |group| group.protocol_type.clone())));
        let listed = if call.version >= 4 { listed.with_group_state(text(state)) } else { listed };
        Some(if call.version >= 5 { listed.with_group_type(text(KIND)) } else { listed })
    });
    ListGroupsResponse::default().with_error_code(code(&call.fails_whole())).with_groups(groups.collect())
}
