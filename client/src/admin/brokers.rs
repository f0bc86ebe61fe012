//! Taking brokers and controllers out of a cluster.
#![allow(clippy::disallowed_methods, reason = "this file does I/O")]

use ottla_protocol::ApiKey;
use ottla_protocol::messages::unregister_broker::UnregisterBrokerRequest;
use ottla_protocol::messages::unregister_controller::UnregisterControllerRequest;

use super::Admin;
use super::call::{Target, outcome};
use crate::error::Result;
use crate::types::BrokerId;

impl Admin {
    /// Makes the cluster forget a broker that is gone for good. With KRaft.
    ///
    /// ```no_run
    /// # async fn run(admin: ottla_client::Admin) -> ottla_client::Result<()> {
    /// admin.unregister_broker(ottla_client::BrokerId(3)).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::UnsupportedVersion`](crate::Error::UnsupportedVersion) with ZooKeeper; when the controller could not be
    /// asked; [`Error::Broker`](crate::Error::Broker), such as `BROKER_ID_NOT_REGISTERED`.
    pub async fn unregister_broker(&self, broker: BrokerId) -> Result<()> {
        let subject = &format!("broker {broker}");
        self.once("UnregisterBroker", Target::Controller, |node| async move {
            let (response, at) = self.send(node, None, |_| UnregisterBrokerRequest { broker_id: broker.0 }).await?;
            outcome(response.error_code, ApiKey::UnregisterBroker, subject, response.error_message, &at)
        })
        .await
    }
    /// Makes the cluster forget a controller that is gone for good. Brokers 4.4 and newer.
    ///
    /// # Errors
    /// [`Error::UnsupportedVersion`](crate::Error::UnsupportedVersion); when the controller could not be asked;
    /// [`Error::Broker`](crate::Error::Broker), such as `CONTROLLER_ID_NOT_REGISTERED`.
    pub async fn unregister_controller(&self, controller: BrokerId) -> Result<()> {
        let subject = &format!("controller {controller}");
        let request = &UnregisterControllerRequest { controller_id: controller.0 };
        self.once("UnregisterController", Target::Controller, |node| async move {
            let (response, at) = self.send(node, None, |_| request.clone()).await?;
            outcome(response.error_code, ApiKey::UnregisterController, subject, response.error_message, &at)
        })
        .await
    }
}
