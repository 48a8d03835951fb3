//! The import itself: what becomes of a flagged Opportunity.

use dealsync::store::LogState;
use dealsync_core::ids::SfId;
use dealsync_tests::{ACME, World, guest, opportunity};
use expect_test::expect;
use serde_json::json;

/// [`ACME`] with more behind it.
fn acme_and(toml: &str) -> String {
    format!("{ACME}\n{toml}")
}

fn edit(world: &World, id: SfId, fields: serde_json::Value) {
    world.org().update("Opportunity", id, fields).expect("an edit");
}

/// The id of the only contact role of an Opportunity's.
fn primary_contact(world: &World, id: SfId) -> SfId {
    let soql = format!("SELECT ContactId FROM OpportunityContactRole WHERE OpportunityId = '{id}'");
    let rows = world.org().query(&soql).expect("roles");
    rows[0]["ContactId"].as_str().expect("an id").parse().expect("an id")
}

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
async fn without_the_sync_flag_nothing_is_imported() {
    let world = World::new().await;
    world.has(opportunity("Import flag only").sync_flag(false));
    world.has(opportunity("Neither flag").sync_flag(false).import_flag(false));
    for _ in 0..2 {
        let counts = world.full().await.counts;
        assert_eq!((counts.selected, counts.skipped, counts.created), (1, 1, 0), "{counts:?}");
    }
    assert!(world.rows("SELECT id FROM deal").is_empty());
    assert!(world.rows("SELECT id FROM outbox").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn only_both_flags_together_select_a_record() {
    let world = World::new().await;
    let flagged = world.has(opportunity("Both"));
    for (sync, import) in [(true, false), (false, true), (false, false)] {
        world.has(opportunity(&format!("{sync} {import}")).sync_flag(sync).import_flag(import));
    }
    let counts = world.full().await.counts;
    assert_eq!((counts.selected, counts.created, counts.skipped), (2, 1, 1), "{counts:?}");
    assert_eq!(counts.reasons, [("SYNC_FLAG_MISSING".to_owned(), 1)].into());
    assert_eq!(world.deal(flagged).await.row.fields["name"], "Both");
    assert_eq!(world.rows("SELECT COUNT(*) FROM deal"), ["1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_import_flag_alone_is_skipped_and_told_about_once() {
    let world = World::new().await;
    let id = world.has(opportunity("Renewal").sync_flag(false));
    world.full().await;
    world.full().await;
    world.incremental().await;
    let log = world.log_of(id).await;
    assert_eq!((log.len(), log[0].seen_count), (1, 1), "{log:?}");
    expect![[r#"
        info SYNC_FLAG_MISSING | Ignored: Export to Portal Deal is ticked, but Sync with Portal is not. | Tick both.
    "#]].assert_eq(&world.said_of(id).await);

    edit(&world, id, json!({ "Sync_with_Portal__c": true }));
    assert_eq!(world.incremental().await.counts.created, 1);
    let log = world.log_of(id).await;
    assert_eq!((log.len(), log[0].state), (1, LogState::Resolved), "{log:?}");
    assert!(world.aside(id).await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn clearing_the_sync_flag_keeps_the_deal_and_stops_the_updates() {
    let world = World::new().await;
    let id = world.has(opportunity("Renewal"));
    world.full().await;
    edit(&world, id, json!({ "Sync_with_Portal__c": false, "Amount": 1 }));
    let counts = world.incremental().await.counts;
    assert_eq!((counts.skipped, counts.updated), (1, 0), "{counts:?}");
    edit(&world, id, json!({ "Amount": 20000 }));
    world.incremental().await;
    world.full().await;
    let row = world.deal(id).await.row;
    assert_eq!(
        (row.link_state.expect("linked").name(), &row.fields["amount"]),
        ("out-of-scope", &json!("15000.00"))
    );
    let log = world.log_of(id).await;
    assert_eq!((log.len(), log[0].seen_count), (1, 1), "{log:?}");
    expect![[r#"
        info OUT_OF_SCOPE | No longer synced: Sync with Portal was cleared. The deal stays. | Tick the flag to resume.
    "#]].assert_eq(&world.said_of(id).await);

    edit(&world, id, json!({ "Sync_with_Portal__c": true }));
    let counts = world.incremental().await.counts;
    assert_eq!((counts.updated, counts.skipped), (1, 0), "{counts:?}");
    let row = world.deal(id).await.row;
    assert_eq!(
        (row.link_state.expect("linked").name(), &row.fields["amount"]),
        ("linked", &json!("20000.00"))
    );
    assert_eq!(world.said_of(id).await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn clearing_the_import_flag_keeps_the_deal_too() {
    for incremental in [true, false] {
        let world = World::new().await;
        let id = world.has(opportunity("Renewal"));
        world.full().await;
        edit(&world, id, json!({ "Export_to_Portal_Deal__c": false, "Amount": 1 }));
        let report = if incremental { world.incremental().await } else { world.full().await };
        assert_eq!(report.counts.selected, 0, "{:?}", report.counts);
        let row = world.deal(id).await.row;
        assert_eq!(
            (row.link_state.expect("linked").name(), &row.fields["amount"]),
            ("out-of-scope", &json!("15000.00"))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_opportunity_without_account_is_parked() {
    let world = World::new().await;
    let id = world.has(opportunity("Renewal").without_account());
    assert_eq!(world.full().await.counts.parked, 1);
    expect![[r#"
        error ACCOUNT_MISSING | Not imported: this Opportunity has no Account. | Set the Account on the Opportunity.
    "#]].assert_eq(&world.said_of(id).await);

    let account = world.org().insert("Account", json!({ "Name": "Globex" })).expect("an account");
    edit(&world, id, json!({ "AccountId": account.as_str() }));
    assert_eq!(world.incremental().await.counts.created, 1);
    assert_eq!(world.deal(id).await.row.account.expect("an account").name, "Globex");
    assert_eq!(world.said_of(id).await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_opportunity_without_contact_roles_is_parked() {
    let world = World::new().await;
    let id = world.has(opportunity("Renewal").without_contacts());
    assert_eq!(world.full().await.counts.parked, 1);
    expect![[r#"
        error CONTACT_MISSING | Not imported: no Contact is attached. | Add a Contact role to the Opportunity and mark it Primary.
    "#]].assert_eq(&world.said_of(id).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn contacts_of_which_none_is_primary_are_named_in_the_fix() {
    let world = World::new().await;
    let one = world.has(opportunity("One").none_primary());
    let two = world.has(opportunity("Two").other_contact("Kim", "Ray").none_primary());
    assert_eq!(world.full().await.counts.parked, 2);
    expect![[r#"
        error PRIMARY_CONTACT_MISSING | Not imported: 1 contact is attached, none is Primary. | Tick Primary on one of: Jo Doe.
        error PRIMARY_CONTACT_MISSING | Not imported: 2 contacts are attached, none is Primary. | Tick Primary on one of: Jo Doe, Kim Ray.
    "#]].assert_eq(&(world.said_of(one).await + &world.said_of(two).await));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_primary_contact_is_created() {
    let world = World::new().await;
    world.has(opportunity("Renewal").other_contact("Kim", "Ray").other_contact("Lee", "Moss"));
    assert_eq!(world.full().await.counts.created, 1);
    assert_eq!(world.rows("SELECT first_name, last_name FROM contact"), ["Jo | Doe"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hidden_primary_contact_is_told_apart_from_a_missing_one() {
    let world = World::new().await;
    let deleted = world.has(opportunity("Deleted"));
    let hidden = world.has(opportunity("Hidden"));
    // Deleting a contact takes its roles along; one that comes after it stays.
    let contact = primary_contact(&world, deleted);
    world.org().delete("Contact", contact).expect("deleted");
    let role = json!({ "OpportunityId": deleted.as_str(), "ContactId": contact.as_str(), "IsPrimary": true });
    world.org().insert("OpportunityContactRole", role).expect("a role");
    world.org().set_hidden("Contact", primary_contact(&world, hidden), true).expect("hidden");
    let counts = world.full().await.counts;
    assert_eq!(counts.reasons, [("PRIMARY_CONTACT_UNREADABLE".to_owned(), 2)].into());
    expect![[r#"
        error PRIMARY_CONTACT_UNREADABLE | Not imported: the Primary Contact 003Hs0000004C93IAE cannot be read. | Restore the contact, or grant the integration user read access to it.
        error PRIMARY_CONTACT_UNREADABLE | Not imported: the Primary Contact 003Hs0000004C94IAE cannot be read. | Restore the contact, or grant the integration user read access to it.
    "#]].assert_eq(&(world.said_of(deleted).await + &world.said_of(hidden).await));
}

/// Name, close date and stage are mandatory in Salesforce, so those three are mapped
/// from fields that may be empty.
const REQUIRED_ELSEWHERE: &str = r#"
[[mapping]]
to = "name"
from = "NextStep"
[[mapping]]
to = "close_date"
from = "LastActivityDate"
[[mapping]]
to = "stage"
from = "Type"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn every_required_field_is_missed_by_name() {
    let world = World::with(&acme_and(REQUIRED_ELSEWHERE)).await;
    let whole = |name: &str| {
        opportunity(name)
            .set("NextStep", "Sign")
            .set("LastActivityDate", "2026-12-31")
            .set("Type", "New Customer")
    };
    let mut said = String::new();
    let cases = [
        whole("Amount").set("Amount", json!(null)),
        whole("Close date").set("LastActivityDate", json!(null)),
        whole("Name").set("NextStep", "  "),
        whole("Stage").set("Type", json!(null)),
        whole("First name").contact_field("FirstName", json!(null)),
        whole("Last name").contact_field("LastName", json!(null)),
    ]
    .map(|case| world.has(case));
    let counts = world.full().await.counts;
    assert_eq!((counts.created, counts.parked), (0, 6), "{counts:?}");
    for id in cases {
        for reason in world.aside(id).await.expect("set aside").reasons {
            said += &format!(
                "{} {}: {} | {}\n",
                reason.code,
                reason.field.unwrap_or_default(),
                reason.message,
                reason.fix
            );
        }
    }
    expect![[r#"
        REQUIRED_VALUE_EMPTY amount: Amount is required; Amount is empty. | Fill Amount, or set a default on the mapping.
        REQUIRED_VALUE_EMPTY close_date: Close Date is required; Last Activity is empty. | Fill Last Activity, or set a default on the mapping.
        REQUIRED_VALUE_EMPTY name: Deal Name is required; Next Step is empty. | Fill Next Step, or set a default on the mapping.
        REQUIRED_VALUE_EMPTY stage: Stage is required; Opportunity Type is empty. | Fill Opportunity Type, or set a default on the mapping.
        CONTACT_NAME_MISSING contact_first_name: Primary Contact has no first name. | Fill it in, or map a default for it.
        CONTACT_NAME_MISSING contact_last_name: Primary Contact has no last name. | Fill it in, or map a default for it.
    "#]].assert_eq(&said);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_default_on_the_mapping_lets_an_empty_field_in() {
    let mapping = "[[mapping]]\nto = \"contact_first_name\"\nfrom = \"PrimaryContact.FirstName\"\ndefault = \"(unknown)\"\n";
    let world = World::with(&acme_and(mapping)).await;
    let id = world.has(opportunity("Renewal").contact_field("FirstName", json!(null)));
    assert_eq!(world.full().await.counts.created, 1);
    assert_eq!(world.deal(id).await.row.fields["contact_first_name"], "(unknown)");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_without_owner_leaves_nothing_behind() {
    let world = World::new().await;
    for (at, partner) in ["", "nobody@partner.example", "dana"].into_iter().enumerate() {
        world.has(opportunity(&format!("Renewal {at}")).partner(partner));
    }
    assert_eq!(world.full().await.counts.parked, 3);
    for table in ["account", "contact", "deal", "link", "outbox"] {
        assert_eq!(world.rows(&format!("SELECT COUNT(*) FROM {table}")), ["0"], "{table}");
    }
}

const EVERY_KIND_OF_MAPPING: &str = r#"
[[deal_field]]
name = "discount"
kind = "decimal"
scale = 1
[[deal_field]]
name = "pipeline_day"
kind = "date"
[[deal_field]]
name = "short"
max_length = 5

[[mapping]]
to = "lead_source"
value = "Salesforce"
[[mapping]]
to = "next_step"
from = "NextStep"
default = "None yet"
[[mapping]]
to = "region"
from = "Region__c"
[mapping.values]
"EMEA - North" = "Northern Europe"
[[mapping]]
to = "short"
from = "Description"
cut = true
[[mapping]]
to = "discount"
from = "Partner_Discount__c"
[[mapping]]
to = "pipeline_day"
from = "CloseDate"
[[mapping]]
to = "account_website"
from = "Account.Website"
[[mapping]]
to = "account_name"
remove = true
"#;

#[tokio::test(flavor = "multi_thread")]
async fn the_deal_is_made_by_the_mappings() {
    let world = World::with(&acme_and(EVERY_KIND_OF_MAPPING)).await;
    let id = world.has(
        opportunity("Globex Renewal")
            .set("Amount", 1234.5)
            .set("Region__c", "EMEA - North")
            .set("Description", "Günther & Söhne")
            .set("Partner_Discount__c", 12.5),
    );
    assert_eq!(world.full().await.counts.created, 1, "{}", world.snapshot().await);
    let fields = world.deal(id).await.row.fields;
    expect![[r#"
        {
          "name": "Globex Renewal",
          "amount": "1234.50",
          "close_date": "2026-12-31",
          "stage": "Prospecting",
          "contact_first_name": "Jo",
          "contact_last_name": "Doe",
          "contact_email": "jo@globex-renewal.example",
          "description": "Günther & Söhne",
          "next_step": "None yet",
          "lead_source": "Salesforce",
          "region": "Northern Europe",
          "currency": "USD",
          "discount": "12.5",
          "pipeline_day": "2026-12-31",
          "short": "Günth"
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(&fields).expect("plain values"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mapping_of_ones_own_is_followed() {
    let own = "[[deal_field]]\nname = \"renewal\"\nkind = \"boolean\"\n[[mapping]]\nto = \"renewal\"\nfrom = \"Renewal__c\"\n";
    let world = World::with(&acme_and(own)).await;
    let id = world.has(opportunity("Globex").set("Renewal__c", true));
    world.full().await;
    assert_eq!(world.deal(id).await.row.fields["renewal"], true);
    edit(&world, id, json!({ "Renewal__c": false }));
    assert_eq!(world.incremental().await.counts.updated, 1);
    assert_eq!(world.deal(id).await.row.fields["renewal"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_primary_contact_is_the_deals_end_customer() {
    let world = World::new().await;
    let id = world.has(opportunity("Globex").contact_field("FirstName", "Zoë").other_contact("Kim", "Ray"));
    world.full().await;
    let view = world.deal(id).await;
    assert_eq!(
        (&view.row.fields["contact_first_name"], &view.row.fields["contact_last_name"]),
        (&json!("Zoë"), &json!("Doe"))
    );
    assert_eq!(view.row.contact.expect("a contact").name, "Zoë Doe");
    assert_eq!(view.contact_sf_id, Some(primary_contact(&world, id)));
}

#[tokio::test(flavor = "multi_thread")]
async fn contact_names_are_written_once_and_never_after() {
    let mapping =
        "[[mapping]]\nto = \"contact_first_name\"\nfrom = \"PrimaryContact.FirstName\"\non_update = true\n";
    let rule = "[[rules]]\nname = \"mischief\"\ncomponent = \"mischief.wasm\"\nversion = \"1.0.0\"\nsettings = { w = \"write contact_first_name\" }\n";
    for (toml, name) in [("", "Renewed"), (mapping, "Renewed"), (rule, "write Mallory")] {
        let world = World::new().await;
        world.apply_with(&acme_and(toml), [("mischief.wasm", guest("mischief"))]).await.expect("settings");
        let id = world.has(opportunity("Globex"));
        world.full().await;
        let contact = primary_contact(&world, id);
        let renamed = json!({ "FirstName": "Max", "LastName": "Roe" });
        world.org().update("Contact", contact, renamed).expect("an edit");
        edit(&world, id, json!({ "Name": name }));
        assert_eq!(world.incremental().await.counts.updated, 1, "{}", world.snapshot().await);
        world.full().await;
        let fields = world.deal(id).await.row.fields;
        assert_eq!(fields["name"], name);
        assert_eq!(
            (&fields["contact_first_name"], &fields["contact_last_name"]),
            (&json!("Jo"), &json!("Doe")),
            "{toml}"
        );
        assert_eq!(world.rows("SELECT first_name, last_name FROM contact"), ["Jo | Doe"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_record_costs_one_record() {
    let world = World::new().await;
    for at in 0..15 {
        world.has(opportunity(&format!("Good {at}")));
    }
    world.has(opportunity("No account").without_account());
    world.has(opportunity("No contact").without_contacts());
    world.has(opportunity("No owner").partner("nobody@partner.example"));
    world.has(opportunity("No amount").set("Amount", json!(null)));
    world.has(opportunity("No such type").owner_type("Nobody-owned"));
    let counts = world.full().await.counts;
    assert_eq!((counts.selected, counts.created, counts.parked), (20, 15, 5), "{counts:?}");
    assert_eq!(counts.reasons.len(), 5, "{counts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_amount_comes_as_integer_or_float_and_is_the_same_money() {
    let world = World::new().await;
    let mut amounts = Vec::new();
    for amount in [json!(15000), json!(15000.0), json!(0.1), json!(1234567890.12), json!(-5)] {
        let id = world.has(opportunity("Globex").set("Amount", amount));
        world.full().await;
        amounts.push(world.deal(id).await.row.fields["amount"].clone());
    }
    assert_eq!(amounts, ["15000.00", "15000.00", "0.10", "1234567890.12", "-5.00"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_amount_has_the_currency_of_the_org() {
    let toml = ACME.replace("client_id = \"dealsync\"\n", "client_id = \"dealsync\"\ncurrency = \"EUR\"\n");
    let world = World::with(&toml).await;
    let id = world.has(opportunity("Globex"));
    world.full().await;
    assert_eq!(world.deal(id).await.row.fields["currency"], "EUR");
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_of_15_and_18_characters_are_the_same_record() {
    let world = World::new().await;
    let id = world.has(opportunity("Globex"));
    world.full().await;
    let short: SfId = id.as_str()[..15].parse().expect("an id");
    assert_eq!(world.deal(short).await.row.sf_id, Some(id));
    assert_eq!(world.rows("SELECT sf_id FROM link"), [id.as_str()]);
}
