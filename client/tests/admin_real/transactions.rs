//! Transactions, seen from outside.

use std::collections::HashMap;
use std::time::Duration;

use ottla_client::*;

use crate::{World, code, tp, unsupported};
async fn writer(w: &World, id: &str) -> TransactionalProducer {
    let mut config = ProducerConfig::default();
    config.transactional_id = Some(id.to_owned());
    let producer = TransactionalProducer::new(&w.client, config).unwrap();
    producer.init().await.unwrap();
    producer
}

pub(crate) async fn transactions(w: &World) {
    w.topic("transactions", 1).await;
    let producer = writer(w, "tx-1").await;
    producer.begin_transaction().unwrap();
    producer.send(ProducerRecord::new("transactions").value("v")).await.unwrap().await.unwrap();
    if w.is_new {
        let listed =
            w.admin.list_transactions(&TransactionFilter::in_states(&["Ongoing"])).await.unwrap().all().unwrap();
        assert!(listed.iter().any(|t| t.transactional_id == "tx-1" && t.state == "Ongoing"), "{listed:?}");
        let mut described = w.admin.describe_transactions(&["tx-1", "tx-missing"]).await;
        let open = described.remove("tx-1").unwrap().unwrap();
        assert_eq!((open.state.as_str(), &open.partitions[..]), ("Ongoing", &[tp("transactions", 0)][..]));
        assert_eq!(code(described.remove("tx-missing").unwrap()), ErrorCode::TransactionalIdNotFound);
    } else {
        unsupported(w.admin.list_transactions(&TransactionFilter::default()).await);
        unsupported(w.admin.describe_transactions(&["tx-1"]).await.remove("tx-1").unwrap());
    }
    let fenced = w.admin.fence_producers(&["tx-1"], Duration::from_secs(60)).await.remove("tx-1").unwrap().unwrap();
    assert!(fenced.epoch > 0, "{fenced:?}");
    assert!(producer.commit_transaction().await.is_err(), "it is fenced");
    // Nobody has used the id.
    w.admin.force_terminate_transaction("tx-2").await.unwrap();
    forced(w).await;
}

/// An open transaction is ended from outside: its records are aborted, and its producer writes no more.
async fn forced(w: &World) {
    let producer = writer(w, "tx-3").await;
    producer.begin_transaction().unwrap();
    producer.send(ProducerRecord::new("transactions").value("v")).await.unwrap().await.unwrap();
    let partition = tp("transactions", 0);
    let end = async |isolation| {
        let ends = HashMap::from([(partition.clone(), OffsetSpec::Latest)]);
        w.admin.list_offsets(&ends, isolation).await.remove(&partition).unwrap().unwrap().offset
    };
    assert!(end(IsolationLevel::ReadCommitted).await < end(IsolationLevel::ReadUncommitted).await, "it is open");
    w.admin.force_terminate_transaction("tx-3").await.unwrap();
    w.eventually("it is aborted", || async {
        (end(IsolationLevel::ReadCommitted).await == end(IsolationLevel::ReadUncommitted).await).then_some(())
    })
    .await;
    if w.is_new {
        let described = w.admin.describe_transactions(&["tx-3"]).await.remove("tx-3").unwrap().unwrap();
        assert!(["CompleteAbort", "Empty"].contains(&described.state.as_str()), "{described:?}");
    }
    assert!(producer.commit_transaction().await.is_err(), "it is fenced");
}

pub(crate) async fn hanging_transactions(w: &World) {
    w.topic("hanging", 1).await;
    let partition = tp("hanging", 0);
    let producer = writer(w, "tx-hanging").await;
    producer.begin_transaction().unwrap();
    producer.send(ProducerRecord::new("hanging").value("v")).await.unwrap().await.unwrap();
    let described = w.admin.describe_producers(std::slice::from_ref(&partition)).await;
    let state = described.unwrap().remove(&partition).unwrap().unwrap().remove(0);
    assert_eq!(state.current_transaction_start, Some(0));
    assert!(state.last_sequence == Some(0) && state.last_timestamp.is_some());
    let mut wrong = AbortTransaction::of(partition.clone(), &state);
    wrong.producer_epoch -= 1;
    if wrong.producer_epoch >= 0 {
        assert_eq!(code(w.admin.abort_transaction(&wrong).await), ErrorCode::InvalidProducerEpoch);
    }
    w.admin.abort_transaction(&AbortTransaction::of(partition.clone(), &state)).await.unwrap();
    let described = w.admin.describe_producers(std::slice::from_ref(&partition)).await;
    let state = described.unwrap().remove(&partition).unwrap().unwrap().remove(0);
    assert_eq!(state.current_transaction_start, None);
}
