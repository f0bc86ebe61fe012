//! ListGroups: groups that only committed offsets, as long as no group protocol is spoken.

use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::{GroupId, ListGroupsRequest, ListGroupsResponse};

use super::super::cluster::{Call, Cluster};
use super::super::leadership::GROUP;
use super::{code, text};

const STATE: &str = "Empty";
const KIND: &str = "classic";

pub(super) fn handle(cluster: &mut Cluster, call: &Call, request: ListGroupsRequest) -> ListGroupsResponse {
    let allows = |filter: &[kafka_protocol::protocol::StrBytes], value: &str| {
        filter.is_empty() || filter.iter().any(|name| name.eq_ignore_ascii_case(value))
    };
    let shown = allows(&request.states_filter, STATE) && allows(&request.types_filter, KIND);
    let mine = |group: &&String| cluster.coordinator(GROUP, group).is_some_and(|node| node.id == call.node);
    let groups = cluster.offsets.groups().filter(|group| shown && mine(group)).map(|group| {
        let listed = ListedGroup::default().with_group_id(GroupId(text(group.clone())));
        let listed = if call.version >= 4 { listed.with_group_state(text(STATE)) } else { listed };
        if call.version >= 5 { listed.with_group_type(text(KIND)) } else { listed }
    });
    ListGroupsResponse::default().with_error_code(code(&call.fails_whole())).with_groups(groups.collect())
}
