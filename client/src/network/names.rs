//! Who we are for the brokers' logs and quotas, where `client.id` does not say: Kafka's names (`ProducerConfig.java`,
//! `ConsumerConfig.java`, `KafkaAdminClient.java`).
use std::collections::HashMap;

use super::Lane;

/// The name that each lane has.
#[derive(Debug)]
pub(crate) struct ClientNames {
    given: String,
    /// This client's number among those of the process.
    number: u32,
    /// The consumers that have a group, by the number of their lane.
    consumers: HashMap<u32, String>,
}

impl ClientNames {
    pub(crate) fn new(given: &str, number: u32) -> Self {
        Self { given: given.to_owned(), number, consumers: HashMap::new() }
    }

    /// The name of all lanes together, for metrics.
    pub(crate) fn of_client(&self) -> String {
        if self.given.is_empty() { format!("client-{}", self.number) } else { self.given.clone() }
    }

    /// The name on this lane. Producers of one client share their connections, and so their name.
    pub(crate) fn of(&self, lane: Lane) -> String {
        if !self.given.is_empty() {
            return self.given.clone();
        }
        match lane {
            Lane::General => format!("adminclient-{}", self.number),
            Lane::Produce | Lane::Coordinator => format!("producer-{}", self.number),
            Lane::Fetch(consumer) => {
                self.consumers.get(&consumer).cloned().unwrap_or_else(|| format!("consumer-{consumer}"))
            }
        }
    }

    /// The consumer that fetches on this lane belongs to a group.
    pub(crate) fn join(&mut self, consumer: u32, group: &str, instance: Option<&str>) {
        let name = match instance {
            Some(instance) => format!("consumer-{group}-{instance}"),
            None => format!("consumer-{group}-{consumer}"),
        };
        self.consumers.insert(consumer, name);
    }

    /// The consumer is gone.
    pub(crate) fn leave(&mut self, consumer: u32) {
        self.consumers.remove(&consumer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_client_id_each_lane_has_the_name_that_java_gives() {
        let mut names = ClientNames::new("", 3);
        names.join(5, "shop", None);
        names.join(6, "shop", Some("till-1"));
        let lanes = [Lane::General, Lane::Produce, Lane::Coordinator, Lane::Fetch(4), Lane::Fetch(5), Lane::Fetch(6)];
        let expected =
            ["adminclient-3", "producer-3", "producer-3", "consumer-4", "consumer-shop-5", "consumer-shop-till-1"];
        assert_eq!(lanes.map(|lane| names.of(lane)), expected);
        names.leave(5);
        assert_eq!(names.of(Lane::Fetch(5)), "consumer-5");
        assert!(lanes.iter().all(|lane| ClientNames::new("mine", 3).of(*lane) == "mine"));
    }
}
