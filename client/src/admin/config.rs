//! The settings of an admin client. Defaults are Kafka's.
use std::time::Duration;

use crate::config::{CLIENT_SETTINGS, ClientConfig, Endpoints};
use crate::consumer::CONSUMER_SETTINGS;
use crate::error::{Error, Result};
use crate::producer::PRODUCER_SETTINGS;
use crate::properties::{INT, Known, LONG, Number, Property, check, unknown};

/// What [`Admin::connect`](super::Admin::connect) needs beside a [`ClientConfig`]. Every field is Kafka's setting of that name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AdminConfig {
    /// `bootstrap.controllers`: the addresses (`host:port`) of controllers with KRaft, to ask them themselves when no broker
    /// runs, or about what brokers do not know (KIP-919); instead of `bootstrap.servers`. Kafka 3.7 and newer. Default: none.
    pub bootstrap_controllers: Vec<String>,
    /// `retries`: how often a call is tried again; at most 2147483647. `default.api.timeout.ms` is the better limit.
    /// Default: 2147483647.
    pub retries: u32,
    /// `connections.max.idle.ms`: a connection without traffic is closed after this, whatever [`ClientConfig`] says.
    /// Default: 300 s; `None`: never.
    pub connections_max_idle: Option<Duration>,
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self {
            bootstrap_controllers: Vec::new(),
            retries: i32::MAX as u32,
            connections_max_idle: Some(Duration::from_secs(300)),
        }
    }
}

/// Where they are not those of the other settings of that name.
const NUMBERS: &[Number] = &[("retries", 0, INT), ("connections.max.idle.ms", -1, LONG)];

pub(crate) const ADMIN_SETTINGS: Known =
    Known { owner: "AdminConfig", keys: &["bootstrap.controllers", "retries", "connections.max.idle.ms"] };

impl AdminConfig {
    /// Reads settings by Kafka's names. Those of [`ClientConfig`] are passed over, so that the same lines can be given to
    /// both.
    ///
    /// ```
    /// # fn main() -> ottla_client::Result<()> {
    /// use ottla_client::{AdminConfig, ClientConfig};
    ///
    /// let lines = [("bootstrap.controllers", "a:9093,b:9093"), ("client.id", "ops"), ("retries", "5")];
    /// let (client, admin) = (ClientConfig::from_properties(lines)?, AdminConfig::from_properties(lines)?);
    /// assert_eq!((admin.retries, client.client_id.as_str()), (5, "ops"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Config`] for the first value that is not valid, and for a name that is not an admin client's, with the
    /// nearest one.
    pub fn from_properties<'a>(properties: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self> {
        let mut config = Self::default();
        for (key, value) in properties {
            let property = Property::new(key, value, NUMBERS);
            match key {
                "bootstrap.controllers" => config.bootstrap_controllers = property.list().map(str::to_owned).collect(),
                "retries" => config.retries = property.integer()?,
                "connections.max.idle.ms" => {
                    config.connections_max_idle = property.unless_minus_one()?.map(Duration::from_millis);
                }
                _ if CLIENT_SETTINGS.keys.contains(&key) => {}
                _ => {
                    let others = [&CLIENT_SETTINGS, &PRODUCER_SETTINGS, &CONSUMER_SETTINGS];
                    return Err(unknown(property, &ADMIN_SETTINGS, &others));
                }
            }
        }
        Ok(config)
    }

    /// Checks every setting, together with those of the client.
    ///
    /// # Errors
    /// [`Error::Config`] naming the first that is not valid.
    pub fn validate(&self, client: &ClientConfig) -> Result<()> {
        check(NUMBERS, "retries", self.retries)?;
        check(NUMBERS, "connections.max.idle.ms", self.connections_max_idle.unwrap_or_default().as_millis())?;
        if !self.bootstrap_controllers.is_empty() && !client.bootstrap_servers.is_empty() {
            let controllers = self.bootstrap_controllers.join(",");
            let reason = "it must be left out when bootstrap.servers is given: an admin client asks one or the other";
            return Err(Error::config("bootstrap.controllers", controllers, reason));
        }
        self.settings_of(client.clone()).validate()
    }

    /// What a client has that serves an admin client alone.
    pub(super) fn settings_of(&self, client: ClientConfig) -> ClientConfig {
        let mut settings = ClientConfig { connections_max_idle: self.connections_max_idle, ..client };
        if !self.bootstrap_controllers.is_empty() {
            settings.bootstrap_servers.clone_from(&self.bootstrap_controllers);
            settings.endpoints = Endpoints::Controllers;
        }
        settings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_admin_client_has_its_own_idle_time_and_its_controllers_in_place_of_brokers() {
        let own = AdminConfig::default().settings_of(ClientConfig::new("a:1"));
        assert_eq!((own.connections_max_idle, own.endpoints), (Some(Duration::from_secs(300)), Endpoints::Brokers));
        assert_eq!(own.bootstrap_servers, ["a:1"]);
        let controllers = AdminConfig { bootstrap_controllers: vec!["c:1".into()], ..AdminConfig::default() };
        let own = controllers.settings_of(ClientConfig::default());
        assert_eq!((own.bootstrap_servers, own.endpoints), (vec!["c:1".to_owned()], Endpoints::Controllers));
    }
}
