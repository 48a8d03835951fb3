//! The import itself: what becomes of a flagged Opportunity.

use dealsync_tests::{World, opportunity};
use expect_test::expect;

#[tokio::test(flavor = "multi_thread")]
async fn a_flagged_opportunity_becomes_a_deal_with_owner_account_and_contact() {
    let world = World::new().await;
    world.has(opportunity("Globex Renewal"));
    let report = world.full().await;
    assert_eq!(report.counts.created, 1);
    expect![[r#"
        deal 006Hs0000004C93IAE [linked] owner Dana Vance partner Dana Vance distributor - account Globex Renewal Inc contact Jo Doe
          fields {"name":"Globex Renewal","amount":"15000.00","close_date":"2026-12-31","stage":"Prospecting","contact_first_name":"Jo","contact_last_name":"Doe","contact_email":"jo@globex-renewal.example","account_name":"Globex Renewal Inc","description":"Globex Renewal: \"as agreed\"","currency":"USD"}
          base {"name":"Globex Renewal","amount":"15000.00","close_date":"2026-12-31","stage":"Prospecting","account_name":"Globex Renewal Inc","description":"Globex Renewal: \"as agreed\"","currency":"USD"}
          source {"Name":"Globex Renewal","Description":"Globex Renewal: \"as agreed\"","StageName":"Prospecting","Amount":"15000.00","CloseDate":"2026-12-31","Portal_Partner_Email__c":"dana@partner.example","Account.Name":"Globex Renewal Inc","PrimaryContact.LastName":"Doe","PrimaryContact.FirstName":"Jo","PrimaryContact.Email":"jo@globex-renewal.example"}
        outbox OutboxCounts { pending: 1, sent: 0, failed: 0, next_due: Some(1795334400000000) }
    "#]].assert_eq(&world.snapshot().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_run_changes_nothing() {
    let world = World::new().await;
    world.has(opportunity("Globex Renewal"));
    world.full().await;
    let before = world.snapshot().await;
    let again = world.full().await;
    assert_eq!(again.pages, 1, "{again:?}");
    assert_eq!((again.counts.created, again.counts.updated, again.counts.unchanged), (0, 0, 1));
    let incremental = world.incremental().await;
    assert_eq!((incremental.counts.created, incremental.counts.updated), (0, 0));
    assert_eq!(world.snapshot().await, before);
}
