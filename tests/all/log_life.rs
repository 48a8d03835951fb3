//! The life of an entry of the integration log: seen again, rephrased, resolved,
//! cleared; and what never gets into one.

use dealsync::run::{Kind, Request};
use dealsync::store::{LogFilter, LogState};
use dealsync::tenants::Apply;
use dealsync_core::reason::{Code, Level};
use dealsync_salesforce_sim::{Fault, FaultKind};
use dealsync_tests::{ACME, World, hours, opportunity};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_that_cannot_be_delivered_is_in_the_log_and_its_deal_stays() {
    let world = World::new().await;
    std::fs::write(world.folder.path().join("mail"), "no folder").expect("a file");
    world.has(opportunity("Globex"));
    world.full().await;
    for _ in 0..30 {
        let time = std::time::Duration::from_secs(60);
        dealsync::notify::deliver_due(world.app(), &world.tenant, time).await.expect("a round");
        world.advance(hours(1));
    }
    let entries = world.open_entries().await;
    assert_eq!((entries.len(), entries[0].code), (1, Code::MailFailed));
    assert!(entries[0].message.contains("dana@partner.example"), "{entries:?}");
    assert_eq!(world.deals().await, ["Globex"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_cause_is_one_entry_however_often_it_is_seen() {
    let world = World::new().await;
    let id = world.has(opportunity("Globex").partner(""));
    world.full().await;
    let first = world.open_entries().await;
    for _ in 0..3 {
        world.advance(hours(1));
        world.full().await;
    }
    let again = world.open_entries().await;
    assert_eq!((again.len(), again[0].id, again[0].first_seen), (1, first[0].id, first[0].first_seen));

    // The same trouble with another value keeps its entry and says the new one.
    for address in ["dan@partner.example", "don@partner.example"] {
        world.advance(hours(1));
        world
            .org()
            .update("Opportunity", id, json!({ "Portal_Partner_Email__c": address }))
            .expect("an edit");
        world.incremental().await;
        let now = world.open_entries().await;
        assert_eq!((now.len(), now[0].code), (1, Code::PartnerUserUnknown));
        assert!(now[0].message.contains(address), "{now:?}");
    }
    let all = world.store().await.log_entries(LogFilter::default()).await.expect("the log");
    assert_eq!(all.len(), 2, "one cause after the other: {all:?}");
    assert_eq!(all.iter().filter(|entry| entry.state == LogState::Resolved).count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_resolves_itself_when_the_record_imports_and_stays_cleared_when_acknowledged() {
    let world = World::new().await;
    let id = world.has(opportunity("Globex").partner(""));
    let other = world.has(opportunity("Initech").without_account());
    world.full().await;
    world.advance(hours(1));
    world
        .org()
        .update("Opportunity", id, json!({ "Portal_Partner_Email__c": "dana@partner.example" }))
        .expect("an edit");
    world.incremental().await;
    let open = world.open_entries().await;
    assert_eq!((open.len(), open[0].sf_id), (1, Some(other)));
    let store = world.store().await;
    assert_eq!(store.acknowledge(Some(vec![open[0].id])).await.expect("cleared"), 1);
    world.full().await;
    assert_eq!(world.open_entries().await, [], "nobody is told again of what was cleared");
    assert_eq!(world.asides().await, ["parked Initech: ACCOUNT_MISSING"], "and it still waits");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_holds_no_tokens_secrets_or_whole_payloads() {
    let world = World::new().await;
    world.has(opportunity("Globex"));
    world.has(opportunity("Initech").partner("").set("Description", "a secret plan"));
    world.full().await;
    world.sim.fault(Fault::new(FaultKind::Unauthorized).on("query").times(0));
    world.advance(hours(2));
    world.run(Request::manual(Kind::Full)).await.expect_err("refused");
    let refused = Apply {
        toml: ACME.to_owned(),
        env: [("SECRET".to_owned(), "wrong-secret".to_owned())].into(),
        actor: "test".into(),
        ..Apply::default()
    };
    world.app().apply(refused).await.expect("settings");
    let _ = world.run(Request { confirmed: true, ..Request::manual(Kind::Full) }).await;
    let entries = world.store().await.log_entries(LogFilter::default()).await.expect("the log");
    assert!(entries.len() >= 2, "{entries:?}");
    for entry in entries {
        let all = format!("{entry:?}");
        for secret in ["demo-secret", "wrong-secret", "00DHs00000DEMO1!", "Bearer", "a secret plan"] {
            assert!(!all.contains(secret), "{all}");
        }
        assert!(entry.message.len() < 1_000 && entry.level <= Level::Error);
    }
}
