//! Deals after their import: what later runs bring over, what they leave alone, and
//! what becomes of deals that a person removed or that came from our own Lead.

use dealsync::store::LogState;
use dealsync_core::ids::SfId;
use dealsync_tests::{ACME, World, minutes, opportunity};
use expect_test::expect;
use serde_json::{Value, json};

fn edit(world: &World, id: SfId, fields: Value) {
    world.org().update("Opportunity", id, fields).expect("an edit");
}

/// [`ACME`] with the shipped mapping of the next step replaced.
fn next_step(rule: &str) -> String {
    format!("{ACME}\n[[mapping]]\nto = \"next_step\"\nfrom = \"NextStep\"\n{rule}\n")
}

async fn value(world: &World, id: SfId, field: &str) -> String {
    dealsync_core::deal::show(world.deal(id).await.row.fields.get(field))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_run_changes_nothing() {
    let world = World::new().await;
    world.has(opportunity("Globex Renewal"));
    world.has(opportunity("Parked").without_account());
    world.has(opportunity("Skipped").sync_flag(false));
    world.full().await;
    let (before, file) = (world.snapshot().await, world.file_but_for_runs());
    let again = world.full().await;
    assert_eq!(again.pages, 1, "{again:?}");
    let counts = again.counts;
    assert_eq!((counts.created, counts.updated, counts.unchanged), (0, 0, 1), "{counts:?}");
    assert_eq!(world.file_but_for_runs(), file);
    let counts = world.incremental().await.counts;
    assert_eq!((counts.created, counts.updated), (0, 0), "{counts:?}");
    assert_eq!(world.snapshot().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_in_salesforce_updates_the_deal_field_by_field() {
    let world = World::new().await;
    let id = world.has(opportunity("Globex Renewal"));
    world.full().await;
    let before = world.deal(id).await.row.fields;
    edit(&world, id, json!({ "StageName": "Qualification", "NextStep": "Call" }));
    let counts = world.incremental().await.counts;
    assert_eq!((counts.updated, counts.unchanged), (1, 0), "{counts:?}");
    let view = world.deal(id).await;
    let changed: Vec<&String> = view
        .row
        .fields
        .iter()
        .filter(|(name, value)| before.get(*name) != Some(value))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(changed, ["stage", "next_step"]);
    expect![[r#"[{"field":"stage","old":"Prospecting","new":"Qualification"},{"field":"next_step","old":null,"new":"Call"}]"#]].assert_eq(&serde_json::to_string(&view.changes[0].changes).expect("JSON"));
    assert_eq!(view.changes.len(), 1);
    assert_eq!(view.base.expect("a base")["stage"], "Qualification");
    assert_eq!(world.full().await.counts.unchanged, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_field_equal_to_the_base_is_no_change_whatever_its_stamp() {
    let world = World::new().await;
    let id = world.has(opportunity("Globex Renewal"));
    world.full().await;
    let before = world.file_but_for_runs();
    world.advance(minutes(30));
    edit(&world, id, json!({ "Amount": 15000, "ForecastCategoryName": "Commit" }));
    let counts = world.incremental().await.counts;
    assert_eq!((counts.updated, counts.unchanged), (0, 1), "{counts:?}");
    assert_eq!(world.full().await.counts.unchanged, 1);
    assert_eq!(world.file_but_for_runs(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_only_the_portal_changed_is_left_alone() {
    let world = World::new().await;
    let id = world.has(opportunity("Globex Renewal").set("NextStep", "Call"));
    world.full().await;
    world.portal_edit(id, "next_step", "Visit");
    edit(&world, id, json!({ "Amount": 20000 }));
    assert_eq!(world.incremental().await.counts.updated, 1);
    assert_eq!(
        (value(&world, id, "next_step").await, value(&world, id, "amount").await),
        ("Visit".into(), "20000.00".into())
    );
    assert_eq!(world.said_of(id).await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deal_changed_in_the_portal_is_merged_by_the_fields_rule() {
    let mut all = String::new();
    for (rule, portal_last) in
        [("source", true), ("target", false), ("newest", true), ("newest", false), ("ask", true)]
    {
        let world = World::with(&next_step(&format!("conflict = \"{rule}\""))).await;
        let id = world.has(opportunity("Globex Renewal").set("NextStep", "Call"));
        world.full().await;
        world.advance(minutes(1));
        if portal_last {
            edit(&world, id, json!({ "NextStep": "Mail" }));
            world.advance(minutes(1));
        }
        world.portal_edit(id, "next_step", "Visit");
        if !portal_last {
            world.advance(minutes(1));
            edit(&world, id, json!({ "NextStep": "Mail" }));
        }
        let first = world.incremental().await.counts;
        let again = world.full().await.counts;
        assert_eq!((again.updated, again.unchanged), (0, 1), "{rule}: {again:?}");
        let log = world.log_of(id).await;
        assert_eq!((log.len(), log[0].seen_count), (1, 1), "{rule}: {log:?}");
        let view = world.deal(id).await;
        all += &format!(
            "{rule}: updated {}, deal {}, base {}, changes {}\n  {}",
            first.updated,
            value(&world, id, "next_step").await,
            view.base.expect("a base")["next_step"],
            view.changes.iter().map(|change| change.changes.to_string()).collect::<String>(),
            world.said_of(id).await,
        );
    }
    expect![[r#"
        source: updated 1, deal Mail, base "Mail", changes [{"field":"next_step","old":"Visit","new":"Mail","lost":"Visit"}]
          info CONFLICT_BOTH_CHANGED | Next Step changed on both sides: Salesforce has Mail, the portal Visit; kept Salesforce's. | Accept, or set the value you want; change the field's rule if it is wrong.
        target: updated 0, deal Visit, base "Mail", changes 
          info CONFLICT_BOTH_CHANGED | Next Step changed on both sides: Salesforce has Mail, the portal Visit; kept the portal's. | Accept, or set the value you want; change the field's rule if it is wrong.
        newest: updated 0, deal Visit, base "Mail", changes 
          info CONFLICT_BOTH_CHANGED | Next Step changed on both sides: Salesforce has Mail, the portal Visit; kept the portal's. | Accept, or set the value you want; change the field's rule if it is wrong.
        newest: updated 1, deal Mail, base "Mail", changes [{"field":"next_step","old":"Visit","new":"Mail","lost":"Visit"}]
          info CONFLICT_BOTH_CHANGED | Next Step changed on both sides: Salesforce has Mail, the portal Visit; kept Salesforce's. | Accept, or set the value you want; change the field's rule if it is wrong.
        ask: updated 0, deal Visit, base "Call", changes 
          warning CONFLICT_BOTH_CHANGED | Next Step changed on both sides: Salesforce has Mail, the portal Visit; kept both until somebody chooses. | Accept, or set the value you want; change the field's rule if it is wrong.
    "#]].assert_eq(&all);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_that_was_asked_about_ends_when_somebody_chooses() {
    let world = World::with(&next_step("conflict = \"ask\"")).await;
    let id = world.has(opportunity("Globex Renewal").set("NextStep", "Call"));
    world.full().await;
    world.portal_edit(id, "next_step", "Visit");
    edit(&world, id, json!({ "NextStep": "Mail" }));
    world.incremental().await;
    assert_eq!(world.log_of(id).await[0].state, LogState::Open);
    world.portal_edit(id, "next_step", "Mail");
    assert_eq!(world.full().await.counts.unchanged, 1);
    assert_eq!(world.log_of(id).await[0].state, LogState::Resolved);
    edit(&world, id, json!({ "NextStep": "Sign" }));
    assert_eq!(world.incremental().await.counts.updated, 1);
    assert_eq!(value(&world, id, "next_step").await, "Sign");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_source_follows_the_null_policy() {
    let mut all = String::new();
    for policy in ["", "on_null = \"clear\"", "on_null = \"leave\"", "on_null = \"refuse\""] {
        let world = World::with(&next_step(policy)).await;
        let id = world.has(opportunity("Globex Renewal").set("NextStep", "Call"));
        world.full().await;
        edit(&world, id, json!({ "NextStep": null }));
        let counts = world.incremental().await.counts;
        all += &format!(
            "{policy}: updated {}, unchanged {}, parked {}, deal {}\n{}",
            counts.updated,
            counts.unchanged,
            counts.parked,
            value(&world, id, "next_step").await,
            world.said_of(id).await,
        );
        assert_eq!(world.full().await.counts.updated, 0);
        edit(&world, id, json!({ "NextStep": "Sign" }));
        assert_eq!(world.incremental().await.counts.updated, 1);
        assert_eq!(value(&world, id, "next_step").await, "Sign");
        assert_eq!(world.said_of(id).await, "");
        assert!(world.aside(id).await.is_none());
    }
    expect![[r#"
        : updated 1, unchanged 0, parked 0, deal (empty)
        on_null = "clear": updated 1, unchanged 0, parked 0, deal (empty)
        on_null = "leave": updated 0, unchanged 1, parked 0, deal Call
        on_null = "refuse": updated 0, unchanged 0, parked 1, deal Call
        error REQUIRED_VALUE_EMPTY | Next Step is required; Next Step is empty. | Fill Next Step, or set a default on the mapping.
    "#]].assert_eq(&all);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_that_does_not_fit_keeps_the_deal_as_it_is_until_it_does() {
    let world = World::new().await;
    let id = world.has(opportunity("Globex Renewal"));
    world.full().await;
    edit(&world, id, json!({ "Amount": null, "StageName": "Qualification" }));
    let counts = world.incremental().await.counts;
    assert_eq!((counts.updated, counts.parked), (0, 1), "{counts:?}");
    assert_eq!(
        (value(&world, id, "amount").await, value(&world, id, "stage").await),
        ("15000.00".into(), "Prospecting".into())
    );
    expect![[r#"
        error REQUIRED_VALUE_EMPTY | Amount is required; Amount is empty. | Fill Amount, or set a default on the mapping.
    "#]].assert_eq(&world.said_of(id).await);
    edit(&world, id, json!({ "Amount": 1 }));
    assert_eq!(world.incremental().await.counts.updated, 1);
    assert_eq!(
        (value(&world, id, "amount").await, value(&world, id, "stage").await),
        ("1.00".into(), "Qualification".into())
    );
    assert_eq!(world.said_of(id).await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_linked_record_that_leaves_scope_is_parked_no_more() {
    let world = World::new().await;
    let (unflagged, deleted) = (world.has(opportunity("Unflagged")), world.has(opportunity("Deleted")));
    world.full().await;
    for id in [unflagged, deleted] {
        edit(&world, id, json!({ "Amount": null }));
    }
    assert_eq!(world.incremental().await.counts.parked, 2);
    edit(&world, unflagged, json!({ "Sync_with_Portal__c": false }));
    world.org().delete("Opportunity", deleted).expect("deleted");
    world.incremental().await;
    world.full().await;
    assert!(world.aside(unflagged).await.is_none() && world.aside(deleted).await.is_none());
    expect![[r#"
        info OUT_OF_SCOPE | No longer synced: Sync with Portal was cleared. The deal stays. | Tick the flag to resume.
        warning RECORD_DELETED | The linked record was deleted in Salesforce. | Restore it from the Recycle Bin, or unlink the deal.
    "#]].assert_eq(&(world.said_of(unflagged).await + &world.said_of(deleted).await));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tombstone_is_never_imported_again() {
    let world = World::new().await;
    let id = world.has(opportunity("Globex Renewal"));
    world.full().await;
    let (store, now) = (world.store().await, world.app().clock().now_micros());
    store.remove_deal(world.deal(id).await.row.id, "pat", now).await.expect("removed");
    for _ in 0..2 {
        edit(&world, id, json!({ "Amount": 20000 }));
        let (incremental, full) = (world.incremental().await.counts, world.full().await.counts);
        assert_eq!((incremental.parked, full.parked, full.created), (1, 1, 0), "{incremental:?} {full:?}");
        assert_eq!(full.reasons, [("UNLINKED_BY_PERSON".to_owned(), 1)].into());
    }
    expect![[r#"
        info UNLINKED_BY_PERSON | Not imported again: pat removed this deal on 2026-11-22. | Link it or import it again by hand.
    "#]].assert_eq(&world.said_of(id).await);
    assert_eq!(world.log_of(id).await.len(), 1);

    store.retry(None, now).await.expect("marked");
    assert_eq!(world.incremental().await.counts.created, 0, "only a record that is named comes back");
    store.retry(Some(vec![id]), now).await.expect("marked");
    assert_eq!(world.incremental().await.counts.created, 1);
    assert_eq!(value(&world, id, "amount").await, "20000.00");
    assert_eq!(world.said_of(id).await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn our_own_converted_lead_keeps_its_deal() {
    for incremental in [false, true] {
        let world = World::new().await;
        let before = world.has(opportunity("Globex Renewal"));
        world.full().await;
        let deal = world.deal(before).await.row.id;
        // As the deal stands after its Lead was made: linked to that.
        let lead = json!({ "LastName": "Doe", "Company": "Globex" });
        let lead = world.org().insert("Lead", lead).expect("a lead");
        let sql = format!("UPDATE link SET sf_id = '{lead}', object = 'Lead'");
        world.database().execute(&sql, []).expect("a link");
        world.org().purge("Opportunity", before).expect("gone");
        world.full().await;

        let after = world.has(opportunity("Globex Renewal").set("Amount", 20000));
        let converted = json!({ "IsConverted": true, "ConvertedOpportunityId": after.as_str() });
        world.org().update("Lead", lead, converted).expect("converted");
        let report = if incremental { world.incremental().await } else { world.full().await };
        assert_eq!((report.counts.created, report.counts.updated), (0, 1), "{:?}", report.counts);
        let row = world.deal(after).await.row;
        assert_eq!((row.id, row.object.expect("linked").name()), (deal, "Opportunity"));
        let said = world.said_of(after).await;
        assert!(said.starts_with("info LEAD_CONVERTED | The Lead was converted: the link moved"), "{said}");
        world.full().await;
        assert_eq!(value(&world, after, "amount").await, "20000.00", "the next run brings over what differs");
        assert_eq!(world.rows("SELECT COUNT(*) FROM deal"), ["1"]);
        assert_eq!(
            world.rows("SELECT COUNT(*) FROM outbox"),
            ["1"],
            "the owner was told when it was imported"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cloned_record_is_a_record_of_its_own() {
    let world = World::new().await;
    let original = world.has(opportunity("Globex Renewal"));
    world.full().await;
    let before = world.deal(original).await;
    let soql = format!(
        "SELECT AccountId, (SELECT ContactId FROM OpportunityContactRoles) FROM Opportunity WHERE Id = '{original}'"
    );
    let row = &world.org().query(&soql).expect("a row")[0];
    let id = |value: &Value| value.as_str().expect("an id").parse::<SfId>().expect("an id");
    let contact = id(&row["OpportunityContactRoles"]["records"][0]["ContactId"]);
    let clone = world.has(opportunity("Globex Renewal").account(id(&row["AccountId"])).contact(contact));
    assert_eq!(world.full().await.counts.created, 1);
    assert_eq!(world.deal(original).await, before);
    assert_ne!(world.deal(clone).await.row.id, before.row.id);
    assert_eq!(world.rows("SELECT COUNT(*) FROM account UNION ALL SELECT COUNT(*) FROM contact"), ["1", "1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_set_aside_that_nobody_asks_for_any_more_leaves_the_log() {
    let world = World::new().await;
    let names = ["Unflagged", "Deleted", "Purged", "Still broken"];
    let ids = names.map(|name| world.has(opportunity(name).without_account()));
    let skipped = world.has(opportunity("Skipped").sync_flag(false));
    assert_eq!(world.full().await.counts.selected, 5);
    edit(&world, ids[0], json!({ "Export_to_Portal_Deal__c": false }));
    world.org().delete("Opportunity", ids[1]).expect("deleted");
    world.org().purge("Opportunity", ids[2]).expect("purged");
    edit(&world, skipped, json!({ "Export_to_Portal_Deal__c": false }));
    let counts = world.full().await.counts;
    assert_eq!((counts.selected, counts.parked), (1, 1), "{counts:?}");
    for id in [ids[0], ids[1], ids[2], skipped] {
        assert!(world.aside(id).await.is_none());
        assert_eq!(world.log_of(id).await[0].state, LogState::Resolved);
    }
    assert!(world.aside(ids[3]).await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_linked_deal_needs_neither_account_nor_primary_contact_to_be_updated() {
    let world = World::new().await;
    let ids = ["No account", "No contact", "Hidden contact"].map(|name| world.has(opportunity(name)));
    world.full().await;
    let contact = |id: SfId| {
        let soql = format!("SELECT ContactId FROM OpportunityContactRole WHERE OpportunityId = '{id}'");
        let row = world.org().query(&soql).expect("roles").remove(0);
        row["ContactId"].as_str().expect("an id").parse::<SfId>().expect("an id")
    };
    edit(&world, ids[0], json!({ "AccountId": null }));
    world.org().delete("Contact", contact(ids[1])).expect("deleted");
    world.org().set_hidden("Contact", contact(ids[2]), true).expect("hidden");
    for id in ids {
        edit(&world, id, json!({ "Amount": 20000 }));
    }
    let counts = world.incremental().await.counts;
    assert_eq!((counts.updated, counts.parked), (3, 0), "{counts:?} {}", world.snapshot().await);
    for id in ids {
        let row = world.deal(id).await.row;
        assert_eq!(row.fields["amount"], "20000.00");
        assert_eq!(row.contact.expect("a contact").name, "Jo Doe");
        assert!(row.account.is_some());
    }
    assert_eq!(world.full().await.counts.unchanged, 3);
}
