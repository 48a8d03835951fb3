//! Finding the account and contact among the owner's own, or making them.

use dealsync_core::ids::SfId;
use dealsync_salesforce_sim::{OrgFile, Sim, demo};
use dealsync_tests::{ACME, World, opportunity, partner};
use expect_test::expect;
use serde_json::json;

const DANA: &str = "dana@partner.example";
const KIM: &str = "kim@partner.example";

fn account(world: &World, name: &str) -> SfId {
    world.org().insert("Account", json!({ "Name": name })).expect("an account")
}

fn contact(world: &World, last_name: &str, email: &str) -> SfId {
    let fields = json!({ "FirstName": "Jo", "LastName": last_name, "Email": email });
    world.org().insert("Contact", fields).expect("a contact")
}

fn accounts(world: &World) -> Vec<String> {
    world
        .rows("SELECT email, name, sf_id IS NOT NULL FROM account JOIN user ON user.id = owner ORDER BY 1, 2")
}

fn contacts(world: &World) -> Vec<String> {
    world.rows(
        "SELECT user.email, contact.last_name, sf_id IS NOT NULL FROM contact JOIN user ON user.id = owner
         ORDER BY 1, 2",
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_of_the_owner_is_found_again() {
    let world = World::new().await;
    let globex = account(&world, "Globex");
    let first = world.has(opportunity("First").account(globex));
    world.full().await;
    world.org().update("Account", globex, json!({ "Name": "Initech" })).expect("a new name");
    let second = world.has(opportunity("Second").account(globex));
    assert_eq!(world.incremental().await.counts.created, 1);
    assert_eq!(accounts(&world), ["dana@partner.example | Globex | 1"]);
    let of = async |id| world.deal(id).await.row.account.expect("an account").id;
    assert_eq!(of(first).await, of(second).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_matched_across_owners() {
    let world = World::new().await;
    world.users([partner(KIM)]).await;
    world.portal_account(KIM, "Initech").await;
    let (globex, initech) = (account(&world, "Globex"), account(&world, "Initech"));
    let doe = contact(&world, "Doe", "doe@globex.example");
    world.has(opportunity("Dana's").account(globex).contact(doe));
    world.has(opportunity("Kim's").account(globex).contact(doe).partner(KIM));
    world.has(opportunity("Dana's other").account(initech).contact(doe));
    assert_eq!(world.full().await.counts.created, 3);
    assert_eq!(
        accounts(&world),
        [
            "dana@partner.example | Globex | 1",
            "dana@partner.example | Initech | 1",
            "kim@partner.example | Globex | 1",
            "kim@partner.example | Initech | 0",
        ]
    );
    assert_eq!(contacts(&world), ["dana@partner.example | Doe | 1", "kim@partner.example | Doe | 1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn account_and_contact_are_made_independently() {
    let world = World::new().await;
    let (globex, initech) = (account(&world, "Globex"), account(&world, "Initech"));
    let (doe, roe) =
        (contact(&world, "Doe", "doe@globex.example"), contact(&world, "Roe", "roe@globex.example"));
    let mut counts = Vec::new();
    for (account, contact) in [(globex, doe), (globex, roe), (initech, doe), (initech, roe)] {
        world.has(opportunity("Renewal").account(account).contact(contact));
        assert_eq!(world.full().await.counts.created, 1);
        counts.push((accounts(&world).len(), contacts(&world).len()));
    }
    assert_eq!(counts, [(1, 1), (1, 2), (2, 2), (2, 2)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unlinked_account_of_the_same_name_is_adopted() {
    let world = World::new().await;
    world.portal_account(DANA, " GLOBEX   renewal inc").await;
    let id = world.has(opportunity("Globex Renewal"));
    assert_eq!(world.full().await.counts.created, 1);
    assert_eq!(accounts(&world), ["dana@partner.example |  GLOBEX   renewal inc | 1"]);
    // Tied to that Salesforce account from now on, it is no one else's.
    let other = world.has(opportunity("Globex Renewal"));
    assert_eq!(world.full().await.counts.created, 1);
    assert_eq!(accounts(&world).len(), 2);
    let of = async |id| world.deal(id).await.row.account.expect("an account").id;
    assert_ne!(of(id).await, of(other).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unlinked_contact_of_the_same_address_is_adopted() {
    let world = World::new().await;
    world.portal_contact(DANA, "Known", "JO@Globex-Renewal.example ").await;
    world.portal_contact(DANA, "Other", "kim@globex-renewal.example").await;
    let id = world.has(opportunity("Globex Renewal"));
    assert_eq!(world.full().await.counts.created, 1);
    assert_eq!(contacts(&world), ["dana@partner.example | Known | 1", "dana@partner.example | Other | 0"]);
    assert_eq!(
        world.deal(id).await.row.fields["contact_last_name"],
        "Doe",
        "the deal's own fields are Salesforce's"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blank_address_adopts_nobody() {
    let world = World::new().await;
    world.portal_contact(DANA, "Doe", "").await;
    world.has(opportunity("Globex Renewal").contact_field("Email", json!(null)));
    assert_eq!(world.full().await.counts.created, 1);
    assert_eq!(contacts(&world), ["dana@partner.example | Doe | 0", "dana@partner.example | Doe | 1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_that_fit_are_a_persons_choice() {
    let world = World::new().await;
    for _ in 0..2 {
        world.portal_account(DANA, "Globex Renewal Inc").await;
        world.portal_contact(DANA, "Doe", "jo@globex-renewal.example").await;
    }
    let id = world.has(opportunity("Globex Renewal"));
    for _ in 0..2 {
        let counts = world.full().await.counts;
        assert_eq!(counts.reasons, [("MATCH_AMBIGUOUS".to_owned(), 1)].into());
    }
    expect![[r#"
        error MATCH_AMBIGUOUS | Not imported: 2 accounts of this owner match Globex Renewal Inc. | Merge them, or link one of them to the Salesforce record.
        error MATCH_AMBIGUOUS | Not imported: 2 contacts of this owner match jo@globex-renewal.example. | Merge them, or link one of them to the Salesforce record.
    "#]].assert_eq(&world.said_of(id).await);
    for table in ["account", "contact"] {
        let merge = format!("DELETE FROM {table} WHERE id = (SELECT MIN(id) FROM {table})");
        world.database().execute(&merge, []).expect("merged");
    }
    let now = world.app().clock().now_micros();
    world.store().await.retry(Some(vec![id]), now).await.expect("marked");
    assert_eq!(world.incremental().await.counts.created, 1);
    assert_eq!(accounts(&world), ["dana@partner.example | Globex Renewal Inc | 1"]);
    assert_eq!(contacts(&world), ["dana@partner.example | Doe | 1"]);
    assert_eq!(world.said_of(id).await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_records_of_one_page_share_the_account_they_need() {
    for rows_a_page in [2_000, 1] {
        let mut file = OrgFile::parse(demo::ORG_TOML).expect("the demo's org file");
        (file.page_size, file.long_text_page_size) = (rows_a_page, rows_a_page);
        let world = World::of(Sim::new(file).expect("the demo's fields"), ACME).await;
        world.portal_account(DANA, "Initech").await;
        let (globex, initech) = (account(&world, "Globex"), account(&world, "Initech"));
        let doe = contact(&world, "Doe", "doe@globex.example");
        for account in [globex, initech, globex, initech] {
            world.has(opportunity("Renewal").account(account).contact(doe));
        }
        let report = world.full().await;
        assert_eq!((report.counts.created, report.pages), (4, if rows_a_page == 1 { 4 } else { 1 }));
        assert_eq!(
            accounts(&world),
            ["dana@partner.example | Globex | 1", "dana@partner.example | Initech | 1"]
        );
        assert_eq!(contacts(&world), ["dana@partner.example | Doe | 1"]);
    }
}
