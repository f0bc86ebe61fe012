//! An admin client with connections of its own.
#![allow(clippy::disallowed_methods, reason = "this file does I/O")]

use super::{Admin, AdminConfig};
use crate::client::Client;
use crate::config::ClientConfig;
use crate::error::Result;

impl Admin {
    /// An admin client with connections of its own, to brokers or, with [`AdminConfig::bootstrap_controllers`], straight to
    /// the controllers (KIP-919). Controllers answer what is about the cluster itself: its nodes and its quorum, features,
    /// configurations, ACLs, quotas, users, topics that are made and deleted, elections and reassignments. All else is for
    /// brokers, and refused as `UNSUPPORTED_ENDPOINT_TYPE`. The broker of a call is a controller then.
    ///
    /// When the last clone is dropped, the connections are closed. Cancel safe.
    ///
    /// ```no_run
    /// # async fn run() -> ottla_client::Result<()> {
    /// use ottla_client::{Admin, AdminConfig, ClientConfig};
    ///
    /// let mut config = AdminConfig::default();
    /// config.bootstrap_controllers = vec!["controller-1:9093".into(), "controller-2:9093".into()];
    /// let admin = Admin::connect(ClientConfig::default(), config).await?;
    /// println!("{:?}", admin.describe_quorum().await?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) when a setting is not valid, such as both `bootstrap.servers` and
    /// `bootstrap.controllers`; those of [`Client::connect`]; [`Error::Broker`](crate::Error::Broker) with
    /// `MISMATCHED_ENDPOINT_TYPE` when `bootstrap.controllers` names a broker;
    /// [`Error::UnsupportedVersion`](crate::Error::UnsupportedVersion) from controllers before 3.7.
    pub async fn connect(client: ClientConfig, config: AdminConfig) -> Result<Self> {
        config.validate(&client)?;
        let client = Client::connect(config.settings_of(client)).await?;
        Ok(Self::new(&client).retries(config.retries))
    }
}
