//! Who may do what, and how much.

use std::collections::HashMap;

use ottla_client::*;

use crate::{World, code};
fn rule(name: &str, operation: AclOperation) -> AclBinding {
    AclBinding {
        resource_type: AclResourceType::Topic,
        resource_name: name.into(),
        pattern_type: PatternType::Prefixed,
        principal: "User:alice".into(),
        host: "*".into(),
        operation,
        permission: AclPermission::Allow,
    }
}

pub(crate) async fn acls(w: &World) {
    let rules = [rule("acl-a", AclOperation::Read), rule("acl-b", AclOperation::Write)];
    let bad = AclBinding { principal: "alice".into(), ..rule("acl-c", AclOperation::Read) };
    let mut created = w.admin.create_acls(&[rules[0].clone(), rules[1].clone(), bad.clone()]).await.unwrap();
    for rule in &rules {
        created.remove(rule).unwrap().unwrap();
    }
    assert!(code(created.remove(&bad).unwrap()) != ErrorCode::None);
    let filter = AclFilter { principal: Some("User:alice".into()), ..AclFilter::default() };
    let described = w
        .eventually("both rules are there", || async {
            let described = w.admin.describe_acls(&filter).await.unwrap();
            (described.len() == 2).then_some(described)
        })
        .await;
    assert!(rules.iter().all(|rule| described.contains(rule)), "{described:?}");
    let none = AclFilter { principal: Some("User:bob".into()), ..AclFilter::default() };
    let mut deleted = w.admin.delete_acls(&[filter.clone(), none.clone()]).await.unwrap();
    assert_eq!(deleted.remove(&filter).unwrap().unwrap().into_iter().map(Result::unwrap).count(), 2);
    assert!(deleted.remove(&none).unwrap().unwrap().is_empty());
    w.eventually("the rules are gone", || async {
        w.admin.describe_acls(&AclFilter::default()).await.unwrap().is_empty().then_some(())
    })
    .await;
}

pub(crate) async fn scram(w: &World) {
    let admin = &w.admin;
    admin.upsert_scram_user("alice", ScramMechanism::Sha512, 8192, "hunter2").await.unwrap();
    let changes = [
        ScramAlteration::upsert("alice", ScramMechanism::Sha256, 4096, "hunter2"),
        ScramAlteration::upsert("carol", ScramMechanism::Sha256, 4096, "hunter3"),
        ScramAlteration::delete("bob", ScramMechanism::Sha256),
    ];
    let mut changed = admin.alter_scram_users(&changes).await.unwrap();
    assert!(changed["alice"].is_ok() && changed["carol"].is_ok(), "{changed:?}");
    assert_eq!(code(changed.remove("bob").unwrap()), ErrorCode::ResourceNotFound);
    let mut described = w
        .eventually("alice has two passwords", || async {
            let described = admin.describe_scram_users(&["alice", "bob"]).await.unwrap();
            described["alice"].as_ref().is_ok_and(|found| found.len() == 2).then_some(described)
        })
        .await;
    let mut found = described.remove("alice").unwrap().unwrap();
    found.sort_by_key(|c| c.iterations);
    assert_eq!((found[1].mechanism, found[1].iterations), (ScramMechanism::Sha512, 8192));
    assert_eq!(code(described.remove("bob").unwrap()), ErrorCode::ResourceNotFound);
    w.eventually("alice is among all", || async {
        admin.describe_scram_users(&[]).await.unwrap().contains_key("alice").then_some(())
    })
    .await;
    admin.delete_scram_user("alice", ScramMechanism::Sha512).await.unwrap();
    assert_eq!(code(admin.delete_scram_user("bob", ScramMechanism::Sha512).await), ErrorCode::ResourceNotFound);
    let few = admin.upsert_scram_user("alice", ScramMechanism::Sha512, 4095, "hunter2").await.unwrap_err();
    assert!(few.to_string().contains("4096 to 16384 iterations") && !few.to_string().contains("hunter2"), "{few}");
}

pub(crate) async fn quotas(w: &World) {
    let alice = QuotaEntity::new("user", Some("alice"));
    let other = QuotaEntity::new("user", None).and("client-id", Some("shop"));
    let limit = |value| vec![("producer_byte_rate".to_owned(), value)];
    let bad = QuotaEntity::new("planet", Some("mars"));
    let wanted = HashMap::from([(alice.clone(), limit(Some(1e6))), (other.clone(), limit(Some(2e6)))]);
    for (entity, result) in w.admin.alter_quotas(&wanted).await.unwrap() {
        result.unwrap_or_else(|error| panic!("{entity}: {error}"));
    }
    let refused = w.admin.alter_quotas(&HashMap::from([(bad.clone(), limit(Some(1.0)))])).await;
    assert_eq!(code(refused.map(|mut r| r.remove(&bad).unwrap()).and_then(|r| r)), ErrorCode::InvalidRequest);
    let filter = QuotaFilter { components: vec![("user".into(), QuotaMatch::Exact("alice".into()))], strict: true };
    w.eventually("alice has a limit", || async {
        let found = w.admin.describe_quotas(&filter).await.unwrap();
        (found.get(&alice)?.get("producer_byte_rate") == Some(&1e6)).then_some(())
    })
    .await;
    w.eventually("the other has one too", || async {
        w.admin.describe_quotas(&QuotaFilter::default()).await.unwrap().contains_key(&other).then_some(())
    })
    .await;
    w.admin.alter_quotas(&HashMap::from([(alice.clone(), limit(None)), (other, limit(None))])).await.unwrap();
    w.eventually("alice has no limit", || async {
        w.admin.describe_quotas(&filter).await.unwrap().is_empty().then_some(())
    })
    .await;
}
