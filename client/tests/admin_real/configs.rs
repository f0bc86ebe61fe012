//! Settings of topics and brokers.

use std::collections::HashMap;

use ottla_client::*;

use crate::{World, code, unsupported};
pub(crate) async fn configs(w: &World) {
    w.topic("configs", 1).await;
    let topic = ConfigResource::Topic("configs".into());
    let broker = ConfigResource::Broker(w.ids[0]);
    let missing = ConfigResource::Topic("missing".into());
    let set = |key: &str, value: &str| (key.to_owned(), ConfigOp::Set(value.to_owned()));
    let changes = HashMap::from([
        (topic.clone(), vec![set("retention.ms", "86400000"), set("cleanup.policy", "compact")]),
        (broker.clone(), vec![set("log.cleaner.threads", "1")]),
        (missing.clone(), vec![set("retention.ms", "1")]),
    ]);
    let mut altered = w.admin.incremental_alter_configs(&changes).await.unwrap();
    altered.remove(&topic).unwrap().unwrap();
    altered.remove(&broker).unwrap().unwrap();
    assert_eq!(code(altered.remove(&missing).unwrap()), ErrorCode::UnknownTopicOrPartition);
    let added =
        HashMap::from([(topic.clone(), vec![("cleanup.policy".to_owned(), ConfigOp::Append("delete".into()))])]);
    w.admin.incremental_alter_configs(&added).await.unwrap().remove(&topic).unwrap().unwrap();
    w.eventually("the topic has its settings", || async {
        let config = w.admin.describe_configs(&topic, Some(&["retention.ms", "cleanup.policy"])).await.ok()?;
        assert_eq!(config.len(), 2);
        let is = |key: &str, value: &str| config[key].value.as_deref() == Some(value);
        (is("retention.ms", "86400000")
            && is("cleanup.policy", "compact,delete")
            && config["retention.ms"].source == ConfigSource::Topic)
            .then_some(())
    })
    .await;
    let (of_topic, mut described) = w
        .eventually("the topic is described with others", || async {
            let asked = [topic.clone(), broker.clone(), missing.clone()];
            let mut described = w.admin.describe_configs_of(&asked).await.unwrap();
            Some((described.remove(&topic)?.ok()?, described))
        })
        .await;
    assert!(of_topic.len() > 20);
    let of_broker = described.remove(&broker).unwrap().unwrap();
    assert!(of_broker["broker.id"].is_read_only || of_broker["node.id"].is_read_only);
    assert_eq!(code(described.remove(&missing).unwrap()), ErrorCode::UnknownTopicOrPartition);
    let bad = HashMap::from([(topic.clone(), vec![set("retention.ms", "soon")])]);
    let refused = w.admin.incremental_alter_configs(&bad).await.unwrap().remove(&topic).unwrap();
    // 2.8 has no code of its own for it.
    let wanted = if w.is_new { ErrorCode::InvalidConfig } else { ErrorCode::InvalidRequest };
    assert_eq!(code(refused), wanted);
    let log = ConfigResource::BrokerLogger(w.ids[0]);
    assert!(!w.admin.describe_configs(&log, None).await.unwrap().is_empty());
    if w.is_new {
        w.eventually("the topic is listed", || async {
            w.admin.list_config_resources().await.unwrap().contains(&topic).then_some(())
        })
        .await;
    } else {
        unsupported(w.admin.list_config_resources().await);
    }
    // The old call replaces everything.
    let whole = HashMap::from([(topic.clone(), HashMap::from([("retention.ms".to_owned(), "1000".to_owned())]))]);
    match w.admin.alter_configs(&whole).await.and_then(|mut altered| altered.remove(&topic).unwrap()) {
        Ok(()) => {}
        Err(error) => panic!("{error}"),
    }
    w.eventually("the old call has replaced the configuration", || async {
        let config = w.admin.describe_configs(&topic, Some(&["retention.ms", "cleanup.policy"])).await.ok()?;
        let is = |key: &str, value: &str| config[key].value.as_deref() == Some(value);
        (is("retention.ms", "1000") && is("cleanup.policy", "delete")).then_some(())
    })
    .await;
}
