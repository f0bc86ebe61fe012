//! The controllers that vote (KIP-853). Brokers 3.9 and newer.
#![allow(clippy::disallowed_methods, reason = "this file does I/O")]

use ottla_protocol::ApiKey;
use ottla_protocol::messages::add_raft_voter::{AddRaftVoterRequest, Listener};
use ottla_protocol::messages::remove_raft_voter::RemoveRaftVoterRequest;
use uuid::Uuid;

use super::Admin;
use super::call::{Target, outcome};
use crate::error::Result;
use crate::types::BrokerId;

/// Where a controller listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoterEndpoint {
    /// The name of the listener.
    pub listener: String,
    /// The host.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl Admin {
    /// Lets a controller vote that follows already; `directory_id` is that of its metadata directory.
    ///
    /// ```no_run
    /// # async fn run(admin: ottla_client::Admin) -> ottla_client::Result<()> {
    /// use ottla_client::VoterEndpoint;
    ///
    /// let quorum = admin.describe_quorum().await?;
    /// let endpoint = VoterEndpoint { listener: "CONTROLLER".into(), host: "controller-4".into(), port: 9093 };
    /// for observer in quorum.observers {
    ///     admin.add_raft_voter(observer.id, observer.directory_id, &[endpoint.clone()]).await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::UnsupportedVersion`](crate::Error::UnsupportedVersion), also from a cluster whose voters are in its files;
    /// when the controller could not be asked; [`Error::Broker`](crate::Error::Broker), such as `DUPLICATE_VOTER`.
    pub async fn add_raft_voter(&self, voter: BrokerId, directory_id: Uuid, endpoints: &[VoterEndpoint]) -> Result<()> {
        let listener = |endpoint: &VoterEndpoint| Listener {
            name: endpoint.listener.clone(),
            host: endpoint.host.clone(),
            port: endpoint.port,
        };
        let request = &AddRaftVoterRequest {
            cluster_id: None,
            timeout_ms: self.timeout_ms(),
            voter_id: voter.0,
            voter_directory_id: directory_id,
            listeners: endpoints.iter().map(listener).collect(),
            ..Default::default()
        };
        let subject = &format!("controller {voter}");
        self.once("AddRaftVoter", Target::Controller, |node| async move {
            let (response, at) = self.send(node, None, |_| request.clone()).await?;
            outcome(response.error_code, ApiKey::AddRaftVoter, subject, response.error_message, &at)
        })
        .await
    }

    /// Takes the vote from a controller.
    ///
    /// # Errors
    /// [`Error::UnsupportedVersion`](crate::Error::UnsupportedVersion), also from a cluster whose voters are in its files;
    /// when the controller could not be asked; [`Error::Broker`](crate::Error::Broker), such as `VOTER_NOT_FOUND`.
    pub async fn remove_raft_voter(&self, voter: BrokerId, directory_id: Uuid) -> Result<()> {
        let subject = &format!("controller {voter}");
        self.once("RemoveRaftVoter", Target::Controller, |node| async move {
            let request =
                RemoveRaftVoterRequest { cluster_id: None, voter_id: voter.0, voter_directory_id: directory_id };
            let (response, at) = self.send(node, None, |_| request).await?;
            outcome(response.error_code, ApiKey::RemoveRaftVoter, subject, response.error_message, &at)
        })
        .await
    }
}
